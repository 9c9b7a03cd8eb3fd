package admin

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func TestWindow(t *testing.T) {
	for _, test := range []struct {
		in, out string
		want    sallyport.Window
	}{
		{"60/1m", "60/1m", sallyport.Window{Max: 60, Length: time.Minute}},
		{"60/60s", "60/1m", sallyport.Window{Max: 60, Length: time.Minute}},
		{"1/90s+15%", "1/90s+15%", sallyport.Window{Max: 1, Length: 90 * time.Second, Burst: 15}},
		{"1000000000/1w", "1000000000/7d", sallyport.Window{Max: 1e9, Length: 7 * day}},
	} {
		got, err := parseWindow(test.in)
		if err != nil || got != test.want || FormatWindow(got) != test.out {
			t.Errorf("parseWindow(%q) = %+v, %v, printed %s; want %+v, printed %s", test.in, got, err, FormatWindow(got), test.want, test.out)
		}
	}
	for _, bad := range []string{
		"", "60", "60/", "/1m", "60/m", "60/1", "60/1ms", "60/1M", "0/1m", "-1/1m", "+1/1m", "1e3/1m", "60/0s", "60/-1s", "60/1m ",
		"60/1m+", "60/1m+15", "60/1m+0%", "60/1m+1001%", "60/1m+-1%", "60/1m+15%%", "60/1h30m", "9007199254740993/1s", "60/101y", "60/99999999999999999999s",
	} {
		if got, err := parseWindow(bad); err == nil {
			t.Errorf("parseWindow(%q) = %+v, want an error", bad, got)
		}
	}
}

// A window that reads prints, and reads as itself again.
func FuzzWindow(f *testing.F) {
	for _, s := range []string{"60/1m", "1000/1h", "60/90s+15%", "1/1y", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w, err := parseWindow(s)
		if err != nil {
			return
		}
		again, err := parseWindow(FormatWindow(w))
		if err != nil || again != w || w.Max == 0 || w.Length < time.Second || w.Length%time.Second != 0 {
			t.Fatalf("%q reads as %+v, which prints as %s and reads as %+v, %v", s, w, FormatWindow(w), again, err)
		}
	})
}

// A network that reads prints, reads as itself again, and holds what its
// first address is, as callers' addresses are compared.
func FuzzNetwork(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::ffff:10.0.0.0/104", "::ffff:1.2.3.4", "::/0", "fe80::1%eth0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parseNetwork(s)
		if err != nil {
			return
		}
		again, err := parseNetwork(formatNetwork(p))
		if err != nil || again != p || p.Addr().Is4In6() || !p.Contains(p.Addr().Unmap()) {
			t.Fatalf("%q reads as %v, which prints as %s and reads as %v, %v", s, p, formatNetwork(p), again, err)
		}
	})
}
