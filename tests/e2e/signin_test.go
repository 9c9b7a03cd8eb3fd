package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/testenv"
)

// abroad is a gate whose users sign in at an OpenID provider, and a browser.
type abroad struct {
	*server
	provider   *testenv.Issuer
	at         string // of the gate
	id, secret string // of a client
	browser    *person
	trusting   *http.Client // a browser's way to the provider
}

func newAbroad(t *testing.T, chain string) *abroad {
	t.Helper()
	a := &abroad{provider: testenv.NewIssuer(t)}
	form := fmt.Sprintf(`keys: [{prefix: ord_live_}, {prefix: ord_client_, kind: client}]
      tokens:
        - issuer: self
          login: {issuer: "%s", client: %s, secret: {file: FOLDER/secret}, claim: email, ca: "%s"}
    roles: {Clerk: [orders:read]}
    endpoints:
      - {GET: /oauth2/authorize, POST: /oauth2/authorize, serve: oauth2_authorize}
      - {GET: /oauth2/callback, serve: oauth2_callback}
      - {POST: /oauth2/token, serve: oauth2_token, grants: [authorization_code]}`, a.provider.URL, testenv.IssuerClient, a.provider.CA)
	var g *demo
	a.server, g = newGateWith(t, chain, func(s *server) {
		s.write("secret", testenv.IssuerSecret)
		s.edit("keys: [{prefix: ord_live_, environment: live}]", strings.ReplaceAll(form, "FOLDER", s.folder))
		s.edit("read: [{header: X-API-Key}]", "read: [{header: Authorization, scheme: Bearer}]")
		s.edit("hosts: [api.orders.test]", "hosts: [orders.localhost]")
	})
	a.at = strings.Replace(g.Gateway, "127.0.0.1", "orders.localhost", 1)
	a.cli("tenant", "create", "--api", "orders", "--id", "t2", "--plan", "big")
	for _, user := range [][2]string{{"ann", "t1"}, {"bob", "t1"}, {"eve", "t2"}} {
		a.cli("user", "create", "--api", "orders", "--tenant", user[1], "--id", user[0], "--login", user[0]+"@example.com", "--role", "Clerk")
	}
	a.cli("user", "disable", "--api", "orders", "--tenant", "t1", "--id", "bob")
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	out := a.cli("client", "create", "--json", "--api", "orders", "--tenant", "t1", "--redirect", callback, "--scopes", "orders:read")
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatal(err)
	}
	a.id, a.secret = made.ID, made.Secret
	a.trusting = trusting(t, a.provider.CA)
	a.newBrowser(g)
	return a
}

func (a *abroad) newBrowser(g *demo) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	a.browser = &person{demo: g, t: a.t, client: newClient()}
	a.browser.client.Jar = jar
}

// trusting is a client that believes the certificate in the file at ca, and follows
// nothing.
func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (a *abroad) authorize() string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {a.id}, "redirect_uri": {callback}, "scope": {"orders:read"}, "state": {"xyz"},
		"code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	return a.at + "/oauth2/authorize?" + q.Encode()
}

// sent goes to the provider and returns where that sends the browser back to.
func (a *abroad) sent() string {
	a.t.Helper()
	status, page, header := a.browser.see(a.authorize())
	to := header.Get("Location")
	if status != 303 || !strings.HasPrefix(to, a.provider.URL+"/authorize?") {
		a.t.Fatalf("not sent to the provider: %d %v %s", status, header, page)
	}
	answer, err := a.trusting.Get(to)
	if err != nil {
		a.t.Fatal(err)
	}
	answer.Body.Close()
	back := answer.Header.Get("Location")
	if !strings.HasPrefix(back, a.at+"/oauth2/callback?") {
		a.t.Fatalf("sent back to %q (%d)", back, answer.StatusCode)
	}
	return back
}

// verified is what an ID token says of login.
func verified(login string) map[string]any {
	return map[string]any{"email": login, "email_verified": true}
}

// Users sign in at an OpenID provider, and what comes of it is as if they had done it
// here: consent, and a token for their client.
func TestSignInAtAProvider(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			a := newAbroad(t, chain)
			a.provider.SignsIn(verified("ann@example.com"))
			status, page, header := a.browser.see(a.sent())
			if status != 303 || a.at+header.Get("Location") != a.authorize() {
				t.Fatalf("came back: %d %v %s", status, header, page)
			}
			status, page, header = a.browser.see(a.authorize())
			if status != 200 || !strings.Contains(page, "ann@example.com") || !strings.Contains(page, `value="allow"`) {
				t.Fatalf("no consent is asked for: %d %s", status, page)
			}
			if policy := header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https: ") {
				t.Errorf("to leave would be refused by the page's policy: %s", policy)
			}
			// Another account: the provider is asked to have the user sign in anew.
			status, _, header = a.browser.press(a.authorize(), page, "step", "leave")
			if to := header.Get("Location"); status != 303 || !strings.HasPrefix(to, a.provider.URL+"/authorize?") || !strings.Contains(to, "prompt=login") {
				t.Errorf("leaving: %d %s", status, to)
			}
			a.browser.see(a.sent())
			_, page, _ = a.browser.see(a.authorize())
			_, _, header = a.browser.press(a.authorize(), page, "step", "allow")
			to, err := url.Parse(header.Get("Location"))
			if err != nil || to.Query().Get("code") == "" || to.Query().Get("state") != "xyz" {
				t.Fatalf("allowed: %v", header)
			}
			body := url.Values{
				"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {callback}, "code_verifier": {verifier},
			}
			answer, err := a.browser.try("POST", a.at+"/oauth2/token", body.Encode(), formType, basic(a.id, a.secret))
			var got tokens
			if err != nil || json.Unmarshal([]byte(answer.body), &got) != nil || got.Access == "" {
				t.Fatalf("exchange: %v %d %s", err, answer.status, answer.body)
			}
			if r := a.browser.send(t, "GET", a.at+"/v1/orders", "Authorization: Bearer "+got.Access); r.status != 200 || !strings.Contains(r.body, `"x-sallyport-principal":"ann"`) {
				t.Errorf("the token: %d %s", r.status, r.body)
			}
		})
	}
}

// Who is not signed in there, or is nobody here, is not signed in.
func TestSignInAtAProviderRefuses(t *testing.T) {
	a := newAbroad(t, "fused")
	g := a.browser.demo
	for _, c := range []struct {
		name   string
		says   map[string]any
		change func(back string) string
		status int
	}{
		{"nobody", nil, nil, 403},
		{"unverified", map[string]any{"email": "ann@example.com"}, nil, 403},
		{"verified in a word", map[string]any{"email": "ann@example.com", "email_verified": "no"}, nil, 403},
		{"no e-mail", map[string]any{}, nil, 403},
		{"a stranger", verified("mallory@example.com"), nil, 403},
		{"in capitals", verified("ANN@example.com"), nil, 403},
		{"disabled here", verified("bob@example.com"), nil, 403},
		{"of another tenant", verified("eve@example.com"), nil, 403},
		{"another audience", map[string]any{"email": "ann@example.com", "email_verified": true, "aud": "other"}, nil, 403},
		{"another issuer", map[string]any{"email": "ann@example.com", "email_verified": true, "iss": "https://evil.example"}, nil, 403},
		{"another request's nonce", map[string]any{"email": "ann@example.com", "email_verified": true, "nonce": "x"}, nil, 403},
		{"no nonce", map[string]any{"email": "ann@example.com", "email_verified": true, "nonce": nil}, nil, 403},
		{"expired", map[string]any{"email": "ann@example.com", "email_verified": true, "exp": 1_700_000_000}, nil, 403},
		{"a made-up code", verified("ann@example.com"), func(s string) string { return strings.Replace(s, "code=code-", "code=kode-", 1) }, 403},
		{"another state", verified("ann@example.com"), func(s string) string { return strings.Replace(s, "state=", "state=x", 1) }, 400},
		{"another provider's answer", verified("ann@example.com"), func(s string) string { return strings.Replace(s, "iss=https", "iss=http", 1) }, 400},
		{"two codes", verified("ann@example.com"), func(s string) string { return s + "&code=x" }, 400},
		{"without its browser", verified("ann@example.com"), func(s string) string { a.newBrowser(g); return s }, 400},
	} {
		a.newBrowser(g)
		a.provider.SignsIn(c.says)
		back := a.sent()
		if c.change != nil {
			back = c.change(back)
		}
		if status, page, _ := a.browser.see(back); status != c.status || strings.Contains(page, "mallory") {
			t.Errorf("%s: %d %s", c.name, status, page)
		}
		if status, _, header := a.browser.see(a.authorize()); status != 303 || !strings.HasPrefix(header.Get("Location"), a.provider.URL) {
			t.Errorf("%s: signed in all the same: %d", c.name, status)
		}
	}
	// Once is all that an answer is good for.
	a.newBrowser(g)
	a.provider.SignsIn(verified("ann@example.com"))
	back := a.sent()
	a.browser.see(back)
	if status, _, _ := a.browser.see(back); status != 400 {
		t.Errorf("the answer again: %d", status)
	}
	// A password is not asked for here, and not taken.
	_, page, _ := a.browser.see(a.authorize())
	if status, _, header := a.browser.press(a.authorize(), page, "step", "login", "login", "eve@example.com", "password", "x"); status == 401 || strings.Contains(header.Get("Set-Cookie"), "session") {
		t.Errorf("a password: %d %v", status, header)
	}
	a.provider.SetDown(true)
	a.newBrowser(g)
	status, page, header := a.browser.see(a.authorize()) // it is known already
	if status != 303 || !strings.HasPrefix(header.Get("Location"), a.provider.URL) {
		t.Errorf("while it is down: %d %s", status, page)
	}
}

// A provider that cannot be read at first is our failure, and is tried again.
func TestProviderThatComesBack(t *testing.T) {
	a := newAbroad(t, "paired")
	a.provider.SetDown(true)
	if status, page, _ := a.browser.see(a.authorize()); status != 503 || !strings.Contains(page, `"error"`) {
		t.Errorf("while it is down: %d %s", status, page)
	}
	a.provider.SetDown(false)
	eventually(t, "users are sent to it", func() bool { status, _, _ := a.browser.see(a.authorize()); return status == 303 })
}
