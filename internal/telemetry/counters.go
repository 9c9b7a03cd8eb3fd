package telemetry

import "github.com/prometheus/client_golang/prometheus"

// CountersState is how counters that are shared stand.
type CountersState struct {
	Lost    int    // parts of them that cannot be asked now
	Calls   uint64 // to the shared counters
	Failed  uint64 // of those
	Alone   uint64 // calls that were answered without
	Losses  uint64 // times that a part was lost
	Carried uint64 // hits taken without, and added later
	Dropped uint64 // callers whose hits were not

	Served   uint64 // calls that were answered from what had been taken ahead
	Reserved uint64 // hits that are taken ahead now
}

// Counters shows the state of shared counters. It is a prometheus.Collector.
type Counters func() CountersState

var (
	lostDesc    = prometheus.NewDesc("sallyport_counters_lost", "Parts of the shared counters that cannot be asked now; 0: all answer.", nil, nil)
	callsDesc   = prometheus.NewDesc("sallyport_counters_calls_total", "Calls to the shared counters, by outcome: answered, failed; alone where they were lost and not asked; ahead where what had been taken ahead was enough.", []string{"outcome"}, nil)
	lossesDesc  = prometheus.NewDesc("sallyport_counters_losses_total", "Times that a part of the shared counters was lost.", nil, nil)
	carriedDesc = prometheus.NewDesc("sallyport_counters_carried_hits_total", "Hits that were taken while the shared counters were lost, and added to them later.", nil, nil)
	aheadDesc   = prometheus.NewDesc("sallyport_counters_reserved_hits", "Hits that this instance has taken from the shared counters ahead of their need.", nil, nil)
	unaddedDesc = prometheus.NewDesc("sallyport_counters_dropped_callers_total", "Callers whose hits of such a time were not added.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c Counters) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lostDesc, callsDesc, lossesDesc, carriedDesc, unaddedDesc, aheadDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c Counters) Collect(ch chan<- prometheus.Metric) {
	s := c()
	ch <- prometheus.MustNewConstMetric(lostDesc, prometheus.GaugeValue, float64(s.Lost))
	for outcome, n := range map[string]uint64{"answered": s.Calls - min(s.Calls, s.Failed), "failed": s.Failed, "alone": s.Alone, "ahead": s.Served} {
		ch <- prometheus.MustNewConstMetric(callsDesc, prometheus.CounterValue, float64(n), outcome)
	}
	ch <- prometheus.MustNewConstMetric(lossesDesc, prometheus.CounterValue, float64(s.Losses))
	ch <- prometheus.MustNewConstMetric(carriedDesc, prometheus.CounterValue, float64(s.Carried))
	ch <- prometheus.MustNewConstMetric(unaddedDesc, prometheus.CounterValue, float64(s.Dropped))
	ch <- prometheus.MustNewConstMetric(aheadDesc, prometheus.GaugeValue, float64(s.Reserved))
}
