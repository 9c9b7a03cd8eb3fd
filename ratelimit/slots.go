package ratelimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
)

// Leases keep who is in flight. A lease is held under the proxy's id of the
// stream, so that the proxy's word that the stream has ended releases it. Safe
// for concurrent use.
type Leases interface {
	// Hold takes a slot of every limit for s under sid, or none and returns the
	// limit that was full. It may wait for one as long as the longest Wait of
	// those limits that are not in shadow. A sid that holds already is a proxy's retry: it holds what it
	// held. An error means that the slots could not be asked, and that none is
	// held.
	Hold(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, limits []*sallyport.Limit) (full *sallyport.Limit, err error)

	// Free gives back what sid holds: the request was refused after all.
	Free(sid string)

	// End gives back what sid holds, and what it is about to hold: the stream
	// is over. It may come before the Hold of the same stream.
	End(sid string)

	// Renew says that the stream of sid lived at now.
	Renew(sid string, now time.Time)
}

const (
	// ReportEvery is how often the proxy is to report of each stream that goes
	// on, and leaseFor how long a lease lives without a sign: a report may be
	// lost, and the slots of a proxy that is gone are free after that time.
	ReportEvery = 10 * time.Second
	leaseFor    = 3 * ReportEvery
)

// Slots are Leases in this process: exact, fair, and bounded by what is in
// flight. A Hold and an End cost a lock, three looks into maps, and no
// allocation for a subject that was seen before.
//
// A caller that keeps N requests in flight, and starts the next when the answer
// to one has come, would be refused now and then: its request overtakes the
// proxy's word that the last stream ended. So a Hold that finds a limit full
// waits, in order of arrival.
//
// Limits in shadow count and refuse nobody: InFlight tells who is above.
type Slots struct {
	now  func() time.Time
	base time.Time // moments are counted from here

	mu      sync.Mutex // guards all below
	places  map[string]*place
	sweepAt int                  // with so many places, idle ones are looked for
	leases  map[streamID]*lease  // who holds
	waiters map[streamID]*waiter // who wants to
	ended   graves               // whose Hold may come yet, too late
	ring    lease                // of all leases: next is the one without a sign for longest
	spare   *lease               // linked by next
	spares  int                  // how many
	arrived uint64               // waiters so far
	expired uint64               // leases so far that ended for want of a sign
}

var _ Leases = (*Slots)(nil)

// place is how many are in flight under one limit for one subject.
type place struct {
	used   int
	wanted int // by waiters, in this queue or in another's
	queued int
	first  *waiter
	last   *waiter
}

// lease is what one stream holds.
type lease struct {
	id         streamID
	sign       time.Duration // when the stream was last known to live
	retries    uint8
	places     []*place
	two        [2]*place
	prev, next *lease
}

// waiter is one stream that waits until none of its limits is full. It holds
// nothing meanwhile, so waiters cannot wait for each other.
type waiter struct {
	id      streamID
	arrival uint64
	needs   []need
	settled chan struct{} // closed once it is known what comes of it
	granted bool          // to be read after that
	full    *sallyport.Limit
	callers int // who wait for it: more than one where the proxy tries again
	retries uint8

	queue      *place
	prev, next *waiter
}

// need is one limit and its place.
type need struct {
	limit *sallyport.Limit
	place *place
}

func (n *need) full() bool {
	return !n.limit.Shadow && n.place.used >= int(n.limit.Concurrency)
}

// most is how many may wait for a limit: a flood beyond is refused at once, so
// that it does not pile up here.
func most(limit *sallyport.Limit) int { return 4*int(limit.Concurrency) + 16 }

const mostSpares = 4096

var errNoSID = errors.New("the request has no sid, so nothing could ever release its slots")

// NewSlots returns Slots of which none is held. now tells the time to those
// methods that are not given it; a Hold's own time should come from the same
// clock.
func NewSlots(now func() time.Time) *Slots {
	l := &Slots{
		now: now, base: now(), sweepAt: firstSweep,
		places: make(map[string]*place), leases: make(map[streamID]*lease), waiters: make(map[streamID]*waiter),
	}
	l.ring.prev, l.ring.next = &l.ring, &l.ring
	return l
}

// Hold implements Leases. Its only error is an empty sid. A sid that comes more
// often than a proxy tries again is refused: where nothing in front of us sets
// the sid, a client could choose it. So is one whose stream has ended, and one
// whose ctx ends while it waits: nobody is there to be answered.
func (l *Slots) Hold(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, limits []*sallyport.Limit) (full *sallyport.Limit, err error) {
	if len(limits) == 0 {
		return nil, nil
	}
	if sid == "" {
		return nil, errNoSID
	}
	id, at := streamOf(sid), now.Sub(l.base)
	wait := longest(limits)
	l.mu.Lock()
	l.expireLocked(at)
	w, full := l.holdLocked(id, at, s, limits, wait > 0)
	l.mu.Unlock()
	if w == nil {
		return full, nil
	}
	return l.await(ctx, w, wait), nil
}

// longest is the longest wait of those of limits that may be full.
func longest(limits []*sallyport.Limit) (wait time.Duration) {
	for _, limit := range limits {
		if !limit.Shadow {
			wait = max(wait, limit.Wait)
		}
	}
	return wait
}

// holdLocked takes the slots of id, or says which limit is full, or, where it
// may, returns whom to wait for.
func (l *Slots) holdLocked(id streamID, at time.Duration, s *sallyport.Subject, limits []*sallyport.Limit, patient bool) (*waiter, *sallyport.Limit) {
	if held := l.leases[id]; held != nil {
		if held.retries == forgiven {
			return nil, limits[0]
		}
		held.retries++
		l.signLocked(held, at)
		return nil, nil
	}
	if l.ended.hold(id, at) {
		return nil, limits[0]
	}
	if w := l.waiters[id]; w != nil {
		if w.retries == forgiven {
			return nil, limits[0]
		}
		w.retries++
		w.callers++
		return w, nil
	}
	var few [4]need
	needs := l.needLocked(few[:0], s, limits)
	var short *need
	for i := range needs {
		if n := &needs[i]; n.full() || n.place.queued > 0 && !n.limit.Shadow {
			short = n
			break
		}
	}
	if short == nil {
		l.grantLocked(id, at, 0, needs)
		return nil, nil
	}
	if !patient || short.place.queued >= most(short.limit) {
		unpin(needs)
		return nil, short.limit
	}
	l.arrived++
	w := &waiter{id: id, arrival: l.arrived, needs: append([]need(nil), needs...), settled: make(chan struct{}), callers: 1}
	l.waiters[id] = w
	w.enqueue(short)
	return w, nil
}

// needLocked finds the places of limits for s, and pins them: a sweep leaves
// them until unpin.
func (l *Slots) needLocked(needs []need, s *sallyport.Subject, limits []*sallyport.Limit) []need {
	var text [256]byte
	for _, limit := range limits {
		key := AppendKey(text[:0], limit, s)
		p, ok := l.places[string(key)]
		if !ok {
			p = l.newPlaceLocked(string(key))
		}
		p.wanted++
		needs = append(needs, need{limit, p})
	}
	return needs
}

func unpin(needs []need) {
	for i := range needs {
		needs[i].place.wanted--
	}
}

func (l *Slots) newPlaceLocked(key string) *place {
	if len(l.places) >= l.sweepAt {
		for k, p := range l.places {
			if p.used == 0 && p.wanted == 0 {
				delete(l.places, k)
			}
		}
		l.sweepAt = max(firstSweep, 2*len(l.places))
	}
	p := &place{}
	l.places[key] = p
	return p
}

// grantLocked makes id hold a slot of each of needs, and unpins them.
func (l *Slots) grantLocked(id streamID, at time.Duration, retries uint8, needs []need) {
	held := l.spare
	if held == nil {
		held = &lease{}
	} else {
		l.spare = held.next
		l.spares--
	}
	held.id, held.retries, held.places = id, retries, held.two[:0]
	for i := range needs {
		p := needs[i].place
		p.used++
		held.places = append(held.places, p)
	}
	unpin(needs)
	l.leases[id] = held
	held.prev, held.next = held, held
	l.signLocked(held, at)
}

// signLocked notes that the stream of held lived at the moment.
func (l *Slots) signLocked(held *lease, at time.Duration) {
	held.sign = at
	held.prev.next, held.next.prev = held.next, held.prev
	held.prev, held.next = l.ring.prev, &l.ring
	held.prev.next, l.ring.prev = held, held
}

// releaseLocked gives back what held holds, to those who wait for it.
func (l *Slots) releaseLocked(held *lease) {
	delete(l.leases, held.id)
	held.prev.next, held.next.prev = held.next, held.prev
	for _, p := range held.places {
		p.used--
	}
	for _, p := range held.places {
		l.serveLocked(p)
	}
	held.prev, held.next, held.places, held.two = nil, nil, nil, [2]*place{}
	if l.spares < mostSpares {
		held.next, l.spare = l.spare, held
		l.spares++
	}
}

// serveLocked grants what those who wait at p can have now. The first in the
// queue who lacks another limit than p's goes to wait there, at the place that
// its arrival gives it.
func (l *Slots) serveLocked(p *place) {
	for w := p.first; w != nil; w = p.first {
		var short *need
		for i := range w.needs {
			if n := &w.needs[i]; n.full() && (short == nil || n.place == p) {
				short = n
			}
		}
		switch {
		case short == nil:
			l.settleLocked(w, true)
		case short.place == p:
			return
		case short.place.queued >= most(short.limit):
			w.full = short.limit
			l.settleLocked(w, false)
		default:
			w.dequeue()
			w.enqueue(short)
		}
	}
}

// settleLocked ends the waiting of w.
func (l *Slots) settleLocked(w *waiter, grant bool) {
	w.dequeue()
	delete(l.waiters, w.id)
	if w.granted = grant; grant {
		l.grantLocked(w.id, l.now().Sub(l.base), w.retries, w.needs)
	} else {
		unpin(w.needs)
	}
	close(w.settled)
}

// await waits until w is settled, for as long as patience and ctx last.
func (l *Slots) await(ctx context.Context, w *waiter, patience time.Duration) (full *sallyport.Limit) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.settled:
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.callers--
	if w.queue != nil {
		if w.callers == 0 {
			p := w.queue
			l.settleLocked(w, false)
			l.serveLocked(p)
		}
		return w.full
	}
	if !w.granted {
		return w.full
	}
	// A slot that was given to somebody who has left goes on to the next, save
	// where the proxy tried again and so still wants it.
	if held := l.leases[w.id]; ctx.Err() != nil && w.callers == 0 && held != nil && held.retries == w.retries {
		l.releaseLocked(held)
		return w.full
	}
	return nil
}

// enqueue puts w among those who wait for n, by arrival.
func (w *waiter) enqueue(n *need) {
	p := n.place
	w.queue, w.full = p, n.limit
	w.prev = p.last
	for w.prev != nil && w.prev.arrival > w.arrival {
		w.prev = w.prev.prev
	}
	if w.prev == nil {
		w.next, p.first = p.first, w
	} else {
		w.next, w.prev.next = w.prev.next, w
	}
	if w.next == nil {
		p.last = w
	} else {
		w.next.prev = w
	}
	p.queued++
}

func (w *waiter) dequeue() {
	p := w.queue
	if w.prev == nil {
		p.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		p.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	p.queued--
	w.queue, w.prev, w.next = nil, nil, nil
}

// Free implements Leases.
func (l *Slots) Free(sid string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.leases[streamOf(sid)]; held != nil {
		l.releaseLocked(held)
	}
}

// End implements Leases. Where nothing was held, or the proxy has tried more
// than once, a Hold of the stream may still be on its way: it is refused for
// some seconds.
func (l *Slots) End(sid string) {
	if sid == "" {
		return
	}
	id := streamOf(sid)
	l.mu.Lock()
	defer l.mu.Unlock()
	held := l.leases[id]
	if held == nil || held.retries > 0 {
		l.ended.add(id, l.now().Sub(l.base))
	}
	if held != nil {
		l.releaseLocked(held)
	}
	if w := l.waiters[id]; w != nil {
		p := w.queue
		l.settleLocked(w, false)
		l.serveLocked(p)
	}
}

// Renew implements Leases. A sid that holds nothing stays so.
func (l *Slots) Renew(sid string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held := l.leases[streamOf(sid)]; held != nil {
		l.signLocked(held, now.Sub(l.base))
	}
}

// expireLocked ends the leases that have been without a sign for too long.
func (l *Slots) expireLocked(at time.Duration) {
	for held := l.ring.next; held != &l.ring && at-held.sign >= leaseFor; held = l.ring.next {
		l.releaseLocked(held)
		l.expired++
	}
}

// InFlight returns how many are in flight under limit for s.
func (l *Slots) InFlight(limit *sallyport.Limit, s *sallyport.Subject) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(l.now().Sub(l.base))
	if p := l.places[string(AppendKey(nil, limit, s))]; p != nil {
		return p.used
	}
	return 0
}

// Held returns how many streams hold slots.
func (l *Slots) Held() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(l.now().Sub(l.base))
	return len(l.leases)
}

// Expired returns how many leases have ended for want of a sign since the
// start: of proxies that are gone, or whose access log does not reach us.
func (l *Slots) Expired() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expireLocked(l.now().Sub(l.base))
	return l.expired
}
