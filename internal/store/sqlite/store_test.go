package sqlite

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Store { return openTest(t, withTables(t)) })
}

var copies = storetest.Copies(func(ctx context.Context, path string) (io.Closer, error) { return Open(ctx, path) })

// withTables returns the path of a file of its own, as Open has made it before.
func withTables(t testing.TB) string {
	t.Helper()
	return copies(t, t.TempDir())
}

func openTest(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func testTenant() sallyport.Tenant {
	return sallyport.Tenant{ID: "acme", API: "orders", State: sallyport.Active}
}

func testCredential(id string) sallyport.Credential {
	return sallyport.Credential{ID: id, API: "orders", Tenant: &sallyport.Tenant{ID: "acme"}, State: sallyport.Active}
}

func testNew(id string) sallyport.NewCredential {
	return sallyport.NewCredential{Credential: testCredential(id), Digest: testDigest(id), Pepper: 1}
}

func testDigest(id string) (d sallyport.Digest) {
	copy(d[:], "digest of "+id)
	return d
}

// raw opens a second way to the file, as another program would.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file://"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, query string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyTheOwnerReadsTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b c%20?#ü")
	path := filepath.Join(dir, "s.db")
	s := openTest(t, path)
	if err := s.CreateTenant(t.Context(), testTenant()); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]os.FileMode{
		filepath.Dir(dir): 0o700, dir: 0o700, path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600,
	} {
		info, err := os.Stat(file)
		if err != nil {
			t.Error(err)
		} else if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: got mode %o, want %o", file, got, want)
		}
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	for _, path := range []string{"", ":memory:", t.TempDir(), "/dev/null/s.db", "a\x00b"} {
		s, err := Open(t.Context(), path)
		if err == nil {
			s.Close()
			t.Errorf("%q was opened", path)
		}
	}
	garbage := filepath.Join(t.TempDir(), "s.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), garbage); err == nil {
		t.Error("a file that is no database was opened")
	}
}

func TestDurabilityIsAsPromised(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "s.db"))
	for _, c := range []struct {
		db           *sql.DB
		pragma, want string
	}{
		{s.writer, "journal_mode", "wal"},
		{s.writer, "synchronous", "2"}, // FULL
		{s.writer, "foreign_keys", "1"},
		{s.writer, "busy_timeout", "5000"},
		{s.reader, "journal_mode", "wal"},
		{s.reader, "query_only", "1"},
		{s.reader, "busy_timeout", "5000"},
	} {
		var got string
		if err := c.db.QueryRow("PRAGMA " + c.pragma).Scan(&got); err != nil || got != c.want {
			t.Errorf("%s: got %q, %v, want %q", c.pragma, got, err, c.want)
		}
	}
}

func TestReopenedStoreHasEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.db")
	s := openTest(t, path)
	if err := s.CreateTenant(t.Context(), testTenant()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("a closed store answers")
	}
	if _, err := openTest(t, path).Tenant(t.Context(), "orders", "acme"); err != nil {
		t.Error(err)
	}
}

func TestTablesOfANewerProgramAreRefused(t *testing.T) {
	path := withTables(t)
	if err := openTest(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, raw(t, path), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	_, err := Open(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("got %v, want an error that says newer", err)
	}
}

// Another process that holds the file must not hold a caller beyond its
// deadline, though SQLite itself waits for five seconds, and readers not at all.
func TestDeadlineHoldsWhileAnotherProcessWrites(t *testing.T) {
	path := withTables(t)
	s := openTest(t, path)
	if err := s.CreateTenant(t.Context(), testTenant()); err != nil {
		t.Fatal(err)
	}
	other, err := raw(t, path).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err = s.CreateCredential(ctx, testNew("k1"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("the caller was held for %v", took)
	}
	if _, err := s.Tenant(t.Context(), "orders", "acme"); err != nil {
		t.Error(err)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateCredential(t.Context(), testNew("k1")); err != nil {
		t.Errorf("after the other has gone: %v", err)
	}
}

// While a credential is rolled its old secret ends by itself, before the
// credential does and never after it.
func TestSecretEndsOnItsOwn(t *testing.T) {
	path := withTables(t)
	s, db := openTest(t, path), raw(t, path)
	if err := s.CreateTenant(t.Context(), testTenant()); err != nil {
		t.Fatal(err)
	}
	noon := time.UnixMilli(1_770_000_000_000).UTC()
	for _, c := range []struct {
		id                      string
		secret, credential, end time.Time
	}{
		{"never", time.Time{}, time.Time{}, time.Time{}},
		{"credential", time.Time{}, noon, noon},
		{"secret", noon, time.Time{}, noon},
		{"secret first", noon, noon.Add(time.Hour), noon},
		{"credential first", noon.Add(time.Hour), noon, noon},
	} {
		credential := testNew(c.id)
		credential.ExpiresAt, credential.Pepper = c.credential, 3
		if err := s.CreateCredential(t.Context(), credential); err != nil {
			t.Fatal(err)
		}
		if !c.secret.IsZero() {
			execute(t, db, `UPDATE secrets SET expires_at = ? WHERE credential_id = ?`, c.secret.UnixMilli(), c.id)
		}
		got, err := s.ByDigest(t.Context(), testDigest(c.id))
		if err != nil {
			t.Fatal(err)
		}
		if got.ExpiresAt != c.end {
			t.Errorf("%s: got %v, want %v", c.id, got.ExpiresAt, c.end)
		}
		var pepper int
		if err := db.QueryRow(`SELECT pepper_version FROM secrets WHERE credential_id = ?`, c.id).Scan(&pepper); err != nil || pepper != 3 {
			t.Errorf("%s: got pepper version %d, %v, want 3", c.id, pepper, err)
		}
	}
}

// What somebody wrote into the file by hand is an error, not a wider
// credential.
func TestSpoiltRowsAreRefused(t *testing.T) {
	path := withTables(t)
	s, db := openTest(t, path), raw(t, path)
	if err := s.CreateTenant(t.Context(), testTenant()); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range []string{
		"access = 'all'", "state = 'valid'", "scopes = 'x'", "allowed_ips = '[\"everywhere\"]'", "sandbox = 7", "expires_at = 9.5e300",
		"roles = '{}'", "attributes = '[]'", "overrides = '[]'", `overrides = '{"a":{"windows":[{"max":1,"seconds":1}],"unlimited":true}}'`,
		`overrides = '{"b":{"windows":[{"max":1,"seconds":0,"calendar":"year"}]}}'`, `overrides = '{"c":{"windows":[{"max":1,"seconds":1,"algorithm":"leaky"}]}}'`, "unchecked = 2", "user_id = 'u9'",
		"epoch = -1", "kind = 'client'", "kind = 'grant'", "kind = 'token'", "client_id = 'c1'", "client = '{}'", "kind = 'client', client = '[]'",
		"client_id = 'c2', client = '{}', kind = 'client'", "kind = 'grant', client_id = 'c1'",
	} {
		if err := s.CreateCredential(t.Context(), testNew(spoil)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`UPDATE credentials SET `+spoil+` WHERE id = ?`, spoil); err != nil {
			continue // the table itself refuses
		}
		if c, err := s.ByDigest(t.Context(), testDigest(spoil)); err == nil {
			t.Errorf("%s: got %+v", spoil, c)
		}
	}
}

func BenchmarkByDigest(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "s.db"))
	ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
	defer cancel()
	if err := s.CreateTenant(ctx, testTenant()); err != nil {
		b.Fatal(err)
	}
	if err := s.CreateCredential(ctx, testNew("k1")); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.ByDigest(ctx, testDigest("k1")); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkImport tells how many keys a second an import keeps, in transactions of
// the size that the command line sends.
func BenchmarkImport(b *testing.B) {
	s := openTest(b, filepath.Join(b.TempDir(), "s.db"))
	if err := s.CreateTenant(b.Context(), testTenant()); err != nil {
		b.Fatal(err)
	}
	const size = 1000
	list := make([]sallyport.NewCredential, size)
	for b.Loop() {
		of := rand.Text()
		for i := range list {
			list[i] = testNew(of + strconv.Itoa(i))
			list[i].Prefix, list[i].Scopes, list[i].Digest = "ord_live_", []string{"orders:read"}, sha256.Sum256([]byte(list[i].ID))
		}
		if _, err := s.ImportCredentials(b.Context(), list); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(size*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
}
