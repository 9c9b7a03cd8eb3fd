package app

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store/sqlite"
)

// All that is kept under a pepper which is not there is told at the start, whether
// it has a digest or is sealed.
func TestAStartTellsWhatItsPeppersDoNotOpen(t *testing.T) {
	c := configured(t)
	fill(t, c.Store)
	var log bytes.Buffer
	a, err := New(t.Context(), Options{Config: c, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	a.close()
	if want := "pepper_version=7 secrets=3\n"; strings.Count(log.String(), "pepper_version=") != 1 || !strings.Contains(log.String(), want) {
		t.Errorf("the log does not tell of %s:\n%s", want, &log)
	}
}

// fill puts one key under the pepper 1 into the store, and two keys and a signing
// key under the pepper 7.
func fill(t *testing.T, url string) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlite.Open(ctx, strings.TrimPrefix(url, "sqlite://"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tenant := sallyport.Tenant{ID: "acme", API: "orders", State: sallyport.Active}
	if err := s.CreateTenant(ctx, tenant); err != nil {
		t.Fatal(err)
	}
	for id, pepper := range map[string]int{"one": 1, "two": 7, "three": 7} {
		n := sallyport.NewCredential{
			Credential: sallyport.Credential{ID: id, API: "orders", Tenant: &tenant, Kind: "key", State: sallyport.Active},
			Digest:     sallyport.Digest{byte(len(id)), id[0]}, Pepper: pepper,
		}
		if err := s.CreateCredential(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	k := sallyport.SigningKey{API: "orders", ID: "k1", Algorithm: "EdDSA", Sealed: []byte("sealed"), Pepper: 7}
	if err := s.CreateSigningKey(ctx, k, nil); err != nil {
		t.Fatal(err)
	}
}
