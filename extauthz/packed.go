package extauthz

import (
	"hash/maphash"
	"math"
	"reflect"
	"runtime"
	"sync"
	"time"
	"unsafe"
	"weak"

	"github.com/sallyport/sallyport"
)

// packed is a credential as it is cached: what it alone has in place, and the rest
// behind pointers that it shares with all that are alike. A million credentials
// differ in little more than their ids; whole, each would take a kilobyte.
type packed struct {
	like             *sallyport.Credential // all that is not below; shared, unless whole. nil: there is none
	tenant           *sallyport.Tenant     // shared
	user             *sallyport.User       // shared
	text             string                // ID, Name and Last4 behind one another, in short if that is long enough
	created, expires int64                 // Unix milliseconds; never: no time
	id, name         uint8                 // lengths in text
	own              bool                  // it is its own principal, and not its user
	whole            bool                  // like is all of it
	short            [44]byte
}

const never = math.MinInt64

// shared is what packed credentials have in common, each equal value once, for as
// long as one of them is cached. Safe for concurrent use.
type shared struct {
	terms   pool[sallyport.Credential]
	tenants pool[sallyport.Tenant]
	users   pool[sallyport.User]
}

// pack fills p with c as it is cached; nil is none. The few that do not fit, tokens
// among them, are cached whole. p must be new and is not to be copied after.
func (s *shared) pack(p *packed, c *sallyport.Credential) {
	if c == nil || !fits(c) {
		p.like, p.whole = c, true
		return
	}
	p.id, p.name, p.own = uint8(len(c.ID)), uint8(len(c.Name)), c.Principal == c.ID
	p.setText(c.ID, c.Name, c.Last4)
	p.created, p.expires = packTime(c.CreatedAt), packTime(c.ExpiresAt)
	p.tenant = s.tenants.share(c.Tenant, c.Tenant.API, c.Tenant.ID)
	if c.User != nil {
		p.user = s.users.share(c.User, c.User.API, c.User.Tenant, c.User.ID)
	}
	like := *c
	like.ID, like.Name, like.Last4, like.Principal, like.Tenant, like.User = "", "", "", "", nil, nil
	like.CreatedAt, like.ExpiresAt = time.Time{}, time.Time{}
	p.like = s.terms.share(&like, append([]string{c.API, c.Prefix, c.Plan, c.Cause, c.State.String()}, c.Scopes...)...)
}

// setText keeps the text in p itself where there is room: each object less is one
// less for the garbage collector to look at, of a million credentials, again and
// again.
func (p *packed) setText(id, name, last4 string) {
	if len(id)+len(name)+len(last4) > len(p.short) {
		p.text = id + name + last4
		return
	}
	b := append(append(append(p.short[:0], id...), name...), last4...)
	p.text = unsafe.String(&p.short[0], len(b)) // which nobody writes to again
}

// fits reports whether pack loses nothing of c.
func fits(c *sallyport.Credential) bool {
	return c.Tenant != nil && c.Token == nil && c.Client == nil &&
		(c.Principal == c.ID || c.User != nil && c.Principal == c.User.ID) &&
		len(c.ID) <= math.MaxUint8 && len(c.Name) <= math.MaxUint8 &&
		unpackTime(packTime(c.CreatedAt)) == c.CreatedAt && unpackTime(packTime(c.ExpiresAt)) == c.ExpiresAt
}

// unpack returns what pack was given: in memory, which it fills, unless that is
// kept whole. It allocates nothing.
func (p *packed) unpack(memory *sallyport.Credential) *sallyport.Credential {
	if p.whole || p.like == nil { // as it is, or none
		return p.like
	}
	c := memory
	*c = *p.like
	c.Tenant, c.User = p.tenant, p.user
	id, name := int(p.id), int(p.id)+int(p.name)
	c.ID, c.Name, c.Last4 = p.text[:id], p.text[id:name], p.text[name:]
	c.Principal = c.ID
	if !p.own {
		c.Principal = c.User.ID
	}
	c.CreatedAt, c.ExpiresAt = unpackTime(p.created), unpackTime(p.expires)
	return c
}

// credentialID returns the id of what was packed.
func (p *packed) credentialID() string {
	if p.whole {
		return p.like.ID
	}
	return p.text[:p.id]
}

// owners returns whose it is.
func (p *packed) owners() (*sallyport.Tenant, *sallyport.User) {
	if p.whole {
		return p.like.Tenant, p.like.User
	}
	return p.tenant, p.user
}

func packTime(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixMilli()
}

func unpackTime(ms int64) time.Time {
	if ms == never {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// pool holds values weakly, by a hash of what they are named by.
type pool[T any] struct {
	mu   sync.Mutex // guards held
	held map[uint64]weak.Pointer[T]
}

var poolSeed = maphash.MakeSeed()

// share returns a value that equals v and lives already, or v itself, to be shared
// from now on. Of several that differ under one name, the last is: those before
// serve who has them.
func (p *pool[T]) share(v *T, name ...string) *T {
	key := maphash.Comparable(poolSeed, len(name))
	for _, part := range name {
		key = key*31 + maphash.String(poolSeed, part)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.held[key].Value(); known != nil && reflect.DeepEqual(known, v) {
		return known
	}
	if p.held == nil {
		p.held = make(map[uint64]weak.Pointer[T])
	}
	p.held[key] = weak.Make(v)
	runtime.AddCleanup(v, p.forget, key)
	return v
}

// forget takes away what was held by key, if nobody has it any more.
func (p *pool[T]) forget(key uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.held[key]; ok && known.Value() == nil {
		delete(p.held, key)
	}
}
