package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sallyport/sallyport"
)

var (
	noon   = time.Unix(1_800_000_000, 0)
	orders = &sallyport.API{Name: "orders"}
)

func decision(why sallyport.Reason) *sallyport.Decision {
	return &sallyport.Decision{ID: 7, At: noon, Reason: why, API: orders, RequestID: "r1", Subject: sallyport.Subject{
		API: "orders", Tenant: "acme", Credential: "key_1", Principal: "ana", Operation: "GET /v1/orders",
	}}
}

func TestLogWritesWhoWhatAndWhy(t *testing.T) {
	var out bytes.Buffer
	text := slog.NewTextHandler(&out, nil)
	NewLog(slog.New(text), false, 10).Record(decision(sallyport.Allowed), time.Millisecond)
	if out.Len() > 0 {
		t.Errorf("what passes is in a log of refusals: %s", &out)
	}
	refused := decision(sallyport.ScopeMissing)
	refused.Missing = "orders:write"
	NewLog(slog.New(text), false, 10).Record(refused, time.Millisecond)
	shadowed := decision(sallyport.Allowed)
	shadowed.Shadowed = sallyport.QuotaExhausted
	NewLog(slog.New(text), false, 10).Record(shadowed, time.Millisecond)
	NewLog(slog.New(text), true, 10).Record(decision(sallyport.Allowed), time.Millisecond)
	ended := decision(sallyport.CredentialDisabled)
	ended.Credential = &sallyport.Credential{State: sallyport.Disabled, Cause: "by a rule"}
	NewLog(slog.New(text), false, 10).Record(ended, time.Millisecond)
	for _, want := range []string{
		`reason=caller.scope.missing api=orders operation="GET /v1/orders" tenant=acme credential=key_1 principal=ana missing=orders:write request_id=r1 decision=0000000000000007 took=1ms`,
		"reason=allowed shadow=caller.quota.requests api=orders",
		`reason=allowed api=orders operation="GET /v1/orders"`,
		`reason=caller.credential.disabled api=orders operation="GET /v1/orders" tenant=acme credential=key_1 principal=ana cause="by a rule"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, &out)
		}
	}
}

// An attack does not fill the disk: what is left out is counted.
func TestLogIsBounded(t *testing.T) {
	var out bytes.Buffer
	l := NewLog(slog.New(slog.NewTextHandler(&out, nil)), false, 3)
	d := decision(sallyport.CredentialUnknown)
	for range 10 {
		l.Record(d, 0)
	}
	d.At = noon.Add(time.Second)
	l.Record(d, 0)
	if n := strings.Count(out.String(), "\n"); n != 4 {
		t.Errorf("%d lines, want 3 and 1 of the next second", n)
	}
	wantMetrics(t, l, "sallyport_decision_log_dropped_total 7")
}

func TestChecksCountByAPIAndReason(t *testing.T) {
	c := new(Checks)
	c.Know(&sallyport.Policy{APIs: []*sallyport.API{orders}})
	c.Record(decision(sallyport.Allowed), 20*time.Microsecond)
	c.Record(decision(sallyport.Allowed), time.Minute)
	shadowed := decision(sallyport.Allowed)
	shadowed.Shadowed = sallyport.ScopeMissing
	c.Record(shadowed, 0)
	c.Know(&sallyport.Policy{APIs: []*sallyport.API{{Name: "users"}, orders}}) // a reload keeps what was counted
	c.Record(&sallyport.Decision{Reason: sallyport.HostUnlisted}, 0)
	c.Limited(sallyport.QuotaExhausted)
	wantMetrics(t, c,
		`sallyport_checks_total{api="orders",reason="allowed"} 3`,
		`sallyport_checks_total{api="other",reason="config.host.unlisted"} 1`,
		`sallyport_ratelimit_decisions_total{reason="caller.quota.requests"} 1`,
		`sallyport_shadow_refusals_total{api="orders",reason="caller.scope.missing"} 1`,
		`sallyport_check_duration_seconds_count 4`, `sallyport_check_duration_seconds_bucket{le="2.5e-05"} 3`,
	)
}

func TestReloads(t *testing.T) {
	r := new(Reloads)
	r.Record(true, noon)
	r.Record(false, noon.Add(time.Hour))
	wantMetrics(t, r,
		`sallyport_config_reloads_total{outcome="done"} 1`, `sallyport_config_reloads_total{outcome="refused"} 1`,
		`sallyport_config_last_reload_timestamp_seconds 1.8e+09`,
	)
}

// wantMetrics compares what c shows, whole lines of it.
func wantMetrics(t *testing.T, c prometheus.Collector, want ...string) {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, line := range want {
		if !strings.Contains("\n"+w.Body.String(), "\n"+line+"\n") {
			t.Errorf("no %s in\n%s", line, w.Body)
		}
	}
}

func TestAnomaliesCountWhatWasDone(t *testing.T) {
	a := new(Anomalies)
	for range 2 {
		a.Acted("orders", "refused", sallyport.ActionDisable)
	}
	a.Acted("orders", "busy", sallyport.ActionAlert)
	a.Lost("orders", "refused", "store")
	wantMetrics(t, a,
		`sallyport_anomalies_total{action="disable",api="orders",rule="refused"} 2`,
		`sallyport_anomalies_total{action="alert",api="orders",rule="busy"} 1`,
		`sallyport_anomalies_lost_total{api="orders",failed="store",rule="refused"} 1`)
}

func TestStoreReadsCountByOutcome(t *testing.T) {
	s := new(StoreReads)
	for _, err := range []error{nil, nil, nil, fmt.Errorf("credential: %w", sallyport.ErrNotFound), context.DeadlineExceeded, errors.New("no disk")} {
		s.Record(err)
	}
	wantMetrics(t, s,
		`sallyport_store_reads_total{outcome="found"} 3`,
		`sallyport_store_reads_total{outcome="unknown"} 1`,
		`sallyport_store_reads_total{outcome="failed"} 2`)
}
