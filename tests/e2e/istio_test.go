package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/template"

	"github.com/sallyport/sallyport/internal/envoyproc"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/tests/requests"
)

var update = flag.Bool("update", false, "write the golden files anew")

// istioForm is a kind of proxy that Istio tells what to do.
type istioForm struct {
	name   string
	file   string // of deploy/istio
	parts  []string
	node   string
	labels string
	around string // what is there without us, in testdata/istio
}

var istioForms = []istioForm{
	{"gateway", "gateway.yaml", []string{"gateway"}, "router~127.0.0.2~ingressgateway.istio-system~istio-system.svc.cluster.local",
		"{istio: ingressgateway}", "gateway.yaml"},
	{"gateway-api", "gateway-api.yaml", []string{"gateway-api", "routes"}, "router~127.0.0.4~ingress.istio-system~istio-system.svc.cluster.local",
		"{gateway.networking.k8s.io/gateway-name: ingress}", "gateway-api.yaml"},
	{"workload", "workload.yaml", []string{"workload"}, "sidecar~127.0.0.3~vaultwares-1.default~default.svc.cluster.local",
		"{app: vaultwares}", "workload.yaml"},
}

// istioPlaces are the addresses in what the tests give to istiod.
type istioPlaces struct {
	Listen, Upstream, GRPC, HTTP string // ports
}

// istiod finds Istio's control plane.
func istiod(t *testing.T) string {
	t.Helper()
	return controlPlane(t, "ISTIOD", "istiod", "make test-istio")
}

// controlPlane finds what scripts/controlplane.sh builds.
func controlPlane(t *testing.T, variable, name, builds string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		testenv.Missing(t, name, "run "+builds+", which builds it")
	}
	return path
}

// startIstiod starts istiod on the mesh's configuration and objects, with more in its
// environment, and returns where proxies ask it.
func startIstiod(t *testing.T, mesh string, more []string, objects ...[]byte) (xds string) {
	t.Helper()
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	k := testenv.StartKubernetes(t, objects...)
	kubeconfig := write("kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: stub,
clusters: [{name: stub, cluster: {server: %q}}], users: [{name: stub, user: {}}], contexts: [{name: stub, context: {cluster: stub, user: stub}}]}`, k.URL))
	xds = testenv.FreeAddress(t)
	ready := testenv.FreeAddress(t)
	_, control, _ := net.SplitHostPort(testenv.FreeAddress(t))
	c := exec.Command(istiod(t), "discovery", "--registries=Kubernetes", "--kubeconfig", kubeconfig, "--meshConfig", write("mesh.yaml", mesh),
		"--networksConfig", os.DevNull, "--clusterID", "Kubernetes", "--httpAddr", ready, "--grpcAddr", xds, "--secureGRPCAddr", "", "--httpsAddr", "",
		"--monitoringAddr", testenv.FreeAddress(t), "--ctrlz_address", "127.0.0.1", "--ctrlz_port", control)
	c.Env = append(os.Environ(), "POD_NAMESPACE=istio-system", "POD_NAME=istiod", "CLUSTER_ID=Kubernetes", "KUBECONFIG="+kubeconfig,
		// A stock Envoy has no filters of Istio's own, and nobody here gives out certificates.
		"PILOT_ENABLE_METADATA_EXCHANGE=false", "PILOT_ENABLE_ALPN_FILTER=false", "ENABLE_CA_SERVER=false", "PILOT_ENABLE_STATUS=false",
		"VALIDATION_WEBHOOK_CONFIG_NAME=", "INJECTION_WEBHOOK_CONFIG_NAME=")
	c.Env = append(c.Env, more...)
	c.Dir = folder
	log := new(logged)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if t.Failed() {
			t.Logf("istiod said last:\n%s", tailOf(log.String(), 4000))
		}
	})
	eventually(t, "istiod to be ready", func() bool {
		resp, err := http.Get("http://" + ready + "/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return xds
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }

// portOf is the port of an address or URL.
func portOf(t *testing.T, at string) string {
	t.Helper()
	if u, err := url.Parse(at); err == nil && u.Host != "" {
		at = u.Host
	}
	_, port, err := net.SplitHostPort(at)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// istioProxy starts an Envoy that istiod tells what to do.
func istioProxy(t *testing.T, f istioForm, xds, listen string) *envoyproc.Process {
	t.Helper()
	part := strings.Split(f.node, "~")
	name, namespace, _ := strings.Cut(part[2], ".")
	bootstrap := fmt.Sprintf(`
node:
  id: %s
  cluster: %s.%s
  metadata: {CLUSTER_ID: Kubernetes, NAMESPACE: %s, NAME: %s, ISTIO_VERSION: 1.31.1, MESH_ID: cluster.local, INSTANCE_IPS: %s, LABELS: %s, INTERCEPTION_MODE: NONE}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
`, f.node, name, namespace, namespace, name, part[1], f.labels, portOf(t, xds))
	return envoyOf(t, []byte(bootstrap), listen)
}

// envoyOf starts an Envoy, and waits until it listens.
func envoyOf(t *testing.T, bootstrap []byte, listen string) *envoyproc.Process {
	t.Helper()
	log := new(logged)
	p, err := envoyproc.Start(context.Background(), envoyproc.Config{Binary: testenv.Envoy(t), Bootstrap: bootstrap, Stderr: log, LogLevel: "warning"})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("Envoy said last:\n%s", tailOf(log.String(), 4000))
		}
	})
	eventually(t, "Envoy to listen", func() bool { return listens("127.0.0.1:" + listen) })
	return p
}

// listens reports whether somebody takes connections at address.
func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// meshOf is the mesh's configuration with the part that we print: in these tests
// nobody gives out certificates.
func meshOf(part []byte) string {
	return "rootNamespace: istio-system\nenableAutoMtls: false\ntrustDomain: cluster.local\n" + string(part)
}

// aroundUs is what the cluster holds without us.
func aroundUs(t *testing.T, places istioPlaces, files ...string) (documents [][]byte) {
	t.Helper()
	for _, file := range files {
		text, err := template.ParseFiles(filepath.Join("testdata", "istio", file))
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := text.Execute(&out, places); err != nil {
			t.Fatal(err)
		}
		documents = append(documents, out.Bytes())
	}
	return documents
}

// ours is a file of deploy/istio for the paired chain, and what the command prints
// for the fused one.
func (f istioForm) ours(t *testing.T, chain, folder string) []byte {
	t.Helper()
	if chain == "paired" {
		text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "istio", folder, f.file))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if folder == beside {
		return f.printed(t, "vaultwares", "--chain", chain, "--beside")
	}
	return f.printed(t, "vaultwares", "--chain", chain)
}

// beside is the folder of the form where Sallyport is a container beside each Envoy.
const beside = "beside"

// contained is text with the ports of the containers in the place of their own.
func (p istioPlaces) contained(text []byte) []byte {
	text = regexp.MustCompile(`\b9191\b`).ReplaceAll(text, []byte(p.GRPC))
	return regexp.MustCompile(`\b9192\b`).ReplaceAll(text, []byte(p.HTTP))
}

// printed is what the command prints for the form and an example, with flags.
func (f istioForm) printed(t *testing.T, example string, flags ...string) []byte {
	t.Helper()
	args := append([]string{"envoy", "istio", "-c", "../../examples/" + example + "/sallyport.yaml"}, f.parts...)
	text, err := exec.Command(binary, append(args, flags...)...).Output()
	if err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return text
}

// istioCase is what a test wants of Istio.
type istioCase struct {
	form    istioForm
	chain   string
	example string   // default vaultwares
	folder  string   // of deploy/istio, where our objects are
	ours    []byte   // in the place of our objects of this form and chain
	mesh    string   // further lines of the mesh's configuration
	more    [][]byte // further objects
}

// istioRun is a gate with the keys of an example behind a proxy that istiod tells
// what to do.
type istioRun struct {
	*demo
	places   istioPlaces
	xds      string // where istiod tells it
	proxy    *envoyproc.Process
	upstream *asked
	api      string // its name
	own      string // where the gate's own Envoy has it
}

// asked is an upstream that remembers the paths that it was asked for.
type asked struct {
	mu    sync.Mutex
	paths []string // guarded by mu
}

func (s *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.paths = append(s.paths, r.URL.EscapedPath())
	s.mu.Unlock()
	requests.Echo(w, r)
}

// take returns the paths since it was called last.
func (s *asked) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	paths := s.paths
	s.paths = nil
	return paths
}

// gate starts what stands behind the proxy.
func (c istioCase) gate(t *testing.T) *istioRun {
	t.Helper()
	r := &istioRun{upstream: new(asked), api: cmp.Or(c.example, "vaultwares")}
	upstream := httptest.NewServer(r.upstream)
	t.Cleanup(upstream.Close)
	var err error
	if r.demo, err = startDemo(testenv.Envoy(t), "--chain", c.chain, r.api); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.end)
	r.places = istioPlaces{portOf(t, testenv.FreeAddress(t)), portOf(t, upstream.URL), portOf(t, r.GRPC), portOf(t, r.Admin.URL)}
	return r
}

// behind makes the proxy the way to the API.
func (r *istioRun) behind(p *envoyproc.Process) {
	r.proxy, r.Gateway = p, "http://127.0.0.1:"+r.places.Listen
	api := r.APIs[r.api]
	r.own = api.URL
	api.URL = "http://" + api.Hosts[0] + ":" + r.places.Listen
	r.APIs[r.api] = api
}

// start starts all that c is about.
func (c istioCase) start(t *testing.T) *istioRun {
	t.Helper()
	istiod(t)
	r := c.gate(t)
	if c.ours == nil {
		c.ours = c.form.ours(t, c.chain, c.folder)
	}
	mesh, err := os.ReadFile(filepath.Join("../../deploy/istio", c.folder, "meshconfig.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	objects := append(aroundUs(t, r.places, "common.yaml", c.form.around), c.ours)
	if c.folder == beside { // there is no Service between: its port is that of the container
		local, err := os.ReadFile(filepath.Join("../../deploy/istio", beside, "local.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, local)
		mesh = r.places.contained(mesh)
		for i := range objects {
			objects[i] = r.places.contained(objects[i])
		}
	}
	for i := range objects {
		objects[i] = bytes.ReplaceAll(objects[i], []byte("hosts: [api.vaultwares.com,"), []byte("hosts: ["+r.APIs[r.api].Hosts[0]+", api.vaultwares.com,"))
	}
	r.xds = startIstiod(t, meshOf(mesh)+c.mesh, nil, append(objects, c.more...)...)
	r.behind(istioProxy(t, c.form, r.xds, r.places.Listen))
	return r
}

// What the API's documentation promises holds where Istio's control plane makes
// the configuration; and that is what TestIstioGoldenConfigurations runs on.
func TestIstioKeepsThePromises(t *testing.T) {
	for _, f := range istioForms {
		for _, chain := range chains {
			t.Run(f.name+"/"+chain, func(t *testing.T) {
				r := istioCase{form: f, chain: chain}.start(t)
				got := staticOf(t, r.proxy.Admin(), r.places, map[string]any{"chain": chain, "source": "x-sallyport-source"})
				golden := filepath.Join("testdata", "istio", "golden", f.name+"-"+chain+".json")
				if *update {
					if err := os.WriteFile(golden, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if want, err := os.ReadFile(golden); err != nil {
					t.Error(err)
				} else if !bytes.Equal(got, want) {
					t.Errorf("istiod makes something else than %s holds: make test-istio ARGS=-update writes it anew; look at the difference", golden)
				}
				r.runSteps(t, "vaultwares")
			})
		}
	}
}

// And where Sallyport is a container beside each Envoy, without a Service.
func TestIstioKeepsThePromisesBesideEachEnvoy(t *testing.T) {
	for _, f := range istioForms {
		for _, chain := range chains {
			t.Run(f.name+"/"+chain, func(t *testing.T) {
				c := istioCase{form: f, chain: chain, folder: beside}
				if f.name == "gateway-api" { // whose proxies Istio makes: a container there is for who knows how, and no file stands in deploy
					c.ours = f.printed(t, "vaultwares", "--chain", chain, "--beside")
				}
				c.start(t).runSteps(t, "vaultwares")
			})
		}
	}
}

// The configurations that istiod made of our objects, run without it.
func TestIstioGoldenConfigurations(t *testing.T) {
	for _, f := range istioForms {
		for _, chain := range chains {
			t.Run(f.name+"/"+chain, func(t *testing.T) {
				r := istioCase{form: f, chain: chain}.gate(t)
				text := aroundUs(t, r.places, filepath.Join("golden", f.name+"-"+chain+".json"))[0]
				r.behind(envoyOf(t, text, r.places.Listen))
				r.runSteps(t, "vaultwares")
			})
		}
	}
}

// staticOf is what a running Envoy was told by its control plane, as a bootstrap
// that needs none, with the places that differ from run to run left open. extensions are
// the routes' context extensions, which Envoy keeps to itself.
func staticOf(t *testing.T, admin string, places istioPlaces, extensions map[string]any) []byte {
	t.Helper()
	resp, err := http.Get("http://" + admin + "/config_dump?include_eds")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var dump struct {
		Configs []struct {
			Listeners []struct {
				State struct {
					Listener map[string]any `json:"listener"`
				} `json:"active_state"`
			} `json:"dynamic_listeners"`
			Clusters []struct {
				Cluster map[string]any `json:"cluster"`
			} `json:"dynamic_active_clusters"`
			Routes []struct {
				Config map[string]any `json:"route_config"`
			} `json:"dynamic_route_configs"`
			Endpoints []struct {
				Config map[string]any `json:"endpoint_config"`
			} `json:"dynamic_endpoint_configs"`
			Static []struct {
				Config map[string]any `json:"endpoint_config"`
			} `json:"static_endpoint_configs"`
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&dump); err != nil {
		t.Fatal(err)
	}
	var listeners, clusters []any
	routes, endpoints := map[string]any{}, map[string]map[string]any{}
	for _, c := range dump.Configs {
		for _, l := range c.Listeners {
			if where := deep(l.State.Listener, "address", "socket_address", "port_value"); fmt.Sprint(where) == places.Listen {
				listeners = append(listeners, untyped(l.State.Listener))
			}
		}
		for _, one := range c.Clusters {
			clusters = append(clusters, untyped(one.Cluster))
		}
		for _, r := range c.Routes {
			routes[r.Config["name"].(string)] = untyped(r.Config)
		}
		for _, e := range append(c.Endpoints, c.Static...) {
			if name, ok := e.Config["cluster_name"].(string); ok {
				endpoints[name] = e.Config
			}
		}
	}
	for _, l := range listeners {
		eachObject(l, func(o map[string]any) {
			if name, ok := deep(o, "rds", "route_config_name").(string); ok {
				delete(o, "rds")
				o["route_config"] = routes[name]
			}
			if told, ok := o["context_extensions"].(map[string]any); ok {
				for name, value := range told {
					if value == "[redacted]" && extensions[name] != nil {
						told[name] = extensions[name]
					}
				}
			}
		})
	}
	for _, c := range clusters {
		c := c.(map[string]any)
		if c["type"] != "EDS" {
			continue
		}
		var addresses []any
		eachObject(endpoints[c["name"].(string)], func(o map[string]any) {
			if address := deep(o, "endpoint", "address"); address != nil {
				addresses = append(addresses, map[string]any{"endpoint": map[string]any{"address": address}})
			}
		})
		delete(c, "eds_cluster_config")
		c["type"] = "STATIC"
		c["load_assignment"] = map[string]any{"cluster_name": c["name"], "endpoints": []any{map[string]any{"lb_endpoints": addresses}}}
	}
	sort.Slice(clusters, func(i, j int) bool {
		return fmt.Sprint(deep(clusters[i], "name")) < fmt.Sprint(deep(clusters[j], "name"))
	})
	text, err := json.MarshalIndent(map[string]any{
		"admin":            map[string]any{"address": map[string]any{"socket_address": map[string]any{"address": "127.0.0.1", "port_value": 0}}},
		"static_resources": map[string]any{"listeners": listeners, "clusters": clusters},
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	for port, name := range map[string]string{places.Listen: "Listen", places.Upstream: "Upstream", places.GRPC: "GRPC", places.HTTP: "HTTP"} {
		text = regexp.MustCompile(`([^0-9])`+port+`([^0-9])`).ReplaceAll(text, []byte("${1}{{."+name+"}}${2}"))
	}
	return append(text, '\n')
}

// untyped is a resource as it stands in a bootstrap, where its type is known.
func untyped(o map[string]any) map[string]any {
	delete(o, "@type")
	return o
}

// deep is what o holds under keys, or nil.
func deep(o any, keys ...string) any {
	for _, key := range keys {
		m, _ := o.(map[string]any)
		o = m[key]
	}
	return o
}

// eachObject calls f with every object in tree, the outermost first.
func eachObject(tree any, f func(map[string]any)) {
	switch tree := tree.(type) {
	case map[string]any:
		f(tree)
		for _, key := range slices.Sorted(maps.Keys(tree)) {
			eachObject(tree[key], f)
		}
	case []any:
		for _, part := range tree {
			eachObject(part, f)
		}
	}
}

// Istio's own policies go on holding: what is denied is denied after us.
func TestIstioDeniesAfterUs(t *testing.T) {
	r := istioCase{form: istioForms[0], chain: "paired", more: [][]byte{[]byte(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-audit, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  action: DENY
  rules: [{to: [{operation: {paths: [/v1/audit]}}]}]
`)}}.start(t)
	key := "X-API-Key: " + r.APIs["vaultwares"].Tenants[0].Keys[0].Key
	at := r.APIs["vaultwares"].URL
	for _, c := range []struct {
		path   string
		lines  []string
		status int
		body   string
	}{
		{"/v1/devices", []string{key}, 200, "/v1/devices"},
		{"/v1/audit", nil, 401, "invalid_api_key"},
		{"/v1/audit", []string{key}, 403, "RBAC: access denied"},
	} {
		if a := r.send(t, "GET", at+c.path, c.lines...); a.status != c.status || !strings.Contains(a.body, c.body) {
			t.Errorf("%s %v: got %d %s", c.path, c.lines, a.status, a.body)
		}
	}
}

// G9: with Sallyport gone every answer is 503 in the API's shape.
func TestIstioWithoutSallyportIs503(t *testing.T) {
	for _, f := range istioForms {
		t.Run(f.name, func(t *testing.T) {
			r := istioCase{form: f, chain: "paired"}.start(t)
			key := "X-API-Key: " + r.APIs["vaultwares"].Tenants[0].Keys[0].Key
			at := r.APIs["vaultwares"].URL
			if a := r.send(t, "GET", at+"/v1/devices", key); a.status != 200 {
				t.Fatalf("before: got %d %s", a.status, a.body)
			}
			r.demo.end()
			r.upstream.take()
			for _, lines := range [][]string{nil, {key}} {
				a := r.send(t, "GET", at+"/v1/devices", lines...)
				if a.status != 503 || !strings.Contains(a.body, "service_unavailable") || a.header.Get("Retry-After") == "" {
					t.Errorf("got %d %v %s", a.status, a.header, a.body)
				}
			}
			if got := r.upstream.take(); len(got) > 0 {
				t.Errorf("the upstream was asked: %v", got)
			}
		})
	}
}

// A provider that istiod does not know refuses all, and nobody is asked.
func TestIstioRefusesAllOfAnUnknownProvider(t *testing.T) {
	ours := bytes.Replace(istioForms[0].ours(t, "paired", ""), []byte(`provider: {name: "sallyport"}`), []byte(`provider: {name: "sallyprot"}`), 1)
	r := istioCase{form: istioForms[0], chain: "paired", ours: ours}.start(t)
	key := "X-API-Key: " + r.APIs["vaultwares"].Tenants[0].Keys[0].Key
	if a := r.send(t, "GET", r.APIs["vaultwares"].URL+"/v1/devices", key); a.status != 403 || a.header.Get("X-Sallyport-Decision") != "" {
		t.Errorf("got %d %v", a.status, a.header)
	}
}
