package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// use spends the secret of that name, and has these follow it.
func use(ctx context.Context, s Store, secret string, now time.Time, next ...sallyport.GrantSecret) error {
	_, err := s.UseGrantSecret(ctx, digest(secret), now, func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
		return next, nil
	})
	return err
}

// wantSecrets fails t unless there are these secrets of grants, spent or not.
func wantSecrets(t *testing.T, ctx context.Context, s Store, what string, want map[string]bool) {
	t.Helper()
	for secret, want := range want {
		if _, _, got, err := s.GrantByDigest(ctx, digest(secret)); err != nil || got != want {
			t.Errorf("%s: %s: spent: %v, %v, want %v", what, secret, got, err, want)
		}
	}
}

func noSecrets(t *testing.T, ctx context.Context, s Store, what string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		_, _, _, err := s.GrantByDigest(ctx, digest(secret))
		wants(t, what+": "+secret, err, sallyport.ErrNotFound)
	}
}

func grantSecrets(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1", "g2")
	u1 := user("u1", "acme")
	want := kept(grant("g1", "acme", "u1", "c1"), tenant("acme"), &u1)
	for i, given := range []sallyport.GrantSecret{code("g1 code"), refresh("r1"), refresh("r2")} {
		next := refresh(fmt.Sprint("r", i+1))
		got, err := s.UseGrantSecret(ctx, given.Digest, created, func(c *sallyport.Credential, secret sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
			same(t, c, want)
			same(t, secret, given)
			c.State, c.Scopes, c.Tenant.State = sallyport.Revoked, nil, sallyport.Disabled // not by this way
			return []sallyport.GrantSecret{next}, nil
		})
		wants(t, "UseGrantSecret", err, nil)
		same(t, got, want)
		_, secret, spent, err := s.GrantByDigest(ctx, next.Digest)
		if err != nil || spent {
			t.Errorf("a new refresh token: spent: %v, %v", spent, err)
		}
		same(t, secret, next)
	}
	wantSecrets(t, ctx, s, "after three", map[string]bool{"g1 code": true, "r1": true, "r2": true, "r3": false, "g2 code": false})
	wants(t, "one that nothing follows", use(ctx, s, "r3", created), nil)
	wantGrant(t, ctx, s, "g1", sallyport.Active, 0)
}

func grantSecretsRefused(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1", "g2", "ended", "revoked")
	for id, change := range map[string]func(*sallyport.Credential){
		"ended":   func(c *sallyport.Credential) { c.ExpiresAt = created.Add(time.Second) },
		"revoked": func(c *sallyport.Credential) { c.State = sallyport.Revoked },
	} {
		_, err := s.UpdateCredential(ctx, "", "", id, false, func(c *sallyport.Credential) error { change(c); return nil })
		wants(t, id, err, nil)
	}
	no, broken := errors.New("no"), errors.New("any error")
	end, zero := created.Add(time.Minute), refresh("new")
	zero.Digest = sallyport.Digest{}
	for what, c := range map[string]struct {
		secret string
		at     time.Time
		next   []sallyport.GrantSecret
		fails  error
		wants  error
		asked  bool
	}{
		"its error as it is":        {"g1 code", created, []sallyport.GrantSecret{refresh("new")}, no, no, true},
		"unknown":                   {"no code", created, nil, nil, sallyport.ErrNotFound, false},
		"expired":                   {"g1 code", end, nil, nil, sallyport.ErrNotFound, false},
		"long expired":              {"g1 code", end.Add(time.Hour), nil, nil, sallyport.ErrNotFound, false},
		"of a grant that has ended": {"ended code", created.Add(time.Second), nil, nil, sallyport.ErrNotFound, false},
		"of a revoked grant":        {"revoked code", created, nil, nil, sallyport.ErrFinal, true},
		"a code that follows":       {"g1 code", created, []sallyport.GrantSecret{code("new")}, nil, broken, true},
		"no digest that follows":    {"g1 code", created, []sallyport.GrantSecret{zero}, nil, broken, true},
		"another's that follows":    {"g1 code", created, []sallyport.GrantSecret{refresh("new"), refresh("g2 code")}, nil, sallyport.ErrConflict, true},
		"itself that follows":       {"g1 code", created, []sallyport.GrantSecret{refresh("g1 code")}, nil, sallyport.ErrConflict, true},
		"the same twice":            {"g1 code", created, []sallyport.GrantSecret{refresh("new"), refresh("new")}, nil, sallyport.ErrConflict, true},
	} {
		asked := false
		got, err := s.UseGrantSecret(ctx, digest(c.secret), c.at, func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
			asked = true
			return c.next, c.fails
		})
		if err == nil || got != nil || c.wants == no && err != no || c.wants != broken && !errors.Is(err, c.wants) {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, c.wants)
		}
		if asked != c.asked {
			t.Errorf("%s: asked: %v, want %v", what, asked, c.asked)
		}
		wantSecrets(t, ctx, s, what, map[string]bool{"g1 code": false, "g2 code": false, "ended code": false, "revoked code": false})
		noSecrets(t, ctx, s, what, "new")
	}
	wantGrant(t, ctx, s, "g1", sallyport.Active, 0)
	wants(t, "just before its end", use(ctx, s, "g1 code", end.Add(-time.Millisecond)), nil)
}

func grantReuse(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "code", "refresh", "late", "off", "revoked", "other")
	change := func(id string, state sallyport.State) {
		t.Helper()
		_, err := s.UpdateCredential(ctx, "", "", id, false, func(c *sallyport.Credential) error { c.State = state; return nil })
		wants(t, id, err, nil)
	}
	for _, c := range []struct {
		id, again string
		at        time.Time
		prepare   func()
		epoch     uint64
		cause     bool
	}{
		{"code", "code code", created, func() {}, 1, true},
		{"refresh", "refresh r1", created.Add(time.Hour), func() {
			wants(t, "a refresh", use(ctx, s, "refresh r1", created, refresh("refresh r2")), nil)
		}, 1, true},
		{"late", "late code", created.Add(1000 * 24 * time.Hour), func() {}, 1, true}, // expired, as the grant has
		{"off", "off code", created, func() { change("off", sallyport.Disabled) }, 1, true},
		{"revoked", "revoked code", created, func() { change("revoked", sallyport.Revoked) }, 1, false},
	} {
		wants(t, c.id, use(ctx, s, c.id+" code", created, refresh(c.id+" r1")), nil)
		c.prepare()
		for range 2 {
			_, err := s.UseGrantSecret(ctx, digest(c.again), c.at, func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
				t.Errorf("%s: asked about a secret that was spent", c.id)
				return nil, nil
			})
			wants(t, c.id+" again", err, sallyport.ErrReused)
			wantGrant(t, ctx, s, c.id, sallyport.Revoked, c.epoch)
		}
		if g, err := s.Credential(ctx, "", "", c.id); err != nil || (g.Cause != "") != c.cause {
			t.Errorf("%s: got %+v, %v, want a cause: %v", c.id, g, err, c.cause)
		}
	}
	// What the first has got in exchange is good for nothing either.
	wants(t, "what followed", use(ctx, s, "refresh r2", created), sallyport.ErrFinal)
	wantGrant(t, ctx, s, "other", sallyport.Active, 0)
	wants(t, "another grant's", use(ctx, s, "other code", created), nil)
}

// grantsApart: nothing that is about the secrets of keys is about those of
// grants, and the other way round.
func grantsApart(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1")
	wants(t, "use", use(ctx, s, "g1 code", created, refresh("r1")), nil)
	for _, secret := range []string{"g1 code", "r1"} {
		_, err := s.ByDigest(ctx, digest(secret))
		wants(t, secret+" as a key", err, sallyport.ErrNotFound)
		wants(t, secret+" renewed", s.RenewSecret(ctx, digest(secret), digest("new"), 9), sallyport.ErrNotFound)
	}
	wantEnds(t, ctx, s, "keys", map[string]time.Time{"c1": credential("", "").ExpiresAt}) // of which there is one
	noSecrets(t, ctx, s, "a key", "c1")
	wants(t, "a key as a code", use(ctx, s, "c1", created), sallyport.ErrNotFound)
}

func grantsEndWithUser(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1", "g2", "gone")
	mustUser(t, ctx, s, user("u2", "acme"))
	mustCredential(t, ctx, s, token("p1", "acme", "u1"))
	wants(t, "another's", s.CreateGrant(ctx, grant("another's", "acme", "u2", "c1"), code("another's code")), nil)
	_, err := s.UpdateCredential(ctx, "", "", "gone", false, func(c *sallyport.Credential) error { c.State = sallyport.Revoked; return nil })
	wants(t, "gone", err, nil)
	_, ended, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { u.Roles = nil; return nil })
	if ended != 3 || err != nil {
		t.Errorf("%d ended, %v, want 3", ended, err)
	}
	for _, id := range []string{"g1", "g2", "p1"} {
		wantGrant(t, ctx, s, id, sallyport.Revoked, 1)
		if c, err := s.Credential(ctx, "", "", id); err != nil || c.Cause == "" || c.Cause == credential("", "").Cause {
			t.Errorf("%s: got %+v, %v, want its cause", id, c, err)
		}
	}
	wantGrant(t, ctx, s, "gone", sallyport.Revoked, 1)
	wantGrant(t, ctx, s, "another's", sallyport.Active, 0)
	wantGrant(t, ctx, s, "c1", sallyport.Active, 0)
	wants(t, "a code of a grant that has ended", use(ctx, s, "g1 code", created), sallyport.ErrFinal)
}

func grantsEndWithClient(t *testing.T, ctx context.Context, s Store) {
	mustGrant(t, ctx, s, "g1", "g2", "off")
	mustCredential(t, ctx, s, client("c2", "acme"), token("p1", "acme", "u1"))
	wants(t, "another's", s.CreateGrant(ctx, grant("another's", "acme", "u1", "c2"), code("another's code")), nil)
	state := func(id string, state sallyport.State) {
		t.Helper()
		_, err := s.UpdateCredential(ctx, "", "", id, false, func(c *sallyport.Credential) error { c.State = state; return nil })
		wants(t, id, err, nil)
	}
	state("off", sallyport.Disabled)
	state("c1", sallyport.Disabled)
	state("c1", sallyport.Active)
	_, err := s.RollCredential(ctx, "", "", "c1", func(*sallyport.Credential) (sallyport.Roll, error) {
		return sallyport.Roll{Digest: digest("new"), Now: created, OldEnd: created.Add(time.Hour)}, nil
	})
	wants(t, "RollCredential", err, nil)
	wantGrant(t, ctx, s, "g1", sallyport.Active, 0)
	state("c1", sallyport.Disabled)
	state("c1", sallyport.Revoked)
	for _, id := range []string{"g1", "g2", "off"} {
		wantGrant(t, ctx, s, id, sallyport.Revoked, 1)
		if c, err := s.Credential(ctx, "", "", id); err != nil || c.Cause == "" || c.Cause == credential("", "").Cause {
			t.Errorf("%s: got %+v, %v, want its cause", id, c, err)
		}
	}
	wantGrant(t, ctx, s, "another's", sallyport.Active, 0)
	wantGrant(t, ctx, s, "p1", sallyport.Active, 0)
	wants(t, "a grant of a revoked client", s.CreateGrant(ctx, grant("g3", "acme", "u1", "c1"), code("g3")), sallyport.ErrNotFound)
}
