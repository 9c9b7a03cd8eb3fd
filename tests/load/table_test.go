package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLowerQuartile(t *testing.T) {
	tests := []struct {
		name  string
		times []time.Duration
		want  time.Duration
	}{
		{"none", nil, 0},
		{"one", []time.Duration{7}, 7},
		{"two", []time.Duration{30, 10}, 15},
		{"five, unsorted", []time.Duration{50, 10, 40, 20, 30}, 20},
		{"twelve", []time.Duration{120, 110, 100, 90, 80, 70, 60, 50, 40, 30, 20, 10}, 37},
		{"one wild", []time.Duration{10, 10, 10, 10000}, 10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			given := slices.Clone(tt.times)
			if got := lowerQuartile(tt.times); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if !slices.Equal(given, tt.times) {
				t.Error("the argument was reordered")
			}
		})
	}
}

func TestSpread(t *testing.T) {
	if got := spread([]time.Duration{100, 110, 120, 130, 140}); got < 0.18 || got > 0.19 {
		t.Errorf("got %v, want 20/110", got)
	}
	if got := spread(nil); got != 0 {
		t.Errorf("of nothing: got %v, want 0", got)
	}
}

func TestBarIsHeld(t *testing.T) {
	const µs = time.Microsecond
	tests := []struct {
		name string
		row  row
		want bool
	}{
		{"below", row{baseline: 100 * µs, measured: 60 * µs, bar: 0.65}, true},
		{"at", row{baseline: 100 * µs, measured: 65 * µs, bar: 0.65}, true},
		{"above", row{baseline: 100 * µs, measured: 66 * µs, bar: 0.65}, false},
		{"no bar", row{baseline: 100 * µs, measured: 200 * µs}, true},
		{"nothing measured", row{bar: 0.65}, false},
	}
	for _, tt := range tests {
		if got := tt.row.met(); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTable(t *testing.T) {
	const µs = time.Microsecond
	one := row{measure: "Check, c=2 m=16", server: "sallyport", baseline: 28 * µs, measured: 17 * µs, bar: 0.65, spread: [2]float64{0.02, 0.04}}
	missed := row{measure: "Check, c=1 m=1", server: "sallyport", baseline: 50 * µs, measured: 45 * µs, bar: 0.85}
	other := row{measure: "Check, c=2 m=16", server: "scan", baseline: 28 * µs, measured: 14 * µs}
	tests := []struct {
		name string
		rows []row
		want string
	}{
		{"one server", []row{one, missed}, `
| measure         | CPU µs baseline | CPU µs sallyport | ratio | bar    | ok? | spread   |
|---              |---              |---               |---    |---     |---  |---       |
| Check, c=2 m=16 | 28.00           | 17.00            | 0.61  | ≤ 0.65 | yes | 2 %, 4 % |
| Check, c=1 m=1  | 50.00           | 45.00            | 0.90  | ≤ 0.85 | NO  | 0 %, 0 % |
`},
		{"several servers", []row{one, other}, `
| measure                    | CPU µs baseline | CPU µs measured | ratio | bar    | ok? | spread   |
|---                         |---              |---              |---    |---     |---  |---       |
| Check, c=2 m=16, sallyport | 28.00           | 17.00           | 0.61  | ≤ 0.65 | yes | 2 %, 4 % |
| Check, c=2 m=16, scan      | 28.00           | 14.00           | 0.50  | -      | -   | 0 %, 0 % |
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got strings.Builder
			if err := writeTable(&got, tt.rows); err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimPrefix(tt.want, "\n"); got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

func TestBenchmarkLines(t *testing.T) {
	const output = `goos: linux
cpu: AMD EPYC
BenchmarkDecide-2   	 1000000	      1021 ns/op	       0 B/op	       0 allocs/op
PASS
ok  	github.com/sallyport/sallyport/extauthz	1.2s
# github.com/sallyport/sallyport/ratelimit
ratelimit/window.go:3:1: syntax error
FAIL	github.com/sallyport/sallyport/ratelimit [build failed]
`
	got := benchmarkLines(output)
	want := []string{
		"BenchmarkDecide-2   	 1000000	      1021 ns/op	       0 B/op	       0 allocs/op",
		"# github.com/sallyport/sallyport/ratelimit",
		"FAIL	github.com/sallyport/sallyport/ratelimit [build failed]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCPUModel(t *testing.T) {
	const cpuinfo = "processor\t: 0\nvendor_id\t: X\nmodel name\t: Some CPU @ 3 GHz: fast\nmodel name\t: other\n"
	if got, want := cpuModel([]byte(cpuinfo)), "Some CPU @ 3 GHz: fast"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
