package ratelimit

import (
	"bytes"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
)

const shardCount = 64

// Memory keeps counters in this process: exact, sharded, bounded by what is
// live, gone when the process ends. The zero value is not ready; use NewMemory.
type Memory struct {
	seed   maphash.Seed
	shards [shardCount]shard
	recent recent
}

type shard struct {
	mu       sync.Mutex
	counters map[string]*counter // guarded by mu
	sweepAt  int                 // guarded by mu: with so many counters, dead ones are looked for
	_        [40]byte            // shards do not share cache lines
}

// counter is the windows of one limit for one subject. Nearly all have one or
// two, which need no second allocation.
type counter struct {
	slots []slot
	two   [2]slot
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
	from, to int
	shard    uint32
}

// batch is the counters of one call.
type batch struct {
	calls []located
	text  []byte
}

func (b *batch) key(i int) []byte { return b.text[b.calls[i].from:b.calls[i].to] }

// Take implements Counters. It never fails.
func (m *Memory) Take(_ context.Context, call Call) (sallyport.Verdict, error) {
	var few [4]located
	var text [256]byte
	b, id := m.locate(batch{few[:0], text[:0]}, &call)
	if len(b.calls) == 0 {
		return sallyport.Verdict{Allowed: true}, nil
	}
	if call.SID == "" || call.Hits == 0 {
		return m.take(&b, call.Now, call.Hits), nil
	}

	// A retry may come while its first try is still here: the memory of
	// charged ids is held until it is known whether this one was charged.
	seen := m.recent.lock(maphash.String(m.seed, call.SID)^id, call.Now)
	defer seen.unlock()
	if seen.charged() {
		return m.take(&b, call.Now, 0), nil
	}
	v := m.take(&b, call.Now, call.Hits)
	if v.Allowed {
		seen.remember()
	}
	return v, nil
}

// locate adds the counters of call's charges to b. The id tells these counters
// from others.
func (m *Memory) locate(b batch, call *Call) (_ batch, id uint64) {
	for i := range call.Charges {
		from := len(b.text)
		b.text = appendKey(b.text, call.Charges[i].Limit, call.Subject)
		key := b.text[from:]
		if b.names(key) {
			continue // a counter that is named twice is taken from once
		}
		hash := maphash.Bytes(m.seed, key)
		id ^= hash
		b.calls = append(b.calls, located{&call.Charges[i], from, len(b.text), uint32(hash % shardCount)})
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

// take locks the shards of b in ascending order, so that two takes never wait
// for each other, and takes from all or none.
func (m *Memory) take(b *batch, now time.Time, hits uint64) sallyport.Verdict {
	if len(b.calls) > 1 {
		slices.SortFunc(b.calls, func(x, y located) int { return int(x.shard) - int(y.shard) })
	}
	for i := range b.calls {
		if i == 0 || b.calls[i].shard != b.calls[i-1].shard {
			m.shards[b.calls[i].shard].mu.Lock()
		}
	}
	v := m.takeLocked(b, now, hits)
	for i := range b.calls {
		if i == 0 || b.calls[i].shard != b.calls[i-1].shard {
			m.shards[b.calls[i].shard].mu.Unlock()
		}
	}
	return v
}

// takeLocked looks at every window, before and as it would be after the take,
// and takes if none is exhausted.
func (m *Memory) takeLocked(b *batch, now time.Time, hits uint64) sallyport.Verdict {
	var before, after teller
	second := now.Unix()
	for i := range b.calls {
		c, charge := m.counterLocked(b, i, second), b.calls[i].charge
		if len(charge.Windows) == 0 { // no windows for this plan: nothing is allowed
			before.see(charge.Limit.Name, sallyport.Window{Length: time.Hour}, slot{length: 3600}.at(second), true)
		}
		for _, w := range charge.Windows {
			s := c.slot(int64(w.Length / time.Second))
			*s = s.at(second)
			left := s.remaining(w.Max)
			before.see(charge.Limit.Name, w, *s, left < hits)
			taken := *s
			taken.used += min(hits, left)
			after.see(charge.Limit.Name, w, taken, false)
		}
	}
	if before.refused {
		v := before.verdict(now)
		v.Allowed = hits == 0 // looking is never refused
		return v
	}
	if hits > 0 {
		m.chargeLocked(b, second, hits)
	}
	return after.verdict(now)
}

// chargeLocked takes hits from every window of b; that they fit was seen.
func (m *Memory) chargeLocked(b *batch, second int64, hits uint64) {
	for i := range b.calls {
		c := m.counterLocked(b, i, second)
		for _, w := range b.calls[i].charge.Windows {
			c.slot(int64(w.Length / time.Second)).used += hits
		}
	}
}

func (m *Memory) counterLocked(b *batch, i int, second int64) *counter {
	return m.shards[b.calls[i].shard].counterLocked(b.key(i), second)
}

// counterLocked returns the counter called key, new where there is none.
func (s *shard) counterLocked(key []byte, second int64) *counter {
	if c, ok := s.counters[string(key)]; ok {
		return c
	}
	if len(s.counters) >= s.sweepAt {
		for k, c := range s.counters {
			if c.dead(second) {
				delete(s.counters, k)
			}
		}
		s.sweepAt = max(firstSweep, 2*len(s.counters))
	}
	c := &counter{}
	c.slots = c.two[:0]
	s.counters[string(key)] = c
	return c
}

// slot returns the state of the window of length seconds.
func (c *counter) slot(length int64) *slot {
	for i := range c.slots {
		if c.slots[i].length == length {
			return &c.slots[i]
		}
	}
	c.slots = append(c.slots, slot{length: length})
	return &c.slots[len(c.slots)-1]
}

// dead reports whether all windows of c have ended.
func (c *counter) dead(second int64) bool {
	for _, s := range c.slots {
		if s.end() > second {
			return false
		}
	}
	return true
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
