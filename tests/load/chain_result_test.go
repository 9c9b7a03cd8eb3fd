package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// twelve rounds of the same are their own quartile.
func steady(envoy, gate time.Duration) costs {
	return costs{slices.Repeat([]time.Duration{envoy}, 12), slices.Repeat([]time.Duration{gate}, 12)}
}

func find(t *testing.T, rows []row, measure string) row {
	t.Helper()
	for _, r := range rows {
		if r.measure == measure {
			return r
		}
	}
	t.Fatalf("no row %q in %+v", measure, rows)
	return row{}
}

func TestWhatAWayAdds(t *testing.T) {
	const µs = time.Microsecond
	all := map[way]costs{
		{filters: bare}:                {envoy: []time.Duration{90 * µs, 80 * µs, 80 * µs}, gate: []time.Duration{0, 0, 0}},
		{filters: paired}:              steady(200*µs, 80*µs),
		{filters: bare, http2: true}:   steady(60*µs, 0),
		{filters: paired, http2: true}: steady(150*µs, 70*µs),
		{filters: paired, tcp: true}:   steady(210*µs, 90*µs),
	}
	tests := []struct {
		way  way
		want time.Duration
	}{
		{way{filters: bare}, 0},
		{way{filters: paired}, 200 * µs},
		{way{filters: paired, http2: true}, 160 * µs},
		{way{filters: paired, tcp: true}, 220 * µs}, // Envoy alone asks nobody, by TCP or not
	}
	for _, tt := range tests {
		if got := added(all, tt.way); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.way, got, tt.want)
		}
	}
}

func TestChainRows(t *testing.T) {
	const µs = time.Microsecond
	w := ways(true)
	all := make([]costs, len(w))
	for i, f := range w {
		all[i] = map[filters]costs{
			bare: steady(80*µs, 0), native: steady(100*µs, 0), hollow: steady(140*µs, 50*µs),
			paired: steady(200*µs, 80*µs), fused: steady(150*µs, 45*µs),
		}[f.filters]
	}
	delays := slices.Repeat([][]time.Duration{{time.Millisecond, 3 * time.Millisecond}}, len(w))
	f := chainFinding(w, costResult{costs: all, calls: 100}, delays)
	tests := []struct {
		measure string
		want    float64
		bar     float64
	}{
		{"chain, CPU added: fused ÷ paired", 115. / 200, fusedBar},
		{"chain, CPU: sallyport in fused ÷ an empty Check in its place", 45. / 50, hollowBar},
		{"chain, CPU added: fused ÷ Envoy's own filters", 115. / 20, 0},
		{"chain, CPU added: paired ÷ Envoy's own filters", 200. / 20, 0},
	}
	if len(f.rows) != len(tests) {
		t.Errorf("%d rows, want %d", len(f.rows), len(tests))
	}
	for _, tt := range tests {
		r := find(t, f.rows, tt.measure)
		if got := r.ratio(); got < tt.want-0.001 || got > tt.want+0.001 || r.bar != tt.bar {
			t.Errorf("%s: got %.3f with the bar %v, want %.3f with %v", tt.measure, got, r.bar, tt.want, tt.bar)
		}
	}
	const want = "| fused                 | 150.00   | 45.00    | 195.00 | 115.00   | 2.00   | 2.98   |"
	if !slices.Contains(f.notes, want) {
		t.Errorf("got\n%s\nwant among it\n%s", strings.Join(f.notes, "\n"), want)
	}
}

func TestDelaysOfABusyMachineAreDoubted(t *testing.T) {
	const doubt = "the machine was busy"
	for p50, want := range map[time.Duration]bool{time.Millisecond: false, 20 * time.Millisecond: true} {
		f := chainFinding([]way{{filters: bare}}, costResult{costs: []costs{steady(1, 0)}}, [][]time.Duration{{p50}})
		got := slices.ContainsFunc(f.notes, func(s string) bool { return strings.Contains(s, "Envoy alone") && strings.Contains(s, doubt) })
		if got != want {
			t.Errorf("half of requests took %s: doubt %v, want %v: %q", p50, got, want, f.notes)
		}
	}
}

// Where noise is greater than what is measured there is no ratio; it would be
// negative, and so below any bar.
func TestNothingAddedMeetsNoBar(t *testing.T) {
	const µs = time.Microsecond
	for name, all := range map[string]map[way]costs{
		"fused":  {{filters: bare}: steady(80*µs, 0), {filters: fused}: steady(70*µs, 5*µs), {filters: paired}: steady(90*µs, 9*µs)},
		"paired": {{filters: bare}: steady(80*µs, 0), {filters: fused}: steady(90*µs, 5*µs), {filters: paired}: steady(70*µs, 9*µs)},
		"both":   {{filters: bare}: steady(80*µs, 0), {filters: fused}: steady(60*µs, 5*µs), {filters: paired}: steady(60*µs, 9*µs)},
	} {
		var f finding
		f.compareAdded(all, way{filters: fused}, way{filters: paired}, fusedBar)
		if len(f.rows) != 1 || f.rows[0].met() || len(f.notes) != 1 {
			t.Errorf("%s: got %+v, want a row that misses its bar, and a note", name, f)
		}
	}
}
