package envoy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// GatewayNames says how Envoy Gateway calls what an EnvoyPatchPolicy changes. A
// patch for a name that there is not changes nothing, and no traffic shows it.
type GatewayNames string

const (
	// GatewayNamesV1 is NAMESPACE/GATEWAY/LISTENER: Envoy Gateway up to 1.9,
	// unless it runs with the flag XDSNameSchemeV2.
	GatewayNamesV1 GatewayNames = "v1"
	// GatewayNamesV2 is tcp-PORT for listeners and http-PORT for their routes: with
	// that flag, and the default from 1.10 on.
	GatewayNamesV2 GatewayNames = "v2"
	// GatewayNamesNone does without an EnvoyPatchPolicy, for who may not have one,
	// and so on the fused chain.
	GatewayNamesNone GatewayNames = "none"
)

// AllGatewayNames lists them.
func AllGatewayNames() []string {
	return []string{string(GatewayNamesV1), string(GatewayNamesV2), string(GatewayNamesNone)}
}

// GatewayOptions is what Envoy Gateway's objects need besides the policy. The zero
// value of a field means its default. Of Options it uses Chain, TrustedHops,
// Timeouts, Render, and GRPC for where the EnvoyPatchPolicy's own clusters lead:
// by default to the service, by its name in the cluster.
type GatewayOptions struct {
	Options

	Names            GatewayNames // default v1
	Gateway          string       // default eg
	GatewayNamespace string       // default Namespace
	Listeners        []string     // NAME:PORT, with :tls behind it where the Gateway ends TLS; default http:80

	Namespace string   // of the HTTPRoutes that are guarded; default default
	Routes    []string // API=HTTPROUTE, or HTTPROUTE where there is one API; by default those called as the API is

	Service          string // ours; default sallyport
	ServiceNamespace string // default sallyport
	ServiceKind      string // Service, or Backend of Envoy Gateway's own; default Service
	Port             uint16 // of our gRPC; default 9191
	HTTPService      string // for what we serve ourselves; default Service
	HTTPPort         uint16 // default 9192
	ClusterDomain    string // of Kubernetes; default cluster.local
}

func (o GatewayOptions) withDefaults(p *sallyport.Policy) GatewayOptions {
	o.Names = cmp.Or(o.Names, GatewayNamesV1)
	o.Gateway = cmp.Or(o.Gateway, "eg")
	o.Namespace = cmp.Or(o.Namespace, "default")
	o.GatewayNamespace = cmp.Or(o.GatewayNamespace, o.Namespace)
	o.Service = cmp.Or(o.Service, "sallyport")
	o.ServiceNamespace = cmp.Or(o.ServiceNamespace, "sallyport")
	o.ServiceKind = cmp.Or(o.ServiceKind, "Service")
	o.Port = cmp.Or(o.Port, 9191)
	o.HTTPService = cmp.Or(o.HTTPService, o.Service)
	o.HTTPPort = cmp.Or(o.HTTPPort, 9192)
	o.ClusterDomain = cmp.Or(o.ClusterDomain, "cluster.local")
	if len(o.Listeners) == 0 {
		o.Listeners = []string{"http:80"}
	}
	if o.GRPC == "" && o.ServiceKind == "Service" {
		o.GRPC = fmt.Sprintf("%s.%s.svc.%s:%d", o.Service, o.ServiceNamespace, o.ClusterDomain, o.Port)
	}
	if o.Names == GatewayNamesNone && o.Chain == sallyport.ChainUnset {
		o.Chain = sallyport.Fused // whatever the policy says: there is no other
	}
	o.Options = o.Options.withDefaults(p)
	return o
}

// name is that of an object in another namespace than the Gateway's, perhaps.
func (o GatewayOptions) name(parts ...string) string {
	parts = slices.Insert(parts, 0, o.Gateway)
	if o.GatewayNamespace != o.Namespace {
		parts = slices.Insert(parts, 0, o.GatewayNamespace)
	}
	return objectName(parts...)
}

// gatewayView is what the template is executed on.
type gatewayView struct {
	*view
	Gateway   GatewayOptions
	Patched   bool // there is an EnvoyPatchPolicy
	Listeners []gatewayListener
	Guarded   []guardedAPI
	Patches   []patch
	Buffer    int64 // how much of a webhook's body must fit into a connection's buffer; 0: what is usual
}

// Backoff is how long a call waits before it is tried again for the first time.
func (v gatewayView) Backoff() time.Duration { return backoff(v.Timeouts.Check) }

// Name is that of what is about the Gateway as a whole.
func (v gatewayView) Name() string { return objectName(v.Gateway.Gateway) }

// GrantName is the name of what lets the objects name our Services.
func (v gatewayView) GrantName() string {
	return v.Gateway.name(v.Gateway.Service, v.Gateway.Namespace)
}

// AnyServes reports whether there is an HTTPRoute to us.
func (v gatewayView) AnyServes() bool {
	return slices.ContainsFunc(v.Guarded, func(a guardedAPI) bool { return a.Serves != "" })
}

// gatewayListener is one of a Gateway, and what Envoy calls its own listener, which is
// one for all of a port, and its routes.
type gatewayListener struct {
	Name        string
	Port        uint16
	TLS         bool
	XDS, Routes string
}

// guardedAPI is an API whose routes are guarded.
type guardedAPI struct {
	Name    string
	Policy  string   // the SecurityPolicy's name
	Routes  []string // HTTPRoutes to the upstream
	Serves  string   // the HTTPRoute to what we serve ourselves; "": nothing
	Hosts   []string
	Matches []pathMatch
	Body    int64    // of webhooks: so many bytes are shown to Check; 0: none
	Remove  []string // headers of the upstream's answers that would pass for ours
}

// Gateway writes what Envoy Gateway is told, for p, as YAML documents for kubectl.
// Equal arguments give equal bytes. Its errors are the operator's, all of them at
// once.
func Gateway(p *sallyport.Policy, o GatewayOptions) ([]byte, error) {
	o = o.withDefaults(p)
	b := builder{options: o.Options}
	b.checkGateway(o)
	v := gatewayView{view: b.common(p, names{clusterAuthz, clusterRateLimit, clusterAccessLog}), Gateway: o}
	v.Patched = o.Names != GatewayNamesNone
	v.Shared, v.FilterSuffix = true, "/sallyport"
	v.Listeners = b.gatewayListeners(o)
	v.Guarded = b.guarded(p, o)
	v.Replies, v.SharedHosts = b.ownReplies(p)
	b.checkUnpatched(v)
	for _, api := range v.Guarded {
		if api.Body > 0 {
			v.Buffer = max(v.Buffer, api.Body+readAhead)
		}
	}
	if v.Patched {
		b.gatewayClusters(v)
		var err error
		if v.Patches, err = v.patches(); err != nil {
			return nil, fmt.Errorf("write gateway: %w", err)
		}
	}
	if err := errors.Join(b.faults...); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "gateway.yaml.tmpl", v); err != nil {
		return nil, fmt.Errorf("write gateway: %w", err)
	}
	return out.Bytes(), nil
}

// gatewayClusters adds where the patches' filters ask. That of ext_authz Envoy Gateway
// makes itself.
func (b *builder) gatewayClusters(v gatewayView) {
	switch {
	case !v.Paired && v.AccessLog == nil:
	case v.GRPC == "":
		b.fault("grpc: where a Backend leads is not known here: say where Envoy reaches sallyport, as host:port or unix:///path")
	default:
		b.ownClusters(v.view)
		v.Clusters = v.Clusters[1:]
	}
}

// gatewayListeners reads the listeners. Of those on one port that end TLS each has
// routes of its own, and all others share what the first is called.
func (b *builder) gatewayListeners(o GatewayOptions) (list []gatewayListener) {
	for _, text := range o.Listeners {
		name, rest, _ := strings.Cut(text, ":")
		number, ends, _ := strings.Cut(rest, ":")
		port, err := strconv.ParseUint(number, 10, 16)
		if !kubernetesNames.MatchString(name) || err != nil || port == 0 || ends != "" && ends != "tls" {
			b.fault("listener: %q is not NAME:PORT or NAME:PORT:tls, such as http:80", text)
			continue
		}
		l := gatewayListener{Name: name, Port: uint16(port), TLS: ends != ""}
		l.XDS = o.GatewayNamespace + "/" + o.Gateway + "/" + name
		l.Routes = l.XDS
		if o.Names == GatewayNamesV2 {
			l.XDS = fmt.Sprint("tcp-", port)
			if !l.TLS {
				l.Routes = fmt.Sprint("http-", port)
			}
		}
		if i := slices.IndexFunc(list, func(other gatewayListener) bool { return other.Port == l.Port }); i >= 0 {
			first := list[i]
			if first.TLS != l.TLS {
				b.fault("listener: of %s and %s, on one port, both end TLS or neither does", first.Name, l.Name)
			}
			l.XDS = first.XDS
			if !l.TLS {
				l.Routes = first.Routes
			}
		}
		if slices.ContainsFunc(list, func(other gatewayListener) bool { return other.Name == name }) {
			b.fault("listener: %s is named twice", name)
		}
		list = append(list, l)
	}
	return list
}

// guarded lists the APIs with hosts, and the HTTPRoutes of each.
func (b *builder) guarded(p *sallyport.Policy, o GatewayOptions) (list []guardedAPI) {
	ours := served(p)
	routes := b.gatewayRoutes(p, o)
	for _, api := range p.APIs {
		if len(api.Hosts) == 0 {
			continue
		}
		one := guardedAPI{Name: api.Name, Policy: o.name(api.Name), Hosts: api.Hosts, Routes: routes[api.Name]}
		if len(one.Routes) == 0 {
			one.Routes = []string{kubernetesName(api.Name)}
		}
		if i := slices.IndexFunc(ours, func(s servedAPI) bool { return s.Name == api.Name }); i >= 0 {
			one.Serves, one.Matches = one.Policy, ours[i].Matches
		}
		for _, op := range api.Operations {
			if op.Webhook != nil {
				one.Body = max(one.Body, op.Webhook.MaxBody+1)
			}
		}
		one.Remove = b.bound(route{}, api).Remove
		list = append(list, one)
	}
	if len(list) == 0 {
		b.fault("there is no API with hosts, so no route to guard")
	}
	return list
}

// gatewayRoutes reads which HTTPRoutes are whose.
func (b *builder) gatewayRoutes(p *sallyport.Policy, o GatewayOptions) map[string][]string {
	var known []string
	for _, api := range p.APIs {
		if len(api.Hosts) > 0 {
			known = append(known, api.Name)
		}
	}
	routes := map[string][]string{}
	for _, text := range o.Routes {
		api, name, named := strings.Cut(text, "=")
		if !named {
			if name = text; len(known) != 1 {
				b.fault("route: %q: there are several APIs, so say whose it is: API=HTTPROUTE, with %s", text, strings.Join(known, ", "))
				continue
			}
			api = known[0]
		}
		switch {
		case !slices.Contains(known, api):
			b.fault("route: %q: no API with hosts is called %q; there are %s", text, api, strings.Join(known, ", "))
		case !subdomains.MatchString(name):
			b.fault("route: %q is no name of an HTTPRoute", name)
		default:
			routes[api] = append(routes[api], name)
		}
	}
	return routes
}

// Matching is the matches of an HTTPRoute's rules, as many as one rule may have.
func (a guardedAPI) Matching() [][]pathMatch {
	const most = 64
	return slices.Collect(slices.Chunk(a.Matches, most))
}

var subdomains = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

// checkGateway refuses what Kubernetes would refuse, or Envoy Gateway take without
// a word.
func (b *builder) checkGateway(o GatewayOptions) {
	if !slices.Contains(AllGatewayNames(), string(o.Names)) {
		b.fault("names: %q: there are %s", o.Names, strings.Join(AllGatewayNames(), ", "))
	}
	for _, n := range []struct{ option, value string }{
		{"gateway", o.Gateway}, {"gateway-namespace", o.GatewayNamespace}, {"namespace", o.Namespace},
		{"service", o.Service}, {"service-namespace", o.ServiceNamespace}, {"http-service", o.HTTPService},
	} {
		if !kubernetesNames.MatchString(n.value) || len(n.value) > 63 {
			b.fault("%s: %q is no name: lower case letters, digits and hyphens, 63 at most", n.option, n.value)
		}
	}
	if o.ServiceKind != "Service" && o.ServiceKind != "Backend" {
		b.fault("service-kind: %q: there are Service and Backend", o.ServiceKind)
	}
	if !hostname(o.ClusterDomain) {
		b.fault("cluster-domain: %q is no domain, such as cluster.local", o.ClusterDomain)
	}
}

// checkUnpatched refuses what needs an EnvoyPatchPolicy where there is none.
func (b *builder) checkUnpatched(v gatewayView) {
	if v.Patched {
		return
	}
	if v.Paired {
		b.fault("names none: the paired chain needs the ratelimit filter, which only an EnvoyPatchPolicy can add; without one say --chain fused")
	}
	if v.AccessLog != nil {
		b.fault("names none: a limit of concurrency, or what an answer costs, needs an access log that only an EnvoyPatchPolicy can add; say --names v1 or v2")
	}
}

// gatewayDuration writes d as Kubernetes' Gateway API does: whole milliseconds at
// least.
func gatewayDuration(d time.Duration) string {
	if d%time.Second == 0 && d < 100_000*time.Second {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(max(1, d.Milliseconds()), 10) + "ms"
}
