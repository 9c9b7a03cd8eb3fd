package counterstest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// takes is what Take promises, with time standing still.
func takes() []promise {
	return []promise{
		{"without charges there is nothing to tell", func(t *testing.T, tr *trial) {
			if v := tr.take(nil, 1); v != (sallyport.Verdict{Allowed: true}) {
				t.Errorf("got %+v", v)
			}
		}},
		{"a take is all or none over charges and windows", allOrNone},
		{"hits count as many as they are", func(t *testing.T, tr *trial) {
			c := charges("10/1m", "100/1h")
			tr.allowed(tr.take(c, 7), 3)
			tr.refused(tr.take(c, 4))
			tr.allowed(tr.take(c, 3), 0)
			tr.refused(tr.take(c, 1))
		}},
		{"looking takes nothing and is never refused", func(t *testing.T, tr *trial) {
			for _, w := range []string{"1/1m", "1/1m sliding", "1/1m+0%", "1/day"} {
				c := charges(w)
				tr.allowed(tr.take(c, 0), 1)
				tr.allowed(tr.take(c, 0), 1)
				tr.allowed(tr.take(c, 1), 0)
				tr.allowed(tr.take(c, 0), 0)
				tr.refused(tr.take(c, 1))
			}
		}},
		{"a dry take tells what a take would, and takes nothing", dryTakes},
		{"a retried sid counts once, on the same counters", retries},
		{"a sid is forgiven three times", func(t *testing.T, tr *trial) {
			call := tr.call(charges("60/1m"), 1)
			call.SID = "sid"
			for i, want := range []uint64{59, 59, 59, 59, 58, 58, 58, 58, 57} {
				if v := tr.do(call); v.Remaining != want {
					t.Fatalf("call %d: %d remaining, want %d", i+1, v.Remaining, want)
				}
			}
		}},
		{"a sid is forgotten after some seconds", func(t *testing.T, tr *trial) {
			call := tr.call(charges("60/1h"), 1)
			call.SID = "sid"
			tr.allowed(tr.do(call), 59)
			tr.at(4 * time.Second)
			call.Now = tr.now
			tr.allowed(tr.do(call), 59)
			tr.at(6 * time.Second)
			call.Now = tr.now
			tr.allowed(tr.do(call), 58)
		}},
		{"a refused sid is not forgiven later", func(t *testing.T, tr *trial) {
			call := tr.call(charges("1/1m"), 1)
			tr.do(call)
			call.SID = "sid"
			tr.refused(tr.do(call))
			tr.refused(tr.do(call))
		}},
		{"two charges of one counter are taken once", func(t *testing.T, tr *trial) {
			c := charges("10/1m")
			tr.allowed(tr.take(append(c, c...), 1), 9)
			tr.allowed(tr.take(c, 0), 9)
		}},
		{"a plan without windows gets nothing", noWindows},
		{"subjects do not share counters", notShared},
		{"the window with the fewest remaining is told, of equals the later reset", toldWindow},
		{"of exhausted windows the last to let a retry pass is told", toldRefusal},
		{"a limit in shadow counts and refuses nothing", shadows},
		{"a changed maximum goes on with what was used", changedMaximum},
	}
}

func allOrNone(t *testing.T, tr *trial) {
	narrow := charge("narrow", "2/1m", "3/1h")
	wide := sallyport.Charge{Limit: &sallyport.Limit{Name: "wide", Per: []string{"tenant"}}, Windows: []sallyport.Window{window("10/1h"), window("20/1m sliding"), window("30/1m+0%")}}
	for range 20 {
		tr.take([]sallyport.Charge{narrow, wide}, 1)
		tr.take([]sallyport.Charge{wide, narrow}, 1)
	}
	if n := tr.left([]sallyport.Charge{wide}); n != 8 {
		t.Errorf("the wide limit has %d remaining, want 8: two passed", n)
	}
	if n := tr.left([]sallyport.Charge{charge("narrow", "3/1h")}); n != 1 {
		t.Errorf("the hour has %d remaining, want 1: the minute refused the others", n)
	}
}

func dryTakes(t *testing.T, tr *trial) {
	for _, w := range []string{"2/1m", "2/1m sliding", "2/1m+0%", "2/month"} {
		c := charges(w)
		for range 3 {
			would := tr.foresee(c, 1)
			is := tr.take(c, 1)
			// A real take tells a later reset, since it is later that all comes
			// back; all else is the same.
			if is.Window.Algorithm != sallyport.Fixed && is.Allowed {
				would.Reset = is.Reset
			}
			if is != would {
				t.Errorf("%s: a take said %+v, and a dry one before it %+v", w, is, would)
			}
		}
	}
}

func retries(t *testing.T, tr *trial) {
	c, other := charges("60/1m", "1000/1h"), charge("other", "60/1m")
	call := func(credential, sid string, c []sallyport.Charge) uint64 {
		one := tr.call(c, 1)
		one.Subject, one.SID = subject(credential), sid
		return tr.do(one).Remaining
	}
	for range 3 {
		if n := call("k1", "sid-1", c); n != 59 {
			t.Errorf("a retry was charged: %d remaining, want 59", n)
		}
	}
	if n := call("k2", "sid-1", c); n != 59 {
		t.Errorf("another key's request with the same sid: %d remaining, want 59", n)
	}
	if n := call("k1", "sid-2", c); n != 58 {
		t.Errorf("another request of the key: %d remaining, want 58", n)
	}
	if n := call("k1", "sid-1", []sallyport.Charge{other}); n != 59 {
		t.Errorf("the same sid on another counter: %d remaining, want 59", n)
	}
	for range 300 {
		call("k1", "sid-3", c)
	}
	if n := call("k1", "sid-4", c); n != 0 {
		t.Errorf("300 requests under one sid left %d of 60", n)
	}
}

func noWindows(t *testing.T, tr *trial) {
	none, some := charge("none"), charge("some", "5/1m")
	v := tr.take([]sallyport.Charge{some, none}, 1)
	tr.refused(v)
	if v.Rule != "none" || v.Limit != 0 || v.Remaining != 0 || v.RetryAfter < time.Second || v.RetryAfter > time.Hour {
		t.Errorf("told %+v", v)
	}
	tr.allowed(tr.take([]sallyport.Charge{some}, 0), 5)
	if v := tr.take([]sallyport.Charge{none}, 0); !v.Allowed || !v.Known || v.Remaining != 0 {
		t.Errorf("looking: %+v", v)
	}
	none.Limit.Shadow = true
	if v := tr.take([]sallyport.Charge{none}, 1); !v.Allowed {
		t.Errorf("in shadow: %+v", v)
	}
}

func notShared(t *testing.T, tr *trial) {
	limit := &sallyport.Limit{Name: "l", Per: []string{"tenant", "credential"}}
	c := []sallyport.Charge{{Limit: limit, Windows: []sallyport.Window{window("1/1h")}}}
	for _, p := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"abc", ""}, {"", "abc"}, {"a\x02b", "c"}, {"a", "\x02bc"}, {"{a}", "b"}, {"{", "a}b"}} {
		call := tr.call(c, 1)
		call.Subject = &sallyport.Subject{API: "orders", Tenant: p[0], Credential: p[1]}
		if v := tr.do(call); !v.Allowed {
			t.Errorf("%q shares a counter", p)
		}
		call.Subject = &sallyport.Subject{API: "orders2", Tenant: p[0], Credential: p[1]}
		if v := tr.do(call); !v.Allowed {
			t.Errorf("%q shares a counter with another api's", p)
		}
	}
}

func toldWindow(t *testing.T, tr *trial) {
	for i, c := range []struct {
		windows []string
		told    string
		reset   time.Duration
	}{
		{[]string{"3/1m", "5/1h"}, "3/1m", time.Minute},
		{[]string{"5/1m", "3/1h"}, "3/1h", time.Hour},
		{[]string{"3/1m", "3/1h"}, "3/1h", time.Hour},
		{[]string{"3/1h", "3/1m"}, "3/1h", time.Hour},
		{[]string{"3/1m", "3/1m sliding", "4/1h+0%"}, "", time.Minute},
		{[]string{"4/1m", "3/1m+100%"}, "4/1m", time.Minute},
		{[]string{"9/1h", "4/1m+25%"}, "4/1m+25%", time.Minute},
	} {
		name := fmt.Sprint("limit-", i)
		v := tr.take([]sallyport.Charge{charge(name, c.windows...)}, 1)
		if !v.Known || !v.Allowed || v.Rule != name || v.RetryAfter != 0 || c.told != "" && v.Window.String() != c.told ||
			v.Limit != v.Window.Size() || v.Remaining != v.Limit-1 || !v.Reset.Equal(epoch.Add(c.reset)) {
			t.Errorf("%v: told %+v", c.windows, v)
		}
	}
}

func toldRefusal(t *testing.T, tr *trial) {
	for i, c := range []struct {
		windows []string
		told    string
		retry   time.Duration
	}{
		{[]string{"1/1m", "1/1h"}, "1/1h", time.Hour},
		{[]string{"1/1m", "2/1h"}, "1/1m", time.Minute},
		{[]string{"1/1m sliding", "1/30s"}, "1/1m sliding", time.Minute},
		{[]string{"2/1m+0%", "1/20s", "9/1h"}, "1/20s", 20 * time.Second},
		{[]string{"1/10s", "1/1h sliding", "1/1m+0%"}, "1/1h sliding", time.Hour},
	} {
		all := []sallyport.Charge{charge(fmt.Sprint("limit-", i), c.windows...)}
		tr.take(all, 1)
		v := tr.take(all, 1)
		tr.refused(v)
		if v.Window.String() != c.told || v.RetryAfter != c.retry || v.Remaining != 0 || !v.Reset.Equal(epoch.Add(c.retry)) {
			t.Errorf("%v: told %+v, want %s and %v", c.windows, v, c.told, c.retry)
		}
	}
}

func shadows(t *testing.T, tr *trial) {
	for i, w := range []string{"1/1m", "1/1m sliding", "1/1m+0%"} {
		dark, real := charge(fmt.Sprint("dark-", i), w), charge(fmt.Sprint("real-", i), "3/1m")
		dark.Limit.Shadow = true
		both := []sallyport.Charge{real, dark}
		for j, want := range []string{"", dark.Limit.Name, dark.Limit.Name} {
			if v := tr.take(both, 1); !v.Allowed || v.Shadow != want || v.Rule != real.Limit.Name {
				t.Errorf("%s: take %d: got %+v, want the shadow of %q", w, j+1, v, want)
			}
		}
		tr.refused(tr.take(both, 1))
		if v := tr.take([]sallyport.Charge{dark}, 1); v.Known || !v.Allowed || v.Shadow != dark.Limit.Name {
			t.Errorf("%s: alone: %+v, want nothing told", w, v)
		}
		standing, err := tr.counters.Look(context.Background(), tr.call([]sallyport.Charge{dark}, 0))
		tr.must(err)
		if len(standing) != 1 || standing[0].Remaining != 0 {
			t.Errorf("%s: stands at %+v, want none remaining", w, standing)
		}
	}
}

func changedMaximum(t *testing.T, tr *trial) {
	for _, form := range []string{"%d/1m", "%d/1m sliding", "%d/1m+0%%", "%d/week"} {
		tr.allowed(tr.take(charges(fmt.Sprintf(form, 10)), 8), 2)
		tr.allowed(tr.take(charges(fmt.Sprintf(form, 100)), 1), 91)
		tr.refused(tr.take(charges(fmt.Sprintf(form, 9)), 1))
		if n := tr.left(charges(fmt.Sprintf(form, 5))); n != 0 {
			t.Errorf("%s: %d of 5 remaining after 9 were used", form, n)
		}
	}
}
