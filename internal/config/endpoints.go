package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

// endpoint compiles one entry of what the gate itself serves.
func (a *api) endpoint(path string, in *Endpoint) {
	a.required(path, "serve", "what it serves", "allowed: "+strings.Join(served, ", "))
	a.oneOf(field(path, "serve"), "endpoint", in.Serve, served...)
	a.endpointFields(path, in)
	for i, plan := range in.Plans {
		a.knownPlan(index(field(path, "plans"), i), plan)
	}
	a.distinct(field(path, "plans"), "plan", in.Plans)

	base := sallyport.Operation{Serve: in.Serve, Scopes: in.Scope, Weight: 1, Absent: "endpoint " + in.Serve}
	a.permit(field(path, "scope"), &base)
	base.Public = len(in.Scope) == 0 && in.Serve != "api_keys" && !a.has(field(path, "scope"))
	if !base.Public {
		base.Tenant = tenantParameter(a.in.Tenant)
	}
	for _, r := range a.expandRoutes(path, &in.Routes) {
		a.addOperation(base, r, false)
	}
	if in.Serve != "" {
		a.notice(path, "endpoint "+in.Serve+" is not served by this version: it is refused")
	}
}

// endpointFields checks what belongs to one kind of endpoint alone.
func (a *api) endpointFields(path string, in *Endpoint) {
	for _, only := range [][2]string{{"grants", "oauth2_token"}, {"field", "key_exchange"}, {"fields", "api_keys"}} {
		if at := field(path, only[0]); a.has(at) && in.Serve != only[1] && slices.Contains(served, in.Serve) {
			a.add(at, "is not for endpoint "+in.Serve, "it is for "+only[1])
		}
	}
	for i, grant := range in.Grants {
		a.oneOf(index(field(path, "grants"), i), "grant", grant, grants...)
	}
	a.distinct(field(path, "grants"), "grant", in.Grants)
	taken := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(in.Fields)) {
		at := key(field(path, "fields"), name)
		if !a.oneOf(at, "field", name, keyFields...) {
			continue
		}
		if other, twice := taken[in.Fields[name]]; twice && in.Fields[name] != "" {
			a.add(at, "has the name of "+other, "give each a name of its own")
		}
		taken[in.Fields[name]] = name
	}
}
