package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

// KeyStore keeps keys. Errors wrap sallyport.ErrNotFound, ErrConflict or
// ErrFinal where they apply; api and tenant "" are any.
type KeyStore interface {
	// CreateCredential keeps c, of an existing tenant, and the digest of its
	// secret, made under the pepper of that version.
	CreateCredential(ctx context.Context, c sallyport.Credential, secret sallyport.Digest, pepper int) error
	Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error)
	// Credentials lists the newest first.
	Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error)
	// UpdateCredential returns change's error as it is, and then changes
	// nothing.
	UpdateCredential(ctx context.Context, api, tenant, id string, change func(*sallyport.Credential) error) (*sallyport.Credential, error)
}

func (h *Handler) registerKeys(api huma.API) {
	create := operation("create-key", http.MethodPost, "/admin/v1/keys", "Create a key; the answer shows it, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createKey)
	huma.Register(api, operation("list-keys", http.MethodGet, "/admin/v1/keys", "List keys, the newest first"), h.listKeys)
	huma.Register(api, operation("show-key", http.MethodGet, "/admin/v1/keys/{id}", "Show a key, masked"), h.showKey)
	huma.Register(api, operation("change-key", http.MethodPatch, "/admin/v1/keys/{id}", "Change a key's name, scopes, expiry, networks or state"), h.changeKey)
	revoke := operation("revoke-key", http.MethodPost, "/admin/v1/keys/{id}/revoke", "Revoke a key, for good")
	revoke.DefaultStatus = http.StatusOK
	huma.Register(api, revoke, h.revokeKey)
}

func (h *Handler) createKey(ctx context.Context, in *struct{ Body NewKey }) (*answer[CreatedKey], error) {
	c, err := newCredential(h.policy(), in.Body, h.moment())
	if err != nil {
		return nil, err
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	if c.Tenant, err = h.tenantOf(ctx, in.Body); err != nil {
		return nil, err
	}
	secret, err := apikey.Generate(c.Prefix)
	if err == nil {
		c.ID, err = newID("key_")
	}
	if err != nil {
		return nil, h.problem(ctx, "generate key", "key", err)
	}
	c.Principal, c.Last4 = c.ID, secret.Last4()
	digest := h.hasher.Digest(secret.Reveal())
	if err := h.store.CreateCredential(ctx, c, digest, h.hasher.Version()); err != nil {
		return nil, h.problem(ctx, "create key", "key", err)
	}
	h.changed.Known(digest)
	h.log.InfoContext(ctx, "key created", "api", c.API, "tenant", c.Tenant.ID, "key_id", c.ID)
	return &answer[CreatedKey]{CreatedKey{Shown(secret.Reveal()), showKey(&c)}}, nil
}

// tenantOf returns the tenant that a new key is for.
func (h *Handler) tenantOf(ctx context.Context, in NewKey) (*sallyport.Tenant, error) {
	t, err := h.store.Tenant(ctx, in.API, in.Tenant)
	if errors.Is(err, sallyport.ErrNotFound) {
		var f faults
		f.at("body.tenant", "%s has no such tenant; create it first", in.API)
		return nil, f.err()
	}
	if err != nil {
		return nil, h.problem(ctx, "find tenant", "tenant", err)
	}
	return t, nil
}

func (h *Handler) listKeys(ctx context.Context, in *struct {
	API    string `query:"api"`
	Tenant string `query:"tenant"`
	State  string `query:"state" enum:"active,disabled,revoked"`
	After  string `query:"after" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[KeyList], error) {
	state, _ := sallyport.ParseState(in.State) // "" is any, and the schema lets nothing else pass
	found, err := h.store.Credentials(ctx, sallyport.CredentialFilter{
		API: in.API, Tenant: in.Tenant, State: state, After: in.After,
		Limit: in.Limit + 1, // one more tells whether there is a next page
	})
	if errors.Is(err, sallyport.ErrNotFound) {
		return nil, errAfter()
	}
	if err != nil {
		return nil, h.problem(ctx, "list keys", "key", err)
	}
	page := KeyList{Keys: []Key{}}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.Next = found[in.Limit-1].ID
	}
	for _, c := range found {
		page.Keys = append(page.Keys, showKey(c))
	}
	return &answer[KeyList]{page}, nil
}

func (h *Handler) showKey(ctx context.Context, in *struct {
	ID string `path:"id"`
}) (*answer[Key], error) {
	c, err := h.store.Credential(ctx, "", "", in.ID)
	if err != nil {
		return nil, h.problem(ctx, "show key", "key", err)
	}
	return &answer[Key]{showKey(c)}, nil
}

func (h *Handler) changeKey(ctx context.Context, in *struct {
	ID   string `path:"id"`
	Body KeyChange
}) (*answer[Key], error) {
	policy, now := h.policy(), h.moment()
	return h.update(ctx, in.ID, "change key", func(c *sallyport.Credential) error {
		return changeCredential(policy, c, in.Body, now)
	})
}

func (h *Handler) revokeKey(ctx context.Context, in *struct {
	ID string `path:"id"`
}) (*answer[Key], error) {
	return h.update(ctx, in.ID, "revoke key", func(c *sallyport.Credential) error {
		c.State = sallyport.Revoked
		return nil
	})
}

// update changes a key. The caches are told before the answer, and also where
// the store failed: it may have changed the key all the same.
func (h *Handler) update(ctx context.Context, id, doing string, change func(*sallyport.Credential) error) (*answer[Key], error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	c, err := h.store.UpdateCredential(ctx, "", "", id, change)
	h.changed.ForgetCredential(id)
	if err != nil {
		return nil, h.problem(ctx, doing, "key", err)
	}
	h.log.InfoContext(ctx, "key changed", "doing", doing, "key_id", c.ID, "state", c.State.String())
	return &answer[Key]{showKey(c)}, nil
}

// moment is now, in the whole seconds that are kept and shown.
func (h *Handler) moment() time.Time { return h.now().UTC().Truncate(time.Second) }

func showKey(c *sallyport.Credential) Key {
	k := Key{
		KeyID: c.ID, API: c.API, Name: c.Name,
		Scopes: append([]string{}, c.Scopes...), Environment: c.Environment,
		Prefix: c.Prefix, Last4: c.Last4, Masked: apikey.Mask(c.Prefix, c.Last4),
		State: c.State.String(), CreatedAt: c.CreatedAt, AllowedIPs: []string{},
	}
	if c.Tenant != nil {
		k.Tenant = c.Tenant.ID
	}
	if !c.ExpiresAt.IsZero() {
		k.ExpiresAt = &c.ExpiresAt
	}
	for _, p := range c.AllowedIPs {
		k.AllowedIPs = append(k.AllowedIPs, formatNetwork(p))
	}
	return k
}
