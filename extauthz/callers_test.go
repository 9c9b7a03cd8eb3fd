package extauthz

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/proof"
)

// withRoles gives the policy roles, scopes that grant others, and a category.
func (g *gate) withRoles() {
	api := g.policy.APIs[0]
	api.Scopes = []sallyport.Scope{{Name: "orders:read"}, {Name: "orders:write"}, {Name: "admin", GrantsAll: true}}
	api.Roles = map[string][]string{"Reader": {"orders:read"}, "Writer": {"orders:write", "orders:read"}, "Owner": {"admin"}}
	api.Categories = []string{"Orders"}
	for _, op := range api.Operations {
		if strings.HasSuffix(op.Path, "/orders") {
			op.Category = "Orders"
		}
	}
	g.enforce()
}

// H2, A2, A3, G4: what a credential may do follows from its own scopes and
// roles, or from its user's, as they are now.
func TestRolesAndUsers(t *testing.T) {
	user := func(roles ...string) *sallyport.User {
		return &sallyport.User{ID: "ana", API: "orders", Tenant: "t1", Roles: roles, State: sallyport.Active}
	}
	for name, c := range map[string]struct {
		with        func(c *sallyport.Credential)
		own         bool // tenants may make roles
		read, write sallyport.Reason
	}{
		"no rights":       {func(c *sallyport.Credential) { c.Scopes = nil }, false, sallyport.ScopeMissing, sallyport.ScopeMissing},
		"a role":          {func(c *sallyport.Credential) { c.Scopes, c.Roles = nil, []string{"Writer"} }, false, sallyport.Allowed, sallyport.Allowed},
		"scope and role":  {func(c *sallyport.Credential) { c.Roles = []string{"Reader"} }, false, sallyport.Allowed, sallyport.ScopeMissing},
		"a role of all":   {func(c *sallyport.Credential) { c.Scopes, c.Roles = nil, []string{"Owner"} }, false, sallyport.Allowed, sallyport.Allowed},
		"no such role":    {func(c *sallyport.Credential) { c.Scopes, c.Roles = nil, []string{"Gone"} }, false, sallyport.ScopeMissing, sallyport.ScopeMissing},
		"user's roles":    {func(c *sallyport.Credential) { c.Scopes, c.User = nil, user("Writer") }, false, sallyport.Allowed, sallyport.Allowed},
		"narrowed":        {func(c *sallyport.Credential) { c.User = user("Owner") }, false, sallyport.Allowed, sallyport.ScopeMissing},
		"never more":      {func(c *sallyport.Credential) { c.Scopes, c.User = []string{"admin"}, user("Reader") }, false, sallyport.Allowed, sallyport.ScopeMissing},
		"user, no role":   {func(c *sallyport.Credential) { c.User = user() }, false, sallyport.ScopeMissing, sallyport.ScopeMissing},
		"not by its own":  {func(c *sallyport.Credential) { c.Scopes, c.Roles, c.User = nil, []string{"Owner"}, user("Reader") }, false, sallyport.Allowed, sallyport.ScopeMissing},
		"disabled user":   {func(c *sallyport.Credential) { c.User = user("Owner"); c.User.State = sallyport.Disabled }, false, sallyport.UserDisabled, sallyport.UserDisabled},
		"user of nothing": {func(c *sallyport.Credential) { c.User = &sallyport.User{Roles: []string{"Owner"}} }, false, sallyport.UserDisabled, sallyport.UserDisabled},
		"category off":    {func(c *sallyport.Credential) { c.Scopes, c.User = nil, user("Writer"); c.User.Off = []string{"Orders"} }, false, sallyport.CategoryOff, sallyport.CategoryOff},
		"another is off": {func(c *sallyport.Credential) {
			c.Scopes, c.User = nil, user("Writer")
			c.User.Off = []string{"Posture"}
		}, false, sallyport.Allowed, sallyport.Allowed},
		"tenant's role": {func(c *sallyport.Credential) {
			c.Scopes, c.Roles, c.Tenant.Roles = nil, []string{"Clerk"}, map[string][]string{"Clerk": {"orders:write"}}
		}, true, sallyport.ScopeMissing, sallyport.Allowed},
		"not where tenants make none": {func(c *sallyport.Credential) {
			c.Scopes, c.Roles, c.Tenant.Roles = nil, []string{"Clerk"}, map[string][]string{"Clerk": {"orders:write"}}
		}, false, sallyport.ScopeMissing, sallyport.ScopeMissing},
		"the API's role wins": {func(c *sallyport.Credential) {
			c.Scopes, c.Roles, c.Tenant.Roles = nil, []string{"Reader"}, map[string][]string{"Reader": {"admin"}}
		}, true, sallyport.Allowed, sallyport.ScopeMissing},
	} {
		g := newGate(t)
		g.policy.APIs[0].TenantRoles = c.own
		g.withRoles()
		key := g.key(c.with)
		if d := g.decide(get("/v1/orders", "x-api-key", key)); d.Reason != c.read {
			t.Errorf("%s: reading: %v, want %v", name, d.Reason, c.read)
		}
		post := get("/v1/orders", "x-api-key", key)
		post.Method = "POST"
		if d := g.decide(post); d.Reason != c.write {
			t.Errorf("%s: writing: %v, want %v", name, d.Reason, c.write)
		}
	}
}

// The upstream is told what the caller may do, each scope once.
func TestScopesThatTheUpstreamLearns(t *testing.T) {
	for name, c := range map[string]struct {
		with func(*sallyport.Credential)
		want string
	}{
		"scopes":   {func(c *sallyport.Credential) {}, "orders:read"},
		"and role": {func(c *sallyport.Credential) { c.Roles = []string{"Writer", "Reader"} }, "orders:write orders:read"},
		"user": {func(c *sallyport.Credential) {
			c.Scopes, c.User = nil, &sallyport.User{Roles: []string{"Writer"}, State: sallyport.Active}
		}, "orders:write orders:read"},
		"narrowed to what it has by name": {func(c *sallyport.Credential) {
			c.Scopes, c.User = []string{"admin"}, &sallyport.User{Roles: []string{"Reader"}, State: sallyport.Active}
		}, "orders:read"},
		"narrowed by scopes it has by another": {func(c *sallyport.Credential) {
			c.User = &sallyport.User{Roles: []string{"Owner"}, State: sallyport.Active}
		}, "orders:read"},
	} {
		g := newGate(t)
		g.withRoles()
		if got := g.upstreamHeaders(get("/v1/orders", "x-api-key", g.key(c.with)))["x-sallyport-scopes"]; got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// upstreamHeaders is what an OK answer to req sets; removed ones are "-".
func (g *gate) upstreamHeaders(req sallyport.Request) map[string]string {
	g.t.Helper()
	ok := g.answered(message(g.t, req)).GetOkResponse()
	set := make(map[string]string)
	for _, o := range ok.GetHeaders() {
		set[o.GetHeader().GetKey()] = o.GetHeader().GetValue()
	}
	for _, name := range ok.GetHeadersToRemove() {
		set[name] = "-"
	}
	return set
}

// G12: an attribute is the nearest that says it, and a header so named is never
// the client's own, however it is written.
func TestAttributes(t *testing.T) {
	g := newGate(t)
	g.policy.APIs[0].Attributes = []sallyport.AttributeUse{{Name: "team", Header: "x-team", Metadata: true}, {Name: "tier", Header: "x-tier"}}
	g.enforce()
	key := g.key(func(c *sallyport.Credential) {
		c.Attributes = map[string]string{"team": "blue"}
		c.Tenant.Attributes = map[string]string{"team": "red"}
	})
	req := get("/v1/orders", "x-api-key", key, "x-team", "evil", "x_team", "evil", "x-tier", "evil", "x_tier", "evil")
	got := g.upstreamHeaders(req)
	for name, want := range map[string]string{"x-team": "blue", "x_team": "-", "x-tier": "-", "x_tier": "-"} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	fields := g.answered(message(t, req)).GetDynamicMetadata().GetFields()
	if got := fields["attribute.team"].GetStringValue(); got != "blue" {
		t.Errorf("the metadata say %q", got)
	}
	if fields["attribute.tier"] != nil {
		t.Error("the metadata have an attribute that is not for them")
	}
}

// An address list of hundreds of networks, asked by an address in IPv6's clothes.
func TestAddressLists(t *testing.T) {
	var list []netip.Prefix
	for i := range 500 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i / 250), byte(i % 250), 0}), 24))
	}
	list = append(list, netip.MustParsePrefix("2001:db8::/32"))
	for source, want := range map[string]sallyport.Reason{
		"10.1.249.7": sallyport.Allowed, "::ffff:10.0.3.9": sallyport.Allowed, "2001:db8:1::1": sallyport.Allowed,
		"10.1.250.7": sallyport.AddressRefused, "2001:db9::1": sallyport.AddressRefused, "": sallyport.AddressRefused, "nonsense": sallyport.AddressRefused,
	} {
		g := newGate(t)
		req := get("/v1/orders", "x-api-key", g.key(func(c *sallyport.Credential) { c.AllowedIPs, c.Networks = list, sallyport.NewNetworks(list) }))
		req.Source = source
		if d := g.decide(req); d.Reason != want {
			t.Errorf("%s: %v, want %v", source, d.Reason, want)
		}
	}
}

// Where the route says that a header tells the client's address, that header
// alone counts; where it does not, a client cannot make it so.
func TestWhoseAddress(t *testing.T) {
	list := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	for name, c := range map[string]struct {
		extension, source string
		headers           []string
		want              sallyport.Reason
	}{
		"the connection's":         {"", "203.0.113.9", nil, sallyport.Allowed},
		"a header of the client's": {"", "10.0.0.1", []string{"x-sallyport-source", "203.0.113.9"}, sallyport.AddressRefused},
		"the header":               {"x-sallyport-source", "10.0.0.1", []string{"x-sallyport-source", "203.0.113.9"}, sallyport.Allowed},
		"another in the header":    {"x-sallyport-source", "203.0.113.9", []string{"x-sallyport-source", "10.0.0.1"}, sallyport.AddressRefused},
		"no header":                {"x-sallyport-source", "203.0.113.9", nil, sallyport.AddressRefused},
		"two headers": {
			"x-sallyport-source", "203.0.113.9", []string{"x-sallyport-source", "203.0.113.9", "x-sallyport-source", "203.0.113.9"}, sallyport.AddressRefused,
		},
	} {
		g := newGate(t)
		req := get("/v1/orders", append(c.headers, "x-api-key", g.key(func(c *sallyport.Credential) { c.AllowedIPs, c.Networks = list, sallyport.NewNetworks(list) }))...)
		req.Source, req.SourceHeader = c.source, c.extension
		if d := g.decide(req); d.Reason != c.want {
			t.Errorf("%s: %v, want %v", name, d.Reason, c.want)
		}
	}
}

// G5: a secret without a checksum is looked for only under a prefix that has
// imports.
func TestImportedSecrets(t *testing.T) {
	g := newGate(t)
	const imported = "ord_live_1234567890abcdef"
	g.shelf.put(g.hasher.Digest(imported), credential("imported", sallyport.Active))
	if d := g.decide(get("/v1/orders", "x-api-key", imported)); d.Reason != sallyport.CredentialMalformed || g.shelf.reads.Load() != 0 {
		t.Errorf("before: %v, %d reads", d.Reason, g.shelf.reads.Load())
	}
	g.finder.MarkUnchecked("orders", "ord_live_")
	if d := g.decide(get("/v1/orders", "x-api-key", imported)); d.Reason != sallyport.Allowed {
		t.Errorf("after: %v", d.Reason)
	}
	for _, short := range []string{"ord_live_1234567", "ord_live_12345678 9", "ord_live_"} {
		if d := g.decide(get("/v1/orders", "x-api-key", short)); d.Reason != sallyport.CredentialMalformed {
			t.Errorf("%q: %v", short, d.Reason)
		}
	}
}

// What a prefix promises, its keys keep: a secret that was stored as one of
// another prefix is nobody's.
func TestKeysKeepToTheirPrefix(t *testing.T) {
	g := newGate(t)
	if d := g.decide(get("/v1/orders", "x-api-key", g.key(func(c *sallyport.Credential) { c.Prefix = "ord_read_" }))); d.Reason != sallyport.CredentialUnknown {
		t.Errorf("got %v", d.Reason)
	}
}

// G1: a request id that may be a key is none: it would stand in logs.
func TestAKeyIsNoRequestID(t *testing.T) {
	g := newGate(t)
	key, other := g.key(), g.key()
	for _, id := range []string{other, "x-" + other, "ord_live_12345678"} {
		d := g.decide(get("/v1/orders", "x-api-key", key, "x-request-id", id))
		if d.RequestID != "" || d.Reason != sallyport.Allowed {
			t.Errorf("%v with the id %q", d.Reason, d.RequestID)
		}
	}
	if d := g.decide(get("/v1/orders", "x-api-key", key, "x-request-id", "ord_live_7")); d.RequestID != "ord_live_7" {
		t.Errorf("a sane id is %q", d.RequestID)
	}
}

// Peppers rotate while requests come: a secret that is kept under the older one
// is found, and said to be renewed.
func TestPeppersRotate(t *testing.T) {
	parse := func(text string, version int) apikey.Pepper {
		p, err := apikey.ParsePepper([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p.WithVersion(version)
	}
	older, newer := parse("an older pepper of thirty-two bytes", 1), parse("a newer pepper, of thirty-two bytes", 2)
	before, err := apikey.NewHasher(older)
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := apikey.NewHasher(newer, older)
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t)
	var renewed []sallyport.Digest
	finder, err := NewFinder(g.shelf, FinderOptions{Credentials: 100, Timeout: time.Minute, Renew: func(from, to sallyport.Digest, pepper int) {
		renewed = append(renewed, from, to)
		if pepper != 2 {
			t.Errorf("renewed under pepper %d", pepper)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(finder.Close)
	g.Authorizer = New(hasher, finder, g.counters, nil, func() time.Time { return noon })
	g.enforce()
	secret, err := apikey.Generate("ord_live_")
	if err != nil {
		t.Fatal(err)
	}
	raw := secret.Reveal()
	g.shelf.put(before.Digest(raw), credential("k", sallyport.Active))
	if d := g.decide(get("/v1/orders", "x-api-key", raw)); d.Reason != sallyport.Allowed {
		t.Fatalf("under the older pepper: %v", d.Reason)
	}
	if !slices.Equal(renewed, []sallyport.Digest{before.Digest(raw), hasher.Digest(raw)}) {
		t.Errorf("renewed %d digests", len(renewed))
	}
	g.shelf.put(hasher.Digest(raw), credential("k", sallyport.Active))
	finder.Known(hasher.Digest(raw))
	renewed = nil
	if d := g.decide(get("/v1/orders", "x-api-key", raw)); d.Reason != sallyport.Allowed || renewed != nil {
		t.Errorf("under the newer pepper: %v, renewed %d", d.Reason, len(renewed))
	}
}

// G9: while the store is down, known credentials are served for the configured
// time and no longer.
func TestGraceWhileTheStoreIsDown(t *testing.T) {
	g := newGate(t)
	g.policy.APIs[0].Grace = time.Hour
	g.enforce()
	key := g.key()
	for _, c := range []struct {
		down time.Time
		want sallyport.Reason
	}{
		{time.Time{}, sallyport.Allowed},
		{noon.Add(-time.Hour), sallyport.Allowed},
		{noon.Add(-time.Hour - time.Second), sallyport.StoreFailed},
		{time.Time{}, sallyport.Allowed},
	} {
		g.finder.Down(c.down)
		if d := g.decide(get("/v1/orders", "x-api-key", key)); d.Reason != c.want {
			t.Errorf("down since %v: %v, want %v", c.down, d.Reason, c.want)
		}
	}
}

// Shadow mode decides, counts and marks, and refuses nothing.
func TestShadowMode(t *testing.T) {
	for _, chain := range []sallyport.Chain{sallyport.Paired, sallyport.Fused} {
		g := newGate(t)
		g.policy.APIs[0].Shadow = true
		g.enforce()
		ask := func(req sallyport.Request, want sallyport.Reason) {
			t.Helper()
			req.Chain = chain
			d := g.decide(req)
			if d.Reason != sallyport.Allowed || d.Shadowed != want {
				t.Errorf("%v: %v, shadowed %v, want %v", chain, d.Reason, d.Shadowed, want)
			}
		}
		ask(get("/v1/orders"), sallyport.CredentialMissing)
		ask(get("/v1/nothing", "x-api-key", g.key()), sallyport.OperationUnlisted)
		key := g.key()
		for range 3 {
			ask(get("/v1/orders", "x-api-key", key), sallyport.Undecided)
		}
		ask(get("/v1/orders", "x-api-key", key), sallyport.QuotaExhausted)

		req := get("/v1/orders", "x-api-key", key)
		req.Chain = chain
		out := g.answered(message(t, req))
		told := make(map[string]string)
		for _, o := range out.GetOkResponse().GetResponseHeadersToAdd() {
			told[o.GetHeader().GetKey()] = o.GetHeader().GetValue()
		}
		if told["x-sallyport-shadow"] != "rate_limited" || told["x-ratelimit-remaining"] != "0" {
			t.Errorf("%v: the client is told %v", chain, told)
		}
		fields := out.GetDynamicMetadata().GetFields()
		if fields["shadow"].GetStringValue() != "caller.quota.requests" || fields["limits"] != nil {
			t.Errorf("%v: metadata %v", chain, fields)
		}
		if got := g.upstreamHeaders(req)["x-sallyport-shadow"]; got != "caller.quota.requests" {
			t.Errorf("%v: the upstream is told %q", chain, got)
		}
		for _, name := range out.GetOkResponse().GetHeadersToRemove() {
			if name == "x-api-key" {
				t.Error("the credential is taken from an upstream that still guards itself")
			}
		}
	}
}

// An endpoint of ours is guarded in shadow mode too: nobody behind the gate
// would refuse.
func TestShadowModeDoesNotOpenEndpoints(t *testing.T) {
	g := newGate(t)
	op := operation("POST", "/v1/keys", "admin")
	op.Serve = sallyport.ServeKeys
	g.policy.APIs[0].Operations = append(g.policy.APIs[0].Operations, op)
	g.policy.APIs[0].Shadow = true
	g.enforce()
	for key, want := range map[string]sallyport.Reason{g.key(): sallyport.ScopeMissing, "": sallyport.CredentialMalformed} {
		req := get("/v1/keys", "x-api-key", key)
		req.Method = "POST"
		if d := g.decide(req); d.Reason != want || d.Shadowed != sallyport.Undecided {
			t.Errorf("got %v, shadowed %v, want %v", d.Reason, d.Shadowed, want)
		}
	}
}

func TestShadowModeOfOneOperation(t *testing.T) {
	g := newGate(t)
	g.policy.APIs[0].Operations[0].Shadow = true
	g.enforce()
	// Whose key it was does not make it a caller; and the rest of the API is
	// guarded, so its upstream gets no key.
	revoked := g.key(func(c *sallyport.Credential) { c.State = sallyport.Revoked })
	for _, req := range []sallyport.Request{get("/v1/orders", "x-api-key", revoked), get("/v1/orders", "x-api-key", g.key(), "authorization", "Bearer "+g.key())} {
		set := g.upstreamHeaders(req)
		for name, want := range map[string]string{"x-sallyport-tenant": "", "x-sallyport-scopes": "", "x-api-key": "-", "authorization": "-"} {
			if set[name] != want {
				t.Errorf("%s is %q, want %q", name, set[name], want)
			}
		}
	}
	if d := g.decide(get("/v1/orders")); d.Reason != sallyport.Allowed || d.Shadowed != sallyport.CredentialMissing {
		t.Errorf("in shadow: %v, %v", d.Reason, d.Shadowed)
	}
	if d := g.decide(get("/v1/orders/7")); d.Reason != sallyport.CredentialMissing || d.Shadowed != sallyport.Undecided {
		t.Errorf("beside it: %v, %v", d.Reason, d.Shadowed)
	}
}

// An endpoint of ours gets a proof that its request was checked.
func TestProofForEndpoints(t *testing.T) {
	g := newGate(t)
	op := operation("PATCH", "/v1/keys/{id}", "admin")
	op.Serve = sallyport.ServeKeys
	g.policy.APIs[0].Operations = append(g.policy.APIs[0].Operations, op)
	g.enforce()
	req := get("/v1/keys/k1", "x-api-key", g.key(func(c *sallyport.Credential) { c.Scopes = []string{"admin"} }), proof.Header, "forged")
	req.Method = "PATCH"
	set := g.upstreamHeaders(req)
	s, err := proof.Verify([]proof.Key{g.hasher.Derive(proof.Purpose)}, set[proof.Header], "PATCH", "/v1/keys/k1", noon)
	if err != nil || s.API != "orders" || s.Tenant != "t1" || s.Credential != set["x-sallyport-credential"] || s.Operation != op.Name {
		t.Errorf("got %+v, %v", s, err)
	}
	if set["x-api-key"] != "-" {
		t.Error("the endpoint gets the key")
	}
	if got := g.upstreamHeaders(get("/v1/orders", "x-api-key", g.key(), proof.Header, "forged"))[proof.Header]; got != "-" {
		t.Errorf("an upstream gets the proof %q", got)
	}
}

// Explain says what would come, and spends nothing.
func TestExplain(t *testing.T) {
	g := newGate(t)
	key := g.key()
	req := get("/v1/orders", "x-api-key", key)
	for range 10 {
		e := g.Explain(context.Background(), &req, nil)
		if e.Decision.Reason != sallyport.Allowed || e.Status != 0 || len(e.Limits) != 1 || e.Limits[0].Verdict.Remaining != 3 {
			t.Fatalf("got %v, status %d, limits %+v", e.Decision.Reason, e.Status, e.Limits)
		}
	}
	for range 3 {
		g.decide(req)
	}
	for _, chain := range []sallyport.Chain{sallyport.Paired, sallyport.Fused} {
		req.Chain = chain
		if e := g.Explain(context.Background(), &req, nil); e.Decision.Reason != sallyport.QuotaExhausted || e.Status != 429 {
			t.Errorf("%v: got %v, status %d", chain, e.Decision.Reason, e.Status)
		}
	}
	as := credential("somebody", sallyport.Active)
	as.Scopes = nil
	req = get("/v1/orders")
	if e := g.Explain(context.Background(), &req, as); e.Decision.Reason != sallyport.ScopeMissing || e.Decision.Missing != "orders:read" || !strings.Contains(e.Body, "forbidden") {
		t.Errorf("got %v, missing %q, %s", e.Decision.Reason, e.Decision.Missing, e.Body)
	}
}
