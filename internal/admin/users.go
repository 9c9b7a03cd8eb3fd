package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/password"
)

// UserStore keeps users. Errors wrap sallyport.ErrNotFound, ErrConflict or
// ErrFinal where they apply.
type UserStore interface {
	CreateUser(ctx context.Context, u sallyport.User) error
	User(ctx context.Context, api, tenant, id string) (*sallyport.User, error)
	// Users lists those of one tenant, in the order of their ids.
	Users(ctx context.Context, f sallyport.UserFilter) ([]*sallyport.User, error)
	// UpdateUser returns change's error as it is, and then changes nothing;
	// else also how many personal access tokens the change revoked.
	UpdateUser(ctx context.Context, api, tenant, id string, change func(*sallyport.User) error) (u *sallyport.User, ended int, err error)
}

func (h *Handler) registerUsers(api huma.API) {
	create := operation("create-user", http.MethodPost, "/admin/v1/users", "Create a user or service account of a tenant")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createUser)
	huma.Register(api, operation("list-users", http.MethodGet, "/admin/v1/users", "List a tenant's users, by id"), h.listUsers)
	huma.Register(api, operation("show-user", http.MethodGet, "/admin/v1/users/{api}/{tenant}/{id}", "Show a user"), h.showUser)
	huma.Register(api, operation("change-user", http.MethodPatch, "/admin/v1/users/{api}/{tenant}/{id}",
		"Change a user. To disable it, or to change its roles, ends its personal access tokens"), h.changeUser)
}

func (h *Handler) createUser(ctx context.Context, in *struct{ Body NewUser }) (*tagged[User], error) {
	policy := h.policyFor(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	t, err := h.tenantFor(ctx, policy, in.Body.API, in.Body.Tenant)
	if err != nil {
		return nil, err
	}
	u, err := newUser(policy, t, in.Body, h.moment())
	if err == nil {
		u.Password, err = h.hash(ctx, in.Body.Password)
	}
	if err == nil {
		err = mayMakeUser(callerOf(ctx), policy.API(u.API), t, u.Attributes)
	}
	if err != nil {
		return nil, err
	}
	if err := h.store.CreateUser(ctx, u); err != nil {
		return nil, h.problem(ctx, "create user", "user", err)
	}
	h.changed.ForgetUser(u.API, u.Tenant, u.ID)
	h.log.InfoContext(ctx, "user created", "api", u.API, "tenant", u.Tenant, "user", u.ID)
	return show("", showUser(&u))
}

// tenantFor returns the tenant that something new is for; nil where there is
// none that the caller's token reaches.
func (h *Handler) tenantFor(ctx context.Context, p *sallyport.Policy, api, id string) (*sallyport.Tenant, error) {
	if p.API(api) == nil {
		return nil, nil
	}
	t, err := h.tenant(ctx, api, id)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, h.problem(ctx, "find tenant", "tenant", err)
	}
	return t, nil
}

func (h *Handler) showUser(ctx context.Context, in *struct {
	API         string `path:"api"`
	Tenant      string `path:"tenant"`
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}) (*tagged[User], error) {
	u, err := (*sallyport.User)(nil), errElsewhere
	if callerOf(ctx).covers(in.API, in.Tenant) {
		u, err = h.store.User(ctx, in.API, in.Tenant, in.ID)
	}
	if err != nil {
		return nil, h.problem(ctx, "show user", "user", err)
	}
	return show(in.IfNoneMatch, showUser(u))
}

func (h *Handler) listUsers(ctx context.Context, in *struct {
	API    string `query:"api" doc:"Required, unless the admin token is of one API"`
	Tenant string `query:"tenant" doc:"Required, unless the admin token is of one tenant"`
	State  string `query:"state" enum:"active,disabled,revoked"`
	After  string `query:"after" doc:"The next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[UserList], error) {
	c := callerOf(ctx)
	in.API, in.Tenant = cmp.Or(in.API, c.api), cmp.Or(in.Tenant, c.tenant)
	if err := required("query.api", in.API, "query.tenant", in.Tenant); err != nil {
		return nil, err
	}
	page := UserList{Users: []User{}}
	if !c.covers(in.API, in.Tenant) {
		return &answer[UserList]{page}, nil
	}
	state, _ := sallyport.ParseState(in.State) // "" is any, and the schema lets nothing else pass
	found, err := h.store.Users(ctx, sallyport.UserFilter{
		API: in.API, Tenant: in.Tenant, State: state, After: in.After,
		Limit: in.Limit + 1, // one more tells whether there is a next page
	})
	if errors.Is(err, sallyport.ErrNotFound) {
		return nil, errAfter()
	}
	if err != nil {
		return nil, h.problem(ctx, "list users", "user", err)
	}
	if len(found) > in.Limit {
		found = found[:in.Limit]
		page.Next = found[in.Limit-1].ID
	}
	for _, u := range found {
		page.Users = append(page.Users, showUser(u))
	}
	return &answer[UserList]{page}, nil
}

// required refuses a call where one of the pairs of location and value has no
// value.
func required(pairs ...string) error {
	var f faults
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			f.at(pairs[i], "is required")
		}
	}
	return f.err()
}

func (h *Handler) changeUser(ctx context.Context, in *struct {
	API     string `path:"api"`
	Tenant  string `path:"tenant"`
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    UserChange
}) (*tagged[ChangedUser], error) {
	policy := h.policyFor(ctx)
	ctx, cancel := writing(ctx)
	defer cancel()
	t, err := h.tenant(ctx, in.API, in.Tenant)
	if err != nil {
		return nil, h.problem(ctx, "change user", "user", err)
	}
	kept, err := h.hash(ctx, value(in.Body.Password)) // before the store is held: it takes a while
	if err != nil {
		return nil, err
	}
	u, ended, err := h.store.UpdateUser(ctx, in.API, in.Tenant, in.ID, func(u *sallyport.User) error {
		if err := ifMatch(in.IfMatch, showUser(u)); err != nil {
			return err
		}
		before := u.Attributes
		if in.Body.Password.Sent {
			u.Password = kept
		}
		if err := changeUser(policy, t, u, in.Body); err != nil {
			return err
		}
		return keepsCounted(callerOf(ctx), "body", policy.API(u.API), before, u.Attributes)
	})
	// Also where the store failed: it may have changed the user all the same.
	h.changed.ForgetUser(in.API, in.Tenant, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "change user", "user", err)
	}
	h.log.InfoContext(ctx, "user changed", "api", u.API, "tenant", u.Tenant, "user", u.ID, "state", u.State.String(), "tokens_revoked", ended)
	shown := showUser(u)
	return &tagged[ChangedUser]{tag(shown), ChangedUser{shown, ended}}, nil
}

// newUser returns the user that in asks for, of tenant t; nil: there is none.
func newUser(p *sallyport.Policy, t *sallyport.Tenant, in NewUser, now time.Time) (u sallyport.User, err error) {
	var f faults
	checkID(&f, in.ID)
	checkText(&f, "body.name", in.Name)
	checkLogin(&f, in.Login)
	attributes := checkAttributes(&f, in.Attributes)
	api := checkAPI(&f, p, in.API)
	if api == nil {
		return u, f.err()
	}
	checkTenant(&f, api, t)
	return sallyport.User{
		ID: in.ID, API: in.API, Tenant: in.Tenant, Name: in.Name, Service: in.ServiceAccount, State: sallyport.Active,
		Roles: checkRoles(&f, api, t, in.Roles), Off: checkCategories(&f, api, in.DisabledCategories),
		Attributes: attributes, Login: in.Login, CreatedAt: now,
	}, f.err()
}

// checkLogin refuses logins that look like others, or cannot be typed.
func checkLogin(f *faults, login string) {
	if strings.TrimSpace(login) != login || strings.ContainsFunc(login, func(r rune) bool { return !unicode.IsPrint(r) }) {
		f.at("body.login", "begins or ends with a space, or holds a character that is not printable")
	}
}

// hash returns what is kept of a password; "" of none.
func (h *Handler) hash(ctx context.Context, text Shown) (sallyport.PasswordHash, error) {
	if text == "" {
		return "", nil
	}
	var f faults
	if err := password.Check(text.Reveal()); err != nil {
		f.at("body.password", "%v", err)
		return "", f.err()
	}
	kept, err := h.passwords.Hash(ctx, text.Reveal())
	if err != nil {
		return "", h.problem(ctx, "hash password", "user", err)
	}
	return kept, nil
}

// changeUser applies in to u, of tenant t, or says what is wrong with it.
func changeUser(p *sallyport.Policy, t *sallyport.Tenant, u *sallyport.User, in UserChange) error {
	if u.State == sallyport.Revoked {
		return sallyport.ErrFinal
	}
	var f faults
	changeState(&f, &u.State, in.State, "")
	if in.Name.Sent {
		u.Name = value(in.Name)
		checkText(&f, "body.name", u.Name)
	}
	if in.Attributes.Sent {
		u.Attributes = checkAttributes(&f, value(in.Attributes))
	}
	if in.Login.Sent {
		u.Login = value(in.Login)
		checkLogin(&f, u.Login)
	}
	if !in.Roles.Sent && !in.DisabledCategories.Sent {
		return f.err() // what needs no policy is possible when the API has gone from it
	}
	api := p.API(u.API)
	if api == nil {
		f.at("body", "API %s is no longer in the configuration; only name, login, password, attributes and state can change", u.API)
		return f.err()
	}
	if in.Roles.Sent {
		u.Roles = checkRoles(&f, api, t, value(in.Roles))
	}
	if in.DisabledCategories.Sent {
		u.Off = checkCategories(&f, api, value(in.DisabledCategories))
	}
	return f.err()
}

func checkTenant(f *faults, api *sallyport.API, t *sallyport.Tenant) {
	if t == nil {
		f.at("body.tenant", "%s has no such tenant; create it first", api.Name)
	}
}

// checkRoles returns roles, each once: the API's, or those of tenant t where
// the API lets tenants make them.
func checkRoles(f *faults, api *sallyport.API, t *sallyport.Tenant, roles []string) []string {
	if t == nil && api.TenantRoles {
		return nil // whose roles nobody can know
	}
	known := roleNames(api, t)
	for i, name := range roles {
		if !slices.Contains(known, name) {
			f.at(fmt.Sprintf("body.roles[%d]", i), "%s is not a role of %s or of the tenant; %s", quote(name), api.Name, list(known))
		}
	}
	return unique(slices.Clone(roles))
}

// roleNames lists the roles of api, and then those of t.
func roleNames(api *sallyport.API, t *sallyport.Tenant) []string {
	names := slices.Sorted(maps.Keys(api.Roles))
	if t == nil || !api.TenantRoles {
		return names
	}
	for _, own := range slices.Sorted(maps.Keys(t.Roles)) {
		if !slices.Contains(names, own) {
			names = append(names, own)
		}
	}
	return names
}

func checkCategories(f *faults, api *sallyport.API, categories []string) []string {
	for i, name := range categories {
		if !slices.Contains(api.Categories, name) {
			f.at(fmt.Sprintf("body.disabled_categories[%d]", i), "%s is not a category of %s; %s", quote(name), api.Name, list(api.Categories))
		}
	}
	return unique(slices.Clone(categories))
}

func showUser(u *sallyport.User) User {
	return User{
		API: u.API, Tenant: u.Tenant, ID: u.ID, Name: u.Name, ServiceAccount: u.Service,
		Roles: append([]string{}, u.Roles...), DisabledCategories: append([]string{}, u.Off...),
		Attributes: showAttributes(u.Attributes), Login: u.Login, HasPassword: u.Password != "", State: u.State.String(), CreatedAt: u.CreatedAt,
	}
}
