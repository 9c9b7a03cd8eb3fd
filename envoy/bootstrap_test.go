package envoy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	// The types that the bootstrap packs into Any.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
)

var update = flag.Bool("update", false, "write the golden files")

var chains = []sallyport.Chain{sallyport.Paired, sallyport.Fused}

// orders and billing are two neutral APIs: one with an endpoint of ours, one
// behind TLS with a webhook.
func policy() *sallyport.Policy {
	orders := &sallyport.API{
		Name: "orders", Hosts: []string{"api.orders.test", "orders.localhost"}, Upstream: "http://127.0.0.1:8080",
		Operations: []*sallyport.Operation{
			{Name: "GET /v1/orders", Method: "GET", Path: "/v1/orders"},
			{Name: "GET /v1/keys", Method: "GET", Path: "/v1/keys", Serve: "api_keys"},
			{Name: "DELETE /v1/keys/{id}", Method: "DELETE", Path: "/v1/keys/{id}", Serve: "api_keys"},
			{Name: "DELETE /v1/keys/all", Method: "DELETE", Path: "/v1/keys/all"},
		},
		Headers: sallyport.QuotaHeaders{Limit: "X-RateLimit-Limit", Remaining: "X-RateLimit-Remaining", Reset: "X-RateLimit-Reset"},
	}
	billing := &sallyport.API{Name: "billing", Hosts: []string{"api.billing.test"}, Upstream: "https://billing.internal:8443",
		Operations: []*sallyport.Operation{
			{Name: "POST /hooks/{from}", Method: "POST", Path: "/hooks/{from}", Webhook: &sallyport.Webhook{MaxBody: 256 << 10}},
			{Name: "PUT /hooks/{id}", Method: "PUT", Path: "/hooks/{id}"},
			{Name: "GET /invoices", Method: "GET", Path: "/invoices"},
		}}
	for _, api := range []*sallyport.API{orders, billing} {
		for _, k := range sallyport.Kinds() {
			*api.Response(k) = k.Default()
		}
	}
	*billing.Response(sallyport.KindUnavailable) = sallyport.Response{Status: 503, Code: "down", Message: "100% of “billing” is down"}
	return &sallyport.Policy{APIs: []*sallyport.API{orders, billing}}
}

func options(chain sallyport.Chain) Options {
	return Options{Chain: chain, Admin: "127.0.0.1:9901", GRPC: "unix:///run/sallyport/sallyport.sock", HTTP: "127.0.0.1:9192"}
}

func TestBootstrapIsTheGoldenFile(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.String(), func(t *testing.T) {
			got, err := Bootstrap(policy(), options(chain))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", chain.String()+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s; see the difference with: go test ./envoy -update && git diff envoy/testdata", golden)
			}
			again, err := Bootstrap(policy(), options(chain))
			if err != nil || !bytes.Equal(got, again) {
				t.Errorf("a second call gave other bytes (error %v)", err)
			}
		})
	}
}

func TestBootstrapIsValidToTheLetter(t *testing.T) {
	for _, chain := range chains {
		for name, o := range variants(chain) {
			t.Run(chain.String()+"/"+name, func(t *testing.T) {
				text, err := Bootstrap(policy(), o)
				if err != nil {
					t.Fatal(err)
				}
				if err := parse(t, text).ValidateAll(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func variants(chain sallyport.Chain) map[string]Options {
	plain := options(chain)
	noAdmin, names, v6, render := plain, plain, plain, plain
	noAdmin.Admin = ""
	names.GRPC, names.HTTP, names.Listen = "gate.internal:9191", "unix:/run/http.sock", ":0"
	v6.GRPC, v6.Listen, v6.Admin = "[::1]:9191", "[::]:10000", "[::1]:0"
	v6.Timeouts = Timeouts{Check: 1500 * time.Millisecond, Upstream: time.Hour}
	v6.TrustedHops = 2
	render.Render = func(api *sallyport.API, k sallyport.Kind) string {
		return `{"nasty": "\u0000\u007f\u0085\u2028 %% '\"}{{.}} # : \ud83d\ude00", "n": 1, "t": true, "z": null, "l": [1, {"a": "%REQ(X-REQUEST-ID)%"}], "": {}}`
	}
	return map[string]Options{"plain": plain, "no admin": noAdmin, "names": names, "v6": v6, "render": render}
}

// parse reads YAML into the bootstrap's type and refuses unknown fields.
func parse(t *testing.T, text []byte) *bootstrapv3.Bootstrap {
	t.Helper()
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatalf("%v\n%s", err, numbered(text))
	}
	asJSON, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	b := new(bootstrapv3.Bootstrap)
	if err := protojson.Unmarshal(asJSON, b); err != nil {
		t.Fatal(err)
	}
	return b
}

func numbered(text []byte) string {
	var b strings.Builder
	for i, line := range strings.Split(string(text), "\n") {
		fmt.Fprintf(&b, "%4d %s\n", i+1, line)
	}
	return b.String()
}

// connectionManager digs the HTTP connection manager out of b.
func connectionManager(t *testing.T, b *bootstrapv3.Bootstrap) *hcmv3.HttpConnectionManager {
	t.Helper()
	listener := b.GetStaticResources().GetListeners()[0]
	config := listener.GetFilterChains()[0].GetFilters()[0].GetConfigType().(*listenerv3.Filter_TypedConfig)
	m := new(hcmv3.HttpConnectionManager)
	if err := config.TypedConfig.UnmarshalTo(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEnvoyAcceptsTheBootstrap(t *testing.T) {
	binary := testenv.Envoy(t)
	for _, chain := range chains {
		for name, o := range variants(chain) {
			t.Run(chain.String()+"/"+name, func(t *testing.T) {
				text, err := Bootstrap(policy(), o)
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(t.TempDir(), "bootstrap.yaml")
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
				out, err := exec.Command(binary, "--mode", "validate", "-c", file, "--log-level", "warning").CombinedOutput()
				if err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				for line := range strings.Lines(string(out)) {
					if strings.Contains(line, "[warning]") || strings.Contains(strings.ToLower(line), "deprecated") {
						t.Errorf("Envoy warns: %s", line)
					}
				}
			})
		}
	}
}

func TestFusedChainDoesNotKnowTheRateLimitService(t *testing.T) {
	text, err := Bootstrap(policy(), options(sallyport.Fused))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"http.ratelimit", clusterRateLimit} {
		if bytes.Contains(text, []byte(word)) {
			t.Errorf("fused bootstrap mentions %s", word)
		}
	}
}

func TestChainComesFromOptionsThenPolicy(t *testing.T) {
	for _, c := range []struct{ option, policy, want sallyport.Chain }{
		{sallyport.ChainUnset, sallyport.ChainUnset, sallyport.Paired},
		{sallyport.ChainUnset, sallyport.Fused, sallyport.Fused},
		{sallyport.Paired, sallyport.Fused, sallyport.Paired},
	} {
		p, o := policy(), options(c.option)
		p.Chain = c.policy
		if got := o.withDefaults(p).Chain; got != c.want {
			t.Errorf("option %v, policy %v: got %v, want %v", c.option, c.policy, got, c.want)
		}
	}
}

func TestNoOperatorsStringBecomesStructure(t *testing.T) {
	const evil = "x\"}\nadmin: {address: 1} # '\u2028"
	p := policy()
	p.APIs[0].Name = evil
	p.APIs[0].Headers.Limit = evil
	p.APIs[0].Operations[1].Name = evil
	p.APIs[0].Operations[1].Path = "/" + evil
	p.APIs[0].Response(sallyport.KindNotFound).Message = evil
	o := options(sallyport.Paired)
	o.Admin, o.Certificates = "", evil
	text, err := Bootstrap(p, o)
	if err != nil {
		t.Fatal(err)
	}
	b := parse(t, text)
	if b.GetAdmin() != nil {
		t.Error("an admin listener was smuggled in")
	}
	host := connectionManager(t, b).GetRouteConfig().GetVirtualHosts()[0]
	if got := host.GetName(); got != evil {
		t.Errorf("name: got %q, want %q", got, evil)
	}
}

func TestBootstrapNamesEveryFault(t *testing.T) {
	p := policy()
	p.APIs[0].Hosts = []string{"API.orders.test", "api.billing.test", "a.test:80", "*.a.test", "a..b"}
	p.APIs[0].Upstream = "ftp://x"
	p.APIs[0].Operations[1].Path = "v1"
	p.APIs[1].Upstream = "https://u.test/base"
	p.APIs[1].Response(sallyport.KindForbidden).Status = 507
	p.APIs[1].Response(sallyport.KindConflict).Status = 413
	o := Options{Listen: "localhost:1", Admin: "nowhere", GRPC: "unix:relative",
		Render: func(*sallyport.API, sallyport.Kind) string { return "[]" }}
	_, err := Bootstrap(p, o)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`listen: "localhost:1": Envoy listens on an IP address`,
		`admin: "nowhere": want host:port`,
		`grpc: "unix:relative": a socket needs an absolute path`,
		`host "API.orders.test" is not`, `host "a.test:80" is not`, `host "*.a.test" is not`, `host "a..b" is not`,
		`host "api.billing.test" is also one of orders`,
		`upstream: "ftp://x": want http://host:port`,
		`upstream: "https://u.test/base": only scheme, host and port`,
		`path "v1" does not begin with a slash`,
		`errors: forbidden: status 507 is private`,
		`errors: conflict: status 413 is for bodies`,
		`errors: unavailable: body: is not one JSON object`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}

func TestServedOperationsNeedOurHTTP(t *testing.T) {
	o := options(sallyport.Paired)
	o.HTTP = ""
	if _, err := Bootstrap(policy(), o); err == nil || !strings.Contains(err.Error(), "http: an operation is served") {
		t.Errorf("got error %v", err)
	}
	p := policy()
	p.APIs[0].Operations = nil
	text, err := Bootstrap(p, o)
	if err != nil || bytes.Contains(text, []byte(clusterHTTP)) {
		t.Errorf("without served operations: error %v, or the cluster is there", err)
	}
}
