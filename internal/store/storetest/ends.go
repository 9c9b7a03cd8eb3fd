package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// wantStates fails t unless these are the credentials that f selects, in these
// states.
func wantStates(t *testing.T, ctx context.Context, s Store, what string, f sallyport.CredentialFilter, want map[string]sallyport.State) {
	t.Helper()
	list, err := s.Credentials(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]sallyport.State{}
	for _, c := range list {
		got[c.ID] = c.State
	}
	if !maps.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func userEndsTokens(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	const active, disabled, revoked = sallyport.Active, sallyport.Disabled, sallyport.Revoked
	for _, c := range []struct {
		user   string
		from   sallyport.State
		change func(*sallyport.User)
		ends   bool
	}{
		{"disabled", active, func(u *sallyport.User) { u.State = disabled }, true},
		{"revoked", active, func(u *sallyport.User) { u.State = revoked }, true},
		{"another role", active, func(u *sallyport.User) { u.Roles = []string{"reader", "clerk"} }, true},
		{"a role less", active, func(u *sallyport.User) { u.Roles = u.Roles[:1] }, true},
		{"a role more", active, func(u *sallyport.User) { u.Roles = append(u.Roles, "clerk") }, true},
		{"no role", active, func(u *sallyport.User) { u.Roles = nil }, true},
		{"another role while disabled", disabled, func(u *sallyport.User) { u.Roles = nil }, true},
		{"enabled with another role", disabled, func(u *sallyport.User) { u.State, u.Roles = active, nil }, true},
		{"enabled", disabled, func(u *sallyport.User) { u.State = active }, false},
		{"revoked while disabled", disabled, func(u *sallyport.User) { u.State = revoked }, false},
		{"roles in another order", active, func(u *sallyport.User) { slices.Reverse(u.Roles) }, false},
		{"a role twice", active, func(u *sallyport.User) { u.Roles = append(u.Roles, u.Roles[0]) }, false},
		{"off", active, func(u *sallyport.User) { u.Off = []string{"Posture"} }, false},
		{"name", active, func(u *sallyport.User) { u.Name = "New" }, false},
		{"attributes", active, func(u *sallyport.User) { u.Attributes = nil }, false},
		{"nothing", active, func(u *sallyport.User) {}, false},
	} {
		u, id := user(c.user, "acme"), c.user
		u.State = c.from
		mustUser(t, ctx, s, u)
		pat := token(id+" pat", "acme", id)
		pat.State = c.from
		off, gone, key := token(id+" off", "acme", id), token(id+" gone", "acme", id), token(id+" key", "acme", id)
		off.State, gone.State, key.Kind = disabled, revoked, sallyport.KindKey
		mustImport(t, ctx, s, with(pat, pat.ID), with(off, off.ID), with(gone, gone.ID), with(key, key.ID))

		_, ended, err := s.UpdateUser(ctx, "orders", "acme", id, func(u *sallyport.User) error { c.change(u); return nil })
		wants(t, id, err, nil)
		want := map[string]sallyport.State{id + " pat": c.from, id + " off": disabled, id + " gone": revoked, id + " key": active}
		count := 0
		if c.ends {
			count, want[id+" pat"], want[id+" off"] = 2, revoked, revoked
		}
		if ended != count {
			t.Errorf("%s: %d tokens ended, want %d", id, ended, count)
		}
		wantStates(t, ctx, s, id, sallyport.CredentialFilter{User: id}, want)
	}
}

// userEndsNoOthers: nobody else's tokens end with a user, and none with a
// change that is refused.
func userEndsNoOthers(t *testing.T, ctx context.Context, s Store) {
	elsewhere, foreign, theirs := tenant("acme"), user("u1", "acme"), token("parcels", "acme", "u1")
	elsewhere.API, foreign.API, theirs.API, theirs.Tenant = "parcels", "parcels", "parcels", &elsewhere
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	mustUser(t, ctx, s, user("u1", "acme"), user("u2", "acme"), user("u1", "other"), foreign)
	mustCredential(t, ctx, s, token("its", "acme", "u1"), token("second", "acme", "u2"), token("other", "other", "u1"), theirs, credential("key", "acme"))
	want := map[string]sallyport.State{
		"its": sallyport.Active, "second": sallyport.Active, "other": sallyport.Active, "parcels": sallyport.Active, "key": sallyport.Active,
	}
	disable := func(refusal error) (int, error) {
		_, ended, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { u.State = sallyport.Disabled; return refusal })
		return ended, err
	}
	no := errors.New("no")
	if ended, err := disable(no); err != no || ended != 0 {
		t.Errorf("a refused change: %d tokens ended, %v", ended, err)
	}
	wantStates(t, ctx, s, "a refused change", sallyport.CredentialFilter{}, want)
	if ended, err := disable(nil); err != nil || ended != 1 {
		t.Errorf("%d tokens ended, %v, want 1", ended, err)
	}
	want["its"] = sallyport.Revoked
	wantStates(t, ctx, s, "disabled", sallyport.CredentialFilter{}, want)
}

func tenantEndsTokens(t *testing.T, ctx context.Context, s Store) {
	holders := map[string][]string{
		"a": {"auditor"}, "b": {"reader", "buyer"}, "ab": {"auditor", "buyer"}, "new": {"clerk"}, "none": {"reader"},
	}
	mustTenant(t, ctx, s, tenant("namesakes"))
	for id := range holders { // who have every role, but in another tenant
		everything := user(id, "namesakes")
		everything.Roles = []string{"auditor", "buyer", "clerk", "reader"}
		mustUser(t, ctx, s, everything)
	}
	for _, c := range []struct {
		tenant string
		change func(*sallyport.Tenant)
		want   []string // the users whose tokens end
	}{
		{"another scope", func(t *sallyport.Tenant) { t.Roles["auditor"] = []string{"x", "z"} }, []string{"a", "ab"}},
		{"a scope less", func(t *sallyport.Tenant) { t.Roles["auditor"] = []string{"x"} }, []string{"a", "ab"}},
		{"a scope more", func(t *sallyport.Tenant) { t.Roles["buyer"] = []string{"z", "x"} }, []string{"ab", "b"}},
		{"no scope", func(t *sallyport.Tenant) { t.Roles["buyer"] = nil }, []string{"ab", "b"}},
		{"gone", func(t *sallyport.Tenant) { delete(t.Roles, "buyer") }, []string{"ab", "b"}},
		{"gone that had no scope", func(t *sallyport.Tenant) { delete(t.Roles, "reader") }, []string{"b", "none"}},
		{"all gone", func(t *sallyport.Tenant) { t.Roles = nil }, []string{"a", "ab", "b", "none"}},
		{"renamed", func(t *sallyport.Tenant) { t.Roles["clerk"] = t.Roles["buyer"]; delete(t.Roles, "buyer") }, []string{"ab", "b", "new"}},
		{"new, and held", func(t *sallyport.Tenant) { t.Roles["clerk"] = []string{"x"} }, []string{"new"}},
		{"new", func(t *sallyport.Tenant) { t.Roles["nobody's"] = []string{"x"} }, nil},
		{"another order", func(t *sallyport.Tenant) { t.Roles["auditor"] = []string{"y", "x", "y"} }, nil},
		{"no role", func(t *sallyport.Tenant) { t.Name, t.Plan, t.Limits, t.Attributes = "", "", nil, nil }, nil},
		{"overrides", func(t *sallyport.Tenant) { t.Overrides = overrides() }, nil},
		{"disabled", func(t *sallyport.Tenant) { t.State = sallyport.Disabled }, nil},
	} {
		its := sallyport.Tenant{ID: c.tenant, API: "orders", State: sallyport.Active}
		its.Roles = map[string][]string{"auditor": {"x", "y"}, "buyer": {"z"}, "reader": nil}
		namesake := its
		namesake.API = "parcels"
		mustTenant(t, ctx, s, its, namesake)
		want, count := map[string]sallyport.State{}, 0
		var list []sallyport.NewCredential
		keep := func(api, id, holder, kind string, state sallyport.State) {
			p := sallyport.Credential{
				ID: c.tenant + id, API: api, Tenant: &sallyport.Tenant{ID: c.tenant}, User: &sallyport.User{ID: holder}, Kind: kind, State: state,
			}
			list, want[p.ID] = append(list, with(p, p.ID)), state
		}
		for holder, roles := range holders {
			mustUser(t, ctx, s, sallyport.User{ID: holder, API: "orders", Tenant: c.tenant, Roles: roles, State: sallyport.Active})
			keep("orders", holder, holder, sallyport.KindPAT, sallyport.Active)
			if slices.Contains(c.want, holder) {
				want[c.tenant+holder] = sallyport.Revoked
				count++
			}
		}
		mustUser(t, ctx, s, sallyport.User{ID: "ab", API: "parcels", Tenant: c.tenant, Roles: holders["ab"], State: sallyport.Active})
		keep("parcels", "ab parcels", "ab", sallyport.KindPAT, sallyport.Active)
		keep("orders", "ab key", "ab", sallyport.KindKey, sallyport.Active)
		keep("orders", "ab gone", "ab", sallyport.KindPAT, sallyport.Revoked)
		mustImport(t, ctx, s, list...)
		_, ended, err := s.UpdateTenant(ctx, "orders", c.tenant, func(t *sallyport.Tenant) error { c.change(t); return nil })
		if err != nil || ended != count {
			t.Errorf("%s: %d tokens ended, %v, want %d", c.tenant, ended, err, count)
		}
		wantStates(t, ctx, s, c.tenant, sallyport.CredentialFilter{Tenant: c.tenant}, want)
	}
}

// credentialUser: a change of the user is in force for each of its credentials
// from then on, however one is read.
func credentialUser(t *testing.T, ctx context.Context, s Store) {
	acme, u1 := tenant("acme"), user("u1", "acme")
	mustTenant(t, ctx, s, acme, tenant("other"))
	namesake := user("u1", "other")
	namesake.Name = "another"
	mustUser(t, ctx, s, u1, namesake)
	given := token("p1", "acme", "u1")
	given.User = &sallyport.User{ID: "u1", API: "orders", Tenant: "acme", Name: "not by this way", State: sallyport.Revoked}
	mustCredential(t, ctx, s, given, credential("k1", "acme"))
	for range 2 {
		want := kept(given, acme, &u1)
		got, err := s.ByDigest(ctx, digest("p1"))
		wants(t, "ByDigest", err, nil)
		same(t, got, want)
		got, err = s.Credential(ctx, "", "", "p1")
		wants(t, "Credential", err, nil)
		same(t, got, want)
		list, err := s.Credentials(ctx, sallyport.CredentialFilter{})
		wants(t, "Credentials", err, nil)
		same(t, list, []*sallyport.Credential{kept(credential("k1", "acme"), acme, nil), want})
		got, err = s.UpdateCredential(ctx, "", "", "p1", false, func(c *sallyport.Credential) error {
			same(t, c, want)
			c.User.Name, c.User.State, c.Networks = "not by this way", sallyport.Disabled, sallyport.Networks{}
			return nil
		})
		wants(t, "UpdateCredential", err, nil)
		same(t, got, want)

		u1.Name, u1.Off, u1.Attributes = "New", nil, map[string]string{"team": "b"}
		_, ended, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error {
			u.Name, u.Off, u.Attributes = u1.Name, u1.Off, u1.Attributes
			return nil
		})
		if err != nil || ended != 0 {
			t.Fatalf("%d tokens ended, %v", ended, err)
		}
	}
}

func credentialUserOrphan(t *testing.T, ctx context.Context, s Store) {
	elsewhere, foreign := tenant("acme"), user("u1", "acme")
	elsewhere.API, foreign.API = "parcels", "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	mustUser(t, ctx, s, user("u1", "other"), foreign)
	wants(t, "another's user", s.CreateCredential(ctx, with(token("p1", "acme", "u1"), "p1")), sallyport.ErrNotFound)
	_, err := s.ByDigest(ctx, digest("p1"))
	wants(t, "the credential of another's user", err, sallyport.ErrNotFound)

	mustUser(t, ctx, s, user("u1", "acme"), user("u2", "acme"))
	mustCredential(t, ctx, s, token("p1", "acme", "u1"))
	for what, change := range map[string]func(*sallyport.Credential){
		"another user": func(c *sallyport.Credential) { c.User = &sallyport.User{ID: "u2"} },
		"another id":   func(c *sallyport.Credential) { c.User.ID = "u2" },
		"nobody":       func(c *sallyport.Credential) { c.User = nil },
		"another end": func(c *sallyport.Credential) {
			c.User, c.ExpiresAt = nil, created.Add(time.Hour)
		},
	} {
		if _, err := s.UpdateCredential(ctx, "", "", "p1", false, func(c *sallyport.Credential) error { change(c); return nil }); err == nil {
			t.Errorf("%s: was changed", what)
		}
	}
	u1 := user("u1", "acme")
	got, err := s.Credential(ctx, "", "", "p1")
	wants(t, "Credential", err, nil)
	same(t, got, kept(token("p1", "acme", "u1"), tenant("acme"), &u1))
}
