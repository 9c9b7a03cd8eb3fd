package extauthz

import (
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// cache remembers what loads have brought, as many entries as it has room for:
// every cost is 1 and ristretto's own overhead is left out, so that MaxCost is a
// number of entries. It may be used by many goroutines at a time, also while it is
// closed: a load outlives the caller that began it.
type cache[V any] struct {
	*ristretto.Cache[uint64, V]
	closing sync.RWMutex
	closed  bool
}

func newCache[V any](entries int) (*cache[V], error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, V]{
		NumCounters:        3 * int64(entries),
		MaxCost:            int64(entries),
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return &cache[V]{Cache: c}, nil
}

// keep remembers v for ttl, 0 is for good. When it returns, Get finds v, unless
// there was no room for it.
func (c *cache[V]) keep(key uint64, v V, ttl time.Duration) {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.closed {
		return // ristretto would panic, or wait for ever
	}
	c.SetWithTTL(key, v, 1, ttl)
	c.Wait()
}

// Close ends the cache's goroutines.
func (c *cache[V]) Close() {
	c.closing.Lock()
	defer c.closing.Unlock()
	c.closed = true
	c.Cache.Close()
}
