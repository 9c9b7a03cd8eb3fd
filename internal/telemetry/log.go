package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport"
)

// Log writes decisions, a line each: who, what, what came of it and why. What
// a caller sent is not in it, but for a request id that was found sane. It is a
// prometheus.Collector of how many lines it left out. Safe for concurrent use.
type Log struct {
	log     *slog.Logger
	all     bool // also what passes
	rate    int  // lines a second at most
	dropped atomic.Uint64

	mu     sync.Mutex
	second int64 // guarded by mu
	lines  int   // guarded by mu: in second
}

// NewLog returns a log of refusals, or of all decisions, with at most rate
// lines a second: an attack must not fill the disk. What is left out is counted.
func NewLog(log *slog.Logger, all bool, rate int) *Log {
	return &Log{log: log, all: all, rate: rate}
}

// Record writes d.
func (l *Log) Record(d *sallyport.Decision, took time.Duration) {
	refused := d.Reason.Refuses() || d.Shadowed != sallyport.Undecided
	if !refused && !l.all {
		return
	}
	if !l.room(d.At.Unix()) {
		l.dropped.Add(1)
		return
	}
	attrs := make([]slog.Attr, 0, 12)
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	add("reason", d.Reason.String())
	if d.Shadowed != sallyport.Undecided {
		add("shadow", d.Shadowed.String())
	}
	if d.API != nil {
		add("api", d.API.Name)
	}
	add("operation", d.Subject.Operation)
	add("tenant", d.Subject.Tenant)
	add("credential", d.Subject.Credential)
	if d.Subject.Principal != d.Subject.Credential {
		add("principal", d.Subject.Principal)
	}
	add("missing", d.Missing)
	if c := d.Credential; c != nil && c.State != sallyport.Active {
		add("cause", c.Cause)
	}
	add("request_id", d.RequestID)
	if d.ID != 0 { // Check's; the rate limit service's have the request's id
		add("decision", fmt.Sprintf("%016x", d.ID))
		attrs = append(attrs, slog.Duration("took", took))
	}
	l.log.LogAttrs(context.Background(), slog.LevelInfo, "decision", attrs...)
}

// room takes one of the second's lines.
func (l *Log) room(second int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if second != l.second {
		l.second, l.lines = second, 0
	}
	l.lines++
	return l.lines <= l.rate
}

var droppedDesc = prometheus.NewDesc("sallyport_decision_log_dropped_total", "Decisions that were not logged because there were too many.", nil, nil)

// Describe implements prometheus.Collector.
func (l *Log) Describe(ch chan<- *prometheus.Desc) { ch <- droppedDesc }

// Collect implements prometheus.Collector.
func (l *Log) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(l.dropped.Load()))
}
