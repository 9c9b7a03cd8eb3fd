package issuer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DefaultKeepFor is how long the last good set outlives an outage.
	DefaultKeepFor = 24 * time.Hour
	// fetchEvery is how often keys are read at most because a token names one
	// that is not known.
	fetchEvery = 10 * time.Second
	// maxWaiting is how many requests wait for that at a time.
	maxWaiting = 256
)

// KeysOptions says where the keys of an issuer come from.
type KeysOptions struct {
	From    string           // an https URL, or a file
	Client  *http.Client     // nil: NewClient(nil). Redirects away from https are refused whatever it says
	KeepFor time.Duration    // zero: DefaultKeepFor
	Changed func(State)      // told of every change, one at a time; it must not call Close
	Now     func() time.Time // nil: time.Now
}

// Keys is the published keys of one issuer, kept up to date. From the first use
// on it answers from memory.
//
// A set is read again in the background before it is stale: after four fifths of
// the max-age that the answer has, which counts between a minute and a day, or of
// 15 minutes where it has none. A file is read every 5 seconds. A token that names
// an unknown key makes it read at once, in one request for all that wait, and not
// more often than every 10 seconds: so a new key is good within one fetch, and
// strangers' tokens cost the issuer nothing. Tokens without a kid are not noticed
// so; for them a new key is good with the next set.
//
// What fails (no answer, no good set in it) leaves the last good set in force, until
// KeepFor after it was read; then, as before the first, nothing can be verified,
// which is ErrUnreachable and not the token's fault. A new set replaces the last
// as a whole, and a key that is not in it is good no longer.
type Keys struct {
	o      KeysOptions
	source source
	held   atomic.Pointer[held]
	wake   chan struct{} // a round has been asked for; holds one
	stop   context.CancelFunc
	ended  chan struct{} // closed when nothing runs any more

	waiting atomic.Int32

	mu    sync.Mutex    // guards what follows
	round chan struct{} // closed at the end of the fetch that is under way or asked for; nil: none
	began time.Time     // when the last began

	// Of run alone.
	failures int
	told     State
}

// held is what is known of the keys at a time.
type held struct {
	set   *Set // nil: none was read yet
	at    time.Time
	until time.Time
	err   error // of the last attempt; nil: it was good
}

func (h *held) usable(now time.Time) bool { return h.set != nil && now.Before(h.until) }

// NewKeys begins to read keys, and does not wait for them. Its errors are for
// operators, and are not about what is found there: Changed tells that.
func NewKeys(o KeysOptions) (*Keys, error) {
	from, err := newSource(o.From, o.Client)
	if err != nil {
		return nil, fmt.Errorf("keys of an issuer: %w", err)
	}
	if o.KeepFor < 0 {
		return nil, fmt.Errorf("keys of an issuer: they cannot be kept for %v", o.KeepFor)
	}
	if o.KeepFor == 0 {
		o.KeepFor = DefaultKeepFor
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, stop := context.WithCancel(context.Background())
	k := &Keys{o: o, source: from, wake: make(chan struct{}, 1), stop: stop, ended: make(chan struct{})}
	k.held.Store(&held{err: errors.New("they have not been read yet")})
	k.begin() // so that those who ask before the first answer wait for it
	go k.run(ctx)
	return k, nil
}

// Close ends the reading and waits for that. What is known stays good for as long
// as it was.
func (k *Keys) Close() {
	k.stop()
	<-k.ended
}

// Find returns the keys that a token may be verified with; see KeyFinder.
func (k *Keys) Find(ctx context.Context, id, algorithm string) ([]crypto.PublicKey, error) {
	h := k.held.Load()
	if !h.usable(k.o.Now()) || !h.set.has(id) {
		if err := k.wait(ctx); err != nil {
			return nil, unreachable(err)
		}
		h = k.held.Load()
	}
	switch usable := h.usable(k.o.Now()); {
	case !usable:
		return nil, unreachable(h.problem())
	case h.err != nil && !h.set.has(id):
		return nil, unreachable(h.err) // it may be new, and nobody can say
	}
	return h.set.Find(ctx, id, algorithm)
}

// problem is why nothing can be verified.
func (h *held) problem() error {
	if h.err != nil {
		return h.err
	}
	return errors.New("its keys are too old")
}

// wait has the keys read, unless they were just now, and waits for the end of it.
func (k *Keys) wait(ctx context.Context) error {
	round := k.ask()
	if round == nil {
		return nil
	}
	defer k.waiting.Add(-1)
	if k.waiting.Add(1) > maxWaiting {
		return errors.New("too many wait for its keys")
	}
	select {
	case <-round:
		return nil
	case <-k.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask returns the end of the fetch under way, or of one that it starts; nil where
// it is too soon for another.
func (k *Keys) ask() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.round == nil {
		if k.o.Now().Before(k.began.Add(fetchEvery)) {
			return nil
		}
		k.beginLocked()
		k.wake <- struct{}{} // has room: there is one for each round at most
	}
	return k.round
}

func (k *Keys) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.round == nil {
		k.beginLocked()
	}
}

func (k *Keys) beginLocked() {
	k.round = make(chan struct{})
	k.began = k.o.Now()
}

func (k *Keys) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.round)
	k.round = nil
	select {
	case <-k.wake: // asked for in the moment when run began by itself
	default:
	}
}

// run reads the keys again and again: when it is time, or when it is woken.
func (k *Keys) run(ctx context.Context) {
	defer close(k.ended)
	for ctx.Err() == nil {
		k.begin()
		again := k.fetch(ctx)
		k.end()
		timer := time.NewTimer(again)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-k.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// fetch reads the keys once, and returns how long to wait until the next time.
func (k *Keys) fetch(ctx context.Context) (again time.Duration) {
	before, now := k.held.Load(), k.o.Now()
	text, again, err := k.source.read(ctx)
	var set *Set
	if err == nil {
		set, err = ParseSet(text)
	}
	if ctx.Err() != nil {
		return 0 // Close was called, which is no outage
	}
	next := &held{set: before.set, at: before.at, until: before.until, err: err}
	if err == nil {
		k.failures = 0
		next.set, next.at, next.until = set, now, now.Add(k.o.KeepFor)
	} else {
		k.failures++
		again = k.source.retry(k.failures)
	}
	k.held.Store(next)
	k.tell(before, next)
	// Earlier by up to an eighth, so that instances do not come all at once.
	return again - rand.N(again/8+1)
}
