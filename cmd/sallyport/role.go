package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newRole(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("role", "Roles of APIs and of tenants: list, set, delete", r.roleList(), r.roleSet(), r.roleDelete())
}

func (r *remote) roleList() *cobra.Command {
	var api, tenant string
	c := call[[]admin.Role]{
		use: "list --api NAME [--tenant ID]", short: "List the roles of an API, and of a tenant",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Role, error) {
			all, err := c.Roles(ctx, api, tenant)
			return all.Roles, err
		},
		text: func(w io.Writer, all []admin.Role) {
			row(w, "NAME", "WHOSE", "SCOPES")
			for _, role := range all {
				whose := "the tenant's"
				if role.Builtin {
					whose = "the API's"
				}
				row(w, role.Name, whose, strings.Join(role.Scopes, ","))
			}
		},
	}.command(r)
	c.Flags().StringVar(&api, "api", "", "the API (required)")
	c.Flags().StringVar(&tenant, "tenant", "", "whose own roles to list too")
	required(c, "api")
	return c
}

func (r *remote) roleSet() *cobra.Command {
	var api, tenant string
	var scopes []string
	c := call[admin.ChangedRole]{
		use: "set ROLE --api NAME --tenant ID --scopes a,b", short: "Make a role of a tenant's own, or replace it", args: cobra.ExactArgs(1),
		long: "Make a role of a tenant's own, or replace it. That ends the personal access tokens of users who have the role,\nfor good.",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.ChangedRole, error) {
			return c.PutRole(ctx, api, tenant, args[0], admin.NewRole{Scopes: withoutEmpty(scopes)})
		},
		text: func(w io.Writer, role admin.ChangedRole) {
			row(w, "name", role.Name)
			row(w, "scopes", strings.Join(role.Scopes, " "))
			row(w, "tokens revoked", strconv.Itoa(role.TokensRevoked))
		},
	}.command(r)
	tenantFlag(c, &api, &tenant)
	c.Flags().StringSliceVar(&scopes, "scopes", nil, "all of its scopes or presets, separated by commas (required)")
	required(c, "scopes")
	return c
}

func (r *remote) roleDelete() *cobra.Command {
	var api, tenant string
	c := call[admin.DeletedRole]{
		use: "delete ROLE --api NAME --tenant ID", short: "Delete a role of a tenant's own", args: cobra.ExactArgs(1),
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.DeletedRole, error) {
			return c.DeleteRole(ctx, api, tenant, args[0])
		},
		text: func(w io.Writer, d admin.DeletedRole) { row(w, "tokens revoked", strconv.Itoa(d.TokensRevoked)) },
	}.command(r)
	tenantFlag(c, &api, &tenant)
	return c
}
