package extauthz

import (
	"context"
	"slices"
	"testing"
	"time"

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

// liar knows no token.
type liar struct{ asked int }

func (l *liar) Verify(context.Context, *sallyport.API, string) (*sallyport.Credential, time.Time, error) {
	l.asked++
	return nil, time.Time{}, sallyport.ErrNotFound
}

// What is no token is refused as unknown, also when it comes again and is
// remembered as such: a stranger must never be answered as an outage.
func TestATokenThatIsNoneIsRememberedAsUnknown(t *testing.T) {
	g := newGate(t)
	verifier := new(liar)
	g.AcceptTokens(verifier)
	g.policy.APIs[0].Tokens = &sallyport.OwnTokens{}
	g.enforce()
	for range 3 {
		d := g.decide(get("/v1/orders", "authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln"))
		if d.Reason != sallyport.CredentialUnknown || d.Credential != nil {
			t.Errorf("got %v of %v", d.Reason, d.Credential)
		}
	}
	if verifier.asked != 1 {
		t.Errorf("verified %d times, want once", verifier.asked)
	}
}
