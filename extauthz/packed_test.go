package extauthz

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// What comes out of the cache is what went in, whatever it shares there.
func TestWhatIsPackedComesBack(t *testing.T) {
	tenant := &sallyport.Tenant{ID: "t1", API: "orders", Plan: "big", State: sallyport.Active, Attributes: map[string]string{"a": "b"}}
	user := &sallyport.User{ID: "ann", API: "orders", Tenant: "t1", State: sallyport.Active, Roles: []string{"reader"}}
	at := time.UnixMilli(1_700_000_000_123).UTC()
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	base := sallyport.Credential{ID: "k1", API: "orders", Tenant: tenant, Kind: "key", Principal: "k1", State: sallyport.Active, Scopes: []string{"orders:read"}, Prefix: "ord_live_", Last4: "abcd", CreatedAt: at}
	var s shared
	for name, change := range map[string]func(*sallyport.Credential){
		"plain":             func(*sallyport.Credential) {},
		"named":             func(c *sallyport.Credential) { c.Name = "the shop" },
		"no time":           func(c *sallyport.Credential) { c.CreatedAt = time.Time{} },
		"ends":              func(c *sallyport.Credential) { c.ExpiresAt = at.Add(time.Hour) },
		"ends in 1970":      func(c *sallyport.Credential) { c.ExpiresAt = time.UnixMilli(0).UTC() },
		"between times":     func(c *sallyport.Credential) { c.ExpiresAt = at.Add(time.Nanosecond) },
		"local time":        func(c *sallyport.Credential) { c.ExpiresAt = at.In(time.FixedZone("here", 3600)) },
		"a user's":          func(c *sallyport.Credential) { c.User, c.Principal, c.Kind = user, "ann", "pat" },
		"a user's own":      func(c *sallyport.Credential) { c.User = user },
		"another principal": func(c *sallyport.Credential) { c.Principal = "bob" },
		"a long name":       func(c *sallyport.Credential) { c.Name = strings.Repeat("n", 256) },
		"a long id":         func(c *sallyport.Credential) { c.ID = strings.Repeat("i", 300); c.Principal = c.ID },
		"no last4":          func(c *sallyport.Credential) { c.Last4 = "" },
		"empty lists":       func(c *sallyport.Credential) { c.Scopes, c.Roles = []string{}, []string{} },
		"networks":          func(c *sallyport.Credential) { c.AllowedIPs, c.Networks = networks, sallyport.NewNetworks(networks) },
		"attributes":        func(c *sallyport.Credential) { c.Attributes = map[string]string{"x": "y"} },
		"another epoch":     func(c *sallyport.Credential) { c.Epoch = 7 },
		"disabled":          func(c *sallyport.Credential) { c.State, c.Cause = sallyport.Disabled, "because" },
		"a client":          func(c *sallyport.Credential) { c.Client = &sallyport.Client{Public: true} },
		"a token":           func(c *sallyport.Credential) { c.Token = &sallyport.Token{ID: "j"} },
		"a tenant's change": func(c *sallyport.Credential) { one := *tenant; one.State = sallyport.Disabled; c.Tenant = &one },
	} {
		c := base
		change(&c)
		want := c
		memory := sallyport.Credential{Name: "of before", Cause: "of before", Token: &sallyport.Token{}}
		for range 2 { // the second shares with the first
			var p packed
			s.pack(&p, &c)
			if got := p.unpack(&memory); !reflect.DeepEqual(*got, want) {
				t.Errorf("%s: got\n%+v, want\n%+v", name, *got, want)
			}
			if tenant, user := p.owners(); !reflect.DeepEqual(tenant, want.Tenant) || !reflect.DeepEqual(user, want.User) || p.credentialID() != want.ID {
				t.Errorf("%s: %+v and %+v of %s", name, tenant, user, p.credentialID())
			}
		}
	}
}

// What nobody has any more is not held.
func TestSharedValuesAreForgotten(t *testing.T) {
	var s shared
	for i := range 1000 {
		c := credential(fmt.Sprint("k", i), sallyport.Active)
		c.Tenant.ID = fmt.Sprint("t", i)
		var p packed
		if s.pack(&p, c); p.whole {
			t.Fatal("cached whole")
		}
	}
	held := func() int {
		s.tenants.mu.Lock()
		defer s.tenants.mu.Unlock()
		return len(s.tenants.held)
	}
	deadline := time.Now().Add(time.Minute)
	for held() > 0 && time.Now().Before(deadline) {
		runtime.GC() // cleanups run after it, in their own time
		runtime.Gosched()
	}
	if n := held(); n > 0 {
		t.Errorf("%d of 1000 tenants are held", n)
	}
}

// table is a Loader that makes each credential anew, as a store does: nothing of
// two that it returns is in one place.
type table struct{ tenants uint64 }

func (t table) ByDigest(_ context.Context, d sallyport.Digest) (*sallyport.Credential, error) {
	n := binary.LittleEndian.Uint64(d[:]) // as good as a number of its own
	id := fmt.Sprintf("key_%020x", n)
	return &sallyport.Credential{
		ID: id, Principal: strings.Clone(id), API: strings.Clone("orders"), Kind: strings.Clone("key"), Name: fmt.Sprintf("shop %06x", n%(1<<24)),
		Environment: strings.Clone("live"), Prefix: strings.Clone("ord_live_"), Last4: fmt.Sprintf("%04x", n%(1<<16)), State: sallyport.Active,
		Scopes: []string{strings.Clone("orders:read"), strings.Clone("orders:write")}, CreatedAt: time.UnixMilli(int64(n % (1 << 40))).UTC(),
		Tenant: &sallyport.Tenant{ID: fmt.Sprint("tenant-", n%t.tenants), API: strings.Clone("orders"), Plan: strings.Clone("big"), State: sallyport.Active},
	}, nil
}

// mostBytes is what a cached credential may take of the heap, all that finds it
// included.
const mostBytes = 400

// fill caches so many credentials, ten of a tenant, and returns the bytes that each
// takes.
func fill(t testing.TB, credentials uint64) (*Finder, float64) {
	loader := table{tenants: max(credentials/10, 1)}
	before := heap()
	f, err := NewFinder(loader, FinderOptions{Credentials: int(credentials), Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	for n := range credentials {
		d := digest(n)
		c, err := loader.ByDigest(context.Background(), d)
		if err != nil {
			t.Fatal(err)
		}
		e := &entry{digest: d}
		f.shared.pack(&e.packed, c)
		f.cache.Set(binary.LittleEndian.Uint64(d[:]), e, 1)
		if n%1000 == 0 {
			f.cache.Wait() // its queue is short, and drops what it has no room for
		}
	}
	f.cache.Wait()
	return f, float64(heap()-before) / float64(credentials)
}

// heap is what is alive after a full collection; the second ends what the first
// had cleaned up after it.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// An eighth of a million takes what a million does: the maps of both have just
// grown, so that there is room for almost as many again. That is as bad as it gets.
func TestACachedCredentialTakesFewBytes(t *testing.T) {
	const credentials = 125_000
	f, bytes := fill(t, credentials)
	if bytes > mostBytes {
		t.Errorf("%.0f bytes a credential, want %d at most", bytes, mostBytes)
	}
	n := uint64(0)
	f.cache.IterValues(func(*entry) bool { n++; return false })
	if n < credentials*99/100 {
		t.Errorf("%d of %d are cached: what is not takes no bytes", n, credentials)
	}
	t.Logf("%.0f bytes a credential", bytes)
}

// BenchmarkFinderMemory reports the bytes that each of a million takes, and the
// time of a hit among them.
func BenchmarkFinderMemory(b *testing.B) {
	const credentials = 1_000_000
	f, bytes := fill(b, credentials)
	digests := make([]sallyport.Digest, 1<<16)
	for i := range digests {
		digests[i] = digest(uint64(i) * (credentials >> 16))
	}
	var memory sallyport.Credential
	n := 0
	for b.Loop() {
		if _, err := f.Find(context.Background(), digests[n%len(digests)], &memory); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(bytes, "B/credential")
}
