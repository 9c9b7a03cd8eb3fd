package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// epochsKept: what a caller says of an epoch is not kept, and no error.
func epochsKept(t *testing.T, ctx context.Context, s Store) {
	acme, u1, k1 := tenant("acme"), user("u1", "acme"), token("k1", "acme", "u1")
	acme.Epoch, u1.Epoch, k1.Epoch = 7, 8, 9
	mustTenant(t, ctx, s, acme)
	mustUser(t, ctx, s, u1)
	mustCredential(t, ctx, s, k1)
	wantEpochs := func(what string) {
		t.Helper()
		c, err := s.ByDigest(ctx, digest("k1"))
		if err != nil || c.Epoch != 0 || c.User.Epoch != 0 || c.Tenant.Epoch != 0 {
			t.Errorf("%s: got %+v, %v, want no epoch", what, c, err)
		}
	}
	wantEpochs("made")
	_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { t.Epoch, t.Name = 7, "new"; return nil })
	wants(t, "UpdateTenant", err, nil)
	u, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { u.Epoch, u.Name = 7, "new"; return nil })
	if err != nil || u.Epoch != 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	c, err := s.UpdateCredential(ctx, "", "", "k1", false, func(c *sallyport.Credential) error {
		c.Epoch, c.User.Epoch, c.Tenant.Epoch, c.Name = 7, 7, 7, "new"
		return nil
	})
	if err != nil || c.Epochs() != 0 {
		t.Errorf("got %+v, %v", c, err)
	}
	wantEpochs("changed")
}

func credentialEpochs(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	const active, disabled, revoked = sallyport.Active, sallyport.Disabled, sallyport.Revoked
	for _, c := range []struct {
		what   string
		from   sallyport.State
		change func(*sallyport.Credential)
		want   uint64
	}{
		{"disabled", active, func(c *sallyport.Credential) { c.State = disabled }, 1},
		{"revoked", active, func(c *sallyport.Credential) { c.State = revoked }, 1},
		{"enabled", disabled, func(c *sallyport.Credential) { c.State = active }, 0},
		{"revoked while disabled", disabled, func(c *sallyport.Credential) { c.State = revoked }, 0},
		{"another role", active, func(c *sallyport.Credential) { c.Roles = []string{"clerk"} }, 1},
		{"a role more", active, func(c *sallyport.Credential) { c.Roles = append(c.Roles, "clerk") }, 1},
		{"no role", active, func(c *sallyport.Credential) { c.Roles = nil }, 1},
		{"a role twice", active, func(c *sallyport.Credential) { c.Roles = append(c.Roles, c.Roles[0]) }, 0},
		{"another role while disabled", disabled, func(c *sallyport.Credential) { c.Roles = nil }, 1},
		{"disabled, and no role", active, func(c *sallyport.Credential) { c.State, c.Roles = disabled, nil }, 1},
		{"scopes", active, func(c *sallyport.Credential) { c.Scopes = nil }, 0},
		{"an end", active, func(c *sallyport.Credential) { c.ExpiresAt = created }, 0},
		{"what a client may", active, func(c *sallyport.Credential) { c.Client.Grants = nil }, 0},
		{"nothing", active, func(c *sallyport.Credential) {}, 0},
	} {
		its := client(c.what, "acme")
		its.State = c.from
		mustCredential(t, ctx, s, its)
		for range 2 { // the second changes nothing more
			got, err := s.UpdateCredential(ctx, "", "", c.what, false, func(its *sallyport.Credential) error {
				if c.what != "a role twice" && c.what != "a role more" || len(its.Roles) == 1 {
					c.change(its)
				}
				return nil
			})
			if err != nil || got.Epoch != c.want {
				t.Errorf("%s: got %+v, %v, want epoch %d", c.what, got, err, c.want)
			}
		}
		got, err := s.ByDigest(ctx, digest(c.what))
		if err != nil || got.Epoch != c.want || got.Epochs() != c.want {
			t.Errorf("%s: got %+v, %v, want epoch %d", c.what, got, err, c.want)
		}
	}
	no := errors.New("no")
	_, err := s.UpdateCredential(ctx, "", "", "scopes", false, func(c *sallyport.Credential) error { c.State = disabled; return no })
	wants(t, "a refused change", err, no)
	wantGrant(t, ctx, s, "scopes", active, 0)
	for i := range uint64(3) {
		got, err := s.RollCredential(ctx, "", "", "scopes", func(*sallyport.Credential) (sallyport.Roll, error) {
			return sallyport.Roll{Digest: digest(string(rune('a' + i))), Now: created, OldEnd: created.Add(time.Hour)}, nil
		})
		if err != nil || got.Epoch != i+1 {
			t.Errorf("roll %d: got %+v, %v", i, got, err)
		}
		wantGrant(t, ctx, s, "scopes", active, i+1)
	}
}

func userEpochs(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	u1 := user("u1", "acme")
	mustUser(t, ctx, s, u1, user("u2", "acme"))
	mustCredential(t, ctx, s, token("k1", "acme", "u1"))
	for _, c := range []struct {
		what   string
		change func(*sallyport.User)
		want   uint64
	}{
		{"another name", func(u *sallyport.User) { u.Name = "new" }, 0},
		{"a password", func(u *sallyport.User) { u.Password = "$argon2id$x" }, 0},
		{"roles in another order", func(u *sallyport.User) { slices.Reverse(u.Roles) }, 0},
		{"another role", func(u *sallyport.User) { u.Roles = []string{"clerk"} }, 1},
		{"disabled", func(u *sallyport.User) { u.State = sallyport.Disabled }, 2},
		{"another role while disabled", func(u *sallyport.User) { u.Roles = nil }, 3},
		{"enabled", func(u *sallyport.User) { u.State = sallyport.Active }, 3},
		{"disabled, with another role", func(u *sallyport.User) { u.State, u.Roles = sallyport.Disabled, []string{"a"} }, 4},
		{"revoked", func(u *sallyport.User) { u.State = sallyport.Revoked }, 4},
	} {
		got, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { c.change(u); return nil })
		if err != nil || got.Epoch != c.want {
			t.Errorf("%s: got %+v, %v, want epoch %d", c.what, got, err, c.want)
		}
		got, err = s.User(ctx, "orders", "acme", "u1")
		if err != nil || got.Epoch != c.want {
			t.Errorf("%s: got %+v, %v, want epoch %d", c.what, got, err, c.want)
		}
	}
	if c, err := s.ByDigest(ctx, digest("k1")); err != nil || c.User.Epoch != 4 || c.Epochs() != 5 { // it was revoked too
		t.Errorf("got %+v, %v, want epochs of 5", c, err)
	}
	if u, err := s.User(ctx, "orders", "acme", "u2"); err != nil || u.Epoch != 0 {
		t.Errorf("another user: got %+v, %v", u, err)
	}
}

func tenantEpochs(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"))
	mustCredential(t, ctx, s, credential("k1", "acme"))
	for _, c := range []struct {
		what   string
		change func(*sallyport.Tenant)
		want   uint64
	}{
		{"another plan", func(t *sallyport.Tenant) { t.Plan = "free" }, 0},
		{"disabled", func(t *sallyport.Tenant) { t.State = sallyport.Disabled }, 1},
		{"enabled", func(t *sallyport.Tenant) { t.State = sallyport.Active }, 1},
		{"disabled again", func(t *sallyport.Tenant) { t.State = sallyport.Disabled }, 2},
		{"revoked", func(t *sallyport.Tenant) { t.State = sallyport.Revoked }, 2},
	} {
		got, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { c.change(t); return nil })
		if err != nil || got.Epoch != c.want {
			t.Errorf("%s: got %+v, %v, want epoch %d", c.what, got, err, c.want)
		}
		k1, err := s.Credential(ctx, "", "", "k1")
		if err != nil || k1.Tenant.Epoch != c.want || k1.Epochs() != c.want {
			t.Errorf("%s: got %+v, %v, want epochs of %d", c.what, k1, err, c.want)
		}
	}
	if other, err := s.Tenant(ctx, "orders", "other"); err != nil || other.Epoch != 0 {
		t.Errorf("another tenant: got %+v, %v", other, err)
	}
}

// roleEpochs: whoever holds a role that the tenant changes begins anew, itself or
// by its user, and nobody else does.
func roleEpochs(t *testing.T, ctx context.Context, s Store) {
	its := sallyport.Tenant{ID: "acme", API: "orders", State: sallyport.Active, Roles: map[string][]string{"Prüfer <&>": {"a"}, "buyer": {"b"}}}
	namesake := its
	namesake.API = "parcels"
	mustTenant(t, ctx, s, its, namesake)
	key := func(id, api string, state sallyport.State, roles ...string) sallyport.Credential {
		return sallyport.Credential{ID: id, API: api, Tenant: &sallyport.Tenant{ID: "acme"}, Roles: roles, State: state, Kind: sallyport.KindKey}
	}
	auditor, buyer := user("auditor", "acme"), user("buyer", "acme")
	auditor.Roles, buyer.Roles = []string{"Prüfer <&>", "reader"}, []string{"buyer"}
	mustUser(t, ctx, s, auditor, buyer)
	both := key("both", "orders", sallyport.Active, "Prüfer <&>")
	both.Kind, both.User = sallyport.KindPAT, &sallyport.User{ID: "auditor"}
	mustCredential(t, ctx, s,
		key("holder", "orders", sallyport.Active, "x", "Prüfer <&>"), key("off", "orders", sallyport.Disabled, "Prüfer <&>"),
		key("gone", "orders", sallyport.Revoked, "Prüfer <&>"), key("another", "orders", sallyport.Active, "buyer"), key("new", "orders", sallyport.Active, "clerk"),
		key("none", "orders", sallyport.Active), key("parcels", "parcels", sallyport.Active, "Prüfer <&>"), both)
	want := map[string]uint64{"holder": 0, "off": 0, "gone": 0, "another": 0, "new": 0, "none": 0, "parcels": 0, "both": 0}
	for _, c := range []struct {
		what   string
		change func(*sallyport.Tenant)
		grow   []string
		users  [2]uint64 // the auditor's and the buyer's
	}{
		{"another order", func(t *sallyport.Tenant) { t.Roles["Prüfer <&>"] = []string{"a", "a"} }, nil, [2]uint64{0, 0}},
		{"redefined", func(t *sallyport.Tenant) { t.Roles["Prüfer <&>"] = []string{"z"} }, []string{"holder", "off", "both"}, [2]uint64{1, 0}},
		{"made", func(t *sallyport.Tenant) { t.Roles["clerk"] = nil }, []string{"new"}, [2]uint64{1, 0}},
		{"taken away", func(t *sallyport.Tenant) { t.Roles = nil }, []string{"holder", "off", "another", "new"}, [2]uint64{2, 1}},
	} {
		_, _, err := s.UpdateTenant(ctx, "orders", "acme", func(t *sallyport.Tenant) error { c.change(t); return nil })
		wants(t, c.what, err, nil)
		for _, id := range c.grow {
			want[id]++
		}
		for id, epoch := range want {
			if got, err := s.Credential(ctx, "", "", id); err != nil || got.Epoch != epoch {
				t.Errorf("%s: %s: got %+v, %v, want epoch %d", c.what, id, got, err, epoch)
			}
		}
		for i, id := range []string{"auditor", "buyer"} {
			if u, err := s.User(ctx, "orders", "acme", id); err != nil || u.Epoch != c.users[i] {
				t.Errorf("%s: %s: got %+v, %v, want epoch %d", c.what, id, u, err, c.users[i])
			}
		}
	}
}

// causes: an administrator who puts a credential into another state need not know
// that something else had put it where it was.
func causes(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	k1 := credential("k1", "acme")
	k1.Cause = ""
	mustCredential(t, ctx, s, k1)
	for _, c := range []struct {
		what   string
		change func(*sallyport.Credential)
		want   string
	}{
		{"disabled by a rule", func(c *sallyport.Credential) { c.State, c.Cause = sallyport.Disabled, "a rule" }, "a rule"},
		{"renamed", func(c *sallyport.Credential) { c.Name = "new" }, "a rule"},
		{"enabled", func(c *sallyport.Credential) { c.State = sallyport.Active }, ""},
		{"disabled", func(c *sallyport.Credential) { c.State = sallyport.Disabled }, ""},
		{"a cause alone", func(c *sallyport.Credential) { c.Cause = "another" }, "another"},
		{"revoked by a rule", func(c *sallyport.Credential) { c.State, c.Cause = sallyport.Revoked, "a rule" }, "a rule"},
	} {
		got, err := s.UpdateCredential(ctx, "", "", "k1", false, func(its *sallyport.Credential) error { c.change(its); return nil })
		if err != nil || got.Cause != c.want {
			t.Errorf("%s: got %+v, %v, want cause %q", c.what, got, err, c.want)
		}
	}
}

// userLogins: a login is one user's, whosever the others are, and found as it is
// given.
func userLogins(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	login := func(id, api, tenantID, login string) sallyport.User {
		u := user(id, tenantID)
		u.API, u.Login, u.Password = api, login, "$argon2id$of "+sallyport.PasswordHash(id)
		return u
	}
	u1, u2, parcels := login("u1", "orders", "acme", "jo@example.com"), login("u2", "orders", "acme", "Jo@example.com"), login("u1", "parcels", "acme", "jo@example.com")
	mustUser(t, ctx, s, u1, u2, parcels, login("none", "orders", "acme", ""), login("none", "orders", "other", ""))
	for _, want := range []sallyport.User{u1, u2, parcels} {
		got, err := s.UserByLogin(ctx, want.API, want.Login)
		wants(t, want.Login, err, nil)
		same(t, got, &want)
	}
	for _, unknown := range []string{"", "jo@example.co", "JO@EXAMPLE.COM"} {
		_, err := s.UserByLogin(ctx, "orders", unknown)
		wants(t, unknown, err, sallyport.ErrNotFound)
	}
	wants(t, "the same in another tenant", s.CreateUser(ctx, login("u3", "orders", "other", "jo@example.com")), sallyport.ErrConflict)
	_, err := s.User(ctx, "orders", "other", "u3")
	wants(t, "a user of a taken login", err, sallyport.ErrNotFound)
	change := func(tenantID, id, login string) error {
		_, _, err := s.UpdateUser(ctx, "orders", tenantID, id, func(u *sallyport.User) error { u.Login = login; return nil })
		return err
	}
	wants(t, "taken", change("other", "none", "jo@example.com"), sallyport.ErrConflict)
	wants(t, "its own", change("acme", "u1", "jo@example.com"), nil)
	wants(t, "another", change("acme", "u1", "j@example.com"), nil)
	wants(t, "free", change("other", "none", "jo@example.com"), nil)
	wants(t, "none", change("acme", "u2", ""), nil)

	mustCredential(t, ctx, s, token("p1", "acme", "u1"))
	if c, err := s.ByDigest(ctx, digest("p1")); err != nil || c.User.Login != "j@example.com" || c.User.Password != "" {
		t.Errorf("the user of a credential: got %+v, %v, want no password", c.User, err)
	}
}
