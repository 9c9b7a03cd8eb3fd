package doctor

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
)

// dumpOf is the dump of an Envoy that was started on a bootstrap.
func dumpOf(t testing.TB, bootstrap []byte) []byte {
	t.Helper()
	var b struct {
		Static struct {
			Listeners []any `yaml:"listeners"`
			Clusters  []any `yaml:"clusters"`
		} `yaml:"static_resources"`
	}
	if err := yaml.Unmarshal(bootstrap, &b); err != nil {
		t.Fatal(err)
	}
	var listeners, clusters []any
	for _, l := range b.Static.Listeners {
		listeners = append(listeners, tree{"listener": l})
	}
	for _, c := range b.Static.Clusters {
		clusters = append(clusters, tree{"cluster": c})
	}
	text, err := json.Marshal(tree{"configs": []any{tree{"static_listeners": listeners}, tree{"static_clusters": clusters}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// examples are the generated configurations of all examples.
func examples(t testing.TB) (all map[string][]byte) {
	t.Helper()
	files, err := filepath.Glob("../../examples/*/envoy-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all = map[string][]byte{}
	for _, file := range files {
		if all[file], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func ids(found []Finding) (list []string) {
	for _, f := range found {
		if f.ID == "" || f.Where == "" || f.What == "" || f.Cure == "" || !slices.Contains(Severities(), f.Severity) {
			list = append(list, "half: "+f.ID)
		}
		if !slices.Contains(list, f.ID) {
			list = append(list, f.ID)
		}
	}
	return list
}

// What we generate ourselves walks into nothing.
func TestGeneratedConfigurationsAreWell(t *testing.T) {
	for file, text := range examples(t) {
		found, err := Examine(dumpOf(t, text), "1.40.0", nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			t.Errorf("%s: %+v", file, found)
		}
	}
}

// Each trap by itself, made from a configuration that is well.
func TestTrapsAreFound(t *testing.T) {
	var paired []byte // one with the access log
	for file, text := range examples(t) {
		if strings.HasSuffix(file, "envoy-paired.yaml") && bytes.Contains(text, []byte("HttpGrpcAccessLogConfig")) {
			paired = text
		}
	}
	text := string(paired)
	cut := func(from, to string) string {
		head, rest, ok := strings.Cut(text, from)
		if !ok {
			t.Fatalf("no %q in the bootstrap", from)
		}
		_, tail, ok := strings.Cut(rest, to)
		if !ok {
			t.Fatalf("no %q after it", to)
		}
		return head + to + tail
	}
	swap := func(from, to string) string {
		if !strings.Contains(text, from) {
			t.Fatalf("no %q in the bootstrap", from)
		}
		return strings.ReplaceAll(text, from, to)
	}
	const stamp = "          # Names that the upstream trusts"
	const authz = "          - name: envoy.filters.http.ext_authz"
	const limit = "          - name: envoy.filters.http.ratelimit"
	const router = "          - name: envoy.filters.http.router"
	between := func(from, to string) string {
		_, rest, _ := strings.Cut(text, from)
		inside, _, _ := strings.Cut(rest, to)
		return from + inside
	}
	limited := between(limit, router)
	for _, c := range []struct {
		want     string // one or several
		severity Severity
		made     string
	}{
		{"underscores", Danger, swap("headers_with_underscores_action: DROP_HEADER", "headers_with_underscores_action: ALLOW")},
		{"paths-as-they-come", Fault, swap("normalize_path: true", "normalize_path: false")},
		{"slashes", Advice, swap("merge_slashes: true", "merge_slashes: false")},
		{"addresses-from-clients", Fault, swap("use_remote_address: true", "use_remote_address: false")},
		{"forged-names no-sid", Danger, cut(stamp, authz)},
		{"forged-names", Danger, swap("prefix: x-sallyport-", "prefix: x-other-")},
		{"opens-without-us", Danger, swap("failure_mode_allow: false", "failure_mode_allow: true")},
		{"unchecked-headers", Danger, swap("validate_mutations: true", "validate_mutations: false")},
		{"failure-as-refusal", Fault, strings.Replace(text, "status_on_error:", "x:", 1)},
		{"headers-joined", Advice, swap("encode_raw_headers: true", "encode_raw_headers: false")},
		{"authz-timeout", Fault, strings.Replace(text, "timeout: 1s\n", "timeout: 600s\n", 1)},
		{"authz-timeout", Advice, strings.Replace(text, "timeout: 1s\n", "wait: 1s\n", 1)},
		{"authz-retries", Fault, strings.Replace(text, "retry_on: ", "on: ", 1)},
		{"authz-retries", Advice, strings.Replace(text, "retry_policy:", "policy:", 1)},
		{"no-cluster", Danger, swap(`- name: "sallyport_ratelimit"`, `- name: "sallyport_ratelimits"`)},
		{"no-http2", Fault, swap("http2_protocol_options:\n            max_concurrent_streams: 1024", "http_protocol_options:\n            max_concurrent_streams: 1024")},
		{"no-keepalive", Advice, swap("connection_keepalive:", "keepalive:")},
		{"breaker-max-requests", Fault, swap("max_requests: 65536", "max_requests: 1024")},
		{"breaker-max-retries", Fault, swap("max_retries: 65536", "max_retries: 3")},
		{"breaker-max-requests breaker-max-retries", Fault, swap("circuit_breakers:", "breakers:")},
		{"no-catch-all", Fault, swap("match: {prefix: /}", "match: {prefix: /v1}")},
		{"counted-before-known", Danger, strings.Replace(strings.Replace(text, limited, "", 1), authz, limited+authz, 1)},
		{"limits-open-without-us", Fault, swap("failure_mode_deny: true", "failure_mode_deny: false")},
		{"limit-timeout", Fault, strings.Replace(text, "              timeout: 1s\n              failure_mode_deny", "              failure_mode_deny", 1)},
		{"quota-told-twice", Fault, swap(`enable_x_ratelimit_headers: "OFF"`, "enable_x_ratelimit_headers: DRAFT_VERSION_03")},
		{"other-domain", Advice, swap(`domain: "sallyport"`, `domain: "other"`)},
		{"nothing-counted", Danger, strings.Replace(text, "              rate_limits:", "              limits:", 1)},
		{"ends-told-late", Fault, swap("buffer_size_bytes: 0", "buffer_size_bytes: 16384")},
		{"ends-of-others", Fault, swap("- remove: x-sallyport-sid", "- remove: x-other")},
		{"ends-of-others", Fault, swap("early_header_mutation_extensions:", "mutations:")},
		{"all-ends-told", Advice, strings.Replace(text, "filter:\n              or_filter:", "sifter:\n              or_filter:", 1)},
		{"shared-cluster", Advice, swap("sallyport_accesslog", "sallyport_authz")},
	} {
		found, err := Examine(dumpOf(t, []byte(c.made)), "1.40.0", nil)
		if err != nil {
			t.Errorf("%s: %v", c.want, err)
			continue
		}
		if got := strings.Join(ids(found), " "); got != c.want || found[0].Severity != c.severity {
			t.Errorf("want %s (%s), got %s: %+v", c.want, c.severity, got, found)
		}
	}
}

// change walks an Envoy's dump as JSON and changes objects in place.
func change(t *testing.T, dump []byte, f func(tree)) []byte {
	t.Helper()
	var all any
	if err := json.Unmarshal(dump, &all); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case tree:
			f(v)
			for _, below := range v {
				walk(below)
			}
		case []any:
			for _, below := range v {
				walk(below)
			}
		}
	}
	walk(all)
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTrapsOfRoutesAndMeshes(t *testing.T) {
	var dump []byte
	for file, text := range examples(t) {
		if strings.HasSuffix(file, "envoy-paired.yaml") {
			dump = dumpOf(t, text)
		}
	}
	const authz, rbac = "envoy.filters.http.ext_authz", "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
	// filters calls f with every list of HTTP filters.
	filters := func(f func([]any) []any) func(tree) {
		return func(o tree) {
			if all, ok := o["http_filters"].([]any); ok {
				o["http_filters"] = f(all)
			}
		}
	}
	istio := func(rules ...any) func(tree) {
		return filters(func(all []any) []any {
			return append([]any{tree{"name": "rbac", "typed_config": tree{"@type": rbac, "shadow_rules_stat_prefix": "istio_ext_authz_", "shadow_rules": tree{
				"policies": tree{"p": tree{"permissions": []any{tree{"and_rules": tree{"rules": rules}}}}}}}}}, all...)
		})
	}
	path := tree{"or_rules": tree{"rules": []any{tree{"url_path": tree{"path": tree{"prefix": "/api/"}}}}}}
	onRoutes := func(f func(tree)) func(tree) {
		return func(o tree) {
			if _, ok := o["match"].(tree); ok {
				f(o)
			}
		}
	}
	for want, f := range map[string]func(tree){
		"": func(tree) {},
		"not-asked": func(o tree) {
			if o["typed_per_filter_config"] != nil && o["domains"] != nil {
				o["typed_per_filter_config"] = tree{authz: tree{"disabled": true}}
			}
		},
		"limits-unheard": onRoutes(func(o tree) {
			if r, ok := o["route"].(tree); ok {
				r["rate_limits"] = []any{tree{"actions": []any{}}}
			}
		}),
		"hits-unheard limits-unheard": onRoutes(func(o tree) {
			if r, ok := o["route"].(tree); ok {
				r["rate_limits"] = []any{tree{"hits_addend": tree{"number": 2}}}
			}
		}),
		"counts-drift": func(o tree) {
			if o["domain"] != nil {
				o["rate_limits"] = append(o["rate_limits"].([]any), tree{"apply_on_stream_done": true})
			}
		},
		"asked-twice": filters(func(all []any) []any {
			for _, one := range all {
				if f := one.(tree); f["name"] == authz {
					return append(slices.Clone(all), f)
				}
			}
			return all
		}),
		"asked-by-path": istio(path),
		"nobody-asked": filters(func(all []any) []any {
			return slices.DeleteFunc(slices.Clone(all), func(f any) bool { return f.(tree)["name"] == authz })
		}),
		"bodies-as-text": func(o tree) {
			if o["with_request_body"] != nil && o["transport_api_version"] != nil {
				o["with_request_body"] = tree{"max_request_bytes": 1000}
			}
		},
	} {
		found, err := Examine(change(t, dump, f), "1.40.0", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(ids(found), " "); got != want {
			t.Errorf("want %q, got %q: %+v", want, got, found)
		}
	}
	// A pattern of hosts is open for hosts that it does not lead to.
	host := func(match string, value any) tree {
		return tree{"or_rules": tree{"rules": []any{tree{"header": tree{"name": ":authority", "string_match": tree{match: value, "ignore_case": true}}}}}}
	}
	for match, c := range map[string]struct {
		value any
		want  string
	}{"prefix": {"www.open.test:", "open-by-pattern"}, "suffix": {".open.test", "open-by-pattern"}, "safe_regex": {tree{"regex": ".+"}, "open-by-pattern"}, "exact": {"www.open.test:80", ""}} {
		found, err := Examine(change(t, dump, istio(tree{"not_rule": host(match, c.value)})), "", nil)
		if err != nil || strings.Join(ids(found), " ") != c.want || c.want != "" && found[0].Severity != Danger {
			t.Errorf("%s: %+v %v", match, found, err)
		}
	}
	if found, err := Examine(change(t, dump, istio(host("prefix", "api."))), "", nil); err != nil || strings.Join(ids(found), " ") != "asked-by-path" {
		t.Errorf("hosts that are asked about: %+v %v", found, err)
	}
	// What is left out by a rule is no list of what is asked about.
	if found, err := Examine(change(t, dump, istio(tree{"not_rule": path})), "", nil); err != nil || len(found) != 1 || found[0].ID != "open-by-pattern" || found[0].Severity != Fault {
		t.Errorf("paths that are open: %+v %v", found, err)
	}
	one := tree{"or_rules": tree{"rules": []any{tree{"url_path": tree{"path": tree{"exact": "/healthz"}}}}}}
	for name, rule := range map[string]any{"notPaths": tree{"not_rule": one}, "any": tree{"any": true}} {
		if found, err := Examine(change(t, dump, istio(rule)), "", nil); err != nil || len(found) > 0 {
			t.Errorf("%s: %+v %v", name, found, err)
		}
	}
	if found, err := Examine(dump, "1.36.4", nil); err != nil || strings.Join(ids(found), " ") != "old-envoy" {
		t.Errorf("an old Envoy: %+v %v", found, err)
	}
}

func TestADumpIsComparedWithAPolicy(t *testing.T) {
	for file, text := range examples(t) {
		if !strings.HasSuffix(file, "envoy-fused.yaml") || bytes.Contains(text, []byte("HttpGrpcAccessLogConfig")) {
			continue
		}
		p := &sallyport.Policy{APIs: []*sallyport.API{{Name: "orders", Hosts: []string{"api.orders.test"}, Limits: []*sallyport.Limit{{Concurrency: 5}}}}}
		found, err := Examine(dumpOf(t, text), "1.40.0", p)
		if got := strings.Join(ids(found), " "); err != nil || got != "ends-untold" {
			t.Errorf("got %q, %v: %+v", got, err, found) // its virtual host * serves every host
		}
		return
	}
	t.Fatal("no example without slots")
}

func TestDomainsServeHosts(t *testing.T) {
	for _, c := range []struct {
		domain, host string
		want         bool
	}{
		{"api.test", "api.test", true}, {"api.test:80", "api.test", true}, {"API.test", "api.test", true}, {"*", "api.test", true}, {"*.test", "api.test", true},
		{"api.*", "api.test", true}, {"other.test", "api.test", false}, {"*.other", "api.test", false}, {"x.*", "api.test", false},
	} {
		if got := serves(c.domain, c.host); got != c.want {
			t.Errorf("%s, %s: %v", c.domain, c.host, got)
		}
	}
}

func TestWhatIsNoDumpIsAnError(t *testing.T) {
	for _, text := range []string{"", "{}", "[]", "<html>", `{"configs": {}}`, `{"configs": []}`} {
		if found, err := Examine([]byte(text), "", nil); err == nil {
			t.Errorf("%q: no error, %v", text, found)
		}
	}
}

// Whatever it is given, the doctor answers; and equal dumps with equal findings.
func FuzzExamine(f *testing.F) {
	for _, text := range examples(f) {
		f.Add(dumpOf(f, text))
	}
	f.Add([]byte(`{"configs":[{"static_listeners":[{"listener":{"filter_chains":[{"filters":[{"typed_config":{"@type":"x.HttpConnectionManager","http_filters":[{"typed_config":{"@type":"ext_authz.v3.ExtAuthz","grpc_service":{}}}],"route_config":3}}]}]}}]}]}`))
	f.Fuzz(func(t *testing.T, dump []byte) {
		first, err := Examine(dump, "1.40.0", nil)
		second, again := Examine(dump, "1.40.0", nil)
		if (err == nil) != (again == nil) || len(first) != len(second) {
			t.Errorf("%v %v, then %v %v", first, err, second, again)
		}
	})
}
