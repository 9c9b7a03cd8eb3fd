package extauthz

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/pattern"
	"github.com/sallyport/sallyport/internal/render"
)

// rules is a policy as this room needs it: immutable, one for all requests.
// The zero value lists nothing.
type rules struct {
	byDefault sallyport.Chain
	byName    map[string]*apiRules
	byHost    map[string]*apiRules
	nobody    *render.Answers // refusals on hosts that nobody lists
}

// apiRules is one API, compiled.
type apiRules struct {
	*sallyport.API
	prefixes *apikey.Prefixes
	opaque   bool // tokens of an issuer that is asked about them
	answers  *render.Answers
	mocks    map[*sallyport.Answer]mock
	cors     *cors
	routes   *pattern.Tree[*methods]            // of operations that every host serves
	only     map[string]*pattern.Tree[*methods] // by host, where some operations have hosts of their own
}

// methods is what one path template offers: few enough to be looked through.
type methods []route

// route is an operation as it is matched. Operations on one path may name its
// parameters each in its own way, so what a route needs of them it knows by
// position.
type route struct {
	*sallyport.Operation
	tenantAt int // the path parameter that names a tenant, -1 for none
	senderAt int // the path parameter that names the sender of a webhook, -1 for none
}

// mock is an answer of the gate's own, compiled.
type mock struct{ body, token *render.Template }

func compile(p *sallyport.Policy) (*rules, error) {
	nobody, err := render.NewAnswers(nil)
	if err != nil {
		return nil, err
	}
	r := &rules{byDefault: p.Chain, byName: make(map[string]*apiRules), byHost: make(map[string]*apiRules), nobody: nobody}
	for _, api := range p.APIs {
		a, err := compileAPI(api)
		if err != nil {
			return nil, fmt.Errorf("api %s: %w", api.Name, err)
		}
		r.byName[api.Name] = a
		for _, host := range api.Hosts {
			r.byHost[host] = a
		}
	}
	return r, nil
}

func compileAPI(api *sallyport.API) (_ *apiRules, err error) {
	a := &apiRules{
		API: api, mocks: make(map[*sallyport.Answer]mock), only: make(map[string]*pattern.Tree[*methods]),
		cors: compileCORS(api),
	}
	if a.prefixes, err = apikey.Compile(api.Keys); err != nil {
		return nil, err
	}
	if a.answers, err = render.NewAnswers(api); err != nil {
		return nil, err
	}
	a.opaque = slices.ContainsFunc(api.Issuers, func(i sallyport.Issuer) bool { return i.Introspect != nil })
	for _, op := range api.Operations {
		for _, answer := range []*sallyport.Answer{op.Answer, op.Sandbox} {
			if answer == nil {
				continue
			}
			if a.mocks[answer], err = compileMock(answer); err != nil {
				return nil, fmt.Errorf("answer of %s: %w", op.Name, err)
			}
		}
	}
	if a.routes, err = compileRoutes(api.Operations, func(*sallyport.Operation) bool { return true }); err != nil {
		return nil, err
	}
	for _, op := range api.Operations {
		for _, host := range op.Hosts {
			if a.only[host] != nil {
				continue
			}
			served := func(op *sallyport.Operation) bool { return len(op.Hosts) == 0 || slices.Contains(op.Hosts, host) }
			if a.only[host], err = compileRoutes(api.Operations, served); err != nil {
				return nil, err
			}
		}
	}
	return a, nil
}

func compileMock(answer *sallyport.Answer) (m mock, err error) {
	if m.body, err = render.Compile(answer.Body); err != nil || answer.Token == "" {
		return m, err
	}
	m.token, err = render.Compile(answer.Token)
	return m, err
}

func compileRoutes(ops []*sallyport.Operation, served func(*sallyport.Operation) bool) (*pattern.Tree[*methods], error) {
	tree, byPath := new(pattern.Tree[*methods]), make(map[string]*methods)
	for _, op := range ops {
		if !served(op) {
			continue
		}
		template, err := pattern.Parse(op.Path)
		if err != nil {
			return nil, fmt.Errorf("operation %s: %w", op.Name, err)
		}
		m := byPath[template.Shape()]
		if m == nil {
			m = new(methods)
			byPath[template.Shape()] = m
			if err := tree.Add(template, m); err != nil {
				return nil, fmt.Errorf("operation %s: %w", op.Name, err)
			}
		}
		r := route{op, slices.Index(template.Params(), op.Tenant.Path), -1}
		if op.Webhook != nil {
			r.senderAt = slices.Index(template.Params(), op.Webhook.Parameter)
		}
		*m = append(*m, r)
	}
	return tree, nil
}

// find returns the API that the route's context extension names, else the one
// of the host; nil where neither is listed.
func (r *rules) find(req *sallyport.Request) *apiRules {
	if req.API != "" {
		return r.byName[req.API]
	}
	return r.byHost[canonicalHost(req.Host)]
}

func (r *rules) chain(req *sallyport.Request) sallyport.Chain {
	switch {
	case req.Chain == sallyport.PerListener:
		return sallyport.Fused // no listener has said its own
	case req.Chain != sallyport.ChainUnset:
		return req.Chain
	case r.byDefault != sallyport.ChainUnset:
		return r.byDefault
	}
	return sallyport.Paired
}

// canonicalHost returns host in lower case, without port and trailing dot.
func canonicalHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// match returns the route that req asks for, or one without an operation and
// why: its path is not one that the gate judges, or nothing is listed there.
// HEAD follows GET.
func (a *apiRules) match(req *sallyport.Request, params *pattern.Params) (route, sallyport.Reason) {
	if !pattern.Canonical(req.Path) {
		return route{}, sallyport.PathMalformed
	}
	routes := a.routes
	if len(a.only) > 0 {
		if routes = a.only[canonicalHost(req.Host)]; routes == nil {
			// The route named the API, on a host that the file does not list:
			// it stands for the API's first, and for no host of some
			// operations alone.
			routes = a.only[a.Hosts[0]]
		}
		if routes == nil {
			return route{}, sallyport.OperationUnlisted
		}
	}
	offered, ok := routes.Match(req.Path, params)
	if !ok {
		return route{}, sallyport.OperationUnlisted
	}
	if r, ok := offered.method(req.Method); ok {
		return r, sallyport.Allowed
	}
	if req.Method == http.MethodHead {
		if r, ok := offered.method(http.MethodGet); ok {
			return r, sallyport.Allowed
		}
	}
	return route{}, sallyport.OperationUnlisted
}

func (m *methods) method(name string) (route, bool) {
	for _, r := range *m {
		if r.Method == name {
			return r, true
		}
	}
	return route{}, false
}
