package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// Faults are what is wrong with a configuration.
type Faults []sallyport.Fault

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, fault := range f {
		lines[i] = fault.String()
	}
	return strings.Join(lines, "\n")
}

func (h *Handler) registerRuntime(api huma.API) {
	if h.reload != nil {
		reload := operation("reload", http.MethodPost, "/admin/v1/reload", "Read the configuration again. One with faults changes nothing")
		reload.Errors = append(reload.Errors, http.StatusUnprocessableEntity)
		huma.Register(api, reload, h.reloadPolicy)
	}
	if h.explain != nil {
		huma.Register(api, operation("explain", http.MethodPost, "/admin/v1/explain", "Say how a request would be decided, and why. It spends no quota"), h.explainRequest)
	}
}

func (h *Handler) reloadPolicy(ctx context.Context, _ *struct{}) (*answer[Reloaded], error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	err := h.reload(ctx)
	var found Faults
	if errors.As(err, &found) {
		lines := make([]error, len(found))
		for i, fault := range found {
			lines[i] = &huma.ErrorDetail{Message: fault.String()}
		}
		return nil, huma.Error422UnprocessableEntity("the configuration has faults; the one before stays in force", lines...)
	}
	if err != nil {
		return nil, h.problem(ctx, "reload", "configuration", err)
	}
	return &answer[Reloaded]{Reloaded{APIs: apiNames(h.policy()), LoadedAt: h.moment()}}, nil
}

func (h *Handler) explainRequest(ctx context.Context, in *struct{ Body ExplainRequest }) (*answer[Explanation], error) {
	if err := checkRequest(in.Body); err != nil {
		return nil, err
	}
	c := callerOf(ctx)
	if c.api != "" {
		if err := h.mayExplain(ctx, in.Body.KeyID); err != nil {
			return nil, err
		}
	}
	e, err := h.explain(ctx, in.Body)
	if err != nil {
		return nil, h.problem(ctx, "explain", "key", err)
	}
	if e.API != "" && c.api != "" && e.API != c.api || e.Tenant != "" && c.tenant != "" && e.Tenant != c.tenant {
		return nil, notExplained()
	}
	if e.Webhook && c.tenant != "" && e.Tenant != c.tenant {
		return nil, notExplained() // a refusal tells whether there is such a sender, whosever it is
	}
	e.Why = why(e)
	return &answer[Explanation]{e}, nil
}

// mayExplain lets a token of one tenant ask about that tenant's keys alone, and
// one of an API about the API's.
func (h *Handler) mayExplain(ctx context.Context, id string) error {
	c := callerOf(ctx)
	if id == "" && c.tenant == "" {
		return nil
	}
	switch _, err := h.key(ctx, id); {
	case errors.Is(err, sallyport.ErrNotFound) && c.tenant != "":
		return notExplained()
	case err != nil:
		return h.problem(ctx, "explain", "key", err)
	}
	return nil
}

func notExplained() error {
	return huma.Error403Forbidden("your admin token explains requests to its own API, and where it is of one tenant only with a key_id of that tenant")
}

var (
	methodForm = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$")
	headerForm = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$")
)

// checkRequest says what is wrong with a request that is to be explained. It
// repeats nothing of it: there are credentials in it.
func checkRequest(in ExplainRequest) error {
	var f faults
	if !methodForm.MatchString(in.Method) {
		f.at("body.method", "is not a method; write one such as GET")
	}
	if u, err := url.Parse(in.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		f.at("body.url", "is not a whole URL; write one such as https://api.example.com/v1/orders")
	}
	for i, line := range in.Headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || !headerForm.MatchString(name) || strings.ContainsAny(value, "\r\n\x00") {
			f.at(fmt.Sprintf("body.headers[%d]", i), "is not a header; write Name: value")
		}
	}
	if _, err := netip.ParseAddr(in.Source); err != nil && in.Source != "" {
		f.at("body.source", "is not an address; write one such as 192.0.2.7")
	}
	return f.err()
}
