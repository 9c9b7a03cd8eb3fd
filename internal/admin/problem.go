package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// faults gathers what is wrong with a request, so that all of it is told at
// once.
type faults []error

// at notes a fault of the field at location, such as body.scopes[1].
func (f *faults) at(location, format string, args ...any) {
	*f = append(*f, &huma.ErrorDetail{Location: location, Message: fmt.Sprintf(format, args...)})
}

// within returns f with the locations of a body that stands at location, in
// place of the whole.
func (f faults) within(location string) faults {
	for _, fault := range f {
		detail := fault.(*huma.ErrorDetail)
		detail.Location = location + strings.TrimPrefix(detail.Location, "body")
	}
	return f
}

// err returns the answer to a request with faults, nil where there is none.
func (f faults) err() error {
	if len(f) == 0 {
		return nil
	}
	return huma.NewError(http.StatusUnprocessableEntity, "validation failed", f...)
}

// problem turns an error into the answer that the caller may see. What is not
// the caller's doing is logged and not explained.
func (h *Handler) problem(ctx context.Context, doing, what string, err error) error {
	var answer huma.StatusError
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.Is(err, sallyport.ErrNotFound):
		return huma.Error404NotFound("no such " + what)
	case errors.Is(err, sallyport.ErrConflict):
		return huma.Error409Conflict("the " + what + " exists already")
	case errors.Is(err, sallyport.ErrFinal):
		return huma.Error409Conflict("the " + what + " is revoked, which is final")
	}
	h.log.ErrorContext(ctx, "admin call failed", "doing", doing, "error", err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return unavailable()
	}
	return huma.Error500InternalServerError("the server could not do this; its log says why")
}

func unavailable() error {
	return huma.ErrorWithHeaders(
		huma.Error503ServiceUnavailable("the store does not answer; please retry"),
		http.Header{"Retry-After": {"1"}})
}

// longestWord is how long a word may be that is repeated to its sender: every
// key that we make is longer.
const longestWord = 38

// quote shows a word that an operator wrote, unless it may be a secret in the
// wrong place.
func quote(s string) string {
	if len(s) > longestWord {
		return fmt.Sprintf("this text of %d characters", len(s))
	}
	return fmt.Sprintf("%q", s)
}

// hideValues takes the values out of problems, for the same reason: huma
// repeats what was sent.
func hideValues(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	shown := *model
	shown.Errors = make([]*huma.ErrorDetail, len(model.Errors))
	for i, detail := range model.Errors {
		if detail != nil {
			shown.Errors[i] = &huma.ErrorDetail{Message: detail.Message, Location: hideWords(detail.Location)}
		}
	}
	return &shown, nil
}

// hideWords does so for a location, which may hold a field's name as sent.
func hideWords(location string) string {
	parts := strings.Split(location, ".")
	for i, part := range parts {
		if len(part) > longestWord {
			parts[i] = "…"
		}
	}
	return strings.Join(parts, ".")
}

// writeProblem answers where no operation does.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// The caller may have gone; there is nobody else to tell.
	json.NewEncoder(w).Encode(&huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: detail})
}
