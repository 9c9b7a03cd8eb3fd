package ratelimit

import (
	"sync"
	"time"
)

// recent remembers which calls were charged in the last seconds, so that a
// proxy's retry is not charged twice. It is a fixed table: an entry that is
// overwritten early means one retry charged twice, never a request uncharged.
//
// An id that is sent again and again is forgiven only as often as a proxy
// retries: where nothing in front of us sets the sid, a client could choose it.
type recent struct {
	shards [recentShards]recentShard
}

const (
	recentShards = 64
	recentWays   = 4
	recentSets   = 256 // sets of recentWays a shard: 65,536 entries in all
	recentFor    = 5 * time.Second
	forgiven     = 3
)

type recentShard struct {
	mu      sync.Mutex
	entries []recentEntry // guarded by mu; sets of recentWays side by side
}

type recentEntry struct {
	id      uint64
	at      int64 // UnixNano of the charge
	retries uint8
}

func (r *recent) init() {
	for i := range r.shards {
		r.shards[i].entries = make([]recentEntry, recentSets*recentWays)
	}
}

// claim is one id's place in the table, locked.
type claim struct {
	shard *recentShard
	set   []recentEntry
	id    uint64
	now   int64
}

func (r *recent) lock(id uint64, now time.Time) claim {
	s := &r.shards[id%recentShards]
	set := int(id/recentShards%recentSets) * recentWays
	s.mu.Lock()
	return claim{shard: s, set: s.entries[set : set+recentWays], id: id, now: now.UnixNano()}
}

func (c *claim) unlock() { c.shard.mu.Unlock() }

// charged reports whether the id was charged a moment ago and may be forgiven.
func (c *claim) charged() bool {
	for i := range c.set {
		e := &c.set[i]
		if e.id == c.id && c.now-e.at < int64(recentFor) && e.retries < forgiven {
			e.retries++
			return true
		}
	}
	return false
}

// known reports whether the id was charged a moment ago, forgiven or not.
func (c *claim) known() bool {
	for i := range c.set {
		if e := &c.set[i]; e.id == c.id && c.now-e.at < int64(recentFor) {
			return true
		}
	}
	return false
}

// remember notes that the id was charged now, in place of the oldest.
func (c *claim) remember() {
	oldest := &c.set[0]
	for i := range c.set {
		if e := &c.set[i]; e.id == c.id {
			oldest = e
			break
		} else if e.at < oldest.at {
			oldest = e
		}
	}
	*oldest = recentEntry{id: c.id, at: c.now}
}
