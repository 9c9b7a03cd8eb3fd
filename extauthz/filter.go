package extauthz

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/sallyport/sallyport"
)

// Filter knows every digest of the store, and takes about one in a hundred
// others for known too: a Bloom filter of some ten bits a digest. It keeps
// well-formed keys that nobody ever issued from reaching the store. Digests are
// keyed hashes, so nobody outside can aim at its bits.
//
// Has may be called while Add is. A filter that is filled beyond its capacity
// stays right and lets more strangers through.
type Filter struct {
	words []atomic.Uint64
	mask  uint64 // number of bits, a power of two, less one
}

const filterProbes = 6

// NewFilter returns an empty filter for at most capacity digests.
func NewFilter(capacity int) *Filter {
	size := uint64(1) << bits.Len64(uint64(max(capacity, 1024))*10-1)
	return &Filter{words: make([]atomic.Uint64, size/64), mask: size - 1}
}

// Add makes d known.
func (f *Filter) Add(d sallyport.Digest) {
	at, step := f.probe(&d)
	for range filterProbes {
		f.words[at/64].Or(1 << (at % 64))
		at = (at + step) & f.mask
	}
}

// Has reports whether d may be known; false is certain.
func (f *Filter) Has(d sallyport.Digest) bool {
	at, step := f.probe(&d)
	for range filterProbes {
		if f.words[at/64].Load()&(1<<(at%64)) == 0 {
			return false
		}
		at = (at + step) & f.mask
	}
	return true
}

// probe returns where to look first and how far apart. The digest is uniform:
// its bytes serve as they are.
func (f *Filter) probe(d *sallyport.Digest) (at, step uint64) {
	return binary.LittleEndian.Uint64(d[8:]) & f.mask, binary.LittleEndian.Uint64(d[16:]) | 1
}
