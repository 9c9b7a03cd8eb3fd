package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func client(id, tenantID string) sallyport.Credential {
	c := credential(id, tenantID)
	c.Kind = sallyport.KindClient
	c.Client = &sallyport.Client{
		Grants: []string{"authorization_code", "refresh_token"}, Redirects: []string{"https://app.example/back?a=<b>&c", "größe"},
	}
	return c
}

func publicClient(id, tenantID string) sallyport.Credential {
	c := client(id, tenantID)
	c.Client.Public = true
	return c
}

func grant(id, tenantID, userID, clientID string) sallyport.Credential {
	c := token(id, tenantID, userID)
	c.Kind, c.Client = sallyport.KindGrant, &sallyport.Client{ID: clientID}
	return c
}

func code(name string) sallyport.GrantSecret {
	return sallyport.GrantSecret{
		Digest: digest(name), Pepper: 3, Kind: sallyport.GrantCode, ExpiresAt: created.Add(time.Minute),
		Redirect: "https://app.example/back?a=<b>&c", Challenge: "größe",
	}
}

func refresh(name string) sallyport.GrantSecret {
	return sallyport.GrantSecret{Digest: digest(name), Pepper: 4, Kind: sallyport.GrantRefresh, ExpiresAt: created.Add(30 * 24 * time.Hour)}
}

// mustGrant keeps grants of the user u1 to the client c1, both of the tenant
// acme, and all of these; their codes are made from their ids.
func mustGrant(t *testing.T, ctx context.Context, s Store, ids ...string) {
	t.Helper()
	mustTenant(t, ctx, s, tenant("acme"))
	mustUser(t, ctx, s, user("u1", "acme"))
	mustCredential(t, ctx, s, client("c1", "acme"))
	for _, id := range ids {
		if err := s.CreateGrant(ctx, grant(id, "acme", "u1", "c1"), code(id+" code")); err != nil {
			t.Fatal(err)
		}
	}
}

// wantGrant fails t unless a credential is in that state, of that epoch.
func wantGrant(t *testing.T, ctx context.Context, s Store, id string, state sallyport.State, epoch uint64) {
	t.Helper()
	c, err := s.Credential(ctx, "", "", id)
	if err != nil {
		t.Fatal(err)
	}
	if c.State != state || c.Epoch != epoch {
		t.Errorf("%s is %v of epoch %d, want %v of %d", id, c.State, c.Epoch, state, epoch)
	}
}

func clientRoundTrip(t *testing.T, ctx context.Context, s Store) {
	acme, u1 := tenant("acme"), user("u1", "acme")
	mustTenant(t, ctx, s, acme)
	mustUser(t, ctx, s, u1)
	public, bare, service := publicClient("c2", "acme"), client("c3", "acme"), client("c4", "acme")
	bare.Client, service.User = &sallyport.Client{}, &sallyport.User{ID: "u1"}
	for _, want := range []sallyport.Credential{client("c1", "acme"), public, bare, service} {
		n := with(want, want.ID)
		if want.Client.Public {
			n.Digest = sallyport.Digest{}
		}
		wants(t, want.ID, s.CreateCredential(ctx, n), nil)
		its := (*sallyport.User)(nil)
		if want.User != nil {
			its = &u1
		}
		got, err := s.Credential(ctx, "orders", "acme", want.ID)
		wants(t, want.ID, err, nil)
		same(t, got, kept(want, acme, its))
		got, err = s.ByDigest(ctx, digest(want.ID))
		if want.Client.Public {
			wants(t, want.ID, err, sallyport.ErrNotFound)
			continue
		}
		wants(t, want.ID, err, nil)
		same(t, got, kept(want, acme, its))
	}
	g1 := grant("g1", "acme", "u1", "c1")
	wants(t, "CreateGrant", s.CreateGrant(ctx, g1, code("code")), nil)
	got, err := s.Credential(ctx, "", "", "g1")
	wants(t, "a grant", err, nil)
	same(t, got, kept(g1, acme, &u1))
	got, secret, spent, err := s.GrantByDigest(ctx, digest("code"))
	if err != nil || spent {
		t.Errorf("a new code: got spent: %v, %v", spent, err)
	}
	same(t, got, kept(g1, acme, &u1)) // the end of the code is not that of the grant
	same(t, secret, code("code"))
	wants(t, "the same id", s.CreateGrant(ctx, g1, code("another")), sallyport.ErrConflict)
	wants(t, "the same code", s.CreateGrant(ctx, grant("g2", "acme", "u1", "c1"), code("code")), sallyport.ErrConflict)
	_, err = s.Credential(ctx, "", "", "g2")
	wants(t, "a grant of a refused code", err, sallyport.ErrNotFound)
}

// clientSecrets: a client that is made public forgets its secrets, and one that
// is public no more has none until it is rolled.
func clientSecrets(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustCredential(t, ctx, s, client("c1", "acme"), client("c2", "acme"))
	if err := s.CreateCredential(ctx, with(publicClient("bad", "acme"), "bad")); err == nil {
		t.Error("a public client with a secret was kept")
	}
	if err := s.CreateCredential(ctx, sallyport.NewCredential{Credential: client("bad", "acme")}); err == nil {
		t.Error("a client without a secret was kept")
	}
	p1, p2 := sallyport.NewCredential{Credential: publicClient("p1", "acme")}, sallyport.NewCredential{Credential: publicClient("p2", "acme")}
	mustImport(t, ctx, s, p1, p2) // two without a secret do not have the same
	roll := func(id, secret string) error {
		_, err := s.RollCredential(ctx, "", "", id, func(*sallyport.Credential) (sallyport.Roll, error) {
			return sallyport.Roll{Digest: digest(secret), Pepper: 1, Now: created, OldEnd: created.Add(time.Hour)}, nil
		})
		return err
	}
	public := func(public bool) {
		t.Helper()
		_, err := s.UpdateCredential(ctx, "", "", "c1", false, func(c *sallyport.Credential) error { c.Client.Public = public; return nil })
		wants(t, "UpdateCredential", err, nil)
	}
	public(true)
	end := credential("", "").ExpiresAt
	wantEnds(t, ctx, s, "made public", map[string]time.Time{"c2": end})
	for _, id := range []string{"c1", "p1"} {
		if err := roll(id, "new"); err == nil {
			t.Errorf("%s was given a secret", id)
		}
	}
	public(false)
	wantEnds(t, ctx, s, "public no more", map[string]time.Time{"c2": end})
	wants(t, "a roll of what is public no more", roll("c1", "new"), nil)
	wantEnds(t, ctx, s, "rolled", map[string]time.Time{"c2": end, "new": end})
}

func clientsRefused(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s)
	for what, change := range map[string]func(*sallyport.Credential){
		"a client without what it may":  func(c *sallyport.Credential) { c.Client = nil },
		"a client of a client":          func(c *sallyport.Credential) { c.Client.ID = "c1" },
		"a key that is a client":        func(c *sallyport.Credential) { c.Kind = sallyport.KindKey },
		"a broken redirect":             func(c *sallyport.Credential) { c.Client.Redirects = []string{"\xff"} },
		"a broken grant type":           func(c *sallyport.Credential) { c.Client.Grants = []string{"\x00"} },
		"a token":                       func(c *sallyport.Credential) { c.Kind, c.Client = sallyport.KindToken, nil },
		"what says what a token says":   func(c *sallyport.Credential) { c.Token = &sallyport.Token{} },
		"a grant that is made as a key": func(c *sallyport.Credential) { *c = grant("bad", "acme", "u1", "c1") },
		"a grant of no client":          func(c *sallyport.Credential) { *c = grant("bad", "acme", "u1", "c1"); c.Client = nil },
	} {
		bad := client("bad", "acme")
		change(&bad)
		if err := s.CreateCredential(ctx, with(bad, "bad")); err == nil {
			t.Errorf("%s was kept", what)
		}
	}
	for what, change := range map[string]func(*sallyport.Credential, *sallyport.GrantSecret){
		"no user":              func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.User = nil },
		"no client":            func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.Client = nil },
		"no client's id":       func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.Client.ID = "" },
		"what its client may":  func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.Client.Grants = []string{"a"} },
		"a public client's":    func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.Client.Public = true },
		"a broken client's id": func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.Client.ID = "\xff" },
		"another kind":         func(c *sallyport.Credential, _ *sallyport.GrantSecret) { *c = client("bad", "acme") },
		"no state":             func(c *sallyport.Credential, _ *sallyport.GrantSecret) { c.State = sallyport.StateUnknown },
		"no digest":            func(_ *sallyport.Credential, s *sallyport.GrantSecret) { s.Digest = sallyport.Digest{} },
		"no end of its code":   func(_ *sallyport.Credential, s *sallyport.GrantSecret) { s.ExpiresAt = time.Time{} },
		"a refresh token":      func(_ *sallyport.Credential, s *sallyport.GrantSecret) { s.Kind = sallyport.GrantRefresh },
		"no kind of secret":    func(_ *sallyport.Credential, s *sallyport.GrantSecret) { s.Kind = "" },
		"a broken redirect":    func(_ *sallyport.Credential, s *sallyport.GrantSecret) { s.Redirect = "\xff" },
		"a broken challenge":   func(_ *sallyport.Credential, s *sallyport.GrantSecret) { s.Challenge = "\x00" },
	} {
		bad, secret := grant("bad", "acme", "u1", "c1"), code("bad")
		change(&bad, &secret)
		if err := s.CreateGrant(ctx, bad, secret); err == nil {
			t.Errorf("a grant with %s was kept", what)
		}
	}
}

func clientUpdate(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1")
	mustCredential(t, ctx, s, credential("k1", "acme"))
	want := client("c1", "acme")
	want.Client.Grants, want.Client.Redirects = []string{"client_credentials"}, nil
	got, err := s.UpdateCredential(ctx, "", "", "c1", false, func(c *sallyport.Credential) error {
		c.Client.Grants, c.Client.Redirects = []string{"client_credentials"}, []string{}
		return nil
	})
	wants(t, "UpdateCredential", err, nil)
	same(t, got, kept(want, tenant("acme"), nil))
	for what, c := range map[string]struct {
		id     string
		change func(*sallyport.Credential)
	}{
		"another client":     {"g1", func(c *sallyport.Credential) { c.Client.ID = "c2" }},
		"no client":          {"g1", func(c *sallyport.Credential) { c.Client = nil }},
		"a client's client":  {"c1", func(c *sallyport.Credential) { c.Client.ID = "c2" }},
		"nothing it may":     {"c1", func(c *sallyport.Credential) { c.Client = nil }},
		"a key":              {"c1", func(c *sallyport.Credential) { c.Kind, c.Client = sallyport.KindKey, nil }},
		"a token":            {"c1", func(c *sallyport.Credential) { c.Kind, c.Client = sallyport.KindToken, nil }},
		"a pat from a grant": {"g1", func(c *sallyport.Credential) { c.Kind, c.Client = sallyport.KindPAT, nil }},
		"a client of a key":  {"k1", func(c *sallyport.Credential) { c.Kind, c.Client = sallyport.KindClient, &sallyport.Client{} }},
	} {
		if _, err := s.UpdateCredential(ctx, "", "", c.id, false, func(its *sallyport.Credential) error { c.change(its); return nil }); err == nil {
			t.Errorf("%s: was changed", what)
		}
	}
	if _, err := s.RollCredential(ctx, "", "", "g1", func(*sallyport.Credential) (sallyport.Roll, error) {
		return sallyport.Roll{Digest: digest("new"), Now: created, OldEnd: created.Add(time.Hour)}, nil
	}); err == nil {
		t.Error("a grant was given the secret of a key")
	}
}

func grantOrphan(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustGrant(t, ctx, s)
	mustTenant(t, ctx, s, tenant("other"), elsewhere)
	off, gone, foreign, inactive := client("off", "acme"), client("gone", "acme"), client("foreign", "acme"), user("u2", "acme")
	off.State, gone.State, foreign.API, foreign.Tenant = sallyport.Disabled, sallyport.Revoked, "parcels", &elsewhere
	inactive.State = sallyport.Disabled
	mustUser(t, ctx, s, inactive, user("u3", "other"))
	mustCredential(t, ctx, s, off, gone, foreign, client("others", "other"), credential("key", "acme"))
	for what, g := range map[string]sallyport.Credential{
		"no such client":    grant("g1", "acme", "u1", "c9"),
		"a disabled client": grant("g1", "acme", "u1", "off"),
		"a revoked client":  grant("g1", "acme", "u1", "gone"),
		"another API's":     grant("g1", "acme", "u1", "foreign"),
		"another tenant's":  grant("g1", "acme", "u1", "others"),
		"a key":             grant("g1", "acme", "u1", "key"),
		"no such user":      grant("g1", "acme", "u9", "c1"),
		"another's user":    grant("g1", "acme", "u3", "c1"),
		"an inactive user":  grant("g1", "acme", "u2", "c1"),
		"no such tenant":    grant("g1", "nobody", "u1", "c1"),
	} {
		wants(t, what, s.CreateGrant(ctx, g, code("code")), sallyport.ErrNotFound)
	}
	_, _, _, err := s.GrantByDigest(ctx, digest("code"))
	wants(t, "a code of a refused grant", err, sallyport.ErrNotFound)
	wants(t, "a grant", s.CreateGrant(ctx, grant("g1", "acme", "u1", "c1"), code("code")), nil)
}

func grantFilters(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1", "g2")
	mustUser(t, ctx, s, user("u2", "acme"))
	mustCredential(t, ctx, s, client("c2", "acme"), token("p1", "acme", "u1"))
	wants(t, "g3", s.CreateGrant(ctx, grant("g3", "acme", "u1", "c2"), code("g3")), nil)
	wants(t, "g4", s.CreateGrant(ctx, grant("g4", "acme", "u2", "c1"), code("g4")), nil)
	for _, c := range []struct {
		filter sallyport.CredentialFilter
		want   []string
	}{
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", Client: "c1"}, []string{"g4", "g2", "g1"}},
		{sallyport.CredentialFilter{Client: "c1"}, []string{"g4", "g2", "g1"}},
		{sallyport.CredentialFilter{Client: "c2"}, []string{"g3"}},
		{sallyport.CredentialFilter{Client: "c3"}, nil},
		{sallyport.CredentialFilter{API: "parcels", Client: "c1"}, nil},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", User: "u1", Client: "c1"}, []string{"g2", "g1"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", Client: "c1", After: "g2"}, []string{"g1"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", Client: "c1", State: sallyport.Revoked}, nil},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", Kind: sallyport.KindGrant, Limit: 2}, []string{"g4", "g3"}},
		{sallyport.CredentialFilter{API: "orders", Tenant: "acme", Kind: sallyport.KindClient}, []string{"c2", "c1"}},
	} {
		list, err := s.Credentials(ctx, c.filter)
		wants(t, "Credentials", err, nil)
		if got := ids(list, idOfCredential); !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, want %v", c.filter, got, c.want)
		}
	}
	_, err := s.Credentials(ctx, sallyport.CredentialFilter{Client: "c1", After: "g3"})
	wants(t, "after another client's", err, sallyport.ErrNotFound)
}
