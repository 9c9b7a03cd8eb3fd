package admin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTenantIsCreatedShownAndChanged(t *testing.T) {
	s := newServer(t)
	made := call[Tenant](s, 201, "POST", "/admin/v1/tenants",
		`{"api":"orders","id":"acme","name":"Acme Ltd","plan":"custom","limits":{"requests":["60/1m","90000/24h+15%"]},"overrides":{"requests":["7/60s sliding","9/week@Europe/Berlin"]},"attributes":{"team":"blue"}}`)
	want := Tenant{
		API: "orders", ID: "acme", Name: "Acme Ltd", Plan: "custom", State: "active",
		Limits: map[string][]string{"requests": {"60/1m", "90000/1d+15%"}}, Overrides: map[string][]string{"requests": {"7/1m sliding", "9/week@Europe/Berlin"}}, Attributes: map[string]string{"team": "blue"}, CreatedAt: now.Truncate(1e9),
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, call[Tenant](s, 200, "GET", "/admin/v1/tenants/orders/acme", "")); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	s.take()
	changed := call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"plan":"free","limits":null,"overrides":null,"state":"disabled","attributes":null}`)
	want.Plan, want.Limits, want.Overrides, want.State, want.Attributes = "free", map[string][]string{}, map[string][]string{}, "disabled", map[string]string{}
	if diff := cmp.Diff(want, changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got, want := s.take(), []string{"committed update tenant", "forget tenant orders acme", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if diff := cmp.Diff(want, call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{}`)); diff != "" {
		t.Errorf("an empty change (-want +got):\n%s", diff)
	}
}

func TestBadTenants(t *testing.T) {
	s := newServer(t).withTenant()
	for _, test := range []struct {
		call, body string
		status     int
		where, say string // location and part of a message
	}{
		{"POST /admin/v1/tenants", `{"api":"orders","id":"acme","plan":"free"}`, 409, "", ""},
		{"POST /admin/v1/tenants", `{"api":"nope","id":"x","plan":"free"}`, 422, "body.api", "use one of orders, parts, bare"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"gold"}`, 422, "body.plan", "use one of free, custom"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x"}`, 422, "body.plan", "use one of free, custom"},
		{"POST /admin/v1/tenants", `{"api":"parts","id":"x","plan":"free"}`, 422, "body.plan", "there is none"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"custom"}`, 422, "body.limits", "leaves limit requests to the tenant"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"no":["1/1s"]}}`, 422, "body.limits", "use one of requests"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"in-flight":["1/1s"]}}`, 422, "body.limits", "use one of requests"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"requests":["1/1s","60"]}}`, 422, "body.limits.requests[1]", "MAX/LENGTH"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"requests":["1/1m","2/60s"]}}`, 422, "body.limits.requests[1]", "second window of 1m"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"requests":["1/1s","1/2s","1/3s","1/4s","1/5s","1/6s","1/7s","1/8s","1/9s"]}}`, 422, "body.limits.requests", "at most 8"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"requests":["5/day@Mars/Base"]}}`, 422, "body.limits.requests[0]", "time zone that the server knows"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"requests":["5/day@Local"]}}`, 422, "body.limits.requests[0]", "time zone that the server knows"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","limits":{"requests":["1/month","2/month@Europe/Berlin"]}}`, 422, "body.limits.requests[1]", "second window of month@Europe/Berlin"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","overrides":{"no":["1/1s"]}}`, 422, "body.overrides", "use one of requests"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","overrides":{"in-flight":["1/1s"]}}`, 422, "body.overrides", "the same for all; use one of requests"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","overrides":{"requests":[]}}`, 422, "body.overrides.requests", "windows such as 60/1m, or unlimited"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","overrides":{"requests":["unlimited","1/1s"]}}`, 422, "body.overrides.requests", "the one or the other"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"overrides":{"requests":["1/1s","1/2s","1/3s","1/4s","1/5s","1/6s","1/7s","1/8s","1/9s"]}}`, 422, "body.overrides.requests", "at most 8"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"overrides":{"requests":["1/1m+5%","1/60s+9%"]}}`, 422, "body.overrides.requests[1]", "second window of 1m+9%"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"overrides":{"requests":["0/1m"]}}`, 422, "body.overrides.requests[0]", "lets nothing through"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"overrides":{"requests":"unlimited"}}`, 422, "body.overrides.requests", "expected array"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"../x","plan":"free"}`, 422, "body.id", "beginning with a letter"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"a b","plan":"free"}`, 422, "body.id", ""},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x\u0000","plan":"free"}`, 422, "body.id", ""},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","name":"a\nb","plan":"free"}`, 422, "body.name", "control character"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","attributes":{"a b":"c"}}`, 422, "body.attributes", "letters, digits"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","attributes":{"a":"b\nc"}}`, 422, "body.attributes.a", "not printable"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","attributes":{"a":"` + strings.Repeat("x", 257) + `"}}`, 422, "body.attributes.a", "at most 256"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","attributes":{"a":1}}`, 422, "body.attributes.a", "expected string"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","attributes":{` + manyPairs(33) + `}}`, 422, "body.attributes", "at most 32"},
		{"POST /admin/v1/tenants", `{"api":"orders","plan":"free"}`, 422, "body", "required property id"},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free","colour":"red"}`, 422, "body.colour", "unexpected property"},
		{"POST /admin/v1/tenants", `{"api":7,"id":"x","plan":"free"}`, 422, "body.api", "expected string"},
		{"POST /admin/v1/tenants", `{"api":"orders",`, 400, "body", ""},
		{"POST /admin/v1/tenants", `{"api":"orders","id":"x","plan":"free"} {}`, 400, "body", ""},
		{"POST /admin/v1/tenants", `null`, 422, "body", ""},
		{"POST /admin/v1/tenants", `[]`, 422, "body", ""},
		{"POST /admin/v1/tenants", ``, 400, "", ""},
		{"GET /admin/v1/tenants/orders/other", ``, 404, "", ""},
		{"GET /admin/v1/tenants/nope/acme", ``, 404, "", ""},
		{"GET /admin/v1/tenants?color=red", ``, 422, "query.color", "unknown"},
		{"GET /admin/v1/tenants?limit=0", ``, 422, "query.limit", ""},
		{"GET /admin/v1/tenants?limit=501", ``, 422, "query.limit", ""},
		{"GET /admin/v1/tenants?after=acme", ``, 422, "query.after", ""},
		{"PATCH /admin/v1/tenants/orders/other", `{"name":"x"}`, 404, "", ""},
		{"PATCH /admin/v1/tenants/orders/acme", `{"state":"revoked"}`, 422, "body.state", "active or disabled"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"state":null}`, 422, "body.state", "active or disabled"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"plan":null}`, 422, "body.plan", "use one of"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"plan":"custom"}`, 422, "body.limits", "leaves limit"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"id":"other"}`, 422, "body.id", "unexpected"},
		{"PUT /admin/v1/tenants/orders/acme", `{}`, 405, "", ""},
		{"DELETE /admin/v1/tenants", ``, 405, "", ""},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		got := call[problem](s, test.status, method, path, test.body)
		where, text := details(got)
		if test.where != "" && !slices.Contains(where, test.where) || !strings.Contains(text, test.say) || strings.Contains(text, "VALUE") {
			t.Errorf("%s %s: at %q:\n%swant %s: %s", test.call, test.body, where, text, test.where, test.say)
		}
	}
	for _, event := range s.take() {
		if strings.HasPrefix(event, "committed") {
			t.Errorf("something bad was %s", event)
		}
	}
	if n := len(call[TenantList](s, 200, "GET", "/admin/v1/tenants", "").Tenants); n != 2 {
		t.Errorf("%d tenants, want the 2 from before", n)
	}
}

// manyPairs are n attributes.
func manyPairs(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf(`"a%d":"x"`, i))
	}
	return strings.Join(pairs, ",")
}

func TestTenantsArePaged(t *testing.T) {
	s := newServer(t).withTenant()
	var want []string
	for i := range 5 {
		call[Tenant](s, 201, "POST", "/admin/v1/tenants", fmt.Sprintf(`{"api":"orders","id":"t%d","plan":"free"}`, i))
		want = append(want, fmt.Sprintf("orders/t%d", i))
	}
	want = append(append([]string{"orders/acme"}, want...), "parts/acme")
	for size := 1; size <= 8; size++ {
		for filter, want := range map[string][]string{"": want, "&api=orders": want[:6], "&api=parts": want[6:], "&api=gone": nil} {
			var got []string
			next := ""
			for pages := 0; pages == 0 || next != ""; pages++ {
				page := call[TenantList](s, 200, "GET", fmt.Sprintf("/admin/v1/tenants?limit=%d&after=%s%s", size, next, filter), "")
				for _, one := range page.Tenants {
					got = append(got, one.API+"/"+one.ID)
				}
				if next = page.Next; next != "" && len(page.Tenants) != size || pages > 10 {
					t.Fatalf("page %d of %d has %d tenants", pages, size, len(page.Tenants))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d%s: %q, want %q", size, filter, got, want)
			}
		}
	}
}

func TestTenantOfAnAPIThatIsGone(t *testing.T) {
	s := newServer(t).withTenant()
	s.policy = testPolicy()
	s.policy.APIs = s.policy.APIs[1:]
	call[problem](s, 422, "PATCH", "/admin/v1/tenants/orders/acme", `{"plan":"custom"}`)
	if got := call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"state":"disabled"}`); got.State != "disabled" {
		t.Errorf("state %s, want disabled", got.State)
	}
}
