package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// person is a user of VaultWares with a browser of their own.
type person struct {
	*demo
	t               *testing.T
	login, password string
	client          *http.Client
}

func (d *demo) person(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{demo: d, t: t, client: newClient()}
	p.client.Jar = jar
	for _, tenant := range d.APIs["vaultwares"].Tenants {
		if tenant.ID == "org_enterprise" {
			p.login, p.password = tenant.Users[0].Login, tenant.Users[0].Password
		}
	}
	return p
}

// auth is the URL of the host that serves OAuth.
func (d *demo) auth() string {
	return strings.Replace(d.APIs["vaultwares"].URL, "//api.", "//auth.", 1)
}

var pageToken = regexp.MustCompile(`name="token" value="([^"]*)"`)

// see fetches a page.
func (p *person) see(at string) (status int, page string, header http.Header) {
	p.t.Helper()
	resp, err := p.client.Get(at)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.read(resp)
}

func (p *person) read(resp *http.Response) (int, string, http.Header) {
	p.t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// press sends the form of page with fields.
func (p *person) press(at, page string, fields ...string) (int, string, http.Header) {
	p.t.Helper()
	form := url.Values{}
	if m := pageToken.FindStringSubmatch(page); m != nil {
		form.Set("token", html.UnescapeString(m[1]))
	}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, err := p.client.PostForm(at, form)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.read(resp)
}

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

const callback = "http://127.0.0.1:8912/callback"

// authorizeURL is where a client sends its user.
func (d *demo) authorizeURL(id string, more ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {id}, "redirect_uri": {callback}, "scope": {"devices:read devices:write"},
		"state": {"s t&te"}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(more); i += 2 {
		if q.Del(more[i]); more[i+1] != "" {
			q.Set(more[i], more[i+1])
		}
	}
	return d.auth() + "/oauth/authorize?" + q.Encode()
}

// consents goes through the pages and returns what the client is sent.
func (p *person) consents(at string) url.Values {
	p.t.Helper()
	status, page, _ := p.see(at)
	if strings.Contains(page, `name="password"`) {
		var header http.Header
		if status, _, header = p.press(at, page, "step", "login", "login", p.login, "password", p.password); status != 303 {
			p.t.Fatalf("signing in: %d %v", status, header)
		}
		status, page, _ = p.see(at)
	}
	if status != 200 || !strings.Contains(page, `value="allow"`) {
		p.t.Fatalf("no consent is asked for: %d %s", status, page)
	}
	status, page, header := p.press(at, page, "step", "allow")
	to, err := url.Parse(header.Get("Location"))
	if err != nil || status != 303 || !strings.HasPrefix(to.String(), callback+"?") {
		p.t.Fatalf("allowed: %d %v %s", status, header, page)
	}
	return to.Query()
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
	Scope   string
	Error   string
}

func (d *demo) exchange(t *testing.T, lines []string, fields ...string) (status int, got tokens) {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	a, err := d.try("POST", d.auth()+"/oauth/token", form.Encode(), append(lines, formType)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return a.status, got
}

// V8: a user signs in and consents, and the client gets tokens with what was
// granted, for itself alone, once; refresh tokens rotate, and one that comes again
// ends all.
func TestAuthorizationCode(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "", chain)
			id, secret := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--name", "Inventory", "--redirect", callback)
			as := []string{basic(id, secret)}
			p := d.person(t)
			sent := p.consents(d.authorizeURL(id))
			if sent.Get("state") != "s t&te" || sent.Get("iss") != d.auth() || sent.Get("code") == "" {
				t.Fatalf("sent back with %v", sent)
			}
			code := []string{"grant_type", "authorization_code", "code", sent.Get("code"), "redirect_uri", callback, "code_verifier", verifier}
			status, got := d.exchange(t, as, code...)
			if status != 200 || got.Type != "Bearer" || got.Expires != 3600 || got.Refresh == "" || got.Scope != "devices:read devices:write" {
				t.Fatalf("%d %+v", status, got)
			}
			api := d.APIs["vaultwares"].URL
			bearer := "Authorization: Bearer " + got.Access
			if a := d.send(t, "GET", api+"/v1/devices", bearer); a.status != 200 || !strings.Contains(a.body, `"x-sallyport-principal":"everything"`) {
				t.Errorf("the token: %d %s", a.status, a.body)
			}
			if a := d.send(t, "GET", api+"/v1/users", bearer); a.status != 403 {
				t.Errorf("a scope that was not granted: %d %s", a.status, a.body)
			}
			verify := d.send(t, "GET", api+"/v1/auth/verify", bearer).json(t) // V7
			if verify["valid"] != true || verify["user_id"] != "everything" || len(verify) != 4 {
				t.Errorf("verified as %v", verify)
			}

			_, second := d.exchange(t, as, "grant_type", "refresh_token", "refresh_token", got.Refresh, "scope", "devices:read")
			if second.Access == "" || second.Refresh == got.Refresh || second.Scope != "devices:read" {
				t.Fatalf("refreshed %+v", second)
			}
			if a := d.send(t, "POST", api+"/v1/devices", "Authorization: Bearer "+second.Access); a.status != 403 {
				t.Errorf("narrowed by the refresh: %d %s", a.status, a.body)
			}
			if status, again := d.exchange(t, as, "grant_type", "refresh_token", "refresh_token", got.Refresh); status != 400 || again.Error != "invalid_grant" {
				t.Errorf("a refresh token again: %d %+v", status, again)
			}
			if status, after := d.exchange(t, as, "grant_type", "refresh_token", "refresh_token", second.Refresh); status != 400 || after.Error != "invalid_grant" {
				t.Errorf("the one after it: %d %+v", status, after)
			}
			for _, token := range []string{got.Access, second.Access} {
				if a := d.send(t, "GET", api+"/v1/devices", "Authorization: Bearer "+token); a.status != 401 {
					t.Errorf("an access token of it: %d %s", a.status, a.body)
				}
			}
		})
	}
}

// V8: who asks wrongly is told so where it is safe to, and nobody is sent anywhere
// that is not registered.
func TestHostileAuthorizationRequests(t *testing.T) {
	d := running(t, "", "paired")
	id, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback)
	public, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback, "--public")
	machine, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback, "--grants", "refresh_token")
	p := d.person(t)
	for name, at := range map[string]string{
		"an unknown client":           d.authorizeURL("nobody"),
		"no client":                   d.authorizeURL(id, "client_id", ""),
		"another place":               d.authorizeURL(id, "redirect_uri", "https://evil.example/"),
		"a path below":                d.authorizeURL(id, "redirect_uri", callback+"/x"),
		"a query more":                d.authorizeURL(id, "redirect_uri", callback+"?x=1"),
		"another port":                d.authorizeURL(id, "redirect_uri", "http://127.0.0.1:8913/callback"),
		"in capitals":                 d.authorizeURL(id, "redirect_uri", strings.ToUpper(callback)),
		"a user before the host":      d.authorizeURL(id, "redirect_uri", "http://127.0.0.1:8912@evil.example/callback"),
		"a script":                    d.authorizeURL(id, "redirect_uri", "javascript:alert(1)"),
		"a place twice":               d.authorizeURL(id) + "&redirect_uri=https://evil.example/",
		"a client twice":              d.authorizeURL(id) + "&client_id=" + id,
		"a state twice":               d.authorizeURL(id) + "&state=x",
		"a parameter that is no text": d.authorizeURL(id) + "&nonce=%ff",
	} {
		status, page, header := p.see(at)
		if status != 400 || header.Get("Location") != "" || !strings.Contains(page, "This did not work") {
			t.Errorf("%s: %d %v", name, status, header)
		}
	}
	for name, c := range map[string]struct{ at, code string }{
		"no response type":             {d.authorizeURL(id, "response_type", ""), "invalid_request"},
		"an implicit token":            {d.authorizeURL(id, "response_type", "token"), "unsupported_response_type"},
		"a hybrid":                     {d.authorizeURL(id, "response_type", "code token"), "unsupported_response_type"},
		"a form":                       {d.authorizeURL(id, "response_mode", "form_post"), "invalid_request"},
		"a request object":             {d.authorizeURL(id, "request", "x.y.z"), "invalid_request"},
		"a plain challenge":            {d.authorizeURL(id, "code_challenge_method", "plain"), "invalid_request"},
		"a challenge of no method":     {d.authorizeURL(id, "code_challenge_method", ""), "invalid_request"},
		"a method without a challenge": {d.authorizeURL(id, "code_challenge", ""), "invalid_request"},
		"a challenge that is none":     {d.authorizeURL(id, "code_challenge", "short"), "invalid_request"},
		"a public client without one":  {d.authorizeURL(public, "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"an unknown scope":             {d.authorizeURL(id, "scope", "nope"), "invalid_scope"},
		"no scope":                     {d.authorizeURL(id, "scope", ""), "invalid_scope"},
		"a client without the grant":   {d.authorizeURL(machine), "unauthorized_client"},
	} {
		status, _, header := p.see(c.at)
		to, err := url.Parse(header.Get("Location"))
		if err != nil || status != 303 || !strings.HasPrefix(to.String(), callback+"?") || to.Query().Get("error") != c.code || to.Query().Get("state") != "s t&te" {
			t.Errorf("%s: %d %v", name, status, header)
		}
	}
}

// V8: a code is for its client, its address and its verifier alone, and once.
func TestHostileCodeExchanges(t *testing.T) {
	d := running(t, "", "paired")
	id, secret := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback)
	other, otherSecret := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback)
	public, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback, "--public")
	own := []string{basic(id, secret)}
	p := d.person(t)
	code := func(id string, more ...string) string { return p.consents(d.authorizeURL(id, more...)).Get("code") }
	good := func(code string) []string {
		return []string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}
	}
	for name, c := range map[string]struct {
		lines  []string
		fields []string
		status int
		code   string
	}{
		"no code":                       {own, []string{"grant_type", "authorization_code"}, 400, "invalid_request"},
		"an unknown code":               {own, good("nope"), 400, "invalid_grant"},
		"another client's":              {[]string{basic(other, otherSecret)}, good(code(id)), 400, "invalid_grant"},
		"another place":                 {own, append(good(code(id)), "redirect_uri", callback+"/x"), 400, "invalid_grant"},
		"no place":                      {own, append(good(code(id)), "redirect_uri", ""), 400, "invalid_grant"},
		"no verifier":                   {own, append(good(code(id)), "code_verifier", ""), 400, "invalid_grant"},
		"a wrong verifier":              {own, append(good(code(id)), "code_verifier", strings.Repeat("x", 43)), 400, "invalid_grant"},
		"the challenge as verifier":     {own, append(good(code(id)), "code_verifier", challenge(verifier)), 400, "invalid_grant"},
		"a verifier that is too long":   {own, append(good(code(id)), "code_verifier", strings.Repeat("x", 129)), 400, "invalid_grant"},
		"a verifier for no challenge":   {own, good(code(id, "code_challenge", "", "code_challenge_method", "")), 400, "invalid_grant"},
		"no challenge and no verifier":  {own, append(good(code(id, "code_challenge", "", "code_challenge_method", "")), "code_verifier", ""), 200, ""},
		"a code as refresh token":       {own, []string{"grant_type", "refresh_token", "refresh_token", code(id)}, 400, "invalid_grant"},
		"an unknown refresh token":      {own, []string{"grant_type", "refresh_token", "refresh_token", "x"}, 400, "invalid_grant"},
		"no refresh token":              {own, []string{"grant_type", "refresh_token"}, 400, "invalid_request"},
		"a public client, no verifier":  {nil, append(good(code(public)), "code_verifier", "", "client_id", public), 400, "invalid_grant"},
		"a public client":               {nil, append(good(code(public)), "client_id", public), 200, ""},
		"a public client with a secret": {nil, append(good(code(public)), "client_id", public, "client_secret", secret), 401, "invalid_client"},
		"a confidential one without":    {nil, append(good(code(id)), "client_id", id), 401, "invalid_client"},
	} {
		if status, got := d.exchange(t, c.lines, c.fields...); status != c.status || got.Error != c.code {
			t.Errorf("%s: %d %+v", name, status, got)
		}
	}
	// A code that comes again ends what it was good for.
	once := good(code(id))
	_, got := d.exchange(t, own, once...)
	if status, again := d.exchange(t, own, once...); status != 400 || again.Error != "invalid_grant" {
		t.Errorf("a code again: %d %+v", status, again)
	}
	if a := d.send(t, "GET", d.APIs["vaultwares"].URL+"/v1/devices", "Authorization: Bearer "+got.Access); a.status != 401 {
		t.Errorf("the token of a code that came again: %d %s", a.status, a.body)
	}
}

// V8: nobody signs in with a wrong password, or presses a button for somebody else.
func TestHostilePages(t *testing.T) {
	d := running(t, "", "paired")
	id, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--name", `<b>"Bold"</b>`, "--redirect", callback)
	at := d.authorizeURL(id)
	p, stranger := d.person(t), d.person(t)
	_, page, header := p.see(at)
	if strings.Contains(page, "<b>") || !strings.Contains(page, "&lt;b&gt;") {
		t.Errorf("the client's name is markup: %s", page)
	}
	for name, want := range map[string]string{"X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got := header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, fields := range map[string][]string{
		"a wrong password":    {"login", p.login, "password", "wrong"},
		"no password":         {"login", p.login},
		"nobody":              {"login", "nobody", "password", p.password},
		"in another case":     {"login", strings.ToUpper(p.login), "password", p.password},
		"a password too many": {"login", p.login, "password", p.password + " "},
	} {
		status, text, _ := p.press(at, page, append([]string{"step", "login"}, fields...)...)
		if status != 401 || !strings.Contains(text, "The login or the password is wrong.") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, _, _ := stranger.press(at, page, "step", "login", "login", p.login, "password", p.password); status != 403 {
		t.Errorf("the form of another browser: %d", status)
	}
	if status, _, _ := p.press(d.authorizeURL(id, "scope", "admin"), page, "step", "login", "login", p.login, "password", p.password); status != 403 {
		t.Errorf("the form of another request: %d", status)
	}
	if status, _, _ := p.press(at, "", "step", "login", "login", p.login, "password", p.password); status != 403 {
		t.Errorf("no form at all: %d", status)
	}
	if status, _, header := p.press(at, page, "step", "allow"); status != 303 || header.Get("Location") != strings.TrimPrefix(at, d.auth()) {
		t.Errorf("consent of nobody: %d %v", status, header)
	}
	p.consents(at)
	_, page, _ = p.see(at)
	_, _, header = p.press(at, page, "step", "deny")
	if to, _ := url.Parse(header.Get("Location")); to.Query().Get("error") != "access_denied" {
		t.Errorf("denied: %v", header)
	}
}
