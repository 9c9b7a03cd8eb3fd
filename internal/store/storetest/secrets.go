package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// wantEnds fails t unless these secrets are all there are and end then: the
// zero time is never.
func wantEnds(t *testing.T, ctx context.Context, s Store, what string, want map[string]time.Time) {
	t.Helper()
	for secret, end := range want {
		c, err := s.ByDigest(ctx, digest(secret))
		if err != nil {
			t.Errorf("%s: %s: %v", what, secret, err)
		} else if c.ExpiresAt != end {
			t.Errorf("%s: %s ends at %v, want %v", what, secret, c.ExpiresAt, end)
		}
	}
	there := 0
	if err := s.Digests(ctx, func(sallyport.Digest, int) error { there++; return nil }); err != nil || there != len(want) {
		t.Errorf("%s: got %d secrets, %v, want %d", what, there, err, len(want))
	}
}

func rolls(t *testing.T, ctx context.Context, s Store) {
	acme, u1 := tenant("acme"), user("u1", "acme")
	mustTenant(t, ctx, s, acme)
	mustUser(t, ctx, s, u1)
	never, now := time.Time{}, created.Add(time.Hour)
	want, other := token("k1", "acme", "u1"), credential("k2", "acme")
	want.ExpiresAt, other.ExpiresAt = never, never
	mustCredential(t, ctx, s, want, other)
	want.Last4, want.Unchecked = "new4", false
	roll := func(secret string, now, oldEnd time.Time) {
		t.Helper()
		want.Epoch++
		got, err := s.RollCredential(ctx, "orders", "acme", "k1", func(c *sallyport.Credential) (sallyport.Roll, error) {
			if c.ID != "k1" || c.User == nil {
				t.Errorf("got %+v to roll", c)
			}
			c.Last4, c.Unchecked, c.ExpiresAt, c.Epoch = want.Last4, want.Unchecked, want.ExpiresAt, 100
			return sallyport.Roll{Digest: digest(secret), Pepper: 2, Now: now, OldEnd: oldEnd}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, kept(want, acme, &u1))
		if got, err = s.ByDigest(ctx, digest(secret)); err != nil {
			t.Fatal(err)
		}
		same(t, got, kept(want, acme, &u1))
	}
	roll("s2", now, now.Add(time.Hour))
	wantEnds(t, ctx, s, "first roll", map[string]time.Time{"k2": never, "k1": now.Add(time.Hour), "s2": never})

	roll("s3", now.Add(time.Minute), now.Add(2*time.Hour)) // which is later than the first's own end
	wantEnds(t, ctx, s, "second roll", map[string]time.Time{"k2": never, "k1": now.Add(time.Hour), "s2": now.Add(2 * time.Hour), "s3": never})

	// Just when the first has ended, and the others are to at once.
	roll("s4", now.Add(time.Hour), now.Add(time.Hour))
	wantEnds(t, ctx, s, "third roll", map[string]time.Time{"k2": never, "s2": now.Add(time.Hour), "s3": now.Add(time.Hour), "s4": never})
	peppers, err := s.Peppers(ctx)
	wants(t, "Peppers", err, nil)
	same(t, peppers, map[int]int{1: 1, 2: 3})

	// An end before now.
	roll("s5", now.Add(time.Hour), now)
	wantEnds(t, ctx, s, "fourth roll", map[string]time.Time{"k2": never, "s4": now, "s5": never})

	// To roll a credential and lengthen its life lengthens no old secret's,
	// not even one that has no end of its own.
	want.ExpiresAt = now.Add(2 * time.Hour)
	roll("s6", now.Add(time.Hour), now.Add(3*time.Hour))
	want.ExpiresAt = now.Add(24 * time.Hour)
	roll("s7", now.Add(time.Hour), now.Add(5*time.Hour))
	wantEnds(t, ctx, s, "a longer life", map[string]time.Time{
		"k2": never, "s5": now.Add(2 * time.Hour), "s6": now.Add(2 * time.Hour), "s7": want.ExpiresAt,
	})
}

func rollsRefused(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"))
	k1, revoked := credential("k1", "acme"), credential("revoked", "acme")
	k1.ExpiresAt, revoked.ExpiresAt, revoked.State = time.Time{}, time.Time{}, sallyport.Revoked
	mustCredential(t, ctx, s, k1, revoked)
	good := sallyport.Roll{Digest: digest("new"), Pepper: 2, Now: created.Add(time.Hour), OldEnd: created.Add(2 * time.Hour)}
	no, broken := errors.New("no"), errors.New("any error")
	type found = *sallyport.Credential
	for what, c := range map[string]struct {
		tenant, id string
		roll       func(found, *sallyport.Roll)
		fails      error
		wants      error
	}{
		"revoked":          {"acme", "revoked", func(found, *sallyport.Roll) {}, nil, sallyport.ErrFinal},
		"another tenant's": {"other", "k1", func(found, *sallyport.Roll) { t.Error("was handed to another") }, nil, sallyport.ErrNotFound},
		"its own secret":   {"acme", "k1", func(_ found, r *sallyport.Roll) { r.Digest = digest("k1") }, nil, sallyport.ErrConflict},
		"another's secret": {"acme", "k1", func(_ found, r *sallyport.Roll) { r.Digest = digest("revoked") }, nil, sallyport.ErrConflict},
		"no secret":        {"acme", "k1", func(_ found, r *sallyport.Roll) { r.Digest = sallyport.Digest{} }, nil, broken},
		"no time":          {"acme", "k1", func(_ found, r *sallyport.Roll) { r.Now = time.Time{} }, nil, broken},
		"no end":           {"acme", "k1", func(_ found, r *sallyport.Roll) { r.OldEnd = time.Time{} }, nil, broken},
		"an error":         {"acme", "k1", func(c found, _ *sallyport.Roll) { c.Last4 = "new4" }, no, no},
		"the id":           {"acme", "k1", func(c found, _ *sallyport.Roll) { c.ID = "k3" }, nil, broken},
		"the scopes":       {"acme", "k1", func(c found, _ *sallyport.Roll) { c.Scopes = nil }, nil, broken},
		"the plan":         {"acme", "k1", func(c found, _ *sallyport.Roll) { c.Plan = "" }, nil, broken},
		"the overrides":    {"acme", "k1", func(c found, _ *sallyport.Roll) { c.Overrides["nothing"] = sallyport.Windows{Unlimited: true} }, nil, broken},
		"the state":        {"acme", "k1", func(c found, _ *sallyport.Roll) { c.State = sallyport.Disabled }, nil, broken},
		"the prefix":       {"acme", "k1", func(c found, _ *sallyport.Roll) { c.Prefix = "x_" }, nil, broken},
	} {
		_, err := s.RollCredential(ctx, "orders", c.tenant, c.id, func(its *sallyport.Credential) (sallyport.Roll, error) {
			r := good
			c.roll(its, &r)
			return r, c.fails
		})
		if err == nil || c.wants != broken && !errors.Is(err, c.wants) {
			t.Errorf("%s: got %v, want %v", what, err, c.wants)
		}
		wantEnds(t, ctx, s, what, map[string]time.Time{"k1": {}, "revoked": {}})
	}
	got, err := s.Credential(ctx, "", "", "k1")
	wants(t, "Credential", err, nil)
	same(t, got, kept(k1, tenant("acme"), nil))
}

func renewals(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	never := time.Time{}
	k1, k2 := credential("k1", "acme"), credential("k2", "acme")
	k1.ExpiresAt, k2.ExpiresAt = never, never
	mustCredential(t, ctx, s, k1, k2)
	end := created.Add(time.Hour)
	_, err := s.RollCredential(ctx, "", "", "k1", func(*sallyport.Credential) (sallyport.Roll, error) {
		return sallyport.Roll{Digest: digest("s2"), Pepper: 1, Now: created, OldEnd: end}, nil
	})
	wants(t, "RollCredential", err, nil)
	for _, c := range []struct {
		before, after string
		wants         error
		ends          map[string]time.Time
		peppers       map[int]int
	}{
		{"k1", "renewed", nil, map[string]time.Time{"renewed": end, "s2": never, "k2": never}, map[int]int{1: 2, 2: 1}},
		{"k1", "renewed", sallyport.ErrNotFound, map[string]time.Time{"renewed": end, "s2": never, "k2": never}, map[int]int{1: 2, 2: 1}},
		{"k2", "s2", sallyport.ErrConflict, map[string]time.Time{"renewed": end, "s2": never, "k2": never}, map[int]int{1: 2, 2: 1}},
		{"s2", "s2", nil, map[string]time.Time{"renewed": end, "s2": never, "k2": never}, map[int]int{1: 1, 2: 2}}, // of its pepper only the number changes
		{"s2", "renewed", nil, map[string]time.Time{"renewed": end, "k2": never}, map[int]int{1: 1, 2: 1}},
	} {
		what := "from " + c.before + " to " + c.after
		wants(t, what, s.RenewSecret(ctx, digest(c.before), digest(c.after), 2), c.wants)
		wantEnds(t, ctx, s, what, c.ends)
		peppers, err := s.Peppers(ctx)
		wants(t, "Peppers", err, nil)
		same(t, peppers, c.peppers)
	}
	if c, err := s.ByDigest(ctx, digest("renewed")); err != nil || c.ID != "k1" {
		t.Errorf("got %+v, %v, want k1", c, err)
	}
	if err := s.RenewSecret(ctx, digest("k2"), sallyport.Digest{}, 2); err == nil || errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("without a digest: got %v", err)
	}
}

// peppersNeeded: whatever is of use under a pepper only is counted under it, so
// that one who asks knows when it can be taken away.
func peppersNeeded(t *testing.T, ctx context.Context, s Store) {
	want := func(what string, want map[int]int) {
		t.Helper()
		got, err := s.Peppers(ctx)
		wants(t, what, err, nil)
		same(t, got, want)
		parts, err := s.OtherPeppers(ctx)
		wants(t, what, err, nil)
		wants(t, what, s.Digests(ctx, func(_ sallyport.Digest, pepper int) error { parts[pepper]++; return nil }), nil)
		same(t, parts, want)
	}
	mustGrant(t, ctx, s, "g1") // of a client with a secret
	want("a client's secret and a code", map[int]int{1: 1, 3: 1})
	wants(t, "use", use(ctx, s, "g1 code", created, refresh("r1")), nil)
	want("a refresh token in place of the code", map[int]int{1: 1, 4: 1})
	wants(t, "CreateSigningKey", s.CreateSigningKey(ctx, signingKey("k1"), nil), nil)
	want("a signing key", map[int]int{1: 1, 2: 1, 4: 1})
	mustSender(t, ctx, s, sender("w1", "acme"), sallyport.Sender{ID: "bare", API: "orders", Tenant: &sallyport.Tenant{ID: "acme"}, State: sallyport.Active})
	want("a sender's secrets", map[int]int{1: 3, 2: 2, 4: 1})
	_, err := s.UpdateSender(ctx, "orders", "", "w1", func(w *sallyport.Sender) error { w.Secrets = w.Secrets[:1]; return nil })
	wants(t, "UpdateSender", err, nil)
	want("a sender's newest", map[int]int{1: 1, 2: 2, 4: 1})
}
