package counterstest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// forms are one window of each kind.
var forms = [...]string{"10/1m", "10/1m sliding", "10/1m+0%", "10/day", "10/month@Asia/Tokyo"}

// others is what the methods beside Take promise.
func others() []promise {
	return []promise{
		{"what is forced counts though it does not fit", func(t *testing.T, tr *trial) {
			each(tr, func(c []sallyport.Charge) {
				tr.take(c, 4)
				tr.must(tr.counters.Force(context.Background(), tr.call(c, 30)))
				if n := tr.used(c); n != 10 {
					t.Errorf("%v: %d used, want all 10", c[0].Windows, n)
				}
				tr.refused(tr.take(c, 1))
				tr.must(tr.counters.Refund(context.Background(), tr.call(c, 23)))
				tr.refused(tr.take(c, 1)) // 11 are still used
				tr.must(tr.counters.Refund(context.Background(), tr.call(c, 2)))
				tr.allowed(tr.take(c, 1), 0)
			})
		}},
		{"a refund leaves no less than nothing used", func(t *testing.T, tr *trial) {
			each(tr, func(c []sallyport.Charge) {
				tr.must(tr.counters.Refund(context.Background(), tr.call(c, 5)))
				tr.allowed(tr.take(c, 4), 6)
				tr.must(tr.counters.Refund(context.Background(), tr.call(c, 1)))
				tr.allowed(tr.take(c, 0), 7)
				tr.must(tr.counters.Refund(context.Background(), tr.call(c, 100)))
				tr.allowed(tr.take(c, 10), 0)
				tr.refused(tr.take(c, 1))
			})
		}},
		{"a refund of two charges of one counter is one", func(t *testing.T, tr *trial) {
			c := charges("10/1m")
			tr.take(c, 8)
			tr.must(tr.counters.Refund(context.Background(), tr.call(append(c, c...), 2)))
			tr.allowed(tr.take(c, 0), 4)
		}},
		{"a reset counter begins anew", func(t *testing.T, tr *trial) {
			each(tr, func(c []sallyport.Charge) {
				tr.take(c, 10)
				tr.must(tr.counters.Reset(context.Background(), tr.call(c, 0)))
				tr.allowed(tr.take(c, 0), 10)
				tr.allowed(tr.take(c, 10), 0)
			})
		}},
		{"a reset leaves other counters alone", func(t *testing.T, tr *trial) {
			one, other := []sallyport.Charge{charge("one", "10/1m")}, []sallyport.Charge{charge("other", "10/1m")}
			tr.take(append(one, other...), 3)
			tr.must(tr.counters.Reset(context.Background(), tr.call(one, 0)))
			tr.allowed(tr.take(one, 0), 10)
			tr.allowed(tr.take(other, 0), 7)
		}},
		{"a look says how each window of each charge stands, in order", looks},
		{"a tally counts whether it fits or not", counts},
		{"a tally gives back no more than there is", func(t *testing.T, tr *trial) {
			tr.tally(5, false, 5)
			tr.tally(2, true, 3)
			tr.tally(9, true, 0)
			tr.tally(1, false, 1)
		}},
		{"a tally saturates", func(t *testing.T, tr *trial) {
			most := tr.options.Most
			tr.tally(most-1, false, most-1)
			tr.tally(5, false, most)
			tr.tally(most, false, most)
			tr.tally(1, true, most-1)
		}},
		{"amounts are exact up to the largest", large},
	}
}

// each runs test with a charge of each kind of window, which share nothing.
func each(tr *trial, test func([]sallyport.Charge)) {
	for _, w := range forms {
		test([]sallyport.Charge{charge(w, w)})
	}
	test([]sallyport.Charge{charge("all", forms[:4]...)})
}

// used is what the first window of the first charge has used.
func (tr *trial) used(c []sallyport.Charge) uint64 {
	tr.Helper()
	standings, err := tr.counters.Look(context.Background(), tr.call(c, 0))
	tr.must(err)
	return standings[0].Used
}

func looks(t *testing.T, tr *trial) {
	a, b := charge("a", "10/1m", "20/1h"), charge("b", "30/1m sliding", "40/1m+50%", "50/day")
	all := []sallyport.Charge{b, a, b}
	tr.take(all[:2], 4)
	tr.at(10 * time.Second)
	got, err := tr.counters.Look(context.Background(), tr.call(all, 0))
	tr.must(err)
	day := epoch.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	minute, hour := epoch.Add(time.Minute), epoch.Add(time.Hour)
	of := func(c sallyport.Charge, window int, used, remaining uint64, reset time.Time) ratelimit.Standing {
		return ratelimit.Standing{Limit: c.Limit, Window: c.Windows[window], Used: used, Remaining: remaining, Reset: reset}
	}
	ofB := []ratelimit.Standing{of(b, 0, 4, 26, minute), of(b, 1, 4, 56, minute), of(b, 2, 4, 46, day)}
	want := append(append(ofB, of(a, 0, 4, 6, minute), of(a, 1, 4, 16, hour)), ofB...)
	if len(got) != len(want) {
		t.Fatalf("got %d standings, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if !got[i].Reset.Equal(want[i].Reset) {
			t.Errorf("standing %d resets at %v, want %v", i, got[i].Reset, want[i].Reset)
		}
		if got[i].Reset = want[i].Reset; got[i] != want[i] {
			t.Errorf("standing %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
	tr.at(2 * time.Hour)
	got, err = tr.counters.Look(context.Background(), tr.call(all[:1], 0))
	tr.must(err)
	if got[0].Used != 0 || got[0].Remaining != 30 || !got[0].Reset.Equal(tr.now) {
		t.Errorf("rested: %+v, want nothing used now", got[0])
	}
}

// tally counts hits under one name and fails the test where used is not what
// comes of it.
func (tr *trial) tally(hits uint64, back bool, used uint64) {
	tr.Helper()
	tallies := []ratelimit.Tally{{Key: []byte("tally"), Window: window("3/1m"), Hits: hits, Back: back}}
	tr.must(tr.counters.Count(context.Background(), tr.now, tallies))
	if tallies[0].Used != used {
		tr.Errorf("%d used, want %d", tallies[0].Used, used)
	}
}

func counts(t *testing.T, tr *trial) {
	tr.must(tr.counters.Count(context.Background(), tr.now, nil))
	tr.at(59 * time.Second)
	var tallies []ratelimit.Tally
	for i, length := range []string{"3/1s", "3/1m", "3/1h", "3/1d"} {
		for j := range 3 {
			tallies = append(tallies, ratelimit.Tally{Key: fmt.Appendf(nil, "key\x00{%d}", j), Window: window(length), Hits: uint64(i + j)})
		}
	}
	for round := range uint64(4) {
		tr.must(tr.counters.Count(context.Background(), tr.now, tallies))
		for i := range tallies {
			y := &tallies[i]
			_, end := y.Window.Period(tr.now.Unix(), nil)
			if y.Used != y.Hits*(round+1) || y.Reset.Unix() != end {
				t.Errorf("round %d: %q in %v: %d used until %v, want %d until %v", round, y.Key, y.Window, y.Used, y.Reset, y.Hits*(round+1), end)
			}
		}
	}
	tr.at(time.Minute)
	tr.must(tr.counters.Count(context.Background(), tr.now, tallies))
	for i := range tallies {
		want := tallies[i].Hits
		if tallies[i].Window.Length > time.Minute {
			want *= 5
		}
		if tallies[i].Used != want {
			t.Errorf("a minute later: %q in %v: %d used, want %d", tallies[i].Key, tallies[i].Window, tallies[i].Used, want)
		}
	}
}

func large(t *testing.T, tr *trial) {
	for _, form := range []string{"%d/1h", "%d/1h sliding", "%d/1h+0%%", "%d/month"} {
		c := []sallyport.Charge{charge(form, fmt.Sprintf(form, uint64(sallyport.MaxRate)))}
		tr.at(0)
		tr.allowed(tr.take(c, sallyport.MaxRate-3), 3)
		tr.refused(tr.take(c, 4))
		tr.allowed(tr.take(c, 2), 1)
		tr.refused(tr.take(c, 1<<62))
		tr.allowed(tr.take(c, 1), 0)
		tr.must(tr.counters.Refund(context.Background(), tr.call(c, 1)))
		tr.allowed(tr.take(c, 0), 1)
	}
}
