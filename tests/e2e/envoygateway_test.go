package e2e

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
)

// gatewayPorts are those that Envoy Gateway and its Envoy listen on, whatever one
// says: one of these tests runs at a time on a machine.
var gatewayPorts = []string{"18000", "18002", "19000", "19001", "8081"}

// gatewayProgram finds a program of Envoy Gateway's.
func gatewayProgram(t *testing.T, variable string) string {
	t.Helper()
	return controlPlane(t, variable, "envoygateway", "make test-envoy-gateway")
}

// envoyGateway is Envoy Gateway, standalone, and the Envoy that it starts. It runs
// without Kubernetes, so Sallyport and the upstream are Backends, objects of its
// own, in the place of Services.
type envoyGateway struct {
	folder  string
	process *exec.Cmd
	log     *logged
	since   int // how long log was before the last apply

	example  string // default vaultwares
	*demo           // what is behind it now
	own      string // where its own Envoy has the API
	upstream *asked // and behind that
	at       string // the upstream's address
	port     string // of the Gateway's listener, another one with each apply
	beside   string // the port of another listener, which nothing is said of, where a test has one

	// Where a test has others than one for HTTP: the Gateway's listeners, as YAML with
	// PORT for theirs, and for those that end TLS an object with the certificate.
	listeners, secret string
}

// startEnvoyGateway starts it without any objects; flags are the runtime flags that
// it runs with.
func startEnvoyGateway(t *testing.T, flags ...string) *envoyGateway {
	t.Helper()
	g := &envoyGateway{folder: t.TempDir(), log: new(logged), upstream: new(asked)}
	program, envoy := gatewayProgram(t, "ENVOY_GATEWAY"), testenv.Envoy(t)
	for _, port := range gatewayPorts {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			t.Fatalf("Envoy Gateway needs the port %s: %v", port, err)
		}
		l.Close()
	}
	upstream := httptest.NewServer(g.upstream)
	t.Cleanup(upstream.Close)
	g.at = upstream.Listener.Addr().String()

	// Where it would put an Envoy that it downloads, it finds ours.
	version := versionOf(t, envoy)
	bin := filepath.Join(g.folder, "data", "envoy-versions", version, "bin")
	for _, dir := range []string{bin, filepath.Join(g.folder, "objects"), filepath.Join(g.folder, "config")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(envoy, filepath.Join(bin, "envoy")); err != nil {
		t.Fatal(err)
	}
	g.write(t, "gateway.yaml", fmt.Sprintf(`
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
provider:
  type: Custom
  custom:
    resource: {type: File, file: {paths: [%[1]s/objects]}}
    infrastructure: {type: Host, host: {configHome: %[1]s/config, dataHome: %[1]s/data, stateHome: %[1]s/state, runtimeDir: %[1]s/run}}
extensionApis: {enableBackend: true, enableEnvoyPatchPolicy: true}
runtimeFlags: {enabled: [%[2]s]}
`, g.folder, strings.Join(flags, ", ")))
	g.write(t, "objects/class.yaml", fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: host, namespace: envoy-gateway-system}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: host, namespace: envoy-gateway-system}
spec: {provider: {type: Host, host: {envoyVersion: %q}}, telemetry: {accessLog: {disable: true}}}
`, version))
	if out, err := exec.Command(program, "certgen", "--local", "--config-home", filepath.Join(g.folder, "config")).CombinedOutput(); err != nil {
		t.Fatalf("certgen: %v\n%s", err, out)
	}
	g.process = exec.Command(program, "server", "--config-path", filepath.Join(g.folder, "gateway.yaml"))
	g.process.Stdout, g.process.Stderr = g.log, g.log
	g.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { g.process.Wait(); close(ended) }()
	t.Cleanup(func() {
		g.process.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
		}
		// Its Envoy too, which may have outlived it.
		syscall.Kill(-g.process.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	eventually(t, "Envoy Gateway watches the folder of objects", func() bool {
		a, err := (&demo{client: newClient()}).try("GET", "http://127.0.0.1:8081/readyz", "")
		return err == nil && a.status == 200
	})
	return g
}

// versionOf is an Envoy's version, by which Envoy Gateway calls its folder.
func versionOf(t *testing.T, envoy string) string {
	t.Helper()
	out, err := exec.Command(envoy, "--version").Output()
	parts := strings.Split(string(out), "/") // … version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL
	if err != nil || len(parts) < 5 {
		t.Fatalf("Envoy says %s, %v", out, err)
	}
	return parts[len(parts)-4]
}

// write makes a file whole at once: half of it would be read.
func (g *envoyGateway) write(t *testing.T, name, text string) {
	t.Helper()
	draft := filepath.Join(g.folder, "draft")
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(draft, filepath.Join(g.folder, name)); err != nil {
		t.Fatal(err)
	}
}

// around is what a user has before Sallyport: a Gateway, a route to the API, and
// beside it one that nobody guards.
func (g *envoyGateway) around(t *testing.T, api string) string {
	t.Helper()
	listeners := strings.ReplaceAll(cmp.Or(g.listeners, "{name: http, protocol: HTTP, port: PORT}"), "PORT", g.port)
	if g.beside != "" {
		listeners += fmt.Sprintf(", {name: beside, protocol: HTTP, port: %s}", g.beside)
	}
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg, namespace: default}
spec:
  gatewayClassName: eg
  listeners: [%[1]s]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %[2]s, namespace: default}
spec:
  parentRefs: [{name: eg}]
  hostnames: [api.%[2]s.com, api.%[2]s.io, api.%[2]s.localhost]
  rules:
  - matches: [{path: {type: PathPrefix, value: /}}]
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: upstream}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: elsewhere, namespace: default}
spec:
  parentRefs: [{name: eg}]
  hostnames: [www.elsewhere.test]
  rules:
  - backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: upstream}]
`, listeners, api) + g.secret + backendOf(t, "upstream", g.at) + backendOf(t, "sallyport", g.GRPC) + backendOf(t, "sallyport-http", g.Admin.URL)
}

// backendOf is an object of Envoy Gateway's own that leads to an address or URL.
func backendOf(t *testing.T, name, at string) string {
	t.Helper()
	return fmt.Sprintf(`---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: %s, namespace: default}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: %s}}]}
`, name, portOf(t, at))
}

// apply starts a gate with new keys and gives Envoy Gateway what the command prints
// with flags, changed by edit where there is one. It returns when its Envoy asks.
func (g *envoyGateway) apply(t *testing.T, edit func(string) string, flags ...string) {
	t.Helper()
	var err error
	name := cmp.Or(g.example, "vaultwares")
	if g.demo, err = startDemo(testenv.Envoy(t), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.demo.end)
	g.port = portOf(t, testenv.FreeAddress(t))
	if g.listeners == "" {
		flags = append([]string{"--listener", "http:PORT"}, flags...)
	}
	for i := range flags {
		flags[i] = strings.ReplaceAll(flags[i], "PORT", g.port)
	}
	text := g.cli(t, append([]string{"envoy", "gateway", "-c", "../../examples/" + name + "/sallyport.yaml",
		"--service-kind", "Backend", "--service-namespace", "default", "--http-service", "sallyport-http", "--grpc", g.GRPC}, flags...)...)
	if edit != nil {
		text = edit(text)
	}
	api := g.APIs[name]
	g.own, api.URL = api.URL, "http://api."+name+".localhost:"+g.port
	if g.secret != "" {
		api.URL = "https" + strings.TrimPrefix(api.URL, "http")
		g.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	}
	g.APIs[name] = api

	g.since = len(g.log.String())
	g.write(t, "objects/all.yaml", g.around(t, name)+"---\n"+text)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Envoy Gateway said last:\n%s", tailOf(g.said(), 8000))
		}
	})
	eventually(t, "Envoy to ask Sallyport about the route", func() bool {
		a, err := g.try("GET", api.URL+"/v1/devices", "")
		return err == nil && a.status == 401 && a.header.Get("X-Sallyport-Decision") != ""
	})
}

// said is what Envoy Gateway wrote since the last apply.
func (g *envoyGateway) said() string { return g.log.String()[g.since:] }

// get asks the API.
func (g *envoyGateway) get(t *testing.T, path string, lines ...string) answer {
	t.Helper()
	return g.send(t, "GET", g.APIs["vaultwares"].URL+path, lines...)
}

// elsewhere asks a host of the listener that is none of ours.
func (g *envoyGateway) elsewhere(t *testing.T) {
	t.Helper()
	if a := g.send(t, "GET", "http://www.elsewhere.test:"+g.port+"/"); a.status != 200 || a.header.Get("X-Sallyport-Decision") != "" {
		t.Errorf("a route that is not ours: %d %v", a.status, a.header)
	}
}

// running is one part of what Envoy says that it runs with.
func (g *envoyGateway) running(t *testing.T, part string) string {
	t.Helper()
	return g.send(t, "GET", "http://"+g.admin(t)+"/config_dump?resource="+part).body
}

// admin is where Envoy's admin listener is.
func (g *envoyGateway) admin(t *testing.T) string {
	t.Helper()
	addresses, err := filepath.Glob(filepath.Join(g.folder, "*", "*", "*", "admin-address.txt"))
	if more, _ := filepath.Glob(filepath.Join(g.folder, "*", "*", "admin-address.txt")); len(addresses) == 0 {
		addresses = more
	}
	if err != nil || len(addresses) != 1 {
		t.Fatalf("where Envoy's admin listener is stands in %v, %v; want one file", addresses, err)
	}
	address, err := os.ReadFile(addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(address))
}

// hasFilter reports whether the Gateway's listener, as Envoy runs with it, has a
// filter; a listener from before may be draining still.
func (g *envoyGateway) hasFilter(t *testing.T, name string) bool {
	t.Helper()
	return g.filterAt(t, g.port, name)
}

func (g *envoyGateway) filterAt(t *testing.T, port, name string) bool {
	t.Helper()
	return strings.Contains(g.listenerAt(t, port), `"name": "`+name+`"`)
}

// listenerAt is Envoy's listener on a port.
func (g *envoyGateway) listenerAt(t *testing.T, port string) string {
	t.Helper()
	var dump struct {
		Configs []struct {
			ActiveState struct{ Listener json.RawMessage } `json:"active_state"`
		}
	}
	text := g.running(t, "dynamic_listeners")
	if err := json.Unmarshal([]byte(text), &dump); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, l := range dump.Configs {
		if text := string(l.ActiveState.Listener); strings.Contains(text, `"port_value": `+port) {
			return text
		}
	}
	t.Fatalf("Envoy has no listener on the port %s:\n%s", port, text)
	return ""
}

// chain is the chain that a request really takes: whether the quota was taken by a
// call to the rate limit service, or by Check. (What routes tell Check is redacted
// in what Envoy says of itself.)
func (g *envoyGateway) chain(t *testing.T) string {
	t.Helper()
	key := "X-API-Key: " + g.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
	if a := g.get(t, "/v1/devices", key); a.status != 200 || a.header.Get("X-RateLimit-Remaining") != "59" {
		t.Fatalf("got %d %v", a.status, a.header)
	}
	metrics := g.send(t, "GET", g.Admin.URL+"/metrics").body
	if strings.Contains(metrics, "\nsallyport_ratelimit_decisions_total{") {
		return "paired"
	}
	return "fused"
}

const (
	gatewayStrips = "envoy.filters.http.header_mutation/sallyport"
	gatewayLimits = "envoy.filters.http.ratelimit/sallyport"
)

// Behind Envoy Gateway the example's promises hold, in both schemes of names and on
// both chains, and without any patch.
func TestEnvoyGatewayKeepsThePromises(t *testing.T) {
	for names, flags := range map[string][]string{"v1": nil, "v2": {"XDSNameSchemeV2"}} {
		t.Run(names, func(t *testing.T) {
			g := startEnvoyGateway(t, flags...)
			for _, chain := range chains {
				t.Run(chain, func(t *testing.T) {
					g.apply(t, nil, "--names", names, "--chain", chain)
					if !g.hasFilter(t, gatewayStrips) || g.hasFilter(t, gatewayLimits) != (chain == "paired") {
						t.Error("the patches have not made the filters that they should")
					}
					if got := g.chain(t); got != chain {
						t.Errorf("requests take the chain %s", got)
					}
					if strings.Contains(g.said(), "Failed to process JSON patches") {
						t.Error("a patch was refused")
					}
					g.runSteps(t, "vaultwares")
					noDanger(t, "--admin", "http://"+g.admin(t))
				})
			}
			t.Run("unpatched", func(t *testing.T) {
				g.apply(t, nil, "--names", "none")
				if g.hasFilter(t, gatewayStrips) {
					t.Error("there is a patch")
				}
				g.runSteps(t, "vaultwares")
				g.quotaHolds(t)
			})
		})
	}
}

// Of a Gateway's listeners on one port Envoy makes one. Our filters are in it once, and
// the routes of each are patched.
func TestEnvoyGatewayWithTwoListenersOnOnePort(t *testing.T) {
	cert := newAuthority(t).certificate([]string{"*.vaultwares.localhost", "*.vaultwares.com"})
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	encoded := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	secret := fmt.Sprintf("---\n{apiVersion: v1, kind: Secret, type: kubernetes.io/tls, metadata: {name: cert, namespace: default}, data: {tls.crt: %s, tls.key: %s}}\n",
		encoded("CERTIFICATE", cert.Certificate[0]), encoded("PRIVATE KEY", key))
	for names, flags := range map[string][]string{"v1": nil, "v2": {"XDSNameSchemeV2"}} {
		t.Run(names, func(t *testing.T) {
			g := startEnvoyGateway(t, flags...)
			t.Run("HTTP", func(t *testing.T) { g.twoListeners(t, names, "") })
			g.secret = secret
			t.Run("HTTPS", func(t *testing.T) { g.twoListeners(t, names, ":tls") })
		})
	}
}

// twoListeners are one for each of the API's hosts; ends is ":tls" where they end TLS.
func (g *envoyGateway) twoListeners(t *testing.T, names, ends string) {
	scheme, protocol, wanted := "http", "HTTP", 1
	if ends != "" {
		scheme, wanted = "https", 2 // in each chain of filters
		protocol = "HTTPS, tls: {mode: Terminate, certificateRefs: [{name: cert}]}"
	}
	g.listeners = fmt.Sprintf(`{name: local, hostname: "*.vaultwares.localhost", port: PORT, protocol: %[1]s}, {name: com, hostname: "*.vaultwares.com", port: PORT, protocol: %[1]s}`, protocol)
	g.apply(t, nil, "--names", names, "--chain", "paired", "--listener", "local:PORT"+ends, "--listener", "com:PORT"+ends)
	if said := g.said(); strings.Contains(said, "ResourceNotFound") || strings.Contains(said, "Failed to process JSON patches") {
		t.Error("a patch was refused")
	}
	for _, name := range []string{gatewayStrips, gatewayLimits} {
		if got := strings.Count(g.listenerAt(t, g.port), `"name": "`+name+`"`); got != wanted {
			t.Errorf("%s is there %d times, want %d", name, got, wanted)
		}
	}
	key := "X-API-Key: " + g.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
	for i, host := range []string{"api.vaultwares.localhost", "api.vaultwares.com"} {
		a := g.send(t, "GET", scheme+"://"+host+":"+g.port+"/v1/devices", key, "X-Echo-Header: X-RateLimit-Remaining: 4711")
		if got, want := a.header.Values("X-RateLimit-Remaining"), fmt.Sprint(59-i); a.status != 200 || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %d, left %v, want %s", host, a.status, got, want)
		}
	}
}

// quotaHolds spends a quota of 60 a minute and sees that the next is refused.
func (g *envoyGateway) quotaHolds(t *testing.T) {
	t.Helper()
	key := "X-API-Key: " + g.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
	limited := 0
	for range 130 { // a minute may end meanwhile, but not two
		switch a := g.get(t, "/v1/devices", key); {
		case a.status == 429:
			limited++
			if a.header.Get("Retry-After") == "" || a.header.Get("X-RateLimit-Remaining") != "0" || !strings.Contains(a.body, `"code":"rate_limit_exceeded"`) {
				t.Fatalf("429 with %v\n%s", a.header, a.body)
			}
		case a.status != 200:
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if limited < 10 {
		t.Errorf("of 130 requests %d were refused, want at least 10: the quota is 60 a minute", limited)
	}
}

// G2: however a path is spelt, Check is asked about it, or nothing of it reaches the
// upstream, with patches and without.
func TestEnvoyGatewayHasNoWayRound(t *testing.T) {
	g := startEnvoyGateway(t)
	for _, names := range []string{"v1", "none"} {
		t.Run(names, func(t *testing.T) {
			g.apply(t, nil, "--names", names)
			if open := g.upstream.roundabout(t, "127.0.0.1:"+g.port); len(open) > 0 {
				t.Errorf("got round: %q", open)
			}
		})
	}
}

// A patch in the names of the other scheme is not applied, and nothing in the
// traffic of those who may pass would show it. So the SecurityPolicy itself has
// Check take the quota, which is held all the same.
func TestEnvoyGatewayWithTheOtherSchemesNames(t *testing.T) {
	g := startEnvoyGateway(t)
	g.apply(t, nil, "--names", "v2", "--chain", "paired")
	if g.hasFilter(t, gatewayStrips) || g.hasFilter(t, gatewayLimits) {
		t.Error("a patch in other names was applied")
	}
	if !strings.Contains(g.said(), "reason: ResourceNotFound") {
		t.Error("Envoy Gateway does not say that it found nothing to patch")
	}
	if got := g.chain(t); got != "fused" {
		t.Errorf("requests take the chain %s", got)
	}
	g.quotaHolds(t)

	// What it would be without that: a SecurityPolicy that trusts in the filter.
	g.apply(t, func(text string) string {
		return strings.Replace(text, "{name: chain, type: Value, value: listener}", "{name: chain, type: Value, value: paired}", 1)
	}, "--names", "v2", "--chain", "paired")
	key := "X-API-Key: " + g.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
	for n := range 130 {
		if a := g.get(t, "/v1/devices", key); a.status != 200 {
			t.Fatalf("request %d: %d; the trap that the chain's guard is there for is gone, and so may the guard be", n, a.status)
		}
	}
}

// A route may be that of another listener, too, which nobody has named to us. There no
// filter of ours is, and here a ClientTrafficPolicy of its own is in the place of ours:
// quotas and allow lists hold all the same, whatever a client says.
func TestEnvoyGatewayHoldsWhereNothingIsPatched(t *testing.T) {
	g := startEnvoyGateway(t)
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			g.beside = portOf(t, testenv.FreeAddress(t))
			g.apply(t, func(text string) string {
				return text + `
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {name: own, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg, sectionName: beside}]
  headers: {withUnderscoresAction: Allow}
`
			}, "--chain", chain, "--trusted-hops", "1")
			if got := g.chain(t); got != chain {
				t.Errorf("requests to the listener that is patched take the chain %s", got)
			}
			api := g.APIs["vaultwares"]
			api.URL = "http://api.vaultwares.localhost:" + g.beside
			g.APIs["vaultwares"] = api
			for port, want := range map[string]bool{g.port: true, g.beside: false} {
				if g.filterAt(t, port, gatewayStrips) != want {
					t.Errorf("the listener on port %s has our filters: %v", port, !want)
				}
			}
			g.quotaHolds(t)
			forged := []string{"X-Sallyport-Sid: one", "X-Sallyport-Source: 203.0.113.7", "X-Forwarded-For: 203.0.113.9", "X-Sallyport-Tenant: evil"}
			key := "X-API-Key: " + g.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
			for _, left := range []string{"59", "58"} {
				a := g.get(t, "/v1/devices", append(forged, key)...)
				if a.status != 200 || a.header.Get("X-RateLimit-Remaining") != left || strings.Contains(a.body, "evil") || strings.Contains(a.body, "x-sallyport-sid") {
					t.Errorf("got %d %v %s, want %s left, and nothing of the client's own words", a.status, a.header, a.body, left)
				}
			}
			bound := "X-API-Key: " + g.key(t, "vaultwares", "org_free", "--scopes", "devices:read", "--ip", "203.0.113.0/24").Key
			if a := g.get(t, "/v1/devices", append(forged, bound)...); a.status != 403 {
				t.Errorf("from an address that only the client tells: %d %s", a.status, a.body)
			}
		})
	}
}

// C-G: who may have five requests in flight gets a place back with each that ends, by
// an answer or because the client left: a patched listener tells of both.
func TestEnvoyGatewayTellsOfWhatEnded(t *testing.T) {
	g := startEnvoyGateway(t)
	g.example = "cyberhaven"
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			g.apply(t, nil, "--chain", chain)
			noDanger(t, "--admin", "http://"+g.admin(t))
			g.inFlightComesBack(t, g.own)
		})
	}
}

// What a client says of itself under our names neither reaches the upstream nor
// counts, and other routes of the listener go on by themselves.
func TestEnvoyGatewayBelievesNoForgedHeader(t *testing.T) {
	g := startEnvoyGateway(t)
	g.apply(t, nil, "--chain", "paired", "--trusted-hops", "1")
	key := g.key(t, "vaultwares", "org_free", "--scopes", "devices:read", "--ip", "203.0.113.0/24").Key
	lines := []string{"X-API-Key: " + key, "X-Sallyport-Tenant: evil", "x_sallyport_plan: evil", "X-Sallyport-Sid: evil", "X-Sallyport-Source: 203.0.113.7"}
	if a := g.get(t, "/v1/devices", append(lines, "X-Forwarded-For: 198.51.100.1")...); a.status != 403 {
		t.Errorf("from a network that it is not for: %d %s", a.status, a.body)
	}
	first := g.get(t, "/v1/devices", append(lines, "X-Forwarded-For: 203.0.113.9")...)
	second := g.get(t, "/v1/devices", append(lines, "X-Forwarded-For: 203.0.113.9")...)
	if first.status != 200 || strings.Contains(first.body, "evil") || !strings.Contains(first.body, `"x-sallyport-tenant":"org_free"`) {
		t.Errorf("got %d %s", first.status, first.body)
	}
	if first.header.Get("X-RateLimit-Remaining") != "59" || second.header.Get("X-RateLimit-Remaining") != "58" {
		t.Errorf("one sid for two requests: %v, %v", first.header, second.header)
	}
	g.elsewhere(t)
}

// G9: with Sallyport gone every answer of the guarded routes is a 503, in the API's
// own shape by the patch and an empty one without it; other routes go on.
func TestEnvoyGatewayWithoutSallyportIs503(t *testing.T) {
	g := startEnvoyGateway(t)
	for _, names := range []string{"v1", "none"} {
		t.Run(names, func(t *testing.T) {
			g.apply(t, nil, "--names", names)
			key := "X-API-Key: " + g.APIs["vaultwares"].Tenants[0].Keys[0].Key
			if a := g.get(t, "/v1/devices", key); a.status != 200 {
				t.Fatalf("before: %d %s", a.status, a.body)
			}
			g.demo.end()
			g.upstream.take()
			for _, lines := range [][]string{nil, {key}} {
				a := g.get(t, "/v1/devices", lines...)
				shaped := strings.Contains(a.body, `"code":"service_unavailable"`) && a.header.Get("Retry-After") != ""
				if a.status != 503 || shaped != (names == "v1") {
					t.Errorf("got %d %v %s", a.status, a.header, a.body)
				}
			}
			if got := g.upstream.take(); len(got) > 0 {
				t.Errorf("the upstream was asked: %v", got)
			}
			g.elsewhere(t)
		})
	}
}

// Envoy Gateway's own global rate limit reads a caller's limit from what Check
// tells: in its translation stands where from. What Envoy makes of that is
// TestARateLimitFilterReadsTheCallersLimit.
func TestEnvoyGatewayReadsTheCallersLimit(t *testing.T) {
	out, err := exec.Command(gatewayProgram(t, "EGCTL"), "x", "translate", "--from", "gateway-api", "--to", "xds", "-t", "route", "-o", "json",
		"-f", "testdata/envoygateway/frommetadata.yaml").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if text := strings.Join(strings.Fields(string(out)), ""); !strings.Contains(text, `"limit":{`+limitOverride+`}`) {
		t.Errorf("no %s in\n%s", limitOverride, out)
	}
}

// limitOverride is how a route of Envoy's takes a limit from Check's metadata.
const limitOverride = `"dynamicMetadata":{"metadataKey":{"key":"envoy.filters.http.ext_authz","path":[{"key":"limit"}]}}`
