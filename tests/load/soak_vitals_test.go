package main

import (
	"strings"
	"testing"
)

func TestMetricsAreSummedOverLabels(t *testing.T) {
	got, err := readMetrics(strings.NewReader(`# HELP go_goroutines Number of goroutines.
# TYPE go_goroutines gauge
go_goroutines 84
process_resident_memory_bytes 5.0e+07
sallyport_checks_total{api="orders",reason="allowed"} 30
sallyport_checks_total{api="orders",reason="the caller, {so} to say"} 2
`))
	if err != nil || got["go_goroutines"] != 84 || got["process_resident_memory_bytes"] != 5e7 || got["sallyport_checks_total"] != 32 || got[`sallyport_checks_total{api="orders",reason="allowed"}`] != 30 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := readMetrics(strings.NewReader("go_goroutines many\n")); err == nil {
		t.Error("a number that is none was read")
	}
}

func TestGrowthIsTold(t *testing.T) {
	v := vital{"goroutines", "go_goroutines", 1, 10}
	series := func(of func(i int) float64) (all []map[string]float64) {
		for i := range 100 {
			all = append(all, map[string]float64{"go_goroutines": of(i)})
		}
		return all
	}
	tests := []struct {
		name string
		seen []map[string]float64
		flat bool
	}{
		{"steady", series(func(int) float64 { return 80 }), true},
		{"restless", series(func(i int) float64 { return 80 + float64(i%7) }), true},
		{"settles first", series(func(i int) float64 { return 40 + 2*float64(min(i, 20)) }), true},
		{"with a peak", series(func(i int) float64 { return map[bool]float64{true: 5000, false: 80}[i == 95] }), true},
		{"leaks one at a time", series(func(i int) float64 { return 80 + float64(i) }), false},
		{"twice as many from half on", series(func(i int) float64 { return 80 * float64(1+i/50) }), false},
		{"not seen", series(func(int) float64 { return 0 }), false},
		{"nobody looked", nil, false},
	}
	for _, tt := range tests {
		got := trendOf(v, tt.seen)
		if got.flat() != tt.flat {
			t.Errorf("%s: %.0f to %.0f is flat: %t, want %t", tt.name, got.first, got.last, got.flat(), tt.flat)
		}
	}
}

func TestTrendsAreWritten(t *testing.T) {
	all := []trend{{vitals[0], 10, 11}, {vitals[2], 80, 160}}
	for judged, want := range map[bool][]string{true: {"| 10.0 ", "≤ 12.0 ", "| yes", "| NO"}, false: {"| 160.0 ", "| - "}} {
		var text strings.Builder
		if err := writeTrends(&text, all, judged); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(text.String(), w) {
				t.Errorf("%q is not in\n%s", w, text.String())
			}
		}
		if !judged && (strings.Contains(text.String(), "yes") || strings.Contains(text.String(), "NO")) {
			t.Errorf("judged after all:\n%s", text.String())
		}
	}
}

func TestSoakConfigurationsDiffer(t *testing.T) {
	fields := map[string]any{
		"Socket": "/run/s.sock", "HTTP": "127.0.0.1:1", "Store": "/s.db", "Redis": "127.0.0.1:2",
		"Pepper": "/p", "Token": "/t", "Upstream": "127.0.0.1:3", "Small": smallQuota,
	}
	for age, odd := range []bool{false, true, false} {
		text, err := soakConfig(fields, age)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), "/v1/odd"); got != odd {
			t.Errorf("age %d lists the operation of odd ages: %t", age, got)
		}
		for _, want := range []string{"redis://127.0.0.1:2", "small: 5/1h sliding", "age: " + string(rune('0'+age))} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	}
	delete(fields, "Redis")
	if text, err := soakConfig(fields, 0); err == nil {
		t.Errorf("a configuration without a Redis was made:\n%s", text)
	}
}
