package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

var quotaHeaders = []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"}

// quota reads the quota headers of a: each must be there exactly once.
func (a answer) quota(t testing.TB) (limit, remaining, reset int64) {
	t.Helper()
	var n [3]int64
	for i, name := range quotaHeaders {
		values := a.header.Values(name)
		if len(values) != 1 {
			t.Fatalf("%s is %q, want exactly one (status %d)\n%s", name, values, a.status, a.body)
		}
		var err error
		if n[i], err = strconv.ParseInt(values[0], 10, 64); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return n[0], n[1], n[2]
}

// G7, V4: of 500 requests at once exactly 60 pass, and the headers of those
// that pass count down without a gap.
func TestExactlySixtyOfFiveHundredAtOnce(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "vaultwares", chain)
			for range 5 {
				reached := false
				if inOneMinute(func() { reached = fiveHundred(t, d) }, t) && reached {
					return
				}
			}
			t.Fatal("in no try, within one minute, was every request decided")
		})
	}
}

// inOneMinute runs f in a sub-test whose failure counts only if no minute began
// meanwhile.
func inOneMinute(f func(), t *testing.T) bool {
	if left := 60 - time.Now().Unix()%60; left < 15 {
		time.Sleep(time.Duration(left) * time.Second) // the window's own clock is what is waited for
	}
	began := time.Now().Unix() / 60
	f()
	return time.Now().Unix()/60 == began && !t.Failed()
}

// fiveHundred sends that many at once. It returns false where Envoy gave up on
// the gate for some of them: a machine that is too busy to answer within the
// second that the filters wait proves nothing about counting.
func fiveHundred(t *testing.T, d *demo) (reached bool) {
	key := d.key(t, "vaultwares", "org_free", "--scopes", "devices:read").Key
	url := d.APIs["vaultwares"].URL + "/v1/devices"
	answers := make([]answer, 500)
	errs := make([]error, 500)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() { answers[i], errs[i] = d.try("GET", url, "", "X-API-Key: "+key) })
	}
	wg.Wait()
	seen := make(map[int64]bool)
	refused := 0
	for i, a := range answers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		if a.status == http.StatusServiceUnavailable {
			t.Logf("not reached in time: %s", a.body)
			return false
		}
		limit, remaining, _ := a.quota(t)
		switch a.status {
		case http.StatusOK:
			if seen[remaining] {
				t.Errorf("two answers say that %d remain", remaining)
			}
			seen[remaining] = true
		case http.StatusTooManyRequests:
			refused++
			if limit != 60 || remaining != 0 {
				t.Errorf("a refusal tells %d of %d", remaining, limit)
			}
		default:
			t.Errorf("status %d: %s", a.status, a.body)
		}
	}
	if len(seen) != 60 || refused != 440 {
		t.Errorf("%d passed and %d were refused, want 60 and 440", len(seen), refused)
	}
	return true
}

// G7, V4, V5: the window with the fewest remaining is told; over the limit the
// body, Retry-After and the headers agree, refusals spend nothing, and waiting
// as told is enough.
func TestTheRefusalOfAQuota(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "vaultwares", chain)
			tenant := fmt.Sprintf("org_short_%d", time.Now().UnixNano())
			d.cli(t, "tenant", "create", "--api", "vaultwares", "--id", tenant, "--plan", "custom", "--limit", "requests=3/5s,100/1h")
			key := d.key(t, "vaultwares", tenant, "--scopes", "devices:read").Key
			url := d.APIs["vaultwares"].URL + "/v1/devices"
			get := func() answer { return d.send(t, "GET", url, "X-API-Key: "+key) }

			refused := exhaust(t, get)
			limit, remaining, reset := refused.quota(t)
			if limit != 3 || remaining != 0 {
				t.Errorf("told %d of %d, want 0 of 3", remaining, limit)
			}
			retry, err := strconv.Atoi(refused.header.Get("Retry-After"))
			if err != nil || retry < 1 || retry > 5 {
				t.Fatalf("Retry-After is %q, want 1 to 5", refused.header.Get("Retry-After"))
			}
			if got := refused.header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type is %q", got)
			}
			body, _ := refused.json(t)["error"].(map[string]any)
			if body["code"] != "rate_limit_exceeded" || body["retry_after"] != float64(retry) || body["message"] == "" || len(body) != 3 {
				t.Errorf("body %v, want code rate_limit_exceeded and retry_after %d", body, retry)
			}
			for range 5 {
				if a := get(); a.status == http.StatusTooManyRequests {
					if _, remaining, again := a.quota(t); remaining != 0 || again != reset {
						t.Errorf("refusals changed the quota: %d until %d, was 0 until %d", remaining, again, reset)
					}
				}
			}
			time.Sleep(time.Duration(retry) * time.Second) // what the answer says to wait
			if a := get(); a.status != http.StatusOK {
				t.Errorf("after waiting %d s: %d %s", retry, a.status, a.body)
			}
		})
	}
}

// exhaust spends a window of three and returns the first refusal.
func exhaust(t *testing.T, get func() answer) answer {
	t.Helper()
	for range 8 { // a window may end while it is spent
		if a := get(); a.status == http.StatusTooManyRequests {
			return a
		}
	}
	t.Fatal("eight requests passed a limit of three in five seconds")
	return answer{}
}

// V4: each key is counted alone, and both windows hold: the hour's is told when
// it has fewer remaining.
func TestBothWindowsHoldThroughEnvoy(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "vaultwares", chain)
			tenant := fmt.Sprintf("org_two_%d", time.Now().UnixNano())
			d.cli(t, "tenant", "create", "--api", "vaultwares", "--id", tenant, "--plan", "custom", "--limit", "requests=1000/1h,4/24h")
			one, other := d.key(t, "vaultwares", tenant, "--scopes", "devices:read").Key, d.key(t, "vaultwares", tenant, "--scopes", "devices:read").Key
			url := d.APIs["vaultwares"].URL + "/v1/devices"
			for want := int64(3); want >= 0; want-- {
				a := d.send(t, "GET", url, "X-API-Key: "+one)
				limit, remaining, reset := a.quota(t)
				if a.status != http.StatusOK || limit != 4 || remaining != want || reset%86400 != 0 {
					t.Errorf("%d: told %d of %d until %d, want %d of 4 until midnight UTC", a.status, remaining, limit, reset, want)
				}
			}
			if a := d.send(t, "GET", url, "X-API-Key: "+one); a.status != http.StatusTooManyRequests {
				t.Errorf("the fifth of four a day: %d", a.status)
			}
			if a := d.send(t, "GET", url, "X-API-Key: "+other); a.status != http.StatusOK {
				t.Errorf("another key of the tenant: %d", a.status)
			}
		})
	}
}

// G7: what each outcome spends. One request that passes, then everything that
// must not spend, then one that shows it.
func TestOnlyWhatPassesIsCounted(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "vaultwares", chain)
			key := d.key(t, "vaultwares", "org_custom", "--scopes", "devices:read").Key
			base := d.APIs["vaultwares"].URL
			header := "X-API-Key: " + key
			_, first, _ := d.send(t, "GET", base+"/v1/devices", header).quota(t)
			for _, free := range []struct {
				method, path string
				status       int
			}{
				{"GET", "/v1/nowhere", 404}, {"DELETE", "/v1/devices", 404}, {"GET", "/v1/audit", 403},
				{"POST", "/v1/devices", 403}, {"GET", "/v1/devices%2f1", 404}, {"GET", "/v1/devices;a=b", 404},
			} {
				a := d.send(t, free.method, base+free.path, header)
				_, remaining, _ := a.quota(t)
				if a.status != free.status || remaining != first {
					t.Errorf("%s %s: %d with %d remaining, want %d with %d", free.method, free.path, a.status, remaining, free.status, first)
				}
			}
			for i, counted := range []string{"/v1/auth/verify", "/v1/devices", "/v1/auth/verify"} {
				a := d.send(t, "GET", base+counted, header, "X-Echo-Status: 500")
				_, remaining, _ := a.quota(t)
				if want := first - int64(i) - 1; remaining != want {
					t.Errorf("%s: %d remaining, want %d", counted, remaining, want)
				}
			}
		})
	}
}
