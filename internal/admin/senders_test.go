package admin

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
)

// secrets opens those of a sender, as the gate does.
func (s *server) secrets(api, id string) (open []string, kept []sallyport.SealedSecret) {
	s.Helper()
	w, err := s.store.Sender(s.Context(), api, id)
	if err != nil {
		s.Fatal(err)
	}
	for _, one := range w.Secrets {
		secret, err := seal.Open(seal.Key(s.hasher.Derive(seal.Purpose)), webhook.SealName(api, id), one.Sealed)
		if err != nil || one.Pepper != s.hasher.Version() {
			s.Fatalf("secret of %s under pepper %d: %v", id, one.Pepper, err)
		}
		open = append(open, string(secret))
	}
	return open, w.Secrets
}

const dictated = "what-the-sender-dictates"

// V9, G5: a secret is kept so that the gate can read it, and is shown once where it
// was made here, and never where it was given.
func TestSendersAreRegistered(t *testing.T) {
	s := newServer(t).withTenant()
	made := call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"shop","name":"Shop"}`)
	if got, want := s.take(), []string{"committed create sender", "forget sender orders shop", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	secret := made.Secret.Reveal()
	if open, _ := s.secrets("orders", "shop"); !strings.HasPrefix(secret, "sp_webhook_") || !slices.Equal(open, []string{secret}) {
		t.Errorf("shown %q, kept %q", secret, open)
	}
	given := call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"payments","secret":"`+dictated+`"}`)
	if open, _ := s.secrets("orders", "payments"); given.Secret != "" || !slices.Equal(open, []string{dictated}) {
		t.Errorf("shown %q, kept %q", given.Secret.Reveal(), open)
	}
	shown := call[Sender](s, 200, "GET", "/admin/v1/senders/orders/shop", "")
	if shown.ID != "shop" || shown.API != "orders" || shown.Tenant != "acme" || shown.Name != "Shop" || shown.State != "active" || len(shown.Secrets) != 1 || shown.Secrets[0].ExpiresAt != nil {
		t.Errorf("shown as %+v", shown)
	}
	first := call[SenderList](s, 200, "GET", "/admin/v1/senders?api=orders&limit=1", "")
	second := call[SenderList](s, 200, "GET", "/admin/v1/senders?api=orders&tenant=acme&limit=1&after="+first.Next, "")
	if len(first.Senders) != 1 || first.Senders[0].ID != "payments" || len(second.Senders) != 1 || second.Senders[0].ID != "shop" || second.Next != "" {
		t.Errorf("pages %+v and %+v", first, second)
	}
	call[problem](s, 409, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"shop"}`)
	if n := strings.Count(s.shown.String(), secret); n != 1 || strings.Contains(s.shown.String(), dictated) {
		t.Errorf("the secrets are shown %d times, and the given one", n)
	}
	if strings.Contains(s.log.String(), secret) || strings.Contains(s.log.String(), dictated) {
		t.Error("the log holds a secret")
	}
}

func TestSendersThatAreRefused(t *testing.T) {
	s := newServer(t).withTenant()
	for body, want := range map[string][2]string{
		`{"api":"nope","tenant":"acme","id":"x"}`:                                  {"body.api", "use one of orders, parts, bare"},
		`{"api":"bare","tenant":"acme","id":"x"}`:                                  {"body.api", "has no webhooks"},
		`{"api":"orders","tenant":"nobody","id":"x"}`:                              {"body.tenant", "no such tenant"},
		`{"api":"orders","tenant":"acme","id":"a/b"}`:                              {"body.id", "letters, digits"},
		`{"api":"orders","tenant":"acme","id":"../x"}`:                             {"body.id", "letters, digits"},
		`{"api":"parts","tenant":"acme","id":"other"}`:                             {"body.id", "use one of payments"},
		`{"api":"orders","tenant":"acme","id":"x","name":"\u0007"}`:                {"body.name", "control"},
		`{"api":"orders","tenant":"acme","id":"x","secret":"fifteen bytes.."}`:     {"body.secret", "at least 16"},
		`{"api":"orders","tenant":"acme","id":"x","secret":"ends with a line\n"}`:  {"body.secret", "control"},
		`{"api":"orders","tenant":"acme","id":"x","state":"disabled"}`:             {"body.state", ""},
		`{"api":"orders","tenant":"acme"}`:                                         {"body", "id"},
		`{"api":"orders","tenant":"acme","id":"x","secret":"` + long(1025) + `"}`:  {"body.secret", "1024"},
		`{"api":"orders","tenant":"acme","id":"x","secret":["` + dictated + `"]}`:  {"body.secret", ""},
		`{"api":"orders","tenant":"acme","id":"x","secrets":["` + dictated + `"]}`: {"body.secrets", ""},
		`{"api":"orders","tenant":"acme","id":"` + long(129) + `"}`:                {"body.id", ""},
	} {
		p := call[problem](s, 422, "POST", "/admin/v1/senders", body)
		if len(p.Errors) == 0 || p.Errors[0].Location != want[0] || !strings.Contains(p.Errors[0].Message, want[1]) {
			t.Errorf("%s: %+v, want a fault at %s", body, p, want)
		}
	}
	call[problem](s, 422, "GET", "/admin/v1/senders", "")
	if strings.Contains(s.shown.String(), dictated) || strings.Contains(s.log.String(), dictated) {
		t.Error("a refusal repeats the secret")
	}
}

func long(n int) string { return strings.Repeat("x", n) }

// G4: a sender is changed, rolled and revoked, and the caches know before the
// answer. V9: two secrets are good while it is rolled.
func TestSendersChange(t *testing.T) {
	s := newServer(t).withTenant()
	call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"shop","secret":"`+dictated+`"}`)
	const at = "/admin/v1/senders/orders/shop"
	s.take()
	changed := call[Sender](s, 200, "PATCH", at, `{"state":"disabled","name":"new"}`)
	if got, want := s.take(), []string{"committed update sender", "forget sender orders shop", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if changed.State != "disabled" || changed.Name != "new" {
		t.Errorf("changed %+v", changed)
	}
	call[problem](s, 422, "PATCH", at, `{"state":"revoked"}`)

	rolled := call[RolledSender](s, 200, "POST", at+"/roll", `{"grace":"1h"}`)
	open, kept := s.secrets("orders", "shop")
	end := now.Truncate(time.Second).Add(time.Hour)
	if !slices.Equal(open, []string{rolled.Secret.Reveal(), dictated}) || !kept[0].ExpiresAt.IsZero() || !kept[1].ExpiresAt.Equal(end) || !rolled.OldEndsAt.Equal(end) {
		t.Errorf("rolled %+v: kept %q, %+v", rolled.Sender, open, kept)
	}
	call[RolledSender](s, 200, "POST", at+"/roll", `{"secret":"another that is given"}`) // a day, which does not outlast the hour
	if open, kept = s.secrets("orders", "shop"); len(open) != 3 || open[0] != "another that is given" || !kept[1].ExpiresAt.Equal(now.Truncate(time.Second).Add(day)) || !kept[2].ExpiresAt.Equal(end) {
		t.Errorf("kept %q, %+v", open, kept)
	}
	call[RolledSender](s, 200, "POST", at+"/roll", "")
	if p := call[problem](s, 409, "POST", at+"/roll", ""); !strings.Contains(p.Detail, "more than 4 secrets") {
		t.Errorf("a fifth secret: %+v", p)
	}
	call[problem](s, 422, "POST", at+"/roll", `{"grace":"soon"}`)
	call[problem](s, 422, "POST", at+"/roll", `{"secret":"short"}`)
	newest, _ := s.secrets("orders", "shop")
	if got := call[Sender](s, 200, "POST", at+"/settle", ""); len(got.Secrets) != 1 || got.Secrets[0].ExpiresAt != nil {
		t.Errorf("settled %+v", got)
	}
	if open, _ := s.secrets("orders", "shop"); !slices.Equal(open, newest[:1]) {
		t.Errorf("settled, it has %d secrets", len(open))
	}
	last := call[RolledSender](s, 200, "POST", at+"/roll", `{"grace":"0"}`)
	if open, _ := s.secrets("orders", "shop"); !slices.Equal(open, []string{last.Secret.Reveal()}) {
		t.Errorf("without grace it has %d secrets", len(open))
	}
	for range 2 {
		call[Sender](s, 200, "POST", at+"/revoke", "")
	}
	if open, _ := s.secrets("orders", "shop"); len(open) != 0 {
		t.Errorf("revoked, it keeps %d secrets", len(open))
	}
	for _, one := range []string{"PATCH ", "POST /roll", "POST /settle"} {
		method, path, _ := strings.Cut(one, " ")
		call[problem](s, 409, method, at+path, `{}`)
	}
}

// A change is of what its caller has seen.
func TestSendersHaveTags(t *testing.T) {
	s := newServer(t).withTenant()
	call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"shop"}`)
	const at = "/admin/v1/senders/orders/shop"
	seen := s.serve(s.request("GET", at, "")).Header().Get("ETag")
	for _, one := range []string{"PATCH ", "POST /roll", "POST /settle", "POST /revoke"} {
		method, path, _ := strings.Cut(one, " ")
		r := s.request(method, at+path, `{}`)
		if path == "/settle" || path == "/revoke" {
			r = s.request(method, at+path, "")
		}
		r.Header.Set("If-Match", `"another"`)
		if w := s.serve(r); w.Code != 412 {
			t.Errorf("%s: %d %s", one, w.Code, w.Body)
		}
	}
	r := s.request("POST", at+"/roll", "")
	r.Header.Set("If-Match", seen)
	if w := s.serve(r); w.Code != 200 || w.Header().Get("ETag") == seen {
		t.Errorf("rolled: %d %s %s", w.Code, w.Header(), w.Body)
	}
	r = s.request("GET", at, "")
	r.Header.Set("If-None-Match", s.serve(s.request("GET", at, "")).Header().Get("ETag"))
	if w := s.serve(r); w.Code != 304 {
		t.Errorf("seen already: %d", w.Code)
	}
}

// G6: a name of the configuration signs for the whole API, so no tenant takes it
// for itself; what is given to the tenant, it looks after.
func TestATenantTakesNoNameOfTheConfiguration(t *testing.T) {
	s := newServer(t).withTenant()
	all := s.token
	s.withToken(sallyport.AdminToken{Role: RoleOperator, API: "orders", Tenant: "acme"})
	own := s.token
	p := call[problem](s, 403, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"payments"}`)
	if where, _ := details(p); !slices.Equal(where, []string{"body.id"}) {
		t.Errorf("%+v", p)
	}
	call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"of-its-own"}`)
	s.token = all
	call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"payments"}`)
	s.token = own
	call[RolledSender](s, 200, "POST", "/admin/v1/senders/orders/payments/roll", "")
}
