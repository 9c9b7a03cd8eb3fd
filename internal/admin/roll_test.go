package admin

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// find returns the credential that the gate finds by secret, nil where none.
func (s *server) find(secret string) *sallyport.Credential {
	c, err := s.store.ByDigest(context.Background(), s.hasher.Digest(secret))
	if err != nil {
		return nil
	}
	return c
}

func TestKeyIsRolled(t *testing.T) {
	s, at := newServer(t), now.Truncate(time.Second)
	for _, test := range []struct {
		expires, body string
		end           time.Time // of the old secret
	}{
		{"", ``, at.Add(24 * time.Hour)},
		{"", `{}`, at.Add(24 * time.Hour)},
		{"", `{"grace":"7d"}`, at.Add(7 * day)},
		{"", `{"grace":"0"}`, at},
		{"1h", `{}`, at.Add(time.Hour)},
		{"2d", `{"grace":"24h"}`, at.Add(24 * time.Hour)},
	} {
		s.emptied().withTenant()
		before := s.newKey(`{"api":"orders","tenant":"acme","expires_at":"` + test.expires + `"}`)
		s.take()
		after := call[RolledKey](s, 200, "POST", "/admin/v1/keys/"+before.KeyID+"/roll", test.body)
		if got, want := s.take(), []string{"committed roll credential", "forget credential " + before.KeyID, "known", "answered"}; !slices.Equal(got, want) {
			t.Errorf("order %q, want %q", got, want)
		}
		secret := after.Secret.Reveal()
		if after.KeyID != before.KeyID || secret == before.Secret.Reveal() || after.Last4 != secret[len(secret)-4:] || !after.OldEndsAt.Equal(test.end) {
			t.Errorf("rolled %+v, old until %v; want %v", after.Key, after.OldEndsAt, test.end)
		}
		fresh, old := s.find(secret), s.find(before.Secret.Reveal())
		if fresh == nil || fresh.ID != before.KeyID || before.ExpiresAt == nil && !fresh.ExpiresAt.IsZero() {
			t.Errorf("the new secret finds %+v", fresh)
		}
		if old == nil || !old.ExpiresAt.Equal(test.end) {
			t.Errorf("%q %q: the old secret finds %+v, want an end of %v", test.expires, test.body, old, test.end)
		}
		if n := strings.Count(s.shown.String(), secret); n != 1 {
			t.Errorf("the new secret is shown %d times", n)
		}
	}
}

func TestRollsThatAreRefused(t *testing.T) {
	s := newServer(t).withTenant()
	gone := s.newKey(plainKey).KeyID
	call[Key](s, 200, "POST", "/admin/v1/keys/"+gone+"/revoke", "")
	expired := s.newKey(`{"api":"orders","tenant":"acme","expires_at":"1s"}`).KeyID
	plain := s.newKey(plainKey).KeyID
	later := s.options()
	later.Now = func() time.Time { return now.Add(time.Minute) }
	var err error
	if s.handler, err = New(later); err != nil {
		t.Fatal(err)
	}
	s.take()
	if got := call[problem](s, 409, "POST", "/admin/v1/keys/"+gone+"/roll", ""); !strings.Contains(got.Detail, "final") {
		t.Errorf("a revoked one: %s", got.Detail)
	}
	if got := call[problem](s, 409, "POST", "/admin/v1/keys/"+expired+"/roll", ""); !strings.Contains(got.Detail, "expires_at") {
		t.Errorf("an expired one: %s", got.Detail)
	}
	if got := call[Key](s, 200, "GET", "/admin/v1/keys/"+expired, ""); !got.Expired || got.State != "active" {
		t.Errorf("an expired one is shown as %+v", got)
	}
	for _, grace := range []string{"soon", "-1h", "0s", "24", " 1h"} {
		if where, _ := details(call[problem](s, 422, "POST", "/admin/v1/keys/"+plain+"/roll", `{"grace":"`+grace+`"}`)); !slices.Equal(where, []string{"body.grace"}) {
			t.Errorf("grace %q: faults at %q", grace, where)
		}
	}
	call[problem](s, 404, "POST", "/admin/v1/keys/key_nosuch/roll", "")
	s.policy = testPolicy()
	s.policy.APIs[0].Keys = s.policy.APIs[0].Keys[1:]
	if got := call[problem](s, 409, "POST", "/admin/v1/keys/"+plain+"/roll", ""); !strings.Contains(got.Detail, "no longer in the configuration") {
		t.Errorf("a prefix that is gone: %s", got.Detail)
	}
	if events := strings.Join(s.take(), ","); strings.Contains(events, "committed") || strings.Contains(events, "known") {
		t.Errorf("refused, and did %s", events)
	}
}

func TestLabelsThatMustBeUnique(t *testing.T) {
	s := newServer(t).withTenant()
	const only = `{"api":"orders","tenant":"acme","prefix":"or_only_","name":"shop"}`
	first := s.newKey(only)
	second := s.newKey(`{"api":"orders","tenant":"acme","prefix":"or_only_","name":"other"}`)
	for _, test := range []struct{ method, path, body string }{
		{"POST", "/admin/v1/keys", only},
		{"PATCH", "/admin/v1/keys/" + second.KeyID, `{"name":"shop"}`},
	} {
		got := call[problem](s, 409, test.method, test.path, test.body)
		if where, text := details(got); !slices.Equal(where, []string{"body.name"}) || !strings.Contains(text, `"shop"`) {
			t.Errorf("%s: at %q: %s", test.method, where, text)
		}
	}
	call[Key](s, 200, "PATCH", "/admin/v1/keys/"+first.KeyID, `{"name":"shop"}`)
	call[Key](s, 200, "POST", "/admin/v1/keys/"+first.KeyID+"/revoke", "")
	call[Key](s, 200, "PATCH", "/admin/v1/keys/"+second.KeyID, `{"name":"shop"}`)
	s.newKey(`{"api":"orders","tenant":"acme","name":"shop"}`) // of a form that does not ask for it
}
