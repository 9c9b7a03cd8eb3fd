package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/admin"
)

func newOAuthClient(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("client", "OAuth clients of tenants: create, list, show, update, roll, disable, enable, revoke",
		r.clientCreate(), r.clientList(), r.clientShow(), r.clientUpdate(), r.clientRoll(),
		r.clientState("disable", "Refuse a client until it is enabled, and end its tokens", "disabled"),
		r.clientState("enable", "Let a disabled client in again", "active"), r.clientRevoke())
}

func (r *remote) clientCreate() *cobra.Command {
	var in admin.NewOAuthClient
	c := call[admin.CreatedClient]{
		use:   "create --api NAME --tenant ID",
		short: "Register a client and show its secret, this once",
		long: "Register a client and show its secret, this once: the server keeps only a hash of it.\n\n" +
			"  sallyport client create --api orders --tenant acme --name nightly --role Auditor",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.CreatedClient, error) {
			return c.CreateOAuthClient(ctx, in)
		},
		text: func(w io.Writer, c admin.CreatedClient) {
			if secret := c.Secret.Reveal(); secret != "" {
				row(w, "client_secret", secret+"  (shown this once)")
			}
			showOAuthClient(w, c.OAuthClient)
		},
		secret: func(c admin.CreatedClient) admin.Shown { return c.Secret },
	}.command(r)
	tenantFlag(c, &in.API, &in.Tenant)
	f := c.Flags()
	f.StringVar(&in.User, "user", "", "the service account that it acts as by itself")
	f.StringVar(&in.Name, "name", "", "a name for people: users see it who are asked to consent")
	f.BoolVar(&in.Public, "public", false, "it can keep no secret, and must use PKCE")
	f.StringArrayVar(&in.RedirectURIs, "redirect", nil, "where users may be sent back to, character by character; more than one may be given")
	f.StringSliceVar(&in.Grants, "grants", nil, "the grant types that it may use, separated by commas; default those that it can")
	f.StringSliceVar(&in.Scopes, "scopes", nil, "scopes or presets, separated by commas")
	f.StringArrayVar(&in.Roles, "role", nil, "a role of the API or the tenant; more than one may be given")
	f.StringVar(&in.ExpiresAt, "expires", "", "a length from now (90d, 1y), a date or time; default never")
	f.StringArrayVar(&in.AllowedIPs, "ip", nil, "a CIDR or address that it is good from; more than one may be given")
	complete(c, "grants", sallyport.GrantClientCredentials, sallyport.GrantAuthorizationCode, sallyport.GrantRefreshToken)
	return c
}

func (r *remote) clientList() *cobra.Command {
	var api, tenant, state string
	c := call[[]admin.OAuthClient]{
		use: "list", short: "List clients, the newest first",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.OAuthClient, error) {
			return pages(func(after string) ([]admin.OAuthClient, string, error) {
				page, err := c.OAuthClients(ctx, api, tenant, state, after)
				return page.Clients, page.Next, err
			})
		},
		text: func(w io.Writer, all []admin.OAuthClient) {
			row(w, "CLIENT ID", "API", "TENANT", "MASKED", "STATE", "EXPIRES", "GRANTS", "NAME")
			for _, c := range all {
				row(w, c.ClientID, c.API, c.Tenant, c.Masked, standing(c.State, c.Expired), expires(c.ExpiresAt), strings.Join(c.Grants, ","), c.Name)
			}
		},
	}.command(r)
	f := c.Flags()
	f.StringVar(&api, "api", "", "only of this API")
	f.StringVar(&tenant, "tenant", "", "only of this tenant")
	f.StringVar(&state, "state", "", "only active, disabled or revoked ones")
	complete(c, "state", states...)
	return c
}

// oneClient makes a command on one client.
func (r *remote) oneClient(use, short string, do func(ctx context.Context, c *admin.Client, id string) (admin.OAuthClient, error)) *cobra.Command {
	return call[admin.OAuthClient]{
		use: use + " CLIENT_ID", short: short, args: cobra.ExactArgs(1),
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.OAuthClient, error) {
			return do(ctx, c, args[0])
		},
		text: showOAuthClient,
	}.command(r)
}

func (r *remote) clientShow() *cobra.Command {
	return r.oneClient("show", "Show a client, without its secret", func(ctx context.Context, c *admin.Client, id string) (admin.OAuthClient, error) {
		return c.OAuthClient(ctx, id)
	})
}

func (r *remote) clientRevoke() *cobra.Command {
	return r.oneClient("revoke", "End a client, all that users granted it and its tokens, for good", func(ctx context.Context, c *admin.Client, id string) (admin.OAuthClient, error) {
		return c.RevokeOAuthClient(ctx, id)
	})
}

func (r *remote) clientState(use, short, state string) *cobra.Command {
	return r.oneClient(use, short, func(ctx context.Context, c *admin.Client, id string) (admin.OAuthClient, error) {
		return c.ChangeOAuthClient(ctx, id, admin.OAuthClientChange{State: admin.Some(state)})
	})
}

func (r *remote) clientUpdate() *cobra.Command {
	var name, expiry string
	var grants, redirects, scopes, roles, ips []string
	var c *cobra.Command
	c = r.oneClient("update", "Change a client. Other roles end its tokens", func(ctx context.Context, client *admin.Client, id string) (admin.OAuthClient, error) {
		return client.ChangeOAuthClient(ctx, id, admin.OAuthClientChange{
			Name:         changed(c, "name", name),
			Grants:       changed(c, "grants", grants),
			RedirectURIs: changed(c, "redirect", withoutEmpty(redirects)),
			Scopes:       changed(c, "scopes", scopes),
			Roles:        changed(c, "role", withoutEmpty(roles)),
			ExpiresAt:    changed(c, "expires", expiry),
			AllowedIPs:   changed(c, "ip", withoutEmpty(ips)),
		})
	})
	f := c.Flags()
	f.StringVar(&name, "name", "", "a name for people")
	f.StringSliceVar(&grants, "grants", nil, "all of its grant types, in place of those before")
	f.StringArrayVar(&redirects, "redirect", nil, "all places where users may be sent back to, in place of those before; empty lifts them")
	f.StringSliceVar(&scopes, "scopes", nil, "all of its scopes, in place of those before")
	f.StringArrayVar(&roles, "role", nil, "all of its roles, in place of those before; empty lifts them")
	f.StringVar(&expiry, "expires", "", "a length from now (90d, 1y), a date or time, or never")
	f.StringSliceVar(&ips, "ip", nil, "all of its networks, in place of those before; empty lifts them")
	complete(c, "grants", sallyport.GrantClientCredentials, sallyport.GrantAuthorizationCode, sallyport.GrantRefreshToken)
	return c
}

func (r *remote) clientRoll() *cobra.Command {
	var in admin.RollKey
	c := call[admin.RolledClient]{
		use: "roll CLIENT_ID", short: "Give a client a new secret and show it, this once", args: cobra.ExactArgs(1),
		long: "Give a client a new secret and show it, this once. The tokens that it has end; the secret before stays good\n" +
			"for a while, so that it can be replaced where it is used.",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.RolledClient, error) {
			return c.RollOAuthClient(ctx, args[0], in)
		},
		text: func(w io.Writer, c admin.RolledClient) {
			row(w, "client_secret", c.Secret.Reveal()+"  (shown this once)")
			row(w, "old ends", stamp(&c.OldEndsAt))
			showOAuthClient(w, c.OAuthClient)
		},
		secret: func(c admin.RolledClient) admin.Shown { return c.Secret },
	}.command(r)
	c.Flags().StringVar(&in.Grace, "grace", "", "how long the secret before stays good; 0 ends it at once (default 24h)")
	return c
}

func showOAuthClient(w io.Writer, c admin.OAuthClient) {
	row(w, "client_id", c.ClientID)
	row(w, "api", c.API)
	row(w, "tenant", c.Tenant)
	if c.User != "" {
		row(w, "user", c.User)
	}
	row(w, "name", c.Name)
	row(w, "public", strconv.FormatBool(c.Public))
	row(w, "grants", strings.Join(c.Grants, " "))
	for _, uri := range c.RedirectURIs {
		row(w, "redirect", uri)
	}
	row(w, "scopes", strings.Join(c.Scopes, " "))
	row(w, "roles", strings.Join(c.Roles, ", "))
	row(w, "masked", c.Masked)
	row(w, "state", standing(c.State, c.Expired))
	if c.Cause != "" {
		row(w, "cause", c.Cause)
	}
	row(w, "created", stamp(&c.CreatedAt))
	row(w, "expires", expires(c.ExpiresAt))
	row(w, "networks", strings.Join(c.AllowedIPs, " "))
}
