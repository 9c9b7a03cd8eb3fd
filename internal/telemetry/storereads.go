package telemetry

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport"
)

// StoreReads counts what the cache of credentials asks the store. It is a
// prometheus.Collector; the zero value has counted nothing. Safe for concurrent
// use.
type StoreReads struct {
	found, unknown, failed atomic.Uint64
}

// Record counts one read by its error: none, sallyport.ErrNotFound, or another.
func (s *StoreReads) Record(err error) {
	switch {
	case err == nil:
		s.found.Add(1)
	case errors.Is(err, sallyport.ErrNotFound):
		s.unknown.Add(1)
	default:
		s.failed.Add(1)
	}
}

var storeReadsDesc = prometheus.NewDesc("sallyport_store_reads_total", "Reads of a credential from the store, because it was not in the cache, by outcome: found, unknown, failed.", []string{"outcome"}, nil)

// Describe implements prometheus.Collector.
func (s *StoreReads) Describe(ch chan<- *prometheus.Desc) { ch <- storeReadsDesc }

// Collect implements prometheus.Collector.
func (s *StoreReads) Collect(ch chan<- prometheus.Metric) {
	for outcome, n := range map[string]*atomic.Uint64{"found": &s.found, "unknown": &s.unknown, "failed": &s.failed} {
		ch <- prometheus.MustNewConstMetric(storeReadsDesc, prometheus.CounterValue, float64(n.Load()), outcome)
	}
}
