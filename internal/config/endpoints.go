package config

import (
	"maps"
	"net/http"
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

	base := sallyport.Operation{Serve: in.Serve, Scopes: in.Scope, Weight: 1}
	if in.Serve == endpointKeys {
		base.Fields = in.Fields
	} else {
		base.Absent = "endpoint " + in.Serve
	}
	a.permit(field(path, "scope"), &base)
	base.Public = len(in.Scope) == 0 && in.Serve != endpointKeys && !a.has(field(path, "scope"))
	if !base.Public {
		base.Tenant = tenantParameter(a.in.Tenant)
	}
	for _, r := range a.expandRoutes(path, &in.Routes) {
		a.addOperation(base, r, false)
		if in.Serve == endpointKeys {
			a.keysRoute(r)
		}
	}
	if base.Absent != "" && in.Serve != "" {
		a.notice(path, "endpoint "+in.Serve+" is not served by this version: it is refused")
	}
}

// keysRoute checks a route of the endpoint for keys: a list of them, or one.
func (a *api) keysRoute(r compiled) {
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/"); strings.HasPrefix(first, "{") || slices.Contains(ownPaths, first) {
		a.add(r.path, "path "+quote(r.Path)+" could be one of the server's own", "begin it with a word other than "+strings.Join(ownPaths, ", "))
	}
	one := len(r.template.Params()) > 0
	last := strings.HasSuffix(r.Path, "}") && !strings.HasSuffix(r.Path, "...}")
	switch {
	case one && !last:
		a.add(r.path, "path "+quote(r.Path)+" does not end in the key's id", "write one such as /keys/{id}")
	case !one && r.Method != http.MethodGet && r.Method != http.MethodPost, one && !slices.Contains([]string{http.MethodGet, http.MethodPatch, http.MethodDelete}, r.Method):
		a.add(r.path, r.Method+" "+r.Path+" is nothing that endpoint "+endpointKeys+" does", "GET and POST on the list, GET, PATCH and DELETE on one")
	}
}

// endpointFields checks what belongs to one kind of endpoint alone.
func (a *api) endpointFields(path string, in *Endpoint) {
	for _, only := range [][2]string{{"grants", "oauth2_token"}, {"field", "key_exchange"}, {"fields", endpointKeys}} {
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
