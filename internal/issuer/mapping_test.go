package issuer

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

func claimsOf(t testing.TB, text string) Claims {
	t.Helper()
	values, err := parseObject([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Claims{Expires: now, values: values}
}

func TestPaths(t *testing.T) {
	c := claimsOf(t, `{
		"sub":"u", "n":7, "b":true, "f":7.0, "e":7e0, "z":-0, "null":null, "o":{}, "empty":"",
		"realm_access":{"roles":["a","b"],"deep":{"er":"x"}},
		"https://orders.example/tenant":"acme",
		"https://orders.example/claims":{"roles":["c"],"a.b":"dotted"},
		"a.b":"whole", "a":{"b":"inner"},
		"mixed":["a",1,true], "odd":["a",["b"]], "text":" one  two\tthree "
	}`)
	for _, test := range []struct {
		path, text string
		list       []string // nil: it is none
	}{
		{"sub", "u", []string{"u"}},
		{"n", "7", nil},
		{"b", "true", nil},
		{"f", "", nil},
		{"e", "", nil},
		{"z", "", nil},
		{"null", "", nil},
		{"o", "", nil},
		{"nothing", "", nil},
		{"empty", "", []string{}},
		{"realm_access.roles", "", []string{"a", "b"}},
		{"realm_access.deep.er", "x", []string{"x"}},
		{"realm_access.roles.a", "", nil},
		{"realm_access", "", nil},
		{"https://orders.example/tenant", "acme", []string{"acme"}},
		{`"https://orders.example/tenant"`, "acme", []string{"acme"}},
		{`"https://orders.example/claims".roles`, "", []string{"c"}},
		{`"https://orders.example/claims"."a.b"`, "dotted", []string{"dotted"}},
		{"https://orders.example/claims.roles", "", nil},
		{"a.b", "inner", []string{"inner"}},
		{`"a.b"`, "whole", []string{"whole"}},
		{"mixed", "", []string{"a", "1", "true"}},
		{"odd", "", nil},
		{"text", " one  two\tthree ", []string{"one", "two", "three"}},
	} {
		p, err := ParsePath(test.path)
		if err != nil {
			t.Error(err)
			continue
		}
		if got, _ := c.Text(p); got != test.text {
			t.Errorf("%s: got the text %q, want %q", test.path, got, test.text)
		}
		if got, ok := c.List(p); !slices.Equal(got, test.list) || ok != (test.list != nil) {
			t.Errorf("%s: got the list %q, %v, want %q", test.path, got, ok, test.list)
		}
	}
	if got, ok := c.Text(Path{}); ok {
		t.Errorf("the zero path: got %q", got)
	}
	for _, path := range []string{"", ".", "a.", ".a", "a..b", `"a`, `a"`, `"a"b`, `""`, `a.""`, `"a".`, `a"b".c`} {
		if p, err := ParsePath(path); err == nil {
			t.Errorf("%s: read as %q", path, p.names)
		}
	}
}

func TestMapping(t *testing.T) {
	byClaim := sallyport.Claims{Tenant: "org.id", User: "email", Scopes: "roles", ScopeMap: map[string]string{"Domain Users": "orders:read", "admin": "orders:write", "root": "orders:write"}, Plan: "tier", PlanMap: map[string]string{"gold": "pro"}}
	fixed := sallyport.Claims{FixedTenant: "acme"}
	whole := Identity{Tenant: "t-9", Subject: "a@b.example", Client: "c", Scopes: []string{"orders:write", "orders:read"}, Plan: "pro", Expires: now, ID: "j"}
	for _, test := range []struct {
		name   string
		claims sallyport.Claims
		text   string
		want   Identity // zero: ErrUnmapped
	}{
		{"all by claims", byClaim, `{"org":{"id":"t-9"},"email":"a@b.example","azp":"c","jti":"j","tier":"gold","roles":["admin","Domain Users","root","other"]}`, whole},
		{"plan that is not in the table", byClaim, `{"org":{"id":9},"email":"e","tier":"platinum"}`, Identity{Tenant: "9", Subject: "e", Expires: now}},
		{"tenant is missing", byClaim, `{"email":"e"}`, Identity{}},
		{"tenant is empty", byClaim, `{"email":"e","org":{"id":""}}`, Identity{}},
		{"tenant is null", byClaim, `{"email":"e","org":{"id":null}}`, Identity{}},
		{"tenant is a list", byClaim, `{"email":"e","org":{"id":["t"]}}`, Identity{}},
		{"tenant is a broken number", byClaim, `{"email":"e","org":{"id":1.0}}`, Identity{}},
		{"a user is needed, a client is there", byClaim, `{"org":{"id":"t"},"sub":"u","client_id":"c"}`, Identity{}},
		{"scopes are an object", byClaim, `{"org":{"id":"t"},"email":"e","roles":{"admin":true}}`, Identity{}},
		{"scopes have an object", byClaim, `{"org":{"id":"t"},"email":"e","roles":["admin",{}]}`, Identity{}},
		{"plan is a list", byClaim, `{"org":{"id":"t"},"email":"e","tier":["gold"]}`, Identity{}},
		{"what is usual", fixed, `{"sub":"u","client_id":"c","azp":"d","scope":"a:read b:write a:read","scp":"x"}`, Identity{Tenant: "acme", Subject: "u", Client: "c", Scopes: []string{"a:read", "b:write"}, Expires: now}},
		{"scp as text", fixed, `{"sub":"u","scp":"a b"}`, Identity{Tenant: "acme", Subject: "u", Scopes: []string{"a", "b"}, Expires: now}},
		{"scp as a list", fixed, `{"sub":"u","scp":["a","b c","d\u0007","é","\"",""]}`, Identity{Tenant: "acme", Subject: "u", Scopes: []string{"a"}, Expires: now}},
		{"scope is null", fixed, `{"sub":"u","scope":null,"scp":"a"}`, Identity{Tenant: "acme", Subject: "u", Scopes: []string{"a"}, Expires: now}},
		{"scope is empty", fixed, `{"sub":"u","scope":"","scp":"a"}`, Identity{Tenant: "acme", Subject: "u", Expires: now}},
		{"a client", fixed, `{"client_id":"","azp":"d"}`, Identity{Tenant: "acme", Client: "d", Expires: now}},
		{"a tenant of its own wish", fixed, `{"sub":"u","tenant":"other"}`, Identity{Tenant: "acme", Subject: "u", Expires: now}},
		{"nobody", fixed, `{"sub":"","client_id":null}`, Identity{}},
		{"another script", fixed, `{"sub":"Zoë Ωmega"}`, Identity{Tenant: "acme", Subject: "Zoë Ωmega", Expires: now}},
		{"a line end", fixed, `{"sub":"u\r\nX-Tenant: other"}`, Identity{}},
		{"a null byte", fixed, `{"sub":"u\u0000"}`, Identity{}},
		{"a control character of C1", fixed, `{"sub":"u\u0085"}`, Identity{}},
		{"delete", fixed, `{"sub":"u\u007f"}`, Identity{}},
		{"a space before", fixed, `{"sub":" u"}`, Identity{}},
		{"a space after", fixed, `{"sub":"u "}`, Identity{}},
		{"text that turns round", fixed, `{"sub":"u\u202e"}`, Identity{}},
		{"text of no width", fixed, `{"sub":"u\u200b"}`, Identity{}},
		{"half a character", fixed, `{"sub":"u\ud800"}`, Identity{}},
		{"256 bytes", fixed, `{"sub":"` + strings.Repeat("u", 256) + `"}`, Identity{Tenant: "acme", Subject: strings.Repeat("u", 256), Expires: now}},
		{"257 bytes", fixed, `{"sub":"` + strings.Repeat("u", 257) + `"}`, Identity{}},
		{"a broken client", fixed, `{"sub":"u","client_id":"c\n"}`, Identity{}},
		{"a broken id", fixed, `{"sub":"u","jti":"j\n"}`, Identity{}},
		{"a broken plan", sallyport.Claims{FixedTenant: "acme", Plan: "p"}, `{"sub":"u","p":"p\n"}`, Identity{}},
		{"a plan of its own", sallyport.Claims{FixedTenant: "acme", Plan: "p"}, `{"sub":"u","p":"pro"}`, Identity{Tenant: "acme", Subject: "u", Plan: "pro", Expires: now}},
		{"too many scopes", fixed, `{"sub":"u","scope":"` + strings.Repeat("a ", maxScopes+1) + `"}`, Identity{}},
	} {
		m, err := NewMapping(test.claims)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got, err := m.Map(claimsOf(t, test.text))
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
		if refused := reflect.DeepEqual(test.want, Identity{}); refused != errors.Is(err, ErrUnmapped) || refused != (err != nil) {
			t.Errorf("%s: got the error %v", test.name, err)
		}
	}
}

func TestMappingSaysAllThatIsWrong(t *testing.T) {
	_, err := NewMapping(sallyport.Claims{
		Tenant: "a..b", User: ".", Scopes: `"`, Plan: "x.", FixedTenant: "a\n",
		ScopeMap: map[string]string{"x": "two scopes"}, PlanMap: map[string]string{"y": ""},
	})
	for _, want := range []string{"claim of the tenant", "claim of the user", "claim of the scopes", "claim of the plan", "both a claim", `scope "two scopes"`, `plan ""`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
	for _, c := range []sallyport.Claims{{}, {FixedTenant: "a\n"}, {Tenant: "t", FixedTenant: "t"}} {
		if m, err := NewMapping(c); err == nil || m != nil {
			t.Errorf("%+v: accepted", c)
		}
	}
}

// A mapping is not changed by whoever changes what it was made from.
func TestMappingKeepsItsTables(t *testing.T) {
	table := map[string]string{"a": "orders:read"}
	m, err := NewMapping(sallyport.Claims{FixedTenant: "acme", ScopeMap: table})
	if err != nil {
		t.Fatal(err)
	}
	table["a"] = "orders:write"
	got, err := m.Map(claimsOf(t, `{"sub":"u","scope":"a"}`))
	if err != nil || !slices.Equal(got.Scopes, []string{"orders:read"}) {
		t.Errorf("got %q, %v", got.Scopes, err)
	}
}
