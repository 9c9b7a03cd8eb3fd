package main

import (
	"strings"
	"testing"
	"time"
)

// calm is a result in which all is as it should be.
func calm() overloadResult {
	r := overloadResult{
		capacity: 1000, check: 10 * time.Microsecond, long: 10 * time.Second, flood: newTally(floodDeadline), spent: 60*time.Millisecond + 40*time.Millisecond,
		before: vitalSigns{100, 20, 100}, after: vitalSigns{300, 20, 104}, peak: 400, inFlight: 4096,
		rest: []restResult{{"at first", newTally(floodDeadline)}, {"later", newTally(floodDeadline)}},
	}
	for range 6000 {
		r.flood.add(right, 100*time.Millisecond)
	}
	for range 20_000 {
		r.flood.add(tooMuch, 10*time.Millisecond)
	}
	for range 100 {
		r.rest[1].add(right, time.Millisecond)
	}
	return r
}

func TestWhatOverloadSays(t *testing.T) {
	r := calm()
	if got := r.goodput(); got != 0.6 {
		t.Errorf("got a goodput of %g", got)
	}
	if got := r.refusal(); got != "2.00" {
		t.Errorf("a refusal costs %s µs", got)
	}
	if got := (&overloadResult{flood: newTally(floodDeadline)}).refusal(); got != "few" {
		t.Errorf("no refusals cost %s", got)
	}
	if got := r.mayReside(); got != 500 {
		t.Errorf("may take %g MiB", got)
	}
	tests := []struct {
		name, missed string
		spoil        func(r *overloadResult)
	}{
		{"calm", "", func(*overloadResult) {}},
		{"few right answers", "right answers ÷ capacity", func(r *overloadResult) { r.capacity = 1300 }},
		{"no capacity", "right answers ÷ capacity", func(r *overloadResult) { r.capacity, r.flood = 0, newTally(floodDeadline) }},
		{"much memory", "highest ever", func(r *overloadResult) { r.peak = 501 }},
		{"late after", "later", func(r *overloadResult) { r.rest[1].calls[late] += 2 }},
		{"goroutines left", "goroutines", func(r *overloadResult) { r.after.goroutines = 121 }},
		{"heap left", "live heap", func(r *overloadResult) { r.after.heap = 24 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := calm()
			tt.spoil(&r)
			var missed []string
			for _, l := range r.lines() {
				if l.missed {
					missed = append(missed, l.measure)
				}
			}
			if f := r.finding(); f.missed != (tt.missed != "") {
				t.Errorf("missed is %v", f.missed)
			}
			if all := strings.Join(missed, "; "); (all == "") != (tt.missed == "") || !strings.Contains(all, tt.missed) || len(missed) > 1 {
				t.Errorf("missed %q, want %q", all, tt.missed)
			}
		})
	}
}

func TestPeakIsRead(t *testing.T) {
	got, err := parsePeak([]byte("Name:\tx\nVmPeak:\t  999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t 1 kB\n"))
	if err != nil || got != 2 {
		t.Errorf("got %g, %v", got, err)
	}
	for _, text := range []string{"", "VmHWM:\tmuch kB\n"} {
		if _, err := parsePeak([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
