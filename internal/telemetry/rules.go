package telemetry

import (
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Rules counts hits by the rule that counted them, for rules in
// envoyproxy/ratelimit's files. It is a prometheus.Collector. Safe for
// concurrent use.
//
// A rule may ask for a series for every value that clients send. There are at
// most mostDetails of them: what comes after counts under the rule's own name.
type Rules struct {
	byName  sync.Map // name → *ruleCounts
	details atomic.Int64
}

const mostDetails = 10_000

type ruleCounts struct{ within, over, shadowed atomic.Uint64 }

// Record counts hits of rule; detail is a name that tells more, or "".
func (r *Rules) Record(rule, detail string, hits uint64, over, shadow bool) {
	c := r.of(rule, detail)
	switch {
	case !over:
		c.within.Add(hits)
	case shadow:
		c.shadowed.Add(hits)
	default:
		c.over.Add(hits)
	}
}

func (r *Rules) of(rule, detail string) *ruleCounts {
	if detail != "" {
		if c, ok := r.byName.Load(detail); ok {
			return c.(*ruleCounts)
		}
		if r.details.Load() < mostDetails {
			c, known := r.byName.LoadOrStore(detail, new(ruleCounts))
			if !known {
				r.details.Add(1)
			}
			return c.(*ruleCounts)
		}
	}
	if c, ok := r.byName.Load(rule); ok {
		return c.(*ruleCounts)
	}
	c, _ := r.byName.LoadOrStore(rule, new(ruleCounts))
	return c.(*ruleCounts)
}

var ruleDesc = prometheus.NewDesc("sallyport_ratelimit_rule_hits_total",
	"Hits counted by rules of rate limit files, by rule and whether they were within its limit, over it, or over it and let pass.", []string{"rule", "outcome"}, nil)

// Describe implements prometheus.Collector.
func (r *Rules) Describe(ch chan<- *prometheus.Desc) { ch <- ruleDesc }

// Collect implements prometheus.Collector.
func (r *Rules) Collect(ch chan<- prometheus.Metric) {
	r.byName.Range(func(name, counts any) bool {
		c := counts.(*ruleCounts)
		for outcome, n := range map[string]uint64{"within": c.within.Load(), "over": c.over.Load(), "shadow": c.shadowed.Load()} {
			if n > 0 {
				ch <- prometheus.MustNewConstMetric(ruleDesc, prometheus.CounterValue, float64(n), name.(string), outcome)
			}
		}
		return true
	})
}
