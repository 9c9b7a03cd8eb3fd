package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport"
)

// Anomalies counts what was done about anomalous use. It is a
// prometheus.Collector; the zero value has counted nothing. Safe for concurrent
// use. The labels are words of the configuration alone.
type Anomalies struct {
	mu    sync.Mutex
	acted map[[3]string]uint64 // guarded by mu: by api, rule and action
	lost  map[[3]string]uint64 // guarded by mu: by api, rule and why
}

// Acted counts that action was taken since rule was crossed.
func (a *Anomalies) Acted(api, rule string, action sallyport.Action) {
	a.add(&a.acted, [3]string{api, rule, action.String()})
}

// Lost counts that rule was crossed and nothing could be done, and why.
func (a *Anomalies) Lost(api, rule, why string) { a.add(&a.lost, [3]string{api, rule, why}) }

func (a *Anomalies) add(to *map[[3]string]uint64, labels [3]string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if *to == nil {
		*to = make(map[[3]string]uint64)
	}
	(*to)[labels]++
}

var (
	anomaliesDesc     = prometheus.NewDesc("sallyport_anomalies_total", "Anomalous uses of credentials, by API, rule and what was done.", []string{"api", "rule", "action"}, nil)
	anomaliesLostDesc = prometheus.NewDesc("sallyport_anomalies_lost_total", "Anomalous uses about which nothing could be done, by API, rule and what failed: the queue was full, or the store did not take the change.", []string{"api", "rule", "failed"}, nil)
)

// Describe implements prometheus.Collector.
func (a *Anomalies) Describe(ch chan<- *prometheus.Desc) {
	ch <- anomaliesDesc
	ch <- anomaliesLostDesc
}

// Collect implements prometheus.Collector.
func (a *Anomalies) Collect(ch chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for desc, counts := range map[*prometheus.Desc]map[[3]string]uint64{anomaliesDesc: a.acted, anomaliesLostDesc: a.lost} {
		for labels, n := range counts {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), labels[:]...)
		}
	}
}
