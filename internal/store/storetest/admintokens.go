package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func adminToken(id string) sallyport.AdminToken {
	return sallyport.AdminToken{
		ID: id, Name: "name of " + id, Role: "operator", API: "orders", Tenant: "acme",
		State: sallyport.Active, CreatedAt: created, ExpiresAt: created.Add(time.Hour),
	}
}

func adminTokens(t *testing.T, ctx context.Context, s Store) {
	a2 := sallyport.AdminToken{ID: "a2", State: sallyport.Disabled}
	for _, want := range []sallyport.AdminToken{adminToken("a1"), a2} {
		wants(t, want.ID, s.CreateAdminToken(ctx, want, digest(want.ID)), nil)
		got, err := s.AdminTokenByDigest(ctx, digest(want.ID))
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, &want)
	}
	wants(t, "the same id", s.CreateAdminToken(ctx, adminToken("a1"), digest("a3")), sallyport.ErrConflict)
	wants(t, "the same digest", s.CreateAdminToken(ctx, adminToken("a3"), digest("a1")), sallyport.ErrConflict)
	_, err := s.ByDigest(ctx, digest("a1"))
	wants(t, "an admin token as a credential", err, sallyport.ErrNotFound)
	if err := s.CreateAdminToken(ctx, adminToken("bad"), sallyport.Digest{}); err == nil {
		t.Error("an admin token without a digest was kept")
	}
	for what, change := range map[string]func(*sallyport.AdminToken){
		"no id":         func(t *sallyport.AdminToken) { t.ID = "" },
		"no state":      func(t *sallyport.AdminToken) { t.State = sallyport.StateUnknown },
		"a broken name": func(t *sallyport.AdminToken) { t.Name = "\xff" },
		"a broken api":  func(t *sallyport.AdminToken) { t.API = "\x00" },
	} {
		bad := adminToken("bad")
		change(&bad)
		if err := s.CreateAdminToken(ctx, bad, digest("bad")); err == nil {
			t.Errorf("an admin token with %s was kept", what)
		}
	}
}

func adminTokensRevoked(t *testing.T, ctx context.Context, s Store) {
	list := func(want map[string]sallyport.State, active int, order ...string) {
		t.Helper()
		tokens, err := s.AdminTokens(ctx)
		wants(t, "AdminTokens", err, nil)
		same(t, ids(tokens, func(t *sallyport.AdminToken) string { return t.ID }), order)
		for _, token := range tokens {
			if token.State != want[token.ID] {
				t.Errorf("%s is %v, want %v", token.ID, token.State, want[token.ID])
			}
		}
		if n, err := s.CountAdminTokens(ctx); n != active || err != nil {
			t.Errorf("got %d admin tokens, %v, want %d", n, err, active)
		}
	}
	// Kept in another order than that of their age.
	old, off, undated := adminToken("old"), adminToken("off"), adminToken("undated")
	old.CreatedAt, off.State, undated.CreatedAt = created.Add(-50*365*24*time.Hour), sallyport.Disabled, time.Time{}
	old.CreatedAt = old.CreatedAt.Add(-20 * 365 * 24 * time.Hour) // before 1970
	for _, token := range []sallyport.AdminToken{adminToken("b"), off, adminToken("a"), old, undated} {
		wants(t, token.ID, s.CreateAdminToken(ctx, token, digest(token.ID)), nil)
	}
	states := map[string]sallyport.State{
		"a": sallyport.Active, "b": sallyport.Active, "off": sallyport.Disabled, "old": sallyport.Active, "undated": sallyport.Active,
	}
	list(states, 4, "undated", "old", "a", "b", "off")
	for range 2 {
		wants(t, "RevokeAdminToken", s.RevokeAdminToken(ctx, "a"), nil)
		states["a"] = sallyport.Revoked
		list(states, 3, "undated", "old", "a", "b", "off")
	}
	wants(t, "RevokeAdminToken", s.RevokeAdminToken(ctx, "off"), nil)
	wants(t, "an unknown one", s.RevokeAdminToken(ctx, "nobody's"), sallyport.ErrNotFound)
	got, err := s.AdminTokenByDigest(ctx, digest("a"))
	wants(t, "AdminTokenByDigest", err, nil)
	want := adminToken("a")
	want.State = sallyport.Revoked
	same(t, got, &want)
}
