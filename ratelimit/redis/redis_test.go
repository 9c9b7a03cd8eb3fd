package redis

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/counterstest"
)

var ctx = context.Background()

// epoch is the start of an hour.
var epoch = time.Unix(1_700_000_000-1_700_000_000%3600, 0)

// clock is the server's clock as tests set it.
type clock struct{ at atomic.Int64 }

func (c *clock) Set(now time.Time) { c.at.Store(now.UnixMicro()) }
func (c *clock) now() time.Time    { return time.UnixMicro(c.at.Load()) }

func newClock() *clock {
	c := &clock{}
	c.Set(epoch)
	return c
}

// open opens counters that are joined when it returns.
func open(t testing.TB, o Options) *Counters {
	t.Helper()
	c, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	joined(t, c)
	return c
}

// joined waits until c is, which it must be within a second.
func joined(t testing.TB, c *Counters) {
	t.Helper()
	began := time.Now()
	testenv.Await(t, "the counters to join Redis", func() bool { s := c.State(); return s.Joined() })
	if took, over := late(began, time.Second); over {
		t.Errorf("joined after %v, want within a second", took)
	}
}

// lenient is a timeout for tests of other things, on machines that are busy.
const lenient = 5 * time.Second

func TestConformance(t *testing.T) {
	t.Parallel()
	conform(t, somewhere(t, false))
}

func TestConformanceInACluster(t *testing.T) {
	t.Parallel()
	conform(t, somewhere(t, true))
}

func conform(t *testing.T, o Options) {
	time := newClock()
	o.clock = time.now
	prefix, prefixes := o.Prefix, 0
	fresh := func(t *testing.T) ratelimit.Counters {
		prefixes++
		o.Prefix = fmt.Sprint(prefix, prefixes, ":")
		return open(t, o)
	}
	twin := func(t *testing.T, c ratelimit.Counters) ratelimit.Counters { return open(t, c.(*Counters).options) }
	counterstest.Run(t, fresh, counterstest.Options{Clock: time, Twin: twin, Most: most})
}

// differ draws a call and asks both.
func differ(t *rapid.T, a, b ratelimit.Counters, name string, now time.Time) {
	limits := rapid.SliceOfN(rapid.IntRange(0, 2), 1, 3).Draw(t, "limits")
	call := ratelimit.Call{
		Now: now, Subject: &sallyport.Subject{API: name, Tenant: "t", Credential: rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "credential")},
		Hits: uint64(rapid.IntRange(0, 4).Draw(t, "hits")), SID: rapid.SampledFrom([]string{"", "", "sid"}).Draw(t, "sid"),
		Dry: rapid.IntRange(0, 5).Draw(t, "dry") == 0,
	}
	forms := []string{"/1m", "/10s", "/1m sliding", "/10s sliding", "/1m+0%", "/10s+50%", "/day@Asia/Tokyo", "/month"}
	for _, n := range limits {
		limit := &sallyport.Limit{Name: fmt.Sprint("limit-", n), Per: []string{"credential"}, Shadow: n == 2}
		charge := sallyport.Charge{Limit: limit}
		for i, form := range forms {
			// Which windows a limit has is drawn anew, and so is how much they allow.
			if rapid.Bool().Draw(t, "window") && (i+n)%2 == 0 {
				most := rapid.IntRange(1, 15).Draw(t, "max")
				if strings.HasSuffix(form, "%") {
					// While what a bucket allows changes, what has come back depends on
					// when somebody looked last, which memory notes and Redis does not.
					most = 5 + i + n
				}
				w, err := sallyport.ParseWindow(fmt.Sprint(most, form))
				if err != nil {
					t.Fatal(err)
				}
				charge.Windows = append(charge.Windows, w)
			}
		}
		if len(charge.Windows) == 0 {
			call.SID = "" // a retry for a plan that has just lost all windows: refused here, forgiven there
		}
		call.Charges = append(call.Charges, charge)
	}
	same := func(what string, one, other any) {
		if one, other := fmt.Sprintf("%+v", one), fmt.Sprintf("%+v", other); one != other {
			t.Fatalf("%s at %v of\n%+v\nmemory: %s\nredis:  %s", what, now, call, one, other)
		}
	}
	switch rapid.SampledFrom([]string{"take", "take", "take", "take", "force", "refund", "reset", "look"}).Draw(t, "what") {
	case "take":
		one, err := a.Take(ctx, call)
		other, err2 := b.Take(ctx, call)
		// Of two windows that stand alike, memory tells either.
		if (one.Remaining == other.Remaining || !one.Allowed) && one.Reset.Equal(other.Reset) && one.RetryAfter == other.RetryAfter {
			one.Rule, one.Window, one.Limit, one.Remaining = other.Rule, other.Window, other.Limit, other.Remaining
		}
		same("take", one, other)
		same("take", err, err2)
	case "force":
		same("force", a.Force(ctx, call), b.Force(ctx, call))
	case "refund":
		same("refund", a.Refund(ctx, call), b.Refund(ctx, call))
	case "reset":
		same("reset", a.Reset(ctx, call), b.Reset(ctx, call))
	case "look":
		one, _ := a.Look(ctx, call)
		other, _ := b.Look(ctx, call)
		for i := range one {
			one[i].Limit, other[i].Limit = nil, nil
		}
		same("look", one, other)
	}
}

// The law: Redis and memory answer any sequence of calls alike.
func TestRedisEqualsMemory(t *testing.T) {
	t.Parallel()
	o, time1 := somewhere(t, false), newClock()
	o.clock = time1.now
	c := open(t, o)
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		m, now := ratelimit.NewMemory(), epoch
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			now = now.Add(time.Duration(rapid.OneOf(rapid.Int64Range(0, 3_000_000), rapid.Int64Range(0, 90_000_000)).Draw(t, "wait")) * time.Microsecond)
			time1.Set(now)
			differ(t, m, c, fmt.Sprint("run-", runs), now)
		}
	})
}
