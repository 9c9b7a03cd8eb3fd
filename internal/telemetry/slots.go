package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Slots shows who is in flight, as far as limits of concurrency count it in this
// process. It is a prometheus.Collector.
type Slots struct {
	Held    func() int    // leases now
	Expired func() uint64 // leases that ended for want of a sign: the proxy's access log does not reach us
}

var (
	heldDesc      = prometheus.NewDesc("sallyport_slots_held", "Requests that hold a slot of a limit of concurrency.", nil, nil)
	expiredDesc   = prometheus.NewDesc("sallyport_slots_expired_total", "Slots that were freed because nothing was heard of their request: the proxy is gone, or its access log does not come.", nil, nil)
	malformedDesc = prometheus.NewDesc("sallyport_access_log_malformed_total", "Entries of the proxy's access log that were ignored.", nil, nil)
)

// Describe implements prometheus.Collector.
func (s Slots) Describe(ch chan<- *prometheus.Desc) {
	ch <- heldDesc
	ch <- expiredDesc
}

// Collect implements prometheus.Collector.
func (s Slots) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(heldDesc, prometheus.GaugeValue, float64(s.Held()))
	ch <- prometheus.MustNewConstMetric(expiredDesc, prometheus.CounterValue, float64(s.Expired()))
}

// AccessLog shows how many entries of the proxy's access log nothing could be
// made of. It is a prometheus.Collector.
type AccessLog func() uint64

// Describe implements prometheus.Collector.
func (a AccessLog) Describe(ch chan<- *prometheus.Desc) { ch <- malformedDesc }

// Collect implements prometheus.Collector.
func (a AccessLog) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(malformedDesc, prometheus.CounterValue, float64(a()))
}
