package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/testenv"
)

// ownEnvoy is the bootstrap of somebody's own Envoy, which asks sallyport as it
// asked envoyproxy/ratelimit. %[1]s is the socket, %[2]s the port of the
// upstream.
const ownEnvoy = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: http
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          http_filters:
          - name: envoy.filters.http.set_metadata
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config
              metadata:
              - metadata_namespace: own
                value: {month: {requests_per_unit: 2, unit: MONTH}}
          - name: envoy.filters.http.ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
              domain: shop
              failure_mode_deny: true
              timeout: 5s
              enable_x_ratelimit_headers: DRAFT_VERSION_03
              rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: sallyport}}}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /month}
                route: {cluster: upstream, rate_limits: [{actions: [{generic_key: {descriptor_value: own}}], limit: {dynamic_metadata: {metadata_key: {key: own, path: [{key: month}]}}}}]}
              - match: {prefix: /none}
                route: {cluster: upstream, rate_limits: [{actions: [{generic_key: {descriptor_value: own}}], limit: {dynamic_metadata: {metadata_key: {key: own, path: [{key: none}]}}}}]}
              - match: {prefix: /}
                route:
                  cluster: upstream
                  rate_limits:
                  - actions: [{generic_key: {descriptor_key: route, descriptor_value: all}}, {request_headers: {header_name: x-user, descriptor_key: user}}]
                  - actions: [{generic_key: {descriptor_key: total, descriptor_value: all}}]
  clusters:
  - name: upstream
    type: STATIC
    load_assignment: {cluster_name: upstream, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]s}}}}]}]}
  - name: sallyport
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: sallyport, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %[1]s}}}}]}]}
`

// shopRules let each user send so many requests a year, and all together more.
func shopRules(each int) string {
	return fmt.Sprintf(`
domain: shop
descriptors:
- key: route
  value: all
  descriptors:
  - {key: user, value: fr*, rate_limit: {unlimited: true}}
  - {key: user, rate_limit: {unit: year, requests_per_unit: %d, name: each}}
- {key: total, rate_limit: {unit: year, requests_per_unit: 1000, name: together}}
`, each)
}

// newDirectoryServer starts a server with a folder of rate limits, and an Envoy
// of somebody's own that asks it.
func newDirectoryServer(t *testing.T) (*server, *demo, func(name, text string)) {
	testenv.Envoy(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "{}") }))
	t.Cleanup(upstream.Close)
	s := newServer(t, upstream.URL)
	folder := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		next := filepath.Join(folder, "."+name)
		if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("shop.yaml", shopRules(3))
	config, err := os.ReadFile(filepath.Join(s.folder, "sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write("sallyport.yaml", fmt.Sprintf("%s\nratelimit: {directories: [%s], poll: 100ms}\n", config, folder))
	s.start()
	port := upstream.URL[strings.LastIndexByte(upstream.URL, ':')+1:]
	return s, s.envoyOn(fmt.Sprintf(ownEnvoy, filepath.Join(s.folder, "s.sock"), port)), put
}

// Somebody's own Envoy with envoyproxy/ratelimit's rules: three requests pass,
// the fourth is 429, Envoy's own headers tell it, and a change of the file is in
// force without a restart of anything.
func TestDirectoriesLimitSomebodysOwnEnvoy(t *testing.T) {
	s, g, put := newDirectoryServer(t)
	get := func(user string) answer { return g.send(t, "GET", g.Gateway+"/", "X-User: "+user) }
	tells := func(a answer, status, each, remaining int) {
		t.Helper()
		// Envoy tells the limit with the fewest remaining, and all of them as its policy.
		policy := regexp.MustCompile(fmt.Sprintf(`^%d, %[1]d;w=31536000;name="each", 1000;w=31536000;name="together"$`, each))
		reset, err := strconv.Atoi(a.header.Get("X-RateLimit-Reset"))
		if a.status != status || !policy.MatchString(a.header.Get("X-RateLimit-Limit")) || a.header.Get("X-RateLimit-Remaining") != strconv.Itoa(remaining) ||
			err != nil || reset < 1 || reset > 31536000 || (a.header.Get("X-Envoy-RateLimited") != "") != (status == 429) {
			t.Errorf("got %d %v, want %d with %d of %d", a.status, a.header, status, remaining, each)
		}
	}
	for _, remaining := range []int{2, 1, 0} {
		tells(get("ann"), 200, 3, remaining)
	}
	tells(get("ann"), 429, 3, 0)
	tells(get("ben"), 200, 3, 2)
	if a := get("fred"); a.status != 200 {
		t.Errorf("unlimited: %d %v", a.status, a.header)
	}
	if a := g.send(t, "GET", g.Gateway+"/"); a.status != 200 { // without the header there is one descriptor
		t.Errorf("without a user: %d %v", a.status, a.header)
	}

	put("shop.yaml", shopRules(6)) // of which 4 are used
	eventually(t, "the changed limit", func() bool { return strings.HasPrefix(get("new").header.Get("X-RateLimit-Limit"), "6,") })
	tells(get("ann"), 200, 6, 1)
	put("shop.yaml", "domain: shop\ndescriptors: nonsense\n")
	eventually(t, "the fault", func() bool { return strings.Contains(s.log.String(), "shop.yaml:2: descriptors: is text") })
	tells(get("ann"), 200, 6, 0)
	tells(get("ann"), 429, 6, 0)
}

// An override that Envoy takes from metadata holds for a descriptor that no file
// has a rule for. (Envoy 1.40 does not send its unit_multiplier from there.)
func TestDirectoriesTakeEnvoysOverride(t *testing.T) {
	_, g, _ := newDirectoryServer(t)
	for _, want := range []int{200, 200, 429} {
		if a := g.send(t, "GET", g.Gateway+"/month"); a.status != want || a.header.Get("X-RateLimit-Limit") != "2, 2;w=2592000" {
			t.Errorf("got %d %v, want %d", a.status, a.header, want)
		}
	}
	if a := g.send(t, "GET", g.Gateway+"/none"); a.status != 200 || a.header.Get("X-RateLimit-Limit") != "" {
		t.Errorf("without an override: %d %v", a.status, a.header)
	}
}
