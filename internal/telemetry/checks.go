package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport"
)

// Checks counts decisions by API and reason, and the time they took. It is a
// prometheus.Collector. Safe for concurrent use; the APIs it knows are set
// once, by Know, and an API that it does not know counts as "other".
type Checks struct {
	apis    atomic.Pointer[map[string]*counts]
	other   counts
	limits  counts
	micros  [len(bounds) + 1]atomic.Uint64
	elapsed atomic.Uint64 // nanoseconds in all
}

// counts are by Reason; those of shadow mode, of what would have been refused.
type counts struct{ decided, shadowed [256]atomic.Uint64 }

// bounds are the upper ends of the duration histogram.
var bounds = [...]time.Duration{
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond, 100 * time.Microsecond, 250 * time.Microsecond,
	time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Know sets the APIs of the policy. Counts of those already known go on.
func (c *Checks) Know(p *sallyport.Policy) {
	known := make(map[string]*counts)
	old := c.apis.Load()
	for _, api := range p.APIs {
		known[api.Name] = new(counts)
		if old != nil && (*old)[api.Name] != nil {
			known[api.Name] = (*old)[api.Name]
		}
	}
	c.apis.Store(&known)
}

// Record counts d.
func (c *Checks) Record(d *sallyport.Decision, took time.Duration) {
	of := &c.other
	if known := c.apis.Load(); d.API != nil && known != nil && (*known)[d.API.Name] != nil {
		of = (*known)[d.API.Name]
	}
	of.decided[d.Reason].Add(1)
	if d.Shadowed != sallyport.Undecided {
		of.shadowed[d.Shadowed].Add(1)
	}
	bucket := 0
	for bucket < len(bounds) && took > bounds[bucket] {
		bucket++
	}
	c.micros[bucket].Add(1)
	c.elapsed.Add(uint64(took))
}

// Limited counts an answer of the rate limit service.
func (c *Checks) Limited(why sallyport.Reason) { c.limits.decided[why].Add(1) }

var (
	checksDesc = prometheus.NewDesc("sallyport_checks_total", "Checks decided, by API and reason.", []string{"api", "reason"}, nil)
	shadowDesc = prometheus.NewDesc("sallyport_shadow_refusals_total", "Requests that shadow mode let pass, by API and what would have refused them.", []string{"api", "reason"}, nil)
	limitsDesc = prometheus.NewDesc("sallyport_ratelimit_decisions_total", "Rate limit requests answered, by reason.", []string{"reason"}, nil)
	tookDesc   = prometheus.NewDesc("sallyport_check_duration_seconds", "Time that a Check took inside the gate.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *Checks) Describe(ch chan<- *prometheus.Desc) {
	ch <- checksDesc
	ch <- shadowDesc
	ch <- limitsDesc
	ch <- tookDesc
}

// Collect implements prometheus.Collector.
func (c *Checks) Collect(ch chan<- prometheus.Metric) {
	if known := c.apis.Load(); known != nil {
		for name, of := range *known {
			collect(ch, checksDesc, &of.decided, name)
			collect(ch, shadowDesc, &of.shadowed, name)
		}
	}
	collect(ch, checksDesc, &c.other.decided, "other")
	collect(ch, limitsDesc, &c.limits.decided)

	buckets, sum := make(map[float64]uint64, len(bounds)), uint64(0)
	for i, b := range bounds {
		sum += c.micros[i].Load()
		buckets[b.Seconds()] = sum
	}
	sum += c.micros[len(bounds)].Load()
	ch <- prometheus.MustNewConstHistogram(tookDesc, sum, time.Duration(c.elapsed.Load()).Seconds(), buckets)
}

func collect(ch chan<- prometheus.Metric, desc *prometheus.Desc, c *[256]atomic.Uint64, labels ...string) {
	for _, r := range sallyport.Reasons() {
		if n := c[r].Load(); n > 0 {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), append(labels[:len(labels):len(labels)], r.String())...)
		}
	}
}
