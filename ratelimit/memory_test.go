package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
)

var epoch = time.Unix(1_700_000_000-1_700_000_000%3600, 0) // the start of an hour

func perMinuteAndHour(minute, hour uint64) []sallyport.Charge {
	limit := &sallyport.Limit{Name: "requests", Per: []string{"credential"}}
	return []sallyport.Charge{{Limit: limit, Windows: []sallyport.Window{{Max: minute, Length: time.Minute}, {Max: hour, Length: time.Hour}}}}
}

func take(t testing.TB, m *Memory, now time.Time, credential string, charges []sallyport.Charge, hits uint64) sallyport.Verdict {
	t.Helper()
	s := sallyport.Subject{API: "orders", Tenant: "t1", Credential: credential}
	v, err := m.Take(context.Background(), Call{Now: now, Subject: &s, Charges: charges, Hits: hits})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// G7, V4: both windows hold, and the one with the fewest remaining is told.
func TestBothWindowsHold(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(3, 5)
	steps := []struct {
		at        time.Duration
		allowed   bool
		limit     uint64
		remaining uint64
		reset     time.Duration // from epoch
		retry     time.Duration
	}{
		{0, true, 3, 2, time.Minute, 0},
		{0, true, 3, 1, time.Minute, 0},
		{10 * time.Second, true, 3, 0, time.Minute, 0},
		{10*time.Second + time.Millisecond, false, 3, 0, time.Minute, 50 * time.Second},
		{60 * time.Second, true, 5, 1, time.Hour, 0},
		{61 * time.Second, true, 5, 0, time.Hour, 0},
		{62 * time.Second, false, 5, 0, time.Hour, time.Hour - 62*time.Second},
		{time.Hour, true, 3, 2, time.Hour + time.Minute, 0},
	}
	for i, s := range steps {
		v := take(t, m, epoch.Add(s.at), "k1", charges, 1)
		want := sallyport.Verdict{Known: true, Allowed: s.allowed, Limit: s.limit, Remaining: s.remaining, Reset: epoch.Add(s.reset), RetryAfter: s.retry, Rule: "requests", Window: v.Window}
		if v != want {
			t.Errorf("step %d: got %+v, want %+v", i, v, want)
		}
	}
}

func TestEqualRemainingTellsTheLaterReset(t *testing.T) {
	v := take(t, NewMemory(), epoch, "k1", perMinuteAndHour(3, 3), 1)
	if v.Remaining != 2 || v.Window.Length != time.Hour {
		t.Errorf("told the window of %v with %d remaining, want an hour with 2", v.Window.Length, v.Remaining)
	}
}

func TestOfExhaustedWindowsTheLastToResetIsTold(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(1, 1)
	take(t, m, epoch, "k1", charges, 1)
	v := take(t, m, epoch, "k1", charges, 1)
	if v.Allowed || v.Window.Length != time.Hour || v.RetryAfter != time.Hour {
		t.Errorf("got %+v, want a refusal for an hour", v)
	}
}

// G7: a refusal spends nothing, in no window of no charge.
func TestRefusalsAreNotCounted(t *testing.T) {
	m := NewMemory()
	wide := sallyport.Charge{Limit: &sallyport.Limit{Name: "wide", Per: []string{"tenant"}}, Windows: []sallyport.Window{{Max: 10, Length: time.Hour}}}
	charges := append(perMinuteAndHour(2, 100), wide)
	for range 50 {
		take(t, m, epoch, "k1", charges, 1)
	}
	v := take(t, m, epoch, "k1", []sallyport.Charge{wide}, 0)
	if v.Remaining != 8 {
		t.Errorf("the tenant's window has %d remaining, want 8: two passed", v.Remaining)
	}
}

func TestLookingTakesNothingAndIsNeverRefused(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(1, 10)
	for range 3 {
		if v := take(t, m, epoch, "k1", charges, 0); !v.Allowed || v.Remaining != 1 {
			t.Fatalf("before: %+v", v)
		}
	}
	take(t, m, epoch, "k1", charges, 1)
	if v := take(t, m, epoch, "k1", charges, 0); !v.Allowed || v.Remaining != 0 {
		t.Errorf("after: %+v, want allowed with none remaining", v)
	}
}

// The zero value denies: a plan without windows gets nothing.
func TestAPlanWithoutWindowsGetsNothing(t *testing.T) {
	none := []sallyport.Charge{{Limit: &sallyport.Limit{Name: "requests", Per: []string{"credential"}}}}
	if v := take(t, NewMemory(), epoch, "k1", none, 1); v.Allowed {
		t.Errorf("allowed: %+v", v)
	}
}

// Keys are counted apart, also where their parts run into each other.
func TestSubjectsDoNotShareCounters(t *testing.T) {
	limit := &sallyport.Limit{Name: "l", Per: []string{"tenant", "credential"}}
	pairs := [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"a\x02b", "c"}, {"a", "\x02bc"}}
	seen := map[string][2]string{}
	for _, p := range pairs {
		key := string(AppendKey(nil, limit, &sallyport.Subject{Tenant: p[0], Credential: p[1]}))
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q share a counter", p, other)
		}
		seen[key] = p
	}
}

// G6: a principal's name is its tenant's choice: two tenants' may be alike.
func TestPrincipalsAreCountedWithinTheirTenants(t *testing.T) {
	limit := &sallyport.Limit{Name: "l", Per: []string{"principal"}}
	a := string(AppendKey(nil, limit, &sallyport.Subject{API: "orders", Tenant: "a", Principal: "alice"}))
	b := string(AppendKey(nil, limit, &sallyport.Subject{API: "orders", Tenant: "b", Principal: "alice"}))
	if a == b {
		t.Error("two tenants' principals share a counter")
	}
}

// G7: a retried call (same sid) counts once, on the same subject only, and a
// sid that is sent for ever does not make requests free.
func TestARetryCountsOnce(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(60, 1000)
	call := func(credential, sid string) sallyport.Verdict {
		s := sallyport.Subject{API: "orders", Credential: credential}
		v, _ := m.Take(context.Background(), Call{Now: epoch, SID: sid, Subject: &s, Charges: charges, Hits: 1})
		return v
	}
	for range 3 {
		if v := call("k1", "sid-1"); v.Remaining != 59 {
			t.Errorf("a retry was charged: %d remaining, want 59", v.Remaining)
		}
	}
	if v := call("k2", "sid-1"); v.Remaining != 59 {
		t.Errorf("another key's request with the same sid: %d remaining, want 59", v.Remaining)
	}
	if v := call("k1", "sid-2"); v.Remaining != 58 {
		t.Errorf("another request of the key: %d remaining, want 58", v.Remaining)
	}
	for range 1000 {
		call("k1", "sid-3")
	}
	if v := call("k1", "sid-4"); v.Allowed {
		t.Errorf("a thousand requests under one sid left %d of 60", v.Remaining)
	}
}

func TestConcurrentRetriesCountOnce(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(1000, 1000)
	s := sallyport.Subject{API: "orders", Credential: "k1"}
	var wg sync.WaitGroup
	for i := range 100 {
		for range 3 {
			wg.Go(func() {
				m.Take(context.Background(), Call{Now: epoch, SID: fmt.Sprint("sid-", i), Subject: &s, Charges: charges, Hits: 1})
			})
		}
	}
	wg.Wait()
	if v := take(t, m, epoch, "", charges, 0); v.Remaining != 1000 {
		t.Fatal("test looks at the wrong counter")
	}
	v, _ := m.Take(context.Background(), Call{Now: epoch, Subject: &s, Charges: charges})
	if v.Remaining != 900 {
		t.Errorf("%d remaining, want 900: each of 100 requests was sent three times", v.Remaining)
	}
}

// G7: N allowed means that exactly N of any number of concurrent requests pass.
func TestExactUnderContention(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(500, 700)
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			s := sallyport.Subject{API: "orders", Credential: "k1"}
			for range 100 {
				if v, _ := m.Take(context.Background(), Call{Now: epoch, Subject: &s, Charges: charges, Hits: 1}); v.Allowed {
					passed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if passed.Load() != 500 {
		t.Errorf("%d passed, want 500", passed.Load())
	}
}

// Takes over several counters in any order do not wait for each other for ever.
func TestManyCountersDoNotDeadlock(t *testing.T) {
	m := NewMemory()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				var charges []sallyport.Charge
				for range 5 {
					name := fmt.Sprint("limit-", rand.IntN(20))
					charges = append(charges, sallyport.Charge{Limit: &sallyport.Limit{Name: name}, Windows: []sallyport.Window{{Max: 1 << 40, Length: time.Minute}}})
				}
				m.Take(context.Background(), Call{Now: epoch, Subject: &sallyport.Subject{}, Charges: charges, Hits: 1})
			}
		})
	}
	wg.Wait()
}

func TestDeadCountersAreForgotten(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(10, 100)
	few := []*shard{&m.shards[0], &m.shards[shardCount-1]} // each looks for itself; to fill them all takes long
	now, n := epoch, 0
	for i := 0; n < len(few)*firstSweep*9/4; i++ { // enough for each to look twice
		name := fmt.Sprint("k", i)
		key := AppendKey(nil, charges[0].Limit, &sallyport.Subject{API: "orders", Tenant: "t1", Credential: name})
		if !slices.Contains(few, m.shard(key)) {
			continue
		}
		n, now = n+1, now.Add(10*time.Second)
		take(t, m, now, name, charges, 1)
	}
	// An hour holds 360 of them.
	if n := m.Len(); n > len(few)*firstSweep {
		t.Errorf("%d counters held, of which at most 360 are live", n)
	}
}

// naive counts as the definition has it: a list of all takes, looked through.
type naive struct{ at []time.Time }

func (n *naive) left(now time.Time, w sallyport.Window) uint64 {
	start := windowStart(now, w)
	used := uint64(0)
	for _, at := range n.at {
		if !at.Before(start) {
			used++
		}
	}
	return w.Max - min(w.Max, used)
}

// The law: a random sequence of takes over random windows is answered as a
// list of all past takes would answer it.
func TestMemoryEqualsTheNaiveCounter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var windows []sallyport.Window
		for _, length := range rapid.SliceOfNDistinct(rapid.IntRange(1, 100), 1, 4, rapid.ID[int]).Draw(t, "lengths") {
			windows = append(windows, sallyport.Window{Max: rapid.Uint64Range(0, 8).Draw(t, "max"), Length: time.Duration(length) * time.Second})
		}
		m, oracle := NewMemory(), naive{}
		charges := []sallyport.Charge{{Limit: &sallyport.Limit{Name: "l", Per: []string{"credential"}}, Windows: windows}}
		now := time.Unix(1_000_000, 0)
		for range rapid.IntRange(1, 60).Draw(t, "takes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 30_000).Draw(t, "wait")) * time.Millisecond)
			allowed := true
			for _, w := range windows {
				allowed = allowed && oracle.left(now, w) > 0
			}
			s := sallyport.Subject{Credential: "k"}
			v, _ := m.Take(context.Background(), Call{Now: now, Subject: &s, Charges: charges, Hits: 1})
			if v.Allowed != allowed {
				t.Fatalf("at %v: allowed %v, want %v", now, v.Allowed, allowed)
			}
			if allowed {
				oracle.at = append(oracle.at, now)
			} else if later := now.Add(v.RetryAfter); v.RetryAfter < time.Second || !oracle.passes(later, windows) && !never(windows) {
				t.Fatalf("at %v: waiting %v is not enough", now, v.RetryAfter)
			}
			oracle.check(t, now, windows, v)
		}
	})
}

// windowStart is the definition of a window's start: aligned to the Unix epoch.
func windowStart(now time.Time, w sallyport.Window) time.Time {
	length := int64(w.Length / time.Second)
	return time.Unix(now.Unix()/length*length, 0)
}

func (n *naive) passes(now time.Time, windows []sallyport.Window) bool {
	for _, w := range windows {
		if n.left(now, w) == 0 {
			return false
		}
	}
	return true
}

func never(windows []sallyport.Window) bool {
	for _, w := range windows {
		if w.Max == 0 {
			return true
		}
	}
	return false
}

// check holds the window told against the rule of V4.
func (n *naive) check(t *rapid.T, now time.Time, windows []sallyport.Window, v sallyport.Verdict) {
	var want sallyport.Window
	for _, w := range windows {
		left, reset := n.left(now, w), windowStart(now, w).Add(w.Length)
		if !v.Allowed && left > 0 {
			continue
		}
		least, last := n.left(now, want0(want)), windowStart(now, want0(want)).Add(want0(want).Length)
		if want.Length == 0 || v.Allowed && left < least || (left == least || !v.Allowed) && reset.After(last) {
			want = w
		}
	}
	reset := windowStart(now, want).Add(want.Length)
	if v.Limit != want.Max || !v.Reset.Equal(reset) || v.Remaining != n.left(now, want) {
		t.Fatalf("at %v: told %+v, want %+v with %d left until %v", now, v, want, n.left(now, want), reset)
	}
}

func want0(w sallyport.Window) sallyport.Window {
	if w.Length == 0 {
		w.Length = time.Second
	}
	return w
}

func TestTakeDoesNotAllocate(t *testing.T) {
	m, charges := NewMemory(), perMinuteAndHour(1<<40, 1<<41)
	s := sallyport.Subject{API: "orders", Tenant: "t1", Credential: "key_0123456789"}
	limiter := Limiter{m}
	n := testing.AllocsPerRun(1000, func() {
		limiter.Take(context.Background(), epoch, "0e2f6c1c-8a5b-4b71-9a3a-6d3c2f1b0a99", &s, charges, 1)
	})
	if n != 0 {
		t.Errorf("a take allocates %v times, want 0", n)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, limits := range []int{1, 4} {
		b.Run(fmt.Sprint("limits=", limits), func(b *testing.B) {
			m := NewMemory()
			var charges []sallyport.Charge
			for i := range limits {
				limit := &sallyport.Limit{Name: fmt.Sprint("requests-", i), Per: []string{"credential"}}
				charges = append(charges, sallyport.Charge{Limit: limit, Windows: perMinuteAndHour(1<<40, 1<<41)[0].Windows})
			}
			s := sallyport.Subject{API: "orders", Tenant: "t1", Credential: "key_0123456789"}
			b.ReportAllocs()
			for b.Loop() {
				m.Take(context.Background(), Call{Now: epoch, SID: "0e2f6c1c-8a5b-4b71-9a3a-6d3c2f1b0a99", Subject: &s, Charges: charges, Hits: 1})
			}
		})
	}
}

// Calls that come at the same time have read the clock in another order than they
// are counted: nobody is told to wait for longer than the window lasts.
func TestNobodyWaitsForLongerThanAWindow(t *testing.T) {
	for _, form := range []string{"2/1m", "2/1m sliding", "1/1m+100%"} {
		m := NewMemory()
		w, err := sallyport.ParseWindow(form)
		if err != nil {
			t.Fatal(err)
		}
		call := Call{Now: epoch.Add(time.Minute), Hits: 1, Subject: &sallyport.Subject{API: "orders"},
			Charges: []sallyport.Charge{{Limit: &sallyport.Limit{Name: "requests"}, Windows: []sallyport.Window{w}}}}
		for range 2 {
			if v, _ := m.Take(t.Context(), call); !v.Allowed {
				t.Fatalf("%s: %+v", form, v)
			}
		}
		call.Now = call.Now.Add(-time.Millisecond)
		if v, _ := m.Take(t.Context(), call); v.Allowed || v.RetryAfter > time.Minute {
			t.Errorf("%s: %+v", form, v)
		}
		tallies := []Tally{{Key: []byte("k"), Window: w, Hits: 1}}
		if w.Algorithm != sallyport.Fixed {
			continue
		}
		m.Count(t.Context(), epoch.Add(time.Minute), tallies)
		m.Count(t.Context(), epoch.Add(time.Minute-time.Millisecond), tallies)
		if want := epoch.Add(2 * time.Minute); tallies[0].Used != 2 || !tallies[0].Reset.Equal(want) {
			t.Errorf("%s: %+v, want two until %v", form, tallies[0], want)
		}
	}
}
