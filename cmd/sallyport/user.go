package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newUser(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("user", "Users and service accounts of tenants: create, list, show, update, disable, enable",
		r.userCreate(), r.userList(), r.userShow(), r.userUpdate(),
		r.userState("disable", "Refuse a user, and end its personal access tokens for good", "disabled"),
		r.userState("enable", "Let a disabled user in again", "active"))
}

// userName are the flags that name one user.
type userName struct{ api, tenant, id string }

func (u *userName) flags(c *cobra.Command) {
	tenantFlag(c, &u.api, &u.tenant)
	c.Flags().StringVar(&u.id, "id", "", "the user (required)")
	required(c, "id")
}

// tenantFlag are the flags that name the tenant of something.
func tenantFlag(c *cobra.Command, api, tenant *string) {
	c.Flags().StringVar(api, "api", "", "the API (required)")
	c.Flags().StringVar(tenant, "tenant", "", "the tenant (required)")
	required(c, "api", "tenant")
}

const userUse = " --api NAME --tenant ID --id ID"

func (r *remote) userCreate() *cobra.Command {
	var in admin.NewUser
	var name userName
	c := call[admin.User]{
		use: "create" + userUse, short: "Make a user or service account",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.User, error) {
			in.API, in.Tenant, in.ID = name.api, name.tenant, name.id
			return c.CreateUser(ctx, in)
		},
		text: showUser,
	}.command(r)
	name.flags(c)
	f := c.Flags()
	f.StringVar(&in.Name, "name", "", "a name for people")
	f.BoolVar(&in.ServiceAccount, "service-account", false, "a service account, not a person")
	f.StringArrayVar(&in.Roles, "role", nil, "a role of the API or the tenant; more than one may be given")
	f.StringArrayVar(&in.DisabledCategories, "disable-category", nil, "a category of operations that is switched off for it; more than one may be given")
	attributeFlag(c, (*pairs)(&in.Attributes), newAttributes)
	return c
}

func (r *remote) userList() *cobra.Command {
	var api, tenant, state string
	c := call[[]admin.User]{
		use: "list --api NAME --tenant ID", short: "List a tenant's users",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.User, error) {
			return pages(func(after string) ([]admin.User, string, error) {
				page, err := c.Users(ctx, api, tenant, state, after)
				return page.Users, page.Next, err
			})
		},
		text: func(w io.Writer, all []admin.User) {
			row(w, "ID", "STATE", "ROLES", "NAME")
			for _, u := range all {
				row(w, u.ID, u.State, strings.Join(u.Roles, ","), u.Name)
			}
		},
	}.command(r)
	tenantFlag(c, &api, &tenant)
	c.Flags().StringVar(&state, "state", "", "only active, disabled or revoked ones")
	complete(c, "state", states...)
	return c
}

func (r *remote) userShow() *cobra.Command {
	var name userName
	c := call[admin.User]{
		use: "show" + userUse, short: "Show a user",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.User, error) {
			return c.User(ctx, name.api, name.tenant, name.id)
		},
		text: showUser,
	}.command(r)
	name.flags(c)
	return c
}

// changeUser makes a command that changes one user.
func (r *remote) changeUser(use, short string, change func() admin.UserChange) *cobra.Command {
	var name userName
	c := call[admin.ChangedUser]{
		use: use + userUse, short: short,
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.ChangedUser, error) {
			return c.ChangeUser(ctx, name.api, name.tenant, name.id, change())
		},
		text: func(w io.Writer, u admin.ChangedUser) {
			showUser(w, u.User)
			row(w, "tokens revoked", strconv.Itoa(u.TokensRevoked))
		},
	}.command(r)
	name.flags(c)
	return c
}

func (r *remote) userUpdate() *cobra.Command {
	var name string
	var roles, categories []string
	var attributes pairs
	var c *cobra.Command
	c = r.changeUser("update", "Change a user. Other roles end its personal access tokens for good", func() admin.UserChange {
		return admin.UserChange{
			Name:               changed(c, "name", name),
			Roles:              changed(c, "role", withoutEmpty(roles)),
			DisabledCategories: changed(c, "disable-category", withoutEmpty(categories)),
			Attributes:         changed(c, "attribute", map[string]string(attributes)),
		}
	})
	f := c.Flags()
	f.StringVar(&name, "name", "", "a name for people")
	f.StringArrayVar(&roles, "role", nil, "all of its roles, in place of those before; empty lifts them")
	f.StringArrayVar(&categories, "disable-category", nil, "all categories that are switched off, in place of those before; empty lifts them")
	attributeFlag(c, &attributes, allAttributes)
	return c
}

func (r *remote) userState(use, short, state string) *cobra.Command {
	return r.changeUser(use, short, func() admin.UserChange { return admin.UserChange{State: admin.Some(state)} })
}

func showUser(w io.Writer, u admin.User) {
	row(w, "api", u.API)
	row(w, "tenant", u.Tenant)
	row(w, "id", u.ID)
	row(w, "name", u.Name)
	if u.ServiceAccount {
		row(w, "service account", "yes")
	}
	row(w, "roles", strings.Join(u.Roles, ", "))
	row(w, "disabled categories", strings.Join(u.DisabledCategories, ", "))
	row(w, "state", u.State)
	attributeRows(w, u.Attributes)
	row(w, "created", stamp(&u.CreatedAt))
}
