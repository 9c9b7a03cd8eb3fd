package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sallyport/sallyport"
)

func uniqueNames(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	create := func(id, tenant, name string, unique bool, change func(*sallyport.Credential)) error {
		n := with(credential(id, tenant), id)
		n.Name, n.UniqueName = name, unique
		change(&n.Credential)
		return s.CreateCredential(ctx, n)
	}
	as := func(*sallyport.Credential) {}
	wants(t, "the first", create("k1", "acme", "robot", true, as), nil)
	wants(t, "the same name", create("k2", "acme", "robot", true, as), sallyport.ErrConflict)
	_, err := s.ByDigest(ctx, digest("k2"))
	wants(t, "a credential of a taken name", err, sallyport.ErrNotFound)
	wants(t, "another name", create("k2", "acme", "Robot", true, as), nil)
	wants(t, "another tenant's", create("k3", "other", "robot", true, as), nil)
	wants(t, "another API's", create("k4", "acme", "robot", true, func(c *sallyport.Credential) { c.API, c.Tenant = "parcels", &elsewhere }), nil)
	wants(t, "where names may be alike", create("k5", "acme", "robot", false, as), nil)

	update := func(id string, unique bool, name string, state sallyport.State) error {
		_, err := s.UpdateCredential(ctx, "orders", "acme", id, unique, func(c *sallyport.Credential) error {
			c.Name, c.State = name, state
			return nil
		})
		return err
	}
	wants(t, "renamed alike", update("k2", true, "robot", sallyport.Active), sallyport.ErrConflict)
	if c, err := s.Credential(ctx, "", "", "k2"); err != nil || c.Name != "Robot" {
		t.Errorf("after a refused name: got %+v, %v", c, err)
	}
	wants(t, "renamed to what nobody has", update("k2", true, "clerk", sallyport.Active), nil)
	wants(t, "disabled under a name that another has", update("k1", true, "robot", sallyport.Disabled), nil)
	wants(t, "revoked under a name that another has", update("k5", true, "robot", sallyport.Revoked), nil)
	wants(t, "the name of a disabled one", create("k6", "acme", "robot", true, as), sallyport.ErrConflict)
	wants(t, "renamed as a disabled one", update("k2", true, "robot", sallyport.Active), sallyport.ErrConflict)
	wants(t, "that one revoked", update("k1", true, "robot", sallyport.Revoked), nil)
	wants(t, "the name of a revoked one", create("k6", "acme", "robot", true, as), nil)
	wants(t, "renamed alike where names may be", update("k2", false, "robot", sallyport.Active), nil)
}

// mustImport imports list, of which nothing must be refused.
func mustImport(t *testing.T, ctx context.Context, s Store, list ...sallyport.NewCredential) []sallyport.Imported {
	t.Helper()
	all, err := s.ImportCredentials(ctx, list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func imports(t *testing.T, ctx context.Context, s Store) {
	acme, u1 := tenant("acme"), user("u1", "acme")
	mustTenant(t, ctx, s, acme)
	mustUser(t, ctx, s, u1)
	first := []sallyport.NewCredential{with(credential("k1", "acme"), "s1"), with(token("k2", "acme", "u1"), "s2")}
	first[1].Pepper = 7
	first = append(first, first[0]) // the same once more
	same(t, mustImport(t, ctx, s, first...), []sallyport.Imported{{ID: "k1"}, {ID: "k2"}, {ID: "k1", Existed: true}})
	got, err := s.ByDigest(ctx, digest("s1"))
	wants(t, "ByDigest", err, nil)
	same(t, got, kept(credential("k1", "acme"), acme, nil))
	got, err = s.ByDigest(ctx, digest("s2"))
	wants(t, "ByDigest", err, nil)
	same(t, got, kept(token("k2", "acme", "u1"), acme, &u1))
	peppers, err := s.Peppers(ctx)
	wants(t, "Peppers", err, nil)
	same(t, peppers, map[int]int{1: 1, 7: 1})

	// Sent again, with ids of its own and something new between: what is
	// known stays as it is, whatever its state.
	if _, err := s.UpdateCredential(ctx, "", "", "k2", false, func(c *sallyport.Credential) error { c.State = sallyport.Revoked; return nil }); err != nil {
		t.Fatal(err)
	}
	again := []sallyport.NewCredential{with(credential("x1", "acme"), "s1"), with(credential("k3", "acme"), "s3"), with(credential("x2", "acme"), "s2")}
	for i := range again {
		again[i].Name, again[i].UniqueName = again[i].ID, true
	}
	same(t, mustImport(t, ctx, s, again...), []sallyport.Imported{{ID: "k1", Existed: true}, {ID: "k3"}, {ID: "k2", Existed: true}})
	wantStates(t, ctx, s, "imported again", sallyport.CredentialFilter{}, map[string]sallyport.State{
		"k1": sallyport.Active, "k2": sallyport.Revoked, "k3": sallyport.Active,
	})
}

func importsRefused(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	foreign, named := credential("foreign", "acme"), credential("named", "acme")
	foreign.API, foreign.Tenant, named.Name = "parcels", &elsewhere, "robot"
	mustCredential(t, ctx, s, credential("k1", "acme"), credential("k2", "other"), foreign, named)
	fresh := func(id string, change func(*sallyport.NewCredential)) sallyport.NewCredential {
		n := with(credential(id, "acme"), id)
		change(&n)
		return n
	}
	as := func(*sallyport.NewCredential) {}
	unique := func(name string) func(*sallyport.NewCredential) {
		return func(n *sallyport.NewCredential) { n.Name, n.UniqueName = name, true }
	}
	secret := func(name string) func(*sallyport.NewCredential) {
		return func(n *sallyport.NewCredential) { n.Digest = digest(name) }
	}
	broken := errors.New("any error")
	type list = []sallyport.NewCredential
	for what, c := range map[string]struct {
		last  list // after two that are good; the last of them is not
		wants error
	}{
		"another tenant's secret":  {list{fresh("n3", secret("k2"))}, sallyport.ErrConflict},
		"another API's secret":     {list{fresh("n3", secret("foreign"))}, sallyport.ErrConflict},
		"a secret twice":           {list{fresh("n3", as), fresh("n4", secret("n3"))}, sallyport.ErrConflict},
		"a known secret twice":     {list{fresh("n3", secret("k1")), fresh("n4", secret("k1"))}, sallyport.ErrConflict},
		"a secret of two tenants'": {list{fresh("n3", as), with(credential("n3", "other"), "n3")}, sallyport.ErrConflict},
		"an id that is there":      {list{with(credential("k1", "acme"), "n3")}, sallyport.ErrConflict},
		"an id twice":              {list{fresh("n3", as), fresh("n3", secret("n4"))}, sallyport.ErrConflict},
		"no such tenant":           {list{with(credential("n3", "nobody"), "n3")}, sallyport.ErrNotFound},
		"no such user":             {list{with(token("n3", "acme", "u1"), "n3")}, sallyport.ErrNotFound},
		"a name that is there":     {list{fresh("n3", unique("robot"))}, sallyport.ErrConflict},
		"a name twice":             {list{fresh("n3", unique("clerk")), fresh("n4", unique("clerk"))}, sallyport.ErrConflict},
		"no state":                 {list{fresh("n3", func(n *sallyport.NewCredential) { n.State = 0 })}, broken},
		"no digest":                {list{fresh("n3", func(n *sallyport.NewCredential) { n.Digest = sallyport.Digest{} })}, broken},
	} {
		all, err := s.ImportCredentials(ctx, append(list{fresh("n1", as), fresh("n2", as)}, c.last...))
		var at sallyport.AtIndex
		if !errors.As(err, &at) || at.Index != 1+len(c.last) || c.wants != broken && !errors.Is(err, c.wants) {
			t.Errorf("%s: got %v, %v, want %v at %d", what, all, err, c.wants, 1+len(c.last))
		}
		for _, id := range []string{"n1", "n3", "n4"} {
			_, err := s.ByDigest(ctx, digest(id))
			wants(t, what+": the secret "+id, err, sallyport.ErrNotFound)
			_, err = s.Credential(ctx, "", "", id)
			wants(t, what+": the credential "+id, err, sallyport.ErrNotFound)
		}
	}
}

func tenantsAtOnce(t *testing.T, ctx context.Context, s Store) {
	mustTenant(t, ctx, s, tenant("b"))
	changed := tenant("b")
	changed.Plan = "another"
	wants(t, "CreateTenants", s.CreateTenants(ctx, []sallyport.Tenant{tenant("a"), changed, tenant("c"), tenant("c")}), nil)
	for _, id := range []string{"a", "b", "c"} {
		got, err := s.Tenant(ctx, "orders", id)
		wants(t, "Tenant", err, nil)
		want := tenant(id)
		same(t, got, &want)
	}
	wants(t, "none", s.CreateTenants(ctx, nil), nil)
	err := s.CreateTenants(ctx, []sallyport.Tenant{tenant("d"), {}})
	if at := sallyport.AtIndexes(err); len(at) != 1 || at[0].Index != 1 {
		t.Errorf("one that cannot be kept: %v", err)
	}
	_, err = s.Tenant(ctx, "orders", "d")
	wants(t, "one beside it", err, sallyport.ErrNotFound)
}

func importsOfMany(t *testing.T, ctx context.Context, s Store) {
	acme, u1 := tenant("acme"), user("u1", "acme")
	mustTenant(t, ctx, s, acme, tenant("other"))
	mustUser(t, ctx, s, u1)
	mustCredential(t, ctx, s, credential("taken", "acme"), credential("k2", "other"))
	const size = 330
	many := func(name string, change func(i int, n *sallyport.NewCredential)) (list []sallyport.NewCredential) {
		for i := range size {
			id := fmt.Sprintf("%s-%03d", name, i)
			n := with(credential(id, "acme"), id)
			change(i, &n)
			list = append(list, n)
		}
		return list
	}
	as := func(int, *sallyport.NewCredential) {}
	first := many("a", func(i int, n *sallyport.NewCredential) {
		if i == 120 {
			*n = with(token("pat", "acme", "u1"), "pat")
		}
	})
	want := make([]sallyport.Imported, size)
	for i, n := range first {
		want[i] = sallyport.Imported{ID: n.ID}
	}
	same(t, mustImport(t, ctx, s, first...), want)
	for _, i := range []int{0, 149, 150, size - 1} {
		got, err := s.ByDigest(ctx, first[i].Digest)
		wants(t, "ByDigest", err, nil)
		same(t, got, kept(credential(first[i].ID, "acme"), acme, nil))
	}

	// Half of it again, among others.
	mixed := many("b", func(i int, n *sallyport.NewCredential) {
		if i >= 100 && i%2 == 0 {
			n.Digest = first[i].Digest
		}
		if i < 100 {
			*n = first[i]
		}
	})
	for i, n := range mixed {
		want[i] = sallyport.Imported{ID: n.ID}
		if i < 100 || i%2 == 0 {
			want[i] = sallyport.Imported{ID: first[i].ID, Existed: true}
		}
	}
	same(t, mustImport(t, ctx, s, mixed...), want)

	// Each that cannot be kept is told, and then none is.
	_, err := s.ImportCredentials(ctx, many("c", func(i int, n *sallyport.NewCredential) {
		switch i {
		case 7, 204:
			n.ID = "taken"
		case 91:
			n.Digest = digest("k2")
		case 263:
			n.Tenant = &sallyport.Tenant{ID: "nobody"}
		}
	}))
	var at []int
	for _, one := range sallyport.AtIndexes(err) {
		at = append(at, one.Index)
	}
	same(t, at, []int{7, 91, 204, 263})
	wants(t, "many with faults", err, sallyport.ErrConflict)
	_, err = s.ByDigest(ctx, digest("c-000"))
	wants(t, "one before the first fault", err, sallyport.ErrNotFound)
	same(t, len(mustImport(t, ctx, s, many("c", as)...)), size)

	_, err = s.ImportCredentials(ctx, many("d", func(_ int, n *sallyport.NewCredential) { n.ID = "taken" }))
	same(t, len(sallyport.AtIndexes(err)), 100)
}

func uncheckedPrefixes(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), elsewhere)
	for _, c := range []struct {
		id, api, prefix string
		unchecked       bool
		state           sallyport.State
	}{
		{"k1", "orders", "b_", true, sallyport.Active},
		{"k2", "orders", "b_", true, sallyport.Active},
		{"k3", "orders", "b_", false, sallyport.Active},
		{"k4", "orders", "checked_", false, sallyport.Active},
		{"k5", "orders", "gone_", true, sallyport.Revoked},
		{"k6", "orders", "off_", true, sallyport.Disabled},
		{"k7", "orders", "", true, sallyport.Active},
		{"k8", "parcels", "b_", true, sallyport.Active},
		{"k9", "parcels", "a_", true, sallyport.Active},
	} {
		kept := credential(c.id, "acme")
		kept.API, kept.Tenant = c.api, &sallyport.Tenant{ID: "acme"}
		kept.Prefix, kept.Unchecked, kept.State = c.prefix, c.unchecked, c.state
		mustCredential(t, ctx, s, kept)
	}
	got, err := s.UncheckedPrefixes(ctx)
	wants(t, "UncheckedPrefixes", err, nil)
	same(t, got, [][2]string{{"orders", ""}, {"orders", "b_"}, {"orders", "off_"}, {"parcels", "a_"}, {"parcels", "b_"}})
	for id, change := range map[string]func(*sallyport.Credential){
		"k6": func(c *sallyport.Credential) { c.State = sallyport.Revoked },
		"k7": func(c *sallyport.Credential) { c.Unchecked = false },
		"k1": func(c *sallyport.Credential) { c.Unchecked = false }, // k2 is there still
	} {
		if _, err := s.UpdateCredential(ctx, "", "", id, false, func(c *sallyport.Credential) error { change(c); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	got, err = s.UncheckedPrefixes(ctx)
	wants(t, "UncheckedPrefixes", err, nil)
	same(t, got, [][2]string{{"orders", "b_"}, {"parcels", "a_"}, {"parcels", "b_"}})
}
