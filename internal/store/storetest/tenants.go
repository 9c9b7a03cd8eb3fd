package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func emptyStore(t *testing.T, ctx context.Context, s Store) {
	wants(t, "Ping", s.Ping(ctx), nil)
	_, err := s.Tenant(ctx, "orders", "acme")
	wants(t, "Tenant", err, sallyport.ErrNotFound)
	_, _, err = s.UpdateTenant(ctx, "orders", "acme", func(*sallyport.Tenant) error {
		t.Error("UpdateTenant changes a tenant that is not there")
		return nil
	})
	wants(t, "UpdateTenant", err, sallyport.ErrNotFound)
	_, err = s.Credential(ctx, "orders", "", "k1")
	wants(t, "Credential", err, sallyport.ErrNotFound)
	_, err = s.UpdateCredential(ctx, "orders", "", "k1", false, func(*sallyport.Credential) error {
		t.Error("UpdateCredential changes a credential that is not there")
		return nil
	})
	wants(t, "UpdateCredential", err, sallyport.ErrNotFound)
	_, err = s.ByDigest(ctx, digest("k1"))
	wants(t, "ByDigest", err, sallyport.ErrNotFound)
	_, err = s.RollCredential(ctx, "orders", "", "k1", func(*sallyport.Credential) (r sallyport.Roll, _ error) {
		t.Error("RollCredential rolls a credential that is not there")
		return r, nil
	})
	wants(t, "RollCredential", err, sallyport.ErrNotFound)
	wants(t, "RenewSecret", s.RenewSecret(ctx, digest("k1"), digest("k2"), 1), sallyport.ErrNotFound)
	_, err = s.User(ctx, "orders", "acme", "u1")
	wants(t, "User", err, sallyport.ErrNotFound)
	_, _, err = s.UpdateUser(ctx, "orders", "acme", "u1", func(*sallyport.User) error {
		t.Error("UpdateUser changes a user who is not there")
		return nil
	})
	wants(t, "UpdateUser", err, sallyport.ErrNotFound)
	_, err = s.AdminTokenByDigest(ctx, digest("a1"))
	wants(t, "AdminTokenByDigest", err, sallyport.ErrNotFound)
	wants(t, "RevokeAdminToken", s.RevokeAdminToken(ctx, "a1"), sallyport.ErrNotFound)
	_, err = s.UserByLogin(ctx, "orders", "jo")
	wants(t, "UserByLogin", err, sallyport.ErrNotFound)
	emptyOAuth(t, ctx, s)
	emptyLists(t, ctx, s)
}

func emptyOAuth(t *testing.T, ctx context.Context, s Store) {
	_, _, _, err := s.GrantByDigest(ctx, digest("code"))
	wants(t, "GrantByDigest", err, sallyport.ErrNotFound)
	_, err = s.UseGrantSecret(ctx, digest("code"), created, func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
		t.Error("UseGrantSecret uses a secret that is not there")
		return nil, nil
	})
	wants(t, "UseGrantSecret", err, sallyport.ErrNotFound)
	_, err = s.UpdateSigningKey(ctx, "orders", "s1", func(*sallyport.SigningKey) error {
		t.Error("UpdateSigningKey changes a key that is not there")
		return nil
	})
	wants(t, "UpdateSigningKey", err, sallyport.ErrNotFound)
	wants(t, "DeleteSigningKey", s.DeleteSigningKey(ctx, "orders", "s1"), sallyport.ErrNotFound)
	_, err = s.Sender(ctx, "orders", "w1")
	wants(t, "Sender", err, sallyport.ErrNotFound)
	_, err = s.UpdateSender(ctx, "orders", "", "w1", func(*sallyport.Sender) error {
		t.Error("UpdateSender changes a sender that is not there")
		return nil
	})
	wants(t, "UpdateSender", err, sallyport.ErrNotFound)
	keys, err := s.SigningKeys(ctx, "orders")
	wants(t, "SigningKeys", err, nil)
	senders, err := s.Senders(ctx, "orders", "", "", 0)
	wants(t, "Senders", err, nil)
	revoked, err := s.TokenRevoked(ctx, "orders", "t1")
	wants(t, "TokenRevoked", err, nil)
	swept, err := s.SweepOAuth(ctx, created)
	wants(t, "SweepOAuth", err, nil)
	if len(keys)+len(senders)+swept != 0 || revoked {
		t.Errorf("got %v, %v, %d swept, revoked: %v, want none", keys, senders, swept, revoked)
	}
}

func emptyLists(t *testing.T, ctx context.Context, s Store) {
	tenants, err := s.Tenants(ctx, "orders", "", 0)
	wants(t, "Tenants", err, nil)
	credentials, err := s.Credentials(ctx, sallyport.CredentialFilter{})
	wants(t, "Credentials", err, nil)
	n, err := s.CountAdminTokens(ctx)
	wants(t, "CountAdminTokens", err, nil)
	users, err := s.Users(ctx, sallyport.UserFilter{API: "orders", Tenant: "acme"})
	wants(t, "Users", err, nil)
	tokens, err := s.AdminTokens(ctx)
	wants(t, "AdminTokens", err, nil)
	peppers, err := s.Peppers(ctx)
	wants(t, "Peppers", err, nil)
	prefixes, err := s.UncheckedPrefixes(ctx)
	wants(t, "UncheckedPrefixes", err, nil)
	imported, err := s.ImportCredentials(ctx, nil)
	wants(t, "ImportCredentials of none", err, nil)
	if len(tenants)+len(users)+len(credentials)+len(tokens)+n+len(peppers)+len(prefixes)+len(imported) != 0 {
		t.Errorf("got %v, %v, %v, %v, %d, %v, %v, %v, want none", tenants, users, credentials, tokens, n, peppers, prefixes, imported)
	}
}

func tenantRoundTrip(t *testing.T, ctx context.Context, s Store) {
	full := tenant("acme")
	bare := sallyport.Tenant{ID: "bare", API: "orders", State: sallyport.Disabled}
	other := sallyport.Tenant{ID: "acme", API: "parcels", State: sallyport.Revoked} // the same id in another API
	for _, want := range []sallyport.Tenant{full, bare, other} {
		mustTenant(t, ctx, s, want)
		got, err := s.Tenant(ctx, want.API, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, &want)
	}
	fine := tenant("fine")
	fine.CreatedAt = time.Unix(0, 1_999_999).In(time.FixedZone("somewhere", 3600))
	mustTenant(t, ctx, s, fine)
	got, err := s.Tenant(ctx, "orders", "fine")
	if err != nil {
		t.Fatal(err)
	}
	if want := time.UnixMilli(1).UTC(); got.CreatedAt != want {
		t.Errorf("got %v, want %v: rounded down to the millisecond, in UTC", got.CreatedAt, want)
	}
}

func tenantConflict(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	again := tenant("acme")
	again.Name = "another"
	wants(t, "the same id again", s.CreateTenant(ctx, again), sallyport.ErrConflict)
	got, err := s.Tenant(ctx, "orders", "acme")
	if err != nil {
		t.Fatal(err)
	}
	want := tenant("acme")
	same(t, got, &want)
	again.API = "parcels"
	wants(t, "the same id in another API", s.CreateTenant(ctx, again), nil)
}

func tenantPages(t *testing.T, ctx context.Context, s Store) {
	all := numbered("t%03d", 105)
	for i := range all { // kept in another order than listed
		mustTenant(t, ctx, s, tenant(all[len(all)-1-i]))
	}
	elsewhere := tenant("t000")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, elsewhere)
	var got []string
	for after := ""; ; {
		page, err := s.Tenants(ctx, "orders", after, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		if len(page) > 10 {
			t.Fatalf("got a page of %d, want 10 at most", len(page))
		}
		got = append(got, ids(page, idOfTenant)...)
		after = got[len(got)-1]
	}
	same(t, got, all)
	page, err := s.Tenants(ctx, "orders", "", 0)
	if err != nil || len(page) != 100 {
		t.Errorf("without a limit: got %d tenants, %v, want 100", len(page), err)
	}
	page, err = s.Tenants(ctx, "orders", "t1", 3) // a place between two, as after a tenant that is gone
	wants(t, "Tenants", err, nil)
	same(t, ids(page, idOfTenant), []string{"t100", "t101", "t102"})
}

func tenantUpdate(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"))
	want := tenant("acme")
	want.Name, want.Plan, want.State = "New", "free", sallyport.Disabled
	want.Limits = map[string][]sallyport.Window{"requests": {{Max: 7, Length: time.Hour}}}
	want.Overrides = map[string]sallyport.Windows{"writes": {List: []sallyport.Window{{Max: 9, Calendar: sallyport.Day, Zone: "Asia/Tokyo"}}}}
	want.Roles, want.Attributes = map[string][]string{"clerk": {"devices:write"}}, map[string]string{"region": "us"}
	got, ended, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error {
		t.Name, t.Plan, t.State, t.Limits = want.Name, want.Plan, want.State, want.Limits
		t.Overrides, t.Roles, t.Attributes = want.Overrides, want.Roles, want.Attributes
		return nil
	})
	if err != nil || ended != 0 {
		t.Fatalf("%d tokens ended, %v", ended, err)
	}
	want.Epoch = 1 // it was disabled
	same(t, got, &want)
	if got, err = s.Tenant(ctx, "orders", "acme"); err != nil {
		t.Fatal(err)
	}
	same(t, got, &want)
	other := tenant("other")
	if got, err = s.Tenant(ctx, "orders", "other"); err != nil {
		t.Fatal(err)
	}
	same(t, got, &other)
	for what, change := range map[string]func(*sallyport.Tenant){
		"id":       func(t *sallyport.Tenant) { t.ID = "third" },
		"api":      func(t *sallyport.Tenant) { t.API = "parcels" },
		"no state": func(t *sallyport.Tenant) { t.State = sallyport.StateUnknown },
	} {
		if _, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { change(t); return nil }); err == nil {
			t.Errorf("%s: was changed", what)
		}
	}
	if got, err = s.Tenant(ctx, "orders", "acme"); err != nil {
		t.Fatal(err)
	}
	same(t, got, &want)
}

func tenantFinal(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	set := func(state sallyport.State, plan string) error {
		_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error {
			t.State, t.Plan = state, plan
			return nil
		})
		return err
	}
	wants(t, "disabled", set(sallyport.Disabled, "custom"), nil)
	wants(t, "active again", set(sallyport.Active, "custom"), nil)
	wants(t, "revoked", set(sallyport.Revoked, "custom"), nil)
	wants(t, "revoked again", set(sallyport.Revoked, "custom"), nil)
	wants(t, "active after that", set(sallyport.Active, "custom"), sallyport.ErrFinal)
	wants(t, "another plan", set(sallyport.Revoked, "free"), sallyport.ErrFinal)
}

func changeRefused(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustCredential(t, ctx, s, credential("k1", "acme"))
	no := errors.New("no")
	_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { t.Name = "changed"; return no })
	if err != no {
		t.Errorf("UpdateTenant: got %v, want %v as it is", err, no)
	}
	_, err = s.UpdateCredential(ctx, "orders", "acme", "k1", false, func(c *sallyport.Credential) error { c.Name = "changed"; return no })
	if err != no {
		t.Errorf("UpdateCredential: got %v, want %v as it is", err, no)
	}
	got, err := s.Credential(ctx, "orders", "acme", "k1")
	if err != nil {
		t.Fatal(err)
	}
	if got.Name == "changed" || got.Tenant.Name == "changed" {
		t.Error("a change that failed was kept")
	}
}
