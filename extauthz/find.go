package extauthz

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport"
)

// Loader reads the credential that a digest stands for, with its tenant. Its
// error wraps sallyport.ErrNotFound where there is none. What it returns is
// never changed afterwards.
type Loader interface {
	ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error)
}

// Finder finds credentials: in the cache, else in the store, once for however
// many ask. Safe for concurrent use.
//
// # Why a revocation holds
//
// The cache (ristretto) applies what it is told later, and may drop it, so
// nothing rests on deleting from it. Instead every entry carries the stamp of
// the moment before its load began, and every change announces itself with a
// stamp of its own, after its transaction has committed (see stamps). A hit
// counts only if nothing that it depends on has changed since its stamp. So a
// load that began before a revocation is never used after it, wherever it was
// meanwhile: still on its way, in the cache's queue, or put back by it.
type Finder struct {
	loader  Loader
	timeout time.Duration
	cache   *cache[*entry]
	unknown *cache[*entry] // digests that the store does not know: bounded apart, so that noise evicts no credential
	filter  *Filter
	changes stamps
	shared  shared
	loads   singleflight.Group
	renew   func(before, after sallyport.Digest, pepper int)

	down      atomic.Int64 // since when the store does not answer, Unix nanoseconds; 0: it does
	unchecked sync.Map     // prefixes with secrets that may have no checksum: api "/" prefix
}

// entry is what one load found: a credential, or nil for none.
type entry struct {
	digest sallyport.Digest
	stamp  uint64
	packed
}

// FinderOptions size a Finder.
type FinderOptions struct {
	Credentials int           // how many are cached at most
	Timeout     time.Duration // how long a load may take
	Filter      *Filter       // complete knowledge of all digests; nil: none, every unknown one is looked up

	// Renew keeps a secret that is known by the digest before, of an older
	// pepper, under the digest after. It must not block; nil: secrets stay as
	// they are.
	Renew func(before, after sallyport.Digest, pepper int)
}

const (
	unknownEntries = 1 << 16
	unknownFor     = 5 * time.Second
)

// NewFinder returns an empty Finder over loader. Close stops its cache.
func NewFinder(loader Loader, o FinderOptions) (*Finder, error) {
	cache, err := newCache[*entry](o.Credentials)
	if err != nil {
		return nil, err
	}
	unknown, err := newCache[*entry](unknownEntries)
	if err != nil {
		return nil, err
	}
	return &Finder{loader: loader, timeout: o.Timeout, cache: cache, unknown: unknown, filter: o.Filter, renew: o.Renew}, nil
}

// Close ends the caches' goroutines.
func (f *Finder) Close() {
	f.cache.Close()
	f.unknown.Close()
}

// Find returns the credential of digest, for which it may use memory. Its error
// wraps sallyport.ErrNotFound where there is none; others say that the store could
// not be asked in time.
func (f *Finder) Find(ctx context.Context, digest sallyport.Digest, memory *sallyport.Credential) (*sallyport.Credential, error) {
	key := binary.LittleEndian.Uint64(digest[:])
	if e, ok := f.cache.Get(key); ok && f.good(e, &digest) {
		return e.unpack(memory), nil
	}
	if f.filter != nil && !f.filter.Has(digest) {
		return nil, sallyport.ErrNotFound
	}
	if e, ok := f.unknown.Get(key); ok && f.good(e, &digest) {
		return nil, sallyport.ErrNotFound
	}
	return f.loadFresh(ctx, digest, memory, f.timeout, f.fromStore(digest))
}

// fromStore is a function of its own so that a hit does not pay for its closure.
func (f *Finder) fromStore(digest sallyport.Digest) read {
	return func(ctx context.Context) (*sallyport.Credential, time.Time, error) {
		c, err := f.loader.ByDigest(ctx, digest)
		return c, time.Time{}, err
	}
}

// cached returns what is remembered of digest: a credential, or nil where it is
// known that there is none. It may use memory for it.
func (f *Finder) cached(digest *sallyport.Digest, memory *sallyport.Credential) (c *sallyport.Credential, known bool) {
	key := binary.LittleEndian.Uint64(digest[:])
	e, ok := f.cache.Get(key)
	if !ok || !f.good(e, digest) {
		if e, ok = f.unknown.Get(key); !ok || !f.good(e, digest) {
			return nil, false
		}
	}
	return e.unpack(memory), true
}

// verify is Find for what no store knows: read makes the credential, within so
// long. What is found to be nothing comes back as such, and not as an error.
func (f *Finder) verify(ctx context.Context, digest sallyport.Digest, memory *sallyport.Credential, within time.Duration, read read) (*sallyport.Credential, error) {
	c, err := f.loadFresh(ctx, digest, memory, within, read)
	if errors.Is(err, sallyport.ErrNotFound) {
		return nil, nil
	}
	return c, err
}

// read reads what a digest stands for, and says until when it may be remembered;
// the zero time is for good.
type read func(context.Context) (*sallyport.Credential, time.Time, error)

// loadFresh loads until no change has overtaken the load, or time is up.
func (f *Finder) loadFresh(ctx context.Context, digest sallyport.Digest, memory *sallyport.Credential, within time.Duration, read read) (*sallyport.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		e, err := f.load(ctx, digest, within, read)
		switch {
		case err != nil:
			return nil, err
		case !f.good(e, &digest): // a change came meanwhile, or another request began this load before it
		case e.like == nil:
			return nil, sallyport.ErrNotFound
		default:
			return e.unpack(memory), nil
		}
	}
}

// good reports whether e stands for digest and nothing that it depends on has
// changed since its load began.
func (f *Finder) good(e *entry, digest *sallyport.Digest) bool {
	if subtle.ConstantTimeCompare(e.digest[:], digest[:]) != 1 {
		return false
	}
	if e.stamp >= f.changes.latest() {
		return true // nothing at all has
	}
	if e.like == nil {
		return e.stamp >= f.changes.known(digest)
	}
	t, u := e.owners()
	return e.stamp >= f.changes.of(credentialSubject(e.credentialID())) &&
		e.stamp >= f.changes.of(tenantSubject(t.API, t.ID)) &&
		(u == nil || e.stamp >= f.changes.of(userSubject(t.API, t.ID, u.ID))) &&
		(e.like.Token == nil || f.stands(e.like, e.stamp))
}

// load asks the store, together with all who ask for the same digest now. The
// load itself has its own deadline and outlives a caller that leaves.
func (f *Finder) load(ctx context.Context, digest sallyport.Digest, within time.Duration, read read) (*entry, error) {
	flight := f.loads.DoChan(string(digest[:]), func() (any, error) { return f.loadOnce(digest, within, read) })
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *Finder) loadOnce(digest sallyport.Digest, within time.Duration, read read) (*entry, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	key := binary.LittleEndian.Uint64(digest[:])
	if e, ok := f.cache.Get(key); ok && f.good(e, &digest) {
		return e, nil // who asked looked before the last load ended, and begins this one after it
	}
	e := &entry{digest: digest, stamp: f.changes.latest()} // before the read
	c, until, err := read(ctx)
	switch {
	case err == nil:
		f.shared.pack(&e.packed, c)
		f.cache.keep(key, e, keepFor(until)) // whoever asks when this load has ended finds it
	case errors.Is(err, sallyport.ErrNotFound):
		f.unknown.keep(key, e, unknownFor)
	default:
		return nil, err
	}
	return e, nil
}

// keepFor is how long what is good until then is remembered; 0 is for good. What
// has ended is remembered too, for as long as what is unknown: that it has ended is
// judged for every request, and who shows it again is not to cost a signature.
func keepFor(until time.Time) time.Duration {
	if until.IsZero() {
		return 0
	}
	if left := time.Until(until); left > 0 {
		return left
	}
	return unknownFor
}

// ForgetCredential announces that the credential called id has changed, after
// the change has committed: when it returns, no Find that begins returns what
// was true before.
func (f *Finder) ForgetCredential(id string) { f.changes.announce(credentialSubject(id)) }

// ForgetTenant announces a change of a tenant, and so of all its credentials.
func (f *Finder) ForgetTenant(api, id string) { f.changes.announce(tenantSubject(api, id)) }

// ForgetUser announces a change of a user, and so of all credentials that act
// for it.
func (f *Finder) ForgetUser(api, tenant, id string) { f.changes.announce(userSubject(api, tenant, id)) }

// Renew sees to it that a secret which was found by its digest under an older
// pepper is kept under the current one.
func (f *Finder) Renew(before, after sallyport.Digest, pepper int) {
	if f.renew != nil {
		f.renew(before, after, pepper)
	}
}

// Expect announces that the store may soon know digest.
func (f *Finder) Expect(digest sallyport.Digest) {
	if f.filter != nil {
		f.filter.Add(digest)
	}
}

// Down says since when the store does not answer; the zero time that it does.
func (f *Finder) Down(since time.Time) {
	if since.IsZero() {
		f.down.Store(0)
		return
	}
	f.down.Store(since.UnixNano())
}

// DownFor returns for how long the store has not answered by now.
func (f *Finder) DownFor(now time.Time) time.Duration {
	since := f.down.Load()
	if since == 0 {
		return 0
	}
	return now.Sub(time.Unix(0, since))
}

// MarkUnchecked announces that secrets under prefix may have no checksum: they
// were imported.
func (f *Finder) MarkUnchecked(api, prefix string) { f.unchecked.Store(api+"/"+prefix, true) }

// Unchecked reports whether MarkUnchecked was called for prefix.
func (f *Finder) Unchecked(api, prefix string) bool {
	_, ok := f.unchecked.Load(api + "/" + prefix)
	return ok
}

// Known announces that the store knows digest from now on.
func (f *Finder) Known(digest sallyport.Digest) {
	if f.filter != nil {
		f.filter.Add(digest)
	}
	f.changes.announceKnown(&digest)
}
