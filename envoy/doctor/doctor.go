// Package doctor looks at the configuration of a running Envoy, as its admin
// listener dumps it, and says which traps it walks into that fail without a word:
// who is not asked, whose word is believed, what opens when Sallyport is away. It
// knows Envoy's configuration by name and nothing of where it came from: a file,
// Istio, Envoy Gateway or Sallyport's own.
//
// It judges those connection managers that ask some external authorization service
// by gRPC, and takes each such service for Sallyport.
package doctor

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

// Severity is how bad a finding is.
type Severity string

// The severities, the worst first.
const (
	Danger Severity = "danger" // requests may pass unjudged, or under another's name
	Fault  Severity = "fault"  // wrong answers, or outages that need not be
	Advice Severity = "advice" // works, and could be better
)

// Severities lists them, the worst first.
func Severities() []Severity { return []Severity{Danger, Fault, Advice} }

// Finding is one trap.
type Finding struct {
	ID       string   `json:"id"`
	Severity Severity `json:"severity"`
	Where    string   `json:"where"` // listener, virtual host, route or cluster
	What     string   `json:"what"`  // what happens
	Cure     string   `json:"cure"`
}

// tree is an object of the dump.
type tree = map[string]any

// examination gathers findings on one dump.
type examination struct {
	policy   *sallyport.Policy // nil: not compared
	clusters map[string]tree
	routes   map[string]tree
	domains  []string // of all virtual hosts
	asks     bool     // some connection manager asks
	found    []Finding
}

func (e *examination) find(s Severity, id, where, cure, what string, args ...any) {
	f := Finding{ID: id, Severity: s, Where: where, What: fmt.Sprintf(what, args...), Cure: cure}
	if !slices.Contains(e.found, f) {
		e.found = append(e.found, f)
	}
}

// Examine looks at a dump, the answer of /config_dump?include_eds. version is
// Envoy's, such as 1.40.0, or empty. Where p is not nil, the dump is compared with
// what p needs. The worst findings come first. An error means that it is no dump.
func Examine(dump []byte, version string, p *sallyport.Policy) ([]Finding, error) {
	var d struct {
		Configs []tree `json:"configs"`
	}
	if err := json.Unmarshal(dump, &d); err != nil {
		return nil, fmt.Errorf("this is no dump of Envoy's configuration: %w", err)
	}
	if len(d.Configs) == 0 {
		return nil, fmt.Errorf("this is no dump of Envoy's configuration: it has no configs")
	}
	e := &examination{policy: p, clusters: map[string]tree{}, routes: map[string]tree{}}
	var listeners []tree
	for _, c := range d.Configs {
		for _, list := range []string{"static_clusters", "dynamic_active_clusters"} {
			for _, one := range objects(c, list) {
				e.clusters[text(one, "cluster", "name")] = object(one, "cluster")
			}
		}
		for _, list := range []string{"static_route_configs", "dynamic_route_configs"} {
			for _, one := range objects(c, list) {
				e.routes[text(one, "route_config", "name")] = object(one, "route_config")
			}
		}
		for _, one := range objects(c, "static_listeners") {
			listeners = append(listeners, object(one, "listener"))
		}
		for _, one := range objects(c, "dynamic_listeners") {
			listeners = append(listeners, object(one, "active_state", "listener"))
		}
	}
	e.version(version)
	for _, l := range listeners {
		e.listener(l)
	}
	e.compare()
	slices.SortStableFunc(e.found, func(a, b Finding) int {
		return slices.Index(Severities(), a.Severity) - slices.Index(Severities(), b.Severity)
	})
	return e.found, nil
}

func (e *examination) version(version string) {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err == nil && (major < 1 || major == 1 && minor < 37) {
		e.find(Fault, "old-envoy", "Envoy "+version, "run Envoy 1.37 or later",
			"before 1.37 Envoy does not know error_response: where Sallyport cannot answer, clients get 403")
	}
}

// manager is a connection manager, and what it does with requests.
type manager struct {
	where   string
	config  tree
	routes  tree // nil: not in the dump
	filters []tree
}

func (e *examination) listener(l tree) {
	chains := objects(l, "filter_chains")
	if fallback := object(l, "default_filter_chain"); fallback != nil {
		chains = append(chains, fallback)
	}
	for _, chain := range chains {
		for _, f := range objects(chain, "filters") {
			config := object(f, "typed_config")
			if !typed(config, "HttpConnectionManager") {
				continue
			}
			m := manager{where: "listener " + text(l, "name"), config: config, routes: object(config, "route_config"), filters: objects(config, "http_filters")}
			if name := text(chain, "name"); name != "" {
				m.where += ", chain " + name
			}
			if rds := text(config, "rds", "route_config_name"); rds != "" {
				m.routes = e.routes[rds]
			}
			for _, vh := range objects(m.routes, "virtual_hosts") {
				for _, d := range list(vh, "domains") {
					e.domains = append(e.domains, fmt.Sprint(d))
				}
			}
			e.manager(m)
		}
	}
}

// index is where the first filter of a type stands, or -1.
func (m manager) index(kind string) int {
	return slices.IndexFunc(m.filters, func(f tree) bool { return typed(object(f, "typed_config"), kind) })
}

func (e *examination) manager(m manager) {
	authz := m.index("ext_authz.v3.ExtAuthz")
	if authz < 0 {
		e.find(Advice, "nobody-asked", m.where, "add what `sallyport envoy filters` prints, where this listener serves an API",
			"no ext_authz filter: whoever comes by this listener is not judged")
		return
	}
	filter := m.filters[authz]
	config := object(filter, "typed_config")
	if object(config, "grpc_service") == nil {
		e.find(Advice, "not-by-grpc", m.where, "set grpc_service", "the ext_authz filter asks by HTTP, which Sallyport does not answer")
		return
	}
	e.asks = true
	if slices.ContainsFunc(m.filters[authz+1:], func(f tree) bool { return typed(object(f, "typed_config"), "ext_authz.v3.ExtAuthz") }) {
		e.find(Advice, "asked-twice", m.where, "take one away, unless both are meant", "there are two ext_authz filters: each request costs two calls, and the second sees the first's headers")
	}
	e.requests(m)
	e.stamp(m, authz)
	e.authz(m, config)
	e.restrict(m, authz)
	e.hosts(m, text(filter, "name"), config)
	e.limit(m, authz)
	e.accessLog(m, text(config, "grpc_service", "envoy_grpc", "cluster_name"))
}

// requests is how requests are read before any filter runs.
func (e *examination) requests(m manager) {
	switch text(m.config, "common_http_protocol_options", "headers_with_underscores_action") {
	case "DROP_HEADER", "REJECT_REQUEST":
	default:
		e.find(Danger, "underscores", m.where, "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}",
			"a client's x_sallyport_tenant reaches the upstream, where many servers take it for x-sallyport-tenant")
	}
	if !truth(m.config, "normalize_path") {
		e.find(Fault, "paths-as-they-come", m.where, "normalize_path: true", "paths are not normalised: Sallyport refuses what is not canonical, such as /a/../b, with 404")
	}
	if !truth(m.config, "merge_slashes") {
		e.find(Advice, "slashes", m.where, "merge_slashes: true", "//a is not read as /a, and refused with 404")
	}
	if !truth(m.config, "use_remote_address") {
		e.find(Fault, "addresses-from-clients", m.where, "use_remote_address: true, and xff_num_trusted_hops where proxies stand before; a sidecar behind a gateway may be meant so",
			"X-Forwarded-For is believed as it comes: who may write it chooses an address, and x-envoy-* headers with it")
	}
}

// stamp is whether names that the upstream trusts come from us alone.
func (e *examination) stamp(m manager, authz int) {
	strips, stamps := false, false
	for _, f := range m.filters[:authz] {
		for _, change := range objects(f, "typed_config", "mutations", "request_mutations") {
			if prefix := text(change, "remove_on_match", "key_matcher", "prefix"); prefix != "" && strings.HasPrefix("x-sallyport-", prefix) {
				strips = true
			}
			stamps = stamps || text(change, "append", "header", "key") == "x-sallyport-sid"
		}
	}
	if !strips {
		e.find(Danger, "forged-names", m.where, "before ext_authz: header_mutation with request_mutations: [{remove_on_match: {key_matcher: {prefix: x-sallyport-}}}]",
			"a client's own x-sallyport-* headers reach the upstream, as if Sallyport had said so, wherever Check does not overwrite them")
	}
	if !stamps {
		e.find(Fault, "no-sid", m.where, `the same filter appends x-sallyport-sid: "%UNIQUE_ID%", OVERWRITE_IF_EXISTS_OR_ADD`,
			"requests have no id of Envoy's own: a call that Envoy tries again counts twice, and slots are not released")
	}
}

// authz is the filter that asks.
func (e *examination) authz(m manager, c tree) {
	if truth(c, "failure_mode_allow") {
		e.find(Danger, "opens-without-us", m.where, "failure_mode_allow: false", "while Sallyport cannot be asked, every request passes")
	}
	if !truth(c, "validate_mutations") {
		e.find(Danger, "unchecked-headers", m.where, "validate_mutations: true", "what Check gives as a header is passed on as it is, line breaks too")
	}
	if object(c, "status_on_error") == nil {
		e.find(Fault, "failure-as-refusal", m.where, "status_on_error: {code: ServiceUnavailable}, or 507 with a mapper as generated",
			"while Sallyport cannot be asked, clients get 403, which looks like a refusal and is not tried again")
	}
	if !truth(c, "encode_raw_headers") {
		e.find(Advice, "headers-joined", m.where, "encode_raw_headers: true", "repeated headers come to Check as one, joined by commas, and bytes that are no UTF-8 changed")
	}
	if text(c, "transport_api_version") != "V3" && c["transport_api_version"] != nil {
		e.find(Fault, "old-api", m.where, "transport_api_version: V3", "the filter speaks another version of the protocol")
	}
	e.grpc(m.where, "authz", object(c, "grpc_service"), "ext_authz")
	switch wait, set := duration(c, "grpc_service", "timeout"); {
	case !set:
		e.find(Advice, "authz-timeout", m.where, "grpc_service: {timeout: 1s}", "Envoy waits for 200 ms, its default: a machine that is busy for a moment turns callers away")
	case wait >= 5:
		e.find(Fault, "authz-timeout", m.where, "grpc_service: {timeout: 1s}; in Istio the provider's timeout, which is 600 s where it is missing",
			"clients wait for %g s when Sallyport hangs", wait)
	}
	if truth(c, "clear_route_cache") {
		e.find(Advice, "route-chosen-anew", m.where, "clear_route_cache: false, or routes that no header of the upstream's decides",
			"the route is chosen again after Check answered, by headers that Check set: another route than the one that was asked about")
	}
}

// grpc is one service that the proxy calls.
func (e *examination) grpc(where, id string, service tree, filter string) {
	if object(service, "envoy_grpc", "retry_policy") != nil {
		e.find(Fault, id+"-retries", where, "move retry_policy from envoy_grpc to grpc_service", "%s: envoy_grpc.retry_policy is for xDS alone: nothing is tried again", filter)
	}
	switch retry := object(service, "retry_policy"); {
	case retry == nil:
		e.find(Advice, id+"-retries", where, "grpc_service: {retry_policy: {retry_on: \"connect-failure,refused-stream,reset-before-request\", num_retries: 3}}",
			"%s: nothing is tried again: a restart of Sallyport costs some requests", filter)
	case text(retry, "retry_on") == "":
		e.find(Fault, id+"-retries", where, "retry_policy: {retry_on: \"connect-failure,refused-stream,reset-before-request\"}", "%s: without retry_on nothing is tried again", filter)
	}
	if name := text(service, "envoy_grpc", "cluster_name"); name != "" {
		e.cluster(where, name, filter)
	}
}

// cluster is one that leads to us.
func (e *examination) cluster(where, name, filter string) {
	c, there := e.clusters[name]
	if !there {
		e.find(Danger, "no-cluster", where, "add the cluster; in Istio name the Service in the annotation envoyfilter.istio.io/referenced-services, by its own port",
			"%s calls the cluster %s, which there is not: nobody is asked, and where that is no failure everything passes", filter, name)
		return
	}
	at := "cluster " + name
	options := object(c, "typed_extension_protocol_options", "envoy.extensions.upstreams.http.v3.HttpProtocolOptions")
	http2 := object(options, "explicit_http_config", "http2_protocol_options")
	if http2 == nil {
		http2 = object(c, "http2_protocol_options")
	}
	if http2 == nil {
		e.find(Fault, "no-http2", at, "explicit_http_config: {http2_protocol_options: {}}; on Kubernetes a Service's appProtocol: grpc", "Envoy does not speak HTTP/2 to it, and so no gRPC: every call fails")
	} else if object(http2, "connection_keepalive") == nil {
		e.find(Advice, "no-keepalive", at, "http2_protocol_options: {connection_keepalive: {interval: 5s, timeout: 1s}}", "a server that hangs is not noticed: each request waits for its whole time")
	}
	thresholds := objects(c, "circuit_breakers", "thresholds")
	if len(thresholds) == 0 {
		thresholds = []tree{{}}
	}
	for _, t := range thresholds {
		if p := text(t, "priority"); p != "" && p != "DEFAULT" {
			continue
		}
		for _, limit := range []struct {
			field string
			least float64 // Envoy's default
		}{{"max_requests", 1024}, {"max_retries", 3}} {
			field, least := limit.field, limit.least
			if n, set := number(t, field); !set || n <= least {
				if !set {
					n = least
				}
				e.find(Fault, "breaker-"+strings.ReplaceAll(field, "_", "-"), at, "circuit_breakers: {thresholds: [{"+field+": 65536}]}",
					"with more than %g calls at a time (%s) the rest fail at once, and nothing says why", n, field)
			}
		}
	}
}

// restrict is what decides whether Check is asked at all: in Istio an RBAC filter
// before ours.
func (e *examination) restrict(m manager, authz int) {
	for _, f := range m.filters[:authz] {
		c := object(f, "typed_config")
		if !typed(c, "rbac.v3.RBAC") || !strings.HasPrefix(text(c, "shadow_rules_stat_prefix"), "istio_ext_authz") {
			continue
		}
		policies := object(c, "shadow_rules", "policies")
		for _, name := range slices.Sorted(maps.Keys(policies)) {
			for _, permission := range list(asTree(policies[name]), "permissions") {
				if named(permission, false) {
					e.find(Danger, "asked-by-path", m.where, "name what nobody is asked about instead (notPaths, notHosts), and nothing else: `sallyport envoy istio`",
						"policy %s names the paths, hosts or methods that Check is asked about: what is spelt in another way, such as //api or /API, passes unasked", name)
				}
				for _, matcher := range leftOpen(permission, false) {
					if matcher.host {
						e.find(Danger, "open-by-pattern", m.where, "notHosts with each host by itself, and each port, as `sallyport envoy istio --open-host` prints",
							"policy %s leaves open every host that matches %q: Envoy routes by what is left of the last colon, so a client can write an open host and a guarded one in one", name, matcher.pattern)
						continue
					}
					e.find(Fault, "open-by-pattern", m.where, "notPaths with each path by itself, as `sallyport envoy istio --open-path` prints",
						"policy %s leaves open every path that matches %q: /open/..%%2fv1 may be one, which many servers read as /v1", name, matcher.pattern)
				}
			}
		}
	}
}

// named reports whether an RBAC permission goes by a path, host or method
// otherwise than to leave it out.
func named(v any, left bool) bool {
	switch v := v.(type) {
	case tree:
		for key, below := range v {
			switch key {
			case "not_rule":
				if named(below, !left) {
					return true
				}
			case "url_path", "header":
				if !left {
					return true
				}
			default:
				if named(below, left) {
					return true
				}
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(below any) bool { return named(below, left) })
	}
	return false
}

// open is a pattern of hosts or paths that nobody is asked about.
type open struct {
	pattern string
	host    bool
}

// leftOpen lists the patterns of hosts and paths that an RBAC permission leaves out,
// but for those that match one alone.
func leftOpen(v any, left bool) (all []open) {
	switch v := v.(type) {
	case tree:
		matcher, host := object(v, "url_path", "path"), false
		if header := object(v, "header"); text(header, "name") == ":authority" {
			matcher, host = object(header, "string_match"), true
		}
		if left {
			for _, kind := range []string{"prefix", "suffix", "contains"} {
				if pattern := text(matcher, kind); pattern != "" {
					return []open{{pattern, host}}
				}
			}
			if pattern := text(matcher, "safe_regex", "regex"); pattern != "" {
				return []open{{pattern, host}}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			all = append(all, leftOpen(v[key], left != (key == "not_rule"))...)
		}
	case []any:
		for _, below := range v {
			all = append(all, leftOpen(below, left)...)
		}
	}
	return all
}

// hosts are the virtual hosts and routes, as far as they change who is asked.
func (e *examination) hosts(m manager, filter string, config tree) {
	packs, bodies := truth(config, "with_request_body", "pack_as_bytes"), object(config, "with_request_body") != nil
	for _, vh := range objects(m.routes, "virtual_hosts") {
		where := m.where + ", virtual host " + text(vh, "name")
		e.perRoute(where, filter, vh, &bodies)
		all := false
		for _, r := range objects(vh, "routes") {
			e.perRoute(where+", route "+text(r, "name"), filter, r, &bodies)
			match := object(r, "match")
			all = all || len(match) == 1 && text(match, "prefix") == "/"
		}
		if len(objects(vh, "routes")) > 0 && !all {
			e.find(Fault, "no-catch-all", where, `a last route: {match: {prefix: /}, direct_response: {status: 404}}`,
				"where no route matches nobody is asked: what there is not answers without a credential, and without the API's own shape")
		}
	}
	if bodies && !packs {
		e.find(Fault, "bodies-as-text", m.where, "with_request_body: {pack_as_bytes: true} at the filter; in Istio packAsBytes of the provider",
			"bodies come to Check as text, in which other bytes are changed: signatures of webhooks are wrong. What routes say of it goes unheard")
	}
}

func (e *examination) perRoute(where, filter string, o tree, bodies *bool) {
	own := object(o, "typed_per_filter_config", filter)
	if truth(own, "disabled") {
		e.find(Danger, "not-asked", where, "take disabled away, unless it is meant: Sallyport can let an operation be public", "ext_authz is disabled: nobody is asked")
	}
	*bodies = *bodies || object(own, "check_settings", "with_request_body") != nil
	for _, l := range objects(o, "route", "rate_limits") {
		e.routeLimit(where, l)
	}
	for _, l := range objects(o, "rate_limits") {
		e.routeLimit(where, l)
	}
}

func (e *examination) routeLimit(where string, l tree) {
	if object(l, "hits_addend") != nil {
		e.find(Fault, "hits-unheard", where, "rate_limits of the filter itself, or of RateLimitPerRoute", "hits_addend of a route's own rate_limits goes unheard: each request counts as one")
	}
	if truth(l, "apply_on_stream_done") {
		e.find(Fault, "counts-drift", where, "let the access log release slots, as `sallyport envoy filters` prints", "apply_on_stream_done is also called for what was refused, and not for who left early: what is counted in flight drifts")
	}
}
