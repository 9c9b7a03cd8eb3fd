package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/testenv"
)

// edit replaces text in the server's configuration.
func (s *server) edit(old, with string) {
	s.t.Helper()
	file := filepath.Join(s.folder, "sallyport.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		s.t.Fatalf("the configuration does not hold %q", old)
	}
	s.write("sallyport.yaml", strings.ReplaceAll(string(text), old, with))
}

// gate is a server with the sample upstream behind an Envoy, and a tenant. edits
// are pairs: what the configuration holds, and what it is to hold instead.
func newGateOn(t *testing.T, chain string, edits ...string) (*server, *demo) {
	t.Helper()
	return newGateWith(t, chain, func(s *server) {
		for i := 0; i < len(edits); i += 2 {
			s.edit(edits[i], edits[i+1])
		}
	})
}

// newGateWith is newGateOn with any change of what the server starts with.
func newGateWith(t *testing.T, chain string, change func(*server)) (*server, *demo) {
	t.Helper()
	testenv.Envoy(t)
	upstream := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(upstream.Close)
	s := newServer(t, upstream.URL)
	change(s)
	s.start()
	g := s.envoy(chain)
	s.cli("tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big")
	return s, g
}

// newKey makes a key and returns its header line and its id.
func (s *server) newKey(flags ...string) (header string, k made) {
	s.t.Helper()
	out := s.cli(append([]string{"key", "create", "--json", "--api", "orders", "--tenant", "t1"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		s.t.Fatalf("key create printed %q: %v", out, err)
	}
	return "X-API-Key: " + k.Key, k
}

// echo answers with the headers that it got, and sends what x-echo-header says.
func echo(w http.ResponseWriter, r *http.Request) {
	headers := map[string]string{}
	for name, values := range r.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if name, value, ok := strings.Cut(r.Header.Get("X-Echo-Header"), ": "); ok {
		w.Header().Set(name, value)
	}
	json.NewEncoder(w).Encode(map[string]any{"path": r.RequestURI, "headers": headers})
}

const reading = "--scopes=orders:read"

// G11: preflights are answered before anybody is asked who they are and spend
// nothing; every answer may be read by the origins that the file lists, and by
// no others.
func TestCORS(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			s, g := newGateOn(t, chain, "big: [1000000/1h]", "big: [2/1h]",
				"    scopes: [orders:read]", "    cors: {origins: [\"https://app.test\"], max_age: 10m}\n    scopes: [orders:read]")
			key, _ := s.newKey(reading)
			const origin = "Origin: https://app.test"
			url := g.Gateway + "/v1/orders"
			readable := func(a answer, status int) {
				t.Helper()
				if a.status != status || !slices.Equal(a.header.Values("Access-Control-Allow-Origin"), []string{"https://app.test"}) ||
					!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "X-RateLimit-Remaining") || a.header.Get("Vary") == "" {
					t.Errorf("want a readable %d, got %d %v", status, a.status, a.header)
				}
			}
			for range 5 {
				a := g.send(t, "OPTIONS", url, ordersHost, origin, "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: x-api-key")
				readable(a, 204)
				if a.header.Get("Access-Control-Allow-Methods") != "GET" || !strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "X-API-Key") ||
					a.header.Get("Access-Control-Max-Age") != "600" || a.header.Get("X-RateLimit-Limit") != "" {
					t.Errorf("preflight: %v", a.header)
				}
			}
			readable(g.send(t, "GET", url, ordersHost, origin), 401)
			readable(g.send(t, "GET", g.Gateway+"/v1/nothing", ordersHost, origin, key), 404)
			a := g.send(t, "GET", url, ordersHost, origin, key, "X-Echo-Header: Vary: Accept-Encoding")
			readable(a, 200)
			if vary := strings.Join(a.header.Values("Vary"), ","); !strings.Contains(vary, "Accept-Encoding") || !strings.Contains(vary, "Origin") {
				t.Errorf("Vary is %q", vary)
			}
			if _, remaining, _ := a.quota(t); remaining != 1 {
				t.Errorf("remaining %d, want 1: preflights spend nothing", remaining)
			}
			readable(g.send(t, "GET", url, ordersHost, origin, key), 200)
			readable(g.send(t, "GET", url, ordersHost, origin, key), 429)
			for _, other := range []string{"https://evil.test", "null"} {
				for _, a := range []answer{
					g.send(t, "OPTIONS", url, ordersHost, "Origin: "+other, "Access-Control-Request-Method: GET"),
					g.send(t, "GET", url, ordersHost, "Origin: "+other, key),
				} {
					if len(a.header.Values("Access-Control-Allow-Origin")) > 0 || a.status < 400 {
						t.Errorf("%s: %d %v", other, a.status, a.header)
					}
				}
			}
		})
	}
}

// G12: attributes of tenant and key reach the upstream under the names of the
// file, and never a client's own.
func TestAttributesReachTheUpstream(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			s, g := newGateOn(t, chain, "    scopes: [orders:read]",
				"    attributes: [{name: team, header: X-Team}, {name: region, header: X-Region}]\n    scopes: [orders:read]")
			s.cli("tenant", "update", "--api", "orders", "--id", "t1", "--attribute", "team=red", "--attribute", "region=eu")
			plain, _ := s.newKey(reading)
			own, k := s.newKey(reading, "--attribute", "team=blue")
			team := func(key string) map[string]any {
				a := g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, key, "X-Team: forged", "X_Team: forged", "X-Region: forged")
				headers, _ := a.json(t)["headers"].(map[string]any)
				return headers
			}
			for key, want := range map[string]string{plain: "red", own: "blue"} {
				if h := team(key); h["x-team"] != want || h["x-region"] != "eu" || h["x_team"] != nil {
					t.Errorf("got %v, want team %s", h, want)
				}
			}
			s.cli("key", "update", k.KeyID, "--attribute", "team=green")
			if h := team(own); h["x-team"] != "green" {
				t.Errorf("after the change: %v", h["x-team"])
			}
			s.cli("tenant", "update", "--api", "orders", "--id", "t1", "--attribute", "")
			if h := team(plain); h["x-team"] != nil || h["x-region"] != nil {
				t.Errorf("after they are gone: %v", h)
			}
		})
	}
}

// Shadow mode refuses nothing, on both chains, and says what it would have
// refused. What passes is counted.
func TestShadowMode(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			s, g := newGateOn(t, chain, "big: [1000000/1h]", "big: [2/1h]", "    scopes: [orders:read]", "    mode: shadow\n    scopes: [orders:read]")
			key, _ := s.newKey(reading)
			for _, c := range []struct {
				path, key, shadow, remaining string
			}{
				{"/v1/orders", "", "missing_credential", ""},
				{"/v1/orders", "X-API-Key: another system's key", "invalid_credential", ""},
				{"/v1/nothing", key, "not_found", "2"},
				{"/v1/orders", key, "", "1"},
				{"/v1/orders", key, "", "0"},
				{"/v1/orders", key, "rate_limited", "0"},
			} {
				lines := []string{ordersHost}
				if c.key != "" {
					lines = append(lines, c.key)
				}
				a := g.send(t, "GET", g.Gateway+c.path, lines...)
				if a.status != 200 || a.header.Get("X-Sallyport-Shadow") != c.shadow || a.header.Get("X-RateLimit-Remaining") != c.remaining {
					t.Errorf("%s with %q: %d, shadow %q, remaining %q", c.path, c.key[:min(len(c.key), 14)], a.status, a.header.Get("X-Sallyport-Shadow"), a.header.Get("X-RateLimit-Remaining"))
				}
			}
			metrics, err := g.try("GET", s.http+"/metrics", "")
			if err != nil || !strings.Contains(metrics.body, `sallyport_shadow_refusals_total{api="orders",reason="caller.quota.requests"} 1`) {
				t.Errorf("metrics: %v\n%s", err, metrics.body)
			}
			eventually(t, "the log says what would have been refused", func() bool {
				return strings.Contains(s.log.String(), "shadow=caller.credential.missing")
			})
			if strings.Contains(s.log.String(), "another system's key") {
				t.Error("the log holds a credential")
			}
			// Enforced after all, by a change of the file.
			s.edit("mode: shadow", "mode: enforce")
			eventually(t, "401 once it is enforced", func() bool { return g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost).status == 401 })
		})
	}
}

// A changed file is put in force, by itself, on SIGHUP and on a command; a
// broken one changes nothing, and says why.
func TestReload(t *testing.T) {
	s, g := newGateOn(t, "fused")
	key, _ := s.newKey(reading)
	get := func(path string) int { return g.send(t, "GET", g.Gateway+path, ordersHost, key).status }
	const before = "operations: [{GET: /v1/orders, scope: orders:read}]"
	with := func(path string) string {
		return "operations: [{GET: /v1/orders, scope: orders:read}, {GET: " + path + ", scope: orders:read}]"
	}
	if get("/v1/one") != 404 {
		t.Fatal("/v1/one is there before it is listed")
	}
	s.edit(before, with("/v1/one"))
	eventually(t, "the change is noticed", func() bool { return get("/v1/one") == 200 })

	s.edit(with("/v1/one"), with("nonsense"))
	eventually(t, "the fault is told", func() bool { return strings.Contains(s.log.String(), "nonsense") })
	if get("/v1/one") != 200 || get("/v1/orders") != 200 {
		t.Error("a broken file changed what was in force")
	}
	a, err := g.try("POST", s.http+"/admin/v1/reload", "", "Authorization: Bearer "+serverToken)
	if err != nil || a.status != 422 || !strings.Contains(a.body, "nonsense") || !strings.Contains(a.body, "sallyport.yaml") {
		t.Errorf("reload of a broken file: %v %d %s", err, a.status, a.body)
	}
	s.edit(with("nonsense"), with("/v1/two"))
	s.cli("reload")
	if get("/v1/two") != 200 || get("/v1/one") != 404 {
		t.Error("the reload is not in force when the command returns")
	}
	s.edit(with("/v1/two"), with("/v1/three"))
	s.process.Process.Signal(syscall.SIGHUP)
	eventually(t, "SIGHUP", func() bool { return get("/v1/three") == 200 })

	// What only a start can set is refused, and named.
	s.edit("http: \"127.0.0.1:0\"", "http: \"127.0.0.1:1\"")
	a, err = g.try("POST", s.http+"/admin/v1/reload", "", "Authorization: Bearer "+serverToken)
	if err != nil || a.status != 422 || !strings.Contains(a.body, "listen") {
		t.Errorf("reload with another address: %v %d %s", err, a.status, a.body)
	}
	if get("/v1/three") != 200 {
		t.Error("it changed what was in force")
	}
}

// G5: peppers rotate without a flag day: keys made under the older one pass, and
// are kept under the newer one from their first use on.
func TestPeppersRotate(t *testing.T) {
	s, g := newGateOn(t, "fused")
	used, _ := s.newKey(reading)
	unused, _ := s.newKey(reading)
	get := func(key string) int { return g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, key).status }
	restart := func() {
		s.end(syscall.SIGTERM)
		s.start()
		eventually(t, "the server is back", func() bool { return get("X-API-Key: nobody's") == 401 })
	}
	s.write("newer", "bmV3ZXItbmV3ZXItbmV3ZXItbmV3ZXItbmV3ZXItbmV3ZXI=")
	old := "pepper: {file: " + s.folder + "/pepper}"
	s.edit(old, "pepper: [{version: 2, file: "+s.folder+"/newer}, {version: 1, file: "+s.folder+"/pepper}]")
	restart()
	made, _ := s.newKey(reading)
	for name, key := range map[string]string{"made before": used, "made after": made} {
		if status := get(key); status != 200 {
			t.Errorf("%s: %d", name, status)
		}
	}
	eventually(t, "the used key is kept under the newer pepper", func() bool {
		a, err := g.try("GET", s.http+"/admin/v1/status", "", "Authorization: Bearer "+serverToken)
		return err == nil && strings.Contains(a.body, `"peppers":{"1":1,"2":2}`)
	})
	s.edit("[{version: 2, file: "+s.folder+"/newer}, {version: 1, file: "+s.folder+"/pepper}]", "{version: 2, file: "+s.folder+"/newer}")
	restart()
	for name, c := range map[string]struct {
		key  string
		want int
	}{"used meanwhile": {used, 200}, "made meanwhile": {made, 200}, "not used": {unused, 401}} {
		if status := get(c.key); status != c.want {
			t.Errorf("%s: %d, want %d", name, status, c.want)
		}
	}
	if !strings.Contains(s.log.String(), "pepper_version=1 secrets=1") {
		t.Errorf("the log does not say that a secret is refused:\n%s", s.log)
	}
}

// G4: an address list is judged on the address that Envoy vouches for: the
// connection's, or what as many trusted proxies as the file says have seen.
func TestTrustedHops(t *testing.T) {
	for hops, want := range map[string]map[string]int{
		"": {"": 200, "203.0.113.7": 200, "127.0.0.1": 200},
		"    trusted_hops: 1\n": {
			"203.0.113.7": 403, "127.0.0.9": 200, "203.0.113.7, 127.0.0.1": 200, "127.0.0.1, 203.0.113.7": 403,
			"127.0.0.1, ::ffff:203.0.113.7": 403,
		},
	} {
		s, g := newGateOn(t, "fused", "    scopes: [orders:read]", hops+"    scopes: [orders:read]")
		key, _ := s.newKey(reading, "--ip", "127.0.0.0/8")
		for forwarded, status := range want {
			lines := []string{ordersHost, key}
			if forwarded != "" {
				lines = append(lines, "X-Forwarded-For: "+forwarded)
			}
			if a := g.send(t, "GET", g.Gateway+"/v1/orders", lines...); a.status != status {
				t.Errorf("hops %q, forwarded for %q: %d, want %d", strings.TrimSpace(hops), forwarded, a.status, status)
			}
		}
	}
}

// G13: every refusal has a reason, in the log and in the metrics, with whose it
// was; and no log holds a credential.
func TestReasonsAreTold(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			s, g := newGateOn(t, chain, "big: [1000000/1h]", "big: [1/1h]", "operations: [", "operations: [{POST: /v1/orders, scope: admin}, ", "scopes: [orders:read]", "scopes: [orders:read, admin]")
			key, k := s.newKey(reading)
			url := g.Gateway + "/v1/orders"
			g.send(t, "GET", url, ordersHost)
			g.send(t, "GET", url, ordersHost, "X-API-Key: ord_live_1234567890")
			g.send(t, "POST", url, ordersHost, key)
			g.send(t, "GET", url+"/more", ordersHost, key)
			g.send(t, "GET", url, ordersHost, key)
			g.send(t, "GET", url, ordersHost, key, "X-Request-ID: the-second")
			s.cli("key", "revoke", k.KeyID)
			g.send(t, "GET", url, ordersHost, key)
			g.send(t, "GET", g.Gateway+"/", "Host: nowhere.test")
			for _, want := range []string{
				"reason=caller.credential.missing api=orders", "reason=caller.credential.malformed",
				`reason=caller.scope.missing api=orders operation="POST /v1/orders" tenant=t1 credential=` + k.KeyID + " missing=admin",
				"reason=config.operation.unlisted", "reason=caller.credential.revoked", "reason=config.host.unlisted",
			} {
				eventually(t, want, func() bool { return strings.Contains(s.log.String(), want) })
			}
			eventually(t, "the refusal for the quota", func() bool {
				for line := range strings.Lines(s.log.String()) {
					if strings.Contains(line, "reason=caller.quota.requests") {
						return strings.Contains(line, "request_id=the-second") && strings.Contains(line, "credential="+k.KeyID)
					}
				}
				return false
			})
			if strings.Contains(s.log.String(), k.Key) || strings.Contains(s.log.String(), "1234567890") {
				t.Error("the log holds a credential")
			}
			a, err := g.try("GET", s.http+"/metrics", "")
			for _, want := range []string{`sallyport_checks_total{api="orders",reason="caller.scope.missing"} 1`, `reason="caller.quota.requests"} 1`} {
				if err != nil || !strings.Contains(a.body, want) {
					t.Errorf("no %s in the metrics: %v", want, err)
				}
			}
		})
	}
}

// G1: a key in the query, where the file lets it stand there, passes and does not
// reach the upstream; beside it other parameters do.
func TestKeysInTheQuery(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			s, g := newGateOn(t, chain, "read: [{header: X-API-Key}]", "read: [{header: X-API-Key}, {query: api_key}]")
			_, k := s.newKey(reading)
			_, other := s.newKey(reading)
			for query, status := range map[string]int{
				"?api_key=" + k.Key:                             200,
				"?a=1&api_key=" + k.Key + "&b=2":                200,
				"?%61pi_key=" + k.Key:                           401,
				"?api_key=" + k.Key + "&api_key=" + k.Key:       401,
				"?api_key=" + k.Key + "&%61pi_key=" + other.Key: 401,
				"?api_key=":         401,
				"?API_KEY=" + k.Key: 401,
				"?other=" + k.Key:   401,
				"?api_key=" + strings.Replace(k.Key, "_", "%5F", 1):             200,
				"?api_key=" + strings.Replace(k.Key, "_", "%255F", 1):           401,
				"?api_key=" + k.Key + "&copy=" + k.Key:                          401,
				"?api_key=" + k.Key + "&copy=" + "%6" + "frd_live_" + k.Key[9:]: 401,
			} {
				a := g.send(t, "GET", g.Gateway+"/v1/orders"+query, ordersHost)
				if a.status != status {
					t.Errorf("%s: %d, want %d", strings.ReplaceAll(query, k.Key, "KEY"), a.status, status)
				}
				if status != 200 {
					continue
				}
				path, _ := a.json(t)["path"].(string)
				if strings.Contains(path, k.Key[9:]) || strings.Contains(query, "a=1") && path != "/v1/orders?a=1&b=2" {
					t.Errorf("%s: the upstream got %s", strings.ReplaceAll(query, k.Key, "KEY"), strings.ReplaceAll(path, k.Key, "KEY"))
				}
			}
			if strings.Contains(s.log.String(), k.Key) {
				t.Error("the log holds the key")
			}
		})
	}
}

// G5: keys that exist elsewhere go on: by value, by SHA-256, with and without a
// checksum of ours; before the import such a key is refused without a look into
// the store.
func TestImportedKeysPass(t *testing.T) {
	s, g := newGateOn(t, "paired")
	get := func(key string) answer {
		return g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, "X-API-Key: "+key)
	}
	const legacy, hashed = "ord_live_1234567890abcdef", "ord_live_another-of-the-old-kind"
	for _, key := range []string{legacy, hashed} {
		if a := get(key); a.status != 401 {
			t.Errorf("before: %d", a.status)
		}
	}
	pipe := func(in string, args ...string) {
		t.Helper()
		c := exec.Command(binary, append([]string{"key", "import", "--api", "orders", "--tenant", "t1", reading}, args...)...)
		c.Env = append(os.Environ(), "SALLYPORT_URL="+s.http, "SALLYPORT_TOKEN="+serverToken)
		c.Stdin = strings.NewReader(in)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("import: %v\n%s", err, out)
		} else if strings.Contains(string(out), legacy) {
			t.Errorf("the import prints the key: %s", out)
		}
	}
	pipe(legacy+"\n", "--key-id", "old-1")
	pipe(fmt.Sprintf("%x\n", sha256.Sum256([]byte(hashed))), "--sha256", "--prefix", "ord_live_", "--key-id", "old-2")
	pipe(legacy+"\n", "--key-id", "old-1") // once more is harmless
	for key, id := range map[string]string{legacy: "old-1", hashed: "old-2"} {
		a := get(key)
		if headers, _ := a.json(t)["headers"].(map[string]any); a.status != 200 || headers["x-sallyport-credential"] != id {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
	if a := get(legacy + "x"); a.status != 401 {
		t.Errorf("a longer one: %d", a.status)
	}
	s.end(syscall.SIGTERM)
	s.start()
	eventually(t, "imports pass after a restart", func() bool { return get(legacy).status == 200 })
	s.cli("key", "revoke", "old-1")
	if a := get(legacy); a.status != 401 {
		t.Errorf("revoked: %d", a.status)
	}
}

// G9: while the store is down, known keys are served from the cache for as long
// as the file says, then refused with 503; when it is back, all is as before.
func TestGraceWhileTheStoreIsDown(t *testing.T) {
	s, g := newGateOn(t, "fused", "    scopes: [orders:read]", "    on_failure: {grace: 3s}\n    scopes: [orders:read]")
	key, _ := s.newKey(reading)
	get := func() answer { return g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, key) }
	if a := get(); a.status != 200 {
		t.Fatalf("before: %d", a.status)
	}
	restore := breakStore(t, filepath.Join(s.folder, "s.db"))
	eventually(t, "the server notices", func() bool { return strings.Contains(s.log.String(), "the store does not answer") })
	if a := get(); a.status != 200 {
		t.Errorf("within the grace: %d %s", a.status, a.body)
	}
	eventually(t, "503 after the grace", func() bool { return get().status == 503 })
	if a := get(); a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("after the grace: %v", a.header)
	}
	restore()
	eventually(t, "200 when it is back", func() bool { return get().status == 200 })
}

// Which API it is, the host says; the route's context extension says it
// louder.
func TestTheRouteNamesTheAPI(t *testing.T) {
	s, g := newGateOn(t, "fused", "apis:\n", `apis:
  users:
    hosts: [api.users.test]
    upstream: http://127.0.0.1:1
    credentials: {read: [{header: X-API-Key}], keys: [{prefix: usr_}]}
    operations: [{GET: /v1/orders}]
`)
	key, _ := s.newKey(reading)
	if a := g.send(t, "GET", g.Gateway+"/v1/orders", "Host: api.users.test", key); a.status != 401 {
		t.Errorf("the key of one API on another's host: %d", a.status)
	}
	bootstrap := s.bootstrap("fused")
	swapped := strings.Replace(bootstrap, `{api: "users", `, `{api: "orders", `, 1)
	if swapped == bootstrap {
		t.Fatalf("the bootstrap does not name the API as expected:\n%s", bootstrap)
	}
	other := s.envoyOn(swapped)
	if a := other.send(t, "GET", other.Gateway+"/v1/orders", "Host: api.users.test", key); a.status == 401 {
		t.Errorf("a route that names the API: %d %s", a.status, a.body)
	}
}
