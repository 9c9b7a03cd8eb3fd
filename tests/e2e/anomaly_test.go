package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/testenv"
)

// account is an API with users, clients and rules over how their credentials are
// used; beside it, the same without rules.
const account = `
listen: {grpc: ["unix://%[1]s/s.sock", "127.0.0.1:0"], http: "127.0.0.1:0"}
store: sqlite://%[1]s/s.db
pepper: {file: %[1]s/pepper}
admin: {token: {file: %[1]s/token}}
apis:
  orders:
    hosts: [api.orders.test]
    upstream: %[2]s
    trusted_hops: 1
    credentials:
      read: [{header: Authorization, scheme: Bearer}]
      keys: [{prefix: ord_pat_, kind: pat}, {prefix: ord_key_}, {prefix: ord_client_, kind: client}]
      tokens: [{issuer: self}]
    categories: [Sales]
    scopes: [orders:read, orders:write]
    roles: {Reader: [orders:read], Writer: [orders:read, orders:write]}
    operations:
      - {GET: /v1/orders, scope: orders:read}
      - {GET: /v1/sales, scope: orders:read, category: Sales}
      - {POST: /v1/orders, scope: orders:write}
    endpoints: [{POST: /token, serve: oauth2_token, grants: [client_credentials]}]
    limits: [{name: sales, per: credential, when: {category: Sales}, limit: ["4/1h sliding"]}]
    anomalies:
      - {name: far-away, of: networks, over: 2, in: 1h, action: alert}
      - {name: refused, of: refusals, over: 3, in: 1h, action: disable}
      - {name: busy, of: requests, over: 30, in: 1h, action: revoke}
    errors: {template: {error: {code: "${code}", message: "${message}", request_id: "${request_id}"}}}
  unwatched:
    hosts: [api.unwatched.test]
    upstream: %[2]s
    trusted_hops: 1
    credentials:
      read: [{header: Authorization, scheme: Bearer}]
      keys: [{prefix: unw_key_}]
    scopes: [orders:read]
    operations: [{GET: /v1/orders, scope: orders:read}]
`

// accounts is a server with them behind an Envoy, with a reader in each of two
// tenants.
type accounts struct {
	*server
	*demo
	t *testing.T
}

func newAccounts(t *testing.T, chain string) *accounts {
	t.Helper()
	testenv.Envoy(t)
	upstream := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(upstream.Close)
	s := newServer(t, upstream.URL)
	text := fmt.Sprintf(account, s.folder, upstream.URL)
	s.write("sallyport.yaml", text)
	s.start()
	// Envoy has to reach the endpoints, where they are now.
	s.write("envoy.yaml", strings.Replace(text, `http: "127.0.0.1:0"`, "http: "+strings.TrimPrefix(s.http, "http://"), 1))
	bootstrap := s.cli("envoy", "bootstrap", "-c", filepath.Join(s.folder, "envoy.yaml"), "--chain", chain, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	a := &accounts{s, s.envoyOn(bootstrap), t}
	for _, tenant := range []string{"t1", "t2"} {
		a.do("tenant", "create", "--api", "orders", "--id", tenant)
		a.do("user", "create", "--api", "orders", "--tenant", tenant, "--id", "ana", "--role", "Reader")
	}
	a.do("tenant", "create", "--api", "unwatched", "--id", "t1")
	return a
}

// do runs a command and returns what it printed.
func (a *accounts) do(args ...string) string {
	a.t.Helper()
	return onServer(a.t, a.server.http, serverToken, args...)
}

// refuses runs a command that is to be refused, and returns what it said.
func (a *accounts) refuses(args ...string) string {
	a.t.Helper()
	c := exec.Command(binary, args...)
	c.Env = append(c.Environ(), "SALLYPORT_URL="+a.server.http, "SALLYPORT_TOKEN="+serverToken)
	out, err := c.CombinedOutput()
	if err == nil {
		a.t.Errorf("sallyport %s was not refused:\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

// holder is a credential and the header line by which it is used.
type holder struct{ what, id, secret, line string }

func (a *accounts) pat(tenant string, flags ...string) holder {
	a.t.Helper()
	return a.keyOf("orders", tenant, append([]string{"--user", "ana"}, flags...)...)
}

func (a *accounts) keyOf(api, tenant string, flags ...string) holder {
	a.t.Helper()
	var k made
	out := a.do(append([]string{"key", "create", "--json", "--api", api, "--tenant", tenant}, flags...)...)
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		a.t.Fatalf("%q: %v", out, err)
	}
	return holder{"key", k.KeyID, k.Key, "Authorization: Bearer " + k.Key}
}

// oauth makes a client and a token of it.
func (a *accounts) oauth(tenant string, flags ...string) holder {
	a.t.Helper()
	var made struct {
		ClientID string `json:"client_id"`
		Secret   string `json:"client_secret"`
	}
	out := a.do(append([]string{"client", "create", "--json", "--api", "orders", "--tenant", tenant}, flags...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		a.t.Fatalf("%q: %v", out, err)
	}
	h := holder{what: "client", id: made.ClientID, secret: made.Secret}
	return a.freshToken(h)
}

// freshToken returns h with a new token.
func (a *accounts) freshToken(h holder) holder {
	a.t.Helper()
	got := a.ask(h)
	if got.status != 200 {
		a.t.Fatalf("no token: %d %s", got.status, got.body)
	}
	h.line = "Authorization: Bearer " + got.json(a.t)["access_token"].(string)
	return h
}

func (a *accounts) ask(h holder) answer {
	a.t.Helper()
	got, err := a.try("POST", a.Gateway+"/token", "grant_type=client_credentials", ordersHost, formType, basic(h.id, h.secret))
	if err != nil {
		a.t.Fatal(err)
	}
	return got
}

// use sends requests, each of which gets a status.
func (a *accounts) use(h holder, times int, method, path string, status int, lines ...string) (last answer) {
	a.t.Helper()
	for range times {
		if last = a.send(a.t, method, a.Gateway+path, append([]string{ordersHost, h.line}, lines...)...); last.status != status {
			a.t.Fatalf("%s %s %s: %d %s, want %d", method, path, h.id, last.status, last.body, status)
		}
	}
	return last
}

// ended waits until h is refused, which what noticed it sees to, and checks how.
func (a *accounts) ended(h holder, state, cause string) {
	a.t.Helper()
	var got answer
	eventually(a.t, h.id+" is refused", func() bool {
		got = a.send(a.t, "GET", a.Gateway+"/v1/orders", ordersHost, h.line)
		return got.status == 401
	})
	if code := errorCode(a.t, got); code != "unauthorized" || got.header.Get("X-Request-ID") == "" {
		a.t.Errorf("%v %s", got.header, got.body)
	}
	shown := a.do(h.what, "show", h.id)
	if !regexp.MustCompile(`(?m)^state +`+state+`$`).MatchString(shown) || !regexp.MustCompile(`(?m)^cause +`+regexp.QuoteMeta(cause)+`$`).MatchString(shown) {
		a.t.Errorf("want %s by %q:\n%s", state, cause, shown)
	}
	var as struct{ State, Cause string }
	if err := json.Unmarshal([]byte(a.do(h.what, "show", "--json", h.id)), &as); err != nil || as.State != state || as.Cause != cause {
		a.t.Errorf("as JSON: %+v, %v", as, err)
	}
	eventually(a.t, "the log says why", func() bool {
		return strings.Contains(a.server.log.String(), `cause="`+cause+`"`)
	})
}

// told waits for a line about h and a rule in the log.
func (a *accounts) told(h holder, rule, rest string) {
	a.t.Helper()
	line := fmt.Sprintf(`level=WARN msg="anomalous use" api=orders tenant=t1 credential=%s rule=%s %s`, h.id, rule, rest)
	eventually(a.t, line, func() bool { return strings.Contains(a.server.log.String(), line) })
}

func from(address string) string { return "X-Forwarded-For: " + address }

// A4: use that is anomalous by the rules of the file alerts, disables or revokes,
// for personal access tokens and OAuth tokens alike, each with its reason; what was
// disabled an administrator enables again. Nobody else is touched.
func TestAnomalousUse(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			a := newAccounts(t, chain)
			bystanders := []holder{a.pat("t1"), a.pat("t2"), a.oauth("t1", "--role", "Reader")}
			for _, h := range bystanders { // one less than would be too much
				a.use(h, 3, "POST", "/v1/orders", 403)
			}
			a.fromManyNetworks()
			a.refusedTooOften()
			a.overItsQuota()
			a.tooBusy()
			a.withoutRules()
			for _, h := range bystanders {
				a.use(h, 1, "GET", "/v1/orders", 200)
			}
			metrics := a.send(t, "GET", a.server.http+"/metrics").body
			for _, want := range []string{
				`sallyport_anomalies_total{action="alert",api="orders",rule="far-away"} 2`,
				`sallyport_anomalies_total{action="disable",api="orders",rule="refused"} 4`,
				`sallyport_anomalies_total{action="revoke",api="orders",rule="busy"} 2`,
			} {
				if !strings.Contains(metrics, want+"\n") {
					t.Errorf("the metrics do not say %s", want)
				}
			}
			if strings.Contains(metrics, "sallyport_anomalies_lost_total{") || strings.Count(a.server.log.String(), "anomalous use") != 8 {
				t.Errorf("something else was told:\n%s", a.server.log)
			}
		})
	}
}

// fromManyNetworks: a line in the log, once, and nothing else.
func (a *accounts) fromManyNetworks() {
	for _, h := range []holder{a.pat("t1"), a.oauth("t1", "--role", "Reader")} {
		for _, address := range []string{"198.51.100.1", "198.51.100.200", "203.0.113.1", "2001:db8::1", "203.0.113.2", "192.0.2.1"} {
			a.use(h, 1, "GET", "/v1/orders", 200, from(address))
		}
		a.told(h, "far-away", "measure=networks count=3 over=2 in=1h action=alert")
		a.use(h, 1, "GET", "/v1/orders", 200)
	}
}

// refusedTooOften: disabled, with what was wrong in the log, until it is enabled;
// then it counts anew.
func (a *accounts) refusedTooOften() {
	const cause = "anomaly refused: 4 refusals in 1h"
	h := a.pat("t1")
	for range 2 {
		for range 10 { // guesses of others are not its refusals
			a.send(a.t, "GET", a.Gateway+"/v1/orders", ordersHost, h.line+"x")
		}
		a.use(h, 3, "POST", "/v1/orders", 403)
		a.use(h, 1, "GET", "/v1/orders", 200)
		a.use(h, 1, "POST", "/v1/orders", 403)
		a.told(h, "refused", "measure=refusals count=4 over=3 in=1h action=disable")
		a.ended(h, "disabled", cause)
		eventually(a.t, "the log names the refusal", func() bool {
			return strings.Contains(a.server.log.String(), "reason=caller.credential.disabled api=orders")
		})
		if shown := a.do("key", "enable", h.id); strings.Contains(shown, "cause") {
			a.t.Errorf("enabled, and the cause stays:\n%s", shown)
		}
		a.use(h, 1, "GET", "/v1/orders", 200)
	}
	a.use(h, 3, "POST", "/v1/orders", 403)
	a.use(h, 1, "GET", "/v1/orders", 200)
}

// overItsQuota: refusals of the rate limit service count as those of Check. A
// client's tokens end with it, and do not come back with it.
func (a *accounts) overItsQuota() {
	h := a.oauth("t1", "--role", "Reader")
	second := a.freshToken(h)
	a.use(h, 4, "GET", "/v1/sales", 200)
	a.use(h, 2, "GET", "/v1/sales", 429)
	a.use(second, 1, "GET", "/v1/sales", 429)
	a.use(second, 1, "GET", "/v1/orders", 200)
	a.use(second, 1, "GET", "/v1/sales", 429)
	a.told(h, "refused", "measure=refusals count=4 over=3 in=1h action=disable")
	a.ended(h, "disabled", "anomaly refused: 4 refusals in 1h")
	a.use(second, 1, "GET", "/v1/orders", 401)
	if got := a.ask(h); got.status != 401 || !strings.Contains(got.body, "invalid_client") {
		a.t.Errorf("a disabled client gets a token: %d %s", got.status, got.body)
	}
	a.do("client", "enable", h.id)
	a.use(h, 1, "GET", "/v1/orders", 401)
	third := a.freshToken(h)
	a.use(third, 3, "GET", "/v1/sales", 429)
	a.use(third, 1, "GET", "/v1/orders", 200)
	a.use(third, 1, "GET", "/v1/sales", 429)
	a.ended(third, "disabled", "anomaly refused: 4 refusals in 1h")
}

// tooBusy: revoked, for good.
func (a *accounts) tooBusy() {
	for _, h := range []holder{a.keyOf("orders", "t1", "--prefix", "ord_key_", "--role", "Reader"), a.oauth("t1", "--role", "Reader")} {
		a.use(h, 31, "GET", "/v1/orders", 200)
		a.told(h, "busy", "measure=requests count=31 over=30 in=1h action=revoke")
		a.ended(h, "revoked", "anomaly busy: 31 requests in 1h")
		if said := a.refuses(h.what, "enable", h.id); !strings.Contains(said, "revoked") {
			a.t.Errorf("enable says %s", said)
		}
		a.use(h, 1, "GET", "/v1/orders", 401)
		if h.what == "client" {
			if got := a.ask(h); got.status != 401 {
				a.t.Errorf("a revoked client gets a token: %d %s", got.status, got.body)
			}
		}
	}
}

// withoutRules: nothing happens.
func (a *accounts) withoutRules() {
	h := a.keyOf("unwatched", "t1", "--scopes", "orders:read")
	for i := range 40 {
		a.send(a.t, "GET", a.Gateway+"/v1/nothing", "Host: api.unwatched.test", h.line, from(fmt.Sprintf("198.51.%d.1", i)))
	}
	if got := a.send(a.t, "GET", a.Gateway+"/v1/orders", "Host: api.unwatched.test", h.line); got.status != 200 {
		a.t.Errorf("%d %s", got.status, got.body)
	}
}

// A reload keeps what is counted, and takes rules into force and out of it.
func TestAnomaliesAreReloaded(t *testing.T) {
	a := newAccounts(t, "fused")
	reload := func(old, with string) {
		t.Helper()
		a.edit(old, with)
		a.do("reload")
	}
	h := a.pat("t1")
	a.use(h, 3, "POST", "/v1/orders", 403)
	reload("of: refusals, over: 3", "of: refusals, over: 4")
	a.use(h, 1, "POST", "/v1/orders", 403)
	a.use(h, 1, "GET", "/v1/orders", 200)
	a.use(h, 1, "POST", "/v1/orders", 403)
	a.ended(h, "disabled", "anomaly refused: 5 refusals in 1h")
	other := a.pat("t1")
	reload("      - {name: refused, of: refusals, over: 4, in: 1h, action: disable}\n", "")
	a.use(other, 9, "POST", "/v1/orders", 403)
	a.use(other, 1, "GET", "/v1/orders", 200)
}
