package admin

import "testing"

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
