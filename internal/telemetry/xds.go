package telemetry

import "github.com/prometheus/client_golang/prometheus"

// XDS shows what became of the configuration that Envoys are given. It is a
// prometheus.Collector.
type XDS struct {
	Told interface {
		Envoys() int64  // connected now
		Changes() int64 // configurations given so far
		Refused() int64 // answers that an Envoy did not take
	}
}

var (
	envoysDesc  = prometheus.NewDesc("sallyport_xds_envoys", "Envoys that are connected to be told their configuration.", nil, nil)
	changesDesc = prometheus.NewDesc("sallyport_xds_changes_total", "Configurations that were given to Envoys.", nil, nil)
	refusedDesc = prometheus.NewDesc("sallyport_xds_refused_total", "Answers that an Envoy did not take; it goes on with the one before.", nil, nil)
)

// Describe implements prometheus.Collector.
func (x XDS) Describe(ch chan<- *prometheus.Desc) {
	ch <- envoysDesc
	ch <- changesDesc
	ch <- refusedDesc
}

// Collect implements prometheus.Collector.
func (x XDS) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(envoysDesc, prometheus.GaugeValue, float64(x.Told.Envoys()))
	ch <- prometheus.MustNewConstMetric(changesDesc, prometheus.CounterValue, float64(x.Told.Changes()))
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(x.Told.Refused()))
}
