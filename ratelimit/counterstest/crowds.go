package counterstest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// crowds is what holds when many ask at once.
func crowds() []promise {
	return []promise{
		{"exactly as many pass as are allowed", exact},
		{"concurrent retries count once", concurrentRetries},
		{"concurrent tallies miss nothing", func(t *testing.T, tr *trial) {
			tr.crowd(func(c ratelimit.Counters, i int) {
				tallies := []ratelimit.Tally{{Key: []byte("a"), Window: window("3/1h"), Hits: 2}, {Key: []byte("b"), Window: window("3/1h"), Hits: 1}}
				if err := c.Count(context.Background(), tr.now, tallies); err != nil {
					t.Error(err)
				}
			})
			tallies := []ratelimit.Tally{{Key: []byte("a"), Window: window("3/1h")}}
			tr.must(tr.counters.Count(context.Background(), tr.now, tallies))
			if tallies[0].Used != 2*members*asks {
				t.Errorf("%d counted, want %d", tallies[0].Used, 2*members*asks)
			}
		}},
		{"takes over counters in any order wait for nobody for ever", func(t *testing.T, tr *trial) {
			tr.crowd(func(c ratelimit.Counters, i int) {
				var all []sallyport.Charge
				for j := range 5 {
					all = append(all, charge(fmt.Sprint("limit-", (i*7+j*j*(1+i%4))%11), "1000000/1m"))
				}
				if _, err := c.Take(context.Background(), tr.call(all, 1)); err != nil {
					t.Error(err)
				}
			})
		}},
	}
}

const (
	members = 64
	asks    = 16
)

// crowd has members ask asks times at once, those with odd numbers another
// instance where there is one. Every call of ask has its own i.
func (tr *trial) crowd(ask func(c ratelimit.Counters, i int)) {
	instances := []ratelimit.Counters{tr.counters, tr.counters}
	if t, ok := tr.test.(*testing.T); ok && tr.options.Twin != nil {
		instances[1] = tr.options.Twin(t, tr.counters)
	}
	var wg sync.WaitGroup
	for member := range members {
		wg.Go(func() {
			for i := range asks {
				ask(instances[member%2], member*asks+i)
			}
		})
	}
	wg.Wait()
}

// G7: N allowed means that exactly N of any number of concurrent requests pass.
func exact(t *testing.T, tr *trial) {
	for _, w := range forms {
		text := "300" + strings.TrimPrefix(w, "10")
		all := []sallyport.Charge{charge("narrow"+w, text), charge("wide"+w, "100000/1h", "100000/1h sliding")}
		var passed atomic.Uint64
		tr.crowd(func(c ratelimit.Counters, i int) {
			v, err := c.Take(context.Background(), tr.call(all, 1))
			switch {
			case err != nil:
				t.Error(err)
			case v.Allowed:
				passed.Add(1)
			}
		})
		if passed.Load() != 300 {
			t.Errorf("%s: %d passed, want 300", text, passed.Load())
		}
		if n := tr.used(all[1:]); n != 300 {
			t.Errorf("%s: the wide limit has %d used, want 300", text, n)
		}
	}
}

func concurrentRetries(t *testing.T, tr *trial) {
	c := charges("100000/1h")
	tr.crowd(func(counters ratelimit.Counters, i int) {
		call := tr.call(c, 1)
		call.SID = fmt.Sprint("sid-", i%(members*asks/2)) // members that ask at the same time share them
		if _, err := counters.Take(context.Background(), call); err != nil {
			t.Error(err)
		}
	})
	if n := tr.used(c); n != members*asks/2 {
		t.Errorf("%d used, want %d: each request was sent twice", n, members*asks/2)
	}
}
