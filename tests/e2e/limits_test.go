package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/tests/requests"
)

// TestLimits holds the limits of the examples on both chains, with counters in
// the server, in a Redis, and in a Redis that quota is taken from ahead; and there
// all requests of the examples get the same answers as here.
func TestLimits(t *testing.T) {
	var rested []func(*testing.T)
	for _, chain := range chains {
		t.Run(chain+" memory", func(t *testing.T) { rested = append(rested, limitsHold(t, running(t, "", chain))) })
		for kind, counters := range map[string]string{"redis": "redis://%s", "leases": "{redis: %q, lease: {batch: 20}}"} {
			d, err := startDemo(testenv.Envoy(t), "--chain", chain, "--counters", fmt.Sprintf(counters, testenv.StartRedis(t).Addr))
			if err != nil {
				t.Fatal(err)
			}
			defer d.end()
			t.Run(chain+" "+kind, func(t *testing.T) {
				rested = append(rested, limitsHold(t, d))
				for name := range d.APIs {
					t.Run(name, func(t *testing.T) { d.runSteps(t, name) })
				}
			})
		}
	}
	if testing.Short() {
		return
	}
	for _, holds := range rested {
		t.Run("a minute later", holds)
	}
}

// limitsHold returns what holds later, when the burst has rested.
func limitsHold(t *testing.T, d *demo) (rested func(*testing.T)) {
	rested = func(t *testing.T) { t.Error("nothing was asked of it before") }
	t.Run("bursts", func(t *testing.T) { rested = burstsHold(t, d) })
	t.Run("tiers", func(t *testing.T) { tiersHold(t, d) })
	t.Run("categories", func(t *testing.T) { categoriesAreCountedApart(t, d) })
	t.Run("in flight", func(t *testing.T) { inFlightHolds(t, d) })
	return rested
}

// burst sends n requests at once and returns how many had which status, and the
// last answer of each.
func (d *demo) burst(t *testing.T, n int, method, url string, lines ...string) (count map[int]int, last map[int]answer) {
	t.Helper()
	count, last = make(map[int]int), make(map[int]answer)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			a, err := d.try(method, url, "", lines...)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			count[a.status]++
			last[a.status] = a
		})
	}
	wg.Wait()
	return count, last
}

// reached tries what sends many requests at once until the gate had the time for
// all of them, a few times: with the race detector, on a busy machine, the proxy
// gives up on some after the second that it waits, which is answered 503 and
// proves nothing about counting.
func reached(t *testing.T, try func() (count map[int]int)) {
	t.Helper()
	for range 5 {
		count := try()
		if count[503] == 0 {
			return
		}
		t.Logf("not reached in time: %v", count)
	}
	t.Fatal("in no try was every request decided")
}

func retryAfter(t *testing.T, a answer) int {
	t.Helper()
	n, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil {
		t.Fatalf("Retry-After is %q\n%s", a.header.Get("Retry-After"), a.body)
	}
	return n
}

func errorCode(t *testing.T, a answer) string {
	t.Helper()
	body, _ := a.json(t)["error"].(map[string]any)
	code, _ := body["code"].(string)
	return code
}

// G7, V4, V5: exactly as many pass as the tier allows, wherever it is counted.
func tiersHold(t *testing.T, d *demo) {
	reached(t, func() (count map[int]int) {
		key := d.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
		inOneMinute(func() {
			var last map[int]answer
			count, last = d.burst(t, 100, "GET", d.APIs["vaultwares"].URL+"/v1/devices", "X-API-Key: "+key)
			if count[503] > 0 {
				return
			}
			if count[200] != 60 || count[429] != 40 {
				t.Fatalf("%v, want 60 and 40 refusals", count)
			}
			limit, remaining, reset := last[429].quota(t)
			if wait := retryAfter(t, last[429]); limit != 60 || remaining != 0 || reset%60 != 0 || wait < 1 || wait > 60 || errorCode(t, last[429]) != "rate_limit_exceeded" {
				t.Errorf("told %d of %d until %d, retry after %d: %s", remaining, limit, reset, wait, last[429].body)
			}
		}, t)
		return count
	})
}

// A5: per tenant, over all its tokens, and each category by itself.
func categoriesAreCountedApart(t *testing.T, d *demo) {
	tenant := fmt.Sprintf("org_%d", time.Now().UnixNano())
	d.cli(t, "tenant", "create", "--api", "aivric", "--id", tenant)
	var tokens []string
	for _, user := range []string{"one", "two"} {
		d.cli(t, "user", "create", "--api", "aivric", "--tenant", tenant, "--id", user, "--role", "Administrator")
		tokens = append(tokens, "Authorization: Bearer "+d.key(t, "aivric", tenant, "--user", user, "--expires", "30d").Key)
	}
	url := d.APIs["aivric"].URL
	inOneMinute(func() {
		first, _ := d.burst(t, 20, "GET", url+"/v1/evidence", tokens[0])
		second, last := d.burst(t, 20, "GET", url+"/v1/exports", tokens[1]) // together 30
		if first[200] != 20 || second[200] != 10 || second[429] != 10 {
			t.Fatalf("evidence %v, exports %v; want 20, then 10 and 10 refusals", first, second)
		}
		if limit, remaining, _ := last[429].quota(t); limit != 30 || remaining != 0 || errorCode(t, last[429]) != "rate_limited" {
			t.Errorf("told %d of %d: %s", remaining, limit, last[429].body)
		}
		a := d.send(t, "GET", url+"/v1/posture", tokens[1])
		if limit, remaining, _ := a.quota(t); a.status != 200 || limit != 60 || remaining != 59 {
			t.Errorf("posture: %d with %d of %d", a.status, remaining, limit)
		}
	}, t)
}

// C4: a rested Starter tenant makes 69 reads at once, the 70th is refused and
// comes through when it was told to; writes are counted apart. What holds when
// the tenant has rested again is returned, to be asked last.
func burstsHold(t *testing.T, d *demo) (rested func(*testing.T)) {
	var began time.Time
	var key, url string
	var last map[int]answer
	reached(t, func() (count map[int]int) {
		tenant := fmt.Sprintf("org_%d", time.Now().UnixNano())
		d.cli(t, "tenant", "create", "--api", "cybervault", "--id", tenant, "--plan", "starter")
		key = "Authorization: Bearer " + d.key(t, "cybervault", tenant, "--scopes", "*", "--prefix", "cv_live_sk_").Key
		url = d.APIs["cybervault"].URL
		began = time.Now()
		count, last = d.burst(t, 90, "GET", url+"/v3/threats", key)
		// A token comes back each second, but not before the first of the 69 is a minute old.
		if count[503] == 0 && (count[200] != 69 || count[429] != 21) {
			t.Fatalf("%v of 90 at once, want 69 and 21 refusals\n%s", count, d.log)
		}
		writes, _ := d.burst(t, 30, "POST", url+"/v3/threats/analyze", key)
		if writes[503] == 0 && (writes[200] != 23 || writes[429] != 7) {
			t.Fatalf("writes: %v, want 23 and 7 refusals", writes)
		}
		count[503] += writes[503]
		return count
	})
	wait := retryAfter(t, last[429])
	if wait < 50 || wait > 60 || errorCode(t, last[429]) == "" {
		t.Errorf("retry after %d s: %s", wait, last[429].body)
	}
	return func(t *testing.T) {
		time.Sleep(time.Until(began.Add(61 * time.Second))) // what the answer says to wait
		// Sixty tokens have come back, and the first are no longer of the last minute.
		// A few at a time: how many passed of some that the proxy gave up on, nobody
		// could say, and there is no trying again before another minute.
		count, asked := map[int]int{}, time.Now()
		for range 18 {
			four, _ := d.burst(t, 4, "GET", url+"/v3/threats", key)
			for status, n := range four {
				count[status] += n
			}
		}
		most := 69 + int(time.Since(asked)/time.Second) // one comes back each second
		if count[200]+count[503] < 60 || count[200] > most || count[503] > 4 {
			t.Errorf("after a minute %v, want 60 to %d", count, most)
		}
	}
}

// H3: 60 a minute for each key, over all tokens made from it. H4: at most five in flight for each key and
// operation; the sixth is refused, and a slot is free when its request ends.
func inFlightHolds(t *testing.T, d *demo) {
	tenant := fmt.Sprintf("org_%d", time.Now().UnixNano())
	d.cli(t, "tenant", "create", "--api", "cyberhaven", "--id", tenant)
	made := d.key(t, "cyberhaven", tenant, "--name", "one", "--role", "Administrator", "--expires", "30d")
	key := func(name string) string {
		return d.key(t, "cyberhaven", tenant, "--name", name, "--role", "Administrator", "--expires", "30d").Key
	}
	url := d.APIs["cyberhaven"].URL
	one := d.token(t, url, made.Key)
	const slow = "X-Echo-Delay: 2s"
	done := make(chan map[int]int)
	go func() {
		count, _ := d.burst(t, 5, "GET", url+"/v2/incidents", one, slow)
		done <- count
	}()
	for d.inFlight(t, "cyberhaven", tenant, made.KeyID, "GET /v2/incidents") < 5 {
	}
	refused := d.send(t, "GET", url+"/v2/incidents", one)
	if refused.status != http.StatusTooManyRequests {
		t.Errorf("the sixth: %d %s", refused.status, refused.body)
	}
	if wait := retryAfter(t, refused); wait != 1 || errorCode(t, refused) != "too_many_concurrent_requests" {
		t.Errorf("the sixth: retry after %d: %s", wait, refused.body)
	}
	if a := d.send(t, "GET", url+"/v2/users", one); a.status != 200 {
		t.Errorf("another operation: %d %s", a.status, a.body)
	}
	if a := d.send(t, "GET", url+"/v2/incidents", d.token(t, url, key("other"))); a.status != 200 {
		t.Errorf("another key: %d %s", a.status, a.body)
	}
	if count := <-done; count[200] != 5 {
		t.Errorf("the five: %v", count)
	}
	for range 3 {
		if count, _ := d.burst(t, 5, "GET", url+"/v2/incidents", one); count[200] != 5 {
			t.Fatalf("five at a time: %v", count)
		}
	}
	two := key("two")
	inOneMinute(func() {
		passed := 0
		for range 14 { // each time with another token
			count, _ := d.burst(t, 5, "GET", url+"/v2/policies", d.token(t, url, two))
			passed += count[200]
		}
		if passed != 60 {
			t.Errorf("%d of 70 passed, want 60", passed)
		}
	}, t)
}

// inFlight asks how many requests of a key are in flight to an operation.
func (d *demo) inFlight(t *testing.T, api, tenant, key, operation string) int {
	t.Helper()
	var list struct {
		Limits []struct {
			Concurrency *struct {
				InFlight *int `json:"in_flight"`
			}
		}
	}
	out := d.cli(t, "limit", "show", "--json", "--api", api, "--tenant", tenant, "--key", key, "--operation", operation)
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("limit show printed %q: %v", out, err)
	}
	for _, l := range list.Limits {
		if l.Concurrency != nil && l.Concurrency.InFlight != nil {
			return *l.Concurrency.InFlight
		}
	}
	t.Fatalf("limit show tells of nothing in flight: %s", out)
	return 0
}

// until sends a request again and again until it gets status.
func (d *demo) until(t *testing.T, status int, method, url string, lines ...string) answer {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if a := d.send(t, method, url, lines...); a.status == status {
			return a
		}
	}
	t.Fatalf("%s %s: never %d", method, url, status)
	return answer{}
}

// G9: a Redis that dies is told as the API says, at once, and is used again
// when it is back.
func TestALostRedis(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			r := testenv.StartRedis(t)
			d, err := startDemo(testenv.Envoy(t), "--chain", chain, "--counters", "redis://"+r.Addr, "vaultwares")
			if err != nil {
				t.Fatal(err)
			}
			defer d.end()
			key := "X-API-Key: " + d.key(t, "vaultwares", "org_custom", "--scopes", "devices:read").Key
			url := d.APIs["vaultwares"].URL + "/v1/devices"
			if a := d.send(t, "GET", url, key); a.status != 200 {
				t.Fatalf("before: %d %s", a.status, a.body)
			}
			r.Kill()
			began := time.Now()
			a := d.send(t, "GET", url, key)
			if a.status != 503 || a.header.Get("Retry-After") == "" || errorCode(t, a) != "service_unavailable" {
				t.Errorf("without Redis: %d %v %s", a.status, a.header, a.body)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
			r.Restart()
			began = time.Now()
			d.until(t, 200, "GET", url, key)
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v until Redis was used again", took)
			}
		})
	}
}

// Another rate limit takes the caller's limit from Check's metadata: an Envoy whose
// ratelimit filter asks about another domain, with the limit that Check told, gets
// that limit from the service, and is refused behind it.
func TestARateLimitFilterReadsTheCallersLimit(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(requests.Echo))
	t.Cleanup(upstream.Close)
	s := newServer(t, upstream.URL)
	s.edit("{big: [1000000/1h]}", "{big: [1000000/1h], small: [3/1h]}")
	s.edit("headers: {limit: X-RateLimit-Limit, remaining: X-RateLimit-Remaining, reset: X-RateLimit-Reset,", "headers: {limit: Quota-Limit, remaining: Quota-Remaining, reset: Quota-Reset,")
	s.edit("apis:\n", "ratelimit: {directories: ["+s.folder+"/limits]}\napis:\n")
	if err := os.Mkdir(filepath.Join(s.folder, "limits"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("limits/another.yaml", "domain: another\n")
	s.start()
	const router = "          - name: envoy.filters.http.router\n"
	bootstrap := s.bootstrap("fused")
	if strings.Count(bootstrap, router) != 1 {
		t.Fatalf("where is the router?\n%s", bootstrap)
	}
	d := s.envoyOn(strings.Replace(bootstrap, router, `          - name: envoy.filters.http.ratelimit/another
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
              domain: another
              failure_mode_deny: true
              enable_x_ratelimit_headers: DRAFT_VERSION_03
              rate_limit_service: {transport_api_version: V3, grpc_service: {envoy_grpc: {cluster_name: sallyport_authz}}}
              rate_limits:
              - actions: [{request_headers: {header_name: x-sallyport-credential, descriptor_key: caller}}]
                limit: {`+limitOverride+`}
`+router, 1))
	for plan, limit := range map[string]int{"small": 3, "big": 1000000} {
		s.cli("tenant", "create", "--api", "orders", "--id", plan, "--plan", plan)
		key := "X-API-Key: " + strings.TrimSpace(s.cli("key", "create", "--api", "orders", "--tenant", plan, "--scopes", "orders:read", "--quiet"))
		for n := range 3 {
			a := d.send(t, "GET", d.Gateway+"/v1/orders", ordersHost, key)
			if want := fmt.Sprintf("%d, %d;w=3600", limit, limit); a.status != 200 || a.header.Get("X-RateLimit-Limit") != want ||
				a.header.Get("X-RateLimit-Remaining") != fmt.Sprint(limit-n-1) {
				t.Errorf("%s: %d %v, want %s", plan, a.status, a.header, want)
			}
		}
	}
}
