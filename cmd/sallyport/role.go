package main

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newRole(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("role", "Roles of APIs and of tenants: list, create, delete", r.roleList(), r.roleSet(), r.roleDelete())
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
	var api, tenant, name string
	var scopes []string
	c := call[admin.ChangedRole]{
		use: "create ROLE --api NAME --tenant ID --scopes a,b", short: "Make a role of a tenant's own, or replace it", args: oneRole,
		long: "Make a role of a tenant's own, or replace it. That ends the personal access tokens of users who have the role,\nfor good.",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.ChangedRole, error) {
			return c.PutRole(ctx, api, tenant, roleName(name, args), admin.NewRole{Scopes: withoutEmpty(scopes)})
		},
		text: func(w io.Writer, role admin.ChangedRole) {
			row(w, "name", role.Name)
			row(w, "scopes", strings.Join(role.Scopes, " "))
			row(w, "tokens revoked", strconv.Itoa(role.TokensRevoked))
		},
	}.command(r)
	c.Aliases = []string{"set", "update"}
	tenantFlag(c, &api, &tenant)
	c.Flags().StringVar(&name, "name", "", "the role, where it is not an argument")
	c.Flags().StringSliceVar(&scopes, "scopes", nil, "all of its scopes or presets, separated by commas (required)")
	required(c, "scopes")
	return c
}

// oneRole wants the role as the argument or with --name.
func oneRole(c *cobra.Command, args []string) error {
	name, err := c.Flags().GetString("name")
	if err != nil {
		return err
	}
	if len(args) > 1 || (len(args) == 1) == (name != "") {
		return errors.New("name one role, as the argument or with --name")
	}
	return nil
}

func roleName(flag string, args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return flag
}

func (r *remote) roleDelete() *cobra.Command {
	var api, tenant, name string
	c := call[admin.DeletedRole]{
		use: "delete ROLE --api NAME --tenant ID", short: "Delete a role of a tenant's own", args: oneRole,
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.DeletedRole, error) {
			return c.DeleteRole(ctx, api, tenant, roleName(name, args))
		},
		text: func(w io.Writer, d admin.DeletedRole) { row(w, "tokens revoked", strconv.Itoa(d.TokensRevoked)) },
	}.command(r)
	tenantFlag(c, &api, &tenant)
	c.Flags().StringVar(&name, "name", "", "the role, where it is not an argument")
	return c
}
