package admin

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

func (h *Handler) registerTokens(api huma.API) {
	create := operation("create-token", http.MethodPost, "/admin/v1/tokens", "Create an admin token; the answer shows it, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createToken)
	huma.Register(api, operation("list-tokens", http.MethodGet, "/admin/v1/tokens", "List admin tokens"), h.listTokens)
	huma.Register(api, operation("revoke-token", http.MethodPost, "/admin/v1/tokens/{id}/revoke", "Revoke an admin token, for good"), h.revokeToken)
}

func (h *Handler) createToken(ctx context.Context, in *struct{ Body NewToken }) (*answer[CreatedToken], error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	t, err := h.newToken(ctx, in.Body)
	if err != nil {
		return nil, err
	}
	secret, err := apikey.Generate(TokenPrefix)
	if err == nil {
		t.ID, err = newID("adm_")
	}
	if err == nil {
		err = h.store.CreateAdminToken(ctx, t, h.hasher.Digest(secret.Reveal()))
	}
	if err != nil {
		return nil, h.problem(ctx, "create admin token", "token", err)
	}
	h.log.InfoContext(ctx, "admin token created", "id", t.ID, "role", t.Role, "api", t.API, "tenant", t.Tenant)
	return &answer[CreatedToken]{CreatedToken{Shown(secret.Reveal()), showToken(&t, h.now())}}, nil
}

// newToken returns the token that in asks for: one that reaches no further, and
// lives no longer, than the caller's own.
func (h *Handler) newToken(ctx context.Context, in NewToken) (t sallyport.AdminToken, err error) {
	var f faults
	c, p, now := callerOf(ctx), h.policyFor(ctx), h.moment()
	checkText(&f, "body.name", in.Name)
	end, err := parseExpiry(in.ExpiresAt, now)
	switch {
	case err != nil:
		f.at("body.expires_at", "%v", err)
	case !c.end.IsZero() && (end.at.IsZero() || end.at.After(c.end)):
		f.at("body.expires_at", "is later than the end of your own token, %s", c.end.Format(time.RFC3339))
	}
	switch {
	case in.API == "" && (c.api != "" || in.Tenant != ""):
		f.at("body.api", "is required here; %s", list(apiNames(p)))
	case in.API != "" && checkAPI(&f, p, in.API) != nil:
		if err := h.checkTokenTenant(ctx, &f, p, in); err != nil {
			return t, err
		}
	}
	return sallyport.AdminToken{
		Name: in.Name, Role: in.Role, API: in.API, Tenant: in.Tenant,
		State: sallyport.Active, CreatedAt: now, ExpiresAt: end.at,
	}, f.err()
}

func (h *Handler) checkTokenTenant(ctx context.Context, f *faults, p *sallyport.Policy, in NewToken) error {
	if in.Tenant == "" {
		if callerOf(ctx).tenant != "" {
			f.at("body.tenant", "is required: your own token is of one tenant")
		}
		return nil
	}
	t, err := h.tenantFor(ctx, p, in.API, in.Tenant)
	if err == nil {
		checkTenant(f, p.API(in.API), t)
	}
	return err
}

func (h *Handler) listTokens(ctx context.Context, _ *struct{}) (*answer[TokenList], error) {
	found, err := h.tokens(ctx)
	if err != nil {
		return nil, h.problem(ctx, "list admin tokens", "token", err)
	}
	all := TokenList{Tokens: []Token{}}
	now := h.now()
	for _, t := range found {
		all.Tokens = append(all.Tokens, showToken(t, now))
	}
	return &answer[TokenList]{all}, nil
}

// tokens returns those that the caller's own reaches.
func (h *Handler) tokens(ctx context.Context) ([]*sallyport.AdminToken, error) {
	all, err := h.store.AdminTokens(ctx)
	c := callerOf(ctx)
	return slices.DeleteFunc(all, func(t *sallyport.AdminToken) bool { return !c.covers(t.API, t.Tenant) }), err
}

func (h *Handler) revokeToken(ctx context.Context, in *struct {
	ID string `path:"id"`
}) (*answer[Token], error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	found, err := h.tokens(ctx)
	at := slices.IndexFunc(found, func(t *sallyport.AdminToken) bool { return t.ID == in.ID })
	switch {
	case err == nil && at < 0:
		err = errElsewhere
	case err == nil:
		err = h.store.RevokeAdminToken(ctx, in.ID)
	}
	if err != nil {
		return nil, h.problem(ctx, "revoke admin token", "token", err)
	}
	h.log.InfoContext(ctx, "admin token revoked", "id", in.ID)
	found[at].State = sallyport.Revoked
	return &answer[Token]{showToken(found[at], h.now())}, nil
}

func showToken(t *sallyport.AdminToken, now time.Time) Token {
	shown := Token{
		ID: t.ID, Name: t.Name, Role: t.Role, API: t.API, Tenant: t.Tenant, State: t.State.String(),
		CreatedAt: t.CreatedAt, Expired: ended(t, now),
	}
	if !t.ExpiresAt.IsZero() {
		shown.ExpiresAt = &t.ExpiresAt
	}
	return shown
}
