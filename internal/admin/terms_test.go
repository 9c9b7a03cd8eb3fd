package admin

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/sallyport/sallyport"
)

// Whoever acts for one tenant makes nobody whom the limits would pass over, for
// want of an attribute that others of the tenant have.
func TestATenantMakesNobodyUncounted(t *testing.T) {
	makes := map[string]struct{ path, body, at string }{
		"a key":           {"/admin/v1/keys", `{"api":"orders","tenant":"acme"}`, "body"},
		"an imported key": {"/admin/v1/keys/import", fmt.Sprintf(`{"keys":[{"api":"orders","tenant":"acme","sha256":"%064x"}]}`, 123), "body.keys[0]"},
		"a user":          {"/admin/v1/users", `{"api":"orders","tenant":"acme","id":"bob"}`, "body"},
		"a sender":        {"/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"shop"}`, "body"},
		"a key of a user": {"/admin/v1/keys", `{"api":"orders","tenant":"acme","prefix":"or_pat_","user":"ann"}`, "body"},
	}
	all := slices.Sorted(maps.Keys(makes))
	for _, test := range []struct {
		name, tenant, user string   // what an operator gave them
		missing            []string // attributes
		but                []string // what is made all the same
	}{
		{"nobody has any", `{}`, `{}`, []string{"team", "tier"}, nil},
		{"the tenant has one of them", `{"team":"red"}`, `{}`, []string{"tier"}, nil},
		{"the user has them", `{}`, `{"team":"red","tier":"gold"}`, []string{"team", "tier"}, []string{"a key of a user"}},
		{"one has each", `{"team":"red"}`, `{"tier":"gold"}`, []string{"tier"}, []string{"a key of a user"}},
		{"the tenant has them", `{"team":"red","tier":"gold"}`, `{}`, nil, nil},
		{"the operator wants the tenant's uncounted", `{"team":"","tier":""}`, `{}`, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t).withLimits()
			s.policy.APIs[0].Operations = append(s.policy.APIs[0].Operations, testPolicy().APIs[0].Operations...)
			call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"attributes":`+test.tenant+`}`)
			call[User](s, 200, "PATCH", "/admin/v1/users/orders/acme/ann", `{"attributes":`+test.user+`}`)
			operator := s.token
			s.withToken(sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "acme"})
			for _, what := range all {
				m := makes[what]
				if len(test.missing) == 0 || slices.Contains(test.but, what) {
					if w := s.serve(s.request("POST", m.path, m.body)); w.Code >= 300 {
						t.Errorf("%s: %d %s", what, w.Code, w.Body)
					}
					continue
				}
				where, _ := details(call[problem](s, 403, "POST", m.path, m.body))
				var want []string
				for _, name := range test.missing {
					want = append(want, m.at+".attributes."+name)
				}
				if !slices.Equal(where, want) {
					t.Errorf("%s: at %q, want %q", what, where, want)
				}
			}
			s.token = operator // who is free to make what is not counted
			call[CreatedKey](s, 201, "POST", "/admin/v1/keys", makes["a key"].body)
		})
	}
}

// A limit that counts those without the attribute passes nobody over.
func TestWhoIsCountedWithoutAnAttributeMayBeMade(t *testing.T) {
	s := newServer(t).withLimits()
	s.policy.API("orders").Limits = []*sallyport.Limit{
		{Name: "free", Per: []string{"credential"}, When: sallyport.When{Attributes: []sallyport.AttributeIs{{Name: "tier", Values: []string{"", "free"}}}}},
	}
	s.withToken(sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "acme"})
	call[CreatedKey](s, 201, "POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme"}`)
}

// A key that makes another by the API's own endpoint hands on what limits look
// at, and nothing else: the new one is counted as it is.
func TestAKeyHandsOnWhatItIsCountedBy(t *testing.T) {
	for given, want := range map[string]map[string]string{
		`{"team":"red","tier":"","color":"blue"}`: {"team": "red", "tier": ""},
		`{"color":"blue"}`:                        {},
	} {
		v := newServer(t).withLimits().withEndpoint(`"admin"`)
		v.id = v.newKey(`{"api":"orders","tenant":"acme","scopes":["admin"],"attributes":` + given + `}`).KeyID
		status, made := v.ask("POST", "/v1/api-keys", `{"permissions":["items:read"]}`)
		if status != 201 {
			t.Fatalf("%s: %d %v", given, status, made)
		}
		id, _ := made["key_id"].(string)
		if got := call[Key](v.server, 200, "GET", "/admin/v1/keys/"+id, "").Attributes; !maps.Equal(got, want) {
			t.Errorf("made by one of %s: %v, want %v", given, got, want)
		}
	}
}
