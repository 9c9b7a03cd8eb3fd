package admin

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"regexp"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// maxRoles is how many of its own a tenant may have.
const maxRoles = 100

func (h *Handler) registerRoles(api huma.API) {
	huma.Register(api, operation("list-roles", http.MethodGet, "/admin/v1/roles", "List the roles of an API, and of a tenant"), h.listRoles)
	const one = "/admin/v1/roles/{api}/{tenant}/{name}"
	huma.Register(api, operation("put-role", http.MethodPut, one,
		"Make a role of a tenant's own, or replace it. That ends the personal access tokens of users who have it"), h.putRole)
	remove := operation("delete-role", http.MethodDelete, one, "Delete a role of a tenant's own. Whoever has it has nothing by it any more")
	huma.Register(api, remove, h.deleteRole)
}

func (h *Handler) listRoles(ctx context.Context, in *struct {
	API    string `query:"api" doc:"Required, unless the admin token is of one API"`
	Tenant string `query:"tenant" doc:"Whose own roles to list too"`
}) (*answer[RoleList], error) {
	c, p := callerOf(ctx), h.policyFor(ctx)
	in.API, in.Tenant = cmp.Or(in.API, c.api), cmp.Or(in.Tenant, c.tenant)
	if err := required("query.api", in.API); err != nil {
		return nil, err
	}
	api := p.API(in.API)
	if api == nil {
		var f faults
		f.at("query.api", "%s is not an API of the configuration; %s", quote(in.API), list(apiNames(p)))
		return nil, f.err()
	}
	all := RoleList{Roles: []Role{}}
	for _, name := range slices.Sorted(maps.Keys(api.Roles)) {
		all.Roles = append(all.Roles, showRole(name, true, api.Roles[name]))
	}
	if in.Tenant == "" {
		return &answer[RoleList]{all}, nil
	}
	t, err := h.tenant(ctx, in.API, in.Tenant)
	if err != nil {
		return nil, h.problem(ctx, "list roles", "tenant", err)
	}
	for _, name := range slices.Sorted(maps.Keys(t.Roles)) {
		if _, builtin := api.Roles[name]; !builtin && api.TenantRoles {
			all.Roles = append(all.Roles, showRole(name, false, t.Roles[name]))
		}
	}
	return &answer[RoleList]{all}, nil
}

type changedRole struct {
	Status int
	Body   ChangedRole
}

func (h *Handler) putRole(ctx context.Context, in *struct {
	API    string `path:"api"`
	Tenant string `path:"tenant"`
	Name   string `path:"name" doc:"Letters, digits, spaces and ._:@-, at most 64"`
	Body   NewRole
}) (*changedRole, error) {
	c, p := callerOf(ctx), h.policyFor(ctx)
	if !c.covers(in.API, in.Tenant) {
		return nil, h.problem(ctx, "put role", "tenant", errElsewhere)
	}
	scopes, err := newRole(p, in.API, in.Name, in.Body)
	if err != nil {
		return nil, err
	}
	var created bool
	_, ended, err := h.updateTenant(ctx, "put role", in.API, in.Tenant, func(t *sallyport.Tenant) error {
		_, there := t.Roles[in.Name]
		created = !there
		if created && len(t.Roles) >= maxRoles {
			return huma.Error409Conflict("the tenant has as many roles as it may have; delete one first")
		}
		if t.Roles == nil {
			t.Roles = map[string][]string{}
		}
		t.Roles[in.Name] = scopes
		return nil
	})
	if err != nil {
		return nil, err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return &changedRole{status, ChangedRole{showRole(in.Name, false, scopes), ended}}, nil
}

// newRole returns the scopes of the role that in asks for.
func newRole(p *sallyport.Policy, apiName, name string, in NewRole) ([]string, error) {
	var f faults
	api := p.API(apiName)
	if api == nil {
		f.at("path.api", "%s is not an API of the configuration; %s", quote(apiName), list(apiNames(p)))
		return nil, f.err()
	}
	_, builtin := api.Roles[name]
	switch {
	case !api.TenantRoles:
		f.at("path.api", "%s has no roles of tenants; its configuration allows them with tenant_roles: true", api.Name)
	case builtin:
		f.at("path.name", "%s is a role of %s itself; choose another name", quote(name), api.Name)
	case !roleName.MatchString(name):
		f.at("path.name", "the name of a role is at most 64 letters, digits, spaces and ._:@-, with a letter or digit at both ends")
	}
	scopes := checkScopes(&f, api, in.Scopes)
	return scopes, f.err()
}

var roleName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9 ._:@-]{0,62}[A-Za-z0-9])?$`)

func (h *Handler) deleteRole(ctx context.Context, in *struct {
	API    string `path:"api"`
	Tenant string `path:"tenant"`
	Name   string `path:"name"`
}) (*answer[DeletedRole], error) {
	if !callerOf(ctx).covers(in.API, in.Tenant) {
		return nil, h.problem(ctx, "delete role", "tenant", errElsewhere)
	}
	_, ended, err := h.updateTenant(ctx, "delete role", in.API, in.Tenant, func(t *sallyport.Tenant) error {
		if _, there := t.Roles[in.Name]; !there {
			return huma.Error404NotFound("no such role of the tenant's own")
		}
		delete(t.Roles, in.Name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &answer[DeletedRole]{DeletedRole{ended}}, nil
}

func showRole(name string, builtin bool, scopes []string) Role {
	return Role{Name: name, Builtin: builtin, Scopes: append([]string{}, scopes...)}
}
