package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/sallyport/sallyport"
)

// apiRoles: where a role of the API's configuration comes to mean something else,
// the tokens of its holders end, in every tenant, and nobody else's; and for good.
func apiRoles(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	reader, clerk := user("reader", "acme"), user("clerk", "acme")
	theirs, foreign := user("reader", "other"), user("reader", "acme")
	reader.Roles, clerk.Roles, theirs.Roles = []string{"Reader <&>", "clerk"}, []string{"clerk"}, []string{"Reader <&>"}
	foreign.API, foreign.Roles = "parcels", []string{"Reader <&>"}
	mustUser(t, ctx, s, reader, clerk, theirs, foreign)
	key, gone := credential("key", "acme"), credential("gone", "other")
	key.Roles, gone.Roles, gone.State = []string{"Reader <&>"}, []string{"none"}, sallyport.Revoked
	parcels := token("parcels", "acme", "reader")
	parcels.API, parcels.Tenant = "parcels", &elsewhere
	mustCredential(t, ctx, s, token("pat", "acme", "reader"), token("clerk", "acme", "clerk"), token("theirs", "other", "reader"), parcels, key, gone)

	const active, revoked = sallyport.Active, sallyport.Revoked
	states := map[string]sallyport.State{"pat": active, "clerk": active, "theirs": active, "key": active, "gone": revoked}
	for _, c := range []struct {
		what    string
		api     string
		roles   map[string][]string
		tenants []string
		ended   []string
		epoch   uint64 // the key's
	}{
		{"kept first", "orders", map[string][]string{"Reader <&>": {"a", "b"}, "clerk": {"c"}}, nil, nil, 0},
		{"the same", "orders", map[string][]string{"Reader <&>": {"a", "b"}, "clerk": {"c"}}, nil, nil, 0},
		{"another order", "orders", map[string][]string{"Reader <&>": {"b", "a", "a"}, "clerk": {"c"}}, nil, nil, 0},
		{"another API's", "parcels", map[string][]string{"clerk": {"c"}}, nil, nil, 0},
		{"redefined", "orders", map[string][]string{"Reader <&>": {"a"}, "clerk": {"c"}}, []string{"acme", "other"}, []string{"pat", "theirs"}, 1},
		{"as it was", "orders", map[string][]string{"Reader <&>": {"a", "b"}, "clerk": {"c"}}, []string{"acme", "other"}, nil, 2},
		{"made for nobody", "orders", map[string][]string{"Reader <&>": {"a", "b"}, "clerk": {"c"}, "none": nil}, nil, nil, 2},
		{"taken away", "orders", nil, []string{"acme", "other"}, []string{"clerk"}, 3},
		{"still away", "orders", nil, nil, nil, 3},
	} {
		tenants, ended, err := s.KeepRoles(ctx, c.api, c.roles)
		if err != nil || !slices.Equal(tenants, c.tenants) || ended != len(c.ended) {
			t.Errorf("%s: in %v, %d ended, %v, want %v and %d", c.what, tenants, ended, err, c.tenants, len(c.ended))
		}
		for _, id := range c.ended {
			states[id] = revoked
			if got, err := s.Credential(ctx, "", "", id); err != nil || got.Cause == "" {
				t.Errorf("%s: %s: got %+v, %v, want a cause", c.what, id, got, err)
			}
		}
		wantStates(t, ctx, s, c.what, sallyport.CredentialFilter{API: "orders"}, states)
		wantStates(t, ctx, s, c.what, sallyport.CredentialFilter{API: "parcels"}, map[string]sallyport.State{"parcels": active})
		if got, err := s.Credential(ctx, "", "", "key"); err != nil || got.Epoch != c.epoch {
			t.Errorf("%s: got %+v, %v, want epoch %d", c.what, got, err, c.epoch)
		}
	}
	if u, err := s.User(ctx, "orders", "acme", "reader"); err != nil || u.Epoch != 3 {
		t.Errorf("got %+v, %v, want epoch 3", u, err)
	}
	if _, _, err := s.KeepRoles(ctx, "orders", map[string][]string{"\xff": nil}); err == nil {
		t.Error("a name that cannot be kept was kept")
	}
}
