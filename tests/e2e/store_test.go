package e2e

import (
	"database/sql"
	"testing"

	_ "modernc.org/sqlite"
)

// breakStore takes the table that keys are found by away from a running server,
// and returns what puts it back.
func breakStore(t *testing.T, path string) (restore func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	rename := func(from, to string) {
		t.Helper()
		if _, err := db.Exec("ALTER TABLE " + from + " RENAME TO " + to); err != nil {
			t.Fatal(err)
		}
	}
	rename("secrets", "secrets_gone")
	return func() { rename("secrets_gone", "secrets") }
}
