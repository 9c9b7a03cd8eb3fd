package telemetry

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloads counts loads of the configuration. It is a prometheus.Collector. Safe
// for concurrent use.
type Reloads struct {
	done, refused atomic.Uint64
	last          atomic.Int64 // Unix seconds of the last that was done
}

// Record counts one: done, or refused.
func (r *Reloads) Record(done bool, at time.Time) {
	if !done {
		r.refused.Add(1)
		return
	}
	r.done.Add(1)
	r.last.Store(at.Unix())
}

var (
	reloadsDesc = prometheus.NewDesc("sallyport_config_reloads_total", "Times that the configuration was loaded again, by outcome.", []string{"outcome"}, nil)
	loadedDesc  = prometheus.NewDesc("sallyport_config_last_reload_timestamp_seconds", "When the configuration was last loaded again with success; 0: never.", nil, nil)
)

// Describe implements prometheus.Collector.
func (r *Reloads) Describe(ch chan<- *prometheus.Desc) {
	ch <- reloadsDesc
	ch <- loadedDesc
}

// Collect implements prometheus.Collector.
func (r *Reloads) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(r.done.Load()), "done")
	ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(r.refused.Load()), "refused")
	ch <- prometheus.MustNewConstMetric(loadedDesc, prometheus.GaugeValue, float64(r.last.Load()))
}
