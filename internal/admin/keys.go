package admin

import (
	"cmp"
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
	// CreateCredential keeps a credential of an existing tenant.
	CreateCredential(ctx context.Context, c sallyport.NewCredential) error
	// ImportCredentials keeps all or none. Its error may wrap a
	// sallyport.AtIndex.
	ImportCredentials(ctx context.Context, list []sallyport.NewCredential) ([]sallyport.Imported, error)
	Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error)
	ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error)
	// Credentials lists the newest first.
	Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error)
	// UpdateCredential returns change's error as it is, and then changes
	// nothing. With uniqueName, a name that another one of the tenant has is
	// sallyport.ErrConflict.
	UpdateCredential(ctx context.Context, api, tenant, id string, uniqueName bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error)
	// Peppers counts secrets by the version of the pepper that they are kept
	// under.
	Peppers(ctx context.Context) (map[int]int, error)
	// RollCredential is UpdateCredential with a new secret.
	RollCredential(ctx context.Context, api, tenant, id string, roll func(*sallyport.Credential) (sallyport.Roll, error)) (*sallyport.Credential, error)
}

func (h *Handler) registerKeys(api huma.API) {
	create := operation("create-key", http.MethodPost, "/admin/v1/keys", "Create a key; the answer shows it, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createKey)
	huma.Register(api, operation("import-keys", http.MethodPost, "/admin/v1/keys/import",
		"Import keys that exist elsewhere, all or none. One that is there already stays as it is"), h.importKeys)
	huma.Register(api, operation("list-keys", http.MethodGet, "/admin/v1/keys", "List keys, and all else that has secrets, the newest first"), h.listKeys)
	huma.Register(api, operation("show-key", http.MethodGet, "/admin/v1/keys/{id}", "Show a key, masked"), h.showKey)
	huma.Register(api, operation("change-key", http.MethodPatch, "/admin/v1/keys/{id}", "Change a key's name, scopes, roles, expiry, networks, plan, overrides, attributes or state"), h.changeKey)
	huma.Register(api, operation("revoke-key", http.MethodPost, "/admin/v1/keys/{id}/revoke", "Revoke a key, for good"), h.revokeKey)
	huma.Register(api, operation("roll-key", http.MethodPost, "/admin/v1/keys/{id}/roll",
		"Give a key a new secret; the answer shows it, once. Those before stay good for a while"), h.rollKey)
}

func (h *Handler) createKey(ctx context.Context, in *struct{ Body NewKey }) (*tagged[CreatedKey], error) {
	policy := h.policyFor(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	who, err := h.owner(ctx, policy, in.Body)
	if err != nil {
		return nil, err
	}
	by, api := callerOf(ctx), policy.API(in.Body.API)
	if by.credential != nil {
		in.Body.Attributes = by.handsOn(api)
	}
	if err := mayMakeKey(by, "body", api, in.Body, who); err != nil {
		return nil, err
	}
	n, err := newKey(policy, in.Body, who, h.moment())
	if err != nil {
		return nil, err
	}
	secret, err := apikey.Generate(n.Prefix)
	if err != nil {
		return nil, h.problem(ctx, "generate key", "key", err)
	}
	id, err := newID("key_")
	if err != nil {
		return nil, h.problem(ctx, "generate key", "key", err)
	}
	identify(&n.Credential, id)
	n.Last4 = secret.Last4()
	n.Digest, n.Pepper = h.hasher.Digest(secret.Reveal()), h.hasher.Version()
	if err := h.store.CreateCredential(ctx, n); err != nil {
		return nil, h.problem(ctx, "create key", "key", labelTaken(err, n.UniqueName, n.Name))
	}
	h.changed.Known(n.Digest)
	h.log.InfoContext(ctx, "key created", "api", n.API, "tenant", n.Tenant.ID, "key_id", id)
	shown := showKey(&n.Credential, h.now())
	return &tagged[CreatedKey]{tag(shown), CreatedKey{Shown(secret.Reveal()), shown}}, nil
}

// newKey returns the key that in asks for, without id and secret.
func newKey(p *sallyport.Policy, in NewKey, who owner, now time.Time) (n sallyport.NewCredential, err error) {
	var f faults
	api := checkAPI(&f, p, in.API)
	if api == nil {
		return n, f.err()
	}
	form := chooseForm(&f, api, in.Prefix, in.Environment)
	if form == nil {
		return n, f.err()
	}
	n.Credential, n.UniqueName = newCredential(&f, api, form, in, who, now), form.UniqueLabel
	return n, f.err()
}

// owner finds whom a new key is for. What the caller's token does not reach is
// not there.
func (h *Handler) owner(ctx context.Context, p *sallyport.Policy, in NewKey) (o owner, err error) {
	if o.tenant, err = h.tenantFor(ctx, p, in.API, in.Tenant); err != nil || o.tenant == nil || in.User == "" {
		return o, err
	}
	o.user, err = h.store.User(ctx, in.API, in.Tenant, in.User)
	if errors.Is(err, sallyport.ErrNotFound) {
		return o, nil
	}
	if err != nil {
		return o, h.problem(ctx, "find user", "user", err)
	}
	return o, nil
}

// labelTaken makes a conflict of labels that must be unique the answer that
// names the label. Ids are random and do not conflict.
func labelTaken(err error, unique bool, label string) error {
	if !unique || !errors.Is(err, sallyport.ErrConflict) {
		return err
	}
	var f faults
	f.at("body.name", "%s is the label of another key of the tenant", quote(label))
	return huma.Error409Conflict("the label is taken", f...)
}

func (h *Handler) listKeys(ctx context.Context, in *struct {
	API    string `query:"api"`
	Tenant string `query:"tenant"`
	User   string `query:"user"`
	Kind   string `query:"kind" enum:"key,pat,client,grant" doc:"Empty: all of them"`
	Name   string `query:"name" doc:"The whole name"`
	State  string `query:"state" enum:"active,disabled,revoked"`
	After  string `query:"after" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[KeyList], error) {
	c := callerOf(ctx)
	page := KeyList{Keys: []Key{}}
	in.API, in.Tenant = cmp.Or(in.API, c.api), cmp.Or(in.Tenant, c.tenant)
	if !c.covers(in.API, in.Tenant) {
		return &answer[KeyList]{page}, nil
	}
	state, _ := sallyport.ParseState(in.State) // "" is any, and the schema lets nothing else pass
	found, err := h.store.Credentials(ctx, sallyport.CredentialFilter{
		API: in.API, Tenant: in.Tenant, User: in.User, Kind: in.Kind, Name: in.Name, State: state, After: in.After,
		Limit: in.Limit + 1, // one more tells whether there is a next page
	})
	if errors.Is(err, sallyport.ErrNotFound) {
		return nil, errAfter()
	}
	if err != nil {
		return nil, h.problem(ctx, "list keys", "key", err)
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.Next = found[in.Limit-1].ID
	}
	now := h.now()
	for _, c := range found {
		page.Keys = append(page.Keys, showKey(c, now))
	}
	return &answer[KeyList]{page}, nil
}

func (h *Handler) showKey(ctx context.Context, in *struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}) (*tagged[Key], error) {
	c, err := h.key(ctx, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "show key", "key", err)
	}
	return show(in.IfNoneMatch, showKey(c, h.now()))
}

// key returns a key that the caller's token reaches.
func (h *Handler) key(ctx context.Context, id string) (*sallyport.Credential, error) {
	c := callerOf(ctx)
	return h.store.Credential(ctx, c.api, c.tenant, id)
}

func (h *Handler) changeKey(ctx context.Context, in *struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    KeyChange
}) (*tagged[Key], error) {
	by, policy, now := callerOf(ctx), h.policyFor(ctx), h.moment()
	if err := mayChangeKey(by, in.Body); err != nil {
		return nil, err
	}
	unique := false
	if in.Body.Name.Sent { // a key's form, which says so, does not change
		c, err := h.key(ctx, in.ID)
		if err != nil {
			return nil, h.problem(ctx, "change key", "key", err)
		}
		unique = uniqueLabel(policy, c)
	}
	return h.updateKey(ctx, keyUpdate{"change key", in.ID, in.IfMatch, unique, func(c *sallyport.Credential) error {
		before := c.Attributes
		if err := changeCredential(policy, c, in.Body, now); err != nil {
			return err
		}
		return keepsCounted(by, "body", policy.API(c.API), before, c.Attributes)
	}})
}

// uniqueLabel reports whether no other key may have the label of c.
func uniqueLabel(p *sallyport.Policy, c *sallyport.Credential) bool {
	api := p.API(c.API)
	if api == nil {
		return false
	}
	form := api.KeyForm(c.Prefix)
	return form != nil && form.UniqueLabel
}

func (h *Handler) revokeKey(ctx context.Context, in *struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
}) (*tagged[Key], error) {
	return h.updateKey(ctx, keyUpdate{"revoke key", in.ID, in.IfMatch, false, func(c *sallyport.Credential) error {
		c.State = sallyport.Revoked
		return nil
	}})
}

// keyUpdate is a change of one key.
type keyUpdate struct {
	doing, id, ifMatch string
	unique             bool // no other key may have its label
	change             func(*sallyport.Credential) error
}

// updateKey changes a key. The caches are told before the answer, and also
// where the store failed: it may have changed the key all the same.
func (h *Handler) updateKey(ctx context.Context, u keyUpdate) (*tagged[Key], error) {
	by := callerOf(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	var label string
	c, err := h.store.UpdateCredential(ctx, by.api, by.tenant, u.id, u.unique, func(c *sallyport.Credential) error {
		if err := ifMatch(u.ifMatch, showKey(c, h.now())); err != nil {
			return err
		}
		err := u.change(c)
		label = c.Name
		return err
	})
	h.changed.ForgetCredential(u.id)
	if err != nil {
		return nil, h.problem(ctx, u.doing, "key", labelTaken(err, u.unique, label))
	}
	h.log.InfoContext(ctx, "key changed", "doing", u.doing, "key_id", c.ID, "state", c.State.String())
	return show("", showKey(c, h.now()))
}

// moment is now, in the whole seconds that are kept and shown.
func (h *Handler) moment() time.Time { return h.now().UTC().Truncate(time.Second) }

// showKey is c as it is shown at now.
func showKey(c *sallyport.Credential, now time.Time) Key {
	k := Key{
		KeyID: c.ID, API: c.API, Kind: c.Kind, Principal: c.Principal, Name: c.Name,
		Scopes: append([]string{}, c.Scopes...), Roles: append([]string{}, c.Roles...), Environment: c.Environment,
		Prefix: c.Prefix, Last4: c.Last4, Masked: apikey.Mask(c.Prefix, c.Last4),
		State: c.State.String(), Cause: c.Cause, CreatedAt: c.CreatedAt, Expired: c.Expired(now),
		AllowedIPs: []string{}, Plan: c.Plan, Overrides: showOverrides(c.Overrides), Attributes: showAttributes(c.Attributes),
	}
	if c.Tenant != nil {
		k.Tenant = c.Tenant.ID
	}
	if c.User != nil {
		k.User = c.User.ID
	}
	if !c.ExpiresAt.IsZero() {
		k.ExpiresAt = &c.ExpiresAt
	}
	for _, p := range c.AllowedIPs {
		k.AllowedIPs = append(k.AllowedIPs, formatNetwork(p))
	}
	return k
}
