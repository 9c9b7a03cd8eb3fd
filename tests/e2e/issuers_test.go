package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
)

// issuers is a gate that accepts the tokens of three: one whose keys are at a URL,
// one whose keys are in a file, and one who is asked.
type issuers struct {
	*server
	gateway             *demo
	keys, file, answers *testenv.Issuer
}

func newIssuers(t *testing.T, chain string) *issuers {
	t.Helper()
	i := &issuers{keys: testenv.NewIssuer(t), file: testenv.NewIssuer(t), answers: testenv.NewIssuer(t)}
	const form = `read: [{header: Authorization, scheme: Bearer}]
      tokens:
        - {issuer: "%[1]s", jwks: "%[1]s/keys", ca: "%[2]s", audience: api, algorithms: [EdDSA], claims: {tenant: org.id, scopes: roles, scope_map: {reader: "orders:read"}, plan: tier}}
        - {issuer: "%[3]s", jwks: FOLDER/keys.json, audience: api, claims: {fixed_tenant: t1}}
        - issuer: "%[4]s"
          ca: "%[5]s"
          introspection: {url: "%[4]s/introspect", client: %[6]s, secret: {file: FOLDER/secret}}
          claims: {fixed_tenant: t1}`
	text := fmt.Sprintf(form, i.keys.URL, i.keys.CA, i.file.URL, i.answers.URL, i.answers.CA, testenv.IssuerClient)
	i.server, i.gateway = newGateWith(t, chain, func(s *server) {
		s.write("keys.json", i.file.KeySet())
		s.write("secret", testenv.IssuerSecret+"\n")
		s.edit("read: [{header: X-API-Key}]", strings.ReplaceAll(text, "FOLDER", s.folder))
		s.edit("plans: {big: [1000000/1h]}", "plans: {big: [1000000/1h], small: [2/1h]}")
	})
	return i
}

func (i *issuers) get(t *testing.T, token string) answer {
	t.Helper()
	return i.gateway.send(t, "GET", i.gateway.Gateway+"/v1/orders", ordersHost, "Authorization: Bearer "+token)
}

// ofReader returns a token that may read orders of t1, saying more besides.
func (i *issuers) ofReader(more map[string]any) string {
	claims := map[string]any{"org": map[string]any{"id": "t1"}, "roles": []string{"reader", "other"}}
	for name, value := range more {
		claims[name] = value
	}
	return i.keys.JWT(claims)
}

func (i *issuers) logs(t *testing.T, what string) {
	t.Helper()
	eventually(t, "the log says "+what, func() bool { return strings.Contains(i.log.String(), what) })
}

// Tokens of outside issuers are judged as keys are, by what their claims mean here.
func TestTokensOfIssuers(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			i := newIssuers(t, chain)
			token := i.ofReader(nil)
			var asked int
			for n := range 3 {
				a := i.get(t, token)
				headers, _ := a.json(t)["headers"].(map[string]any)
				if a.status != 200 || headers["x-sallyport-principal"] != "ann" || headers["x-sallyport-tenant"] != "t1" || headers["authorization"] != nil {
					t.Fatalf("use %d: %d %s", n, a.status, a.body)
				}
				if n == 0 {
					asked = i.keys.Asked()
				}
			}
			if got := i.keys.Asked(); got != asked {
				t.Errorf("later uses asked the issuer %d times", got-asked)
			}
			for _, c := range []struct {
				name, token string
				status      int
			}{
				{"no role of ours", i.ofReader(map[string]any{"roles": "other"}), 403},
				{"another audience", i.ofReader(map[string]any{"aud": "elsewhere"}), 401},
				{"an unknown tenant", i.ofReader(map[string]any{"org": map[string]any{"id": "t2"}}), 401},
				{"no tenant", i.ofReader(map[string]any{"org": "t1"}), 401},
				{"expired", i.ofReader(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), 401},
				{"another's signature", i.file.JWT(map[string]any{"iss": i.keys.URL, "org": map[string]any{"id": "t1"}}), 401},
				{"cut", token[:len(token)-8], 401},
				{"a key's file", i.file.JWT(map[string]any{"scope": "orders:read"}), 200},
				{"unknown and opaque", "3f1c", 401},
			} {
				if a := i.get(t, c.token); a.status != c.status {
					t.Errorf("%s: got %d %s, want %d", c.name, a.status, a.body, c.status)
				}
			}
			i.logs(t, "caller.credential.expired")
			i.logs(t, "aud names others")

			small := i.ofReader(map[string]any{"sub": "bob", "tier": "small"})
			for n, want := range []int{200, 200, 429} {
				if a := i.get(t, small); a.status != want {
					t.Errorf("a small plan, request %d: got %d, want %d", n, a.status, want)
				}
			}
			i.cli("tenant", "disable", "--api", "orders", "--id", "t1")
			if a := i.get(t, token); a.status != 401 {
				t.Errorf("its tenant is suspended: got %d", a.status)
			}
		})
	}
}

// Opaque tokens are asked about once while the answer holds, and an issuer who does
// not answer is our failure and nobody's pass.
func TestOpaqueTokensOfIssuers(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			i := newIssuers(t, chain)
			i.answers.Opaque("3f1c", map[string]any{"scope": "orders:read"})
			for n := range 3 {
				if a := i.get(t, "3f1c"); a.status != 200 {
					t.Fatalf("use %d: %d %s", n, a.status, a.body)
				}
			}
			if n := i.answers.Asked(); n != 1 {
				t.Errorf("the issuer was asked %d times", n)
			}
			i.answers.SetDown(true)
			if a := i.get(t, "3f1c"); a.status != 200 {
				t.Errorf("known, while its issuer is down: got %d", a.status)
			}
			if a := i.get(t, "77aa"); a.status != 503 {
				t.Errorf("unknown, while its issuer is down: got %d", a.status)
			}
			i.logs(t, "gate.issuer.failed")
			i.answers.SetDown(false)
			if a := i.get(t, "77aa"); a.status != 401 {
				t.Errorf("unknown, when its issuer is back: got %d", a.status)
			}
			if token := i.ofReader(nil); i.get(t, token).status != 200 {
				t.Error("a JWT beside: not 200")
			}
		})
	}
}

// What an issuer takes back, and what the file no longer says, holds for tokens that
// are known already.
func TestIssuersTakeBack(t *testing.T) {
	i := newIssuers(t, "fused")
	ofFile, ofKeys := i.file.JWT(map[string]any{"scope": "orders:read"}), i.ofReader(nil)
	for _, token := range []string{ofFile, ofKeys} {
		if a := i.get(t, token); a.status != 200 {
			t.Fatalf("at first: %d %s", a.status, a.body)
		}
	}
	i.file.Rotate()
	i.write("keys.json", i.file.KeySet())
	eventually(t, "401 after its key was taken back", func() bool { return i.get(t, ofFile).status == 401 })
	if a := i.get(t, i.file.JWT(map[string]any{"scope": "orders:read"})); a.status != 200 {
		t.Errorf("signed by the new key: %d %s", a.status, a.body)
	}
	if a := i.get(t, ofKeys); a.status != 200 {
		t.Errorf("of another issuer: %d", a.status)
	}
	i.edit("audience: api, algorithms", "audience: other, algorithms")
	eventually(t, "401 after the file asks for another audience", func() bool { return i.get(t, ofKeys).status == 401 })
	if a := i.get(t, i.ofReader(map[string]any{"aud": "other"})); a.status != 200 {
		t.Errorf("for the new audience: %d %s", a.status, a.body)
	}
}
