package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"
)

const formType = "Content-Type: application/x-www-form-urlencoded"

// client makes an OAuth client and returns its id and secret.
func (d *demo) newOAuthClient(t *testing.T, api, tenant string, flags ...string) (id, secret string) {
	t.Helper()
	var made struct {
		ClientID string `json:"client_id"`
		Secret   string `json:"client_secret"`
	}
	out := d.cli(t, append([]string{"client", "create", "--json", "--api", api, "--tenant", tenant}, flags...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("client create printed %q: %v", out, err)
	}
	return made.ClientID, made.Secret
}

// newTenant makes a tenant with limits of its own.
func (d *demo) newTenant(t *testing.T, api string) (id string) {
	t.Helper()
	id = fmt.Sprintf("org_%d", time.Now().UnixNano())
	d.cli(t, "tenant", "create", "--api", api, "--id", id)
	return id
}

func basic(id, secret string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// A1: whatever is wrong with a request for a token gets the error that the RFC
// names, and no token.
func TestHostileTokenRequests(t *testing.T) {
	d := running(t, "", "paired")
	at := d.APIs["aivric"].URL + "/oauth2/token"
	id, secret := d.newOAuthClient(t, "aivric", d.newTenant(t, "aivric"), "--role", "Read-Only")
	otherID, _ := d.newOAuthClient(t, "aivric", d.newTenant(t, "aivric"), "--role", "Administrator")
	own := "client_id=" + id + "&client_secret=" + secret
	good := "grant_type=client_credentials&" + own
	for _, c := range []struct {
		name, body string
		lines      []string
		status     int
		code       string
	}{
		{"credentials in the body", good, []string{formType}, 200, ""},
		{"a charset", good, []string{formType + "; charset=UTF-8"}, 200, ""},
		{"credentials as Basic", "grant_type=client_credentials", []string{formType, basic(id, secret)}, 200, ""},
		{"basic in lower case", "grant_type=client_credentials", []string{formType, strings.Replace(basic(id, secret), "Basic", "basic", 1)}, 200, ""},
		{"Basic and its own id in the body", "grant_type=client_credentials&client_id=" + id, []string{formType, basic(id, secret)}, 200, ""},
		{"an empty scope", good + "&scope=", []string{formType}, 200, ""},
		{"a parameter that nobody knows", good + "&resource=x", []string{formType}, 200, ""},
		{"a scope of its role's", good + "&scope=findings:read+posture:read", []string{formType}, 200, ""},

		{"Basic and body at once", good, []string{formType, basic(id, secret)}, 400, "invalid_request"},
		{"Basic of another than the body", "grant_type=client_credentials&client_id=" + otherID, []string{formType, basic(id, secret)}, 400, "invalid_request"},
		{"no secret", "grant_type=client_credentials&client_id=" + id, []string{formType}, 401, "invalid_client"},
		{"no client", "grant_type=client_credentials", []string{formType}, 401, "invalid_client"},
		{"a wrong secret", "grant_type=client_credentials&client_id=" + id + "&client_secret=x", []string{formType}, 401, "invalid_client"},
		{"another's secret", "grant_type=client_credentials&client_id=" + otherID + "&client_secret=" + secret, []string{formType}, 401, "invalid_client"},
		{"the secret with a space", good + "%20", []string{formType}, 401, "invalid_client"},
		{"the secret in capitals", "grant_type=client_credentials&client_id=" + id + "&client_secret=" + strings.ToUpper(secret), []string{formType}, 401, "invalid_client"},
		{"broken Basic", "grant_type=client_credentials", []string{formType, "Authorization: Basic !!!"}, 401, "invalid_client"},
		{"Basic without a colon", "grant_type=client_credentials", []string{formType, "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(id))}, 401, "invalid_client"},
		{"Bearer", "grant_type=client_credentials", []string{formType, "Authorization: Bearer " + secret}, 401, "invalid_client"},

		{"no grant type", own, []string{formType}, 400, "invalid_request"},
		{"an empty grant type", own + "&grant_type=", []string{formType}, 400, "invalid_request"},
		{"a grant type twice", good + "&grant_type=client_credentials", []string{formType}, 400, "invalid_request"},
		{"a client id twice", good + "&client_id=" + id, []string{formType}, 400, "invalid_request"},
		{"a scope twice", good + "&scope=a&scope=b", []string{formType}, 400, "invalid_request"},
		{"a password grant", own + "&grant_type=password&username=a&password=b", []string{formType}, 400, "unsupported_grant_type"},
		{"a grant type in capitals", own + "&grant_type=CLIENT_CREDENTIALS", []string{formType}, 400, "unsupported_grant_type"},
		{"an extension grant", own + "&grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x", []string{formType}, 400, "unsupported_grant_type"},
		{"a code", own + "&grant_type=authorization_code&code=x", []string{formType}, 400, "unsupported_grant_type"},

		{"a scope that its role lacks", good + "&scope=findings:write", []string{formType}, 400, "invalid_scope"},
		{"all scopes", good + "&scope=*", []string{formType}, 400, "invalid_scope"},
		{"an unknown scope", good + "&scope=nope", []string{formType}, 400, "invalid_scope"},
		{"a good scope and an unknown one", good + "&scope=findings:read+nope", []string{formType}, 400, "invalid_scope"},

		{"JSON", `{"grant_type":"client_credentials"}`, []string{"Content-Type: application/json"}, 400, "invalid_request"},
		{"no type", good, []string{"Content-Type: "}, 400, "invalid_request"},
		{"multipart", good, []string{"Content-Type: multipart/form-data; boundary=x"}, 400, "invalid_request"},
		{"a broken escape", good + "&scope=%zz", []string{formType}, 400, "invalid_request"},
		{"a NUL", good + "&scope=a%00b", []string{formType}, 400, "invalid_request"},
		{"a line feed", good + "&scope=a%0ab", []string{formType}, 400, "invalid_request"},
		{"not UTF-8", good + "&scope=%ff", []string{formType}, 400, "invalid_request"},
		{"a huge parameter", good + "&scope=" + strings.Repeat("x", 20<<10), []string{formType}, 400, "invalid_request"},
		{"a huge body", good + "&scope=" + strings.Repeat("x", 100<<10), []string{formType}, 413, "invalid_request"},
	} {
		if c.status == 200 || c.code == "unsupported_grant_type" || c.code == "invalid_scope" {
			// These prove who they are and count: twenty a minute are a tenant's.
			id2, secret2 := d.newOAuthClient(t, "aivric", d.newTenant(t, "aivric"), "--role", "Read-Only")
			r := strings.NewReplacer(id, id2, secret, secret2, basic(id, secret), basic(id2, secret2))
			c.body = r.Replace(c.body)
			for i := range c.lines {
				line := r.Replace(c.lines[i])
				if line == c.lines[i] { // a scheme in another case
					line = strings.Replace(line, strings.TrimPrefix(basic(id, secret), "Authorization: Basic "), strings.TrimPrefix(basic(id2, secret2), "Authorization: Basic "), 1)
				}
				c.lines[i] = line
			}
		}
		a, err := d.try("POST", at, c.body, c.lines...)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got struct {
			Token string `json:"access_token"`
			Error string
		}
		if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != c.status || got.Error != c.code || (got.Token != "") != (c.status == 200) {
			t.Errorf("%s: %d %s", c.name, a.status, a.body)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" || a.status == 401 && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s: %v", c.name, a.header)
		}
		if strings.Contains(a.body, secret) {
			t.Errorf("%s: the answer holds the secret: %s", c.name, a.body)
		}
	}
	if a, _ := d.try("POST", at+"?"+good, good, formType); a.status != 400 {
		t.Errorf("parameters in the URL: %d %s", a.status, a.body)
	}
}

// A5: a tenant's clients get twenty tokens a minute together; whoever only fails
// takes none of them, and is limited by address and client.
func TestTheTokenEndpointIsLimited(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "", chain)
			at := d.APIs["aivric"].URL + "/oauth2/token"
			inOneMinute(func() {
				tenant := d.newTenant(t, "aivric")
				one, _ := d.newOAuthClient(t, "aivric", tenant, "--role", "Read-Only")
				two, twoSecret := d.newOAuthClient(t, "aivric", tenant, "--role", "Read-Only")
				wrong := "grant_type=client_credentials&client_secret=x&client_id=" + one
				seen := map[int]int{}
				for range 31 {
					a, err := d.try("POST", at, wrong, formType)
					if err != nil {
						t.Fatal(err)
					}
					seen[a.status]++
					if a.status == 429 {
						if wait := retryAfter(t, a); wait < 1 || wait > 60 || errorCode(t, a) != "rate_limited" {
							t.Errorf("retry after %d: %s", wait, a.body)
						}
					}
				}
				if seen[401] != 30 || seen[429] != 1 {
					t.Errorf("guesses: %v, want 30 and then 429", seen)
				}
				// The other client of the same address and tenant is nobody's guess.
				seen = map[int]int{}
				for range 21 {
					a, err := d.try("POST", at, "grant_type=client_credentials&client_id="+two+"&client_secret="+twoSecret, formType)
					if err != nil {
						t.Fatal(err)
					}
					seen[a.status]++
				}
				if seen[200] != 20 || seen[429] != 1 {
					t.Errorf("tokens: %v, want 20 and then 429", seen)
				}
			}, t)
		})
	}
}

// G4: what ends a client ends its tokens, before the call that did so returns.
func TestTokensEndWithTheirParents(t *testing.T) {
	d := running(t, "", "paired")
	at := d.APIs["aivric"].URL
	for name, end := range map[string]func(tenant, id string){
		"revoked":   func(_, id string) { d.cli(t, "client", "revoke", id) },
		"disabled":  func(_, id string) { d.cli(t, "client", "disable", id) },
		"rolled":    func(_, id string) { d.cli(t, "client", "roll", "--grace", "1h", id) },
		"its role":  func(_, id string) { d.cli(t, "client", "update", "--role", "Administrator", id) },
		"suspended": func(tenant, _ string) { d.cli(t, "tenant", "disable", "--api", "aivric", "--id", tenant) },
	} {
		tenant := d.newTenant(t, "aivric")
		id, secret := d.newOAuthClient(t, "aivric", tenant, "--role", "Read-Only")
		a, err := d.try("POST", at+"/oauth2/token", "grant_type=client_credentials", formType, basic(id, secret))
		if err != nil || a.status != 200 {
			t.Fatalf("%s: %d %s %v", name, a.status, a.body, err)
		}
		bearer := "Authorization: Bearer " + a.json(t)["access_token"].(string)
		for range 2 { // the second is from the cache
			if a := d.send(t, "GET", at+"/v1/integrations", bearer); a.status != 200 {
				t.Fatalf("%s: before: %d %s", name, a.status, a.body)
			}
		}
		end(tenant, id)
		if a := d.send(t, "GET", at+"/v1/integrations", bearer); a.status != 401 {
			t.Errorf("%s: after: %d %s", name, a.status, a.body)
		}
	}
}
