package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func userRoundTrip(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	for _, want := range []sallyport.User{
		user("u1", "acme"),
		{ID: "u2", API: "orders", Tenant: "acme", State: sallyport.Disabled},
		{ID: "u3", API: "orders", Tenant: "acme", State: sallyport.Active, Login: "jo@<&>", Password: "$argon2id$v=19$x"},
		{ID: "u1", API: "orders", Tenant: "other", State: sallyport.Revoked}, // the same id in another tenant
		{ID: "u1", API: "parcels", Tenant: "acme", State: sallyport.Active},
	} {
		mustUser(t, ctx, s, want)
		got, err := s.User(ctx, want.API, want.Tenant, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, &want)
	}
	for what, change := range map[string]func(*sallyport.User){
		"no id":           func(u *sallyport.User) { u.ID = "" },
		"no api":          func(u *sallyport.User) { u.API = "" },
		"no tenant":       func(u *sallyport.User) { u.Tenant = "" },
		"no state":        func(u *sallyport.User) { u.State = sallyport.StateUnknown },
		"a broken name":   func(u *sallyport.User) { u.Name = "\xff" },
		"a broken role":   func(u *sallyport.User) { u.Roles = []string{"\x00"} },
		"a broken switch": func(u *sallyport.User) { u.Off = []string{"\xff"} },
		"a broken login":  func(u *sallyport.User) { u.Login = "\xff" },
		"a broken hash":   func(u *sallyport.User) { u.Password = "\x00" },
		"a broken fact":   func(u *sallyport.User) { u.Attributes = map[string]string{"a": "\xff"} },
	} {
		bad := user("bad", "acme")
		change(&bad)
		if err := s.CreateUser(ctx, bad); err == nil {
			t.Errorf("a user with %s was kept", what)
		}
	}
}

func userConflict(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustUser(t, ctx, s, user("u1", "acme"))
	again := user("u1", "acme")
	again.Name = "another"
	wants(t, "the same id again", s.CreateUser(ctx, again), sallyport.ErrConflict)
	got, err := s.User(ctx, "orders", "acme", "u1")
	if err != nil {
		t.Fatal(err)
	}
	want := user("u1", "acme")
	same(t, got, &want)
}

func userOrphan(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, elsewhere)
	wants(t, "CreateUser", s.CreateUser(ctx, user("u1", "acme")), sallyport.ErrNotFound)
}

// userTakes: an active personal access token is made for an active user alone.
func userTakes(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	for _, state := range []sallyport.State{sallyport.Active, sallyport.Disabled, sallyport.Revoked} {
		u := user(state.String(), "acme")
		u.State = state
		mustUser(t, ctx, s, u)
		var want error
		if state != sallyport.Active {
			want = sallyport.ErrNotFound
		}
		pat := token("pat of "+u.ID, "acme", u.ID)
		wants(t, pat.ID, s.CreateCredential(ctx, with(pat, pat.ID)), want)
		off := token("disabled pat of "+u.ID, "acme", u.ID)
		off.State = sallyport.Disabled
		wants(t, off.ID, s.CreateCredential(ctx, with(off, off.ID)), nil)
	}
}

func userPages(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	all := numbered("u%03d", 105)
	for i := range all { // kept in another order than listed
		mustUser(t, ctx, s, user(all[len(all)-1-i], "acme"))
	}
	f := sallyport.UserFilter{API: "orders", Tenant: "acme", Limit: 10}
	var got []string
	for {
		page, err := s.Users(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		if len(page) > 10 {
			t.Fatalf("got a page of %d, want 10 at most", len(page))
		}
		got = append(got, ids(page, idOfUser)...)
		f.After = got[len(got)-1]
	}
	same(t, got, all)
	page, err := s.Users(ctx, sallyport.UserFilter{API: "orders", Tenant: "acme"})
	if err != nil || len(page) != 100 {
		t.Errorf("without a limit: got %d users, %v, want 100", len(page), err)
	}
}

func userFilters(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	off, foreign := user("u2", "acme"), user("u3", "acme")
	off.State, foreign.API = sallyport.Disabled, "parcels"
	mustUser(t, ctx, s, user("u1", "acme"), off, foreign, user("u4", "other"), user("u5", "acme"))
	for _, c := range []struct {
		filter sallyport.UserFilter
		want   []string
	}{
		{sallyport.UserFilter{API: "orders", Tenant: "acme"}, []string{"u1", "u2", "u5"}},
		{sallyport.UserFilter{API: "orders", Tenant: "other"}, []string{"u4"}},
		{sallyport.UserFilter{API: "parcels", Tenant: "acme"}, []string{"u3"}},
		{sallyport.UserFilter{API: "orders", Tenant: "nobody"}, nil},
		{sallyport.UserFilter{API: "orders", Tenant: "acme", State: sallyport.Active}, []string{"u1", "u5"}},
		{sallyport.UserFilter{API: "orders", Tenant: "acme", State: sallyport.Disabled}, []string{"u2"}},
		{sallyport.UserFilter{API: "orders", Tenant: "acme", State: sallyport.Active, After: "u1"}, []string{"u5"}},
		{sallyport.UserFilter{API: "orders", Tenant: "acme", After: "u11"}, []string{"u2", "u5"}}, // a place between two
		{sallyport.UserFilter{API: "orders", Tenant: "acme", Limit: 2}, []string{"u1", "u2"}},
	} {
		list, err := s.Users(ctx, c.filter)
		wants(t, "Users", err, nil)
		same(t, ids(list, idOfUser), c.want)
	}
	for _, f := range []sallyport.UserFilter{{}, {API: "orders"}, {Tenant: "acme"}} {
		if list, err := s.Users(ctx, f); err == nil {
			t.Errorf("%+v: got %d users, want an error", f, len(list))
		}
	}
}

func userUpdate(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"))
	mustUser(t, ctx, s, user("u1", "acme"), user("u2", "acme"), user("u1", "other"))
	want := sallyport.User{
		ID: "u1", API: "orders", Tenant: "acme", Name: "New", Roles: []string{"clerk"}, Off: []string{"Posture", "Evidence"},
		State: sallyport.Disabled, Attributes: map[string]string{"team": "b"}, CreatedAt: created.Add(time.Second),
	}
	got, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { *u = want; return nil })
	if err != nil {
		t.Fatal(err)
	}
	want.Epoch = 1 // it was disabled, and has another role
	same(t, got, &want)
	for what, change := range map[string]func(*sallyport.User) error{
		"id":       func(u *sallyport.User) error { u.ID = "u3"; return nil },
		"api":      func(u *sallyport.User) error { u.API = "parcels"; return nil },
		"tenant":   func(u *sallyport.User) error { u.Tenant = "other"; return nil },
		"no state": func(u *sallyport.User) error { u.State = sallyport.StateUnknown; return nil },
	} {
		if _, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", change); err == nil {
			t.Errorf("%s: was changed", what)
		}
	}
	no := errors.New("no")
	if _, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error { u.Name = "changed"; return no }); err != no {
		t.Errorf("got %v, want %v as it is", err, no)
	}
	u2, other := user("u2", "acme"), user("u1", "other")
	for _, want := range []*sallyport.User{&want, &u2, &other} {
		got, err := s.User(ctx, "orders", want.Tenant, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
}

func userFinal(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("acme"))
	mustUser(t, ctx, s, user("u1", "acme"))
	set := func(state sallyport.State, name string) error {
		_, _, err := s.UpdateUser(ctx, "orders", "acme", "u1", func(u *sallyport.User) error {
			u.State, u.Name = state, name
			return nil
		})
		return err
	}
	wants(t, "disabled", set(sallyport.Disabled, "a"), nil)
	wants(t, "active again", set(sallyport.Active, "a"), nil)
	wants(t, "revoked", set(sallyport.Revoked, "a"), nil)
	wants(t, "revoked again", set(sallyport.Revoked, "a"), nil)
	wants(t, "active after that", set(sallyport.Active, "a"), sallyport.ErrFinal)
	wants(t, "another name", set(sallyport.Revoked, "b"), sallyport.ErrFinal)
}
