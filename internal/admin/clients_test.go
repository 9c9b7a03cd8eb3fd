package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

// A1, G5: a client's secret is shown once, and is found by the gate as a client's.
func TestClientsAreRegistered(t *testing.T) {
	s := newServer(t).withTenant()
	s.take()
	made := call[CreatedClient](s, 201, "POST", "/admin/v1/clients", `{"api":"orders","tenant":"acme","name":"nightly","roles":["reader"]}`)
	if got, want := s.take(), []string{"committed create credential", "known", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	secret := made.Secret.Reveal()
	c := s.find(secret)
	if c == nil || c.ID != made.ClientID || c.Kind != sallyport.KindClient || !slices.Equal(c.Client.Grants, []string{"client_credentials"}) {
		t.Errorf("the secret finds %+v", c)
	}
	if !strings.HasPrefix(secret, "or_client_") || made.Masked != "or_client_•••••"+secret[len(secret)-4:] {
		t.Errorf("secret %q is masked as %q", secret, made.Masked)
	}
	shown := call[OAuthClient](s, 200, "GET", "/admin/v1/clients/"+made.ClientID, "")
	if shown.ClientID != made.ClientID || shown.State != "active" || shown.Name != "nightly" || !slices.Equal(shown.Roles, []string{"reader"}) {
		t.Errorf("shown as %+v", shown)
	}
	list := call[OAuthClientList](s, 200, "GET", "/admin/v1/clients", "")
	if len(list.Clients) != 1 || list.Clients[0].ClientID != made.ClientID {
		t.Errorf("listed %+v", list)
	}
	if n := strings.Count(s.shown.String(), secret); n != 1 {
		t.Errorf("the secret is shown %d times", n)
	}
}

func TestPublicClientsHaveNoSecret(t *testing.T) {
	s := newServer(t).withTenant()
	made := call[CreatedClient](s, 201, "POST", "/admin/v1/clients",
		`{"api":"orders","tenant":"acme","public":true,"redirect_uris":["http://127.0.0.1/cb","com.example.app:/cb","https://a.test/cb?x=1"]}`)
	if made.Secret.Reveal() != "" || made.Masked != "" || !made.Public {
		t.Errorf("made %+v", made)
	}
	if want := []string{"authorization_code", "refresh_token"}; !slices.Equal(made.Grants, want) {
		t.Errorf("grants %q, want %q", made.Grants, want)
	}
	call[problem](s, 409, "POST", "/admin/v1/clients/"+made.ClientID+"/roll", `{}`)
}

func TestClientsThatAreRefused(t *testing.T) {
	s := newServer(t).withTenant()
	call[Tenant](s, 201, "POST", "/admin/v1/tenants", `{"api":"orders","id":"rich","plan":"custom","limits":{"requests":["9/1m"]}}`)
	call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"ann"}`)
	for body, at := range map[string]string{
		`{"api":"nope","tenant":"acme"}`:                                                               "body.api",
		`{"api":"parts","tenant":"acme"}`:                                                              "body.api",
		`{"api":"orders","tenant":"nobody"}`:                                                           "body.tenant",
		`{"api":"orders","tenant":"rich"}`:                                                             "body.tenant",
		`{"api":"orders","tenant":"acme","user":"nobody"}`:                                             "body.user",
		`{"api":"orders","tenant":"acme","user":"ann"}`:                                                "body.user",
		`{"api":"orders","tenant":"acme","roles":["nope"]}`:                                            "body.roles[0]",
		`{"api":"orders","tenant":"acme","scopes":["nope"]}`:                                           "body.scopes[0]",
		`{"api":"orders","tenant":"acme","grants":["password"]}`:                                       "body.grants[0]",
		`{"api":"orders","tenant":"acme","grants":["authorization_code"]}`:                             "body.grants[0]",
		`{"api":"orders","tenant":"acme","public":true,"grants":["client_credentials"]}`:               "body.grants[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["/callback"]}`:                               "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["https://a.test/#x"]}`:                       "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["https://a.test/#"]}`:                        "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["https://*.a.test/"]}`:                       "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["https://u:p@a.test/"]}`:                     "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["http://a.test/"]}`:                          "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["javascript:alert(1)"]}`:                     "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["data:text/html,x"]}`:                        "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["https://a.test/\\@evil.test"]}`:             "body.redirect_uris[0]",
		`{"api":"orders","tenant":"acme","redirect_uris":["https://a.test/","https://a.test/\u0000"]}`: "body.redirect_uris[1]",
	} {
		p := call[problem](s, 422, "POST", "/admin/v1/clients", body)
		if len(p.Errors) == 0 || p.Errors[0].Location != at {
			t.Errorf("%s: %+v, want a fault at %s", body, p, at)
		}
	}
}

// A client acts by itself as a service account, if it is to act as anybody.
func TestClientsOfServiceAccounts(t *testing.T) {
	s := newServer(t).withTenant()
	call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"robot","service_account":true,"roles":["reader"]}`)
	made := call[CreatedClient](s, 201, "POST", "/admin/v1/clients", `{"api":"orders","tenant":"acme","user":"robot"}`)
	if c := s.find(made.Secret.Reveal()); c == nil || c.User == nil || c.User.ID != "robot" || c.Principal != "robot" {
		t.Errorf("found %+v", c)
	}
}

// G4: a client is changed, rolled and revoked, and the caches know before the answer.
func TestClientsChange(t *testing.T) {
	s := newServer(t).withTenant()
	made := call[CreatedClient](s, 201, "POST", "/admin/v1/clients", `{"api":"orders","tenant":"acme"}`)
	at := "/admin/v1/clients/" + made.ClientID
	s.take()
	changed := call[OAuthClient](s, 200, "PATCH", at, `{"redirect_uris":["https://a.test/cb"],"grants":["authorization_code"],"name":"new","state":"disabled"}`)
	if got, want := s.take(), []string{"committed update credential", "forget credential " + made.ClientID, "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if changed.Name != "new" || changed.State != "disabled" || !slices.Equal(changed.Grants, []string{"authorization_code"}) {
		t.Errorf("changed %+v", changed)
	}
	rolled := call[RolledClient](s, 200, "POST", at+"/roll", `{"grace":"0"}`)
	if s.find(made.Secret.Reveal()) != nil && !s.find(made.Secret.Reveal()).Expired(now) || s.find(rolled.Secret.Reveal()) == nil {
		t.Error("the old secret is good, or the new one is not")
	}
	call[OAuthClient](s, 200, "POST", at+"/revoke", "")
	call[problem](s, 409, "PATCH", at, `{"state":"active"}`)

	key := s.newKey(`{"api":"orders","tenant":"acme"}`)
	for _, call := range []string{"GET ", "PATCH ", "POST /roll", "POST /revoke"} {
		method, path, _ := strings.Cut(call, " ")
		if w := s.serve(s.request(method, "/admin/v1/clients/"+key.KeyID+path, `{}`)); w.Code != 404 {
			t.Errorf("%s of a key: %d %s", call, w.Code, w.Body)
		}
	}
	call2 := s.serve(s.request("POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme","prefix":"or_client_"}`))
	if call2.Code != 422 {
		t.Errorf("a client was made as a key: %d %s", call2.Code, call2.Body)
	}
}
