package extauthz

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// shelf is a Loader over a map, which counts how often it is read. A read that
// finds hold closed waits for it.
type shelf struct {
	mu    sync.Mutex
	byKey map[sallyport.Digest]*sallyport.Credential // guarded by mu
	reads atomic.Int64
	hold  func(ctx context.Context) error
	after func() // between the read and its return
}

func (s *shelf) ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error) {
	s.reads.Add(1)
	if s.hold != nil {
		if err := s.hold(ctx); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	c := s.byKey[d]
	s.mu.Unlock()
	if s.after != nil {
		s.after()
	}
	if c == nil {
		return nil, fmt.Errorf("credential: %w", sallyport.ErrNotFound)
	}
	return c, nil
}

func (s *shelf) put(d sallyport.Digest, c *sallyport.Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey == nil {
		s.byKey = make(map[sallyport.Digest]*sallyport.Credential)
	}
	s.byKey[d] = c
}

// digest returns the n-th of many digests, uniform as real ones are.
func digest(n uint64) sallyport.Digest {
	return sha256.Sum256(binary.LittleEndian.AppendUint64(nil, n))
}

func newFinder(t testing.TB, l Loader, filter *Filter) *Finder {
	t.Helper()
	f, err := NewFinder(l, FinderOptions{Credentials: 1000, Timeout: time.Minute, Filter: filter})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func credential(id string, state sallyport.State) *sallyport.Credential {
	return &sallyport.Credential{
		ID: id, API: "orders", Prefix: "ord_live_", State: state, Principal: id, Scopes: []string{"orders:read"},
		Tenant: &sallyport.Tenant{ID: "t1", API: "orders", Plan: "big", State: sallyport.Active},
	}
}

// G4: a revocation holds before the call that announces it returns, whatever
// loads were under way: a million of them race against it here.
func TestNoStaleAllowAfterAMillionRacingLoads(t *testing.T) {
	const keys, finders = 64, 8
	loads := 1_000_000
	switch {
	case testing.Short():
		loads = 50_000
	case raceEnabled: // ten times as slow; the whole million runs without
		loads = 100_000
	}
	s := new(shelf)
	f := newFinder(t, s, nil)
	var version [keys]atomic.Int64 // odd: revoked, announced; even: active
	for k := range keys {
		s.put(digest(uint64(k)), credential(fmt.Sprint("k", k), sallyport.Active))
	}
	var left atomic.Int64
	left.Store(int64(loads))
	var stale, revoked atomic.Int64
	var wg sync.WaitGroup
	for range finders {
		wg.Go(func() {
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				k := int(n) % keys
				before := version[k].Load()
				c, err := f.Find(context.Background(), digest(uint64(k)), new(sallyport.Credential))
				if err != nil {
					t.Error(err)
					return
				}
				after := version[k].Load()
				if before == after && before%2 == 1 {
					revoked.Add(1)
					if c.State != sallyport.Revoked {
						stale.Add(1)
					}
				}
			}
		})
	}
	for k := 0; left.Load() > 0; k = (k + 1) % keys {
		// The store commits, the change is announced, and only then does the
		// caller learn that the key is revoked. Back to active is the same
		// with a new record, so that there is always something to race for.
		id := fmt.Sprint("k", k)
		s.put(digest(uint64(k)), credential(id, sallyport.Revoked))
		f.ForgetCredential(id)
		version[k].Add(1)
		for range 1000 {
			if left.Load() <= 0 {
				break
			}
		}
		version[k].Add(1)
		s.put(digest(uint64(k)), credential(id, sallyport.Active))
		f.ForgetCredential(id)
	}
	wg.Wait()
	if stale.Load() > 0 {
		t.Errorf("%d of %d answers to a revoked key were stale", stale.Load(), revoked.Load())
	}
	if revoked.Load() == 0 {
		t.Error("no load ever met a revoked key: the test proves nothing")
	}
	t.Logf("%d loads, %d of a revoked key, %d store reads", loads, revoked.Load(), s.reads.Load())
}

// A load that read before the revocation and returns after it is not used, not
// even by the request that began it.
func TestALoadOvertakenByARevocationIsNotUsed(t *testing.T) {
	s := new(shelf)
	f := newFinder(t, s, nil)
	s.put(digest(1), credential("k1", sallyport.Active))
	var once sync.Once
	s.after = func() {
		once.Do(func() {
			s.put(digest(1), credential("k1", sallyport.Revoked))
			f.ForgetCredential("k1")
		})
	}
	c, err := f.Find(context.Background(), digest(1), new(sallyport.Credential))
	if err != nil || c.State != sallyport.Revoked {
		t.Errorf("got %v, %v, want the revoked record", c, err)
	}
	if got := s.reads.Load(); got != 2 {
		t.Errorf("the store was read %d times, want 2", got)
	}
}

func TestATenantsChangeReachesItsCredentials(t *testing.T) {
	s := new(shelf)
	f := newFinder(t, s, nil)
	s.put(digest(1), credential("k1", sallyport.Active))
	f.Find(context.Background(), digest(1), new(sallyport.Credential))
	suspended := credential("k1", sallyport.Active)
	suspended.Tenant.State = sallyport.Disabled
	s.put(digest(1), suspended)
	f.ForgetTenant("orders", "t1")
	if c, err := f.Find(context.Background(), digest(1), new(sallyport.Credential)); err != nil || c.Tenant.State != sallyport.Disabled {
		t.Errorf("got %v, %v, want the suspended tenant", c, err)
	}
}

func TestOneLoadForHoweverManyAsk(t *testing.T) {
	s, asked := new(shelf), make(chan struct{})
	s.put(digest(1), credential("k1", sallyport.Active))
	s.hold = func(context.Context) error { <-asked; return nil }
	f := newFinder(t, s, nil)
	var wg sync.WaitGroup
	var began atomic.Int64
	for range 500 {
		wg.Go(func() {
			began.Add(1)
			if c, err := f.Find(context.Background(), digest(1), new(sallyport.Credential)); err != nil || c.ID != "k1" {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
	for began.Load() < 500 {
	}
	close(asked)
	wg.Wait()
	if n := s.reads.Load(); n != 1 {
		t.Errorf("the store was read %d times for one key", n)
	}
}

func TestUnknownDigestsAreRememberedUntilTheyAreKnown(t *testing.T) {
	s := new(shelf)
	f := newFinder(t, s, nil)
	for range 10 {
		if _, err := f.Find(context.Background(), digest(7), new(sallyport.Credential)); !errors.Is(err, sallyport.ErrNotFound) {
			t.Fatalf("got %v, want not found", err)
		}
	}
	if n := s.reads.Load(); n != 1 {
		t.Errorf("the store was read %d times for one unknown key", n)
	}
	s.put(digest(7), credential("k7", sallyport.Active))
	f.Known(digest(7))
	if c, err := f.Find(context.Background(), digest(7), new(sallyport.Credential)); err != nil || c.ID != "k7" {
		t.Errorf("a key just created: got %v, %v", c, err)
	}
}

func TestTheFilterKeepsStrangersFromTheStore(t *testing.T) {
	const keys = 1638 // the most for what the filter then has, 16,384 bits
	s, filter := new(shelf), NewFilter(keys)
	for n := range uint64(keys) {
		s.put(digest(n), credential(fmt.Sprint("k", n), sallyport.Active))
		filter.Add(digest(n))
	}
	f := newFinder(t, s, filter)
	for n := range uint64(keys) {
		if _, err := f.Find(context.Background(), digest(n), new(sallyport.Credential)); err != nil {
			t.Fatalf("key %d: %v", n, err)
		}
	}
	before := s.reads.Load()
	for n := range uint64(100_000) {
		if _, err := f.Find(context.Background(), digest(1_000_000+n), new(sallyport.Credential)); !errors.Is(err, sallyport.ErrNotFound) {
			t.Fatalf("stranger %d: %v", n, err)
		}
	}
	if reads := s.reads.Load() - before; reads > 2000 {
		t.Errorf("%d of 100,000 strangers reached the store, want at most 2 %%", reads)
	}
}

// A hung store holds nobody longer than the deadline.
func TestAHungStoreHoldsNobody(t *testing.T) {
	s := new(shelf)
	s.hold = func(context.Context) error { select {} } // ignores its context, as a stuck disk does
	f, err := NewFinder(s, FinderOptions{Credentials: 10, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if _, err := f.Find(context.Background(), digest(1), new(sallyport.Credential)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestAnErrorIsNotRemembered(t *testing.T) {
	s, broken := new(shelf), errors.New("disk on fire")
	s.put(digest(1), credential("k1", sallyport.Active))
	s.hold = func(context.Context) error { return broken }
	f := newFinder(t, s, nil)
	if _, err := f.Find(context.Background(), digest(1), new(sallyport.Credential)); !errors.Is(err, broken) {
		t.Errorf("got %v, want the store's error", err)
	}
	s.hold = nil
	if _, err := f.Find(context.Background(), digest(1), new(sallyport.Credential)); err != nil {
		t.Errorf("after the store came back: %v", err)
	}
}

// Another digest with the same cache key is another secret: it never gets the
// first one's identity.
func TestACacheKeyIsConfirmedByTheWholeDigest(t *testing.T) {
	s := new(shelf)
	f := newFinder(t, s, nil)
	one, other := digest(1), digest(1)
	other[31]++
	s.put(one, credential("k1", sallyport.Active))
	f.Find(context.Background(), one, new(sallyport.Credential))
	if _, err := f.Find(context.Background(), other, new(sallyport.Credential)); !errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}

func TestAHitReadsNoStoreAndDoesNotAllocate(t *testing.T) {
	s := new(shelf)
	s.put(digest(1), credential("k1", sallyport.Active))
	f := newFinder(t, s, nil)
	f.Find(context.Background(), digest(1), new(sallyport.Credential))
	n := testing.AllocsPerRun(1000, func() { f.Find(context.Background(), digest(1), new(sallyport.Credential)) })
	if n != 0 && !raceEnabled {
		t.Errorf("a hit allocates %v times, want 0", n)
	}
	if reads := s.reads.Load(); reads != 1 {
		t.Errorf("the store was read %d times, want once", reads)
	}
}

// A load outlives its caller: one that comes back when the cache is closed already
// is not remembered, and harms nobody.
func TestALoadThatReturnsAfterTheEnd(t *testing.T) {
	s := new(shelf)
	f := newFinder(t, s, nil)
	s.put(digest(1), credential("k1", sallyport.Active))
	s.after = f.Close
	if c, err := f.Find(context.Background(), digest(1), new(sallyport.Credential)); err != nil || c.ID != "k1" {
		t.Errorf("got %v, %v, want the record", c, err)
	}
	s.after = nil
	if _, err := f.Find(context.Background(), digest(2), new(sallyport.Credential)); !errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}
