package admin

import (
	"context"
	"fmt"
	"maps"
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
	Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error)
	// Tenants lists those of one API, in the order of their ids, behind after.
	Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error)
	// UpdateTenant returns change's error as it is, and then changes nothing.
	UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (*sallyport.Tenant, error)
}

// answer is what an operation returns.
type answer[T any] struct{ Body T }

func (h *Handler) registerTenants(api huma.API) {
	create := operation("create-tenant", http.MethodPost, "/admin/v1/tenants", "Create a tenant")
	create.DefaultStatus = http.StatusCreated
	huma.Register(api, create, h.createTenant)
	huma.Register(api, operation("list-tenants", http.MethodGet, "/admin/v1/tenants", "List tenants, by API and id"), h.listTenants)
	huma.Register(api, operation("show-tenant", http.MethodGet, "/admin/v1/tenants/{api}/{id}", "Show a tenant"), h.showTenant)
	huma.Register(api, operation("change-tenant", http.MethodPatch, "/admin/v1/tenants/{api}/{id}", "Change a tenant's plan, name, state or limits"), h.changeTenant)
}

func (h *Handler) createTenant(ctx context.Context, in *struct{ Body NewTenant }) (*answer[Tenant], error) {
	t, err := newTenant(h.policy(), in.Body, h.moment())
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
	return &answer[Tenant]{showTenant(&t)}, nil
}

func (h *Handler) showTenant(ctx context.Context, in *struct {
	API string `path:"api"`
	ID  string `path:"id"`
}) (*answer[Tenant], error) {
	t, err := h.store.Tenant(ctx, in.API, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "show tenant", "tenant", err)
	}
	return &answer[Tenant]{showTenant(t)}, nil
}

func (h *Handler) changeTenant(ctx context.Context, in *struct {
	API  string `path:"api"`
	ID   string `path:"id"`
	Body TenantChange
}) (*answer[Tenant], error) {
	ctx, cancel := writing(ctx)
	defer cancel()
	policy := h.policy()
	t, err := h.store.UpdateTenant(ctx, in.API, in.ID, func(t *sallyport.Tenant) error {
		return changeTenant(policy, t, in.Body)
	})
	h.changed.ForgetTenant(in.API, in.ID)
	if err != nil {
		return nil, h.problem(ctx, "change tenant", "tenant", err)
	}
	h.log.InfoContext(ctx, "tenant changed", "api", t.API, "tenant", t.ID, "state", t.State.String())
	return &answer[Tenant]{showTenant(t)}, nil
}

func (h *Handler) listTenants(ctx context.Context, in *struct {
	API   string `query:"api" doc:"Only this API's; default: those of all APIs of the configuration"`
	After string `query:"after" doc:"The next of the page before"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
}) (*answer[TenantList], error) {
	apis := apiNames(h.policy())
	if in.API != "" {
		apis = []string{in.API}
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
	page := TenantList{Tenants: []Tenant{}}
	for _, api := range apis {
		// One more than asked for tells whether there is a next page.
		found, err := h.store.Tenants(ctx, api, last, in.Limit+1-len(page.Tenants))
		if err != nil {
			return nil, h.problem(ctx, "list tenants", "tenant", err)
		}
		last = ""
		for _, t := range found {
			if len(page.Tenants) == in.Limit {
				end := page.Tenants[in.Limit-1]
				page.Next = end.API + "/" + end.ID
				return &answer[TenantList]{page}, nil
			}
			page.Tenants = append(page.Tenants, showTenant(t))
		}
	}
	return &answer[TenantList]{page}, nil
}

func errAfter() error {
	var f faults
	f.at("query.after", "is not where a page of this list ended; send the next of the page before, with the same filters")
	return f.err()
}

var tenantID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$`)

// newTenant returns the tenant that in asks for.
func newTenant(p *sallyport.Policy, in NewTenant, now time.Time) (t sallyport.Tenant, err error) {
	var f faults
	if !tenantID.MatchString(in.ID) {
		f.at("body.id", "an id is at most 128 letters, digits and ._:@-, beginning with a letter or digit")
	}
	checkText(&f, "body.name", in.Name)
	api := p.API(in.API)
	if api == nil {
		f.at("body.api", "%s is not an API of the configuration; %s", quote(in.API), list(apiNames(p)))
		return t, f.err()
	}
	t = sallyport.Tenant{
		ID: in.ID, API: in.API, Name: in.Name, Plan: in.Plan, State: sallyport.Active,
		Limits: checkLimits(&f, api, in.Limits), CreatedAt: now,
	}
	checkPlan(&f, api, &t)
	return t, f.err()
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
	if !in.Plan.Sent && !in.Limits.Sent {
		return f.err() // what needs no policy is possible when the API has gone from it
	}
	api := p.API(t.API)
	if api == nil {
		f.at("body", "API %s is no longer in the configuration; only name and state can change", t.API)
		return f.err()
	}
	if in.Plan.Sent {
		t.Plan = value(in.Plan)
	}
	if in.Limits.Sent {
		t.Limits = checkLimits(&f, api, value(in.Limits))
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

// checkLimits returns the windows by the limit's name.
func checkLimits(f *faults, api *sallyport.API, limits map[string][]string) map[string][]sallyport.Window {
	var names []string
	for _, l := range api.Limits {
		if l.Concurrency == 0 && !slices.Contains(names, l.Name) {
			names = append(names, l.Name)
		}
	}
	all := make(map[string][]sallyport.Window, len(limits))
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		at := "body.limits." + name
		if !slices.Contains(names, name) {
			f.at("body.limits", "%s is not a limit of %s that has windows; %s", quote(name), api.Name, list(names))
			continue
		}
		if len(limits[name]) > maxWindows {
			f.at(at, "has %d windows; at most %d are allowed", len(limits[name]), maxWindows)
			continue
		}
		if windows := checkWindows(f, at, limits[name]); len(windows) > 0 {
			all[name] = windows
		}
	}
	return all
}

func checkWindows(f *faults, location string, texts []string) (windows []sallyport.Window) {
	for i, s := range texts {
		w, err := parseWindow(s)
		at := fmt.Sprintf("%s[%d]", location, i)
		if err != nil {
			f.at(at, "%v", err)
			continue
		}
		if slices.ContainsFunc(windows, func(o sallyport.Window) bool { return o.Length == w.Length }) {
			f.at(at, "is a second window of %s; keep one", formatLength(w.Length))
			continue
		}
		windows = append(windows, w)
	}
	return windows
}

func showTenant(t *sallyport.Tenant) Tenant {
	limits := make(map[string][]string, len(t.Limits))
	for name, windows := range t.Limits {
		for _, w := range windows {
			limits[name] = append(limits[name], formatWindow(w))
		}
	}
	return Tenant{
		API: t.API, ID: t.ID, Name: t.Name, Plan: t.Plan, State: t.State.String(),
		Limits: limits, CreatedAt: t.CreatedAt,
	}
}
