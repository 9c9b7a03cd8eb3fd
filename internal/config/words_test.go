package config

import (
	"testing"
	"time"
)

func TestDurationsAreRead(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "30s": 30 * time.Second, "5m": 5 * time.Minute, "1h": time.Hour, "7d": 7 * day, "2w": 14 * day,
		"1y": 365 * day, "1h30m": 90 * time.Minute, "1m1ms": time.Minute + time.Millisecond, "1h1500ms": time.Hour + 1500*time.Millisecond, "1y2w3d4h5m6s7ms": 382*day + 4*time.Hour + 5*time.Minute + 6*time.Second + 7*time.Millisecond,
		"": 0, "0s": 0, "-1s": 0, "+1s": 0, "1": 0, "s": 0, "30m1h": 0, "1h1h": 0, "1.5h": 0, "1 h": 0, "1H": 0, "1µs": 0, "200y": 0, "99999999999999999999s": 0,
		"0ms": 0, "ms": 0, "-1ms": 0, "1ms1ms": 0, "1ms1s": 0, "9999999999ms": 0, "1m-1ms": 0, "1m1 ms": 0,
	} {
		got, problem := parseDuration(text)
		if got != want || (problem == "") != (want > 0) {
			t.Errorf("%q: got %v, %q, want %v", text, got, problem, want)
		}
	}
}

func TestSizesAreRead(t *testing.T) {
	for text, want := range map[string]Size{
		"1": 1, "65536": 65536, "1B": 1, "256KiB": 256 << 10, "1MiB": 1 << 20, "2GiB": 2 << 30,
		"": 0, "0": 0, "-1": 0, "1KB": 0, "1k": 0, "KiB": 0, "1.5MiB": 0, "9999999999GiB": 0, "1BB": 0,
	} {
		var got Size
		if problem, _ := got.parse(text); got != want || (problem == "") != (want > 0) {
			t.Errorf("%q: got %d, %q, want %d", text, got, problem, want)
		}
	}
}

func TestStarStaysWithinItsSegment(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "admin", true}, {"*", "orders:read", false}, {"*:read", "orders:read", true}, {"*:read", "orders:read:all", false},
		{"orders:*", "orders:read", true}, {"orders:*", "orders", false}, {"or*rs:r*d", "orders:read", true}, {"or*rs:r*d", "ors:rd", false},
		{"a*a", "a", false}, {"a*a", "aa", true}, {"*b*", "abc", true}, {"*b*", "ac", false}, {"*:*", "*:*", true}, {"orders", "orders", true}, {"orders", "order", false},
	} {
		if got := matches(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s on %s: got %v", tt.pattern, tt.name, got)
		}
	}
}
