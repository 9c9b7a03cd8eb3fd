package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// What is to be reached: the whole that fused adds to Envoy alone beside what
// paired adds, and sallyport's own part beside an empty Check in its place.
const (
	fusedBar  = 0.65
	hollowBar = 0.8
)

// chainRate is how many requests a second come while latency is measured: few
// enough that a small machine has rest between them.
const chainRate = 300

// restless is the median of latencies above which they are the machine's.
const restless = 5 * time.Millisecond

// costs are what one request of a way cost, by round.
type costs struct{ envoy, gate []time.Duration }

// whole is what a request costs on its way, both together.
func (c costs) whole() time.Duration { return lowerQuartile(c.envoy) + lowerQuartile(c.gate) }

// spread is that of both together.
func (c costs) spread() float64 {
	sums := slices.Clone(c.envoy)
	for i, gate := range c.gate {
		sums[i] += gate
	}
	return spread(sums)
}

// costResult is what a closed loop of load tells of all ways.
type costResult struct {
	costs []costs
	calls int     // of one round
	wait  float64 // how long servers stood in line for a core, by their CPU
}

// measureCosts puts a closed loop of load on all ways in turn, for about budget.
func measureCosts(ctx context.Context, all []*traffic, rounds int, budget time.Duration) (r costResult, err error) {
	const warmUp, least, most = 400, 100, 10_000
	begin := time.Now()
	for _, t := range all {
		if _, err := t.run(warmUp); err != nil {
			return r, errors.Join(ctx.Err(), err)
		}
	}
	pace := time.Since(begin) / warmUp // one request on each way
	r.calls = min(max(int(budget/time.Duration(rounds)/pace)-costSlices*costWarmUp, least), most)
	r.costs = make([]costs, len(all))
	waited, spent := time.Duration(0), time.Duration(0)
	for range rounds {
		sums, err := costRound(all, r.calls)
		if err != nil {
			return r, errors.Join(ctx.Err(), err)
		}
		for i, sum := range sums {
			r.costs[i].envoy = append(r.costs[i].envoy, sum.envoy/time.Duration(r.calls))
			r.costs[i].gate = append(r.costs[i].gate, sum.gate/time.Duration(r.calls))
			spent += sum.envoy + sum.gate
			waited += sum.queued
		}
	}
	r.wait = float64(waited) / float64(max(spent, 1))
	return r, nil
}

// A round of each way is cut into slices, each of which begins with calls that
// do not count.
const (
	costSlices = 4
	costWarmUp = 2 * inFlight
)

// costRound makes calls on every way and returns what they cost.
func costRound(all []*traffic, calls int) ([]cost, error) {
	sums := make([]cost, len(all))
	err := inTurn(costSlices, len(all), func(slice, i int) error {
		if _, err := all[i].run(costWarmUp); err != nil {
			return err
		}
		spent, err := all[i].run(calls*(slice+1)/costSlices - calls*slice/costSlices)
		sums[i].envoy += spent.envoy
		sums[i].gate += spent.gate
		sums[i].queued += spent.queued
		return err
	})
	return sums, err
}

// measureDelays puts an open loop of load on all ways in turn, for about
// budget, and returns how long requests took by way.
func measureDelays(ctx context.Context, all []*traffic, rounds int, budget time.Duration) ([][]time.Duration, error) {
	const settle, least = chainRate / 20, chainRate / 10
	alarm, err := newAlarm()
	if err != nil {
		return nil, err
	}
	defer alarm.close()
	stretch := budget / time.Duration(rounds*len(all))
	p := pace{every: time.Second / chainRate, settle: settle}
	p.calls = max(int(stretch/p.every)-settle, least)
	found := make([][]time.Duration, len(all))
	err = inTurn(rounds, len(all), func(_, i int) error {
		took, err := all[i].paced(p, alarm.wait)
		found[i] = append(found[i], took...)
		return err
	})
	if err != nil {
		return nil, errors.Join(ctx.Err(), err)
	}
	return found, nil
}

// chainFinding makes lines of both tables of what was measured on ways.
func chainFinding(ways []way, r costResult, delays [][]time.Duration) (f finding) {
	of := make(map[way]costs)
	for i, w := range ways {
		of[w] = r.costs[i]
	}
	f.compareAdded(of, way{filters: fused}, way{filters: paired}, fusedBar)
	empty, ours := of[way{filters: hollow}], of[way{filters: fused}]
	f.rows = append(f.rows, row{
		measure:  "chain, CPU: sallyport in fused ÷ an empty Check in its place",
		baseline: lowerQuartile(empty.gate), measured: lowerQuartile(ours.gate),
		spread: [2]float64{spread(empty.gate), spread(ours.gate)}, bar: hollowBar,
	})
	for _, w := range ways {
		switch {
		case w.filters == fused && w.setting() != "":
			f.compareAdded(of, w, w.with(paired), 0)
		case w.filters == native:
			f.compareAdded(of, w.with(fused), w, 0)
			f.compareAdded(of, w.with(paired), w, 0)
		}
	}
	f.note("chain: %d requests a round on each way; Envoy and those it asks waited %.0f %% of their CPU time for a core", r.calls, 100*r.wait)
	if slow := slices.IndexFunc(delays, func(took []time.Duration) bool { return quantile(took, 0.5) > restless }); slow >= 0 {
		f.note("  Half of the requests of %s took longer than %s: the machine was busy with other things, or too slow for the pace.", ways[slow], restless)
	}
	f.notes = append(f.notes, chainTable(ways, of, delays)...)
	return f
}

// compareAdded adds the line that divides what w adds to Envoy alone by what
// base adds. Where one adds nothing, which is noise, there is no ratio, and no
// bar is met.
func (f *finding) compareAdded(of map[way]costs, w, base way, bar float64) {
	r := row{
		measure:  fmt.Sprintf("chain, CPU added: %s ÷ %s%s", w.filters, base.filters, w.setting()),
		baseline: added(of, base), measured: added(of, w),
		spread: [2]float64{of[base].spread(), of[w].spread()}, bar: bar,
	}
	if r.baseline <= 0 || r.measured <= 0 {
		f.note("%s: %s and %s µs cannot be: the machine was too busy with other things.", r.measure, micros(r.measured), micros(r.baseline))
		r.baseline, r.measured = 0, 0
	}
	f.rows = append(f.rows, r)
}

// added is what w costs above Envoy alone in the same setting.
func added(of map[way]costs, w way) time.Duration { return of[w].whole() - of[w.with(bare)].whole() }

// chainTable is a line for each way.
func chainTable(ways []way, of map[way]costs, delays [][]time.Duration) []string {
	var text strings.Builder
	fmt.Fprintln(&text, "\nThe chain: client → Envoy → upstream. Where a line does not say otherwise: a Unix socket to sallyport, one worker, clients by HTTP/1.1.")
	fmt.Fprintln(&text, "Envoy's own filters are api_key_auth and local_ratelimit. Asked is sallyport, or the empty Check in its place.")
	fmt.Fprintf(&text, "CPU of a request with %d on the way at a time; latency at %d requests a second, from when a request was due.\n", inFlight, chainRate)
	t := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| case\t| Envoy µs\t| asked µs\t| sum µs\t| added µs\t| p50 ms\t| p99 ms\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for i, w := range ways {
		c := of[w]
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", w, micros(lowerQuartile(c.envoy)), micros(lowerQuartile(c.gate)),
			micros(c.whole()), micros(added(of, w)), millis(quantile(delays[i], 0.5)), millis(quantile(delays[i], 0.99)))
	}
	t.Flush() // a strings.Builder does not fail
	return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond)) }
