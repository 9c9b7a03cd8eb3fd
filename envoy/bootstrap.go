package envoy

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/sallyport/sallyport"
)

// upstreamPrefix and an API's name are what the cluster of its upstream is called.
const upstreamPrefix = "upstream_"

// Names of the clusters that lead to us.
const (
	clusterAuthz     = "sallyport_authz"
	clusterRateLimit = "sallyport_ratelimit"
	clusterAccessLog = "sallyport_accesslog"
	clusterHTTP      = "sallyport_http"
)

//go:embed *.yaml.tmpl
var templateFiles embed.FS

// templates put every value in through quote or through a type that cannot hold
// anything else, so that no operator's string becomes structure.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"quote":   strconv.Quote,
	"seconds": seconds,
	"gateway": gatewayDuration,
	"backoff": func(timeout time.Duration) string { return seconds(backoff(timeout)) },
}).Option("missingkey=error").ParseFS(templateFiles, "*.yaml.tmpl"))

// names are what the clusters that lead to us are called, in this form of the
// configuration.
type names struct{ Authz, RateLimit, AccessLog string }

// view is what the template is executed on.
type view struct {
	Options
	Names       names
	Paired      bool
	Source      bool // the client's address is stamped: Check cannot tell it by the connection
	PackBodies  bool // by the filter; else whoever makes the filter says so
	Shared      bool // the listener has routes that Check is not asked about, on other hosts than SharedHosts
	SharedHosts string
	// FilterSuffix tells our filters' names from those of others on a shared listener.
	FilterSuffix string
	ListenOn     endpoint
	AdminOn      *endpoint
	Domain       string
	SubjectKeys  []string
	LimitsKey    string
	HitsKey      string
	AccessLog    *accessLog // nil where nothing needs to be told of a stream's end
	RequestID    string
	SID          string
	APIs         []apiView
	NotFound     string // body for hosts of no API, as a YAML flow mapping
	Replies      []reply
	Clusters     []cluster
}

type apiView struct {
	Name     string
	Hosts    []string
	Routes   []route
	CatchAll route
}

// cluster is one place that Envoy connects to.
type cluster struct {
	Name    string
	Comment string
	At      endpoint
	GRPC    bool
	Patient bool // with a server that is slow to answer
	TLS     bool
}

// Bootstrap writes Envoy's static configuration for p as YAML. Equal arguments
// give equal bytes. Its errors are the operator's, all of them at once.
func Bootstrap(p *sallyport.Policy, o Options) ([]byte, error) {
	o = o.withDefaults(p)
	b := builder{options: o}
	v := b.view(p)
	if err := errors.Join(b.faults...); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "bootstrap.yaml.tmpl", v); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	return out.Bytes(), nil
}

// Piece is one piece of the configuration, each of its lines moved to the right.
func (v *view) Piece(name string, indent int) (string, error) { return piece(name, indent, v) }

// Mapping is a piece that is an entry of a list, without the list.
func (v *view) Mapping(name string, indent int) (string, error) {
	text, err := piece(name, 0, v)
	return indented(mapping(text), indent), err
}

// ClusterMapping is one cluster, in the same way.
func (v *view) ClusterMapping(c cluster, indent int) (string, error) {
	text, err := v.Cluster(c, 0)
	return indented(mapping(text), indent), err
}

// mapping is the one entry of a list, with the comments before it.
func mapping(text string) string {
	lines := strings.Split(text, "\n")
	inside := false
	for i, line := range lines {
		if entry, begins := strings.CutPrefix(line, "- "); begins && !inside {
			lines[i], inside = entry, true
		} else if inside {
			lines[i] = strings.TrimPrefix(line, "  ")
		}
	}
	return strings.Join(lines, "\n")
}

// Cluster is one cluster, in the same way.
func (v *view) Cluster(c cluster, indent int) (string, error) {
	return piece("cluster", indent, struct {
		cluster
		Timeouts     Timeouts
		Certificates string
	}{c, v.Timeouts, v.Certificates})
}

func piece(name string, indent int, data any) (string, error) {
	var out strings.Builder
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return "", err
	}
	return indented(out.String(), indent), nil
}

// indented is text with each of its lines moved to the right.
func indented(text string, indent int) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if strings.TrimSpace(line) != "" {
			lines[i] = strings.Repeat(" ", indent) + line
		}
	}
	return strings.Join(lines, "")
}

// builder gathers the view and what is wrong on the way.
type builder struct {
	options Options
	faults  []error
}

func (b *builder) fault(format string, args ...any) {
	b.faults = append(b.faults, fmt.Errorf(format, args...))
}

// common is what all forms of the configuration share, where the clusters that
// lead to us are called n.
func (b *builder) common(p *sallyport.Policy, n names) *view {
	b.checkHosts(p)
	v := &view{
		Options:     b.options,
		Names:       n,
		Paired:      b.options.Chain == sallyport.Paired,
		Source:      b.options.TrustedHops > 0,
		Domain:      sallyport.Domain,
		SubjectKeys: sallyport.SubjectKeys[:],
		LimitsKey:   sallyport.LimitsKey,
		HitsKey:     sallyport.HitsKey,
		AccessLog:   accessLogOf(p),
		RequestID:   sallyport.CarrierRequestID,
		SID:         sallyport.CarrierSID,
		NotFound:    b.body(nil, sallyport.KindNotFound),
	}
	others := b.replies(nil)
	for _, api := range p.APIs {
		if len(api.Hosts) == 0 {
			continue // reached by context extensions of people's own Envoys only
		}
		b.checkStatuses(api)
		if own := b.replies(api); !sameAnswers(own, others) {
			v.Replies = append(v.Replies, own...)
		}
	}
	v.Replies = append(v.Replies, others...)
	return v
}

func (b *builder) view(p *sallyport.Policy) *view {
	o := b.options
	v := b.common(p, names{clusterAuthz, clusterRateLimit, clusterAccessLog})
	v.PackBodies = true
	var err error
	if v.ListenOn, err = parseListener(o.Listen); err != nil {
		b.fault("listen: %w", err)
	}
	if o.Admin != "" {
		admin, err := parseListener(o.Admin)
		if err != nil {
			b.fault("admin: %w", err)
		}
		v.AdminOn = &admin
	}
	b.ownClusters(v)
	serves := false
	for _, api := range p.APIs {
		if len(api.Hosts) == 0 {
			continue
		}
		one := b.api(v, api)
		for _, r := range one.Routes {
			serves = serves || r.Cluster == clusterHTTP
		}
		v.APIs = append(v.APIs, one)
	}
	if serves {
		b.httpCluster(v)
	}
	return v
}

// ownClusters adds where our gRPC services are.
func (b *builder) ownClusters(v *view) {
	at, err := parseDial(b.options.GRPC)
	if err != nil {
		b.fault("grpc: %w", err)
	}
	v.Clusters = append(v.Clusters, cluster{Name: clusterAuthz, At: at, GRPC: true,
		Comment: "Who are you, and may you? Apart from the rate limit service, since circuit breakers count per cluster."})
	if v.Paired {
		v.Clusters = append(v.Clusters, cluster{Name: clusterRateLimit, At: at, GRPC: true, Comment: "How often?"})
	}
	if v.AccessLog != nil {
		v.Clusters = append(v.Clusters, cluster{Name: clusterAccessLog, At: at, GRPC: true, Patient: true, Comment: "What has ended?"})
	}
}

func (b *builder) httpCluster(v *view) {
	if b.options.HTTP == "" {
		b.fault("http: an operation is served by Sallyport itself, so Envoy must know where its HTTP is")
		return
	}
	at, err := parseDial(b.options.HTTP)
	if err != nil {
		b.fault("http: %w", err)
	}
	v.Clusters = append(v.Clusters, cluster{Name: clusterHTTP, At: at,
		Comment: "The endpoints that Sallyport serves on an API's own paths."})
}

// api adds one API's cluster to v and returns its virtual host.
func (b *builder) api(v *view, api *sallyport.API) apiView {
	at, tls, err := parseUpstream(api.Upstream)
	if err != nil {
		b.fault("api %s: upstream: %w", api.Name, err)
	}
	upstream := upstreamPrefix + api.Name
	v.Clusters = append(v.Clusters, cluster{Name: upstream, At: at, TLS: tls, Comment: "The API " + strconv.Quote(api.Name) + "."})
	one := apiView{Name: api.Name, Hosts: api.Hosts, CatchAll: b.bound(route{Cluster: upstream}, api)}
	if one.Routes, err = routes(api.Operations, upstream); err != nil {
		b.fault("api %s: %w", api.Name, err)
	}
	for i, r := range one.Routes {
		one.Routes[i] = b.bound(r, api)
	}
	return one
}

// bound adds what a route asks of the answer: its time, and, where it comes
// from the upstream, that it tells no quota of its own. What we serve ourselves
// may: the virtual host is therefore not the place to remove them.
func (b *builder) bound(r route, api *sallyport.API) route {
	r.Timeout = b.options.Timeouts.Upstream
	if r.Cluster == clusterHTTP {
		return r
	}
	for _, h := range []string{api.Headers.Limit, api.Headers.Remaining, api.Headers.Reset} {
		if h != "" {
			r.Remove = append(r.Remove, h)
		}
	}
	r.Remove = append(r.Remove, "x-sallyport-decision")
	return r
}

// checkHosts refuses what Envoy would refuse, in the operator's own terms.
func (b *builder) checkHosts(p *sallyport.Policy) {
	owner := map[string]string{}
	for _, api := range p.APIs {
		for _, h := range api.Hosts {
			if !hostname(h) && !bracketed(h) {
				b.fault("api %s: host %q is not a host name in lower case without port", api.Name, h)
			}
			if other, taken := owner[h]; taken {
				b.fault("api %s: host %q is also one of %s", api.Name, h, other)
			}
			owner[h] = api.Name
		}
	}
}

// bracketed reports whether h is an IPv6 address as it stands in a Host header.
func bracketed(h string) bool {
	if len(h) < 2 || h[0] != '[' || h[len(h)-1] != ']' {
		return false
	}
	addr, err := netip.ParseAddr(h[1 : len(h)-1])
	return err == nil && addr.Is6() && addr.Zone() == ""
}

// seconds writes d as durations are written in Envoy's configuration.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

// backoff is how long a call that may take timeout waits before it is tried again
// for the first time.
func backoff(timeout time.Duration) time.Duration { return min(20*time.Millisecond, timeout) }
