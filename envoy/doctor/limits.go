package doctor

import (
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

// limit is the filter that asks how often.
func (e *examination) limit(m manager, authz int) {
	at := m.index("ratelimit.v3.RateLimit")
	if at < 0 {
		return // the fused chain, in which Check counts
	}
	c := object(m.filters[at], "typed_config")
	if at < authz {
		e.find(Danger, "counted-before-known", m.where, "put the ratelimit filter behind ext_authz, before the router", "the ratelimit filter runs before ext_authz: it knows no caller, and nothing is limited")
	}
	if !truth(c, "failure_mode_deny") {
		e.find(Fault, "limits-open-without-us", m.where, "failure_mode_deny: true, status_on_error: {code: ServiceUnavailable}", "while the rate limit service cannot be asked, nothing is limited, and nothing says so")
	}
	if _, set := duration(c, "timeout"); !set {
		e.find(Fault, "limit-timeout", m.where, "timeout: 1s", "Envoy waits for 20 ms, its default, and then nothing is limited, or callers are turned away")
	}
	if text(c, "enable_x_ratelimit_headers") == "DRAFT_VERSION_03" {
		e.find(Fault, "quota-told-twice", m.where, `enable_x_ratelimit_headers: "OFF"`, "Envoy adds X-RateLimit-* of its own shape beside those of the API")
	}
	if domain := text(c, "domain"); domain != sallyport.Domain {
		e.find(Advice, "other-domain", m.where, "domain: "+sallyport.Domain+", unless rules of a directory are meant", "the domain %q is not that of the APIs' own limits", domain)
	}
	own := objects(c, "rate_limits")
	for _, l := range own {
		if truth(l, "apply_on_stream_done") {
			e.routeLimit(m.where, l)
		}
	}
	routes := false
	for _, vh := range objects(m.routes, "virtual_hosts") {
		routes = routes || len(objects(vh, "rate_limits")) > 0
		for _, r := range objects(vh, "routes") {
			routes = routes || len(objects(r, "route", "rate_limits")) > 0
		}
	}
	switch {
	case len(own) > 0 && routes:
		e.find(Fault, "limits-unheard", m.where, "all rate_limits in one place", "rate_limits of virtual hosts and routes go unheard where the filter has its own")
	case len(own) == 0 && !routes:
		e.find(Danger, "nothing-counted", m.where, "rate_limits of the filter, as `sallyport envoy filters` prints", "no rate_limits anywhere: the service is never asked, and nothing is limited")
	}
	e.grpc(m.where, "limit", object(c, "rate_limit_service", "grpc_service"), "ratelimit")
}

// accessLog is what tells that requests have ended.
func (e *examination) accessLog(m manager, authz string) {
	needed := false
	if e.policy != nil {
		for _, api := range e.policy.APIs {
			for _, l := range api.Limits {
				needed = needed || l.Concurrency > 0
			}
			for _, op := range api.Operations {
				needed = needed || op.Cost.Response != ""
			}
		}
	}
	var config tree
	var filtered, ofSlots bool
	for _, log := range objects(m.config, "access_log") {
		if c := object(log, "typed_config"); typed(c, "HttpGrpcAccessLogConfig") && text(c, "common_config", "log_name") == "sallyport" {
			filter := object(log, "filter")
			config, filtered, ofSlots = c, filter != nil, filter == nil || names(filter, "lease")
		}
	}
	if config == nil {
		if needed {
			e.find(Fault, "ends-untold", m.where, "the access log that `sallyport envoy filters` prints", "nobody tells Sallyport that requests have ended: slots are held for half a minute each, and costs are not counted")
		}
		return
	}
	if n, set := number(config, "common_config", "buffer_size_bytes"); !set || n != 0 {
		e.find(Fault, "ends-told-late", m.where, "common_config: {buffer_size_bytes: 0}", "entries wait in a buffer: a client's next request overtakes the news that its last one ended, and is refused")
	}
	if ofSlots && !slices.ContainsFunc(objects(m.config, "early_header_mutation_extensions"), renewsSID) {
		e.find(Fault, "ends-of-others", m.where, "early_header_mutation_extensions that remove x-sallyport-sid, as `sallyport envoy filters` prints; in Envoy Gateway the ClientTrafficPolicy's earlyRequestHeaders",
			"a client that writes another request's x-sallyport-sid and breaks off before any filter has run frees the slots of that one")
	}
	if !filtered {
		e.find(Advice, "all-ends-told", m.where, "the filter that `sallyport envoy filters` prints", "every request is told, which costs as much as a Check")
	}
	if name := text(config, "common_config", "grpc_service", "envoy_grpc", "cluster_name"); name != "" {
		if name == authz {
			e.find(Advice, "shared-cluster", m.where, "a cluster of its own for the access log, where you can", "the access log and Check share a cluster, and its circuit breakers")
		}
		e.cluster(m.where, name, "the access log")
	}
}

// names reports whether a filter of an access log goes by a key of Check's metadata.
func names(v any, key string) bool {
	switch v := v.(type) {
	case tree:
		return v["key"] == key || slices.ContainsFunc(slices.Collect(maps.Values(v)), func(below any) bool { return names(below, key) })
	case []any:
		return slices.ContainsFunc(v, func(below any) bool { return names(below, key) })
	}
	return false
}

// renewsSID reports whether a change that is made to a request before all filters takes
// away the sid that its client wrote.
func renewsSID(extension tree) bool {
	return slices.ContainsFunc(objects(extension, "typed_config", "mutations"), func(change tree) bool {
		const sid = sallyport.SIDHeader
		prefix := text(change, "remove_on_match", "key_matcher", "prefix")
		overwrites := text(change, "append", "append_action") == "OVERWRITE_IF_EXISTS_OR_ADD" && text(change, "append", "header", "key") == sid
		return text(change, "remove") == sid || overwrites || prefix != "" && strings.HasPrefix(sid, prefix)
	})
}

// compare is what p needs and the dump has not.
func (e *examination) compare() {
	if e.policy == nil {
		return
	}
	if !e.asks {
		e.find(Danger, "nobody-asks", "the whole configuration", "`sallyport envoy filters` prints what is needed", "no listener asks Sallyport")
	}
	for _, api := range e.policy.APIs {
		for _, h := range api.Hosts {
			if !slices.ContainsFunc(e.domains, func(domain string) bool { return serves(domain, h) }) {
				e.find(Advice, "host-not-served", "API "+api.Name, "a virtual host for it, unless another Envoy serves it", "no virtual host serves %s", h)
			}
		}
	}
}

// serves reports whether a virtual host's domain takes in host.
func serves(domain, host string) bool {
	if name, _, withPort := strings.Cut(domain, ":"); withPort {
		domain = name
	}
	switch tail, wild := strings.CutPrefix(domain, "*"); {
	case domain == "*" || strings.EqualFold(domain, host):
		return true
	case wild:
		return strings.HasSuffix(host, strings.ToLower(tail))
	}
	head, wild := strings.CutSuffix(domain, "*")
	return wild && strings.HasPrefix(host, strings.ToLower(head))
}
