package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

func (h *Handler) registerStatus(api huma.API) {
	huma.Register(api, operation("status", http.MethodGet, "/admin/v1/status", "Say what is running"), h.status)
}

func (h *Handler) status(ctx context.Context, _ *struct{}) (*answer[Status], error) {
	policy := h.policyFor(ctx)
	s := Status{
		Version: h.version, StartedAt: h.started, UptimeSeconds: int64(h.now().Sub(h.started) / time.Second),
		Chain: policy.Chain.String(), APIs: []APIStatus{},
	}
	for _, a := range policy.APIs {
		s.APIs = append(s.APIs, apiStatus(a))
	}
	if callerOf(ctx).api == "" {
		var err error
		if s.Peppers, err = h.store.Peppers(ctx); err != nil {
			return nil, h.problem(ctx, "count secrets", "secret", err)
		}
	}
	return &answer[Status]{s}, nil
}

func apiStatus(a *sallyport.API) APIStatus {
	s := APIStatus{
		Name: a.Name, Hosts: append([]string{}, a.Hosts...), Plans: append([]string{}, a.Plans...),
		Scopes: []string{}, Prefixes: []string{},
		Operations: len(a.Operations), Limits: len(a.Limits),
	}
	for _, scope := range a.Scopes {
		s.Scopes = append(s.Scopes, scope.Name)
	}
	for _, form := range a.Keys {
		s.Prefixes = append(s.Prefixes, form.Prefix)
	}
	return s
}
