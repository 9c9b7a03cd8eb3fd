package extauthz

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"

	"github.com/sallyport/sallyport"
)

// Filter knows every digest of the store, and takes about one in a hundred
// others for known too: a Bloom filter of some ten bits a digest, all those of one
// digest in one line of the processor's cache. It keeps well-formed keys that
// nobody ever issued from reaching the store. Digests are keyed hashes, so nobody
// outside can aim at its bits.
//
// Digests are quickest to add in their order: then so are the lines.
//
// Has may be called while Add is. A filter that is filled beyond its capacity
// stays right and lets more strangers through.
type Filter struct {
	lines []line // a power of two of them
	shift int    // what of 64 bits is behind those that number a line
}

// line is as many bits as are fetched from memory at once.
type line [lineBits / 64]atomic.Uint64

const (
	filterProbes = 6
	lineBits     = 512
)

// NewFilter returns an empty filter for at most capacity digests.
func NewFilter(capacity int) *Filter {
	width := bits.Len64((uint64(max(capacity, 1024))*10 - 1) / lineBits)
	return &Filter{lines: make([]line, 1<<width), shift: 64 - width}
}

// Add makes d known.
func (f *Filter) Add(d sallyport.Digest) {
	line, at := f.probe(&d)
	for range filterProbes {
		line[at%lineBits/64].Or(1 << (at % 64))
		at /= lineBits
	}
}

// Has reports whether d may be known; false is certain.
func (f *Filter) Has(d sallyport.Digest) bool {
	line, at := f.probe(&d)
	for range filterProbes {
		if line[at%lineBits/64].Load()&(1<<(at%64)) == 0 {
			return false
		}
		at /= lineBits
	}
	return true
}

// probe returns the line of d, and the places there, the last digit to the base of
// lineBits first. The digest is uniform: its bytes serve as they are.
func (f *Filter) probe(d *sallyport.Digest) (*line, uint64) {
	return &f.lines[binary.BigEndian.Uint64(d[:])>>f.shift], binary.BigEndian.Uint64(d[8:])
}
