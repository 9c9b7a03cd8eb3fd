package config

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/pattern"
)

const maxRoutes = 20_000 // of one API

// compiled is one operation and where it comes from.
type compiled struct {
	*sallyport.Operation
	template pattern.Template
	entry    string // path in the file of what it is a part of
	path     string // path in the file of its template
	index    int    // its place in the list
}

// operations compiles operations and endpoints, and says which collide.
func (a *api) operations() {
	if len(a.in.Operations)+len(a.in.Endpoints) == 0 && !a.has(a.sub("operations")) && !a.has(a.sub("endpoints")) {
		a.add(a.sub("operations"), "no operation is listed", "what is not listed is refused")
	}
	a.checkAnswers()
	a.checkTenant()
	for i := range a.in.Operations {
		a.operation(index(a.sub("operations"), i), &a.in.Operations[i])
	}
	for i := range a.in.Endpoints {
		a.endpoint(index(a.sub("endpoints"), i), &a.in.Endpoints[i])
	}
	if len(a.routes) > maxRoutes {
		a.add(a.sub("operations"), "makes too many routes", fmt.Sprintf("at most %d", maxRoutes))
		return
	}
	a.placeHosts()
	a.onceForAll()
	for _, r := range a.routes {
		a.out.Operations = append(a.out.Operations, r.Operation)
	}
	a.distinctNames()
	a.overlaps()
	a.tenantParameterIsUsed()
}

// placeHosts spells out on which hosts each operation is served, once any of
// them has hosts of its own.
func (a *api) placeHosts() {
	own := a.out.Hosts
	several := false
	for _, r := range a.routes {
		several = several || len(r.Hosts) > 0
		for _, host := range r.Hosts {
			if !slices.Contains(a.out.Hosts, host) {
				a.out.Hosts = append(a.out.Hosts[:len(a.out.Hosts):len(a.out.Hosts)], host)
			}
		}
	}
	for _, r := range a.routes {
		if several && len(r.Hosts) == 0 {
			r.Hosts = own
		}
	}
}

// operation compiles one entry to an operation a method and path.
func (a *api) operation(path string, in *Operation) {
	base := sallyport.Operation{Name: in.Name, Category: in.Category, Scopes: in.Scope}
	a.permit(field(path, "scope"), &base)
	if in.Name != "" && !isLabel(in.Name) {
		a.add(field(path, "name"), "is not a name", "write it in one line of printable characters")
	}
	if a.oneOf(field(path, "access"), "access", in.Access, "read", "write") {
		base.Access = access(in.Access)
	}
	if a.whole(a.sub("categories")) {
		a.known(field(path, "category"), "category", in.Category, a.in.Categories)
	}
	base.Weight, base.Cost = a.weight(path, in)
	base.Shadow = a.mode(field(path, "mode"), in.Mode)
	base.Answer = a.answer(field(path, "answer"), in.Answer)
	base.Sandbox = a.answer(field(path, "sandbox"), in.Sandbox)
	base.Tenant = tenantParameter(in.Tenant)
	own := base.Tenant != (sallyport.TenantParameter{})
	if own {
		a.tenant(field(path, "tenant"), in.Tenant)
	} else {
		base.Tenant = tenantParameter(a.in.Tenant)
	}
	routes := a.expandRoutes(path, &in.Routes)
	if in.Webhook != nil {
		base.Webhook = a.webhook(path, in, routes)
	}
	for _, r := range routes {
		a.addOperation(base, r, own)
	}
}

// addOperation adds one operation of an entry.
func (a *api) addOperation(op sallyport.Operation, r compiled, ownTenant bool) {
	if op.Name == "" {
		op.Name = r.Method + " " + r.Path
	}
	op.Method, op.Path, op.Hosts = r.Method, r.Path, r.Hosts
	if op.Access == sallyport.AccessUnset {
		op.Access = accessOf(op.Method)
	}
	if name := op.Tenant.Path; name != "" && !slices.Contains(r.template.Params(), name) {
		if ownTenant {
			a.add(r.path, "path "+quote(r.Path)+" has no parameter "+quote(name)+", which names the tenant", "")
		}
		op.Tenant.Path = ""
	}
	r.Operation = &op
	r.index = len(a.routes)
	a.routes = append(a.routes, r)
}

func access(word string) sallyport.Access {
	switch word {
	case "read":
		return sallyport.Read
	case "write":
		return sallyport.Write
	}
	return sallyport.AccessUnset
}

// accessOf is what a method does by RFC 9110 §9.2.1, unless told else.
func accessOf(method string) sallyport.Access {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return sallyport.Read
	}
	return sallyport.Write
}

// permit fills in who may use op.
func (a *api) permit(path string, op *sallyport.Operation) {
	if len(op.Scopes) == 0 {
		return
	}
	if a.whole(a.sub("scopes")) {
		for i, scope := range op.Scopes {
			if _, ok := a.scopes[scope]; !ok {
				a.known(index(path, i), "scope", scope, a.scopeNames())
			}
		}
	}
	a.distinct(path, "scope", op.Scopes)
	op.Granted = a.granted(op.Scopes)
}

// expandRoutes reads how an entry names its methods and paths.
func (a *api) expandRoutes(path string, in *Routes) (routes []compiled) {
	hosts := a.hosts(field(path, "hosts"), in.Hosts)
	var byKey []string
	for _, m := range methods {
		if a.has(field(path, m)) {
			byKey = append(byKey, m)
			routes = a.appendRoutes(routes, path, m, m, in.paths(m), hosts)
		}
	}
	listed := a.has(field(path, "methods")) || a.has(field(path, "paths"))
	switch {
	case listed && len(byKey) > 0:
		a.add(path, "is written in two forms", "write "+byKey[0]+": PATH, or methods and paths")
	case listed && !a.has(field(path, "paths")):
		a.add(path, "has methods and no paths", "write methods: […] and paths: […]")
	case listed && !a.has(field(path, "methods")):
		a.add(path, "has paths and no methods", "write methods: […] and paths: […]")
	case !listed && len(byKey) == 0:
		a.add(path, "has no route", "write GET: PATH, or methods: […] and paths: […]")
	}
	a.distinct(field(path, "methods"), "method", in.Methods)
	for i, m := range in.Methods {
		known := a.oneOf(index(field(path, "methods"), i), "method", m, methods...)
		if known && m != "" && !slices.Contains(in.Methods[:i], m) {
			routes = a.appendRoutes(routes, path, "paths", m, in.Paths, hosts)
		}
	}
	return routes
}

// appendRoutes adds method with every path of list, the field name of entry.
func (a *api) appendRoutes(routes []compiled, entry, name, method string, list List, hosts []string) []compiled {
	for i, text := range list {
		if text == "" {
			continue
		}
		if len(a.routes)+len(routes) > maxRoutes {
			break // told by operations
		}
		at := index(field(entry, name), i)
		template, err := pattern.Parse(text)
		if err != nil {
			a.add(at, err.Error(), "")
			continue
		}
		op := &sallyport.Operation{Method: method, Path: text, Hosts: hosts}
		routes = append(routes, compiled{Operation: op, template: template, entry: entry, path: at})
	}
	return routes
}

func (r *Routes) paths(method string) List {
	switch method {
	case http.MethodGet:
		return r.GET
	case http.MethodHead:
		return r.HEAD
	case http.MethodPost:
		return r.POST
	case http.MethodPut:
		return r.PUT
	case http.MethodPatch:
		return r.PATCH
	case http.MethodDelete:
		return r.DELETE
	}
	return r.OPTIONS
}

// distinctNames refuses one name for two entries: limits and reports go by it.
func (a *api) distinctNames() {
	first := map[string]compiled{}
	for _, r := range a.routes {
		before, taken := first[r.Name]
		switch {
		case !taken:
			first[r.Name] = r
		case before.entry != r.entry && relation(r, before) != pattern.Equal: // overlaps tells those
			a.add(field(r.entry, "name"), fmt.Sprintf("name %s is taken by the entry on line %d", quote(r.Name), a.line(before.path)), "give each entry a name of its own")
		}
	}
}

func (a *api) checkTenant() {
	if a.in.Tenant != (TenantParameter{}) {
		a.tenant(a.sub("tenant"), a.in.Tenant)
	}
}

func (a *api) tenant(path string, in TenantParameter) {
	if in.Header != "" {
		if problem, hint := headerProblem(in.Header); problem != "" {
			a.add(field(path, "header"), problem, hint)
		}
	}
	if in.Query != "" && !queryName.MatchString(in.Query) {
		a.add(field(path, "query"), quote(in.Query)+" is not the name of a query parameter", "write letters, digits, . _ ~ and -")
	}
}

// tenantParameterIsUsed finds the slip in a name that would leave a wall out.
func (a *api) tenantParameterIsUsed() {
	name := a.in.Tenant.Path
	if name == "" || len(a.routes) == 0 {
		return
	}
	for _, r := range a.routes {
		if slices.Contains(r.template.Params(), name) {
			return
		}
	}
	a.add(a.sub("tenant.path"), "no operation has the parameter "+quote(name), "write the name that stands in braces in a path")
}

func tenantParameter(in TenantParameter) sallyport.TenantParameter {
	return sallyport.TenantParameter{Path: in.Path, Query: in.Query, Header: strings.ToLower(in.Header)}
}
