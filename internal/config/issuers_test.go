package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// Tokens of others: what stands in the file comes out as written, and the rest is
// what one would expect.
func TestIssuers(t *testing.T) {
	text := strings.Replace(minimal, "[{prefix: orders_live_}]", `[{prefix: orders_live_}]
      tokens:
        - {issuer: "https://login.example.com/", jwks: "https://login.example.com/keys", audience: https://api.example.com, claims: {tenant: org.id}}
        - issuer: https://sso.example.com
          introspection: {url: "https://sso.example.com/introspect", client: gate, secret: {env: SSO_SECRET}, secret_in: body, keep: 10s}
          audience: [a, b]
          leeway: 1m
          claims: {fixed_tenant: acme, user: email, scopes: realm_access.roles, scope_map: {reader: "orders:read"}, plan: "https://example.com/plan", plan_map: {"1": gold}}
        - {issuer: "https://files.example.com", jwks: /etc/keys.json, algorithms: [ES256], audience: a, claims: {fixed_tenant: acme}}`, 1) + "    plans: [gold]\n"
	got := parse(t, text).Policy.APIs[0].Issuers
	want := []sallyport.Issuer{
		{
			URL: "https://login.example.com/", Keys: "https://login.example.com/keys", Audience: []string{"https://api.example.com"},
			Leeway: 30 * time.Second, Claims: sallyport.Claims{Tenant: "org.id"},
		},
		{
			URL: "https://sso.example.com", Audience: []string{"a", "b"}, Leeway: time.Minute,
			Introspect: &sallyport.Introspect{
				URL: "https://sso.example.com/introspect", Client: "gate", Secret: sallyport.SecretPlace{Env: "SSO_SECRET"}, InBody: true, Keep: 10 * time.Second,
			},
			Claims: sallyport.Claims{
				FixedTenant: "acme", User: "email", Scopes: "realm_access.roles", ScopeMap: map[string]string{"reader": "orders:read"},
				Plan: "https://example.com/plan", PlanMap: map[string]string{"1": "gold"},
			},
		},
		{
			URL: "https://files.example.com", Keys: "/etc/keys.json", Audience: []string{"a"}, Algorithms: []string{"ES256"},
			Leeway: 30 * time.Second, Claims: sallyport.Claims{FixedTenant: "acme"},
		},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("issuer %d: got\n%+v\nwant\n%+v", i, got[i], want[i])
		}
	}
}
