package admin

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// TenantStore keeps tenants. Errors wrap sallyport.ErrNotFound, ErrConflict or
// ErrFinal where they apply.
type TenantStore interface {
	CreateTenant(ctx context.Context, t sallyport.Tenant) error
	// CreateTenants keeps those that are not there, and leaves the others.
	CreateTenants(ctx context.Context, list []sallyport.Tenant) error
	Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error)
	// Tenants lists those of one API, in the order of their ids, behind after.
	Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error)
	// UpdateTenant returns change's error as it is, and then changes nothing;
	// else also how many personal access tokens the change revoked.
	UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (t *sallyport.Tenant, ended int, err error)
}

func (h *Handler) registerTenants(api huma.API) {
	create := operation("create-tenant", http.MethodPost, "/admin/v1/tenants", "Create a tenant")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createTenant)
	huma.Register(api, operation("list-tenants", http.MethodGet, "/admin/v1/tenants", "List tenants, by API and id"), h.listTenants)
	huma.Register(api, operation("show-tenant", http.MethodGet, "/admin/v1/tenants/{api}/{id}", "Show a tenant"), h.showTenant)
	huma.Register(api, operation("change-tenant", http.MethodPatch, "/admin/v1/tenants/{api}/{id}", "Change a tenant's plan, name, state, limits, overrides or attributes"), h.changeTenant)
}

func (h *Handler) createTenant(ctx context.Context, in *struct{ Body NewTenant }) (*tagged[Tenant], error) {
	t, err := newTenant(h.policyFor(ctx), in.Body, h.moment())
	if err != nil {
		return nil, err
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	if err := h.store.CreateTenant(ctx, t); err != nil {
		return nil, h.problem(ctx, "create tenant", "tenant", err)
	}
	// A look for it that found nothing may be remembered.
	h.changed.ForgetTenant(t.API, t.ID)
	h.log.InfoContext(ctx, "tenant created", "api", t.API, "tenant", t.ID)
	return show("", showTenant(&t))
}

// tenant returns a tenant that the caller's token reaches.
func (h *Handler) tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error) {
	if !callerOf(ctx).covers(api, id) {
		return nil, errElsewhere
	}
	return h.store.Tenant(ctx, api, id)
}

func (h *Handler) showTenant(ctx context.Context, in *struct {
	API         string `path:"api"`
	ID          string `path:"id"`
	IfNoneMatch string `header:"If-None-Match"`
}) (*tagged[Tenant], error) {
	t, err := h.tenant(ctx, in.API, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "show tenant", "tenant", err)
	}
	return show(in.IfNoneMatch, showTenant(t))
}

func (h *Handler) changeTenant(ctx context.Context, in *struct {
	API     string `path:"api"`
	ID      string `path:"id"`
	IfMatch string `header:"If-Match"`
	Body    TenantChange
}) (*tagged[Tenant], error) {
	c, policy := callerOf(ctx), h.policyFor(ctx)
	if !c.covers(in.API, in.ID) {
		return nil, h.problem(ctx, "change tenant", "tenant", errElsewhere)
	}
	if err := mayChange(c, in.Body); err != nil {
		return nil, err
	}
	t, _, err := h.updateTenant(ctx, "change tenant", in.API, in.ID, func(t *sallyport.Tenant) error {
		if err := ifMatch(in.IfMatch, showTenant(t)); err != nil {
			return err
		}
		before := t.Attributes
		if err := changeTenant(policy, t, in.Body); err != nil {
			return err
		}
		return keepsCounted(c, "body", policy.API(in.API), before, t.Attributes)
	})
	if err != nil {
		return nil, err
	}
	return show("", showTenant(t))
}

// updateTenant changes a tenant and tells the caches, also where the store
// failed: it may have changed the tenant all the same.
func (h *Handler) updateTenant(ctx context.Context, doing, api, id string, change func(*sallyport.Tenant) error) (t *sallyport.Tenant, ended int, err error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	t, ended, err = h.store.UpdateTenant(ctx, api, id, change)
	h.changed.ForgetTenant(api, id)
	if err != nil {
		return nil, 0, h.problem(ctx, doing, "tenant", err)
	}
	h.log.InfoContext(ctx, "tenant changed", "doing", doing, "api", t.API, "tenant", t.ID, "state", t.State.String(), "tokens_revoked", ended)
	return t, ended, nil
}

// mayChange refuses what is not the tenant's own to change.
func mayChange(c caller, in TenantChange) error {
	if c.tenant == "" {
		return nil
	}
	return notItsOwn("body", map[string]bool{
		"plan": in.Plan.Sent, "limits": in.Limits.Sent, "overrides": in.Overrides.Sent, "state": in.State.Sent,
	})
}

func (h *Handler) listTenants(ctx context.Context, in *struct {
	API   string `query:"api" doc:"Only this API's; default: those of all APIs of the configuration"`
	After string `query:"after" doc:"The next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[TenantList], error) {
	c := callerOf(ctx)
	apis := apiNames(h.policyFor(ctx))
	if in.API != "" {
		apis = []string{in.API}
	}
	if c.api != "" { // which may have gone from the configuration
		apis = []string{c.api}
	}
	var last string
	if in.After != "" {
		api, id, ok := strings.Cut(in.After, "/")
		at := slices.Index(apis, api)
		if !ok || at < 0 {
			return nil, errAfter()
		}
		apis, last = apis[at:], id
	}
	switch {
	case c.api != "" && in.API != "" && in.API != c.api:
		return &answer[TenantList]{TenantList{Tenants: []Tenant{}}}, nil
	case c.tenant != "":
		return h.ownTenant(ctx, c, last)
	}
	page, err := h.tenantPage(ctx, apis, last, in.Limit)
	if err != nil {
		return nil, h.problem(ctx, "list tenants", "tenant", err)
	}
	return &answer[TenantList]{page}, nil
}

// tenantPage lists at most limit tenants of apis, those of the first one after
// last.
func (h *Handler) tenantPage(ctx context.Context, apis []string, last string, limit int) (page TenantList, err error) {
	page.Tenants = []Tenant{}
	for _, api := range apis {
		// One more than asked for tells whether there is a next page.
		found, err := h.store.Tenants(ctx, api, last, limit+1-len(page.Tenants))
		if err != nil {
			return page, err
		}
		last = ""
		for _, t := range found {
			if len(page.Tenants) == limit {
				end := page.Tenants[limit-1]
				page.Next = end.API + "/" + end.ID
				return page, nil
			}
			page.Tenants = append(page.Tenants, showTenant(t))
		}
	}
	return page, nil
}

// ownTenant is the list for a token of one tenant.
func (h *Handler) ownTenant(ctx context.Context, c caller, last string) (*answer[TenantList], error) {
	page := TenantList{Tenants: []Tenant{}}
	t, err := h.store.Tenant(ctx, c.api, c.tenant)
	switch {
	case errors.Is(err, sallyport.ErrNotFound), err == nil && t.ID <= last:
	case err != nil:
		return nil, h.problem(ctx, "list tenants", "tenant", err)
	default:
		page.Tenants = append(page.Tenants, showTenant(t))
	}
	return &answer[TenantList]{page}, nil
}

func errAfter() error {
	var f faults
	f.at("query.after", "is not where a page of this list ended; send the next of the page before, with the same filters")
	return f.err()
}

// idForm is that of the ids of tenants and users.
var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$`)

// newTenant returns the tenant that in asks for.
func newTenant(p *sallyport.Policy, in NewTenant, now time.Time) (t sallyport.Tenant, err error) {
	var f faults
	t = readTenant(&f, p, in, now)
	return t, f.err()
}

func readTenant(f *faults, p *sallyport.Policy, in NewTenant, now time.Time) (t sallyport.Tenant) {
	checkID(f, in.ID)
	checkText(f, "body.name", in.Name)
	attributes := checkAttributes(f, in.Attributes)
	api := checkAPI(f, p, in.API)
	if api == nil {
		return t
	}
	t = sallyport.Tenant{
		ID: in.ID, API: in.API, Name: in.Name, Plan: in.Plan, State: sallyport.Active,
		Limits: checkLimits(f, api, in.Limits), Overrides: checkOverrides(f, api, in.Overrides),
		Attributes: attributes, CreatedAt: now,
	}
	checkPlan(f, api, &t)
	return t
}

func checkID(f *faults, id string) {
	if !idForm.MatchString(id) {
		f.at("body.id", "an id is at most 128 letters, digits and ._:@-, beginning with a letter or digit")
	}
}

// changeTenant applies in to t, or says what is wrong with it.
func changeTenant(p *sallyport.Policy, t *sallyport.Tenant, in TenantChange) error {
	if t.State == sallyport.Revoked {
		return sallyport.ErrFinal
	}
	var f faults
	changeState(&f, &t.State, in.State, "")
	if in.Name.Sent {
		t.Name = value(in.Name)
		checkText(&f, "body.name", t.Name)
	}
	if in.Attributes.Sent {
		t.Attributes = checkAttributes(&f, value(in.Attributes))
	}
	if !in.Plan.Sent && !in.Limits.Sent && !in.Overrides.Sent {
		return f.err() // what needs no policy is possible when the API has gone from it
	}
	api := p.API(t.API)
	if api == nil {
		f.at("body", "API %s is no longer in the configuration; only name, attributes and state can change", t.API)
		return f.err()
	}
	if in.Plan.Sent {
		t.Plan = value(in.Plan)
	}
	if in.Limits.Sent {
		t.Limits = checkLimits(&f, api, value(in.Limits))
	}
	if in.Overrides.Sent {
		t.Overrides = checkOverrides(&f, api, value(in.Overrides))
	}
	checkPlan(&f, api, t)
	return f.err()
}

// checkPlan: the plan is one of the API's, and where it leaves a limit to the
// tenant, the tenant has one. Without, nothing would be allowed.
func checkPlan(f *faults, api *sallyport.API, t *sallyport.Tenant) {
	if !slices.Contains(api.Plans, t.Plan) && (t.Plan != "" || len(api.Plans) > 0) {
		f.at("body.plan", "%s is not a plan of %s; %s", quote(t.Plan), api.Name, list(api.Plans))
		return
	}
	for _, l := range api.Limits {
		own := l.Default
		if len(l.Plans) > 0 {
			own = l.Plans[t.Plan]
		}
		if own.FromTenant && len(t.Limits[l.Name]) == 0 {
			f.at("body.limits", "plan %s leaves limit %s to the tenant; send it, such as {%q: [\"60/1m\"]}", quote(t.Plan), l.Name, l.Name)
		}
	}
}

func showTenant(t *sallyport.Tenant) Tenant {
	return Tenant{
		API: t.API, ID: t.ID, Name: t.Name, Plan: t.Plan, State: t.State.String(),
		Limits: showLimits(t.Limits), Overrides: showOverrides(t.Overrides),
		Attributes: showAttributes(t.Attributes), CreatedAt: t.CreatedAt,
	}
}
