package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFaultsAndGrowthFailTheSoak(t *testing.T) {
	seen := func(grows float64) (all []map[string]float64) {
		for i := range 30 {
			one := make(map[string]float64)
			for _, v := range vitals {
				one[v.metric] = v.unit * (50 + grows*float64(i))
			}
			all = append(all, one)
		}
		return all
	}
	tests := []struct {
		name   string
		grows  float64
		fault  error
		lasted time.Duration
		want   error
	}{
		{"all is well", 0, nil, leastSoak, nil},
		{"it grows", 5, nil, leastSoak, errSoak},
		{"it grows, and is too short to tell", 5, nil, leastSoak - time.Second, nil},
		{"a wrong answer", 0, errors.New("wrong"), leastSoak, errSoak},
		{"a wrong answer soon", 0, errors.New("wrong"), time.Second, errSoak},
	}
	for _, tt := range tests {
		p := &pool{ledger: newLedger(func() {})}
		if tt.fault != nil {
			p.ledger.fault("here", tt.fault)
		}
		file := filepath.Join(t.TempDir(), "soak.txt")
		var text strings.Builder
		if err := p.report(t.Context(), options{module: "../..", output: file}, &text, seen(tt.grows), tt.lasted); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if kept, err := os.ReadFile(file); err != nil || string(kept) != text.String() {
			t.Errorf("%s: the file holds %q, %v; what was printed is\n%s", tt.name, kept, err, text.String())
		}
	}
}

// Slots count wherever they are held.
func TestHeldSlotsAreSeen(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "sallyport_slots_held 3\n") })
	mux.HandleFunc("GET /admin/v1/limits", func(w http.ResponseWriter, r *http.Request) {
		flying := map[string]string{"a": "4", "b": "null"}[r.FormValue("key")]
		io.WriteString(w, `{"limits":[{"name":"requests"},{"name":"in-flight","concurrency":{"max":9,"in_flight":`+flying+`}}]}`)
	})
	p := &pool{gate: &gate{http: front(t, mux.ServeHTTP)}}
	if got, err := p.held(t.Context(), []bearer{{ID: "a"}, {ID: "b"}}); err != nil || got != 7 {
		t.Errorf("got %d, %v; want 7", got, err)
	}
}

func TestSoakIsBounded(t *testing.T) {
	for args, want := range map[string]string{
		"-soak 20m":                         "",
		"-soak -1s":                         "-soak: up to 24h",
		"-soak 25h":                         "-soak: up to 24h",
		"-soak 1m -sallyport= -against a=b": "-soak needs -sallyport",
	} {
		var complaint strings.Builder
		o, err := parse(strings.Fields(args), &complaint, func(string) string { return "" })
		if (err == nil) != (want == "") || !strings.Contains(complaint.String(), want) {
			t.Errorf("%s: got %v, %q; want %q", args, err, complaint.String(), want)
		}
		if err == nil && o.timeout <= o.soak {
			t.Errorf("%s: given up after %s", args, o.timeout)
		}
	}
}
