package extauthz

import (
	"slices"
	"testing"

	"github.com/sallyport/sallyport"
)

// A token does no more than was granted it, whatever its parent may; and what it
// may do and what the upstream is told of it are one.
func TestATokenHasNoMoreThanWasGranted(t *testing.T) {
	api := &sallyport.API{
		Scopes: []sallyport.Scope{{Name: "orders:read"}, {Name: "orders:write"}, {Name: "lines:read"}, {Name: "admin", GrantsAll: true}},
		Roles:  map[string][]string{"reader": {"orders:read", "lines:read"}, "chief": {"admin"}},
	}
	rules := &apiRules{API: api}
	all := []string{"orders:read", "orders:write", "lines:read", "admin"}
	tenant := &sallyport.Tenant{}
	for name, c := range map[string]struct {
		credential sallyport.Credential
		granted    []string
		want       []string
	}{
		"a client's scopes":               {sallyport.Credential{Scopes: []string{"admin"}}, []string{"orders:read"}, []string{"orders:read"}},
		"a client's role":                 {sallyport.Credential{Roles: []string{"chief"}}, []string{"orders:read"}, []string{"orders:read"}},
		"more than a role":                {sallyport.Credential{Roles: []string{"reader"}}, []string{"orders:read", "orders:write"}, []string{"orders:read"}},
		"a user's role":                   {sallyport.Credential{User: &sallyport.User{Roles: []string{"chief"}}}, []string{"lines:read"}, []string{"lines:read"}},
		"what a user granted, narrowed":   {sallyport.Credential{User: &sallyport.User{Roles: []string{"chief"}}, Scopes: []string{"orders:read", "orders:write"}}, []string{"orders:read"}, []string{"orders:read"}},
		"what was granted is the scope":   {sallyport.Credential{Roles: []string{"chief"}}, []string{"admin"}, all},
		"nothing":                         {sallyport.Credential{Roles: []string{"chief"}}, []string{}, nil},
		"all, where no scopes were asked": {sallyport.Credential{Roles: []string{"chief"}}, nil, all},
	} {
		one := c.credential
		one.Tenant, one.Token = tenant, &sallyport.Token{Granted: c.granted}
		var got, told []string
		var memory []string
		held := api.Rights(&memory, &one)
		for _, scope := range all {
			op := []string{scope} // whose holder may: the scope, and what grants it
			if scope != "admin" {
				op = append(op, "admin")
			}
			if rules.permits(&one, op) {
				got = append(got, scope)
			}
			if api.Holds(held, scope) {
				told = append(told, scope)
			}
		}
		if !slices.Equal(got, c.want) || !slices.Equal(told, c.want) {
			t.Errorf("%s: may %q, and the upstream is told %q; want %q", name, got, told, c.want)
		}
	}
}
