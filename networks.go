package sallyport

import (
	"net/netip"
	"slices"
)

// Networks is a set of addresses, made of networks, that is asked in time that
// grows with the logarithm of their number. The zero value holds none.
type Networks struct {
	sorted []netip.Prefix // by address, none inside another
}

// NewNetworks returns the set of all addresses that are in one of list. What is
// IPv4 in IPv6's clothes counts as IPv4.
func NewNetworks(list []netip.Prefix) Networks {
	all := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.IsValid() {
			all = append(all, p.Masked())
		}
	}
	// The wider of two that begin alike stands first, and holds the other.
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	var n Networks
	for _, p := range all {
		if last := len(n.sorted) - 1; last < 0 || !n.sorted[last].Overlaps(p) {
			n.sorted = append(n.sorted, p)
		}
	}
	return n
}

// Contains reports whether address is in n.
func (n Networks) Contains(address netip.Addr) bool {
	address = address.Unmap()
	at, exact := slices.BinarySearchFunc(n.sorted, address, func(p netip.Prefix, a netip.Addr) int {
		return p.Addr().Compare(a)
	})
	return exact || at > 0 && n.sorted[at-1].Contains(address)
}
