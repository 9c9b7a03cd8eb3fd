package envoy

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport"
)

// IstioPart names one part of what Istio is told.
type IstioPart string

// The parts, in the order in which they are written.
const (
	IstioMesh       IstioPart = "mesh"        // the extension provider, for MeshConfig
	IstioLocal      IstioPart = "local"       // the ServiceEntry for a container beside each Envoy
	IstioGateway    IstioPart = "gateway"     // a gateway of Istio's own API, by its labels
	IstioGatewayAPI IstioPart = "gateway-api" // a Gateway of the Gateway API
	IstioRoutes     IstioPart = "routes"      // HTTPRoutes to what we serve ourselves
	IstioWorkload   IstioPart = "workload"    // the sidecars of pods, by their labels
	IstioWaypoint   IstioPart = "waypoint"    // a waypoint of the ambient mode
)

// IstioParts lists all parts.
func IstioParts() []IstioPart {
	return []IstioPart{IstioMesh, IstioLocal, IstioGateway, IstioGatewayAPI, IstioRoutes, IstioWorkload, IstioWaypoint}
}

// IstioOptions is what Istio's objects need besides the policy. The zero value of
// a field means its default. Of Options it uses Chain, Timeouts and Render.
type IstioOptions struct {
	Options

	Parts    []IstioPart // which ones; where empty, all but Local, or with it where Beside
	Provider string      // the extension provider's name; default sallyport
	Service  string      // our host as the mesh knows it; default sallyport.sallyport.svc.cluster.local, or sallyport.local where Beside
	Port     uint16      // of our gRPC there; default 9191
	HTTPPort uint16      // of our plain HTTP there; default 9192
	Beside   bool        // we are a container beside each Envoy, and no service of the cluster

	Root string // the mesh's root namespace; default istio-system

	Namespace string // of the gateways; default istio-system
	Selector  string // labels of a gateway's pods, as key=value,…; default istio=ingressgateway
	Gateway   string // a Gateway's name; default ingress

	WorkloadNamespace string // of workloads and waypoint; default default
	Workload          string // labels of the workload's pods; default app= and the first API's name
	Waypoint          string // a waypoint's name; default waypoint

	OpenPaths []string // that nobody is asked about; what is spelt in another way is
	// OpenHosts are hosts that nobody is asked about, as HOST or HOST:PORT; without a
	// port they are open with 80 and 443 as well. A client writes what it likes there,
	// so they are for gateways only, of which the routes of such a host lead to nothing
	// that is guarded.
	OpenHosts []string
}

func (o IstioOptions) withDefaults(p *sallyport.Policy) IstioOptions {
	if o.Service == "" && o.Beside {
		o.Service = "sallyport.local"
	}
	app := "api"
	if len(p.APIs) > 0 {
		app = p.APIs[0].Name
	}
	for _, f := range []struct {
		field *string
		value string
	}{
		{&o.Provider, "sallyport"},
		{&o.Service, "sallyport.sallyport.svc.cluster.local"},
		{&o.Root, "istio-system"},
		{&o.Namespace, "istio-system"},
		{&o.Selector, "istio=ingressgateway"},
		{&o.Gateway, "ingress"},
		{&o.WorkloadNamespace, "default"},
		{&o.Workload, "app=" + app},
		{&o.Waypoint, "waypoint"},
	} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	if o.Port == 0 {
		o.Port = 9191
	}
	if o.HTTPPort == 0 {
		o.HTTPPort = 9192
	}
	if len(o.Parts) == 0 {
		o.Parts = slices.DeleteFunc(IstioParts(), func(part IstioPart) bool { return part == IstioLocal && !o.Beside })
	}
	o.Options = o.Options.withDefaults(p)
	return o
}

// istioView is what a part's template is executed on.
type istioView struct {
	*view
	Istio  IstioOptions
	Body   int64    // so many bytes of a body are shown to Check; 0: none
	Buffer int64    // so many must fit in
	Remove []string // headers of answers that would pass for ours

	// Of the proxies that a form is for:
	Comment    string
	Name       string // of the objects
	Namespace  string
	Context    string // GATEWAY or SIDECAR_INBOUND
	Listener   string // the one that is meant, where a proxy has others for which it would be wrong
	Kind       string // of what is named in targetRefs; "" for labels
	Target     string
	Labels     []label
	Referenced string // NAMESPACE/HOST of our service

	Own              []ownRoute  // to us, of a proxy whose routes are not the operator's
	Served           []servedAPI // where Gateway API routes lead to us
	ServiceName      string      // "" where our host is no Service's
	ServiceNamespace string
	LocalName        string // of the ServiceEntry
}

type label struct{ Key, Value string }

// labelled is the name of what is for the pods with v's labels.
func (v *istioView) labelled() string {
	var parts []string
	for _, l := range v.Labels {
		parts = append(parts, l.Key, l.Value)
	}
	return objectName(parts...)
}

// RouteName is the name of an HTTPRoute to us.
func (v istioView) RouteName(api servedAPI) string { return objectName(v.Istio.Gateway, api.Name) }

// GrantName is the name of what lets the HTTPRoutes lead to us.
func (v istioView) GrantName() string { return objectName(v.ServiceName, v.Namespace) }

// ownRoute is a route to what we serve ourselves, for some hosts.
type ownRoute struct {
	route
	Host string // regular expression on :authority
}

// servedAPI is what we serve ourselves on an API's own paths.
type servedAPI struct {
	Name    string
	Hosts   []string
	Matches []pathMatch
}

type pathMatch struct{ Type, Value, Method string }

// Istio writes what Istio is told, for p, as YAML: documents for kubectl, but for
// the mesh's part. Equal arguments give equal bytes. Its errors are the
// operator's, all of them at once.
func Istio(p *sallyport.Policy, o IstioOptions) ([]byte, error) {
	o = o.withDefaults(p)
	b := builder{options: o.Options}
	b.checkIstio(p, o)
	cluster := fmt.Sprintf("outbound|%d||%s", o.Port, o.Service)
	v := istioView{view: b.common(p, names{cluster, cluster, cluster}), Istio: o, Served: served(p)}
	v.Body, v.Buffer, v.Remove = shown(p)
	v.Shared = true
	v.Replies, v.SharedHosts = b.ownReplies(p)
	v.Replies = append(v.Replies, b.replies(nil)[0]) // of hosts of no API as well: nobody else answers with the private status
	v.ServiceName, v.ServiceNamespace = o.service()
	v.LocalName = kubernetesName(o.Service)
	v.Istio.OpenHosts = asWritten(o.OpenHosts)
	var parts []string
	for _, part := range IstioParts() {
		if !slices.Contains(o.Parts, part) || part == IstioRoutes && len(v.Served) == 0 {
			continue
		}
		text, err := b.istioPart(p, part, v)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", part, err)
		}
		parts = append(parts, text)
	}
	if err := errors.Join(b.faults...); err != nil {
		return nil, err
	}
	head := "# What Istio is told of Sallyport, " + chainWords(o.Chain) + ".\n" +
		"# Generated by `sallyport envoy istio`: change sallyport.yaml and generate again.\n"
	return []byte(head + strings.Join(parts, "---\n")), nil
}

// asWritten lists hosts as they stand in a request, with a port and without. There is
// no HOST:* among them: Envoy routes by what is left of the last colon, so
// HOST:api.example.com:80 would be open, and routed to api.example.com.
func asWritten(hosts []string) (list []string) {
	for _, h := range hosts {
		list = append(list, h)
		if !strings.Contains(h, ":") {
			list = append(list, h+":80", h+":443")
		}
	}
	return list
}

func chainWords(c sallyport.Chain) string {
	if c == sallyport.Paired {
		return "paired chain: ext_authz says who calls, the ratelimit filter asks how often"
	}
	return "fused chain: one ext_authz call says who calls and takes the quota"
}

// istioPart writes one part.
func (b *builder) istioPart(p *sallyport.Policy, part IstioPart, v istioView) (string, error) {
	o := v.Istio
	common := *v.view
	v.view, v.Context = &common, "GATEWAY"
	v.Namespace = o.Namespace
	common.Source = true // as the gateway's own settings tell it
	v.Referenced = v.ServiceNamespace + "/" + o.Service
	switch part {
	case IstioMesh:
		return piece("istio-mesh", 0, v)
	case IstioLocal:
		return piece("istio-local", 0, v)
	case IstioRoutes:
		return piece("istio-routes", 0, v)
	case IstioGateway:
		v.Comment = "For the pods of a gateway, by their labels."
		v.Labels = b.labels("selector", o.Selector)
		v.Name = v.labelled()
	case IstioGatewayAPI:
		v.Comment = "For a Gateway of the Gateway API, whose proxies Istio makes."
		v.Name, v.Kind, v.Target = objectName(o.Gateway), "Gateway", o.Gateway
	case IstioWorkload:
		v.Comment = "For the sidecars of pods, by their labels: what comes in. Where a Sidecar object limits what they know, it must import\n# the host " + o.Service + "."
		v.Context, v.Namespace, v.Referenced = "SIDECAR_INBOUND", o.WorkloadNamespace, ""
		v.Labels = b.labels("workload", o.Workload)
		v.Name = v.labelled()
		common.Source = o.TrustedHops > 0 // else the connection's: whoever is in the mesh may write X-Forwarded-For
		v.Own = b.ownRoutes(p, fmt.Sprintf("outbound|%d||%s", o.HTTPPort, o.Service))
	case IstioWaypoint:
		v.Comment = "For a waypoint. Without one, ztunnel asks nobody."
		v.Context, v.Namespace = "SIDECAR_INBOUND", o.WorkloadNamespace // a waypoint has no context of its own that istiod knows
		v.Listener = "main_internal"                                    // connect_terminate ends the tunnels that requests come in, and asks nobody who calls
		v.Name, v.Kind, v.Target = objectName(o.Waypoint), "Gateway", o.Waypoint
		common.Source = o.TrustedHops > 0
		v.Own = b.ownRoutes(p, fmt.Sprintf("outbound|%d||%s", o.HTTPPort, o.Service))
	}
	return piece("istio-form", 0, v)
}

// ownRoutes are the routes to what we serve ourselves, in cluster, the least
// specific first: each is inserted before those that are there. A proxy's own
// route takes all else; where it would have to take what one of ours matches too,
// there is none.
func (b *builder) ownRoutes(p *sallyport.Policy, cluster string) (list []ownRoute) {
	for _, api := range p.APIs {
		if len(api.Hosts) == 0 {
			continue
		}
		all, err := routes(api.Operations, "")
		if err != nil {
			b.fault("api %s: %w", api.Name, err)
		}
		for _, r := range slices.Backward(all) {
			upstream := func(other route) bool { return other.Cluster != clusterHTTP && r.overlaps(other) }
			if r.Cluster == clusterHTTP && !slices.ContainsFunc(all, upstream) {
				r.Cluster, r.Timeout = cluster, b.options.Timeouts.Upstream
				list = append(list, ownRoute{r, hostExpression(api)})
			}
		}
	}
	return list
}

// shown is how much of a webhook's body Check is shown, what must fit into a
// proxy's buffer for that, and which headers of upstreams would pass for ours.
// Where an endpoint of our own tells a quota those stay, since Istio cannot take
// them away on the other routes alone.
func shown(p *sallyport.Policy) (body, buffer int64, remove []string) {
	ours := false
	for _, api := range p.APIs {
		for _, op := range api.Operations {
			if op.Webhook != nil {
				body = max(body, op.Webhook.MaxBody+1)
			}
		}
		for _, l := range api.Limits {
			ours = ours || len(l.When.Endpoint) > 0
		}
		for _, h := range []string{api.Headers.Limit, api.Headers.Remaining, api.Headers.Reset} {
			if h != "" && !slices.Contains(remove, h) {
				remove = append(remove, h)
			}
		}
	}
	if body > 0 {
		buffer = body + readAhead
	}
	if ours {
		remove = nil
	}
	return body, buffer, append(remove, "x-sallyport-decision")
}

// served lists what we serve ourselves, as the Gateway API can say it. Path
// prefixes stand for templates: an expression ranks below the prefix "/" that an
// API's own route usually is, and would never be asked.
func served(p *sallyport.Policy) (list []servedAPI) {
	for _, api := range p.APIs {
		one := servedAPI{Name: api.Name, Hosts: api.Hosts}
		for _, op := range api.Operations {
			if op.Serve == "" {
				continue
			}
			m := pathMatch{Type: "Exact", Value: op.Path, Method: op.Method}
			if prefix, _, templated := strings.Cut(op.Path, "/{"); templated {
				m.Type, m.Value = "PathPrefix", prefix
				if m.Value == "" {
					m.Value = "/"
				}
			}
			for _, method := range strings.Split(methods(op.Method), "|") {
				m.Method = method
				if !slices.Contains(one.Matches, m) {
					one.Matches = append(one.Matches, m)
				}
			}
		}
		if len(one.Matches) > 0 && len(one.Hosts) > 0 {
			list = append(list, one)
		}
	}
	return list
}

// checkIstio refuses what Kubernetes or Istio would refuse, or take without a word.
func (b *builder) checkIstio(p *sallyport.Policy, o IstioOptions) {
	for _, part := range o.Parts {
		if !slices.Contains(IstioParts(), part) {
			b.fault("part %q: there are %s", part, strings.Join(partNames(), ", "))
		}
	}
	for name, value := range map[string]string{
		"provider": o.Provider, "root": o.Root, "namespace": o.Namespace, "gateway": o.Gateway,
		"workload-namespace": o.WorkloadNamespace, "waypoint": o.Waypoint,
	} {
		if !kubernetesNames.MatchString(value) || len(value) > 63 {
			b.fault("%s: %q is no name: lower case letters, digits and hyphens, 63 at most", name, value)
		}
	}
	if !hostname(o.Service) || !strings.Contains(o.Service, ".") {
		b.fault("service: %q is not the whole name of a host, such as sallyport.sallyport.svc.cluster.local", o.Service)
	}
	for _, path := range o.OpenPaths {
		if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "*{}?#") {
			b.fault("open-path: %q is not one path: it begins with a slash and has no *, {, }, ? or #", path)
		}
	}
	if len(o.OpenHosts) > 0 {
		for _, part := range o.Parts {
			if part == IstioWorkload || part == IstioWaypoint {
				b.fault("open-host: not for a %s: which host stands in a request is the client's choice, and there it changes nothing else: whoever wrote %s would be let in unasked", part, o.OpenHosts[0])
			}
		}
	}
	for _, text := range o.OpenHosts {
		host, port, with := strings.Cut(text, ":")
		if number, err := strconv.ParseUint(port, 10, 16); !hostname(host) || with && (err != nil || number == 0) {
			b.fault("open-host: %q is not HOST or HOST:PORT, in lower case", text)
		}
		for _, api := range p.APIs {
			if slices.Contains(api.Hosts, host) {
				b.fault("open-host: %s is a host of the API %s: nobody would be asked about it; for a path that is open, --open-path", host, api.Name)
			}
		}
	}
}

// labels reads key=value,key=value.
func (b *builder) labels(name, text string) (list []label) {
	read := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || !labelKeys.MatchString(key) || !labelValues.MatchString(value) {
			b.fault("%s: %q is not key=value, as labels are written", name, pair)
		}
		read[key] = value
	}
	for _, key := range slices.Sorted(maps.Keys(read)) {
		list = append(list, label{key, read[key]})
	}
	return list
}

var (
	kubernetesNames = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	labelKeys       = regexp.MustCompile(`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	labelValues     = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	notInNames      = regexp.MustCompile(`[^-a-z0-9]+`)
)

// objectName names an object of ours by what it is about, so that what is printed for
// one gateway, workload or API does not take the place of what was for another, which
// would then be open.
func objectName(parts ...string) string {
	name, exact := "sallyport", true
	for _, part := range parts {
		plain := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(part), "-"), "-")
		name, exact = name+"."+plain, exact && plain == part
	}
	const most, hashed = 253, 8
	if exact && len(name) <= most {
		return name
	}
	hash := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.TrimRight(name[:min(len(name), most-1-hashed)], "-.") + "." + hex.EncodeToString(hash[:hashed/2])
}

// kubernetesName is the nearest to s that Kubernetes takes for a name.
func kubernetesName(s string) string {
	s = strings.Trim(notInNames.ReplaceAllString(strings.ToLower(s), "-"), "-")
	return strings.Trim(s[:min(len(s), 63)], "-")
}

func partNames() (names []string) {
	for _, part := range IstioParts() {
		names = append(names, string(part))
	}
	return names
}

// service is the name and the namespace of a Service whose host is
// NAME.NAMESPACE.svc.cluster.local. Other hosts are no Service's: their name is "", and
// the mesh's root namespace stands for theirs.
func (o IstioOptions) service() (name, namespace string) {
	if parts := strings.Split(o.Service, "."); len(parts) > 3 && parts[2] == "svc" {
		return parts[0], parts[1]
	}
	return "", o.Root
}
