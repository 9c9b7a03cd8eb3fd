package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newToken(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("token", "Admin tokens of a running server: create, list, revoke", r.tokenCreate(), r.tokenList(), r.tokenRevoke())
}

func (r *remote) tokenCreate() *cobra.Command {
	var in admin.NewToken
	c := call[admin.CreatedToken]{
		use: "create --name NAME --role ROLE [--api NAME [--tenant ID]]", short: "Make an admin token and show it, this once",
		long: "Make an admin token and show it, this once. A viewer reads; an operator also changes tenants, users, roles and\n" +
			"keys; an admin also makes admin tokens and reloads. For a token of one API or one tenant nothing else exists.\n\n" +
			"  SALLYPORT_TOKEN=$(sallyport token create -q --name ci --role operator --api orders --expires 90d)",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.CreatedToken, error) {
			return c.CreateToken(ctx, in)
		},
		text: func(w io.Writer, t admin.CreatedToken) {
			row(w, "token", t.Secret.Reveal()+"  (shown this once)")
			showToken(w, t.Token)
		},
		secret: func(t admin.CreatedToken) admin.Shown { return t.Secret },
	}.command(r)
	f := c.Flags()
	f.StringVar(&in.Name, "name", "", "what it is for (required)")
	f.StringVar(&in.Role, "role", "", "viewer, operator or admin (required)")
	f.StringVar(&in.API, "api", "", "the only API it is for; default any")
	f.StringVar(&in.Tenant, "tenant", "", "the only tenant of the API it is for; default any")
	f.StringVar(&in.ExpiresAt, "expires", "", "a length from now (90d, 1y), a date or time; default never")
	required(c, "name", "role")
	complete(c, "role", admin.Roles()...)
	return c
}

func (r *remote) tokenList() *cobra.Command {
	return call[[]admin.Token]{
		use: "list", short: "List admin tokens",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Token, error) {
			all, err := c.Tokens(ctx)
			return all.Tokens, err
		},
		text: func(w io.Writer, all []admin.Token) {
			row(w, "ID", "ROLE", "API", "TENANT", "STATE", "EXPIRES", "NAME")
			for _, t := range all {
				row(w, t.ID, t.Role, t.API, t.Tenant, standing(t.State, t.Expired), expires(t.ExpiresAt), t.Name)
			}
		},
	}.command(r)
}

func (r *remote) tokenRevoke() *cobra.Command {
	return call[admin.Token]{
		use: "revoke ID", short: "End an admin token for good", args: cobra.ExactArgs(1),
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.Token, error) {
			return c.RevokeToken(ctx, args[0])
		},
		text: showToken,
	}.command(r)
}

func showToken(w io.Writer, t admin.Token) {
	row(w, "id", t.ID)
	row(w, "name", t.Name)
	row(w, "role", t.Role)
	row(w, "api", t.API)
	row(w, "tenant", t.Tenant)
	row(w, "state", standing(t.State, t.Expired))
	row(w, "created", stamp(&t.CreatedAt))
	row(w, "expires", expires(t.ExpiresAt))
}
