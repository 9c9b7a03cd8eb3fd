package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func sender(id, tenantID string) sallyport.Sender {
	return sallyport.Sender{
		ID: id, API: "orders", Tenant: &sallyport.Tenant{ID: tenantID, API: "orders"}, Name: "Shop <&>", State: sallyport.Active,
		Secrets: []sallyport.SealedSecret{
			{Sealed: []byte("\x00\xff new"), Pepper: 2},
			{Sealed: []byte("old"), Pepper: 1, ExpiresAt: created.Add(time.Hour)},
			{Sealed: []byte("epoch"), Pepper: 1, ExpiresAt: time.Unix(0, 0).UTC()},
		},
		CreatedAt: created,
	}
}

func idOfSender(w *sallyport.Sender) string { return w.ID }

func mustSender(t *testing.T, ctx context.Context, s Store, senders ...sallyport.Sender) {
	t.Helper()
	for _, w := range senders {
		if err := s.CreateSender(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
}

// keptSender is w as a store returns it.
func keptSender(w sallyport.Sender, t sallyport.Tenant) *sallyport.Sender {
	w.Tenant = &t
	return &w
}

func senderRoundTrip(t *testing.T, ctx context.Context, s Store) {
	acme, elsewhere := tenant("acme"), tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, acme, tenant("other"), elsewhere)
	bare := sallyport.Sender{ID: "bare", API: "orders", Tenant: &sallyport.Tenant{ID: "acme"}, State: sallyport.Disabled}
	mustSender(t, ctx, s, sender("w1", "acme"), bare)
	for range 2 {
		for _, want := range []sallyport.Sender{sender("w1", "acme"), bare} {
			got, err := s.Sender(ctx, "orders", want.ID)
			wants(t, want.ID, err, nil)
			same(t, got, keptSender(want, acme))
			for i := range got.Secrets {
				got.Secrets[i].Sealed[0] = 7 // is the caller's own
			}
			got.Tenant.State = sallyport.Revoked
		}
	}
	wants(t, "the same id", s.CreateSender(ctx, sender("w1", "acme")), sallyport.ErrConflict)
	wants(t, "another tenant's of the same id", s.CreateSender(ctx, sender("w1", "other")), sallyport.ErrConflict)
	wants(t, "no such tenant", s.CreateSender(ctx, sender("w2", "nobody")), sallyport.ErrNotFound)
	_, err := s.Sender(ctx, "parcels", "w1")
	wants(t, "another API's", err, sallyport.ErrNotFound)
	foreign := sender("w1", "acme")
	foreign.API, foreign.Tenant = "parcels", &elsewhere
	wants(t, "the same id in another API", s.CreateSender(ctx, foreign), nil)
	for what, change := range map[string]func(*sallyport.Sender){
		"no id":             func(w *sallyport.Sender) { w.ID = "" },
		"no api":            func(w *sallyport.Sender) { w.API = "" },
		"no tenant":         func(w *sallyport.Sender) { w.Tenant = nil },
		"no tenant's id":    func(w *sallyport.Sender) { w.Tenant = &sallyport.Tenant{} },
		"another's tenant":  func(w *sallyport.Sender) { w.Tenant = &elsewhere },
		"no state":          func(w *sallyport.Sender) { w.State = sallyport.StateUnknown },
		"a broken name":     func(w *sallyport.Sender) { w.Name = "\xff" },
		"a missing secret":  func(w *sallyport.Sender) { w.Secrets[0].Sealed = nil },
		"a NUL in its name": func(w *sallyport.Sender) { w.Name = "\x00" },
	} {
		bad := sender("bad", "acme")
		change(&bad)
		if err := s.CreateSender(ctx, bad); err == nil || errors.Is(err, sallyport.ErrConflict) {
			t.Errorf("a sender with %s: got %v", what, err)
		}
	}
}

func senderPages(t *testing.T, ctx context.Context, s Store) {
	elsewhere := tenant("acme")
	elsewhere.API = "parcels"
	mustTenant(t, ctx, s, tenant("acme"), tenant("other"), elsewhere)
	foreign := sender("b", "acme")
	foreign.API, foreign.Tenant = "parcels", &elsewhere
	mustSender(t, ctx, s, sender("d", "acme"), sender("b", "acme"), sender("a", "other"), sender("c", "acme"), foreign)
	for _, c := range []struct {
		api, tenant, after string
		limit              int
		want               []string
	}{
		{"orders", "", "", 0, []string{"a", "b", "c", "d"}},
		{"orders", "acme", "", 0, []string{"b", "c", "d"}},
		{"orders", "acme", "", 2, []string{"b", "c"}},
		{"orders", "acme", "c", 2, []string{"d"}},
		{"orders", "acme", "bb", 0, []string{"c", "d"}}, // a place between two
		{"orders", "other", "", 0, []string{"a"}},
		{"orders", "nobody", "", 0, nil},
		{"parcels", "", "", 0, []string{"b"}},
	} {
		list, err := s.Senders(ctx, c.api, c.tenant, c.after, c.limit)
		wants(t, "Senders", err, nil)
		same(t, ids(list, idOfSender), c.want)
	}
	list, err := s.Senders(ctx, "orders", "other", "", 0)
	wants(t, "Senders", err, nil)
	same(t, list, []*sallyport.Sender{keptSender(sender("a", "other"), tenant("other"))})
}

func senderUpdate(t *testing.T, ctx context.Context, s Store) {
	acme := tenant("acme")
	mustTenant(t, ctx, s, acme, tenant("other"))
	mustSender(t, ctx, s, sender("w1", "acme"), sender("w2", "acme"))
	want := sender("w1", "acme")
	want.Name, want.State, want.Secrets = "New", sallyport.Disabled, []sallyport.SealedSecret{{Sealed: []byte("x"), Pepper: 3, ExpiresAt: created}}
	got, err := s.UpdateSender(ctx, "orders", "acme", "w1", func(w *sallyport.Sender) error {
		w.Name, w.State, w.Secrets, w.Tenant.Name = want.Name, want.State, want.Secrets, "not by this way"
		return nil
	})
	wants(t, "UpdateSender", err, nil)
	same(t, got, keptSender(want, acme))
	no := errors.New("no")
	for what, change := range map[string]func(*sallyport.Sender) error{
		"id":       func(w *sallyport.Sender) error { w.ID = "w3"; return nil },
		"api":      func(w *sallyport.Sender) error { w.API = "parcels"; return nil },
		"tenant":   func(w *sallyport.Sender) error { w.Tenant = &sallyport.Tenant{ID: "other"}; return nil },
		"no state": func(w *sallyport.Sender) error { w.State = sallyport.StateUnknown; return nil },
		"an error": func(w *sallyport.Sender) error { w.Name = "changed"; return no },
	} {
		if _, err := s.UpdateSender(ctx, "orders", "", "w1", change); err == nil || what == "an error" && err != no {
			t.Errorf("%s: got %v", what, err)
		}
	}
	_, err = s.UpdateSender(ctx, "orders", "other", "w1", func(*sallyport.Sender) error {
		t.Error("a sender was handed to another tenant's change")
		return nil
	})
	wants(t, "another tenant's", err, sallyport.ErrNotFound)
	got, err = s.Sender(ctx, "orders", "w1")
	wants(t, "Sender", err, nil)
	same(t, got, keptSender(want, acme))
	got, err = s.Sender(ctx, "orders", "w2")
	wants(t, "Sender", err, nil)
	same(t, got, keptSender(sender("w2", "acme"), acme))
	set := func(state sallyport.State, name string) error {
		_, err := s.UpdateSender(ctx, "orders", "acme", "w1", func(w *sallyport.Sender) error { w.State, w.Name = state, name; return nil })
		return err
	}
	wants(t, "active again", set(sallyport.Active, "a"), nil)
	wants(t, "revoked", set(sallyport.Revoked, "a"), nil)
	wants(t, "revoked again", set(sallyport.Revoked, "a"), nil)
	wants(t, "active after that", set(sallyport.Active, "a"), sallyport.ErrFinal)
	wants(t, "another name", set(sallyport.Revoked, "b"), sallyport.ErrFinal)
}
