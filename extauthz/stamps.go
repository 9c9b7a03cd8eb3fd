package extauthz

import (
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/sallyport/sallyport"
)

// stamps remember when each subject last changed, in the units of a counter of
// changes, in bounded memory and without a lock on the reading side.
//
// Subjects share stripes, so a change makes the entries of a few others be
// loaded again too; it never makes a changed one pass as unchanged. Nothing is
// ever pruned, so it does not matter how long an entry lives.
type stamps struct {
	mu      sync.Mutex // orders announcements
	last    atomic.Uint64
	stripes [stripeCount]atomic.Uint64

	// Of digests that became known, apart: an import of a million touches every
	// stripe, and no credential that is cached has changed by it.
	digests [stripeCount]atomic.Uint64
}

const stripeCount = 1 << 14

// subject is the hash of what a stamp is about.
type subject uint64

// latest returns the stamp of the latest change of anything.
func (s *stamps) latest() uint64 { return s.last.Load() }

// of returns the stamp of the latest change of x, or of one that shares its
// stripe.
func (s *stamps) of(x subject) uint64 { return s.stripes[x%stripeCount].Load() }

// announce gives x a new stamp, higher than that of every load that has begun.
//
// The stripe is written before last: whoever reads the new last, and so could
// stamp a load with it, began after this change.
func (s *stamps) announce(x subject) { s.put(&s.stripes[x%stripeCount]) }

// known returns the stamp at which d became known, or one that shares its stripe.
func (s *stamps) known(d *sallyport.Digest) uint64 {
	return s.digests[digestSubject(d)%stripeCount].Load()
}

// announceKnown is announce, of a digest that became known.
func (s *stamps) announceKnown(d *sallyport.Digest) {
	s.put(&s.digests[digestSubject(d)%stripeCount])
}

func (s *stamps) put(stripe *atomic.Uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.last.Load() + 1
	stripe.Store(next)
	s.last.Store(next)
}

func credentialSubject(id string) subject { return subject(xxhash.Sum64String(id)) }

func tenantSubject(api, id string) subject {
	return subject(xxhash.Sum64String(api)*31 + xxhash.Sum64String(id))
}

func userSubject(api, tenant, id string) subject {
	return (tenantSubject(api, tenant))*31 + subject(xxhash.Sum64String(id))
}

func digestSubject(d *sallyport.Digest) subject { return subject(xxhash.Sum64(d[:])) }
