package main

import (
	"context"
	"fmt"
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
	var withPassword bool
	c := call[admin.User]{
		use: "create" + userUse, short: "Make a user or service account",
		do: func(ctx context.Context, c *admin.Client, _ []string) (_ admin.User, err error) {
			in.API, in.Tenant, in.ID = name.api, name.tenant, name.id
			if withPassword {
				if in.Password, err = r.readPassword(); err != nil {
					return admin.User{}, err
				}
			}
			return c.CreateUser(ctx, in)
		},
		text: showUser,
	}.command(r)
	name.flags(c)
	f := c.Flags()
	f.StringVar(&in.Name, "name", "", "a name for people")
	f.StringVar(&in.Login, "login", "", "by which it signs in, such as an e-mail address")
	f.BoolVar(&withPassword, "password-stdin", false, "read its password from standard input; a newline at its end is none of it")
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

// readPassword reads a password from standard input.
func (r *remote) readPassword() (admin.Shown, error) {
	text, err := io.ReadAll(io.LimitReader(r.s.in, 4096))
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return admin.Shown(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")), nil
}

// changeUser makes a command that changes one user.
func (r *remote) changeUser(use, short string, change func() (admin.UserChange, error)) *cobra.Command {
	var name userName
	c := call[admin.ChangedUser]{
		use: use + userUse, short: short,
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.ChangedUser, error) {
			in, err := change()
			if err != nil {
				return admin.ChangedUser{}, err
			}
			return c.ChangeUser(ctx, name.api, name.tenant, name.id, in)
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
	var name, login string
	var withPassword bool
	var roles, categories []string
	var attributes pairs
	var c *cobra.Command
	c = r.changeUser("update", "Change a user. Other roles end its tokens for good", func() (in admin.UserChange, err error) {
		in = admin.UserChange{
			Name:               changed(c, "name", name),
			Roles:              changed(c, "role", withoutEmpty(roles)),
			DisabledCategories: changed(c, "disable-category", withoutEmpty(categories)),
			Attributes:         changed(c, "attribute", map[string]string(attributes)),
			Login:              changed(c, "login", login),
		}
		if withPassword {
			text, err := r.readPassword()
			if err != nil {
				return in, err
			}
			in.Password = admin.Some(text)
		}
		return in, nil
	})
	f := c.Flags()
	f.StringVar(&name, "name", "", "a name for people")
	f.StringVar(&login, "login", "", "by which it signs in; empty lifts it")
	f.BoolVar(&withPassword, "password-stdin", false, "read its new password from standard input")
	f.StringArrayVar(&roles, "role", nil, "all of its roles, in place of those before; empty lifts them")
	f.StringArrayVar(&categories, "disable-category", nil, "all categories that are switched off, in place of those before; empty lifts them")
	attributeFlag(c, &attributes, allAttributes)
	return c
}

func (r *remote) userState(use, short, state string) *cobra.Command {
	return r.changeUser(use, short, func() (admin.UserChange, error) { return admin.UserChange{State: admin.Some(state)}, nil })
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
	if u.Login != "" {
		password := "no password"
		if u.HasPassword {
			password = "with a password"
		}
		row(w, "login", u.Login+" ("+password+")")
	}
	row(w, "state", u.State)
	attributeRows(w, u.Attributes)
	row(w, "created", stamp(&u.CreatedAt))
}
