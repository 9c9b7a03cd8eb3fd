package sqlite

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func testUser(id string) sallyport.User {
	return sallyport.User{ID: id, API: "orders", Tenant: "acme", State: sallyport.Active, Roles: []string{"clerk"}}
}

// testToken is a personal access token of a user.
func testToken(id, user string) sallyport.NewCredential {
	n := testNew(id)
	n.Kind, n.User = sallyport.KindPAT, &sallyport.User{ID: user}
	return n
}

func TestEveryChangeLeavesALine(t *testing.T) {
	path := withTables(t)
	s, ctx := openTest(t, path), t.Context()
	token := sallyport.AdminToken{ID: "a1", State: sallyport.Active}
	retake := testNew("k2")
	retake.Digest = testDigest("k1")
	steps := []step{
		{func() error { return s.CreateTenant(ctx, testTenant()) }, []string{"tenant orders  acme"}},
		{func() error { s.CreateTenant(ctx, testTenant()); return nil }, nil},
		{func() error { return s.CreateUser(ctx, testUser("u1")) }, []string{"user orders acme u1"}},
		{func() error { s.CreateUser(ctx, testUser("u1")); return nil }, nil},
		{func() error { return s.CreateCredential(ctx, testNew("k1")) }, []string{"credential orders acme k1"}},
		{func() error { s.CreateCredential(ctx, retake); return nil }, nil},
		{func() error { return rename(ctx, s, "new") }, []string{"credential orders acme k1"}},
		{func() error { return rename(ctx, s, "new") }, nil},
		{func() error { return roll(ctx, s, "k1", "s2") }, []string{"credential orders acme k1"}},
		{func() error { roll(ctx, s, "k1", "s2"); return nil }, nil},
		{func() error { return s.RenewSecret(ctx, testDigest("s2"), testDigest("s3"), 2) }, nil},
		{func() error {
			_, err := s.ImportCredentials(ctx, []sallyport.NewCredential{testNew("k1"), testToken("p1", "u1"), testToken("p2", "u1")})
			return err
		}, []string{"credential orders acme p1", "credential orders acme p2"}},
		{func() error {
			s.ImportCredentials(ctx, []sallyport.NewCredential{testNew("k3"), testNew("p1")})
			return nil
		}, []string{"credential orders acme k3"}},
		{func() error {
			s.ImportCredentials(ctx, []sallyport.NewCredential{testNew("k4"), testToken("p3", "nobody")})
			return nil
		}, nil},
		{func() error {
			_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error {
				t.Roles = map[string][]string{"clerk": {"items:read"}}
				return nil
			})
			return err
		}, []string{"tenant orders  acme", "user orders acme u1", "credential orders acme p1", "credential orders acme p2"}},
		{func() error { return s.CreateCredential(ctx, testToken("p3", "u1")) }, []string{"credential orders acme p3"}},
		{func() error { return disable(ctx, s, "u1") }, []string{"user orders acme u1", "credential orders acme p3"}},
		{func() error { return disable(ctx, s, "u1") }, nil},
		{func() error { return s.CreateAdminToken(ctx, token, testDigest("a1")) }, []string{"admin_token   a1"}},
		{func() error { return s.RevokeAdminToken(ctx, "a1") }, []string{"admin_token   a1"}},
		{func() error { return s.RevokeAdminToken(ctx, "a1") }, nil},
	}
	wantLines(t, path, steps)
}

// step is something done and the lines that it leaves.
type step struct {
	do   func() error
	want []string
}

func wantLines(t *testing.T, path string, steps []step) {
	t.Helper()
	last := int64(0)
	for i, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if got := lines(t, path, &last); !slices.Equal(got, step.want) {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
}

// testClient is an OAuth client, and testGrant what the user u1 granted it.
func testClient(id string) sallyport.NewCredential {
	n := testNew(id)
	n.Kind, n.Client = sallyport.KindClient, &sallyport.Client{Grants: []string{"refresh_token"}}
	return n
}

func testGrant(id, client string) sallyport.Credential {
	c := testCredential(id)
	c.Kind, c.User, c.Client, c.ExpiresAt = sallyport.KindGrant, &sallyport.User{ID: "u1"}, &sallyport.Client{ID: client}, time.Now().Add(time.Hour)
	return c
}

func testSecret(kind, id string) sallyport.GrantSecret {
	return sallyport.GrantSecret{Digest: testDigest(id), Pepper: 1, Kind: kind, ExpiresAt: time.Now().Add(time.Minute)}
}

func spend(ctx context.Context, s *Store, id string, next ...sallyport.GrantSecret) error {
	_, err := s.UseGrantSecret(ctx, testDigest(id), time.Now(), func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
		return next, nil
	})
	return err
}

func setState(ctx context.Context, s *Store, id string, state sallyport.State) error {
	_, err := s.UpdateCredential(ctx, "", "", id, false, func(c *sallyport.Credential) error { c.State = state; return nil })
	return err
}

func TestEveryChangeOfTokensLeavesALine(t *testing.T) {
	path := withTables(t)
	s, ctx := openTest(t, path), t.Context()
	tenant, holder, user := testTenant(), testNew("holder"), testUser("u1")
	tenant.Roles, holder.Roles, user.Roles = map[string][]string{"clerk": nil}, []string{"clerk"}, nil
	grant := func(id string) func() error {
		return func() error { return s.CreateGrant(ctx, testGrant(id, "c1"), testSecret(sallyport.GrantCode, id)) }
	}
	key := sallyport.SigningKey{ID: "s1", API: "orders", Algorithm: "EdDSA", Sealed: []byte("x")}
	sender := sallyport.Sender{ID: "w1", API: "orders", Tenant: &sallyport.Tenant{ID: "acme"}, State: sallyport.Active}
	for _, do := range []error{
		s.CreateTenant(ctx, tenant), s.CreateUser(ctx, user), s.CreateCredential(ctx, holder), s.CreateCredential(ctx, testClient("c1")),
	} {
		if do != nil {
			t.Fatal(do)
		}
	}
	wantLines(t, path, []step{
		{func() error { return nil }, []string{"tenant orders  acme", "user orders acme u1", "credential orders acme holder", "credential orders acme c1"}},
		{grant("g1"), []string{"credential orders acme g1"}},
		{func() error { grant("g1")(); return nil }, nil},
		{func() error { return spend(ctx, s, "g1", testSecret(sallyport.GrantRefresh, "r1")) }, nil},
		{func() error { spend(ctx, s, "g1"); return nil }, []string{"credential orders acme g1"}}, // reused
		{func() error { spend(ctx, s, "g1"); return nil }, nil},
		{grant("g2"), []string{"credential orders acme g2"}},
		{func() error { return disable(ctx, s, "u1") }, []string{"user orders acme u1", "credential orders acme g2"}},
		{func() error {
			_, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { u.State = sallyport.Active; return nil })
			return err
		}, []string{"user orders acme u1"}},
		{func() error {
			_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { t.Roles = nil; return nil })
			return err
		}, []string{"tenant orders  acme", "credential orders acme holder"}},
		{grant("g3"), []string{"credential orders acme g3"}},
		{func() error { return setState(ctx, s, "c1", sallyport.Revoked) }, []string{"credential orders acme c1", "credential orders acme g3"}},
		{func() error { return s.CreateSigningKey(ctx, key, nil) }, []string{"signing_key orders  s1"}},
		{func() error { s.CreateSigningKey(ctx, key, nil); return nil }, nil},
		{func() error {
			_, err := s.UpdateSigningKey(ctx, "orders", "s1", func(k *sallyport.SigningKey) error { k.EndsAt = time.Now().Add(time.Hour); return nil })
			return err
		}, []string{"signing_key orders  s1"}},
		{func() error { return s.RevokeToken(ctx, "orders", "t1", time.Now().Add(time.Hour)) }, []string{"token orders  t1"}},
		{func() error { return s.RevokeToken(ctx, "orders", "t1", time.Now()) }, nil},
		{func() error { return s.CreateSender(ctx, sender) }, []string{"sender orders acme w1"}},
		{func() error {
			_, err := s.UpdateSender(ctx, "orders", "", "w1", func(w *sallyport.Sender) error { w.Name = "new"; return nil })
			return err
		}, []string{"sender orders acme w1"}},
		{func() error { _, err := s.SweepOAuth(ctx, time.Now().Add(48*time.Hour)); return err }, []string{
			"signing_key orders  s1", "credential orders acme g2", "credential orders acme g3", "credential orders acme g1", // the code of g1 was spent
		}},
	})
}

// lines returns the changes after last, and makes last the last one.
func lines(t *testing.T, path string, last *int64) (all []string) {
	t.Helper()
	rows, err := raw(t, path).QueryContext(t.Context(), `SELECT sequence, kind, api, tenant, id, at FROM changes WHERE sequence > ? ORDER BY sequence`, *last)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var kind, api, tenant, id string
		var at int64
		if err := rows.Scan(last, &kind, &api, &tenant, &id, &at); err != nil {
			t.Fatal(err)
		}
		if age := time.Since(time.UnixMilli(at)); age < -time.Second || age > time.Minute {
			t.Errorf("got a change %v ago", age)
		}
		all = append(all, fmt.Sprintf("%s %s %s %s", kind, api, tenant, id))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func rename(ctx context.Context, s *Store, name string) error {
	_, err := s.UpdateCredential(ctx, "orders", "", "k1", false, func(c *sallyport.Credential) error { c.Name = name; return nil })
	return err
}

func roll(ctx context.Context, s *Store, id, secret string) error {
	_, err := s.RollCredential(ctx, "orders", "", id, func(*sallyport.Credential) (sallyport.Roll, error) {
		return sallyport.Roll{Digest: testDigest(secret), Pepper: 1, Now: time.Now(), OldEnd: time.Now().Add(time.Hour)}, nil
	})
	return err
}

func disable(ctx context.Context, s *Store, user string) error {
	_, _, err := s.UpdateUser(ctx, "orders", "acme", user, func(u *sallyport.User) error { u.State = sallyport.Disabled; return nil })
	return err
}
