package sqlite

import (
	"database/sql"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/pressly/goose/v3"

	"github.com/sallyport/sallyport"
)

// migrationsOf returns what moves db between versions.
func migrationsOf(t *testing.T, db *sql.DB) *goose.Provider {
	t.Helper()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// firstVersion makes a database as the first version of the tables has it, with
// a row in each.
func firstVersion(t *testing.T, path string) {
	t.Helper()
	db := raw(t, path)
	if _, err := migrationsOf(t, db).UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `INSERT INTO tenants VALUES ('orders', 'acme', 'Acme', 'free', 'active', '{"requests":[{"max":1,"seconds":60}]}', 1000)`)
	execute(t, db, `INSERT INTO credentials (id, api, tenant, kind, name, principal, environment, access, sandbox,
		scopes, state, prefix, last4, allowed_ips, created_at, expires_at)
		VALUES ('k1', 'orders', 'acme', 'pat', 'robot', 'k1', 'live', 'read', 0, '["a"]', 'active', 'or_', 'abcd', '["10.0.0.0/8"]', 1000, 2000)`)
	digest := testDigest("k1")
	execute(t, db, `INSERT INTO secrets VALUES (?, 'k1', 3, 1500)`, digest[:])
	digest = testDigest("a1")
	execute(t, db, `INSERT INTO admin_tokens VALUES ('a1', ?, 'first', 'admin', '', 1000)`, digest[:])
	execute(t, db, `INSERT INTO changes (kind, api, id, at) VALUES ('tenant', 'orders', 'acme', 1000)`)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTablesOfTheFirstVersionReadRight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	firstVersion(t, path)
	s, ctx := openTest(t, path), t.Context()
	wantFirstVersion(t, s)

	// What came later works on what was there before.
	u := testUser("u1")
	if err := s.CreateUser(ctx, u); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateCredential(ctx, testToken("p1", "u1")); err != nil {
		t.Fatal(err)
	}
	if _, ended, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error {
		t.Roles = map[string][]string{"clerk": nil}
		return nil
	}); ended != 1 || err != nil {
		t.Errorf("%d tokens ended, %v, want 1", ended, err)
	}
	n := testNew("k2")
	n.Name, n.UniqueName = "robot", true
	if err := s.CreateCredential(ctx, n); err == nil {
		t.Error("a name was given twice")
	}
	if err := s.RevokeAdminToken(ctx, "a1"); err != nil {
		t.Error(err)
	}
}

// wantFirstVersion fails t unless s reads what firstVersion has written.
func wantFirstVersion(t *testing.T, s *Store) {
	t.Helper()
	c, err := s.ByDigest(t.Context(), testDigest("k1"))
	if err != nil {
		t.Fatal(err)
	}
	if c.User != nil || c.Roles != nil || c.Attributes != nil || c.Unchecked || c.Tenant.Roles != nil || c.Tenant.Attributes != nil {
		t.Errorf("got %+v of %+v, want nothing that the first version had not", c, c.Tenant)
	}
	if c.ID != "k1" || c.Kind != "pat" || c.Name != "robot" || len(c.Scopes) != 1 || c.State != sallyport.Active || c.ExpiresAt.UnixMilli() != 1500 ||
		!c.Networks.Contains(c.AllowedIPs[0].Addr()) || c.Tenant.Plan != "free" || len(c.Tenant.Limits) != 1 {
		t.Errorf("got %+v of %+v", c, c.Tenant)
	}
	token, err := s.AdminTokenByDigest(t.Context(), testDigest("a1"))
	if err != nil {
		t.Fatal(err)
	}
	want := sallyport.AdminToken{ID: "a1", Name: "first", Role: "admin", State: sallyport.Active, CreatedAt: c.CreatedAt}
	if d := cmp.Diff(&want, token); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Down to the first version, whatever only the second can hold to its bounds
// ends; up again, the rest is as it was.
func TestTablesGoDownAndUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	firstVersion(t, path)
	s, ctx := openTest(t, path), t.Context()
	if err := s.CreateUser(ctx, testUser("u1")); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateCredential(ctx, testToken("p1", "u1")); err != nil {
		t.Fatal(err)
	}
	for _, token := range []sallyport.AdminToken{
		{ID: "api", API: "orders", State: sallyport.Active},
		{ID: "revoked", State: sallyport.Revoked},
		{ID: "ends", State: sallyport.Active, ExpiresAt: time.Now()},
	} {
		if err := s.CreateAdminToken(ctx, token, testDigest(token.ID)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	if _, err := migrationsOf(t, db).DownTo(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if got, want := schema(t, db), schema(t, emptyOf(t, 1)); !slices.Equal(got, want) {
		t.Errorf("got tables\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s = openTest(t, path)
	wantFirstVersion(t, s)
	if c, err := s.ByDigest(ctx, testDigest("p1")); err != nil || c.State != sallyport.Revoked {
		t.Errorf("a token of a user who is forgotten: got %+v, %v, want it revoked", c, err)
	}
	if tokens, err := s.AdminTokens(ctx); err != nil || len(tokens) != 1 || tokens[0].ID != "a1" {
		t.Errorf("got admin tokens %v, %v, want a1", tokens, err)
	}
}

// emptyOf returns an empty database of a version.
func emptyOf(t *testing.T, version int64) *sql.DB {
	t.Helper()
	db := raw(t, filepath.Join(t.TempDir(), "empty.db"))
	if _, err := migrationsOf(t, db).UpTo(t.Context(), version); err != nil {
		t.Fatal(err)
	}
	return db
}

// secondVersion makes a database as the second version of the tables has it,
// with the windows that it could hold and a token of a user.
func secondVersion(t *testing.T, path string) {
	t.Helper()
	db := raw(t, path)
	if _, err := migrationsOf(t, db).UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	execute(t, db, `INSERT INTO tenants (api, id, name, plan, state, limits, created_at, roles, attributes) VALUES ('orders', 'acme', 'Acme', 'free', 'active',
		'{"nothing":[],"requests":[{"max":18446744073709551615,"seconds":60},{"max":7,"seconds":90,"burst":15}]}', 1000, '{"clerk":["a"]}', '{"region":"eu"}')`)
	execute(t, db, `INSERT INTO users VALUES ('orders', 'acme', 'u1', 1, 'Jo', '["clerk"]', '["Findings"]', 'active', '{"team":"a"}', 1000)`)
	execute(t, db, `INSERT INTO credentials (id, api, tenant, user_id, kind, name, principal, environment, access, sandbox,
		scopes, roles, state, prefix, last4, unchecked, allowed_ips, attributes, created_at, expires_at)
		VALUES ('p1', 'orders', 'acme', 'u1', 'pat', 'robot', 'u1', 'live', 'read', 1, '["a"]', '["r"]', 'active', 'or_', 'abcd', 1, '["10.0.0.0/8"]', '{"owner":"me"}', 1000, 2000)`)
	digest := testDigest("p1")
	execute(t, db, `INSERT INTO secrets VALUES (?, 'p1', 3, NULL)`, digest[:])
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// ofSecondVersion is what secondVersion has written.
func ofSecondVersion() *sallyport.Credential {
	at := time.UnixMilli(1000).UTC()
	allowed := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	return &sallyport.Credential{
		ID: "p1", API: "orders", Kind: "pat", Name: "robot", Principal: "u1", Environment: "live", Access: sallyport.Read, Sandbox: true,
		Tenant: &sallyport.Tenant{
			ID: "acme", API: "orders", Name: "Acme", Plan: "free", State: sallyport.Active, CreatedAt: at,
			Limits: map[string][]sallyport.Window{"nothing": nil, "requests": {
				{Max: 1<<64 - 1, Length: time.Minute},
				{Max: 7, Length: 90 * time.Second, Algorithm: sallyport.Bucket, Burst: 15},
			}},
			Roles: map[string][]string{"clerk": {"a"}}, Attributes: map[string]string{"region": "eu"},
		},
		User: &sallyport.User{
			ID: "u1", API: "orders", Tenant: "acme", Service: true, Name: "Jo", Roles: []string{"clerk"}, Off: []string{"Findings"},
			State: sallyport.Active, Attributes: map[string]string{"team": "a"}, CreatedAt: at,
		},
		Scopes: []string{"a"}, Roles: []string{"r"}, State: sallyport.Active, Prefix: "or_", Last4: "abcd", Unchecked: true,
		AllowedIPs: allowed, Networks: sallyport.NewNetworks(allowed), Attributes: map[string]string{"owner": "me"},
		CreatedAt: at, ExpiresAt: time.UnixMilli(2000).UTC(),
	}
}

func wantSecondVersion(t *testing.T, s *Store, want *sallyport.Credential) {
	t.Helper()
	got, err := s.ByDigest(t.Context(), testDigest("p1"))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{}), cmp.AllowUnexported(sallyport.Networks{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// What the second version has written means what it meant, before and after it
// is written again; down to it and up again, what a tenant gets is as near as
// the second version comes.
func TestTablesOfTheSecondVersionReadRight(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	secondVersion(t, path)
	s, ctx := openTest(t, path), t.Context()
	want := ofSecondVersion()
	wantSecondVersion(t, s, want)
	berlin := sallyport.Window{Max: 9, Calendar: sallyport.Week, Zone: "Europe/Berlin"}
	if _, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error {
		t.Limits["writes"] = []sallyport.Window{{Max: 5, Calendar: sallyport.Day}, berlin, {Max: 3, Calendar: sallyport.Month}}
		t.Overrides = map[string]sallyport.Windows{"requests": {Unlimited: true}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UpdateCredential(ctx, "", "", "p1", false, func(c *sallyport.Credential) error {
		c.Plan, c.Overrides = "gold", map[string]sallyport.Windows{"writes": {List: []sallyport.Window{berlin}}}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	if _, err := migrationsOf(t, db).DownTo(ctx, 2); err != nil {
		t.Fatal(err)
	}
	if got, want := schema(t, db), schema(t, emptyOf(t, 2)); !slices.Equal(got, want) {
		t.Errorf("got tables\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	want.Tenant.Limits["writes"] = []sallyport.Window{
		{Max: 5, Length: day}, {Max: 9, Length: 7 * day, Zone: "Europe/Berlin"}, {Max: 3, Length: 31 * day},
	}
	wantSecondVersion(t, openTest(t, path), want)
}

// schema lists the columns and indexes of db.
func schema(t *testing.T, db *sql.DB) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT m.type || ' ' || m.name || ' ' || coalesce(p.name || ' ' || p.type, '')
		FROM sqlite_schema m LEFT JOIN pragma_table_info(m.name) p ORDER BY 1`)
	all, err = collect(rows, err, func(s *string) []any { return []any{s} })
	if err != nil {
		t.Fatal(err)
	}
	return all
}
