package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withUser makes the user ann of acme, with a personal access token.
func (s *server) withUser() (*server, CreatedKey) {
	s.Helper()
	s.withTenant()
	call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"ann","roles":["reader"]}`)
	pat := s.newKey(`{"api":"orders","tenant":"acme","prefix":"or_pat_","user":"ann"}`)
	s.take()
	return s, pat
}

func TestUserIsCreatedShownAndChanged(t *testing.T) {
	s := newServer(t).withTenant()
	made := call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"ann@acme.test","name":"Ann","service_account":true,
		"roles":["reader","Security Analyst","reader"],"disabled_categories":["Posture"],"attributes":{"team":"blue"}}`)
	want := User{
		API: "orders", Tenant: "acme", ID: "ann@acme.test", Name: "Ann", ServiceAccount: true, State: "active",
		Roles: []string{"reader", "Security Analyst"}, DisabledCategories: []string{"Posture"},
		Attributes: map[string]string{"team": "blue"}, CreatedAt: now.Truncate(1e9),
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if got, want := s.take(), []string{"committed create user", "forget user orders acme ann@acme.test", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	const path = "/admin/v1/users/orders/acme/ann@acme.test"
	if diff := cmp.Diff(want, call[User](s, 200, "GET", path, "")); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	s.take()
	want.Name, want.Roles, want.DisabledCategories, want.State, want.Attributes = "", []string{}, []string{}, "disabled", map[string]string{}
	changed := call[ChangedUser](s, 200, "PATCH", path, `{"name":null,"roles":[],"disabled_categories":null,"attributes":null,"state":"disabled"}`)
	if diff := cmp.Diff(ChangedUser{want, 0}, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got, want := s.take(), []string{"committed update user", "forget user orders acme ann@acme.test", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestBadUsers(t *testing.T) {
	s := newServer(t).withTenant()
	call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"ann"}`)
	s.take()
	const ann = "/admin/v1/users/orders/acme/ann"
	for _, test := range []struct {
		call, body string
		status     int
		where, say string
	}{
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"ann"}`, 409, "", ""},
		{"POST /admin/v1/users", `{"api":"nope","tenant":"acme","id":"x"}`, 422, "body.api", "use one of orders, parts, bare"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"nobody","id":"x"}`, 422, "body.tenant", "create it first"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"a/b"}`, 422, "body.id", "letters"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"x","roles":["reader","writer"]}`, 422, "body.roles[1]", "use one of Security Analyst, reader"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"x","disabled_categories":["Other"]}`, 422, "body.disabled_categories[0]", "use one of Findings, Posture"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"x","attributes":{"":"x"}}`, 422, "body.attributes", ""},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"x","name":"a\tb"}`, 422, "body.name", "control"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"x","state":"active"}`, 422, "body.state", "unexpected"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":`, 400, "body", ""},
		{"GET /admin/v1/users", ``, 422, "query.api", "required"},
		{"GET /admin/v1/users?api=orders", ``, 422, "query.tenant", "required"},
		{"GET /admin/v1/users?api=orders&tenant=acme&state=gone", ``, 422, "query.state", ""},
		{"GET /admin/v1/users?api=orders&tenant=acme&limit=501", ``, 422, "query.limit", ""},
		{"GET /admin/v1/users/orders/acme/bob", ``, 404, "", ""},
		{"GET /admin/v1/users/orders/nobody/ann", ``, 404, "", ""},
		{"PATCH /admin/v1/users/orders/acme/bob", `{}`, 404, "", ""},
		{"PATCH " + ann, `{"state":"revoked"}`, 422, "body.state", "active or disabled"},
		{"PATCH " + ann, `{"roles":["writer"]}`, 422, "body.roles[0]", ""},
		{"PATCH " + ann, `{"service_account":true}`, 422, "body.service_account", "unexpected"},
		{"DELETE " + ann, ``, 405, "", ""},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		where, text := details(call[problem](s, test.status, method, path, test.body))
		if test.where != "" && !slices.Contains(where, test.where) || !strings.Contains(text, test.say) {
			t.Errorf("%s %s: at %q:\n%swant %s: %s", test.call, test.body, where, text, test.where, test.say)
		}
	}
	if events := strings.Join(s.take(), ","); strings.Contains(events, "committed") {
		t.Errorf("something bad did %s", events)
	}
}

func TestUsersArePaged(t *testing.T) {
	s := newServer(t).withTenant()
	var want []string
	for i := range 5 {
		id := fmt.Sprintf("u%d", i)
		call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"`+id+`"}`)
		want = append(want, id)
	}
	call[ChangedUser](s, 200, "PATCH", "/admin/v1/users/orders/acme/u2", `{"state":"disabled"}`)
	for filter, want := range map[string][]string{"": want, "&state=disabled": {"u2"}, "&state=revoked": nil} {
		for size := 1; size <= 6; size++ {
			var got []string
			next := ""
			for pages := 0; pages == 0 || next != ""; pages++ {
				page := call[UserList](s, 200, "GET", fmt.Sprintf("/admin/v1/users?api=orders&tenant=acme&limit=%d&after=%s%s", size, next, filter), "")
				for _, u := range page.Users {
					got = append(got, u.ID)
				}
				if next = page.Next; pages > 10 {
					t.Fatal("there is no last page")
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d%s: %q, want %q", size, filter, got, want)
			}
		}
	}
	if got := call[UserList](s, 200, "GET", "/admin/v1/users?api=orders&tenant=acme&after=zz", "").Users; len(got) != 0 {
		t.Errorf("beyond the end: %+v", got)
	}
}

// What ends a user's personal access tokens ends them for good, and is said.
func TestTokensOfAUserEnd(t *testing.T) {
	s := newServer(t)
	for change, revoked := range map[string]int{
		`{"state":"disabled"}`: 1, `{"roles":[]}`: 1, `{"roles":["reader"]}`: 0, `{"name":"x"}`: 0, `{"disabled_categories":["Posture"]}`: 0,
	} {
		_, pat := s.emptied().withUser()
		if got := call[ChangedUser](s, 200, "PATCH", "/admin/v1/users/orders/acme/ann", change); got.TokensRevoked != revoked {
			t.Errorf("%s revoked %d, want %d", change, got.TokensRevoked, revoked)
		}
		want := map[int]string{0: "active", 1: "revoked"}[revoked]
		if got := call[Key](s, 200, "GET", "/admin/v1/keys/"+pat.KeyID, ""); got.State != want {
			t.Errorf("%s: the token is %s, want %s", change, got.State, want)
		}
	}
}

func TestPersonalAccessToken(t *testing.T) {
	s, pat := newServer(t).withUser()
	if pat.Kind != "pat" || pat.User != "ann" || pat.Principal != "ann" || len(pat.Roles) != 0 {
		t.Errorf("made %+v", pat.Key)
	}
	call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"off"}`)
	call[ChangedUser](s, 200, "PATCH", "/admin/v1/users/orders/acme/off", `{"state":"disabled"}`)
	for body, want := range map[string]string{
		`"prefix":"or_pat_"`:                                 "body.user",
		`"prefix":"or_pat_","user":"bob"`:                    "body.user",
		`"prefix":"or_pat_","user":"off"`:                    "body.user",
		`"prefix":"or_pat_","user":"ann","roles":["reader"]`: "body.roles",
		`"prefix":"or_pat_","user":"ann","scopes":["nope"]`:  "body.scopes[0]",
		`"user":"ann"`:                "body.user",
		`"roles":["nope"]`:            "body.roles[0]",
		`"attributes":{"a":"\u200b"}`: "body.attributes.a",
		`"prefix":"or_pat_","user":"ann","attributes":{"a/b":"x"}`: "body.attributes",
	} {
		where, text := details(call[problem](s, 422, "POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme",`+body+`}`))
		if !slices.Equal(where, []string{want}) {
			t.Errorf("%s: at %q, want %s\n%s", body, where, want, text)
		}
	}
	call[problem](s, 422, "PATCH", "/admin/v1/keys/"+pat.KeyID, `{"roles":["reader"]}`)
	narrow := call[Key](s, 200, "PATCH", "/admin/v1/keys/"+pat.KeyID, `{"scopes":["items:read"],"attributes":{"for":"ci"}}`)
	if !slices.Equal(narrow.Scopes, []string{"items:read"}) || narrow.Attributes["for"] != "ci" {
		t.Errorf("changed %+v", narrow)
	}
	plain := s.newKey(`{"api":"orders","tenant":"acme","name":"ci","roles":["reader","reader"],"attributes":{"a":"b"}}`)
	if !slices.Equal(plain.Roles, []string{"reader"}) || plain.Attributes["a"] != "b" || plain.User != "" {
		t.Errorf("made %+v", plain.Key)
	}
	for filter, want := range map[string]string{
		"user=ann": pat.KeyID, "kind=pat": pat.KeyID, "kind=key": plain.KeyID, "name=ci": plain.KeyID, "name=c": "", "user=bob": "",
	} {
		got := ""
		for _, k := range call[KeyList](s, 200, "GET", "/admin/v1/keys?"+filter, "").Keys {
			got += k.KeyID
		}
		if got != want {
			t.Errorf("%s lists %s, want %s", filter, got, want)
		}
	}
	call[problem](s, 422, "GET", "/admin/v1/keys?kind=other", "")
}

func TestRoles(t *testing.T) {
	s, pat := newServer(t).withUser()
	const own = "/admin/v1/roles/orders/acme/On%20Call"
	made := call[ChangedRole](s, 201, "PUT", own, `{"scopes":["read-write","items:read"]}`)
	want := Role{Name: "On Call", Scopes: []string{"items:read", "items:write"}}
	if diff := cmp.Diff(ChangedRole{want, 0}, made); diff != "" {
		t.Errorf("made (-want +got):\n%s", diff)
	}
	if got, want := s.take(), []string{"committed update tenant", "forget tenant orders acme", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	call[ChangedUser](s, 200, "PATCH", "/admin/v1/users/orders/acme/ann", `{"roles":["On Call"]}`)
	pat = s.newKey(`{"api":"orders","tenant":"acme","prefix":"or_pat_","user":"ann"}`)
	list := call[RoleList](s, 200, "GET", "/admin/v1/roles?api=orders&tenant=acme", "").Roles
	if len(list) != 3 || !list[0].Builtin || !list[1].Builtin || cmp.Diff(want, list[2]) != "" {
		t.Errorf("roles %+v", list)
	}
	if list := call[RoleList](s, 200, "GET", "/admin/v1/roles?api=orders", "").Roles; len(list) != 2 {
		t.Errorf("roles of no tenant %+v", list)
	}
	if got := call[ChangedRole](s, 200, "PUT", own, `{"scopes":["items:read"]}`); got.TokensRevoked != 1 {
		t.Errorf("replacing it revoked %d, want 1", got.TokensRevoked)
	}
	if got := call[Key](s, 200, "GET", "/admin/v1/keys/"+pat.KeyID, ""); got.State != "revoked" {
		t.Errorf("the token of who has the role is %s", got.State)
	}
	call[DeletedRole](s, 200, "DELETE", own, "")
	call[problem](s, 404, "DELETE", own, "")
	for _, test := range []struct{ path, body, where, say string }{
		{"/admin/v1/roles/orders/acme/reader", `{"scopes":[]}`, "path.name", "of orders itself"},
		{"/admin/v1/roles/orders/acme/%20x", `{"scopes":[]}`, "path.name", "letters"},
		{"/admin/v1/roles/orders/acme/a%2Fb", `{"scopes":[]}`, "path.name", "letters"},
		{"/admin/v1/roles/orders/acme/x", `{"scopes":["items:read","nope"]}`, "body.scopes[1]", "use one of items:read, items:write, admin, read-write"},
		{"/admin/v1/roles/orders/acme/x", `{}`, "body", "required property scopes"},
		{"/admin/v1/roles/parts/acme/x", `{"scopes":[]}`, "path.api", "tenant_roles: true"},
		{"/admin/v1/roles/nope/acme/x", `{"scopes":[]}`, "path.api", "use one of"},
	} {
		where, text := details(call[problem](s, 422, "PUT", test.path, test.body))
		if !slices.Contains(where, test.where) || !strings.Contains(text, test.say) {
			t.Errorf("%s %s: at %q:\n%swant %s: %s", test.path, test.body, where, text, test.where, test.say)
		}
	}
	call[problem](s, 404, "PUT", "/admin/v1/roles/orders/nobody/x", `{"scopes":[]}`)
	call[problem](s, 404, "GET", "/admin/v1/roles?api=orders&tenant=nobody", "")
	call[problem](s, 422, "GET", "/admin/v1/roles", "")
	call[problem](s, 422, "GET", "/admin/v1/roles?api=nope", "")
	for i := range maxRoles {
		call[ChangedRole](s, 201, "PUT", fmt.Sprintf("/admin/v1/roles/orders/acme/r%d", i), `{"scopes":[]}`)
	}
	call[problem](s, 409, "PUT", "/admin/v1/roles/orders/acme/one-more", `{"scopes":[]}`)
}

func TestUserOfAnAPIThatIsGone(t *testing.T) {
	s, _ := newServer(t).withUser()
	s.policy = testPolicy()
	s.policy.APIs = s.policy.APIs[1:]
	call[problem](s, 422, "PATCH", "/admin/v1/users/orders/acme/ann", `{"roles":[]}`)
	if got := call[ChangedUser](s, 200, "PATCH", "/admin/v1/users/orders/acme/ann", `{"state":"disabled","attributes":{"a":"b"}}`); got.State != "disabled" {
		t.Errorf("state %s, want disabled", got.State)
	}
}
