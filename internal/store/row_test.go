package store

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// FuzzCredentialRow: whatever text a row holds, it is refused or stands for a
// credential whose own row stands for the same one.
func FuzzCredentialRow(f *testing.F) {
	f.Add("read", `["a","b"]`, "active", `["10.0.0.0/8"]`, int64(0), true, `{"requests":[{"max":1,"seconds":60,"burst":15}]}`)
	f.Add("", `[]`, "revoked", `null`, int64(-1), false, `{}`)
	f.Add("", `[]`, "active", `[""]`, int64(1)<<62, true, `{"a":[{"seconds":9223372036854775807}]}`)
	f.Fuzz(func(t *testing.T, access, scopes, state, networks string, end int64, ends bool, limits string) {
		tenant := TenantRow{API: "orders", ID: "acme", State: state, Limits: limits}
		first := CredentialRow{ID: "k", API: "orders", Tenant: "acme", Access: access, Scopes: scopes, State: state, AllowedIPs: networks}
		first.ExpiresAt = Time{V: end, Valid: ends}
		c, err := Found{Credential: first, Tenant: tenant}.Value()
		if err != nil {
			return
		}
		kept, err := NewCredentialRow(c)
		if err != nil {
			return // such as a broken scope, which no store would have kept
		}
		keptTenant, err := NewTenantRow(c.Tenant)
		if err != nil {
			return
		}
		again, err := Found{Credential: kept, Tenant: keptTenant}.Value()
		if err != nil {
			t.Fatal(err)
		}
		if second, err := NewCredentialRow(again); err != nil || second != kept {
			t.Errorf("got %+v, %v, want %+v", second, err, kept)
		}
		if second, err := NewTenantRow(again.Tenant); err != nil || second != keptTenant {
			t.Errorf("got %+v, %v, want %+v", second, err, keptTenant)
		}
		if ends == again.ExpiresAt.IsZero() {
			t.Errorf("got an end at %v, want one: %v", again.ExpiresAt, ends)
		}
	})
}

// A row goes to an operator's eyes in errors; those name it and say the cure.
func TestErrorsNameTheRow(t *testing.T) {
	tenant := sallyport.Tenant{ID: "acme", API: "orders"}
	credential := sallyport.Credential{ID: "k1", API: "orders", Tenant: &tenant}
	fast := tenant
	fast.State, fast.Limits = sallyport.Active, map[string][]sallyport.Window{"requests": {{Max: 1, Length: time.Millisecond}}}
	open := credential
	open.State, open.AllowedIPs = sallyport.Active, []netip.Prefix{{}}
	for _, c := range []struct {
		make func() error
		want string
	}{
		{func() error { _, err := NewTenantRow(&tenant); return err }, `tenant "acme" of "orders" has no state; use active, disabled or revoked`},
		{func() error { _, err := NewTenantRow(&fast); return err }, `limit "requests" has a window of 1ms: a window is whole seconds`},
		{func() error { _, err := NewCredentialRow(&credential); return err }, `credential "k1" has no state`},
		{func() error { _, err := NewCredentialRow(&open); return err }, `credential "k1": an allowed address range is not valid`},
		{func() error { _, err := (TenantRow{API: "orders", ID: "acme", State: "x"}).Value(); return err }, `tenant "acme" of "orders": state "x" is not one of active, disabled, revoked`},
	} {
		if err := c.make(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
