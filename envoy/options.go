// Package envoy is how Envoy is told: it writes Envoy's configuration from the
// same Policy that the gate decides by, so that the two cannot disagree.
//
// What it writes is for people to read, to keep under review and to run: every
// line that closes a trap says which. It is not an xDS server and it knows
// nothing of credentials or counters. It costs one template execution per call
// and is never on the path of a request.
//
// # Facts of Envoy 1.40 that the configuration rests on
//
// Check is not called where no route matches, so every virtual host ends in a
// catch-all. Filters' own failures leave with the private status 507, which
// the local replies turn into the API's own 503: a mapper on 503 itself would
// also overwrite the bodies that Check sends. Envoy answers some requests
// before any filter runs (absolute paths, bad normalisation); those carry no
// x-sallyport-sid of its own yet, which is how the local replies tell them apart. Each
// gRPC service has a cluster of its own, because circuit breakers are counted
// per cluster and trip without a word.
//
// Every stream has one entry in the access log when it is over, however it
// ended, so entries release what Check held. Those that matter are told by
// metadata and not by response flags: either Check's answer reached Envoy, and
// says whether there is a lease, or none did, and there is no decision. That
// takes in clients and connections that left meanwhile, timeouts, errors and
// answers that Envoy would not take, whatever flags they have. Entries that are
// on the way when the log's connection breaks are lost, so it is given more time
// to answer pings than the others.
//
// Such an entry is trusted for its sid, which a client may have sent where no
// filter overwrote it. Requests that Envoy refuses by itself (no host, not a path,
// bad normalisation) have no route yet, and the access log's reader goes by that.
// Between the choice of a route and the first filter there are an upgrade that is
// not served and, where operators bound how many streams start at a time
// (http.max_requests_per_io_cycle), a reset: early_header_mutation_extensions take
// the client's header away before that, and not before the refusals, so that
// neither is enough alone.
//
// Bodies are shown to Check on the routes of webhooks alone. How they are packed is
// the filter's setting only, and a route's word for it goes unheard; as text, a
// body of other bytes would come changed. A body that is longer than it may be is
// cut and not refused (allow_partial_message), a byte above the limit, so that
// Check can always tell. All of it that is shown must fit into the route's buffer:
// the connection's, of 1 MiB, is full at that size by HTTP/2, and Envoy would
// answer 413 by itself.
package envoy

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// Options is what a bootstrap needs besides the policy. The zero value of a
// field means its default; GRPC has none and must be set.
type Options struct {
	Chain  sallyport.Chain // what the policy says where unset, and else Paired
	Listen string          // default 0.0.0.0:10000; port 0 lets the system choose
	Admin  string          // Envoy's own admin listener; "" leaves it out
	GRPC   string          // where Envoy reaches our services: unix:///path or host:port
	HTTP   string          // our plain HTTP, likewise; needed where an operation has Serve

	TrustedHops  uint32 // proxies before Envoy whose X-Forwarded-For counts; what the policy says where 0
	Certificates string // CA bundle for https upstreams; default /etc/ssl/certs/ca-certificates.crt
	Timeouts     Timeouts

	// Render writes the body of an API's answer of kind k as a JSON object.
	// Envoy's command operators may stand in its strings, such as
	// %REQ(X-REQUEST-ID?X-SALLYPORT-SID)%, and Envoy escapes what they give; a literal percent
	// sign is doubled. api is nil for hosts of no API. Where Render is nil,
	// bodies are {"error": {"code", "message"}}.
	Render func(api *sallyport.API, k sallyport.Kind) string
}

// Timeouts are Envoy's limits on waiting. Those on our own services are what a
// dead gate costs a client; a living one answers in well under a millisecond,
// but a machine that is busy for a moment must not turn its callers away.
type Timeouts struct {
	Check     time.Duration // one ext_authz call with its retries; default 1s
	RateLimit time.Duration // one ratelimit call with its retries; default 1s
	Connect   time.Duration // to any cluster; default 2s
	Upstream  time.Duration // an upstream's whole answer; default 60s
	Idle      time.Duration // a stream without any traffic; default 5m
	Headers   time.Duration // a client's request headers; default 10s
	Request   time.Duration // a client's whole request; default 5m
}

// withDefaults fills in what o leaves open.
func (o Options) withDefaults(p *sallyport.Policy) Options {
	if o.Chain == sallyport.ChainUnset {
		o.Chain = p.Chain
	}
	if o.Chain == sallyport.ChainUnset {
		o.Chain = sallyport.Paired
	}
	for _, api := range p.APIs {
		if o.TrustedHops == 0 {
			o.TrustedHops = api.TrustedHops // one for all APIs: config holds it
		}
	}
	if o.Listen == "" {
		o.Listen = "0.0.0.0:10000"
	}
	if o.Certificates == "" {
		o.Certificates = "/etc/ssl/certs/ca-certificates.crt"
	}
	if o.Render == nil {
		o.Render = plainBody
	}
	o.Timeouts = o.Timeouts.withDefaults()
	return o
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Check, time.Second},
		{&t.RateLimit, time.Second},
		{&t.Connect, 2 * time.Second},
		{&t.Upstream, time.Minute},
		{&t.Idle, 5 * time.Minute},
		{&t.Headers, 10 * time.Second},
		{&t.Request, 5 * time.Minute},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return t
}

// endpoint is where something listens: a socket path, or a host and port.
type endpoint struct {
	Pipe string
	Host string
	Port uint16
	IP   bool // Host is an address, not a name
}

// Any reports whether e is an IPv6 "all addresses", which takes in IPv4 too.
func (e endpoint) Any() bool { return e.Host == "::" }

// longestPipe is what a Unix socket address holds, without its closing NUL.
const longestPipe = 107

// parseEndpoint reads unix:///path, unix:/path or host:port.
func parseEndpoint(s string) (e endpoint, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		e.Pipe = path
		if strings.HasPrefix(path, "///") {
			e.Pipe = path[2:]
		}
		if !strings.HasPrefix(e.Pipe, "/") || strings.HasPrefix(e.Pipe, "//") {
			return e, fmt.Errorf("%q: a socket needs an absolute path, such as unix:///run/sallyport.sock", s)
		}
		if len(e.Pipe) > longestPipe {
			return e, fmt.Errorf("%q: a socket's path has at most %d bytes", s, longestPipe)
		}
		return e, nil
	}
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return e, fmt.Errorf("%q: want host:port or unix:///path", s)
	}
	port, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil {
		return e, fmt.Errorf("%q: the port is not a number from 0 to 65535", s)
	}
	host := s[:colon]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	}
	return hostEndpoint(host, uint16(port))
}

func hostEndpoint(host string, port uint16) (endpoint, error) {
	e := endpoint{Host: host, Port: port}
	if addr, err := netip.ParseAddr(host); err == nil {
		e.Host, e.IP = addr.String(), true
	} else if !hostname(host) {
		return e, fmt.Errorf("%q is not a host name or address", host)
	}
	return e, nil
}

// parseListener is parseEndpoint for what Envoy itself listens on: an address.
func parseListener(s string) (endpoint, error) {
	if strings.HasPrefix(s, ":") {
		s = "0.0.0.0" + s
	}
	e, err := parseEndpoint(s)
	if err == nil && !e.IP {
		err = fmt.Errorf("%q: Envoy listens on an IP address and a port, such as 127.0.0.1:10000", s)
	}
	return e, err
}

// parseDial is parseEndpoint for what Envoy connects to.
func parseDial(s string) (endpoint, error) {
	e, err := parseEndpoint(s)
	if err == nil && e.Pipe == "" && e.Port == 0 {
		err = fmt.Errorf("%q: the port to connect to is missing", s)
	}
	return e, err
}

// parseUpstream reads an API's upstream URL.
func parseUpstream(s string) (e endpoint, tls bool, err error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return e, false, fmt.Errorf("%q: want http://host:port or https://host:port", s)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return e, false, fmt.Errorf("%q: only scheme, host and port: the upstream gets the path that was checked", s)
	}
	port := uint64(80)
	if tls = u.Scheme == "https"; tls {
		port = 443
	}
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return e, false, fmt.Errorf("%q: the port is not a number from 1 to 65535", s)
		}
	}
	e, err = hostEndpoint(u.Hostname(), uint16(port))
	return e, tls, err
}

// hostname reports whether s can be a DNS name in lower case: what an
// operator's file may put where Envoy expects a domain.
func hostname(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}
