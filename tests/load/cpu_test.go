package main

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseStat(t *testing.T) {
	tests := []struct {
		name, text string
		want       time.Duration
		bad        bool
	}{
		{"plain", "42 (empty) S 1 42 42 0 -1 4194304 102 0 0 0 150 25 0 0 20 0 1 0 117144", 1750 * time.Millisecond, false},
		{"a name with spaces and parentheses", "42 (a) S 9 (b) S 1 42 42 0 -1 4194304 102 0 0 0 3 4 0 0 20 0", 70 * time.Millisecond, false},
		{"too short", "42 (empty) S 1 42", 0, true},
		{"no name", "42 empty S 1", 0, true},
		{"not a number", "42 (empty) S 1 42 42 0 -1 4194304 102 0 0 0 x 25 0 0", 0, true},
		{"empty", "", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseStat([]byte(tt.text))
			if got != tt.want || (err != nil) != tt.bad {
				t.Errorf("got %v, %v; want %v, error %v", got, err, tt.want, tt.bad)
			}
		})
	}
}

// The clock that the table rests on must say what getrusage says of this very
// process, and so must the one that replaces it, within its resolution.
func TestCPUClocksAgreeWithRusage(t *testing.T) {
	var before, after unix.Rusage
	burn(50 * time.Millisecond)
	if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
		t.Fatal(err)
	}
	clock, err := processClock(os.Getpid())
	if err != nil {
		t.Skip("no CPU clock of a process here:", err)
	}
	coarse, err := procStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
		t.Fatal(err)
	}
	const slack = 5 * time.Millisecond // of the scheduler's own bookkeeping
	low, high := used(before)-slack, used(after)+slack
	if clock < low || clock > high {
		t.Errorf("process clock %v, rusage says %v to %v", clock, low, high)
	}
	if coarse < low-20*time.Millisecond || coarse > high+20*time.Millisecond {
		t.Errorf("stat %v, rusage says %v to %v", coarse, low, high)
	}
}

func used(r unix.Rusage) time.Duration {
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func burn(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

func TestCPUClockOfNobody(t *testing.T) {
	if _, err := newCPUClock(1 << 24); err == nil {
		t.Error("got a clock for a process that cannot exist")
	}
}

func TestParseRunDelay(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"6908177 1500 12\n": 1500, "": 0, "1": 0, "1 x 3": 0, "0 0 1": 0,
	} {
		if got := parseRunDelay([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
