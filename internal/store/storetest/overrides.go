package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// overridesChange: what a tenant and a credential get is added, replaced and
// taken away without a trace on anything else, is in force for each credential
// from then on, and stays when its secret changes.
func overridesChange(t *testing.T, ctx context.Context, s Store) {
	acme, k1 := tenant("acme"), token("k1", "acme", "u1")
	acme.Overrides, k1.Overrides, k1.Plan, k1.ExpiresAt = nil, nil, "", time.Time{}
	u1 := user("u1", "acme")
	mustTenant(t, ctx, s, acme)
	mustUser(t, ctx, s, u1)
	mustCredential(t, ctx, s, k1)
	want := func(what, secret string) {
		t.Helper()
		got, err := s.ByDigest(ctx, digest(secret))
		wants(t, what, err, nil)
		same(t, got, kept(k1, acme, &u1))
		list, err := s.Credentials(ctx, sallyport.CredentialFilter{})
		wants(t, what, err, nil)
		same(t, list, []*sallyport.Credential{kept(k1, acme, &u1)})
	}
	month := sallyport.Windows{List: []sallyport.Window{{Max: 5, Calendar: sallyport.Month, Zone: "Europe/Berlin"}}}
	minute := sallyport.Windows{List: []sallyport.Window{{Max: 5, Length: time.Minute, Algorithm: sallyport.Sliding}}}
	for _, c := range []struct {
		what      string
		plan      string
		overrides map[string]sallyport.Windows
	}{
		{"one", "", map[string]sallyport.Windows{"requests": month}},
		{"another beside it", "gold", map[string]sallyport.Windows{"requests": month, "writes": {Unlimited: true}}},
		{"one replaced", "gold", map[string]sallyport.Windows{"requests": minute, "writes": {Unlimited: true}}},
		{"one taken away", "free", map[string]sallyport.Windows{"writes": {Unlimited: true}}},
		{"none", "", nil},
		{"all kinds", "gold", overrides()},
	} {
		acme.Overrides = c.overrides
		_, ended, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { t.Overrides = c.overrides; return nil })
		if err != nil || ended != 0 {
			t.Errorf("%s: %d tokens ended, %v", c.what, ended, err)
		}
		want(c.what+", the tenant's", "k1")

		k1.Overrides, k1.Plan = c.overrides, c.plan
		_, err = s.UpdateCredential(ctx, "", "", "k1", false, func(its *sallyport.Credential) error {
			its.Overrides, its.Plan = c.overrides, c.plan
			return nil
		})
		wants(t, c.what, err, nil)
		want(c.what, "k1")
	}
	k1.Last4, k1.Epoch = "new4", 1
	_, err := s.RollCredential(ctx, "", "", "k1", func(c *sallyport.Credential) (sallyport.Roll, error) {
		c.Last4 = "new4"
		return sallyport.Roll{Digest: digest("s2"), Pepper: 1, Now: created, OldEnd: created.Add(time.Hour)}, nil
	})
	wants(t, "RollCredential", err, nil)
	wants(t, "RenewSecret", s.RenewSecret(ctx, digest("s2"), digest("s3"), 2), nil)
	want("rolled and renewed", "s3")
}
