package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What ShouldRateLimit may cost, as the design says.
const (
	limitBar     = 0.9 // of an empty one on a default grpc-go server
	rivalBar     = 0.4 // of envoyproxy/ratelimit, both with their Redis
	leasingBar   = 0.2 // the same with quota leased
	manyRulesBar = 1.1 // of what it costs with 10 rules
	fourBar      = 1.5 // of what one descriptor in a call costs
)

// comparison is one thing to measure: servers of which the first is the baseline.
type comparison struct {
	shape   shape
	servers []*server
}

// limitsPart compares ShouldRateLimit with an empty one, and with
// envoyproxy/ratelimit.
func limitsPart(ctx context.Context, o options, dir string) (finding, error) {
	var found finding
	if o.sallyport == "" {
		found.note("Limits were not measured: there is no sallyport to start.")
		return found, nil
	}
	ls := &limiters{dir: dir}
	defer ls.stop()
	if err := ls.start(ctx, o); err != nil {
		return found, err
	}
	for _, l := range []*limiter{ls.memory, ls.redis, ls.leasing, ls.rival} {
		if l == nil {
			continue
		}
		for _, rules := range ruleCounts {
			if err := l.counts(ctx, rules); err != nil {
				return found, l.asked("a limit of one", onceAsk(rules), 0).fault(err)
			}
		}
	}
	all := slices.DeleteFunc(ls.comparisons(), func(c comparison) bool { return !strings.Contains(c.shape.String(), o.match) })
	for _, c := range all {
		r, err := measure(ctx, c.servers, c.shape, o.rounds, o.budget/time.Duration(len(all)))
		if err != nil {
			return found, fmt.Errorf("%s: %w", c.shape, err)
		}
		found.add(r.finding(c.servers))
	}
	found.add(ls.notes)
	return found, ls.gatherProfiles(ctx, o)
}

// gatherProfiles has the gates tell where their time goes, where that was asked
// for.
func (ls *limiters) gatherProfiles(ctx context.Context, o options) error {
	if o.profile == "" {
		return nil
	}
	for name, l := range map[string]*limiter{"memory": ls.memory, "redis": ls.redis, "leasing": ls.leasing} {
		if l == nil {
			continue
		}
		to := o
		to.profile = filepath.Join(o.profile, name)
		if err := gatherProfiles(ctx, to, l.gate, l.asked(name, ruleAsk(ruleCounts[0], 1), 0), busyLimits(name)); err != nil {
			return err
		}
	}
	return nil
}

func (ls *limiters) comparisons() []comparison {
	all := ls.besideEmpty()
	all = append(all, comparison{busyLimits("ShouldRateLimit, in-process counters"), rulesOf(ls.memory, manyRulesBar, fourBar)})
	if ls.redis != nil {
		all = append(all, comparison{busyLimits("ShouldRateLimit, Redis"), rulesOf(ls.redis, 0, 0)})
	}
	if ls.rival != nil {
		all = append(all, ls.besideRival()...)
		all = append(all, comparison{busyLimits("ShouldRateLimit, envoyproxy/ratelimit"), rulesOf(ls.rival, 0, 0)})
	}
	return all
}

// besideEmpty compares the gate with an empty server.
func (ls *limiters) besideEmpty() (all []comparison) {
	for _, one := range []struct {
		call string
		ask  limitAsk
	}{
		{"ShouldRateLimit of the paired chain", pairedAsk()},
		{"ShouldRateLimit by a rule of a directory", ruleAsk(ruleCounts[0], 1)},
	} {
		servers := func(bar float64) []*server {
			return []*server{ls.empty.asked("empty", one.ask.ofEmpty(), 0), ls.memory.asked("÷ empty", one.ask, bar)}
		}
		all = append(all, comparison{busyLimits(one.call), servers(limitBar)}, comparison{calmLimits(one.call), servers(0)})
	}
	return all
}

// besideRival compares the gate with envoyproxy/ratelimit, the Redis of each
// included.
func (ls *limiters) besideRival() []comparison {
	ask := ruleAsk(ruleCounts[0], 1)
	servers := func(bar, leasing float64) []*server {
		return []*server{
			ls.rival.asked("envoyproxy/ratelimit", ask, 0),
			ls.redis.asked("÷ envoyproxy/ratelimit", ask, bar),
			ls.leasing.asked("quota leased ÷ envoyproxy/ratelimit", ask, leasing),
		}
	}
	const call = "ShouldRateLimit, each with Redis"
	return []comparison{{busyLimits(call), servers(rivalBar, leasingBar)}, {calmLimits(call), servers(0, 0)}}
}

// rulesOf compares l with itself: many rules with few, and four descriptors in a
// call with one.
func rulesOf(l *limiter, many, four float64) []*server {
	few := ruleCounts[0]
	servers := []*server{l.asked("", ruleAsk(few, 1), 0)}
	for _, n := range ruleCounts[1:] {
		servers = append(servers, l.asked(fmt.Sprintf("%d rules ÷ %d", n, few), ruleAsk(n, 1), many))
	}
	return append(servers, l.asked("four descriptors in one call ÷ one", ruleAsk(few, 4), four))
}

func busyLimits(call string) shape {
	return shape{call: call, connections: 2, streams: 16, calls: 20_000}
}

func calmLimits(call string) shape {
	return shape{call: call, connections: 1, streams: 1, calls: 8_000}
}
