package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// serveExchange takes a key and answers with a token that acts as that key.
func (s *Server) serveExchange(ctx context.Context, v *visit.Visit) {
	secret, ok := readKey(v)
	if !ok || !s.mayTry(ctx, v, "") {
		return
	}
	key, err := s.proved(ctx, v, sallyport.KindKey, secret)
	if err != nil {
		s.unavailable(v, err)
		return
	}
	if key != nil {
		if form := v.API.KeyForm(key.Prefix); form == nil || !form.Exchange {
			key = nil // it is good on the API itself, and a token of it would be a second life
		}
	}
	if key == nil {
		s.failed(ctx, v, "")
		v.Refuse(sallyport.KindInvalidCredential, visit.Refusal{})
		return
	}
	if s.take(ctx, v, key) {
		s.issue(ctx, v, s.claims(v, parent{credential: key}), issued{})
	}
}

// readKey reads the key that the body of v holds, or answers and returns false. It
// is read as JSON whatever it is declared as.
func readKey(v *visit.Visit) (secret string, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, maxBody))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		v.Refuse(sallyport.KindTooLarge, visit.Refusal{})
		return "", false
	}
	var fields map[string]json.RawMessage
	field := v.Operation.Field
	switch {
	case err != nil, json.Unmarshal(body, &fields) != nil:
		v.Refuse(sallyport.KindBadRequest, visit.Refusal{Message: "The body is not a JSON object."})
	case fields[field] == nil:
		v.Refuse(sallyport.KindBadRequest, visit.Refusal{Message: field + " is missing."})
	case json.Unmarshal(fields[field], &secret) != nil || secret == "" || len(secret) > maxValue:
		v.Refuse(sallyport.KindBadRequest, visit.Refusal{Message: field + " is not the text of a key."})
	default:
		return secret, true
	}
	return "", false
}
