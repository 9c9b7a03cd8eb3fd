package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func refused(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustUser(t, ctx, s, user("u1", "acme"))
	for what, change := range map[string]func(*sallyport.Tenant){
		"no id":         func(t *sallyport.Tenant) { t.ID = "" },
		"no api":        func(t *sallyport.Tenant) { t.API = "" },
		"no state":      func(t *sallyport.Tenant) { t.State = sallyport.StateUnknown },
		"half a second": func(t *sallyport.Tenant) { t.Limits["writes"][0].Length = time.Second / 2 },
		"broken UTF-8":  func(t *sallyport.Tenant) { t.Name = "\xff" },
		"NUL":           func(t *sallyport.Tenant) { t.Name = "a\x00b" },
		"broken roles":  func(t *sallyport.Tenant) { t.Roles = map[string][]string{"\xff": nil} },
		"broken scopes": func(t *sallyport.Tenant) { t.Roles = map[string][]string{"a": {"\xff"}} },
		"broken facts":  func(t *sallyport.Tenant) { t.Attributes = map[string]string{"a": "\xff"} },
		"broken limits": func(t *sallyport.Tenant) { t.Limits = map[string][]sallyport.Window{"\xff": nil} },
		"no override":   func(t *sallyport.Tenant) { t.Overrides["requests"] = sallyport.Windows{FromTenant: true} },
	} {
		bad := tenant("bad")
		change(&bad)
		if err := s.CreateTenant(ctx, bad); err == nil {
			t.Errorf("a tenant with %s was kept", what)
		}
	}
	for what, change := range map[string]func(*sallyport.Credential){
		"no id":             func(c *sallyport.Credential) { c.ID = "" },
		"no api":            func(c *sallyport.Credential) { c.API = "" },
		"no tenant":         func(c *sallyport.Credential) { c.Tenant = nil },
		"no tenant's id":    func(c *sallyport.Credential) { c.Tenant = &sallyport.Tenant{} },
		"another's tenant":  func(c *sallyport.Credential) { c.Tenant = &sallyport.Tenant{ID: "acme", API: "parcels"} },
		"no state":          func(c *sallyport.Credential) { c.State = sallyport.StateUnknown },
		"a broken scope":    func(c *sallyport.Credential) { c.Scopes = []string{"\xff"} },
		"a broken address":  func(c *sallyport.Credential) { c.AllowedIPs = []netip.Prefix{{}} },
		"a NUL in its name": func(c *sallyport.Credential) { c.Name = "\x00" },
		"a broken role":     func(c *sallyport.Credential) { c.Roles = []string{"\xff"} },
		"a broken fact":     func(c *sallyport.Credential) { c.Attributes = map[string]string{"\xff": ""} },
		"a broken cause":    func(c *sallyport.Credential) { c.Cause = "\xff" },
		"a broken plan":     func(c *sallyport.Credential) { c.Plan = "\xff" },
		"a broken override": func(c *sallyport.Credential) { c.Overrides["\xff"] = sallyport.Windows{} },
		"a broken zone":     overridden(sallyport.Window{Calendar: sallyport.Day, Zone: "\xff"}),
		"an odd calendar":   overridden(sallyport.Window{Calendar: sallyport.Month + 1}),
		"an odd algorithm":  overridden(sallyport.Window{Length: time.Second, Algorithm: sallyport.Bucket + 1}),
		"half a second":     overridden(sallyport.Window{Length: time.Second / 2}),
		"limits and none": func(c *sallyport.Credential) {
			c.Overrides["requests"] = sallyport.Windows{List: []sallyport.Window{{Max: 1, Length: time.Second}}, Unlimited: true}
		},
		"no user's id": func(c *sallyport.Credential) { c.User = &sallyport.User{} },
		"another API's user": func(c *sallyport.Credential) {
			c.User = &sallyport.User{ID: "u1", API: "parcels"}
		},
		"another's user": func(c *sallyport.Credential) {
			c.User = &sallyport.User{ID: "u1", API: "orders", Tenant: "other"}
		},
	} {
		bad := credential("bad", "acme")
		change(&bad)
		if err := s.CreateCredential(ctx, with(bad, "bad")); err == nil {
			t.Errorf("a credential with %s was kept", what)
		}
	}
	if err := s.CreateCredential(ctx, sallyport.NewCredential{Credential: credential("k1", "acme")}); err == nil {
		t.Error("a credential without a digest was kept")
	}
}

// overridden makes w what a credential gets.
func overridden(w sallyport.Window) func(*sallyport.Credential) {
	return func(c *sallyport.Credential) {
		c.Overrides = map[string]sallyport.Windows{"requests": {List: []sallyport.Window{w}}}
	}
}

func credentialRoundTrip(t *testing.T, ctx context.Context, s Store) {
	acme := tenant("acme")
	mustTenant(t, ctx, s, acme)
	full := credential("k1", "acme")
	bare := sallyport.Credential{ID: "k2", API: "orders", Tenant: &sallyport.Tenant{ID: "acme"}, State: sallyport.Disabled}
	for _, want := range []sallyport.Credential{full, bare} {
		mustCredential(t, ctx, s, want)
		got, err := s.Credential(ctx, "orders", "acme", want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, kept(want, acme, nil))
		if got, err = s.ByDigest(ctx, digest(want.ID)); err != nil {
			t.Fatal(err)
		}
		same(t, got, kept(want, acme, nil))
	}
	// Ends that must not turn into "never", nor into another end.
	for id, end := range map[string]time.Time{
		"epoch":  time.Unix(0, 0).UTC(),
		"before": time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC),
		"after":  time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		"never":  {},
	} {
		c := credential(id, "acme")
		c.ExpiresAt = end
		mustCredential(t, ctx, s, c)
		got, err := s.ByDigest(ctx, digest(id))
		if err != nil {
			t.Fatal(err)
		}
		if got.ExpiresAt != end {
			t.Errorf("%s: got %v, want %v", id, got.ExpiresAt, end)
		}
	}
}

func credentialConflict(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), elsewhere)
	mustCredential(t, ctx, s, credential("k1", "acme"))
	wants(t, "the same id", s.CreateCredential(ctx, with(credential("k1", "acme"), "other")), sallyport.ErrConflict)
	wants(t, "the same digest", s.CreateCredential(ctx, with(credential("k2", "acme"), "k1")), sallyport.ErrConflict)
	c := credential("k1", "acme")
	c.API, c.Tenant = "parcels", &elsewhere
	wants(t, "the same id in another API", s.CreateCredential(ctx, with(c, "other")), sallyport.ErrConflict)
	_, err := s.ByDigest(ctx, digest("other"))
	wants(t, "the digest of a refused credential", err, sallyport.ErrNotFound)
	_, err = s.Credential(ctx, "orders", "acme", "k2")
	wants(t, "a credential of a refused digest", err, sallyport.ErrNotFound)
}

func credentialOrphan(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, elsewhere)
	wants(t, "CreateCredential", s.CreateCredential(ctx, with(credential("k1", "acme"), "k1")), sallyport.ErrNotFound)
}

func credentialWalls(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	mustCredential(t, ctx, s, credential("k1", "acme"))
	// unknown wants err, about k1, to be that about an id which nobody has.
	unknown := func(what string, err, never error) {
		t.Helper()
		wants(t, what, err, sallyport.ErrNotFound)
		wants(t, what+", unknown id", never, sallyport.ErrNotFound)
		if got, want := fmt.Sprint(err), strings.ReplaceAll(fmt.Sprint(never), "k9", "k1"); got != want {
			t.Errorf("%s: got %q, but for an unknown id %q", what, got, want)
		}
	}
	touch := func(*sallyport.Credential) error {
		t.Error("a credential was handed to another tenant's change")
		return nil
	}
	for _, who := range []struct{ api, tenant string }{{"orders", "other"}, {"parcels", "acme"}, {"parcels", ""}, {"", "other"}, {"orders", "nobody"}} {
		_, err := s.Credential(ctx, who.api, who.tenant, "k1")
		_, never := s.Credential(ctx, who.api, who.tenant, "k9")
		unknown("Credential as "+who.tenant+" of "+who.api, err, never)
		_, err = s.UpdateCredential(ctx, who.api, who.tenant, "k1", false, touch)
		_, never = s.UpdateCredential(ctx, who.api, who.tenant, "k9", false, touch)
		unknown("UpdateCredential as "+who.tenant+" of "+who.api, err, never)
		_, err = s.Credentials(ctx, sallyport.CredentialFilter{API: who.api, Tenant: who.tenant, After: "k1"})
		_, never = s.Credentials(ctx, sallyport.CredentialFilter{API: who.api, Tenant: who.tenant, After: "k9"})
		unknown("Credentials after it, as "+who.tenant+" of "+who.api, err, never)
	}
	for _, who := range []struct{ api, tenant string }{{"orders", "acme"}, {"orders", ""}, {"", "acme"}, {"", ""}} {
		_, err := s.Credential(ctx, who.api, who.tenant, "k1")
		wants(t, "Credential as "+who.tenant+" of "+who.api, err, nil)
		_, err = s.UpdateCredential(ctx, who.api, who.tenant, "k1", false, func(*sallyport.Credential) error { return nil })
		wants(t, "UpdateCredential as "+who.tenant+" of "+who.api, err, nil)
	}
}

func credentialPages(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"))
	all := numbered("k%03d", 25)
	for i, id := range all {
		c := credential(id, "acme")
		if i%5 == 0 {
			c.Tenant = &sallyport.Tenant{ID: "other"}
		}
		mustCredential(t, ctx, s, c)
	}
	slices.Reverse(all)
	f := sallyport.CredentialFilter{API: "orders", Limit: 4}
	var got []string
	for {
		page, err := s.Credentials(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, ids(page, idOfCredential)...)
		f.After = got[len(got)-1]
		if len(got) == 4 { // what comes or changes meanwhile does not move a page
			mustCredential(t, ctx, s, credential("new", "acme"))
			if _, err := s.UpdateCredential(ctx, "orders", "", f.After, false, func(c *sallyport.Credential) error { c.Name = "changed"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	same(t, got, all)
}

func credentialFilters(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	revoked, foreign := credential("k2", "acme"), credential("k4", "acme")
	revoked.State, revoked.Name = sallyport.Revoked, "robot"
	foreign.API, foreign.Tenant, foreign.Name = "parcels", &elsewhere, "robot"
	mustUser(t, ctx, s, user("u1", "acme"), user("u2", "acme"))
	mustCredential(t, ctx, s, token("p1", "acme", "u1"), token("p2", "acme", "u2"), token("p3", "acme", "u1"))
	mustCredential(t, ctx, s, credential("k1", "acme"), revoked, credential("k3", "other"), foreign)
	for _, c := range []struct {
		filter sallyport.CredentialFilter
		want   []string
	}{
		{sallyport.CredentialFilter{}, []string{"k4", "k3", "k2", "k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{API: "orders"}, []string{"k3", "k2", "k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{Tenant: "acme"}, []string{"k4", "k2", "k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme"}, []string{"k2", "k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{API: "orders", State: sallyport.Active}, []string{"k3", "k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{API: "orders", State: sallyport.Active, After: "k3"}, []string{"k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{API: "orders", State: sallyport.Active, After: "k2"}, []string{"k1", "p3", "p2", "p1"}},
		{sallyport.CredentialFilter{API: "orders", State: sallyport.Disabled}, nil},
		{sallyport.CredentialFilter{Limit: 1}, []string{"k4"}},
		{sallyport.CredentialFilter{API: "orders", After: "k1"}, []string{"p3", "p2", "p1"}},
		{sallyport.CredentialFilter{Name: "robot"}, []string{"k4", "k2"}},
		{sallyport.CredentialFilter{Name: "robo"}, nil},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", Name: "robot"}, []string{"k2"}},
		{sallyport.CredentialFilter{API: "orders", Name: "robot", After: "k3"}, []string{"k2"}}, // after one that may have had that name
		{sallyport.CredentialFilter{Kind: "key"}, []string{"k4", "k3", "k2", "k1"}},
		{sallyport.CredentialFilter{Kind: "pat"}, []string{"p3", "p2", "p1"}},
		{sallyport.CredentialFilter{Kind: "pat", After: "k1"}, []string{"p3", "p2", "p1"}},
		{sallyport.CredentialFilter{Kind: "pat", Limit: 1, After: "p3"}, []string{"p2"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", User: "u1"}, []string{"p3", "p1"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", User: "u1", After: "p3"}, []string{"p1"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", User: "u1", State: sallyport.Revoked}, nil},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", User: "u3"}, nil},
		{sallyport.CredentialFilter{User: "u2"}, []string{"p2"}},
	} {
		list, err := s.Credentials(ctx, c.filter)
		if err != nil {
			t.Errorf("%+v: %v", c.filter, err)
		}
		if got := ids(list, idOfCredential); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.filter, got, c.want)
		}
	}
	_, err := s.Credentials(ctx, sallyport.CredentialFilter{API: "orders", Tenant: "acme", User: "u1", After: "p2"})
	wants(t, "after another user's", err, sallyport.ErrNotFound)
}

func credentialUpdate(t *testing.T, ctx context.Context, s Store) {
	acme := tenant("acme")
	mustTenant(t, ctx, s, acme, tenant("other"))
	mustCredential(t, ctx, s, credential("k1", "acme"), credential("k2", "acme"))
	want := *kept(sallyport.Credential{
		ID: "k1", API: "orders", Kind: "pat", Name: "n", Principal: "p", Environment: "test", Access: sallyport.Write,
		Scopes: []string{"admin"}, Roles: []string{"clerk"}, State: sallyport.Disabled, Prefix: "x_", Last4: "zzzz",
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Attributes: map[string]string{"owner": "you"},
		Plan: "free", Overrides: map[string]sallyport.Windows{"writes": {Unlimited: true}},
		Cause: "by a rule", CreatedAt: created, ExpiresAt: created.Add(time.Hour),
	}, acme, nil)
	got, err := s.UpdateCredential(ctx, "orders", "acme", "k1", false, func(c *sallyport.Credential) error {
		same(t, c.Tenant, &acme)
		*c = want
		c.Tenant = &sallyport.Tenant{ID: "acme", Name: "not by this way"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want.Epoch = 1 // it was disabled, and has another role
	same(t, got, &want)
	if got, err = s.ByDigest(ctx, digest("k1")); err != nil {
		t.Fatal(err)
	}
	same(t, got, &want)
	if got, err = s.Credential(ctx, "orders", "", "k2"); err != nil {
		t.Fatal(err)
	}
	same(t, got, kept(credential("k2", "acme"), acme, nil))
	for what, change := range map[string]func(*sallyport.Credential){
		"id":        func(c *sallyport.Credential) { c.ID = "k3" },
		"api":       func(c *sallyport.Credential) { c.API, c.Tenant = "parcels", &sallyport.Tenant{ID: "acme"} },
		"tenant":    func(c *sallyport.Credential) { c.Tenant = &sallyport.Tenant{ID: "other"} },
		"tenant id": func(c *sallyport.Credential) { c.Tenant.ID = "other" },
		"a user":    func(c *sallyport.Credential) { c.User = &sallyport.User{ID: "u1"} },
		"no tenant": func(c *sallyport.Credential) { c.Tenant = nil },
		"no state":  func(c *sallyport.Credential) { c.State = sallyport.StateUnknown },
	} {
		if _, err := s.UpdateCredential(ctx, "orders", "", "k1", false, func(c *sallyport.Credential) error { change(c); return nil }); err == nil {
			t.Errorf("%s: was changed", what)
		}
	}
	if got, err = s.Credential(ctx, "orders", "acme", "k1"); err != nil {
		t.Fatal(err)
	}
	same(t, got, &want)
}

func credentialFinal(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustCredential(t, ctx, s, credential("k1", "acme"))
	update := func(change func(*sallyport.Credential)) error {
		_, err := s.UpdateCredential(ctx, "orders", "acme", "k1", false, func(c *sallyport.Credential) error { change(c); return nil })
		return err
	}
	state := func(state sallyport.State) func(*sallyport.Credential) {
		return func(c *sallyport.Credential) { c.State = state }
	}
	wants(t, "disabled", update(state(sallyport.Disabled)), nil)
	wants(t, "enabled", update(state(sallyport.Active)), nil)
	wants(t, "revoked", update(state(sallyport.Revoked)), nil)
	wants(t, "revoked again", update(state(sallyport.Revoked)), nil)
	wants(t, "enabled after that", update(state(sallyport.Active)), sallyport.ErrFinal)
	wants(t, "disabled after that", update(state(sallyport.Disabled)), sallyport.ErrFinal)
	wants(t, "more scopes", update(func(c *sallyport.Credential) { c.Scopes = append(c.Scopes, "admin") }), sallyport.ErrFinal)
	wants(t, "a later end", update(func(c *sallyport.Credential) { c.ExpiresAt = time.Time{} }), sallyport.ErrFinal)
	got, err := s.ByDigest(ctx, digest("k1"))
	if err != nil {
		t.Fatal(err)
	}
	if got.State != sallyport.Revoked {
		t.Errorf("got %v, want %v", got.State, sallyport.Revoked)
	}
}

func byDigest(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustCredential(t, ctx, s, credential("k1", "acme"), credential("k2", "acme"))
	if _, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { t.State, t.Plan = sallyport.Disabled, "free"; return nil }); err != nil {
		t.Fatal(err)
	}
	got, err := s.ByDigest(ctx, digest("k2"))
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != "k2" || got.Tenant.State != sallyport.Disabled || got.Tenant.Plan != "free" || len(got.Tenant.Limits) != 3 {
		t.Errorf("got %+v of %+v", got, got.Tenant)
	}
	almost := digest("k2")
	almost[31] ^= 1
	_, err = s.ByDigest(ctx, almost)
	wants(t, "one bit off", err, sallyport.ErrNotFound)
}

func digests(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	want := map[sallyport.Digest]int{}
	for i, id := range numbered("k%03d", 40) {
		c := credential(id, "acme")
		if i%2 == 0 {
			c.State = sallyport.Revoked // only the bearer of a key may learn that it is
		}
		n := with(c, id)
		n.Pepper += i % 3
		wants(t, id, s.CreateCredential(ctx, n), nil)
		want[n.Digest] = n.Pepper
	}
	got := map[sallyport.Digest]int{}
	if err := s.Digests(ctx, func(d sallyport.Digest, pepper int) error { got[d] += pepper; return nil }); err != nil {
		t.Fatal(err)
	}
	same(t, got, want)
	stop, calls := errors.New("stop"), 0
	err := s.Digests(ctx, func(sallyport.Digest, int) error { calls++; return stop })
	wants(t, "Digests", err, stop)
	if calls != 1 {
		t.Errorf("got %d calls after an error, want 1", calls)
	}
	// Whoever is told may ask.
	err = s.Digests(ctx, func(d sallyport.Digest, _ int) error { _, err := s.ByDigest(ctx, d); return err })
	wants(t, "ByDigest within Digests", err, nil)
}

func noSharing(t *testing.T, ctx context.Context, s Store) {
	acme, u1, k1 := tenant("acme"), user("u1", "acme"), token("k1", "acme", "u1")
	mustTenant(t, ctx, s, acme)
	mustUser(t, ctx, s, u1)
	mustCredential(t, ctx, s, k1)
	spoil := func(c *sallyport.Credential) {
		c.Scopes[0], c.Roles[0], c.AllowedIPs[0], c.Attributes["owner"] = "admin", "admin", netip.Prefix{}, "you"
		c.Overrides["requests"].List[0].Max = 1000
		c.Overrides["nothing"] = sallyport.Windows{Unlimited: true}
		c.Tenant.State = sallyport.Revoked
	}
	spoil(&k1)
	acme.Limits["requests"][0].Max = 1
	acme.Overrides["requests"].List[0].Max = 1000
	acme.Attributes["region"] = "us"
	u1.Roles[0] = "admin"
	for range 2 {
		got, err := s.ByDigest(ctx, digest("k1"))
		if err != nil {
			t.Fatal(err)
		}
		u := user("u1", "acme")
		same(t, got, kept(token("k1", "acme", "u1"), tenant("acme"), &u))
		spoil(got)
		got.Tenant.Overrides["requests"].List[0].Max = 1000
		got.Tenant.Roles["nothing"] = []string{"admin"}
		got.User.Roles[0], got.User.Off[0], got.User.Attributes["team"] = "admin", "none", "b"
	}
}
