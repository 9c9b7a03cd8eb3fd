package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
)

// What tests change orders with.
const (
	noLimits  = ""
	windows   = "    limits: [{name: requests, per: credential, limit: 60/1m}]\n"
	inFlight  = "    limits: [{name: in-flight, per: credential, concurrency: 5}]\n"
	shadowed  = "    limits: [{name: in-flight, per: credential, concurrency: 5, shadow: true}]\n"
	inFlight9 = "    limits: [{name: more, per: tenant, concurrency: 9}, {name: in-flight, per: credential, concurrency: 5}]\n"
	tokens    = "      - {GET: /v1/tokens, scope: orders:read, weight: {response: X-Tokens}}\n"
	search    = "      - {GET: /v1/search, scope: orders:read, weight: {response: X-Cost}}\n"
	lookup    = "      - {GET: /v1/lookup, scope: orders:read, weight: {response: x-tokens, max: 5}}\n"
)

// and returns c with more lines at the end of its file.
func and(t *testing.T, c *config.Config, lines string) *config.Config {
	t.Helper()
	changed, faults := config.Parse("sallyport.yaml", fmt.Appendf(nil, orders+lines, filepath.Dir(c.Peppers[0].File)))
	if len(faults) > 0 {
		t.Fatal(config.Format(faults))
	}
	changed.Listen = c.Listen
	return changed
}

// tell opens a stream of the access log and ends it.
func tell(t *testing.T, a *App) {
	t.Helper()
	stream, err := accesslogv3.NewAccessLogServiceClient(dial(t, a.GRPC()[0])).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
}

// H4: what rests on Envoy's access log is put in force by a reload only where
// Envoy is known to write one.
func TestReloadWantsAnEnvoyThatTells(t *testing.T) {
	for _, test := range []struct {
		name         string
		start, made  string
		told         bool
		refuses      []string // in what is said
		inForceAfter int      // limits, with those of windows
	}{
		{"nothing to tell", noLimits, windows, false, nil, 1},
		{"the first slots", windows, inFlight, false, []string{`limits[0].concurrency: limit "in-flight"`, "restart this server"}, 1},
		{"the first slots in shadow", noLimits, shadowed, false, []string{`limit "in-flight"`}, 0},
		{"the first slots when Envoy has told something", noLimits, inFlight, true, nil, 1},
		{"more slots", inFlight, inFlight9, false, nil, 2},
		{"the first cost", noLimits, tokens, false, []string{`operations: operation "GET /v1/tokens"`, "header x-tokens"}, 0},
		{"the first cost when Envoy has told something", noLimits, tokens, true, nil, 0},
		{"the same cost elsewhere", tokens, tokens + lookup, false, nil, 0},
		{"another cost of which Envoy tells nothing", tokens, tokens + search, true, []string{`"GET /v1/search"`, "header x-cost"}, 0},
		{"slots beside costs of which Envoy tells nothing", tokens, tokens + inFlight, true, []string{`limit "in-flight"`}, 0},
		{"both at once", noLimits, tokens + search + inFlight, false, []string{`"in-flight"`, "x-tokens", "x-cost"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			base := configured(t)
			next := and(t, base, test.made)
			a, err := New(t.Context(), Options{Config: and(t, base, test.start), Version: "test", Reload: func() (*config.Config, []sallyport.Fault) { return next, nil }})
			if err != nil {
				t.Fatal(err)
			}
			run(t, a)
			if test.told {
				tell(t, a)
			}
			before := a.policy.Load()
			err = a.Reload(t.Context())
			if refused := err != nil; refused != (test.refuses != nil) || refused != (a.policy.Load() == before) {
				t.Fatalf("error %v, the policy before is in force: %v", err, a.policy.Load() == before)
			}
			if got := len(a.policy.Load().APIs[0].Limits); got != test.inForceAfter {
				t.Errorf("%d limits are in force, want %d", got, test.inForceAfter)
			}
			for _, want := range test.refuses {
				if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "sallyport.yaml: apis.orders.") {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			outcome := "done"
			if err != nil {
				outcome = "refused"
			}
			w := httptest.NewRecorder()
			a.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			if want := `sallyport_config_reloads_total{outcome="` + outcome + `"} 1`; !strings.Contains(w.Body.String(), want) {
				t.Errorf("the metrics do not say %s", want)
			}
		})
	}
}

// What was in force at the start may go and come back: Envoy was configured then.
func TestReloadTakesBackWhatTheStartHad(t *testing.T) {
	with := configured(t)
	without, with := with, and(t, with, inFlight)
	next := without
	a, err := New(t.Context(), Options{Config: with, Version: "test", Reload: func() (*config.Config, []sallyport.Fault) { return next, nil }})
	if err != nil {
		t.Fatal(err)
	}
	run(t, a)
	for _, c := range []*config.Config{without, with, without} {
		next = c
		if err := a.Reload(t.Context()); err != nil || a.policy.Load() != c.Policy {
			t.Errorf("error %v", err)
		}
	}
}
