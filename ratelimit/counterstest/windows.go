package counterstest

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// windows is what the kinds of windows promise as time goes by.
func windows() []promise {
	return []promise{
		{"fixed windows are aligned to the Unix epoch", fixedWindows},
		{"windows of the calendar begin at midnight where the zone says", calendars},
		{"a sliding window never allows more in any of its lengths", slidingWindow},
		{"a bucket gives what is promised of bursts", burstInSteps},
		{"a bucket is greedy-proof over an hour", burstOverAnHour},
		{"a bucket refills evenly", refills},
		{"nobody owes more than a bucket", boundedDebt},
		{"waiting as told is enough, and not too long", waits},
		{"a clock that steps back a little opens no window again", func(t *testing.T, tr *trial) {
			for _, w := range []string{"1/1m", "1/1m sliding", "1/1m+0%"} {
				c := []sallyport.Charge{charge(w, w)}
				tr.at(2 * time.Minute)
				tr.allowed(tr.take(c, 1), 0)
				tr.at(2*time.Minute - 2*time.Second)
				v := tr.take(c, 1)
				tr.refused(v)
				if v.RetryAfter > 62*time.Second {
					t.Errorf("%s: told to wait %v", w, v.RetryAfter)
				}
			}
		}},
		{"a clock that comes back from far ahead keeps nobody waiting there", func(t *testing.T, tr *trial) {
			for _, w := range []string{"1/1m", "1/1m sliding", "1/1m+0%", "1/day"} {
				c := []sallyport.Charge{charge(w, w)}
				tr.at(30 * 24 * time.Hour)
				tr.allowed(tr.take(c, 1), 0)
				tr.at(0)
				if v := tr.take(c, 1); !v.Allowed {
					t.Errorf("%s: %+v", w, v)
				}
			}
		}},
	}
}

func fixedWindows(t *testing.T, tr *trial) {
	c := charges("3/1m", "5/1h")
	for i, s := range []struct {
		at        time.Duration
		allowed   bool
		limit     uint64
		remaining uint64
		reset     time.Duration // from the epoch
		retry     time.Duration
	}{
		{0, true, 3, 2, time.Minute, 0},
		{0, true, 3, 1, time.Minute, 0},
		{10 * time.Second, true, 3, 0, time.Minute, 0},
		{10*time.Second + time.Millisecond, false, 3, 0, time.Minute, 50 * time.Second},
		{59*time.Second + 999*time.Millisecond, false, 3, 0, time.Minute, time.Second},
		{60 * time.Second, true, 5, 1, time.Hour, 0},
		{61 * time.Second, true, 5, 0, time.Hour, 0},
		{62 * time.Second, false, 5, 0, time.Hour, time.Hour - 62*time.Second},
		{time.Hour, true, 3, 2, time.Hour + time.Minute, 0},
	} {
		tr.at(s.at)
		v := tr.take(c, 1)
		want := sallyport.Verdict{Known: true, Allowed: s.allowed, Limit: s.limit, Remaining: s.remaining, Reset: epoch.Add(s.reset), RetryAfter: s.retry, Rule: "requests", Window: v.Window}
		if v != want {
			t.Errorf("step %d: got %+v, want %+v", i, v, want)
		}
	}
	tr.set(time.Unix(7*1_000_000-1, 0)) // a length that divides neither minute nor hour
	odd := charges("1/7s")
	tr.allowed(tr.take(odd, 1), 0)
	tr.refused(tr.take(odd, 1))
	tr.set(time.Unix(7*1_000_000, 0))
	tr.allowed(tr.take(odd, 1), 0)
}

func calendars(t *testing.T, tr *trial) {
	const form = "2006-01-02 15:04:05"
	for _, c := range []struct {
		window     string
		zone       string
		last, next string // of one period and of the next
		end        string // of the next
	}{
		{"1/day", "UTC", "2026-11-22 23:59:59", "2026-11-23 00:00:00", "2026-11-24 00:00:00"},
		{"1/week", "UTC", "2026-11-22 23:59:59", "2026-11-23 00:00:00", "2026-11-30 00:00:00"}, // Sunday, Monday
		{"1/month", "UTC", "2028-02-29 23:59:59", "2028-03-01 00:00:00", "2028-04-01 00:00:00"},
		{"1/day@Asia/Kolkata", "Asia/Kolkata", "2026-11-22 23:59:59", "2026-11-23 00:00:00", "2026-11-24 00:00:00"},
		// Summer time ends on 25 October 2026 and begins on 29 March.
		{"1/day@Europe/Berlin", "Europe/Berlin", "2026-10-24 23:59:59", "2026-10-25 00:00:00", "2026-10-26 00:00:00"},
		{"1/day@Europe/Berlin", "Europe/Berlin", "2026-10-25 23:59:59", "2026-10-26 00:00:00", "2026-10-27 00:00:00"},
		{"1/day@Europe/Berlin", "Europe/Berlin", "2026-03-28 23:59:59", "2026-03-29 00:00:00", "2026-03-30 00:00:00"},
		{"1/week@America/New_York", "America/New_York", "2026-10-25 23:59:59", "2026-10-26 00:00:00", "2026-11-02 00:00:00"},
		{"1/month@Europe/Berlin", "Europe/Berlin", "2026-09-30 23:59:59", "2026-10-01 00:00:00", "2026-11-01 00:00:00"},
		{"1/month@America/New_York", "America/New_York", "2026-12-31 23:59:59", "2027-01-01 00:00:00", "2027-02-01 00:00:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		tr.must(err)
		var moments [3]time.Time
		for i, text := range []string{c.last, c.next, c.end} {
			moments[i], err = time.ParseInLocation(form, text, zone)
			tr.must(err)
		}
		all := []sallyport.Charge{charge(c.window+c.last, c.window)}
		tr.set(moments[0])
		tr.allowed(tr.take(all, 1), 0)
		if v := tr.take(all, 1); v.Allowed || v.RetryAfter != time.Second {
			t.Errorf("%s: a second before %s: %+v", c.window, c.next, v)
		}
		tr.set(moments[1])
		if v := tr.take(all, 1); !v.Allowed || !v.Reset.Equal(moments[2]) {
			t.Errorf("%s at %s: %+v, want allowed until %s", c.window, c.next, v, c.end)
		}
		if v := tr.take(all, 1); v.Allowed || v.RetryAfter != moments[2].Sub(moments[1]) {
			t.Errorf("%s at %s: %+v, want a refusal until %s", c.window, c.next, v, c.end)
		}
		tr.set(moments[2].Add(-time.Second))
		tr.refused(tr.take(all, 1))
	}
}

func slidingWindow(t *testing.T, tr *trial) {
	c := charges("10/1m sliding")
	tr.at(50 * time.Second)
	tr.allowed(tr.take(c, 6), 4)
	tr.at(70 * time.Second) // a fixed window would have begun anew
	tr.allowed(tr.take(c, 4), 0)
	if v := tr.take(c, 1); v.Allowed || v.RetryAfter != 40*time.Second || !v.Reset.Equal(epoch.Add(130*time.Second)) {
		t.Errorf("got %+v, want a refusal for 40 s", v)
	}
	if v := tr.take(c, 7); v.Allowed || v.RetryAfter != 60*time.Second {
		t.Errorf("for seven: got %+v, want a refusal for 60 s", v)
	}
	tr.at(110*time.Second - time.Microsecond)
	tr.refused(tr.take(c, 1))
	tr.at(110 * time.Second)
	tr.allowed(tr.take(c, 6), 0)
	tr.at(time.Hour)
	tr.allowed(tr.take(c, 10), 0)
}

// C4: a rested caller of 60 a minute with a burst of 15 % makes 69 at once.
func burstInSteps(t *testing.T, tr *trial) {
	c := charges("60/1m+15%")
	for i := range uint64(69) {
		tr.allowed(tr.take(c, 1), 68-i)
	}
	v := tr.take(c, 1)
	tr.refused(v)
	if v.Limit != 69 || v.RetryAfter != time.Minute {
		t.Errorf("the 70th: %+v, want a refusal for a minute: 69 were made in it", v)
	}
	tr.at(time.Minute - time.Microsecond)
	tr.refused(tr.take(c, 1))
	tr.at(time.Minute)
	tr.allowed(tr.take(c, 60), 0) // what came back in a minute
	tr.at(3 * time.Minute)
	tr.allowed(tr.take(c, 69), 0)
}

// C4: over an hour at most 3,609 pass, and never more than 69 in any minute,
// however greedy. The bucket alone would let some 3,668 pass, a token each second
// besides the first 69: the hour has a window of its own.
func burstOverAnHour(t *testing.T, tr *trial) {
	c := charges("60/1m+15%", "3609/1h sliding")
	var passed []time.Duration
	for at := time.Duration(0); at < time.Hour; at += 333 * time.Millisecond {
		tr.at(at)
		if tr.take(c, 1).Allowed {
			passed = append(passed, at)
		}
	}
	if n := len(passed); n > 3609 || n < 3500 {
		t.Errorf("%d passed in an hour, want nearly 3,609 and no more", n)
	}
	for i := 69; i < len(passed); i++ {
		if gap := passed[i] - passed[i-69]; gap < time.Minute {
			t.Fatalf("70 passed within %v, at %v", gap, passed[i])
		}
	}
}

// boundedDebt: what a limit in shadow let pass, or a bigger plan, is forgotten as
// soon as a bucket that was just emptied would be full again.
func boundedDebt(t *testing.T, tr *trial) {
	c := charges("60/1m+15%")
	shadow := charges("60/1m+15%")
	loud := *shadow[0].Limit
	loud.Shadow = true
	shadow[0].Limit = &loud
	for i := range 60 {
		tr.at(time.Duration(i) * time.Second)
		tr.take(shadow, 100)
	}
	tr.at(3 * time.Minute)
	if v := tr.take(c, 60); !v.Allowed {
		t.Errorf("two minutes after 6,000 in shadow: %+v", v)
	}
}

func refills(t *testing.T, tr *trial) {
	c := charges("60/1m+50%")
	tr.allowed(tr.take(c, 30), 60)
	tr.at(10*time.Second + 500*time.Millisecond)
	tr.allowed(tr.take(c, 0), 60) // 90 a minute less the 30 of this one
	tr.at(time.Minute)
	tr.allowed(tr.take(c, 90), 0)
	tr.at(2 * time.Minute)
	tr.allowed(tr.take(c, 0), 60)
	tr.at(2*time.Minute + 10*time.Second)
	tr.allowed(tr.take(c, 0), 70)
	tr.at(2*time.Minute + 10*time.Second + 999*time.Millisecond)
	tr.allowed(tr.take(c, 0), 70)
	tr.at(2*time.Minute + 11*time.Second)
	tr.allowed(tr.take(c, 0), 71)
}

// waits: RetryAfter is enough if nobody else spends, not more than a second too
// long, and never longer than the window.
func waits(t *testing.T, tr *trial) {
	for _, w := range []string{"5/20s", "5/20s sliding", "5/20s+40%", "5/20s+0%"} {
		c := []sallyport.Charge{charge(w, w)}
		for step := range 60 {
			hits := uint64(1 + step%3)
			v := tr.take(c, hits)
			if !v.Allowed {
				now := tr.now
				if v.RetryAfter > 20*time.Second || v.RetryAfter < time.Second {
					t.Fatalf("%s: told to wait %v", w, v.RetryAfter)
				}
				if v.RetryAfter > time.Second {
					tr.set(now.Add(v.RetryAfter - time.Second - time.Microsecond))
					tr.refused(tr.foresee(c, hits))
				}
				tr.set(now.Add(v.RetryAfter))
				if v := tr.take(c, hits); !v.Allowed {
					t.Fatalf("%s: waited as told, and got %+v", w, v)
				}
			}
			tr.set(tr.now.Add(time.Duration(step%7) * 370 * time.Millisecond))
		}
	}
}
