package ratelimit

import (
	"bytes"
	"context"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport"
)

const shardCount = 64

// Memory keeps counters in this process: exact, sharded, bounded by what is
// live. The zero value is not ready; use NewMemory.
type Memory struct {
	seed   maphash.Seed
	shards [shardCount]shard
	recent recent
	zones  Zones
}

type shard struct {
	mu       sync.Mutex
	counters map[string]*counter // guarded by mu
	sweepAt  int                 // guarded by mu: with so many counters, dead ones are looked for
	kept     bool                // guarded by mu: a journal wants to know what changes
	touched  []*counter          // guarded by mu: changed since the journal last looked
	_        [8]byte             // shards do not share cache lines
}

// counter is the windows of one limit for one subject. Nearly all have one or
// two, and a short name, which need no allocation of their own: each is one more
// for the garbage collector to look at.
type counter struct {
	key     string
	latest  int64 // when the last call was, in Unix microseconds
	slots   []slot
	touched bool
	short   [47]byte // key, if that is long enough
	two     [2]slot
}

func newCounter(key []byte) *counter {
	c := new(counter)
	c.slots = c.two[:0]
	if len(key) == 0 || len(key) > len(c.short) {
		c.key = string(key)
	} else {
		c.key = unsafe.String(&c.short[0], copy(c.short[:], key)) // which nobody writes to again
	}
	return c
}

// firstSweep is how many counters a shard holds before it first looks for dead
// ones; after that it looks whenever their number has doubled.
const firstSweep = 1024

// NewMemory returns empty counters.
func NewMemory() *Memory {
	m := &Memory{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].counters = make(map[string]*counter)
		m.shards[i].sweepAt = firstSweep
	}
	m.recent.init()
	return m
}

// located is a charge with its counter's shard and name, which is text[from:to]
// of its batch: offsets, so that a batch can stay on the stack.
type located struct {
	charge   *sallyport.Charge
	counter  *counter // once its shard is locked
	from, to int
	shard    uint32
}

// batch is the counters of one call.
type batch struct {
	calls []located // in the order of their charges
	order []uint32  // their shards, ascending
	text  []byte
	now   moment
}

func (b *batch) key(i int) []byte { return b.text[b.calls[i].from:b.calls[i].to] }

// Take implements Counters. It never fails.
func (m *Memory) Take(_ context.Context, call Call) (v sallyport.Verdict, _ error) {
	var few [4]located
	var order [4]uint32
	var text [256]byte
	b, id := m.locate(batch{few[:0], order[:0], text[:0], at(call.Now)}, &call)
	if len(b.calls) == 0 {
		return sallyport.Verdict{Allowed: true}, nil
	}
	if call.SID == "" || call.Hits == 0 || call.Dry {
		m.lock(&b)
		v = m.takeLocked(&b, call.Hits, !call.Dry)
		m.unlock(&b)
		return v, nil
	}

	// A retry may come while its first try is still here: the memory of
	// charged ids is held until it is known whether this one was charged.
	seen := m.recent.lock(maphash.String(m.seed, call.SID)^id, call.Now)
	defer seen.unlock()
	hits := call.Hits
	if seen.charged() {
		hits = 0
	}
	m.lock(&b)
	v = m.takeLocked(&b, hits, true)
	m.unlock(&b)
	if v.Allowed && hits > 0 {
		seen.remember()
	}
	return v, nil
}

// locate adds the counters of call's charges to b. The id tells these counters
// from others.
func (m *Memory) locate(b batch, call *Call) (_ batch, id uint64) {
	for i := range call.Charges {
		from := len(b.text)
		b.text = AppendKey(b.text, call.Charges[i].Limit, call.Subject)
		key := b.text[from:]
		if b.names(key) {
			continue // a counter that is named twice is taken from once
		}
		hash := maphash.Bytes(m.seed, key)
		id ^= hash
		shard := uint32(hash % shardCount)
		b.calls = append(b.calls, located{charge: &call.Charges[i], from: from, to: len(b.text), shard: shard})
		b.order = append(b.order, shard)
	}
	// Shards are locked in one order, so that two calls never wait for each
	// other.
	if len(b.order) > 1 {
		slices.Sort(b.order)
	}
	return b, id
}

func (b *batch) names(key []byte) bool {
	for i := range b.calls {
		if bytes.Equal(b.key(i), key) {
			return true
		}
	}
	return false
}

// lock locks the shards of b and finds its counters there. From then on b is no
// earlier than what came to these before it.
func (m *Memory) lock(b *batch) {
	for i, shard := range b.order {
		if i == 0 || shard != b.order[i-1] {
			m.shards[shard].mu.Lock()
		}
	}
	for i := range b.calls {
		c := m.shards[b.calls[i].shard].counterLocked(b.key(i))
		b.calls[i].counter, b.now = c, c.after(b.now)
	}
	for i := range b.calls {
		b.calls[i].counter.latest = b.now.micro
	}
}

// after is now, or when the last call to c was, where that is a little later: that
// call has read the clock after this one, and came before it. So nobody is told to
// wait for longer than a window. A clock that has been set back is believed.
func (c *counter) after(now moment) moment {
	if late := c.latest - now.micro; 0 < late && late < int64(time.Second/time.Microsecond) {
		return at(time.UnixMicro(c.latest))
	}
	return now
}

func (m *Memory) unlock(b *batch) {
	for i, shard := range b.order {
		if i == 0 || shard != b.order[i-1] {
			m.shards[shard].tidyLocked(b.now.second)
			m.shards[shard].mu.Unlock()
		}
	}
}

// takeLocked looks at every window, before and as it would be after the take,
// and takes, where it is to, if none is exhausted.
func (m *Memory) takeLocked(b *batch, hits uint64, take bool) sallyport.Verdict {
	j := Judge{Hits: hits}
	take = take && hits > 0
	for i := range b.calls {
		c, charge := b.calls[i].counter, b.calls[i].charge
		if len(charge.Windows) == 0 { // for this plan
			j.SeeNone(charge.Limit, b.now.micro)
		}
		for k := range charge.Windows {
			w := &charge.Windows[k]
			o := c.slot(kindOf(w)).advance(w, b.now, m.zones.Of(w), hits)
			if o.Left < hits || !take || w.Algorithm == sallyport.Fixed || charge.Limit.Shadow {
				j.See(charge.Limit, w, o, false) // others only the take itself can tell of
			}
		}
	}
	if take && !j.Refuses() {
		m.chargeLocked(b, hits, &j)
	}
	return j.Verdict(b.now.micro)
}

// chargeLocked takes hits from every window of b, all of which have been
// advanced, and shows j those that it has not seen.
func (m *Memory) chargeLocked(b *batch, hits uint64, j *Judge) {
	for i := range b.calls {
		c, charge := b.calls[i].counter, b.calls[i].charge
		for k := range charge.Windows {
			w := &charge.Windows[k]
			s := c.slot(kindOf(w))
			s.take(w, b.now, hits)
			m.shards[b.calls[i].shard].touchLocked(c)
			if w.Algorithm != sallyport.Fixed && !charge.Limit.Shadow {
				j.See(charge.Limit, w, s.advance(w, b.now, nil, 0), true)
			}
		}
	}
}

// each calls do with every window of call, advanced to the moment that it is told,
// all counters locked.
func (m *Memory) each(call *Call, do func(moment, *sallyport.Charge, *sallyport.Window, *slot, Outlook)) {
	b, _ := m.locate(batch{now: at(call.Now)}, call)
	m.lock(&b)
	defer m.unlock(&b)
	for i := range b.calls {
		c, charge := b.calls[i].counter, b.calls[i].charge
		for j := range charge.Windows {
			w := &charge.Windows[j]
			s := c.slot(kindOf(w))
			do(b.now, charge, w, s, s.advance(w, b.now, m.zones.Of(w), 0))
			m.shards[b.calls[i].shard].touchLocked(c)
		}
	}
}

// Force implements Counters.
func (m *Memory) Force(_ context.Context, call Call) error {
	m.each(&call, func(now moment, _ *sallyport.Charge, w *sallyport.Window, s *slot, _ Outlook) {
		s.take(w, now, call.Hits)
	})
	return nil
}

// Refund implements Counters.
func (m *Memory) Refund(_ context.Context, call Call) error {
	m.each(&call, func(_ moment, _ *sallyport.Charge, _ *sallyport.Window, s *slot, _ Outlook) { s.give(call.Hits) })
	return nil
}

// Reset implements Counters.
func (m *Memory) Reset(_ context.Context, call Call) error {
	m.each(&call, func(_ moment, _ *sallyport.Charge, _ *sallyport.Window, s *slot, _ Outlook) { *s = slot{kind: s.kind} })
	return nil
}

// Look implements Counters.
func (m *Memory) Look(_ context.Context, call Call) (all []Standing, _ error) {
	for i := range call.Charges { // one by one, in order
		one := call
		one.Charges = call.Charges[i : i+1]
		m.each(&one, func(_ moment, c *sallyport.Charge, w *sallyport.Window, _ *slot, o Outlook) {
			all = append(all, Standing{
				Limit: c.Limit, Window: *w, Used: less(w.Size(), o.Left), Remaining: o.Left, Reset: time.UnixMicro(o.Reset),
			})
		})
	}
	return all, nil
}

// Count implements Counters.
func (m *Memory) Count(_ context.Context, now time.Time, tallies []Tally) error {
	moment := at(now)
	for i := range tallies {
		t := &tallies[i]
		shard := m.shard(t.Key)
		shard.mu.Lock()
		c := shard.counterLocked(t.Key)
		moment := c.after(moment)
		c.latest = moment.micro
		shard.touchLocked(c)
		s := c.slot(kindOf(&t.Window))
		o := s.advance(&t.Window, moment, m.zones.Of(&t.Window), 0)
		if t.Back {
			s.give(t.Hits)
		} else {
			s.take(&t.Window, moment, t.Hits)
		}
		t.Used, t.Reset, t.At = s.used, time.UnixMicro(o.Reset), now
		shard.tidyLocked(moment.second)
		shard.mu.Unlock()
	}
	return nil
}

// counterLocked returns the counter called key, new where there is none.
func (s *shard) counterLocked(key []byte) *counter {
	if c, ok := s.counters[string(key)]; ok {
		return c
	}
	c := newCounter(key)
	s.counters[c.key] = c
	return c
}

// touchLocked notes for the journal that c has changed.
func (s *shard) touchLocked(c *counter) {
	if s.kept && !c.touched {
		c.touched = true
		s.touched = append(s.touched, c)
	}
}

func (m *Memory) shard(key []byte) *shard { return &m.shards[maphash.Bytes(m.seed, key)%shardCount] }

// Sweep forgets the counters that cannot matter any more, and the memory that
// they took. Whoever calls it now and then has memory bounded by what is live
// and what came since.
func (m *Memory) Sweep(now time.Time) {
	for i := range m.shards {
		m.shards[i].sweep(now.Unix())
	}
}

func (s *shard) sweep(second int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.counters)
	s.sweepLocked(second)
	if len(s.counters) < before/4 { // a map never shrinks by itself
		live := make(map[string]*counter, len(s.counters))
		maps.Copy(live, s.counters)
		s.counters = live
	}
}

// tidyLocked forgets dead counters once there are many more than there were: not
// while a batch is at work, whose new counters look dead until they are taken
// from.
func (s *shard) tidyLocked(second int64) {
	if len(s.counters) > s.sweepAt {
		s.sweepLocked(second)
	}
}

func (s *shard) sweepLocked(second int64) {
	for k, c := range s.counters {
		if c.dead(second) {
			delete(s.counters, k)
		}
	}
	s.sweepAt = max(firstSweep, 2*len(s.counters))
}

// slot returns the state of the window of kind k.
func (c *counter) slot(k kind) *slot {
	for i := range c.slots {
		if c.slots[i].kind == k {
			return &c.slots[i]
		}
	}
	c.slots = append(c.slots, slot{kind: k})
	return &c.slots[len(c.slots)-1]
}

// dead reports whether nothing that c counted can matter any more.
func (c *counter) dead(second int64) bool {
	for i := range c.slots {
		if s := &c.slots[i]; (s.used > 0 || s.marks.sum() > 0) && s.until() > second {
			return false
		}
	}
	return true
}

// until is a second at which nothing of s is left to count. A bucket that is
// fuller than its window allows, after a plan has shrunk, lives longer.
func (s *slot) until() int64 {
	if s.kind.algorithm() == sallyport.Fixed {
		return s.start + s.kind.longest()
	}
	until := int64(0)
	if s.kind.algorithm() == sallyport.Bucket && s.used > 0 {
		until = s.start/1e6 + 16*s.kind.longest()
	}
	if s.marks.sum() > 0 {
		until = max(until, s.marks.list[len(s.marks.list)-1].at/1e6+s.kind.longest()+1)
	}
	return until
}

// Len returns how many counters are held, dead ones included.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		m.shards[i].mu.Lock()
		n += len(m.shards[i].counters)
		m.shards[i].mu.Unlock()
	}
	return n
}
