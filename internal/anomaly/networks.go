package anomaly

import "net/netip"

// What is one network: whoever has an address in it is taken to have all of them.
const (
	networkBits4 = 24
	networkBits6 = 48
)

// network is an IPv4 /24 or an IPv6 /48; 0 is none.
type network uint64

const (
	isIPv4 network = 1 << 62
	isIPv6 network = 1 << 63
)

// networkOf returns the network of an address; 0 where it cannot be read.
func networkOf(address string) (n network) {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return 0
	}
	if ip = ip.Unmap(); ip.Is4() {
		b := ip.As4()
		for _, one := range b[:networkBits4/8] {
			n = n<<8 | network(one)
		}
		return n | isIPv4
	}
	b := ip.As16()
	for _, one := range b[:networkBits6/8] {
		n = n<<8 | network(one)
	}
	return n | isIPv6
}

// networks are those that were seen last, in that order, and when. The zero value
// has none.
type networks struct {
	place        map[network]int32 // in seen
	seen         []sighting
	newest, free int32 // places in seen; free is where unused ones begin
	oldest       int32
}

// sighting is a network in a list of them, by when they were seen.
type sighting struct {
	network      network
	at           int64
	newer, older int32
}

const nowhere = -1

// count is how many there are.
func (n *networks) count() int { return len(n.place) }

// size is for how many there is memory.
func (n *networks) size() int { return len(n.seen) }

// see notes that one was seen at a moment. There are at most most of them: of
// more, the oldest goes.
func (n *networks) see(one network, at int64, most int) {
	if n.place == nil {
		*n = networks{place: make(map[network]int32), newest: nowhere, oldest: nowhere, free: nowhere}
	}
	if n.newest != nowhere {
		at = max(at, n.seen[n.newest].at) // time does not go back
	}
	i, known := n.place[one]
	switch {
	case known && i == n.newest:
		n.seen[i].at = at
		return
	case known:
		n.unlink(i)
	default:
		for len(n.place) >= most {
			n.remove(n.oldest)
		}
		i = n.room()
		n.place[one] = i
	}
	n.seen[i] = sighting{network: one, at: at, newer: nowhere, older: n.newest}
	if n.newest != nowhere {
		n.seen[n.newest].newer = i
	}
	n.newest = i
	if n.oldest == nowhere {
		n.oldest = i
	}
}

// forget removes those that were not seen after a moment.
func (n *networks) forget(until int64) {
	if len(n.place) == 0 {
		return
	}
	for n.oldest != nowhere && n.seen[n.oldest].at <= until {
		n.remove(n.oldest)
	}
	if n.oldest == nowhere && len(n.seen) > parts {
		*n = networks{} // there were many: their memory is for others
	}
}

// room returns a place that is not used.
func (n *networks) room() int32 {
	if i := n.free; i != nowhere {
		n.free = n.seen[i].older
		return i
	}
	n.seen = append(n.seen, sighting{})
	return int32(len(n.seen) - 1)
}

func (n *networks) remove(i int32) {
	n.unlink(i)
	delete(n.place, n.seen[i].network)
	n.seen[i] = sighting{older: n.free}
	n.free = i
}

// unlink takes i out of the list.
func (n *networks) unlink(i int32) {
	s := n.seen[i]
	if s.newer == nowhere {
		n.newest = s.older
	} else {
		n.seen[s.newer].older = s.older
	}
	if s.older == nowhere {
		n.oldest = s.newer
	} else {
		n.seen[s.older].newer = s.newer
	}
}
