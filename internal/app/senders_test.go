package app

import (
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
)

// G5: the secrets of senders move to a new pepper when the server starts with it,
// and the older one can be taken away.
func TestSendersMoveToTheNewPepper(t *testing.T) {
	c := configured(t)
	a := newApp(t, c)
	tenant := sallyport.Tenant{ID: "acme", API: "orders", State: sallyport.Active}
	if err := a.store.CreateTenant(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
	name := webhook.SealName("orders", "shop")
	sender := sallyport.Sender{ID: "shop", API: "orders", Tenant: &tenant, State: sallyport.Active, Secrets: []sallyport.SealedSecret{
		{Sealed: seal.Seal(seal.Key(a.hasher.Derive(seal.Purpose)), name, []byte("s3cret")), Pepper: 1},
		{Sealed: []byte("under a pepper that is lost"), Pepper: 7},
	}}
	if err := a.store.CreateSender(t.Context(), sender); err != nil {
		t.Fatal(err)
	}
	a.close()

	newer := filepath.Join(t.TempDir(), "newer")
	if err := os.WriteFile(newer, []byte(base64.StdEncoding.EncodeToString([]byte("a newer one for tests, 32 bytes!"))), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Peppers = []config.Pepper{{Version: 2, Secret: config.Secret{File: newer}}, c.Peppers[0]}
	a = newApp(t, c)
	defer a.close()
	moved, err := a.store.Sender(t.Context(), "orders", "shop")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := seal.Open(seal.Key(a.hasher.Derive(seal.Purpose)), name, moved.Secrets[0].Sealed)
	if err != nil || string(secret) != "s3cret" || moved.Secrets[0].Pepper != 2 {
		t.Errorf("under pepper %d: %v", moved.Secrets[0].Pepper, err)
	}
	if got := moved.Secrets[1]; got.Pepper != 7 || string(got.Sealed) != "under a pepper that is lost" {
		t.Errorf("what does not open became %q under %d", got.Sealed, got.Pepper)
	}
	counts, err := a.store.Peppers(t.Context())
	if want := map[int]int{2: 1, 7: 1}; err != nil || !maps.Equal(counts, want) {
		t.Errorf("peppers %v, %v; want %v", counts, err, want)
	}
}
