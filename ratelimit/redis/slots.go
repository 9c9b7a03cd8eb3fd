package redis

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	_ "embed" // the script

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

//go:embed slots.lua
var slotsScript string

// Slots are ratelimit.Leases that instances share: a stream may be held through
// one and ended through another, and all of them together let in no more than
// each limit says. They use the connection, the deadline and the fuse of
// Counters. Safe for concurrent use.
//
// A Hold is one call to Redis, in a cluster two. Free, End and Renew return at
// once: a few goroutines tell Redis, in batches and in order for each stream, and
// go on trying through a loss for as long as the lease may live. A Hold waits for
// what is still to be told of its stream through the same instance. Beyond
// mostErrands untold, further ones are dropped and counted: the end of the lease
// frees those slots.
//
// Who waits for a slot stands in line with others of the same instance. The first
// in line asks again every few milliseconds, and at once when a slot is given
// back through the same instance. Between instances nobody is first: a stream may
// be let in before one that has waited longer elsewhere.
//
// What a sid holds lives under a key of the sid, and one that has ended is
// remembered there for some seconds, whether or not it held anything: a Hold that
// comes later holds nothing.
//
// While Redis is lost, OnLossLocal holds in this process, against the share of
// each limit, at least one; OnLossOpen lets in without a lease; the others fail.
// What is held in this process ends there, also when Redis is back, and is not
// counted by other instances. A Redis that lost its data lets in as many as each
// limit says beside those who were in flight already.
type Slots struct {
	counters *Counters
	script   *rueidis.Lua
	sha      string // of the script
	lease    time.Duration
	apart    atomic.Pointer[map[string]bool] // as Counters have it, of limits of concurrency
	local    *ratelimit.Slots                // nil unless OnLoss is OnLossLocal
	lines    lines
	desks    []*desk

	expired, dropped atomic.Uint64
}

var _ ratelimit.Leases = (*Slots)(nil)

const (
	leaseFor = 3 * ratelimit.ReportEvery
	graveFor = 5 * time.Second // how late a Hold may come after its End
)

// SlotsState is how the slots of one instance stand.
type SlotsState struct {
	Local   int    // streams that hold in this process, since Redis was lost when they came
	Waiting int    // streams in line
	Untold  int    // ends and other signs that Redis has not been told of
	Expired uint64 // leases that this instance found to have ended for want of a sign
	Dropped uint64 // ends and other signs that Redis was never told of
}

var errNoSID = errors.New("the request has no sid, so nothing could ever release its slots")

// NewSlots returns slots in c's Redis. Close them before c.
func NewSlots(c *Counters) *Slots { return newSlots(c, leaseFor) }

func newSlots(c *Counters, lease time.Duration) *Slots {
	s := &Slots{
		counters: c,
		script:   rueidis.NewLuaScript(slotsScript),
		sha:      fmt.Sprintf("%x", sha1.Sum([]byte(slotsScript))),
		lease:    lease,
	}
	s.lines.of = make(map[string][]*waiter)
	if c.options.OnLoss == OnLossLocal {
		s.local = ratelimit.NewSlots(c.now)
	}
	for range deskCount {
		s.desks = append(s.desks, s.newDesk())
	}
	return s
}

// Close tells Redis what it has not been told of, as far as it answers, and waits
// until nothing runs any more. Later ends are dropped. It may be called again.
func (s *Slots) Close() {
	for _, d := range s.desks {
		d.close()
	}
	for _, d := range s.desks {
		<-d.ended
	}
}

// Know tells the slots which APIs there are, as Counters.Know does. It decides
// about a cluster alone, and by limits of concurrency alone.
func (s *Slots) Know(p *sallyport.Policy) {
	apart := make(map[string]bool)
	for _, a := range p.APIs {
		apart[a.Name] = !slices.ContainsFunc(a.Limits, func(l *sallyport.Limit) bool {
			return l.Concurrency > 0 && !slices.ContainsFunc(l.Per, func(per string) bool {
				return per == "tenant" || per == "credential" || per == sallyport.PrincipalKey
			})
		})
	}
	s.apart.Store(&apart)
}

// Letters of keys, beside those of counters.
const (
	placeKey = 'h'
	noteKey  = 'n'
)

// stream is one sid as Redis knows it.
type stream struct {
	name string // the member of its places, and the tag of its note
	note string // the key of its note
}

func (s *Slots) stream(sid string) stream {
	d := digest(sha256.Sum256([]byte(sid)))
	name := string(appendName(nil, &d))
	return stream{name, s.counters.options.Prefix + "{" + name + "}" + string(rune(noteKey))}
}

// wish is what a Hold asks for. A limit that is named twice is asked for once.
type wish struct {
	stream
	tag     string // of all places
	places  []string
	limits  []*sallyport.Limit
	numbers []uint64 // how many each place lets in; 0 for all
	wait    time.Duration
}

func (s *Slots) wish(sid string, subject *sallyport.Subject, limits []*sallyport.Limit) *wish {
	w := &wish{stream: s.stream(sid), tag: s.tag(subject)}
	for _, l := range limits {
		place := s.place(w.tag, l, subject)
		if slices.Contains(w.places, place) {
			continue
		}
		most := uint64(l.Concurrency)
		if l.Shadow {
			most = 0
		} else {
			w.wait = max(w.wait, l.Wait)
		}
		w.places, w.limits, w.numbers = append(w.places, place), append(w.limits, l), append(w.numbers, most)
	}
	return w
}

func (s *Slots) tag(subject *sallyport.Subject) string {
	byTenant := false
	if apart := s.apart.Load(); apart != nil && s.counters.options.Cluster {
		byTenant = (*apart)[subject.API]
	}
	return tag(byTenant, subject)
}

func (s *Slots) place(tag string, l *sallyport.Limit, subject *sallyport.Subject) string {
	var text [256]byte
	name := digest(sha256.Sum256(ratelimit.AppendKey(text[:0], l, subject)))
	return s.counters.key(tag, placeKey, &name)
}

// Hold implements ratelimit.Leases. The server's clock rules, not now. A sid that
// comes more often than a proxy tries again is refused, as is one whose stream
// has ended, and one whose ctx ends before it is granted.
func (s *Slots) Hold(ctx context.Context, now time.Time, sid string, subject *sallyport.Subject, limits []*sallyport.Limit) (full *sallyport.Limit, err error) {
	if len(limits) == 0 {
		return nil, nil
	}
	if sid == "" {
		return nil, errNoSID
	}
	w := s.wish(sid, subject, limits)
	full, f := s.hold(ctx, w)
	if f == nil {
		return full, nil
	}
	if f.sent { // Redis may have done it, and nobody would know
		s.send(&errand{what: doQuit, stream: w.stream, tag: w.tag, places: w.places})
	}
	if ctx.Err() != nil { // nobody is there to be answered
		return w.limits[0], nil
	}
	return s.holdAlone(ctx, now, sid, subject, limits, f)
}

// hold asks for w, and waits where it may.
func (s *Slots) hold(ctx context.Context, w *wish) (full *sallyport.Limit, f *failure) {
	at, queued := s.lines.busy(w)
	got, f := s.try(ctx, w, queued)
	switch {
	case f != nil:
		return nil, f
	case got.status == statusRefused:
		return w.limits[0], nil
	case got.status != statusFull:
		return s.granted(ctx, w)
	case !queued:
		at = got.index - 1
	}
	if w.wait == 0 {
		return w.limits[at], nil
	}
	one := s.lines.enter(w, at)
	if one == nil {
		return w.limits[at], nil
	}
	return s.await(ctx, w, one)
}

// granted passes on what w was granted, unless its caller has left meanwhile.
func (s *Slots) granted(ctx context.Context, w *wish) (full *sallyport.Limit, f *failure) {
	if ctx.Err() == nil {
		return nil, nil
	}
	s.send(&errand{what: doQuit, stream: w.stream, tag: w.tag, places: w.places})
	return w.limits[0], nil
}

// holdAlone answers a Hold that Redis failed.
func (s *Slots) holdAlone(ctx context.Context, now time.Time, sid string, subject *sallyport.Subject, limits []*sallyport.Limit, f *failure) (full *sallyport.Limit, err error) {
	c := s.counters
	c.unheard.Add(1)
	switch {
	case c.options.OnLoss == OnLossOpen:
		return nil, nil
	case s.local == nil:
		return nil, c.lossError(f)
	}
	own := make([]*sallyport.Limit, len(limits))
	for i, l := range limits {
		share := *l
		share.Concurrency = uint32(max(1, percent(uint64(l.Concurrency), c.options.Share)))
		own[i] = &share
	}
	full, err = s.local.Hold(ctx, now, sid, subject, own)
	if at := slices.Index(own, full); at >= 0 {
		full = limits[at]
	}
	return full, err
}

// Free implements ratelimit.Leases. It does not wait for Redis.
func (s *Slots) Free(sid string) {
	if s.local != nil {
		s.local.Free(sid)
	}
	s.send(&errand{what: doFree, stream: s.stream(sid)})
}

// End implements ratelimit.Leases. It does not wait for Redis.
func (s *Slots) End(sid string) {
	if sid == "" {
		return
	}
	if s.local != nil {
		s.local.End(sid)
	}
	s.send(&errand{what: doEnd, stream: s.stream(sid)})
}

// Renew implements ratelimit.Leases. It does not wait for Redis, whose clock says
// when it happened.
func (s *Slots) Renew(sid string, now time.Time) {
	if s.local != nil {
		s.local.Renew(sid, now)
	}
	s.send(&errand{what: doRenew, stream: s.stream(sid)})
}

// InFlight returns how many are in flight under limit for subject: through all
// instances, and those that are held in this process. While Redis does not answer
// it tells the latter alone.
func (s *Slots) InFlight(limit *sallyport.Limit, subject *sallyport.Subject) (n int) {
	if s.local != nil {
		n = s.local.InFlight(limit, subject)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.counters.options.Timeout)
	defer cancel()
	tag := s.tag(subject)
	got, f := s.call(ctx, ctx, tag, []string{s.place(tag, limit, subject)}, s.request(doCount, nil, ""))
	if f != nil {
		return n
	}
	return n + got.index
}

// State tells how the slots stand.
func (s *Slots) State() SlotsState {
	state := SlotsState{Waiting: s.lines.waiting(), Expired: s.expired.Load(), Dropped: s.dropped.Load()}
	if s.local != nil {
		state.Local = s.local.Held()
		state.Expired += s.local.Expired()
	}
	for _, d := range s.desks {
		state.Untold += d.untold()
	}
	return state
}
