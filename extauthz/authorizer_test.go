package extauthz

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/ratelimit"
)

var noon = time.Unix(1_700_006_400, 0)

// gate is an Authorizer over a shelf, for one API called orders.
type gate struct {
	*Authorizer
	t        testing.TB
	shelf    *shelf
	hasher   *apikey.Hasher
	counters *counting
	policy   *sallyport.Policy
}

// counting is a Limiter that remembers what it was asked, and may fail.
type counting struct {
	ratelimit.Limiter
	hits []uint64
	err  error
}

func (c *counting) Take(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error) {
	c.hits = append(c.hits, hits)
	if c.err != nil {
		return sallyport.Verdict{}, c.err
	}
	return c.Limiter.Take(ctx, now, sid, s, charges, hits)
}

func operation(method, path string, scopes ...string) *sallyport.Operation {
	op := &sallyport.Operation{Name: method + " " + path, Method: method, Path: path, Scopes: scopes, Weight: 1, Access: sallyport.Write}
	op.Granted = append(op.Granted, scopes...)
	if method == "GET" {
		op.Access = sallyport.Read
	}
	if len(scopes) > 0 {
		op.Granted = append(op.Granted, "admin")
	}
	return op
}

func ordersPolicy() *sallyport.Policy {
	verify := operation("GET", "/v1/verify")
	verify.Answer = &sallyport.Answer{Status: 200, Body: `{"key_id":"${credential}"}`}
	ofTenant := operation("GET", "/v1/tenants/{tenant}/orders", "orders:read")
	ofTenant.Tenant = sallyport.TenantParameter{Path: "tenant", Header: "x-org", Query: "org"}
	absent := operation("POST", "/v1/tokens")
	absent.Absent = "endpoint tokens"
	mocked := operation("GET", "/v1/mocked", "orders:read")
	mocked.Sandbox = &sallyport.Answer{Status: 200, Body: `{"mock":true}`}
	limit := &sallyport.Limit{
		Name: "requests", Per: []string{"credential"},
		Plans: map[string]sallyport.Windows{"big": {List: []sallyport.Window{{Max: 3, Length: time.Minute}, {Max: 100, Length: time.Hour}}}},
	}
	return &sallyport.Policy{Chain: sallyport.Fused, APIs: []*sallyport.API{{
		Name: "orders", Hosts: []string{"api.orders.test"},
		Places: []sallyport.Place{{Header: "x-api-key"}, {Header: "authorization", Scheme: "Bearer"}},
		Keys:   []sallyport.KeyForm{{Prefix: "ord_live_", Environment: "live"}},
		Operations: []*sallyport.Operation{
			operation("GET", "/v1/orders", "orders:read"), operation("GET", "/v1/orders/{id}", "orders:read"),
			operation("POST", "/v1/orders", "orders:write"), operation("GET", "/v1/open"), verify, ofTenant, absent, mocked,
		},
		Limits:  []*sallyport.Limit{limit},
		Headers: sallyport.QuotaHeaders{Limit: "x-ratelimit-limit", Remaining: "x-ratelimit-remaining", Reset: "x-ratelimit-reset"},
	}}}
}

func newGate(t testing.TB) *gate {
	t.Helper()
	pepper, err := apikey.ParsePepper([]byte("0123456789abcdef0123456789abcdef-pepper"))
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := apikey.NewHasher(pepper)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, shelf: new(shelf), hasher: hasher, policy: ordersPolicy()}
	g.counters = &counting{Limiter: ratelimit.Limiter{Counters: ratelimit.NewMemory()}}
	g.Authorizer = New(hasher, newFinder(t, g.shelf, nil), g.counters, nil, func() time.Time { return noon })
	g.enforce()
	return g
}

// enforce puts the policy in force.
func (g *gate) enforce() {
	g.t.Helper()
	commit, err := g.Prepare(g.policy)
	if err != nil {
		g.t.Fatal(err)
	}
	commit()
}

// key issues a key; with changes what it says of itself.
func (g *gate) key(with ...func(*sallyport.Credential)) string {
	g.t.Helper()
	secret, err := apikey.Generate("ord_live_")
	if err != nil {
		g.t.Fatal(err)
	}
	c := credential("key_"+secret.Last4(), sallyport.Active)
	for _, change := range with {
		change(c)
	}
	g.shelf.put(g.hasher.Digest(secret.Reveal()), c)
	return secret.Reveal()
}

func (g *gate) decide(req sallyport.Request) *sallyport.Decision {
	d := new(sallyport.Decision)
	g.Decide(context.Background(), &req, d)
	return d
}

func get(path string, headers ...string) sallyport.Request {
	r := sallyport.Request{Method: "GET", Host: "api.orders.test", Path: path, Source: "203.0.113.9"}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, sallyport.Header{Name: headers[i], Value: headers[i+1]})
	}
	return r
}

// G1: a copy of the key where it is not read would reach the upstream.
func TestCopiesOfAKeyAreMisplaced(t *testing.T) {
	g := newGate(t)
	key := g.key()
	for name, change := range map[string]func(*sallyport.Request){
		"cookie": func(r *sallyport.Request) {
			r.Headers = append(r.Headers, sallyport.Header{Name: "cookie", Value: "a=b; k=" + key})
		},
		"another header": func(r *sallyport.Request) {
			r.Headers = append(r.Headers, sallyport.Header{Name: "x_api_key", Value: key})
		},
		"query":               func(r *sallyport.Request) { r.Query = "k=" + key },
		"encoded":             func(r *sallyport.Request) { r.Query = "k=%6f" + key[1:] },
		"beside broken codes": func(r *sallyport.Request) { r.Query = "a=%zz&b=%&k=%6F" + key[1:] + "%2" },
		"path":                func(r *sallyport.Request) { r.Path = "/v1/orders/" + key },
	} {
		r := get("/v1/orders", "x-api-key", key, ":path", "/v1/orders")
		change(&r)
		if d := g.decide(r); d.Reason != sallyport.CredentialMisplaced {
			t.Errorf("%s: %v", name, d.Reason)
		}
	}
	// An imported one is a copy too, whatever it looks like.
	const imported = "ord_live_legacy-key-0001"
	g.finder.MarkUnchecked("orders", "ord_live_")
	g.shelf.put(g.hasher.Digest(imported), credential("imported", sallyport.Active))
	for _, query := range []string{"k=" + imported, "k=%6f" + imported[1:]} {
		r := get("/v1/orders", "x-api-key", imported)
		r.Query = query
		if d := g.decide(r); d.Reason != sallyport.CredentialMisplaced {
			t.Errorf("%s: %v", query, d.Reason)
		}
	}
	if d := g.decide(get("/v1/orders/"+imported, "x-api-key", imported)); d.Reason != sallyport.CredentialMisplaced {
		t.Errorf("in the path: %v", d.Reason)
	}
	// What the upstream does not get anyway, a proxy may repeat.
	if d := g.decide(get("/v1/orders", "x-api-key", key, "x-original-uri", "/v1/orders?k="+key)); d.Reason != sallyport.Allowed {
		t.Errorf("in a header that is removed: %v", d.Reason)
	}
	if d := g.decide(get("/v1/orders", "x-api-key", key, "authorization", "Bearer "+key, "cookie", key[:20])); d.Reason != sallyport.Allowed {
		t.Errorf("in two places that are read: %v", d.Reason)
	}
}

// G2: what is not plainly one credential in its place is refused.
func TestWhereACredentialMayStand(t *testing.T) {
	g := newGate(t)
	key, other := g.key(), g.key()
	unknown, err := apikey.Generate("ord_live_")
	if err != nil {
		t.Fatal(err)
	}
	flipped := []byte(key)
	flipped[len(flipped)-1] ^= 1
	cases := map[string]struct {
		headers []string
		want    sallyport.Reason
	}{
		"in its header":                   {[]string{"x-api-key", key}, sallyport.Allowed},
		"with spaces around":              {[]string{"x-api-key", "  " + key + "\t"}, sallyport.Allowed},
		"as Bearer":                       {[]string{"authorization", "Bearer " + key}, sallyport.Allowed},
		"as bearer":                       {[]string{"authorization", "bEaReR   " + key}, sallyport.Allowed},
		"the same in both places":         {[]string{"x-api-key", key, "authorization", "Bearer " + key}, sallyport.Allowed},
		"none":                            {nil, sallyport.CredentialMissing},
		"empty":                           {[]string{"x-api-key", ""}, sallyport.CredentialMalformed},
		"two different":                   {[]string{"x-api-key", key, "authorization", "Bearer " + other}, sallyport.CredentialConflicting},
		"one good, one unknown":           {[]string{"x-api-key", key, "authorization", "Bearer " + unknown.Reveal()}, sallyport.CredentialConflicting},
		"a repeated header":               {[]string{"x-api-key", key, "x-api-key", key}, sallyport.CredentialRepeated},
		"a repeated Authorization":        {[]string{"authorization", "Bearer " + key, "authorization", "Bearer " + key}, sallyport.CredentialRepeated},
		"joined by a comma":               {[]string{"x-api-key", key + "," + key}, sallyport.CredentialMalformed},
		"no scheme in Authorization":      {[]string{"authorization", key}, sallyport.CredentialMisplaced},
		"another scheme":                  {[]string{"authorization", "ApiKey " + key}, sallyport.CredentialMisplaced},
		"another scheme beside the key":   {[]string{"x-api-key", key, "authorization", "Basic dTpw"}, sallyport.CredentialMisplaced},
		"only the scheme":                 {[]string{"authorization", "Bearer"}, sallyport.CredentialMisplaced},
		"only the scheme and a space":     {[]string{"authorization", "Bearer "}, sallyport.CredentialMisplaced},
		"Bearer glued to the key":         {[]string{"authorization", "Bearer" + key}, sallyport.CredentialMisplaced},
		"a scheme in the plain header":    {[]string{"x-api-key", "Bearer " + key}, sallyport.CredentialMalformed},
		"another header":                  {[]string{"api-key", key}, sallyport.CredentialMissing},
		"a wrong checksum":                {[]string{"x-api-key", string(flipped)}, sallyport.CredentialMalformed},
		"an unknown prefix":               {[]string{"x-api-key", "ord_test_" + key[9:]}, sallyport.CredentialMalformed},
		"a key nobody issued":             {[]string{"x-api-key", unknown.Reveal()}, sallyport.CredentialUnknown},
		"cut short":                       {[]string{"x-api-key", key[:len(key)-1]}, sallyport.CredentialMalformed},
		"with something behind":           {[]string{"x-api-key", key + "A"}, sallyport.CredentialMalformed},
		"in upper case":                   {[]string{"x-api-key", strings.ToUpper(key)}, sallyport.CredentialMalformed},
		"with a NUL":                      {[]string{"x-api-key", key + "\x00"}, sallyport.CredentialMalformed},
		"not UTF-8":                       {[]string{"x-api-key", key[:20] + "\xff" + key[21:]}, sallyport.CredentialMalformed},
		"a megabyte":                      {[]string{"x-api-key", strings.Repeat("A", 1<<20)}, sallyport.CredentialMalformed},
		"a megabyte under a known prefix": {[]string{"x-api-key", "ord_live_" + strings.Repeat("A", 1<<20)}, sallyport.CredentialMalformed},
	}
	for name, c := range cases {
		g.counters.Limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
		if d := g.decide(get("/v1/orders", c.headers...)); d.Reason != c.want {
			t.Errorf("%s: got %v, want %v", name, d.Reason, c.want)
		}
	}
	// In the URL it would reach the upstream and every log on the way.
	r := get("/v1/orders", "x-api-key", key)
	r.Query = "api_key=" + key
	if d := g.decide(r); d.Reason != sallyport.CredentialMisplaced {
		t.Errorf("also in the query: got %v", d.Reason)
	}
	if d := g.decide(get("/v1/orders/"+key, "x-api-key", key)); d.Reason != sallyport.CredentialMisplaced {
		t.Errorf("also in the path: got %v", d.Reason)
	}
}

// G3: the order of the refusals: 401, address 403, 404, scope 403, 429.
func TestTheOrderOfRefusals(t *testing.T) {
	g := newGate(t)
	elsewhere := func(c *sallyport.Credential) { c.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")} }
	scopeless := func(c *sallyport.Credential) { c.Scopes = nil }
	revoked := func(c *sallyport.Credential) { c.State = sallyport.Revoked }
	disabled := func(c *sallyport.Credential) { c.State = sallyport.Disabled }
	unset := func(c *sallyport.Credential) { c.State = sallyport.StateUnknown }
	expired := func(c *sallyport.Credential) { c.ExpiresAt = noon }
	living := func(c *sallyport.Credential) { c.ExpiresAt = noon.Add(time.Nanosecond) }
	suspended := func(c *sallyport.Credential) { c.Tenant.State = sallyport.Disabled }
	foreign := func(c *sallyport.Credential) { c.API = "billing" }
	readOnly := func(c *sallyport.Credential) { c.Access = sallyport.Read; c.Scopes = []string{"admin"} }
	sandbox := func(c *sallyport.Credential) { c.Sandbox = true }
	cases := []struct {
		name   string
		method string
		path   string
		key    string
		want   sallyport.Reason
	}{
		{"unlisted path, no key", "GET", "/v1/secret", "", sallyport.CredentialMissing},
		{"unlisted path", "GET", "/v1/secret", g.key(), sallyport.OperationUnlisted},
		{"unlisted path, revoked key", "GET", "/v1/secret", g.key(revoked), sallyport.CredentialRevoked},
		{"unlisted path, wrong address", "GET", "/v1/secret", g.key(elsewhere), sallyport.AddressRefused},
		{"wrong address before scope", "GET", "/v1/orders", g.key(elsewhere, scopeless), sallyport.AddressRefused},
		{"unlisted method", "DELETE", "/v1/orders", g.key(), sallyport.OperationUnlisted},
		{"method in lower case", "get", "/v1/orders", g.key(), sallyport.OperationUnlisted},
		{"no scope", "GET", "/v1/orders", g.key(scopeless), sallyport.ScopeMissing},
		{"another scope", "POST", "/v1/orders", g.key(), sallyport.ScopeMissing},
		{"no scope needed", "GET", "/v1/open", g.key(scopeless), sallyport.Allowed},
		{"HEAD follows GET", "HEAD", "/v1/orders", g.key(), sallyport.Allowed},
		{"HEAD without scope", "HEAD", "/v1/orders", g.key(scopeless), sallyport.ScopeMissing},
		{"HEAD where only POST", "HEAD", "/v1/tokens", g.key(), sallyport.OperationUnlisted},
		{"expired", "GET", "/v1/orders", g.key(expired), sallyport.CredentialExpired},
		{"expires in a moment", "GET", "/v1/orders", g.key(living), sallyport.Allowed},
		{"disabled", "GET", "/v1/orders", g.key(disabled), sallyport.CredentialDisabled},
		{"without a state", "GET", "/v1/orders", g.key(unset), sallyport.CredentialDisabled},
		{"tenant suspended", "GET", "/v1/orders", g.key(suspended), sallyport.TenantDisabled},
		{"another API's key", "GET", "/v1/orders", g.key(foreign), sallyport.CredentialUnknown},
		{"read-only key writes", "POST", "/v1/orders", g.key(readOnly), sallyport.AccessReadOnly},
		{"read-only key reads", "GET", "/v1/orders", g.key(readOnly), sallyport.Allowed},
		{"sandbox key, no mock", "GET", "/v1/orders", g.key(sandbox), sallyport.SandboxUnlisted},
		{"sandbox key, mock", "GET", "/v1/mocked", g.key(sandbox), sallyport.Answered},
		{"production key, mocked", "GET", "/v1/mocked", g.key(), sallyport.Allowed},
		{"answered by the gate", "GET", "/v1/verify", g.key(), sallyport.Answered},
		{"not built yet", "POST", "/v1/tokens", g.key(), sallyport.FeatureAbsent},
		{"not canonical", "GET", "/v1//orders", g.key(), sallyport.PathMalformed},
		{"not canonical, no key", "GET", "/v1/orders/", "", sallyport.CredentialMissing},
		{"encoded slash", "GET", "/v1%2forders", g.key(), sallyport.PathMalformed},
	}
	for _, c := range cases {
		r := get(c.path)
		r.Method = c.method
		if c.key != "" {
			r.Headers = append(r.Headers, sallyport.Header{Name: "x-api-key", Value: c.key})
		}
		if d := g.decide(r); d.Reason != c.want {
			t.Errorf("%s: got %v, want %v", c.name, d.Reason, c.want)
		}
	}
}

func TestAMethodOverrideChangesNothing(t *testing.T) {
	g := newGate(t)
	for _, name := range []string{"x-http-method-override", "x-http-method", "x-method-override"} {
		r := get("/v1/orders", "x-api-key", g.key(), name, "GET")
		r.Method = "DELETE"
		if d := g.decide(r); d.Reason != sallyport.OperationUnlisted {
			t.Errorf("%s: got %v", name, d.Reason)
		}
	}
}

// G6: a tenant named in path, query or header must be one's own, every time.
func TestTenantsAreWalls(t *testing.T) {
	g := newGate(t)
	admin := func(c *sallyport.Credential) { c.Scopes = []string{"admin"} }
	cases := map[string]struct {
		path, query string
		headers     []string
		want        sallyport.Reason
	}{
		"own":                      {"/v1/tenants/t1/orders", "", nil, sallyport.Allowed},
		"another":                  {"/v1/tenants/t2/orders", "", nil, sallyport.TenantForeign},
		"own, encoded":             {"/v1/tenants/t%20/orders", "", nil, sallyport.TenantForeign},
		"own and header":           {"/v1/tenants/t1/orders", "", []string{"x-org", "t1"}, sallyport.Allowed},
		"another in header":        {"/v1/tenants/t1/orders", "", []string{"x-org", "t2"}, sallyport.TenantForeign},
		"another in second":        {"/v1/tenants/t1/orders", "", []string{"x-org", "t1", "x-org", "t2"}, sallyport.TenantForeign},
		"joined":                   {"/v1/tenants/t1/orders", "", []string{"x-org", "t1,t2"}, sallyport.TenantForeign},
		"query":                    {"/v1/tenants/t1/orders", "org=t1", nil, sallyport.Allowed},
		"another in query":         {"/v1/tenants/t1/orders", "a=b&org=t2", nil, sallyport.TenantForeign},
		"second in query":          {"/v1/tenants/t1/orders", "org=t1&org=t2", nil, sallyport.TenantForeign},
		"encoded name":             {"/v1/tenants/t1/orders", "%6frg=t2", nil, sallyport.TenantForeign},
		"encoded value of our own": {"/v1/tenants/t1/orders", "org=%741", nil, sallyport.Allowed},
	}
	for name, c := range cases {
		r := get(c.path, append(c.headers, "x-api-key", g.key(admin))...)
		r.Query = c.query
		if d := g.decide(r); d.Reason != c.want {
			t.Errorf("%s: got %v, want %v", name, d.Reason, c.want)
		}
	}
}

func TestAddressesAreJudgedAsWhatTheyAre(t *testing.T) {
	g := newGate(t)
	key := g.key(func(c *sallyport.Credential) {
		c.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}
		c.Networks, c.Scopes = sallyport.NewNetworks(c.AllowedIPs), nil
	})
	for source, want := range map[string]sallyport.Reason{
		"203.0.113.9": sallyport.Allowed, "::ffff:203.0.113.9": sallyport.Allowed, "2001:db8::1": sallyport.Allowed,
		"203.0.114.9": sallyport.AddressRefused, "::ffff:203.0.114.9": sallyport.AddressRefused, "2001:db9::1": sallyport.AddressRefused,
		"": sallyport.AddressRefused, "garbage": sallyport.AddressRefused,
	} {
		r := get("/v1/open", "x-api-key", key)
		r.Source = source
		g.counters.Limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
		if d := g.decide(r); d.Reason != want {
			t.Errorf("%q: got %v, want %v", source, d.Reason, want)
		}
	}
}

// G7: what each outcome costs, on both chains.
func TestWhatIsCounted(t *testing.T) {
	g := newGate(t)
	key := g.key()
	cases := []struct {
		name  string
		chain sallyport.Chain
		path  string
		key   string
		hits  []uint64 // 0 is a look
	}{
		{"fused, allowed", sallyport.Fused, "/v1/orders", key, []uint64{1}},
		{"paired, allowed: the rate limit service takes", sallyport.Paired, "/v1/orders", key, nil},
		{"fused, answered", sallyport.Fused, "/v1/verify", key, []uint64{1}},
		{"paired, answered: Check takes", sallyport.Paired, "/v1/verify", key, []uint64{1}},
		{"paired, unlisted", sallyport.Paired, "/v1/secret", key, []uint64{0}},
		{"fused, forbidden", sallyport.Fused, "/v1/tenants/t2/orders", key, []uint64{0}},
		{"no caller", sallyport.Fused, "/v1/orders", "", nil},
		{"expired: no caller of ours", sallyport.Fused, "/v1/orders", g.key(func(c *sallyport.Credential) { c.ExpiresAt = noon }), nil},
	}
	for _, c := range cases {
		g.counters.hits = nil
		r := get(c.path)
		r.Chain = c.chain
		if c.key != "" {
			r.Headers = append(r.Headers, sallyport.Header{Name: "x-api-key", Value: c.key})
		}
		d := g.decide(r)
		if len(g.counters.hits) != len(c.hits) || len(c.hits) == 1 && g.counters.hits[0] != c.hits[0] {
			t.Errorf("%s: took %v, want %v (%v)", c.name, g.counters.hits, c.hits, d.Reason)
		}
		if d.Verdict.Known != (len(c.hits) > 0) {
			t.Errorf("%s: quota known is %v", c.name, d.Verdict.Known)
		}
	}
}

func TestTheFourthOfThreeIsRefused(t *testing.T) {
	g := newGate(t)
	key := g.key()
	for i, want := range []sallyport.Reason{sallyport.Allowed, sallyport.Answered, sallyport.Allowed, sallyport.QuotaExhausted} {
		path := "/v1/orders"
		if i == 1 {
			path = "/v1/verify"
		}
		if d := g.decide(get(path, "x-api-key", key)); d.Reason != want {
			t.Errorf("request %d: got %v, want %v", i+1, d.Reason, want)
		}
	}
}

// G9: what fails is refused, or passed where the configuration says so.
func TestWhatFailsIsRefusedUnlessItMayPass(t *testing.T) {
	g := newGate(t)
	key := g.key()
	g.decide(get("/v1/orders", "x-api-key", key))

	g.counters.err = errors.New("counters on fire")
	if d := g.decide(get("/v1/orders", "x-api-key", key)); d.Reason != sallyport.CountersFailed {
		t.Errorf("counters down, closed: got %v", d.Reason)
	}
	g.policy.APIs[0].OnFailure.QuotaOpen = true
	if d := g.decide(get("/v1/orders", "x-api-key", key)); d.Reason != sallyport.Allowed || d.Verdict.Known {
		t.Errorf("counters down, open: got %v, quota known %v", d.Reason, d.Verdict.Known)
	}
	g.counters.err = nil

	other := g.key()
	g.shelf.hold = func(context.Context) error { return errors.New("store on fire") }
	if d := g.decide(get("/v1/orders", "x-api-key", other)); d.Reason != sallyport.StoreFailed {
		t.Errorf("store down: got %v", d.Reason)
	}
	if d := g.decide(get("/v1/orders", "x-api-key", key)); d.Reason != sallyport.Allowed {
		t.Errorf("store down, known key: got %v", d.Reason)
	}
	g.shelf.hold = func(context.Context) error { return context.DeadlineExceeded }
	if d := g.decide(get("/v1/orders", "x-api-key", other)); d.Reason != sallyport.StoreTimeout {
		t.Errorf("store hung: got %v", d.Reason)
	}
}

func TestHosts(t *testing.T) {
	g := newGate(t)
	for host, want := range map[string]sallyport.Reason{
		"api.orders.test": sallyport.Allowed, "API.Orders.TEST:8443": sallyport.Allowed, "api.orders.test.": sallyport.Allowed,
		"api.orders.test.:80": sallyport.Allowed, "orders.test": sallyport.HostUnlisted, "": sallyport.HostUnlisted,
		"api.orders.test.evil": sallyport.HostUnlisted, "[::1]:80": sallyport.HostUnlisted, "[::1]": sallyport.HostUnlisted, ":": sallyport.HostUnlisted,
	} {
		g.counters.Limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
		r := get("/v1/orders", "x-api-key", g.key())
		r.Host = host
		if d := g.decide(r); d.Reason != want {
			t.Errorf("%q: got %v, want %v", host, d.Reason, want)
		}
		r.API = "orders" // the route's context extension wins
		if d := g.decide(r); d.Reason != sallyport.Allowed {
			t.Errorf("%q with extension: got %v", host, d.Reason)
		}
	}
}

func TestTheZeroAuthorizerRefuses(t *testing.T) {
	g := newGate(t)
	empty := New(g.hasher, g.finder, g.counters, nil, func() time.Time { return noon })
	d := new(sallyport.Decision)
	r := get("/v1/orders", "x-api-key", g.key())
	empty.Decide(context.Background(), &r, d)
	if d.Reason != sallyport.HostUnlisted {
		t.Errorf("got %v", d.Reason)
	}
}

// A4: where a request came from is told where rules may ask, as the proxy vouches
// for it.
func TestTheAddressIsToldWhereUseIsWatched(t *testing.T) {
	g := newGate(t)
	for _, want := range []string{"", "198.51.100.7"} {
		r, d := fullRequest(g.key(), sallyport.Paired), new(sallyport.Decision)
		r.Source, r.SourceHeader = "10.0.0.1", "x-envoy-external-address"
		r.Headers = append(r.Headers, sallyport.Header{Name: "x-forwarded-for", Value: "192.0.2.9"})
		for i := range r.Headers {
			if r.Headers[i].Name == r.SourceHeader {
				r.Headers[i].Value = "198.51.100.7"
			}
		}
		if g.Decide(context.Background(), &r, d); d.Address != want || d.Reason != sallyport.Allowed {
			t.Errorf("got %q and %v, want %q", d.Address, d.Reason, want)
		}
		g.policy.APIs[0].Anomalies = []sallyport.Anomaly{{Name: "far-away", Of: sallyport.MeasureNetworks}}
	}
}

// DESIGN: no allocation in Decide on a hit.
func TestDecideDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, chain := range []sallyport.Chain{sallyport.Paired, sallyport.Fused} {
		g := newGate(t)
		g.policy.APIs[0].Limits[0].Plans["big"].List[0].Max = 1 << 40
		g.policy.APIs[0].Limits[0].Plans["big"].List[1].Max = 1 << 40
		g.counters.hits = make([]uint64, 0, 1<<20)
		r, d := fullRequest(g.key(), chain), new(sallyport.Decision)
		n := testing.AllocsPerRun(1000, func() {
			d.Reset()
			g.Decide(context.Background(), &r, d)
		})
		if d.Reason != sallyport.Allowed || n != 0 {
			t.Errorf("%v: %v with %v allocations, want none", chain, d.Reason, n)
		}
	}
}

// fullRequest is a request as Envoy sends it.
func fullRequest(key string, chain sallyport.Chain) sallyport.Request {
	r := get("/v1/orders/ord_8231", ":authority", "api.orders.test", ":method", "GET", ":path", "/v1/orders/ord_8231", ":scheme", "https",
		"user-agent", "orders-sdk/4.2", "accept", "application/json", "accept-encoding", "gzip", "x-forwarded-for", "203.0.113.9",
		"x-forwarded-proto", "https", "x-request-id", "4b0f1d0e-7f2c-4e0f-9a51-0b6a1f0a7c11", "x-envoy-external-address", "203.0.113.9",
		"x-api-key", key, "x-sallyport-sid", "c7c0f5b8-0b1e-4b38-8a07-1f3a2a9f4e21")
	r.API, r.Chain = "orders", chain
	return r
}

// BenchmarkDecideParallel is for -cpu 1,2,4: what callers cost one another who
// share a key and its counters, and who do not. Each request has a sid of its own.
func BenchmarkDecideParallel(b *testing.B) {
	for name, keys := range map[string]int{"one key": 1, "64 keys": 64} {
		b.Run(name, func(b *testing.B) {
			g := newGate(&testing.T{})
			g.limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
			for i := range g.policy.APIs[0].Limits[0].Plans["big"].List {
				g.policy.APIs[0].Limits[0].Plans["big"].List[i].Max = 1 << 40
			}
			var requests []sallyport.Request
			for range keys {
				requests = append(requests, fullRequest(g.key(), sallyport.Fused))
			}
			var worker atomic.Uint64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				first, d := worker.Add(1)<<40, new(sallyport.Decision)
				sid := []byte("c7c0f5b8-0b1e-4b38-8a07-000000000000")
				for n := first; pb.Next(); n++ {
					r := requests[n%uint64(keys)]
					r.Headers = slices.Clone(r.Headers)
					hex.Encode(sid[20:], binary.BigEndian.AppendUint64(nil, n))
					r.Headers[len(r.Headers)-1].Value = string(sid)
					d.Reset()
					if g.Decide(context.Background(), &r, d); d.Reason != sallyport.Allowed {
						b.Error(d.Reason)
						return
					}
				}
			})
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, chain := range []sallyport.Chain{sallyport.Paired, sallyport.Fused} {
		b.Run(chain.String(), func(b *testing.B) {
			g := newGate(&testing.T{})
			g.limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
			g.policy.APIs[0].Limits[0].Plans["big"].List[0].Max = 1 << 40
			g.policy.APIs[0].Limits[0].Plans["big"].List[1].Max = 1 << 40
			r, d := fullRequest(g.key(), chain), new(sallyport.Decision)
			b.ReportAllocs()
			for b.Loop() {
				d.Reset()
				g.Decide(context.Background(), &r, d)
			}
		})
	}
}
