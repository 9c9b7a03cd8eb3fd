package main

import (
	"database/sql"
	"path/filepath"
	"testing"
)

func TestEveryDigestIsFetched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if _, _, err := read(t.Context(), path); err == nil {
		t.Error("no file is taken for a store")
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE secrets (digest BLOB); INSERT INTO secrets VALUES (x'01'), (x'02'), (x'03')`); err != nil {
		t.Fatal(err)
	}
	if n, spent, err := read(t.Context(), path); n != 3 || spent <= 0 || err != nil {
		t.Errorf("got %d, %s, %v, want 3", n, spent, err)
	}
}
