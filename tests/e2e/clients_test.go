package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/sallyport/sallyport/internal/testenv"
)

// over lets the libraries speak through the client of d.
func (d *demo) over(t *testing.T) context.Context {
	return oidc.ClientContext(t.Context(), d.client) // oauth2 reads the same key
}

// refusal fails the test unless err is the error of OAuth that is called code.
func refusal(t *testing.T, what string, err error, status int, code string) {
	t.Helper()
	var told *oauth2.RetrieveError
	if !errors.As(err, &told) {
		t.Errorf("%s: %v is no error of a token endpoint", what, err)
	} else if told.ErrorCode != code || told.Response.StatusCode != status || told.ErrorDescription == "" {
		t.Errorf("%s: %d %q (%s), want %d %q", what, told.Response.StatusCode, told.ErrorCode, told.ErrorDescription, status, code)
	}
}

// A1: Go's usual client gets tokens for itself in both ways to say who it is,
// calls the API with them, and understands why it gets none.
func TestClientCredentialsWithTheUsualClient(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "", chain)
			api, ctx := d.APIs["aivric"].URL, d.over(t)
			id, secret := d.newOAuthClient(t, "aivric", d.newTenant(t, "aivric"), "--role", "Read-Only")
			for name, style := range map[string]oauth2.AuthStyle{
				"header": oauth2.AuthStyleInHeader, "body": oauth2.AuthStyleInParams, "found out": oauth2.AuthStyleAutoDetect,
			} {
				c := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: api + "/oauth2/token", AuthStyle: style}
				source := c.TokenSource(ctx)
				first, err := source.Token()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if left := time.Until(first.Expiry); first.Type() != "Bearer" || left > time.Hour || left < 50*time.Minute {
					t.Errorf("%s: %s, good for %s", name, first.Type(), left)
				}
				if again, err := source.Token(); err != nil || again.AccessToken != first.AccessToken {
					t.Errorf("%s: a token that is good was not used again: %v", name, err)
				}
				if resp, err := oauth2.NewClient(ctx, source).Get(api + "/v1/integrations"); err != nil || resp.StatusCode != 200 {
					t.Errorf("%s: the API: %v %v", name, resp, err)
				} else {
					resp.Body.Close()
				}

				c.Scopes = []string{"findings:read"}
				if narrow, err := c.Token(ctx); err != nil {
					t.Errorf("%s: with a scope: %v", name, err)
				} else if a := d.send(t, "GET", api+"/v1/integrations", "Authorization: "+narrow.Type()+" "+narrow.AccessToken); a.status != 403 {
					t.Errorf("%s: a scope that was not asked for: %d %s", name, a.status, a.body)
				}
				c.Scopes = []string{"findings:write"}
				_, err = c.Token(ctx)
				refusal(t, name+", a scope too many", err, 400, "invalid_scope")
				c.ClientSecret = "wrong"
				_, err = c.Token(ctx)
				refusal(t, name+", a wrong secret", err, 401, "invalid_client")
			}
		})
	}
}

// V8: Go's usual client takes a user through the pages by S256, refreshes when a
// token has expired, and understands why it gets none.
func TestAuthorizationCodeWithTheUsualClient(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			d := running(t, "", chain)
			ctx := d.over(t)
			id, secret := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback)
			public, _ := d.newOAuthClient(t, "vaultwares", "org_enterprise", "--redirect", callback, "--public")
			for name, c := range map[string]oauth2.Config{
				"header": {ClientID: id, ClientSecret: secret, Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInHeader}},
				"body":   {ClientID: id, ClientSecret: secret, Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInParams}},
				"public": {ClientID: public, Endpoint: oauth2.Endpoint{AuthStyle: oauth2.AuthStyleInParams}},
			} {
				t.Run(name, func(t *testing.T) {
					c.Endpoint.AuthURL, c.Endpoint.TokenURL = d.auth()+"/oauth/authorize", d.auth()+"/oauth/token"
					c.RedirectURL, c.Scopes = callback, []string{"devices:read", "policies:read"}
					codeFlow(t, ctx, d, &c)
				})
			}
		})
	}
}

// codeFlow takes a user through the pages for c, uses what comes of it and
// refreshes it.
func codeFlow(t *testing.T, ctx context.Context, d *demo, c *oauth2.Config) {
	p, api := d.person(t), d.APIs["vaultwares"].URL
	code := func(verifier string) string {
		return p.consents(c.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier))).Get("code")
	}
	verifier := oauth2.GenerateVerifier()
	one := code(verifier)
	got, err := c.Exchange(ctx, one, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(got.Expiry); got.Type() != "Bearer" || got.RefreshToken == "" || left > time.Hour || left < 50*time.Minute {
		t.Errorf("got %s, good for %s", got.Type(), left)
	}
	reads := func(token *oauth2.Token) int {
		return d.send(t, "GET", api+"/v1/devices", "Authorization: "+token.Type()+" "+token.AccessToken).status
	}
	if status := reads(got); status != 200 {
		t.Errorf("the token: %d", status)
	}

	old := *got
	old.Expiry = time.Now().Add(-time.Minute) // so that the library asks for another
	source := c.TokenSource(ctx, &old)
	second, err := source.Token()
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	if second.RefreshToken == got.RefreshToken || second.AccessToken == got.AccessToken || reads(second) != 200 {
		t.Errorf("refreshed: the same again, or no token that is good")
	}
	if third, err := source.Token(); err != nil || third.AccessToken != second.AccessToken {
		t.Errorf("a token that is good was refreshed: %v", err)
	}
	_, err = c.TokenSource(ctx, &old).Token() // with the refresh token that was used
	refusal(t, "a refresh token again", err, 400, "invalid_grant")
	if status := reads(second); status != 401 {
		t.Errorf("the reuse left a token of the family: %d", status)
	}

	_, err = c.Exchange(ctx, one, oauth2.VerifierOption(verifier))
	refusal(t, "a code again", err, 400, "invalid_grant")
	_, err = c.Exchange(ctx, code(verifier), oauth2.VerifierOption(oauth2.GenerateVerifier()))
	refusal(t, "a wrong verifier", err, 400, "invalid_grant")
	_, err = c.Exchange(ctx, code(verifier))
	refusal(t, "no verifier", err, 400, "invalid_grant")
	if c.ClientSecret != "" {
		c.ClientSecret = "wrong"
		_, err = c.Exchange(ctx, code(verifier), oauth2.VerifierOption(verifier))
		refusal(t, "a wrong secret", err, 401, "invalid_client")
	}
}

// issuing are edits to the server's configuration: it gives out tokens and says
// how to verify them.
var issuing = []string{
	"read: [{header: X-API-Key}]", "read: [{header: X-API-Key}, {header: Authorization, scheme: Bearer}]",
	"keys: [{prefix: ord_live_, environment: live}]", `keys: [{prefix: ord_live_, environment: live}, {prefix: ord_client_, kind: client}]
      tokens: [{issuer: self, algorithm: EdDSA, lifetime: 1h}]`,
	"operations: [{GET: /v1/orders, scope: orders:read}]", `operations: [{GET: /v1/orders, scope: orders:read}]
    endpoints:
      - {POST: /oauth/token, serve: oauth2_token, grants: [client_credentials]}
      - {GET: /.well-known/oauth-authorization-server, serve: oauth2_metadata}
      - {GET: /oauth/jwks, serve: jwks}`,
}

// A1, V8: what the server says of itself (RFC 8414) is enough for an OpenID client to
// verify its tokens, with each algorithm that has a public key; and a key that
// comes later is found by who has kept the set.
func TestTokensVerifyWithAnOpenIDClient(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			s, g := newGateOn(t, chain, issuing...)
			ctx := g.over(t)
			issuer := strings.Replace(g.Gateway, "127.0.0.1", "api.orders.test", 1)
			id, secret := (&demo{Admin: struct{ URL, Token string }{s.http, serverToken}}).newOAuthClient(t, "orders", "t1", "--scopes", "orders:read")
			discovered := discover(t, g, issuer)
			keys := oidc.NewRemoteKeySet(ctx, discovered.JWKSURL)
			c := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: discovered.TokenURL}

			var before []string // tokens of the algorithms before
			for i, algorithm := range []string{oidc.EdDSA, oidc.ES256, oidc.RS256} {
				if i > 0 {
					s.edit("algorithm: "+[]string{oidc.EdDSA, oidc.ES256}[i-1], "algorithm: "+algorithm)
					s.cli("reload")
				}
				got, err := c.Token(ctx)
				if err != nil {
					t.Fatalf("%s: %v", algorithm, err)
				}
				verifies(t, ctx, keys, issuer, algorithm, id, got)
				taken(t, g, algorithm, issuer+"/v1/orders", got.AccessToken)
				for _, token := range before {
					if _, err := keys.VerifySignature(ctx, token); err != nil {
						t.Errorf("%s: a token from before: %v", algorithm, err)
					}
					taken(t, g, algorithm+", a token from before", issuer+"/v1/orders", token)
				}
				before = append(before, got.AccessToken)
			}
		})
	}
}

// taken fails the test unless the API takes token. 503 is no refusal: Envoy had no
// answer from the gate in time, as happens on a machine with other things to do.
func taken(t *testing.T, g *demo, what, at, token string) {
	t.Helper()
	var a answer
	testenv.Await(t, "an answer of the gate", func() bool {
		a = g.send(t, "GET", at, "Authorization: Bearer "+token)
		return a.status != 503
	})
	if a.status != 200 {
		t.Errorf("%s: the API: %d %s", what, a.status, a.body)
	}
}

// discover reads the server's metadata as an OpenID client does.
func discover(t *testing.T, g *demo, issuer string) oidc.ProviderConfig {
	t.Helper()
	a := g.send(t, "GET", issuer+"/.well-known/oauth-authorization-server")
	var c oidc.ProviderConfig
	if err := json.Unmarshal([]byte(a.body), &c); err != nil || a.status != 200 {
		t.Fatalf("metadata: %d %s: %v", a.status, a.body, err)
	}
	if c.IssuerURL != issuer {
		t.Errorf("the issuer is %q, want %q", c.IssuerURL, issuer)
	}
	for name, at := range map[string]string{"token endpoint": c.TokenURL, "key set": c.JWKSURL} {
		if u, err := url.Parse(at); err != nil || !strings.HasPrefix(at, issuer+"/") {
			t.Errorf("the %s is at %v", name, u)
		}
	}
	if c.AuthURL != "" {
		t.Errorf("there is an authorization endpoint at %q", c.AuthURL)
	}
	return c
}

// verifies fails the test unless the library takes got as a token of this issuer,
// audience and algorithm, and as none of others.
func verifies(t *testing.T, ctx context.Context, keys oidc.KeySet, issuer, algorithm, client string, got *oauth2.Token) {
	t.Helper()
	const audience = "https://api.orders.test"
	good := oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{algorithm}}
	token, err := oidc.NewVerifier(issuer, keys, &good).Verify(ctx, got.AccessToken)
	if err != nil {
		t.Fatalf("%s: %v", algorithm, err)
	}
	var claims struct {
		Client string `json:"client_id"`
		ID     string `json:"jti"`
	}
	if err := token.Claims(&claims); err != nil || claims.Client != client || claims.ID == "" || token.Subject == "" {
		t.Errorf("%s: %+v for %q: %v", algorithm, claims, token.Subject, err)
	}
	if d := token.Expiry.Sub(got.Expiry); d > 5*time.Second || d < -5*time.Second {
		t.Errorf("%s: the token says %s, its answer %s", algorithm, token.Expiry, got.Expiry)
	}
	parts := strings.Split(got.AccessToken, ".")
	for name, c := range map[string]struct {
		issuer, token string
		config        oidc.Config
	}{
		"another audience":    {issuer, got.AccessToken, oidc.Config{ClientID: "https://api.other.test", SupportedSigningAlgs: good.SupportedSigningAlgs}},
		"another issuer":      {"http://auth.other.test", got.AccessToken, good},
		"another algorithm":   {issuer, got.AccessToken, oidc.Config{ClientID: audience, SupportedSigningAlgs: []string{oidc.PS256}}},
		"after it expired":    {issuer, got.AccessToken, oidc.Config{ClientID: audience, SupportedSigningAlgs: good.SupportedSigningAlgs, Now: func() time.Time { return token.Expiry.Add(time.Second) }}},
		"another's signature": {issuer, parts[0] + "." + parts[1] + "." + strings.Repeat("A", len(parts[2])), good},
	} {
		if _, err := oidc.NewVerifier(c.issuer, keys, &c.config).Verify(ctx, c.token); err == nil {
			t.Errorf("%s: %s is taken", algorithm, name)
		}
	}
}
