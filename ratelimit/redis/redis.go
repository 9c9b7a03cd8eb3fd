// Package redis keeps counters in Redis (or Valkey), so that instances that
// share one answer as one: exact, all or none, one script call for a request
// whatever the number of its windows (and for several requests at a time), and the
// server's clock for all. Slots keep who is in flight there, for the same
// instances; see Slots.
//
// # Loss
//
// A call waits until Redis has been silent for Options.Timeout, and at most twenty
// times that while others are answered or this machine is too busy to tell; after
// a loss none waits:
// three calls in a row that got no answer in time, or one dead connection or
// answer that the server cannot serve (loading, read-only, full, wrong password),
// and the counters are lost. Options.OnLoss says what is answered then. A probe
// ten times a second, which writes as a call does, joins them again; nothing has
// to be restarted, and Redis need not be there at the start. In a cluster the
// loss of one master leaves the others' tenants alone.
//
// A Take that failed may have counted or not: Redis may have received it. A retry
// with the same sid is safe.
//
// While lost, with OnLossLocal, each instance counts in its own memory, against
// Options.Share percent of each limit. When Redis is back, what was taken in that
// time is added to it, save hits of calls that Redis may have counted itself
// (those whose fate was open when it was lost), refunds of what was taken before,
// and what is beyond the largest number of callers remembered (50,000; in a
// cluster 2,000 in each of 64 ranges of slots). What
// Redis had counted before the loss, the instance does not know: a caller may get
// its share once more, until Redis is back.
//
// # Keys
//
// Keys hold hashes, never a credential; each expires when it can matter no more.
// Memory is about 100 bytes for a fixed window and up to 2 KB for a sliding one.
// All keys of one call are in one slot of a cluster: see Counters.Know. Redis must
// not evict them (maxmemory-policy noeviction), or callers get their quota anew;
// a Redis that fails over may lose the last moments of counting, since it
// replicates without waiting.
//
// # Cost
//
// What is asked while a call is under way waits for its end, and then goes to Redis
// as one call to the script, so that the more ask at a time, the less each costs.
// (Not in a cluster, where one call's keys are in one slot.) A Take is one MGET and
// one SET for each counter and for the sid, from Lua. Where all windows are fixed,
// Redis uses about 1.7 times the CPU of a script with these commands alone; other
// windows are dearer by half. A tally in a fixed window is one INCRBY. A client
// allocates about 1 KB a call.
package redis

import (
	"context"
	"crypto/sha1"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	_ "embed" // the script

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/ratelimit"
)

// OnLoss says what is answered while Redis does not answer. The zero value
// leaves it to each API's configuration.
type OnLoss uint8

const (
	// OnLossFail returns an error, which each API treats as its on_failure says.
	OnLossFail OnLoss = iota
	// OnLossLocal counts in this process, against a share of each limit.
	OnLossLocal
	// OnLossOpen allows everything.
	OnLossOpen
	// OnLossClosed returns an error whose method Closed returns true: whatever
	// the API says of failures, the request is refused.
	OnLossClosed
)

// Options say where Redis is and how to live without it. Only Addresses is
// required.
type Options struct {
	Addresses      []string // host:port: of one server, of some of a cluster's, or of the sentinels
	Cluster        bool
	SentinelMaster string // the name that sentinels know the master by; "": no sentinels
	Username       string
	Password       apikey.Secret // the zero value: none
	Sentinel       struct {      // of the sentinels themselves
		Username string
		Password apikey.Secret
	}
	Database int
	TLS      *tls.Config // nil: none

	Prefix  string        // of every key; "": "sallyport:"
	Timeout time.Duration // of one call, all included; 0: 100 ms
	OnLoss  OnLoss
	Share   uint32      // of OnLossLocal: percent of each limit; 0: 100
	Changed func(State) // called when State.Lost changes, one call at a time; must not wait for the counters

	clock func() time.Time // of tests: in place of the server's clock
}

// Defaults of Options.
const (
	defaultPrefix  = "sallyport:"
	defaultTimeout = 100 * time.Millisecond
)

// State is how the counters stand with Redis, and what has happened so far.
type State struct {
	Lost    int // parts of the counters that Redis does not answer for
	Parts   int // of so many: 1, in a cluster more
	Since   time.Time
	Cause   error // of the last loss; nil where there was none
	Calls   uint64
	Failed  uint64 // calls that Redis failed
	Alone   uint64 // calls that were answered without Redis
	Losses  uint64 // times that a part was lost
	Carried uint64 // hits that were taken alone and added to Redis later
	Dropped uint64 // callers whose hits were not: more of them than are remembered, or Redis failed again
}

// Joined reports whether Redis answers for all counters.
func (s State) Joined() bool { return s.Lost == 0 }

//go:embed counters.lua
var script string

// Counters are ratelimit.Counters in Redis. Safe for concurrent use.
type Counters struct {
	options Options
	script  *rueidis.Lua
	sha     string // of the script
	now     func() time.Time

	apart    atomic.Pointer[map[string]bool] // APIs whose keys are by tenant; nil: none is known
	link     atomic.Pointer[link]            // nil while there is no connection to try
	parts    []*part
	gathered gathering
	room     chan struct{} // holds one for each call under way
	zones    ratelimit.Zones
	alone    *alone        // nil unless OnLoss is OnLossLocal
	changed  chan struct{} // wakes the keeper: a part was lost

	calls, failed, unheard, losses, carried, dropped atomic.Uint64

	mu    sync.Mutex
	since time.Time // guarded by mu
	cause error     // guarded by mu

	stop  context.CancelFunc
	ended chan struct{} // closed when the keeper has ended
	links sync.WaitGroup
}

// How many calls may be under way at once, and how many requests one of them holds.
// Further ones wait for their turn as long as for an answer.
//
// A server works off all that it finds on a connection before it answers any of
// it: a hundred calls at once would look like a Redis that is silent. To a cluster
// there are more, and still fewer than the queue of rueidis holds: a call that it
// has no place for would wait for ever.
const (
	mostCalls        = 32
	mostClusterCalls = 512
)

// Open checks o and returns counters that are lost until Redis is there, which
// they look for in the background until Close. ctx bounds nothing but how long New
// waits for Redis to be there from the start; it is no error if it is not.
func Open(ctx context.Context, o Options) (*Counters, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &Counters{
		options: o,
		script:  rueidis.NewLuaScript(script),
		sha:     fmt.Sprintf("%x", sha1.Sum([]byte(script))), // which is how Redis names scripts
		now:     time.Now,
		room:    make(chan struct{}, mostCalls),
		changed: make(chan struct{}, 1),
		ended:   make(chan struct{}),
	}
	if o.Cluster {
		c.room = make(chan struct{}, mostClusterCalls)
	}
	if o.clock != nil {
		c.now = o.clock
	}
	if o.OnLoss == OnLossLocal {
		c.alone = newAlone(o.Share)
	}
	c.parts = newParts(o.Cluster)
	c.since = c.now()
	keeping, stop := context.WithCancel(context.Background())
	c.stop = stop
	first := make(chan struct{})
	go c.keep(keeping, first)
	select {
	case <-first:
	case <-ctx.Done():
	}
	return c, nil
}

// complete fills in what o leaves out.
func (o *Options) complete() error {
	switch {
	case len(o.Addresses) == 0:
		return errors.New("no address of Redis is given: write host:port")
	case o.Cluster && o.SentinelMaster != "":
		return errors.New("a Redis is either a cluster or watched by sentinels: leave one out")
	case o.Cluster && o.Database != 0:
		return fmt.Errorf("a cluster of Redis has no database %d: leave it out", o.Database)
	case strings.ContainsAny(o.Prefix, "{}"):
		return fmt.Errorf("the prefix %q has braces, which decide the slot in a cluster: leave them out", o.Prefix)
	case o.Share > 100:
		return fmt.Errorf("a share of %d%% would be more than the limit: write 1 to 100", o.Share)
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Share == 0 {
		o.Share = 100
	}
	return nil
}

// Know tells the counters which APIs there are, at the start and at each reload.
// Where every limit of an API counts per tenant, credential or principal, its
// keys are spread over a cluster by tenant; else all of its keys share a slot, and
// so they do for an API that is not known. Counters of an API for which that
// changes begin anew. Without a cluster nothing depends on it.
func (c *Counters) Know(p *sallyport.Policy) {
	apart := make(map[string]bool)
	for _, a := range p.APIs {
		apart[a.Name] = withinTenant(a)
	}
	c.apart.Store(&apart)
}

// tag returns the hash tag of calls for s.
func (c *Counters) tag(s *sallyport.Subject) string {
	byTenant := false
	if apart := c.apart.Load(); apart != nil && c.options.Cluster {
		byTenant = (*apart)[s.API]
	}
	return tag(byTenant, s)
}

// State tells how the counters stand.
func (c *Counters) State() State {
	s := State{
		Parts: len(c.parts), Calls: c.calls.Load(), Failed: c.failed.Load(), Alone: c.unheard.Load(),
		Losses: c.losses.Load(), Carried: c.carried.Load(), Dropped: c.dropped.Load(),
	}
	for _, p := range c.parts {
		if p.lost.Load() {
			s.Lost++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Since, s.Cause = c.since, c.cause
	return s
}

// Close ends all connections and waits until nothing runs any more. Calls under
// way and later ones fail.
func (c *Counters) Close() {
	c.stop()
	<-c.ended
	c.links.Wait()
}

var _ ratelimit.Lender = (*Counters)(nil)
