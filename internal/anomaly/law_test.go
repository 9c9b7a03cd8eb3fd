package anomaly

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// oracle counts as the definition has it: by a list of all events, looked through
// each time.
type oracle struct {
	rule   sallyport.Anomaly
	events []event
	told   int64
}

// within counts what happened less than length before at.
func (o *oracle) within(at int64, length time.Duration) uint64 {
	return o.count(func(e event) bool { return at-e.at < int64(length) })
}

// sliced counts what is in the slice of at and those before it that count.
func (o *oracle) sliced(at int64) uint64 {
	slice := int64(o.rule.In) / parts
	return o.count(func(e event) bool { return e.at/slice > at/slice-parts })
}

func (o *oracle) count(recent func(event) bool) (n uint64) {
	seen := map[network]bool{}
	for _, e := range o.events {
		if !recent(e) || o.rule.Of == sallyport.MeasureNetworks && seen[e.network] {
			continue
		}
		seen[e.network] = true
		n++
	}
	return n
}

// holds is the count that the rule is judged by.
func (o *oracle) holds(at int64) uint64 {
	if o.rule.Of == sallyport.MeasureNetworks {
		return min(o.within(at, o.rule.In), o.rule.Over+1)
	}
	return o.sliced(at)
}

// add returns the crossing that e makes, if any.
func (o *oracle) add(e event) (count uint64, crossed bool) {
	if o.rule.Of == sallyport.MeasureRefusals && !e.refused || o.rule.Of != sallyport.MeasureRefusals && !e.request ||
		o.rule.Of == sallyport.MeasureNetworks && e.network == 0 {
		return 0, false
	}
	if o.holds(e.at) <= o.rule.Over {
		o.told = 0
	}
	o.events = append(o.events, e)
	count = o.holds(e.at)
	if count <= o.rule.Over || o.told != 0 && e.at-o.told < int64(o.rule.In) {
		return count, false
	}
	o.told = e.at
	return count, true
}

// The law: whatever happens, in whatever order, a Watch tells exactly the
// crossings that a list of all events tells.
func TestTheWatchAgreesWithAListOfAllEvents(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 4))
		var rules []sallyport.Anomaly
		for i := range 1 + r.IntN(5) {
			rules = append(rules, sallyport.Anomaly{
				Name: fmt.Sprintf("rule-%d", i), Of: sallyport.Measure(1 + r.IntN(3)), Over: 1 + r.Uint64N(12),
				In: time.Duration(1+r.IntN(90)) * time.Second, Action: sallyport.Action(1 + r.IntN(3)),
			})
		}
		h := newHarness(rules...)
		oracles, asked := map[string][]*oracle{}, map[string]bool{}
		for step := range 400 {
			h.pass(time.Duration(r.Int64N(int64(3 * time.Second))))
			if r.IntN(60) == 0 {
				h.pass(time.Duration(r.Int64N(int64(2 * time.Minute))))
			}
			id := fmt.Sprintf("key_%d", r.IntN(2))
			if oracles[id] == nil {
				for _, rule := range rules {
					oracles[id] = append(oracles[id], &oracle{rule: rule})
				}
			}
			e := event{at: h.now.UnixNano(), request: !asked[id] || r.IntN(4) > 0}
			asked[id] = true // the rate limit service tells of nobody first
			e.refused = !e.request || r.IntN(2) == 0
			address := fmt.Sprintf("192.0.%d.%d", r.IntN(15), r.IntN(256))
			e.network = networkOf(address)
			if e.request {
				h.request(key1(id), address, e.refused)
			} else {
				h.refusedLater(id)
			}
			var want []string
			for _, o := range oracles[id] {
				if count, crossed := o.add(e); crossed {
					want = append(want, fmt.Sprintf("%s %s %d", id, o.rule.Name, count))
				}
				if n, lower, upper := o.holds(e.at), o.within(e.at, o.rule.In/parts*(parts-1)), o.within(e.at, o.rule.In); o.rule.Of != sallyport.MeasureNetworks && (n < lower || n > upper) {
					t.Fatalf("seed %d step %d: %d counted, want %d to %d", seed, step, n, lower, upper)
				}
			}
			got := h.crossings()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d step %d: got %q, want %q; rules %+v", seed, step, got, want, rules)
			}
		}
	}
}

// The networks of a list are those that were seen last, whatever has been seen.
func TestNetworksAreThoseSeenLast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var n networks
	var all []sighting // by when they were seen
	for at := int64(1); at < 20_000; at++ {
		one := network(1 + r.IntN(40))
		all = append(slices.DeleteFunc(all, func(s sighting) bool { return s.network == one }), sighting{network: one, at: at})
		n.see(one, at, 20)
		all = all[max(0, len(all)-20):]
		if r.IntN(30) == 0 {
			until := at - int64(r.IntN(30))
			n.forget(until)
			all = slices.DeleteFunc(all, func(s sighting) bool { return s.at <= until })
		}
		if n.count() != len(all) || n.size() > 20 {
			t.Fatalf("%d of %d, want %d", n.count(), n.size(), len(all))
		}
		for _, s := range all {
			if i, ok := n.place[s.network]; !ok || n.seen[i].at != s.at {
				t.Fatalf("at %d: network %d is not there, or of another time", at, s.network)
			}
		}
	}
}
