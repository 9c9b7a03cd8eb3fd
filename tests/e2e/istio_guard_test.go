package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// spellings are requests without a credential for what a key is needed for, in one
// spelling or another. Where Istio decides by a path whether to ask, each is a way to
// miss it.
var spellings = []string{
	"/v1/devices", "/v1", "/V1/devices", "/v1;v=1/devices", "/v1/devices;v=1", "/v1/devices/", "/v1//devices", "//v1/devices", "///v1/devices",
	"/%761/devices", "/%76%31/devices", "/v1%2fdevices", "/v1%2Fdevices", "/%2fv1/devices", "/v1%5cdevices", `/v1\devices`, `\v1\devices`, "/v1%252fdevices",
	"/./v1/devices", "/x/../v1/devices", "/%2e/v1/devices", "/x/%2e%2e/v1/devices", "/x/..%2fv1/devices", "/x/..;/v1/devices",
	"/v1/public/../devices", "/v1/public/..%2fdevices", "/?/v1/devices", "/v1%00/devices", "/v1/devices%20", "/v1/devices?x=/healthz", "/v1/devices#/healthz", "/\xc3\xa9/../v1/devices",
	"http://api.vaultwares.localhost/v1/devices", "http://elsewhere.test/v1/devices",
	"/healthz/v1/devices", "/healthz/../v1/devices", "/healthz/..%2fv1/devices", "/healthz%2f..%2fv1%2fdevices", "/healthz/%2e%2e/v1/devices",
	"/healthz;/../v1/devices", "/healthz/..;/v1/devices", "/healthz//../v1/devices", `/healthz\..\v1\devices`, "/healthz%3f/v1/devices", "/healthz%23",
	"/healthz", "/./healthz", "//healthz", "/%68ealthz", "/healthz?/../v1/devices", "/HEALTHZ", "/healthz/", "/healthz.json", "/healthz;x", "/healthz%00", "/healthz%00/../v1/devices", "/%68ealthz/x",
	"/x/../healthz", "/other",
}

// guardedHosts are the names by which the API is asked for, and others.
var guardedHosts = []string{"api.vaultwares.com", "API.VAULTWARES.COM", "api.vaultwares.com:80", "api.vaultwares.com.", "www.vaultwares.com", "nowhere.test"}

// openPath is the path that one of the policies leaves open.
const openPath = "/healthz"

// G2: however a path is spelt, Check is asked about it, or nothing of it reaches the
// upstream: at every form of proxy, with what Istio does to paths by default and with
// all that it can do. What is left open is open as it is spelt, and no more. Under a
// policy that names what to ask about instead, much gets round: this test sees it.
func TestIstioHasNoWayRound(t *testing.T) {
	named := bytes.Replace(istioForms[0].ours(t, "paired", ""), []byte("rules: [{}]"), []byte(`rules: [{to: [{operation: {paths: ["/v1", "/v1/*"]}}]}]`), 1)
	for mesh, lines := range map[string]string{"default": "", "decoded": "pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}\n"} {
		for _, f := range istioForms {
			t.Run(mesh+"/"+f.name+"/shipped", func(t *testing.T) {
				if open := (istioCase{form: f, chain: "paired", mesh: lines}).start(t).roundabout(t); len(open) > 0 {
					t.Errorf("got round: %q", open)
				}
			})
			t.Run(mesh+"/"+f.name+"/one path open", func(t *testing.T) {
				ours := f.printed(t, "vaultwares", "--open-path", openPath)
				for _, spelling := range (istioCase{form: f, chain: "paired", ours: ours, mesh: lines}).start(t).roundabout(t) {
					if !strings.HasSuffix(spelling, " as "+openPath) {
						t.Errorf("got round: %q", spelling)
					}
				}
			})
		}
		t.Run(mesh+"/named paths", func(t *testing.T) {
			if open := (istioCase{form: istioForms[0], chain: "paired", ours: named, mesh: lines}).start(t).roundabout(t); len(open) == 0 {
				t.Error("nothing got round a policy that is known to leak: this test sees nothing")
			}
		})
	}
}

// A host that is left open is open as it is written. Envoy cuts at the last colon what
// it takes for a port, so behind an open name and a colon may stand the one that it
// routes by.
func TestIstioOpensAHostAndNoOther(t *testing.T) {
	routes := map[string]string{
		"gateway": `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: NAME, namespace: default}, spec: {hosts: ["HOST"], gateways: [istio-system/ingress],
  http: [{route: [{destination: {host: vaultwares.default.svc.cluster.local, port: {number: 8080}}}]}]}}`,
		"gateway-api": `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: NAME, namespace: istio-system}, spec: {parentRefs: [{name: ingress}], hostnames: ["HOST"],
  rules: [{backendRefs: [{name: vaultwares, namespace: default, port: 8080}]}]}}`,
	}
	for _, f := range istioForms[:2] {
		t.Run(f.name, func(t *testing.T) {
			var more [][]byte
			for name, host := range map[string]string{"open": "www.open.test", "guarded": "*.guarded.test"} {
				more = append(more, []byte(strings.NewReplacer("NAME", name, "HOST", host).Replace(routes[f.name])))
			}
			r := istioCase{form: f, chain: "paired", more: more,
				ours: f.printed(t, "vaultwares", "--open-host", "www.open.test", "--open-host", "www.open.test:8080")}.start(t)
			for host, open := range map[string]bool{
				"www.open.test": true, "WWW.open.test": true, "www.open.test:80": true, "www.open.test:443": true, "www.open.test:8080": true,
				"www.open.test:81": false, "www.open.test:": false, "www.open.test.": false, "x.guarded.test": false, "x.guarded.test:80": false,
				"www.open.test:x.guarded.test:80": false, "www.open.test:80:x.guarded.test:80": false, "www.open.test:80.guarded.test": false,
				"www.open.test:443.guarded.test:443": false, "www.open.test@x.guarded.test": false, "www.open.test,x.guarded.test": false,
			} {
				status, asked := raw(t, "127.0.0.1:"+r.places.Listen, host, "/v1/devices")
				if reached := len(r.upstream.take()) > 0; reached != open || asked && open {
					t.Errorf("%s: %d, Check was asked: %v, the upstream reached: %v; want open: %v", host, status, asked, reached, open)
				}
			}
		})
	}
}

// What Istio's documentation says of ports in hosts is a way round, and so is a wildcard:
// the doctor tells who has written one.
func TestIstioOpenPatternsOfHostsAreFound(t *testing.T) {
	f := istioForms[0]
	for pattern, host := range map[string]string{"www.open.test:*": "www.open.test:api.vaultwares.com:80", "*.open.test": "api.vaultwares.com:80.open.test"} {
		ours := bytes.Replace(f.printed(t, "vaultwares"), []byte("rules: [{}]"), []byte(`rules: [{to: [{operation: {notHosts: ["`+pattern+`"]}}]}]`), 1)
		more := []byte(`{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: all, namespace: default}, spec: {hosts: ["*"], gateways: [istio-system/ingress],
  http: [{route: [{destination: {host: vaultwares.default.svc.cluster.local, port: {number: 8080}}}]}]}}`)
		r := istioCase{form: f, chain: "paired", ours: ours, more: [][]byte{more}}.start(t)
		if status, asked := raw(t, "127.0.0.1:"+r.places.Listen, host, "/v1/devices"); status != 200 || asked || len(r.upstream.take()) != 1 {
			t.Errorf("%s: %d, Check was asked: %v; this way round is gone, and so may what the doctor says of it", pattern, status, asked)
		}
		if said := doctor(t, 1, "--admin", "http://"+r.proxy.Admin()); !strings.Contains(said, "open-by-pattern") {
			t.Errorf("%s: the doctor says\n%s", pattern, said)
		}
	}
}

func (r *istioRun) roundabout(t *testing.T) (open []string) {
	t.Helper()
	return r.upstream.roundabout(t, "127.0.0.1:"+r.places.Listen)
}

// roundabout asks the gateway before the upstream for everything without a credential.
// It returns what came through, and how, and logs a table of all.
func (s *asked) roundabout(t *testing.T, gateway string) (open []string) {
	t.Helper()
	s.take()
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, host := range guardedHosts {
		for _, path := range spellings {
			status, asked := raw(t, gateway, host, path)
			reached := s.take()
			what := fmt.Sprint("refused by the proxy, ", status)
			switch {
			case len(reached) > 0 && asked:
				t.Errorf("%s %q: Check answered, and the upstream got %v", host, path, reached)
			case len(reached) > 0:
				what = "OPEN as " + reached[0]
				open = append(open, host+path+" as "+reached[0])
			case asked:
				what = fmt.Sprint("asked, ", status)
			case status < 400:
				t.Errorf("%s %q: %d from nobody knows whom", host, path, status)
			}
			fmt.Fprintf(w, "%s\t%q\t%s\n", host, path, what)
		}
	}
	w.Flush()
	t.Logf("what nobody has a key for:\n%s", table.String())
	return open
}

// raw asks for a path as it is spelt, and says whether Check was asked.
func raw(t *testing.T, at, host, path string) (status int, asked bool) {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Sallyport-Decision") != ""
}

// What a client says of itself under our names reaches no upstream, in neither
// spelling, not even where Sallyport is not asked; and its own word for where it comes
// from is not believed.
func TestIstioBelievesNoForgedHeader(t *testing.T) {
	for _, f := range istioForms {
		t.Run(f.name, func(t *testing.T) {
			r := istioCase{form: f, chain: "paired", ours: f.printed(t, "vaultwares", "--open-path", openPath)}.start(t)
			at := r.APIs["vaultwares"].URL
			key := "X-API-Key: " + r.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
			bound := "X-API-Key: " + r.key(t, "vaultwares", "org_free", "--scopes", "devices:read", "--ip", "203.0.113.0/24").Key
			for path, tenant := range map[string]string{"/v1/devices": "org_free", openPath: ""} {
				a := r.send(t, "GET", at+path, key, "X-Sallyport-Tenant: forged", "X-Sallyport-Anything: forged", "x_sallyport_tenant: forged",
					"X_Sallyport_Plan: forged", "X-Sallyport-Sid: forged", "X-Sallyport-Source: forged")
				var got struct{ Headers map[string]string }
				if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 || got.Headers["x-sallyport-tenant"] != tenant {
					t.Errorf("%s: %d %s: %v", path, a.status, a.body, err)
				}
				for name, value := range got.Headers {
					if strings.Contains(name, "_") || strings.Contains(value, "forged") {
						t.Errorf("%s: the upstream got %s: %s", path, name, value)
					}
				}
			}
			a := r.send(t, "GET", at+"/v1/devices", bound, "X-Forwarded-For: 203.0.113.7", "X-Sallyport-Source: 203.0.113.7", "X-Envoy-External-Address: 203.0.113.7")
			if a.status != 403 || !strings.Contains(a.body, "ip_not_allowed") {
				t.Errorf("a key for another network: %d %s", a.status, a.body)
			}
		})
	}
}

// A filter whose cluster is misspelt, or of another port, is of no use to Istio, which
// tells nobody: nothing passes then.
func TestIstioWithAMisspeltClusterIs503(t *testing.T) {
	for _, f := range istioForms {
		t.Run(f.name, func(t *testing.T) {
			before, filter, found := bytes.Cut(f.ours(t, "paired", ""), []byte("rate_limit_service:"))
			if !found {
				t.Fatal("there is no ratelimit filter")
			}
			ours := append(append(before, "rate_limit_service:"...), bytes.Replace(filter, []byte(`"outbound|9191||`), []byte(`"outbound|9190||`), 1)...)
			r := istioCase{form: f, chain: "paired", ours: ours}.start(t)
			key := "X-API-Key: " + r.APIs["vaultwares"].Tenants[0].Keys[0].Key
			if a := r.send(t, "GET", r.APIs["vaultwares"].URL+"/v1/devices", key); a.status != 503 || !strings.Contains(a.body, "service_unavailable") {
				t.Errorf("got %d %s", a.status, a.body)
			}
			if got := r.upstream.take(); len(got) > 0 {
				t.Errorf("the upstream was asked: %v", got)
			}
		})
	}
}

// A quota is counted across the proxies of a mesh: two of one gateway here, of which
// each connection gets one or the other.
func TestIstioCountsAcrossProxies(t *testing.T) {
	r := istioCase{form: istioForms[0], chain: "paired"}.start(t)
	other := istioProxy(t, istioForms[0], r.xds, r.places.Listen)
	key := "X-API-Key: " + r.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
	const asked, quota = 130, 60 // a minute; another one may begin meanwhile
	count := map[int]int{}
	for range asked {
		a := r.send(t, "GET", r.APIs["vaultwares"].URL+"/v1/devices", key)
		count[a.status]++
		r.client.CloseIdleConnections()
	}
	if count[200] < quota || count[200] > 2*quota || count[200]+count[429] != asked {
		t.Errorf("got %v; the quota is %d a minute", count, quota)
	}
	for _, admin := range []string{r.proxy.Admin(), other.Admin()} {
		if a := r.send(t, "GET", "http://"+admin+"/stats?filter=ratelimit.ok"); !strings.Contains(a.body, "ratelimit.ok: ") || strings.Contains(a.body, "ratelimit.ok: 0\n") {
			t.Errorf("this proxy let nothing through: %s", a.body)
		}
	}
}

// C-G: who may have five requests in flight gets a place back with each that ends, by
// an answer or because the client left: the proxies tell of both.
func TestIstioTellsOfWhatEnded(t *testing.T) {
	for _, f := range istioForms {
		if f.name == "gateway-api" {
			continue // it has the filters of the gateway
		}
		t.Run(f.name, func(t *testing.T) {
			r := istioCase{form: f, chain: "paired", example: "cyberhaven", ours: f.printed(t, "cyberhaven", "--workload", "app=vaultwares")}.start(t)
			r.inFlightComesBack(t, r.own)
		})
	}
}

// inFlightComesBack is about cyberhaven behind a proxy; own is where the gate's own Envoy has it.
func (d *demo) inFlightComesBack(t *testing.T, own string) {
	t.Helper()
	tenant := "org_in_flight"
	d.cli(t, "tenant", "create", "--api", "cyberhaven", "--id", tenant)
	made := d.key(t, "cyberhaven", tenant, "--name", "one", "--role", "Administrator", "--expires", "30d")
	token := d.token(t, own, made.Key)
	url := d.APIs["cyberhaven"].URL + "/v2/incidents"
	held := func() int { return d.inFlight(t, "cyberhaven", tenant, made.KeyID, "GET /v2/incidents") }
	for _, end := range []string{"answered", "left"} {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		statuses := make(chan int, 5)
		for range 5 {
			go func() { statuses <- d.status(ctx, url, token, "X-Echo-Delay: 2s") }()
		}
		eventually(t, "five to be in flight", func() bool { return held() == 5 })
		if a := d.send(t, "GET", url, token); a.status != 429 || !strings.Contains(a.body, "too_many_concurrent_requests") {
			t.Errorf("the sixth: %d %s", a.status, a.body)
		}
		want := 200
		if end == "left" {
			leave()
			want = 0
		}
		for range 5 {
			if status := <-statuses; status != want {
				t.Errorf("%s: got %d, want %d", end, status, want)
			}
		}
		eventually(t, "all places to be free again", func() bool { return held() == 0 })
	}
}

// status is that of the answer, 0 where there is none.
func (d *demo) status(ctx context.Context, url string, lines ...string) int {
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return 0
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		req.Header.Set(name, value)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}
