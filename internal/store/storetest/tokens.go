package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func signingKey(id string) sallyport.SigningKey {
	return sallyport.SigningKey{
		ID: id, API: "orders", Algorithm: "EdDSA", Sealed: []byte("\x00\xff sealed " + id), Pepper: 2,
		CreatedAt: created, SignsFrom: created.Add(time.Hour), EndsAt: created.Add(2 * time.Hour),
	}
}

func idOfSigningKey(k *sallyport.SigningKey) string { return k.ID }

// mustKeys keeps signing keys beside whichever are there.
func mustKeys(t *testing.T, ctx context.Context, s Store, keys ...sallyport.SigningKey) {
	t.Helper()
	for _, k := range keys {
		read, err := s.SigningKeys(ctx, k.API)
		if err == nil {
			err = s.CreateSigningKey(ctx, k, read)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func signingKeys(t *testing.T, ctx context.Context, s Store) {
	older, bare, elsewhere := signingKey("c"), signingKey("d"), signingKey("a")
	older.CreatedAt, elsewhere.API = created.Add(-time.Hour), "parcels" // the same id in another API
	bare.SignsFrom, bare.EndsAt = time.Time{}, time.Time{}
	mustKeys(t, ctx, s, signingKey("b"), older, signingKey("a"), bare, elsewhere)
	a, b := signingKey("a"), signingKey("b")
	got, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	same(t, got, []*sallyport.SigningKey{&older, &a, &b, &bare})
	got[0].Sealed[0] = 7 // is the caller's own
	wants(t, "DeleteSigningKey", s.DeleteSigningKey(ctx, "orders", "a"), nil)
	wants(t, "again", s.DeleteSigningKey(ctx, "orders", "a"), sallyport.ErrNotFound)
	got, err = s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	same(t, got, []*sallyport.SigningKey{&older, &b, &bare})
	got, err = s.SigningKeys(ctx, "parcels")
	wants(t, "SigningKeys", err, nil)
	same(t, got, []*sallyport.SigningKey{&elsewhere})
	for what, change := range map[string]func(*sallyport.SigningKey){
		"no id":               func(k *sallyport.SigningKey) { k.ID = "" },
		"no api":              func(k *sallyport.SigningKey) { k.API = "" },
		"no algorithm":        func(k *sallyport.SigningKey) { k.Algorithm = "" },
		"nothing":             func(k *sallyport.SigningKey) { k.Sealed = nil },
		"a broken id":         func(k *sallyport.SigningKey) { k.ID = "\xff" },
		"an algorithm of NUL": func(k *sallyport.SigningKey) { k.Algorithm = "\x00" },
	} {
		bad := signingKey("bad")
		change(&bad)
		if err := s.CreateSigningKey(ctx, bad, got); err == nil || errors.Is(err, sallyport.ErrConflict) {
			t.Errorf("a signing key with %s: got %v", what, err)
		}
	}
}

// signingKeysBeside: who decides by a list that has changed meanwhile decides
// again.
func signingKeysBeside(t *testing.T, ctx context.Context, s Store) {
	none, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	wants(t, "the first", s.CreateSigningKey(ctx, signingKey("a"), none), nil)
	wants(t, "beside none", s.CreateSigningKey(ctx, signingKey("b"), none), sallyport.ErrConflict)
	one, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	wants(t, "the same id", s.CreateSigningKey(ctx, signingKey("a"), one), sallyport.ErrConflict)
	wants(t, "beside one", s.CreateSigningKey(ctx, signingKey("b"), one), nil)
	wants(t, "beside one of two", s.CreateSigningKey(ctx, signingKey("c"), one), sallyport.ErrConflict)
	two, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	wants(t, "DeleteSigningKey", s.DeleteSigningKey(ctx, "orders", "a"), nil)
	wants(t, "beside two of which one is left", s.CreateSigningKey(ctx, signingKey("c"), two), sallyport.ErrConflict)
	wants(t, "beside another", s.CreateSigningKey(ctx, signingKey("c"), one), sallyport.ErrConflict)
	elsewhere := signingKey("c")
	elsewhere.API = "parcels"
	wants(t, "in another API", s.CreateSigningKey(ctx, elsewhere, none), nil)
}

func signingKeyUpdate(t *testing.T, ctx context.Context, s Store) {
	mustKeys(t, ctx, s, signingKey("a"), signingKey("b"))
	want := signingKey("a")
	want.Sealed, want.Pepper, want.SignsFrom, want.EndsAt = []byte("again"), 3, created.Add(time.Minute), created.Add(time.Hour)
	got, err := s.UpdateSigningKey(ctx, "orders", "a", func(k *sallyport.SigningKey) error {
		*k = want
		return nil
	})
	wants(t, "UpdateSigningKey", err, nil)
	same(t, got, &want)
	no := errors.New("no")
	for what, change := range map[string]func(*sallyport.SigningKey) error{
		"id":        func(k *sallyport.SigningKey) error { k.ID = "c"; return nil },
		"api":       func(k *sallyport.SigningKey) error { k.API = "parcels"; return nil },
		"algorithm": func(k *sallyport.SigningKey) error { k.Algorithm = "ES256"; return nil },
		"nothing":   func(k *sallyport.SigningKey) error { k.Sealed = nil; return nil },
		"an error":  func(k *sallyport.SigningKey) error { k.Pepper = 9; return no },
	} {
		if _, err := s.UpdateSigningKey(ctx, "orders", "a", change); err == nil || what == "an error" && err != no {
			t.Errorf("%s: got %v", what, err)
		}
	}
	_, err = s.UpdateSigningKey(ctx, "parcels", "a", func(*sallyport.SigningKey) error { return nil })
	wants(t, "another API's", err, sallyport.ErrNotFound)
	b := signingKey("b")
	list, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	same(t, list, []*sallyport.SigningKey{&want, &b})
}

func revokedTokens(t *testing.T, ctx context.Context, s Store) {
	is := func(what, api, id string, want bool) {
		t.Helper()
		if got, err := s.TokenRevoked(ctx, api, id); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	end := created.Add(time.Hour).Add(time.Microsecond) // no store keeps it as exactly
	is("before", "orders", "t <&>", false)
	for range 2 {
		wants(t, "RevokeToken", s.RevokeToken(ctx, "orders", "t <&>", end), nil)
		is("revoked", "orders", "t <&>", true)
	}
	is("another id", "orders", "t", false)
	is("another API", "parcels", "t <&>", false)
	wants(t, "an earlier end", s.RevokeToken(ctx, "orders", "t <&>", created), nil)
	swept, err := s.SweepOAuth(ctx, end.Add(-time.Microsecond))
	if swept != 0 || err != nil {
		t.Errorf("%d swept, %v, want none before its end", swept, err)
	}
	is("before its end", "orders", "t <&>", true)
	wants(t, "a later end", s.RevokeToken(ctx, "orders", "t <&>", end.Add(time.Hour)), nil)
	if _, err := s.SweepOAuth(ctx, end.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	is("before its later end", "orders", "t <&>", true)
	for what, err := range map[string]error{
		"no end":      s.RevokeToken(ctx, "orders", "t2", time.Time{}),
		"no api":      s.RevokeToken(ctx, "", "t2", end),
		"no id":       s.RevokeToken(ctx, "orders", "", end),
		"a broken id": s.RevokeToken(ctx, "orders", "\xff", end),
	} {
		if err == nil {
			t.Errorf("a token of %s was revoked", what)
		}
	}
}

func sweeps(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "unused", "used", "revoked", "endless", "unused and revoked")
	for _, id := range []string{"used", "revoked", "endless"} {
		wants(t, id, use(ctx, s, id+" code", created, refresh(id+" r1")), nil)
		wants(t, id, use(ctx, s, id+" r1", created, refresh(id+" r2")), nil)
	}
	for id, change := range map[string]func(*sallyport.Credential){
		"revoked":            func(c *sallyport.Credential) { c.State, c.ExpiresAt = sallyport.Revoked, time.Time{} },
		"unused and revoked": func(c *sallyport.Credential) { c.State = sallyport.Revoked },
		"endless":            func(c *sallyport.Credential) { c.ExpiresAt = time.Time{} },
	} {
		_, err := s.UpdateCredential(ctx, "", "", id, false, func(c *sallyport.Credential) error { change(c); return nil })
		wants(t, id, err, nil)
	}
	wants(t, "RevokeToken", s.RevokeToken(ctx, "orders", "t1", created.Add(time.Hour)), nil)
	endless := signingKey("endless")
	endless.EndsAt = time.Time{}
	mustKeys(t, ctx, s, signingKey("s1"), endless)
	minute, month, end := created.Add(time.Minute), refresh("").ExpiresAt, credential("", "").ExpiresAt
	for _, c := range []struct {
		what   string
		at     time.Time
		swept  int
		grants []string // that are left
		gone   []string // secrets
	}{
		{"at once", created, 0, []string{"unused and revoked", "endless", "revoked", "used", "unused"}, nil},
		{"before a code ends", minute.Add(-time.Millisecond), 0, []string{"unused and revoked", "endless", "revoked", "used", "unused"}, nil},
		{"a code ends", minute, 5, []string{"endless", "revoked", "used"}, []string{"unused code", "unused and revoked code", "revoked code"}},
		{"a token ends", created.Add(time.Hour), 1, []string{"endless", "revoked", "used"}, nil},
		{"a signing key ends", created.Add(2 * time.Hour), 1, []string{"endless", "revoked", "used"}, nil},
		{"refresh tokens end", month, 2, []string{"endless", "revoked", "used"}, []string{"revoked r1", "revoked r2"}},
		{"before a grant ends", end.Add(-time.Millisecond), 0, []string{"endless", "revoked", "used"}, nil},
		{"a grant ends", end, 3, []string{"endless", "revoked", "used"}, []string{"used code", "used r1", "used r2"}},
		{"before a day has passed", end.Add(24*time.Hour - time.Millisecond), 0, []string{"endless", "revoked", "used"}, nil},
		{"a day has passed", end.Add(24 * time.Hour), 1, []string{"endless", "revoked"}, nil},
		{"years after", end.Add(10 * 365 * 24 * time.Hour), 0, []string{"endless", "revoked"}, nil},
	} {
		if n, err := s.SweepOAuth(ctx, c.at); n != c.swept || err != nil {
			t.Errorf("%s: %d swept, %v, want %d", c.what, n, err, c.swept)
		}
		list, err := s.Credentials(ctx, sallyport.CredentialFilter{Kind: sallyport.KindGrant})
		wants(t, c.what, err, nil)
		same(t, ids(list, idOfCredential), c.grants)
		noSecrets(t, ctx, s, c.what, c.gone...)
		wantSecrets(t, ctx, s, c.what, map[string]bool{"endless code": true, "endless r1": true, "endless r2": false})
		revoked, err := s.TokenRevoked(ctx, "orders", "t1")
		if want := c.at.Before(created.Add(time.Hour)); revoked != want || err != nil {
			t.Errorf("%s: the token is revoked: %v, %v, want %v", c.what, revoked, err, want)
		}
	}
	keys, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	same(t, ids(keys, idOfSigningKey), []string{"endless"})
	wantGrant(t, ctx, s, "c1", sallyport.Active, 0) // which expired as its grants did: no client is swept away
}

func sweepBounded(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1")
	var many []sallyport.GrantSecret
	for _, name := range numbered("r%04d", store.SweepRows+10) {
		many = append(many, refresh(name))
	}
	wants(t, "use", use(ctx, s, "g1 code", created, many...), nil)
	later := credential("", "").ExpiresAt.Add(48 * time.Hour)
	for i, want := range []int{store.SweepRows, 12, 0} { // with the code and the grant
		if n, err := s.SweepOAuth(ctx, later); n != want || err != nil {
			t.Errorf("sweep %d: got %d, %v, want %d", i, n, err, want)
		}
	}
	_, err := s.Credential(ctx, "", "", "g1")
	wants(t, "the grant", err, sallyport.ErrNotFound)
}
