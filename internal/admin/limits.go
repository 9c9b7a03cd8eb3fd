package admin

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

func (h *Handler) registerLimits(api huma.API) {
	show := operation("show-limits", http.MethodGet, "/admin/v1/limits", "Show how the limits of a tenant or a key stand. It spends no quota")
	reset := operation("reset-limits", http.MethodPost, "/admin/v1/limits/reset", "Make counters begin anew")
	refund := operation("refund-limit", http.MethodPost, "/admin/v1/limits/refund", "Give hits back")
	for _, op := range []*huma.Operation{&show, &reset, &refund} {
		op.Errors = append(op.Errors, http.StatusNotImplemented)
	}
	huma.Register(api, show, h.showLimits)
	huma.Register(api, reset, h.resetLimits)
	huma.Register(api, refund, h.refundLimit)
	const override = "/admin/v1/limits/override"
	huma.Register(api, operation("put-override", http.MethodPut, override,
		"Give a tenant or a key windows of one limit in place of what the plan says. The ETag is that of the tenant or the key"), h.putOverride)
	huma.Register(api, operation("lift-override", http.MethodDelete, override, "Lift an override: what the plan says holds again"), h.liftOverride)
}

// holder finds whose limits are meant; location is where they are named: query
// or body.
func (h *Handler) holder(ctx context.Context, location string, of LimitsOf) (*holder, error) {
	p := h.policyFor(ctx)
	api := p.API(of.API)
	if api == nil {
		var f faults
		f.at(location+".api", "%s is not an API of the configuration; %s", quote(of.API), list(apiNames(p)))
		return nil, f.err()
	}
	who := &holder{api: api}
	t, err := h.tenant(ctx, of.API, of.Tenant)
	if err != nil {
		return nil, h.problem(ctx, "find tenant", "tenant", err)
	}
	who.c = &sallyport.Credential{API: of.API, Tenant: t}
	if of.Key != "" {
		if who.c, err = h.store.Credential(ctx, of.API, of.Tenant, of.Key); err != nil {
			return nil, h.problem(ctx, "find key", "key", err)
		}
	}
	if who.op = api.Operation(of.Operation); who.op == nil && of.Operation != "" {
		var f faults
		f.at(location+".operation", "%s is not an operation of %s; sallyport explain names the one of a request", quote(of.Operation), api.Name)
		return nil, f.err()
	}
	return who, nil
}

// errNoCounters is the answer where the server was started without counters to
// look at.
func errNoCounters() error {
	return huma.Error501NotImplemented("this server does not show its counters")
}

// countersFailed is the answer where they could not be asked.
func (h *Handler) countersFailed(ctx context.Context, doing string, err error) error {
	h.log.ErrorContext(ctx, "admin call failed", "doing", doing, "error", err)
	return huma.ErrorWithHeaders(
		huma.Error503ServiceUnavailable("the counters do not answer; please retry"),
		http.Header{"Retry-After": {"1"}})
}

func (h *Handler) showLimits(ctx context.Context, in *struct {
	API       string `query:"api" doc:"Required, unless the admin token is of one API"`
	Tenant    string `query:"tenant" doc:"Required, unless the admin token is of one tenant"`
	Key       string `query:"key" doc:"The id of one of the tenant's keys: limits that are counted per key need one"`
	Operation string `query:"operation" doc:"Only the limits that count this one, such as GET /v1/orders; limits that are counted per operation need one"`
}) (*answer[LimitList], error) {
	c := callerOf(ctx)
	in.API, in.Tenant = cmp.Or(in.API, c.api), cmp.Or(in.Tenant, c.tenant)
	if err := required("query.api", in.API, "query.tenant", in.Tenant); err != nil {
		return nil, err
	}
	who, err := h.holder(ctx, "query", LimitsOf{in.API, in.Tenant, in.Key, in.Operation})
	if err != nil {
		return nil, err
	}
	found, err := h.look(ctx, who)
	if err != nil {
		return nil, err
	}
	return &answer[LimitList]{found}, nil
}

// look says how the limits of who stand.
func (h *Handler) look(ctx context.Context, who *holder) (list LimitList, err error) {
	if h.limits == nil {
		return list, errNoCounters()
	}
	list = LimitList{API: who.c.API, Tenant: who.c.Tenant.ID, Key: who.c.ID, Plan: who.c.PlanName(), At: h.now().UTC()}
	if list.Limits, err = standings(ctx, h.limits, who); err != nil {
		return list, h.countersFailed(ctx, "show limits", err)
	}
	return list, nil
}

func (h *Handler) resetLimits(ctx context.Context, in *struct{ Body ResetLimits }) (*answer[SteeredLimits], error) {
	of := LimitsOf{in.Body.API, in.Body.Tenant, in.Body.Key, in.Body.Operation}
	return h.steer(ctx, "reset limits", of, in.Body.Limit, func(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge) error {
		return h.limits.Reset(ctx, s, charges)
	})
}

func (h *Handler) refundLimit(ctx context.Context, in *struct{ Body RefundLimit }) (*answer[SteeredLimits], error) {
	of := LimitsOf{in.Body.API, in.Body.Tenant, in.Body.Key, in.Body.Operation}
	return h.steer(ctx, "refund limit", of, in.Body.Limit, func(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge) error {
		return h.limits.Refund(ctx, s, charges, in.Body.Hits)
	})
}

// steer changes counters, and says how they stand then. name "" is every limit
// whose counter is that of the one alone who is named.
func (h *Handler) steer(ctx context.Context, doing string, of LimitsOf, name string, change func(context.Context, *sallyport.Subject, []sallyport.Charge) error) (*answer[SteeredLimits], error) {
	if h.limits == nil {
		return nil, errNoCounters()
	}
	ctx, cancel := writing(ctx)
	defer cancel()
	who, err := h.holder(ctx, "body", of)
	if err != nil {
		return nil, err
	}
	charges, err := chosen(who, name)
	if err != nil {
		return nil, err
	}
	done := SteeredLimits{Changed: []string{}}
	for _, c := range charges {
		done.Changed = append(done.Changed, c.Limit.Name)
	}
	if err := change(ctx, who.subject(), charges); err != nil {
		return nil, h.countersFailed(ctx, doing, err)
	}
	h.log.InfoContext(ctx, "counters changed", "doing", doing, "api", who.c.API, "tenant", who.c.Tenant.ID, "key_id", who.c.ID, "limits", done.Changed)
	if done.LimitList, err = h.look(ctx, who); err != nil {
		return nil, err
	}
	return &answer[SteeredLimits]{done}, nil
}

// chosen returns the charges of the limit called name or, where it is "", of
// all whose counters are who's alone: nobody resets a counter that others share
// without naming it.
func chosen(who *holder, name string) (charges []sallyport.Charge, err error) {
	all := who.holds()
	var f faults
	if name != "" {
		i := slices.IndexFunc(all, func(h hold) bool { return h.limit.Name == name })
		if i < 0 {
			f.at("body.limit", "%s is not a limit that counts this caller; %s", quote(name), list(namesOf(all)))
			return nil, f.err()
		}
		charge, ok := all[i].charge()
		if !ok {
			f.at("body.limit", "%s", noCounter(&all[i]))
		}
		return []sallyport.Charge{charge}, f.err()
	}
	for i := range all {
		if charge, ok := all[i].charge(); ok && who.own(charge.Limit) {
			charges = append(charges, charge)
		}
	}
	if len(charges) == 0 {
		f.at("body.limit", "no counter is this caller's alone; name the limit, and a key or operation where it needs one; %s", list(namesOf(all)))
	}
	return charges, f.err()
}

// noCounter says why the counter of h cannot be found.
func noCounter(h *hold) string {
	switch {
	case h.limit.Concurrency > 0:
		return h.limit.Name + " counts requests in flight: they end by themselves"
	case h.unlimited:
		return h.limit.Name + " is unlimited for this caller: nothing is counted"
	}
	return h.limit.Name + " is counted per " + strings.Join(h.limit.Per, " and ") + ": send also " + strings.Join(h.needs, " and ")
}

func namesOf(all []hold) (names []string) {
	for _, h := range all {
		names = append(names, h.limit.Name)
	}
	return names
}

func (h *Handler) putOverride(ctx context.Context, in *struct {
	IfMatch string `header:"If-Match"`
	Body    NewOverride
}) (*tagged[Overrides], error) {
	var f faults
	api := checkAPI(&f, h.policyFor(ctx), in.Body.API)
	if api == nil {
		return nil, f.err()
	}
	var w sallyport.Windows
	if checkLimit(&f, "body.limit", api, in.Body.Limit) {
		w = checkOverride(&f, "body.windows", in.Body.Windows)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	of := LimitsOf{API: in.Body.API, Tenant: in.Body.Tenant, Key: in.Body.Key}
	return h.override(ctx, "put override", of, in.IfMatch, func(overrides map[string]sallyport.Windows) error {
		overrides[in.Body.Limit] = w
		return nil
	})
}

func (h *Handler) liftOverride(ctx context.Context, in *struct {
	IfMatch string `header:"If-Match"`
	API     string `query:"api" required:"true"`
	Tenant  string `query:"tenant" required:"true"`
	Key     string `query:"key" doc:"The id of the key whose override it is; default: it is the tenant's"`
	Limit   string `query:"limit" required:"true"`
}) (*tagged[Overrides], error) {
	// The configuration is not asked: it may have lost the limit.
	return h.override(ctx, "lift override", LimitsOf{API: in.API, Tenant: in.Tenant, Key: in.Key}, in.IfMatch, func(overrides map[string]sallyport.Windows) error {
		if _, there := overrides[in.Limit]; !there {
			return huma.Error404NotFound("no such override")
		}
		delete(overrides, in.Limit)
		return nil
	})
}

// override changes the overrides of a tenant or a key; change gets a map of its
// own.
func (h *Handler) override(ctx context.Context, doing string, of LimitsOf, ifMatches string, change func(map[string]sallyport.Windows) error) (*tagged[Overrides], error) {
	if !callerOf(ctx).covers(of.API, of.Tenant) {
		return nil, h.problem(ctx, doing, "tenant", errElsewhere)
	}
	changed := func(to *map[string]sallyport.Windows) error {
		overrides := maps.Clone(*to)
		if overrides == nil {
			overrides = map[string]sallyport.Windows{}
		}
		*to = overrides
		return change(overrides)
	}
	shown := Overrides{API: of.API, Tenant: of.Tenant, Key: of.Key}
	if of.Key == "" {
		t, _, err := h.updateTenant(ctx, doing, of.API, of.Tenant, func(t *sallyport.Tenant) error {
			if err := ifMatch(ifMatches, showTenant(t)); err != nil {
				return err
			}
			return changed(&t.Overrides)
		})
		if err != nil {
			return nil, err
		}
		shown.Overrides = showOverrides(t.Overrides)
		return &tagged[Overrides]{tag(showTenant(t)), shown}, nil
	}
	k, err := h.updateKey(ctx, keyUpdate{doing, of.Key, ifMatches, false, func(c *sallyport.Credential) error {
		if c.API != of.API || c.Tenant.ID != of.Tenant {
			return sallyport.ErrNotFound
		}
		return changed(&c.Overrides)
	}})
	if err != nil {
		return nil, err
	}
	shown.Overrides = k.Body.Overrides
	return &tagged[Overrides]{k.ETag, shown}, nil
}
