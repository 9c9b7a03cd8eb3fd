package sqlite

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// thirdVersion makes a database as the third version of the tables has it, with a
// token of a user.
func thirdVersion(t *testing.T, path string) {
	t.Helper()
	db := raw(t, path)
	if _, err := migrationsOf(t, db).UpTo(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `INSERT INTO tenants (api, id, name, plan, state, limits, created_at, roles, attributes, overrides)
		VALUES ('orders', 'acme', 'Acme', 'free', 'active', '{}', 1000, '{}', '{}', '{}')`)
	execute(t, db, `INSERT INTO users VALUES ('orders', 'acme', 'u1', 0, 'Jo', '["clerk"]', '[]', 'active', '{}', 1000)`)
	execute(t, db, `INSERT INTO users VALUES ('orders', 'acme', 'u2', 0, 'Al', '[]', '[]', 'active', '{}', 1000)`)
	execute(t, db, `INSERT INTO credentials (id, api, tenant, user_id, kind, name, principal, environment, access, sandbox, scopes, roles, state,
		prefix, last4, unchecked, allowed_ips, attributes, plan, overrides, created_at, expires_at)
		VALUES ('p1', 'orders', 'acme', 'u1', 'pat', 'robot', 'u1', 'live', '', 0, '[]', '[]', 'active', 'or_', 'abcd', 0, '[]', '{}', 'gold', '{}', 1000, NULL)`)
	digest := testDigest("p1")
	execute(t, db, `INSERT INTO secrets VALUES (?, 'p1', 3, NULL)`, digest[:])
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func wantThirdVersion(t *testing.T, s *Store) {
	t.Helper()
	c, err := s.ByDigest(t.Context(), testDigest("p1"))
	if err != nil {
		t.Fatal(err)
	}
	if c.State != sallyport.Active || c.Plan != "gold" || c.Client != nil || c.Cause != "" || c.Epochs() != 0 || c.User.Name != "Jo" || c.User.Login != "" {
		t.Errorf("got %+v of %+v and %+v, want nothing that the third version had not", c, c.User, c.Tenant)
	}
}

// Down to the third version, which would take the secret of a client for a key and
// counts no epochs, clients and grants end for good and so does whatever was
// signed; the rest is as it was, and up again all of it can be read.
func TestTokensDoNotOutliveTheirVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	thirdVersion(t, path)
	s, ctx := openTest(t, path), t.Context()
	wantThirdVersion(t, s)
	signIn := func(u *sallyport.User) error { u.Login, u.Password = "jo", "$argon2id$x"; return nil }
	_, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", signIn)
	_, _, second := s.UpdateUser(ctx, "orders", "acme", "u2", signIn)
	if err != nil || !errors.Is(second, sallyport.ErrConflict) {
		t.Errorf("a login: got %v, and %v for the second", err, second)
	}
	for _, err := range []error{
		s.CreateCredential(ctx, testClient("c1")),
		s.CreateGrant(ctx, testGrant("g1", "c1"), testSecret(sallyport.GrantCode, "code")),
		spend(ctx, s, "code", testSecret(sallyport.GrantRefresh, "r1")),
		s.CreateSigningKey(ctx, sallyport.SigningKey{ID: "s1", API: "orders", Algorithm: "EdDSA", Sealed: []byte("x")}, nil),
		s.RevokeToken(ctx, "orders", "t1", time.Now().Add(time.Hour)),
		s.CreateSender(ctx, sallyport.Sender{ID: "w1", API: "orders", Tenant: &sallyport.Tenant{ID: "acme"}, State: sallyport.Active}),
		s.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	db := raw(t, path)
	if _, err := migrationsOf(t, db).DownTo(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if got, want := schema(t, db), schema(t, emptyOf(t, 3)); !slices.Equal(got, want) {
		t.Errorf("got tables\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var state string
	if err := db.QueryRow(`SELECT state FROM credentials WHERE id = 'c1'`).Scan(&state); err != nil || state != "revoked" {
		t.Errorf("a client that the third version reads: got %q, %v", state, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s = openTest(t, path)
	wantThirdVersion(t, s)
	if c, err := s.ByDigest(ctx, testDigest("c1")); err != nil || c.State != sallyport.Revoked || c.Client == nil {
		t.Errorf("a client that was there before: got %+v, %v", c, err)
	}
	if c, err := s.Credential(ctx, "", "", "g1"); !errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("a grant that was there before: got %+v, %v", c, err)
	}
	if keys, err := s.SigningKeys(ctx, "orders"); err != nil || len(keys) != 0 {
		t.Errorf("got signing keys %v, %v, want none", keys, err)
	}
}
