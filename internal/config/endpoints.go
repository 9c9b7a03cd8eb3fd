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

	base := sallyport.Operation{Serve: in.Serve, Scopes: in.Scope, Weight: 1, Plans: in.Plans, Grants: in.Grants, Field: in.Field}
	if in.Serve == endpointKeys {
		base.Fields = in.Fields
	}
	if slices.Contains(issuing, in.Serve) {
		a.issues(path, in)
	}
	if in.Serve == sallyport.ServeExchange && base.Field == "" {
		base.Field = "api_key"
	}
	a.permit(field(path, "scope"), &base)
	base.Public = len(in.Scope) == 0 && in.Serve != endpointKeys && !a.has(field(path, "scope"))
	if !base.Public {
		base.Tenant = tenantParameter(a.in.Tenant)
	}
	for _, r := range a.expandRoutes(path, &in.Routes) {
		a.addOperation(base, r, false)
		a.mountable(r)
		if in.Serve == endpointKeys {
			a.keysRoute(r)
		} else {
			a.endpointRoute(in.Serve, r)
		}
	}
}

// issuing are the endpoints that have to do with tokens of the gate's own, and the
// methods of each.
var (
	issuing = []string{
		sallyport.ServeToken, sallyport.ServeAuthorize, sallyport.ServeCallback, sallyport.ServeRevoke, sallyport.ServeIntrospect,
		sallyport.ServeMetadata, sallyport.ServeJWKS, sallyport.ServeExchange,
	}
	issuingBy = map[string][]string{
		sallyport.ServeToken: {http.MethodPost}, sallyport.ServeRevoke: {http.MethodPost}, sallyport.ServeIntrospect: {http.MethodPost},
		sallyport.ServeExchange: {http.MethodPost}, sallyport.ServeMetadata: {http.MethodGet}, sallyport.ServeJWKS: {http.MethodGet},
		sallyport.ServeAuthorize: {http.MethodGet, http.MethodPost}, sallyport.ServeCallback: {http.MethodGet},
	}
)

// issues checks what an endpoint needs that has to do with tokens.
func (a *api) issues(path string, in *Endpoint) {
	own := slices.ContainsFunc(a.in.Credentials.Tokens, func(t TokenUse) bool { return t.Issuer == issuerSelf })
	if tokens := a.sub("credentials.tokens"); a.whole(tokens) && !own {
		a.add(field(path, "serve"), "endpoint "+in.Serve+" has no tokens to serve", "list {issuer: self} under credentials.tokens")
	}
	if in.Serve == sallyport.ServeToken && !a.has(field(path, "grants")) {
		a.add(path, "does not say which grants it takes", "allowed: "+strings.Join(grants, ", "))
	}
	if in.Serve == sallyport.ServeCallback && own && !slices.ContainsFunc(a.in.Credentials.Tokens, func(t TokenUse) bool { return t.Login != nil }) {
		a.add(field(path, "serve"), "is for users who sign in elsewhere, and none do", "say where, by login: in the entry {issuer: self} under credentials.tokens")
	}
	if in.Field != "" && !scopeName.MatchString(in.Field) {
		a.add(field(path, "field"), quote(in.Field)+" is not the name of a field", "write one such as api_key")
	}
	if a.has(field(path, "scope")) {
		a.add(field(path, "scope"), "is not for endpoint "+in.Serve, "its callers prove themselves by what they send")
	}
}

// mountable checks that a path can lead to the server's plain HTTP.
func (a *api) mountable(r compiled) {
	if first, _, _ := strings.Cut(strings.TrimPrefix(r.Path, "/"), "/"); strings.HasPrefix(first, "{") || slices.Contains(ownPaths, first) {
		a.add(r.path, "path "+quote(r.Path)+" could be one of the server's own", "begin it with a word other than "+strings.Join(ownPaths, ", "))
	}
}

// endpointRoute checks a route of an endpoint that is at one path.
func (a *api) endpointRoute(serve string, r compiled) {
	if len(r.template.Params()) > 0 {
		a.add(r.path, "path "+quote(r.Path)+" has a parameter", "endpoint "+serve+" has none")
	}
	if by := issuingBy[serve]; by != nil && !slices.Contains(by, r.Method) {
		a.add(r.path, r.Method+" "+r.Path+" is nothing that endpoint "+serve+" does", "allowed: "+strings.Join(by, ", "))
	}
}

// keysRoute checks a route of the endpoint for keys: a list of them, or one.
func (a *api) keysRoute(r compiled) {
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
