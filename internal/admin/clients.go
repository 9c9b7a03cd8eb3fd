package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

func (h *Handler) registerClients(api huma.API) {
	create := operation("create-client", http.MethodPost, "/admin/v1/clients", "Register an OAuth client; the answer shows its secret, once")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createClient)
	huma.Register(api, operation("list-clients", http.MethodGet, "/admin/v1/clients", "List clients, the newest first"), h.listClients)
	huma.Register(api, operation("show-client", http.MethodGet, "/admin/v1/clients/{id}", "Show a client, masked"), h.showClient)
	huma.Register(api, operation("change-client", http.MethodPatch, "/admin/v1/clients/{id}",
		"Change a client. To disable it, or to change its roles, ends its tokens"), h.changeClient)
	huma.Register(api, operation("revoke-client", http.MethodPost, "/admin/v1/clients/{id}/revoke", "Revoke a client, all that users granted it and its tokens, for good"), h.revokeClient)
	huma.Register(api, operation("roll-client", http.MethodPost, "/admin/v1/clients/{id}/roll",
		"Give a client a new secret; the answer shows it, once. Its tokens end; the secret before stays good for a while"), h.rollClient)
}

func (h *Handler) createClient(ctx context.Context, in *struct{ Body NewOAuthClient }) (*tagged[CreatedClient], error) {
	policy := h.policyFor(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	key := in.Body.asKey()
	who, err := h.owner(ctx, policy, key)
	if err != nil {
		return nil, err
	}
	if err := mayMakeKey(callerOf(ctx), "body", policy.API(key.API), key, who); err != nil {
		return nil, err
	}
	n, err := newClient(policy, in.Body, who, h)
	if err != nil {
		return nil, err
	}
	id, err := newID("client_")
	if err != nil {
		return nil, h.problem(ctx, "generate client", "client", err)
	}
	identify(&n.Credential, id)
	var secret apikey.Secret
	if !n.Client.Public {
		if secret, err = apikey.Generate(n.Prefix); err != nil {
			return nil, h.problem(ctx, "generate client", "client", err)
		}
		n.Last4 = secret.Last4()
		n.Digest, n.Pepper = h.hasher.Digest(secret.Reveal()), h.hasher.Version()
	}
	if err := h.store.CreateCredential(ctx, n); err != nil {
		return nil, h.problem(ctx, "create client", "client", labelTaken(err, n.UniqueName, n.Name))
	}
	if !n.Client.Public {
		h.changed.Known(n.Digest)
	}
	h.log.InfoContext(ctx, "client created", "api", n.API, "tenant", n.Tenant.ID, "client_id", id)
	shown := showClient(&n.Credential, h)
	return &tagged[CreatedClient]{tag(shown), CreatedClient{Shown(secret.Reveal()), shown}}, nil
}

// asKey is what of a new client a new key would say.
func (in *NewOAuthClient) asKey() NewKey {
	return NewKey{
		API: in.API, Tenant: in.Tenant, User: in.User, Name: in.Name, Scopes: in.Scopes, Roles: in.Roles,
		ExpiresAt: in.ExpiresAt, AllowedIPs: in.AllowedIPs,
	}
}

// newClient returns the client that in asks for, without id and secret.
func newClient(p *sallyport.Policy, in NewOAuthClient, who owner, h *Handler) (n sallyport.NewCredential, err error) {
	var f faults
	api := checkAPI(&f, p, in.API)
	if api == nil {
		return n, f.err()
	}
	form := clientForm(api)
	if form == nil {
		f.at("body.api", "%s has no clients in the configuration", quote(api.Name))
		return n, f.err()
	}
	n.Credential, n.UniqueName = newCredential(&f, api, form, in.asKey(), who, h.moment()), form.UniqueLabel
	n.Client = &sallyport.Client{Public: in.Public, Redirects: checkRedirects(&f, in.RedirectURIs)}
	n.Client.Grants = checkGrants(&f, api, n.Client, in.Grants)
	checkClientPlan(&f, api, who.tenant)
	return n, f.err()
}

// clientForm returns the form of api's clients; nil: it has none.
func clientForm(api *sallyport.API) *sallyport.KeyForm {
	for i := range api.Keys {
		if api.Keys[i].Kind == sallyport.KindClient {
			return &api.Keys[i]
		}
	}
	return nil
}

// checkClientPlan holds that a tenant may have clients, if only some plans may.
func checkClientPlan(f *faults, api *sallyport.API, t *sallyport.Tenant) {
	for _, op := range api.Operations {
		if t != nil && op.Serve == sallyport.ServeToken && len(op.Plans) > 0 && !slices.Contains(op.Plans, t.Plan) {
			f.at("body.tenant", "is on plan %s, whose tenants have no clients; those on %s may", quote(t.Plan), strings.Join(op.Plans, ", "))
			return
		}
	}
}

// checkGrants returns the grant types of a client: those asked for, or those that
// the API serves and it can use.
func checkGrants(f *faults, api *sallyport.API, c *sallyport.Client, asked []string) []string {
	var served []string
	for _, op := range api.Operations {
		if op.Serve == sallyport.ServeToken {
			served = append(served, op.Grants...)
		}
	}
	served = unique(served)
	if asked == nil {
		return slices.DeleteFunc(served, func(grant string) bool { return !canUse(c, grant) })
	}
	for i, grant := range asked {
		at := fmt.Sprintf("body.grants[%d]", i)
		switch {
		case !slices.Contains(served, grant):
			f.at(at, "%s is not a grant type of %s; %s", quote(grant), api.Name, list(served))
		case !canUse(c, grant) && grant == sallyport.GrantClientCredentials:
			f.at(at, "needs a secret, and a public client has none")
		case !canUse(c, grant):
			f.at(at, "needs a place to send users back to; give redirect_uris")
		}
	}
	return unique(slices.Clone(asked))
}

// canUse reports whether a client such as c can use grant at all.
func canUse(c *sallyport.Client, grant string) bool {
	if grant == sallyport.GrantClientCredentials {
		return !c.Public
	}
	return len(c.Redirects) > 0
}

const maxRedirect = 2000

// checkRedirects returns where users may be sent back to.
func checkRedirects(f *faults, uris []string) []string {
	for i, uri := range uris {
		if problem := redirectProblem(uri); problem != "" {
			f.at(fmt.Sprintf("body.redirect_uris[%d]", i), "%s", problem)
		}
	}
	return unique(slices.Clone(uris))
}

// redirectProblem says why uri is no redirection endpoint: RFC 6749 §3.1.2, and for
// programs on a user's own machine RFC 8252 §7.
func redirectProblem(uri string) string {
	const form = "write one such as https://app.example.com/callback"
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs() || len(uri) > maxRedirect || strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }):
		return "is not an absolute URI; " + form
	case strings.Contains(uri, "#"):
		return "has a fragment; " + form
	case u.User != nil:
		return "holds a user name; " + form
	case strings.Contains(uri, "*"):
		return "holds a wildcard: it is compared character by character; " + form
	case u.Scheme == "https" && u.Hostname() != "":
		return ""
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		return ""
	case u.Scheme == "http":
		return "is http, which is for programs on the user's own machine (127.0.0.1, [::1], localhost); write https"
	case strings.Contains(u.Scheme, ".") && u.Host == "": // com.example.app:/callback
		return ""
	}
	return "has a scheme that is neither https nor an app's own, such as com.example.app:/callback"
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (h *Handler) listClients(ctx context.Context, in *struct {
	API    string `query:"api"`
	Tenant string `query:"tenant"`
	State  string `query:"state" enum:"active,disabled,revoked"`
	After  string `query:"after" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[OAuthClientList], error) {
	c := callerOf(ctx)
	page := OAuthClientList{Clients: []OAuthClient{}}
	in.API, in.Tenant = cmp.Or(in.API, c.api), cmp.Or(in.Tenant, c.tenant)
	if !c.covers(in.API, in.Tenant) {
		return &answer[OAuthClientList]{page}, nil
	}
	state, _ := sallyport.ParseState(in.State) // "" is any, and the schema lets nothing else pass
	found, err := h.store.Credentials(ctx, sallyport.CredentialFilter{
		API: in.API, Tenant: in.Tenant, Kind: sallyport.KindClient, State: state, After: in.After,
		Limit: in.Limit + 1, // one more tells whether there is a next page
	})
	if errors.Is(err, sallyport.ErrNotFound) {
		return nil, errAfter()
	}
	if err != nil {
		return nil, h.problem(ctx, "list clients", "client", err)
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.Next = found[in.Limit-1].ID
	}
	for _, c := range found {
		page.Clients = append(page.Clients, showClient(c, h))
	}
	return &answer[OAuthClientList]{page}, nil
}

// client returns a client that the caller's token reaches.
func (h *Handler) client(ctx context.Context, id string) (*sallyport.Credential, error) {
	c, err := h.key(ctx, id)
	if err == nil && c.Kind != sallyport.KindClient {
		return nil, errElsewhere
	}
	return c, err
}

func (h *Handler) showClient(ctx context.Context, in *struct {
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}) (*tagged[OAuthClient], error) {
	c, err := h.client(ctx, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "show client", "client", err)
	}
	return show(in.IfNoneMatch, showClient(c, h))
}

func (h *Handler) changeClient(ctx context.Context, in *struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    OAuthClientChange
}) (*tagged[OAuthClient], error) {
	policy, now := h.policyFor(ctx), h.moment()
	return h.updateClient(ctx, "change client", in.ID, in.IfMatch, func(c *sallyport.Credential) error {
		err := changeCredential(policy, c, KeyChange{
			Name: in.Body.Name, Scopes: in.Body.Scopes, Roles: in.Body.Roles, ExpiresAt: in.Body.ExpiresAt,
			AllowedIPs: in.Body.AllowedIPs, State: in.Body.State,
		}, now)
		if err != nil || !in.Body.Grants.Sent && !in.Body.RedirectURIs.Sent {
			return err
		}
		var f faults
		changed := *c.Client
		if in.Body.RedirectURIs.Sent {
			changed.Redirects = checkRedirects(&f, value(in.Body.RedirectURIs))
		}
		if in.Body.Grants.Sent {
			if api := checkAPI(&f, policy, c.API); api != nil {
				changed.Grants = checkGrants(&f, api, &changed, append([]string{}, value(in.Body.Grants)...))
			}
		}
		c.Client = &changed
		return f.err()
	})
}

func (h *Handler) revokeClient(ctx context.Context, in *struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
}) (*tagged[OAuthClient], error) {
	return h.updateClient(ctx, "revoke client", in.ID, in.IfMatch, func(c *sallyport.Credential) error {
		c.State = sallyport.Revoked
		return nil
	})
}

// updateClient changes a client as updateKey does a key.
func (h *Handler) updateClient(ctx context.Context, doing, id, match string, change func(*sallyport.Credential) error) (*tagged[OAuthClient], error) {
	if _, err := h.client(ctx, id); err != nil { // a credential never becomes a client
		return nil, h.problem(ctx, doing, "client", err)
	}
	by := callerOf(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	c, err := h.store.UpdateCredential(ctx, by.api, by.tenant, id, false, func(c *sallyport.Credential) error {
		if err := ifMatch(match, showClient(c, h)); err != nil {
			return err
		}
		return change(c)
	})
	h.changed.ForgetCredential(id)
	if err != nil {
		return nil, h.problem(ctx, doing, "client", err)
	}
	h.log.InfoContext(ctx, "client changed", "doing", doing, "client_id", c.ID, "state", c.State.String())
	return show("", showClient(c, h))
}

func (h *Handler) rollClient(ctx context.Context, in *struct {
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    *RollKey
}) (*tagged[RolledClient], error) {
	before, err := h.client(ctx, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "roll client", "client", err)
	}
	if before.Client.Public {
		return nil, huma.Error409Conflict("the client is public: it has no secret")
	}
	if err := ifMatch(in.IfMatch, showClient(before, h)); err != nil {
		return nil, err
	}
	rolled, err := h.roll(ctx, "client", in.ID, "", in.Body)
	if err != nil {
		return nil, err
	}
	shown := showClient(rolled.credential, h)
	return &tagged[RolledClient]{tag(shown), RolledClient{Shown(rolled.secret.Reveal()), rolled.oldEnd, shown}}, nil
}

// showClient is c as it is shown now.
func showClient(c *sallyport.Credential, h *Handler) OAuthClient {
	k := showKey(c, h.now())
	shown := OAuthClient{
		ClientID: k.KeyID, API: k.API, Tenant: k.Tenant, User: k.User, Name: k.Name, Scopes: k.Scopes, Roles: k.Roles,
		Prefix: k.Prefix, Last4: k.Last4, Masked: k.Masked, State: k.State, Cause: c.Cause, CreatedAt: k.CreatedAt,
		ExpiresAt: k.ExpiresAt, Expired: k.Expired, AllowedIPs: k.AllowedIPs, Grants: []string{}, RedirectURIs: []string{},
	}
	if c.Client != nil {
		shown.Public = c.Client.Public
		shown.Grants = append(shown.Grants, c.Client.Grants...)
		shown.RedirectURIs = append(shown.RedirectURIs, c.Client.Redirects...)
		if shown.Public {
			shown.Masked = ""
		}
	}
	return shown
}
