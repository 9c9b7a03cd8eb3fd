package redis

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

// jumper holds what callers of one window are told while Redis's clock jumps.
type jumper struct {
	window sallyport.Window
	charge []sallyport.Charge
	crowd  *crowd

	mu      sync.Mutex
	waits   time.Duration // guarded by mu: the longest that anybody was told to wait since the last jump
	strange []string      // guarded by mu
}

// hear notes what v tells.
func (j *jumper) hear(_ ratelimit.Call, v sallyport.Verdict, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.strange = append(j.strange, err.Error())
	}
	j.waits = max(j.waits, v.RetryAfter)
}

// The clock of Redis's machine jumps, under load: an hour ahead, back, and two
// seconds back. With each jump a caller gets what one window allows once more at
// most, is told to wait for one window and no longer than it jumped besides, and
// passes when it has waited as told.
func TestClockJumps(t *testing.T) {
	const most = 20
	for _, c := range []struct {
		form  string
		width time.Duration // how long one may be kept waiting, but for two seconds
		again []int         // how many pass after each jump
	}{
		{"/1m", time.Minute, []int{most, most, 0}},
		{"/1m sliding", time.Minute, []int{most, most, 0}},
		{"/1m+0%", time.Minute, []int{most, most, 0}},
		{"/1h", 2 * time.Hour, []int{most, 0, 0}}, // the next hour, which has begun, is gone on with
		{"/day", 24 * time.Hour, []int{0, 0, 0}},
	} {
		t.Run(c.form[1:], func(t *testing.T) {
			t.Parallel()
			quiet(t)
			w, err := sallyport.ParseWindow(fmt.Sprint(most, c.form))
			if err != nil {
				t.Fatal(err)
			}
			jump(t, &jumper{window: w, charge: []sallyport.Charge{{Limit: limit, Windows: []sallyport.Window{w}}}}, c.width, c.again)
		})
	}
}

// jumps are what the clock does, one after the other.
var jumps = []struct {
	name  string
	ahead time.Duration // of what it was at first
}{{"an hour ahead", time.Hour}, {"an hour back", 0}, {"two seconds back", -2 * time.Second}}

func jump(t *testing.T, j *jumper, width time.Duration, again []int) {
	server, clock := testenv.StartRedisWithClock(t)
	// At the start it is 10:00:10 for all: no window ends by itself before the test does.
	morning := time.Now().Truncate(24 * time.Hour).Add(34*time.Hour + 10*time.Second)
	base := time.Until(morning)
	clock.Set(base)
	counters := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	j.crowd = &crowd{counters: counters, seen: j.hear, call: func(string) ratelimit.Call {
		return ratelimit.Call{
			Now: time.Now().Add(base), Hits: 1, Charges: j.charge, Subject: &sallyport.Subject{API: "orders", Tenant: "t1", Credential: "k1"},
		}
	}}
	j.crowd.gather(t, "1", "2", "3", "4")
	j.settle(t, "at first", 0, int(j.window.Max), width)
	for i, one := range jumps {
		so := j.crowd.passed.Load() // all there are: the window is exhausted
		clock.Set(base + one.ahead)
		j.settle(t, one.name, so, again[i], width+2*time.Second)
	}
	j.crowd.disperse()
	// Whoever waits as told passes.
	call := j.crowd.call("1")
	v, err := counters.Take(ctx, call)
	if err != nil || v.Allowed || v.Remaining != 0 {
		t.Fatalf("got %+v, %v; want a refusal", v, err)
	}
	clock.Set(base + jumps[len(jumps)-1].ahead + v.RetryAfter)
	if v, err = counters.Take(ctx, call); err != nil || !v.Allowed {
		t.Errorf("after %v, as told: got %+v, %v; want it allowed", v.RetryAfter, v, err)
	}
}

// settle waits until the window is exhausted, and holds how many passed until then
// but for so many from before, and how long others were told to wait.
func (j *jumper) settle(t *testing.T, when string, so int64, want int, width time.Duration) {
	t.Helper()
	await(t, &j.crowd.refused, int64(len(j.crowd.rounds))+1, "refused "+when) // one more than may be on their way from before
	j.crowd.catchUp(t, 0, when)
	j.mu.Lock()
	j.waits = 0
	j.mu.Unlock()
	j.crowd.catchUp(t, 5, when)
	if n := int(j.crowd.passed.Load() - so); n != want {
		t.Errorf("%s: %d passed, want %d", when, n, want)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.waits <= 0 || j.waits > width {
		t.Errorf("%s: told to wait %v, want at most %v", when, j.waits, width)
	}
	if len(j.strange) > 0 {
		t.Errorf("%s: %q", when, j.strange)
	}
}
