package store

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// FuzzCredentialRow: whatever text the rows of a credential hold, they are
// refused or stand for a credential whose own rows stand for the same one.
func FuzzCredentialRow(f *testing.F) {
	f.Add("read", `["a","b"]`, `["r"]`, "active", `["10.0.0.0/8"]`, `{"a":"b"}`, int64(0), true, "u",
		`{"requests":[{"max":1,"seconds":60,"burst":15}]}`, `{"r":["a"],"s":[]}`, `["Findings"]`,
		`{"r":{"windows":[{"max":1,"seconds":0,"calendar":"day","zone":"Asia/Tokyo"}]},"s":{"unlimited":true},"t":{}}`, "gold", "client", "", `{"public":true,"grants":["a"],"redirects":["b"]}`)
	f.Add("", `[]`, `null`, "revoked", `null`, `null`, int64(-1), false, "", `{}`, `{"r":null}`, `[]`, `null`, "", "grant", "c1", "")
	f.Add("", `[]`, `null`, "active", `null`, `null`, int64(-1), false, "u", `{}`, `{"r":null}`, `[]`, `null`, "", "grant", "c1", "")
	f.Add("", `[]`, `[null]`, "active", `[""]`, `{"":null}`, int64(1)<<62, true, "u", `{"a":[{"seconds":9223372036854775807}]}`, `{"":["\u0000"]}`, `["\ud800"]`,
		`{"":{"windows":[{"algorithm":"bucket","burst":4294967295}],"unlimited":true}}`, "\xff", "client", "", `{"grants":null,"redirects":[]}`)
	f.Fuzz(func(t *testing.T, access, scopes, roles, state, networks, attributes string, end int64, ends bool, user, limits, defined, off, overrides, plan, kind, clientID, client string) {
		ending := Time{V: end, Valid: ends}
		first := Found{
			Credential: CredentialRow{
				ID: "k", API: "orders", Tenant: "acme", User: user, Access: access, Scopes: scopes, Roles: roles, State: state,
				Unchecked: ends, AllowedIPs: networks, Attributes: attributes, Plan: plan, Overrides: overrides, ExpiresAt: ending,
				Kind: kind, ClientID: clientID, Client: client, Cause: plan,
			},
			Tenant: TenantRow{API: "orders", ID: "acme", State: state, Limits: limits, Overrides: overrides, Roles: defined, Attributes: attributes},
			User: UserRow{
				API: "orders", Tenant: "acme", ID: "u", Service: ends, Roles: roles, Off: off, State: state, Attributes: attributes, Login: plan,
			},
		}
		c, err := first.Value()
		if err != nil {
			return
		}
		if user != "" && c.User == nil {
			t.Errorf("the user %q was lost", user)
		}
		if (c.Client != nil) != (kind == sallyport.KindClient || kind == sallyport.KindGrant) || kind == sallyport.KindToken {
			t.Errorf("got %+v of kind %q", c.Client, kind)
		}
		kept, err := rowsOf(c)
		if err != nil {
			return // such as a broken scope, which no store would have kept
		}
		again, err := kept.Value()
		if err != nil {
			t.Fatal(err)
		}
		if second, err := rowsOf(again); err != nil || second != kept {
			t.Errorf("got %+v, %v, want %+v", second, err, kept)
		}
		if ends == again.ExpiresAt.IsZero() {
			t.Errorf("got an end at %v, want one: %v", again.ExpiresAt, ends)
		}
	})
}

// rowsOf returns the rows in which c is kept.
func rowsOf(c *sallyport.Credential) (f Found, err error) {
	if f.Credential, err = NewCredentialRow(c); err != nil {
		return f, err
	}
	if f.Tenant, err = NewTenantRow(c.Tenant); err != nil || c.User == nil {
		return f, err
	}
	f.User, err = NewUserRow(c.User)
	return f, err
}

// Equal values are kept as equal rows, whatever nothing looks like in them, and
// nothing comes back as nil.
func TestNothingIsNil(t *testing.T) {
	bare := sallyport.Credential{
		ID: "k", API: "orders", State: sallyport.Active,
		Tenant: &sallyport.Tenant{ID: "acme", API: "orders", State: sallyport.Active, Roles: map[string][]string{"r": nil}},
		User:   &sallyport.User{ID: "u", API: "orders", Tenant: "acme", State: sallyport.Active},
	}
	empty, tenant, user := bare, *bare.Tenant, *bare.User
	empty.Scopes, empty.Roles, empty.AllowedIPs, empty.Attributes = []string{}, []string{}, []netip.Prefix{}, map[string]string{}
	empty.Overrides, tenant.Overrides = map[string]sallyport.Windows{}, map[string]sallyport.Windows{}
	tenant.Roles = map[string][]string{"r": {}}
	tenant.Limits, tenant.Attributes = map[string][]sallyport.Window{}, map[string]string{}
	user.Roles, user.Off, user.Attributes = []string{}, []string{}, map[string]string{}
	empty.Tenant, empty.User = &tenant, &user
	want, err := rowsOf(&bare)
	if err != nil {
		t.Fatal(err)
	}
	got, err := rowsOf(&empty)
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	c, err := got.Value()
	if err != nil {
		t.Fatal(err)
	}
	if c.Scopes != nil || c.Roles != nil || c.AllowedIPs != nil || c.Attributes != nil || c.Overrides != nil || c.Tenant.Overrides != nil ||
		c.Tenant.Limits != nil || c.Tenant.Attributes != nil || c.Tenant.Roles["r"] != nil ||
		c.User.Roles != nil || c.User.Off != nil || c.User.Attributes != nil {
		t.Errorf("got %+v of %+v and %+v, want nil for nothing", c, c.Tenant, c.User)
	}
	tenant.Roles = map[string][]string{}
	row, err := NewTenantRow(&tenant)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := row.Value(); err != nil || back.Roles != nil {
		t.Errorf("got %+v, %v, want no roles", back, err)
	}
}

// A row goes to an operator's eyes in errors; those name it and say the cure.
func TestErrorsNameTheRow(t *testing.T) {
	tenant := sallyport.Tenant{ID: "acme", API: "orders"}
	credential := sallyport.Credential{ID: "k1", API: "orders", Tenant: &tenant}
	fast := tenant
	fast.State, fast.Limits = sallyport.Active, map[string][]sallyport.Window{"requests": {{Max: 1, Length: time.Millisecond}}}
	open := credential
	open.State, open.AllowedIPs = sallyport.Active, []netip.Prefix{{}}
	user := sallyport.User{ID: "u1", API: "orders", Tenant: "acme"}
	facts := tenant
	facts.State, facts.Attributes = sallyport.Active, map[string]string{"note": "hidden\xff"}
	named := tenant
	named.State = sallyport.Active
	bearer, client, grant, sender := credential, credential, credential, sallyport.Sender{ID: "w1", API: "orders", Tenant: &named, State: sallyport.Active}
	bearer.Kind, client.Kind, grant.Kind = sallyport.KindToken, sallyport.KindClient, sallyport.KindGrant
	bearer.State, client.State, grant.State = sallyport.Active, sallyport.Active, sallyport.Active
	sender.Secrets = []sallyport.SealedSecret{{}}
	end := time.Unix(1, 0)
	code := sallyport.GrantSecret{Digest: sallyport.Digest{1}, Kind: sallyport.GrantCode, ExpiresAt: end, Redirect: "hidden\xff"}
	lost := Found{Credential: CredentialRow{ID: "k1", API: "orders", Tenant: "acme", User: "u1"}}
	for _, c := range []struct {
		make func() error
		want string
	}{
		{func() error { _, err := NewTenantRow(&tenant); return err }, `tenant "acme" of "orders" has no state; use active, disabled or revoked`},
		{func() error { _, err := NewTenantRow(&fast); return err }, `limit "requests" has a window of 1ms: a window is whole seconds`},
		{func() error { _, err := NewCredentialRow(&credential); return err }, `credential "k1" has no state`},
		{func() error { _, err := NewCredentialRow(&open); return err }, `credential "k1": an allowed address range is not valid`},
		{func() error { _, err := NewTenantRow(&facts); return err }, `tenant "acme" of "orders": attributes: a text of it holds broken UTF-8 or a NUL`},
		{func() error { _, err := NewUserRow(&user); return err }, `user "u1" of tenant "acme" of "orders" has no state; use active`},
		{func() error { _, err := NewCredentialRow(&bearer); return err }, `credential "k1": it is a token, and those are not kept`},
		{func() error { _, err := NewCredentialRow(&client); return err }, `credential "k1": a client needs what it may`},
		{func() error { _, err := NewCredentialRow(&grant); return err }, `credential "k1": a grant needs a user and the id of a client`},
		{func() error { _, err := NewGrantSecretRow("g1", code); return err }, `of grant "g1": a text of it holds broken UTF-8 or a NUL`},
		{func() error {
			_, err := NewGrantSecretRow("g1", sallyport.GrantSecret{Digest: code.Digest, ExpiresAt: end})
			return err
		}, `of grant "g1": its kind "" is not one of code, refresh`},
		{func() error { _, err := NewSenderRow(&sender); return err }, `sender "w1" of "orders": a secret of it is missing`},
		{func() error { _, err := NewRevokedToken("orders", "\xff", end); return err }, `token "\xff" of "orders": a text of it holds`},
		{func() error { _, err := lost.Value(); return err }, `user "u1" of tenant "acme" of "orders" is not there`},
		{func() error { _, err := (TenantRow{API: "orders", ID: "acme", State: "x"}).Value(); return err }, `tenant "acme" of "orders": state "x" is not one of active, disabled, revoked`},
	} {
		if err := c.make(); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// A password is not printed with whatever holds its row.
func TestRowsPrintNoPassword(t *testing.T) {
	u := sallyport.User{ID: "u1", API: "orders", Tenant: "acme", State: sallyport.Active, Password: "$argon2id$hidden"}
	r, err := NewUserRow(&u)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{r, &r, Found{User: r}, &Found{User: r}, []UserRow{r}, u} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			if got := fmt.Sprintf(verb, v); strings.Contains(got, "hidden") || strings.Contains(got, fmt.Sprintf("%x", "hidden")) {
				t.Errorf("%s of %T: got %s", verb, v, got)
			}
		}
	}
	if back, err := r.Value(); err != nil || back.Password != u.Password {
		t.Errorf("got %v, want the password back", err)
	}
}
