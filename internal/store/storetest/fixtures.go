package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sallyport/sallyport"
)

// created is a time that a store keeps exactly.
var created = time.UnixMilli(1_770_000_000_123).UTC()

func tenant(id string) sallyport.Tenant {
	return sallyport.Tenant{
		ID: id, API: "orders", Name: "Acme & Söhne", Plan: "custom", State: sallyport.Active,
		Limits: map[string][]sallyport.Window{
			"requests": {{Max: 1<<64 - 1, Length: time.Minute, Burst: 15}, {Max: 0, Length: 1000 * time.Hour}},
			"writes":   {{Max: 3, Length: time.Second}},
			"nothing":  nil,
		},
		Overrides:  overrides(),
		Roles:      map[string][]string{"Prüfer <&>": {"devices:read", "größe:<&>"}, "nothing": nil},
		Attributes: map[string]string{"region": "eu <1>", "": ""},
		CreatedAt:  created,
	}
}

// overrides are of every kind, with windows of every kind, also such as no
// operator can write.
func overrides() map[string]sallyport.Windows {
	return map[string]sallyport.Windows{
		"requests": {List: []sallyport.Window{
			{Max: 1, Length: time.Minute, Algorithm: sallyport.Sliding},
			{Max: 2, Length: time.Minute, Algorithm: sallyport.Bucket},
			{Max: 3, Length: 90 * time.Second, Algorithm: sallyport.Bucket, Burst: 1000},
			{Max: 4, Calendar: sallyport.Day},
			{Max: 5, Calendar: sallyport.Week, Zone: "Europe/Berlin"},
			{Max: 1<<64 - 1, Calendar: sallyport.Month, Zone: "Größe <&>"},
			{Length: time.Hour, Calendar: sallyport.Month, Algorithm: sallyport.Sliding, Burst: 1<<32 - 1},
			{},
		}},
		"Größe <&>": {Unlimited: true},
		"nothing":   {},
	}
}

func user(id, tenantID string) sallyport.User {
	return sallyport.User{
		ID: id, API: "orders", Tenant: tenantID, Service: true, Name: "Jo & Söhne", Roles: []string{"reader", "Prüfer <&>"},
		Off: []string{"Findings"}, State: sallyport.Active, Attributes: map[string]string{"team": "a<b"}, CreatedAt: created,
	}
}

// token is a personal access token of a user.
func token(id, tenantID, userID string) sallyport.Credential {
	c := credential(id, tenantID)
	c.Kind, c.User = sallyport.KindPAT, &sallyport.User{ID: userID}
	return c
}

func credential(id, tenantID string) sallyport.Credential {
	return sallyport.Credential{
		ID: id, API: "orders", Tenant: &sallyport.Tenant{ID: tenantID, API: "orders"},
		Kind: "key", Name: "build <server>", Principal: "user_1", Environment: "live",
		Access: sallyport.Read, Sandbox: true, Scopes: []string{"devices:read", "*", "größe:<&>"}, Roles: []string{"reader <&>"},
		State: sallyport.Active, Prefix: "orders_live_", Last4: "a1B2", Unchecked: true,
		AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")},
		Attributes: map[string]string{"owner": "<me>"},
		Plan:       "größer <&>", Overrides: overrides(), Cause: "no cause <&>",
		CreatedAt: created, ExpiresAt: created.Add(90 * 24 * time.Hour),
	}
}

// kept is c as a store returns it: with its tenant, its user and its networks.
func kept(c sallyport.Credential, t sallyport.Tenant, u *sallyport.User) *sallyport.Credential {
	c.Tenant, c.User, c.Networks = &t, u, sallyport.NewNetworks(c.AllowedIPs)
	return &c
}

// with is c to be kept, with a secret.
func with(c sallyport.Credential, secret string) sallyport.NewCredential {
	return sallyport.NewCredential{Credential: c, Digest: digest(secret), Pepper: 1}
}

// digest is a different digest for every name.
func digest(name string) sallyport.Digest { return sha256.Sum256([]byte(name)) }

func mustTenant(t *testing.T, ctx context.Context, s Store, tenants ...sallyport.Tenant) {
	t.Helper()
	for _, tenant := range tenants {
		if err := s.CreateTenant(ctx, tenant); err != nil {
			t.Fatal(err)
		}
	}
}

func mustUser(t *testing.T, ctx context.Context, s Store, users ...sallyport.User) {
	t.Helper()
	for _, u := range users {
		if err := s.CreateUser(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
}

// mustCredential keeps credentials, their digests made from their ids.
func mustCredential(t *testing.T, ctx context.Context, s Store, credentials ...sallyport.Credential) {
	t.Helper()
	for _, c := range credentials {
		if err := s.CreateCredential(ctx, with(c, c.ID)); err != nil {
			t.Fatal(err)
		}
	}
}

// same fails t unless got is want, save for empty lists that became nil.
func same(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Prefix{}), cmp.AllowUnexported(sallyport.Networks{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func wants(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func ids[T any](list []*T, id func(*T) string) (out []string) {
	for _, v := range list {
		out = append(out, id(v))
	}
	return out
}

func idOfTenant(t *sallyport.Tenant) string         { return t.ID }
func idOfUser(u *sallyport.User) string             { return u.ID }
func idOfCredential(c *sallyport.Credential) string { return c.ID }

func numbered(format string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf(format, i))
	}
	return out
}
