package admin

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/store/memory"
)

// withToken keeps an admin token like t and makes its holder the caller.
func (s *server) withToken(t sallyport.AdminToken) *server {
	s.Helper()
	secret, err := apikey.Generate(TokenPrefix)
	if err != nil {
		s.Fatal(err)
	}
	t.ID, t.State = cmp.Or(t.ID, "adm_"+t.Role+t.API+t.Tenant), cmp.Or(t.State, sallyport.Active)
	if err := s.store.CreateAdminToken(s.Context(), t, s.hasher.Digest(secret.Reveal())); err != nil {
		s.Fatal(err)
	}
	s.token = secret.Reveal()
	return s
}

// emptied forgets all that is kept but a first token.
func (s *server) emptied() *server {
	s.Helper()
	s.store.Store = memory.New()
	secret, _, err := EnsureToken(s.Context(), s.store, s.hasher, "")
	if err != nil {
		s.Fatal(err)
	}
	s.token = secret.Reveal()
	return s
}

// withAll makes tenants acme and other of orders, acme of parts, and in each of
// the first two a user, a role and a key whose ids say whose they are.
func (s *server) withAll() *server {
	s.Helper()
	s.withTenant()
	call[Tenant](s, 201, "POST", "/admin/v1/tenants", `{"api":"orders","id":"other","plan":"free","overrides":{"requests":["9/1m"]}}`)
	call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"overrides":{"requests":["9/1m"]}}`)
	for _, tenant := range []string{"acme", "other"} {
		call[User](s, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"`+tenant+`","id":"ann"}`)
		call[ChangedRole](s, 201, "PUT", "/admin/v1/roles/orders/"+tenant+"/own", `{"scopes":["items:read"]}`)
		call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import",
			fmt.Sprintf(`{"keys":[{"api":"orders","tenant":%q,"sha256":"%064x","key_id":"key_%s"}]}`, tenant, len(tenant), tenant))
		err := s.store.CreateCredential(s.Context(), sallyport.NewCredential{Digest: s.hasher.Digest("client of " + tenant), Credential: sallyport.Credential{
			ID: "client_" + tenant, API: "orders", Tenant: &sallyport.Tenant{ID: tenant}, Kind: sallyport.KindClient, Prefix: "or_client_",
			State: sallyport.Active, Client: &sallyport.Client{Grants: []string{"client_credentials"}},
		}})
		if err != nil {
			s.Fatal(err)
		}
		call[CreatedSender](s, 201, "POST", "/admin/v1/senders", `{"api":"orders","tenant":"`+tenant+`","id":"sender_`+tenant+`"}`)
	}
	call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import",
		fmt.Sprintf(`{"keys":[{"api":"parts","tenant":"acme","prefix":"pa_aged_","expires_at":"9d","sha256":"%064x","key_id":"key_parts"}]}`, 1))
	s.take()
	return s
}

// Who may do what: each operation once, by each kind of caller. The answers are
// those to admin, operator and viewer without a scope; then to the three of API
// orders, of its tenant acme, of its tenant other; and to an admin of API parts.
var matrix = map[string]struct {
	method, path, body string
	want               [13]int
}{
	"status":        {"GET", "/admin/v1/status", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}},
	"explain":       {"POST", "/admin/v1/explain", `{"method":"GET","url":"https://a.test/","key_id":"key_acme"}`, [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 403, 403, 403, 404}},
	"list-tenants":  {"GET", "/admin/v1/tenants", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}},
	"show-tenant":   {"GET", "/admin/v1/tenants/orders/acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 404}},
	"create-tenant": {"POST", "/admin/v1/tenants", `{"api":"orders","id":"new","plan":"free"}`, [13]int{201, 201, 403, 201, 201, 403, 403, 403, 403, 403, 403, 403, 422}},
	"change-tenant": {"PATCH", "/admin/v1/tenants/orders/acme", `{"name":"x"}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"list-users":    {"GET", "/admin/v1/users?api=orders&tenant=acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}},
	"show-user":     {"GET", "/admin/v1/users/orders/acme/ann", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 404}},
	"create-user":   {"POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"new"}`, [13]int{201, 201, 403, 201, 201, 403, 201, 201, 403, 422, 422, 403, 422}},
	"change-user":   {"PATCH", "/admin/v1/users/orders/acme/ann", `{"name":"x"}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"list-roles":    {"GET", "/admin/v1/roles?api=orders&tenant=acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 422}},
	"put-role":      {"PUT", "/admin/v1/roles/orders/acme/own", `{"scopes":[]}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"delete-role":   {"DELETE", "/admin/v1/roles/orders/acme/own", "", [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"list-keys":     {"GET", "/admin/v1/keys?api=orders&tenant=acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}},
	"show-key":      {"GET", "/admin/v1/keys/key_acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 404}},
	"create-key":    {"POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme"}`, [13]int{201, 201, 403, 201, 201, 403, 201, 201, 403, 422, 422, 403, 422}},
	"import-keys":   {"POST", "/admin/v1/keys/import", fmt.Sprintf(`{"keys":[{"api":"orders","tenant":"acme","sha256":"%064x"}]}`, 7), [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 422, 422, 403, 422}},
	"change-key":    {"PATCH", "/admin/v1/keys/key_acme", `{"name":"x"}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"roll-key":      {"POST", "/admin/v1/keys/key_acme/roll", `{}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"revoke-key":    {"POST", "/admin/v1/keys/key_acme/revoke", "", [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"list-clients":  {"GET", "/admin/v1/clients?api=orders&tenant=acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}},
	"show-client":   {"GET", "/admin/v1/clients/client_acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 404}},
	"create-client": {"POST", "/admin/v1/clients", `{"api":"orders","tenant":"acme"}`, [13]int{201, 201, 403, 201, 201, 403, 201, 201, 403, 422, 422, 403, 422}},
	"change-client": {"PATCH", "/admin/v1/clients/client_acme", `{"name":"x"}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"roll-client":   {"POST", "/admin/v1/clients/client_acme/roll", `{}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"revoke-client": {"POST", "/admin/v1/clients/client_acme/revoke", "", [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"list-senders":  {"GET", "/admin/v1/senders?api=orders&tenant=acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200}},
	"show-sender":   {"GET", "/admin/v1/senders/orders/sender_acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 404}},
	"create-sender": {"POST", "/admin/v1/senders", `{"api":"orders","tenant":"acme","id":"new"}`, [13]int{201, 201, 403, 201, 201, 403, 201, 201, 403, 422, 422, 403, 422}},
	"change-sender": {"PATCH", "/admin/v1/senders/orders/sender_acme", `{"name":"x"}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"roll-sender":   {"POST", "/admin/v1/senders/orders/sender_acme/roll", `{}`, [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"settle-sender": {"POST", "/admin/v1/senders/orders/sender_acme/settle", "", [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"revoke-sender": {"POST", "/admin/v1/senders/orders/sender_acme/revoke", "", [13]int{200, 200, 403, 200, 200, 403, 200, 200, 403, 404, 404, 403, 404}},
	"show-limits":   {"GET", "/admin/v1/limits?api=orders&tenant=acme&key=key_acme", "", [13]int{200, 200, 200, 200, 200, 200, 200, 200, 200, 404, 404, 404, 422}},
	"reset-limits":  {"POST", "/admin/v1/limits/reset", `{"api":"orders","tenant":"acme","limit":"requests"}`, [13]int{200, 200, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403, 422}},
	"refund-limit":  {"POST", "/admin/v1/limits/refund", `{"api":"orders","tenant":"acme","limit":"requests","hits":1}`, [13]int{200, 200, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403, 422}},
	"put-override":  {"PUT", "/admin/v1/limits/override", `{"api":"orders","tenant":"acme","key":"key_acme","limit":"requests","windows":["unlimited"]}`, [13]int{200, 200, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403, 422}},
	"lift-override": {"DELETE", "/admin/v1/limits/override?api=orders&tenant=acme&limit=requests", "", [13]int{200, 200, 403, 200, 200, 403, 403, 403, 403, 403, 403, 403, 404}},
	"list-tokens":   {"GET", "/admin/v1/tokens", "", [13]int{200, 403, 403, 200, 403, 403, 200, 403, 403, 200, 403, 403, 200}},
	"create-token":  {"POST", "/admin/v1/tokens", `{"name":"x","role":"viewer","api":"orders","tenant":"acme"}`, [13]int{201, 403, 403, 201, 403, 403, 201, 403, 403, 422, 403, 403, 422}},
	"revoke-token":  {"POST", "/admin/v1/tokens/adm_acme/revoke", "", [13]int{200, 403, 403, 200, 403, 403, 200, 403, 403, 404, 403, 403, 404}},
	"reload":        {"POST", "/admin/v1/reload", "", [13]int{200, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403}},
	"profile":       {"GET", "/admin/v1/profile?kind=goroutine", "", [13]int{200, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403, 403}},
}

func TestWhoMayDoWhat(t *testing.T) {
	var callers []sallyport.AdminToken
	for _, scope := range [][2]string{{"", ""}, {"orders", ""}, {"orders", "acme"}, {"orders", "other"}} {
		for _, role := range []string{RoleAdmin, RoleOperator, RoleViewer} {
			callers = append(callers, sallyport.AdminToken{Role: role, API: scope[0], Tenant: scope[1]})
		}
	}
	callers = append(callers, sallyport.AdminToken{Role: RoleAdmin, API: "parts"})
	s := newServer(t)
	tokens := make([]string, len(callers))
	fresh := false
	for id, op := range matrix {
		for i, c := range callers {
			if !fresh {
				s.emptied().withAll().withToken(sallyport.AdminToken{ID: "adm_acme", Role: RoleViewer, API: "orders", Tenant: "acme"})
				for i, c := range callers {
					tokens[i] = s.withToken(c).token
				}
				s.take()
			}
			s.token = tokens[i]
			w := s.serve(s.request(op.method, op.path, op.body))
			if w.Code != op.want[i] {
				t.Errorf("%s by %s of %q %q: %d %s, want %d", id, c.Role, c.API, c.Tenant, w.Code, w.Body, op.want[i])
			}
			events := strings.Join(s.take(), ",")
			fresh = w.Code >= 400 || op.method == http.MethodGet
			if w.Code >= 400 && strings.Contains(events, "committed") {
				t.Errorf("%s by %s of %q %q was refused and did %s", id, c.Role, c.API, c.Tenant, events)
			}
			if outside := c.Tenant == "other" || c.API == "parts"; outside && (strings.Contains(w.Body.String(), "key_acme") || strings.Contains(w.Body.String(), "client_acme") || strings.Contains(w.Body.String(), "sender_acme")) {
				t.Errorf("%s shows %s of %q %q: %s", id, c.Role, c.API, c.Tenant, w.Body)
			}
		}
	}
}

// Every operation has its line in needs and in the matrix, and one that has
// none is refused.
func TestAnOperationWithoutItsNeedIsRefused(t *testing.T) {
	s := newServer(t)
	spec := call[struct {
		Paths map[string]map[string]struct{ OperationID string }
	}](s, 200, "GET", "/admin/openapi.json", "")
	var ids []string
	for _, methods := range spec.Paths {
		for _, op := range methods {
			ids = append(ids, op.OperationID)
		}
	}
	slices.Sort(ids)
	if want := slices.Sorted(maps.Keys(needs)); !slices.Equal(ids, want) {
		t.Errorf("operations %q, and needs of %q", ids, want)
	}
	if want := slices.Sorted(maps.Keys(matrix)); !slices.Equal(ids, want) {
		t.Errorf("operations %q, and a matrix of %q", ids, want)
	}

	api := humago.New(s.handler.mux, s.handler.config())
	api.UseMiddleware(permit(api))
	huma.Register(api, operation("new", http.MethodGet, "/admin/v1/new", "New"),
		func(context.Context, *struct{}) (*answer[Status], error) { return &answer[Status]{}, nil })
	call[problem](s, 403, "GET", "/admin/v1/new", "")
	if why := (need{RoleViewer, fromTenant}).refuses(caller{}); why == "" {
		t.Error("a caller that nobody has named may read")
	}
}

// No body that an operation takes can be endless, torn or about something else.
func TestBadBodiesOfAllOperations(t *testing.T) {
	s := newServer(t)
	for id, op := range matrix {
		if op.body == "" {
			continue
		}
		s.emptied().withAll()
		for body, status := range map[string]int{
			`{"name":"` + strings.Repeat("x", maxBody) + `"}`: 413,
			op.body[:len(op.body)-1]:                          400,
			strings.Replace(op.body, "{", `{"nope":1,`, 1):    422,
			`[]`: 422, `"x"`: 422, `{}}`: 400,
		} {
			body = strings.Replace(body, `,}`, `}`, 1)
			if w := s.serve(s.request(op.method, op.path, body)); w.Code != status {
				t.Errorf("%s %.60s: %d %s, want %d", id, body, w.Code, w.Body, status)
			}
		}
		if events := strings.Join(s.take(), ","); strings.Contains(events, "committed") {
			t.Errorf("%s did %s", id, events)
		}
	}
}

// What is another tenant's is answered word for word as what is not there.
func TestOtherTenantsAreNotThere(t *testing.T) {
	for _, c := range []sallyport.AdminToken{{Role: RoleAdmin, API: "orders", Tenant: "acme"}, {Role: RoleAdmin, API: "orders"}} {
		s := newServer(t).withAll().withToken(sallyport.AdminToken{ID: "adm_foreign", Role: RoleViewer, API: "parts"}).withToken(c)
		foreign := strings.NewReplacer("API", "orders", "TENANT", "other", "KEY", "key_other", "TOKEN", "adm_foreign")
		if c.Tenant == "" {
			foreign = strings.NewReplacer("API", "parts", "TENANT", "acme", "KEY", "key_parts", "TOKEN", "adm_foreign")
		}
		unknown := strings.NewReplacer("API", "nope", "TENANT", "nobody", "KEY", "key_nosuch", "TOKEN", "adm_nosuch")
		if c.Tenant != "" {
			unknown = strings.NewReplacer("API", "orders", "TENANT", "nobody", "KEY", "key_nosuch", "TOKEN", "adm_nosuch")
		}
		for _, one := range []string{
			"GET /admin/v1/tenants/API/TENANT", "PATCH /admin/v1/tenants/API/TENANT {}", `PATCH /admin/v1/tenants/API/TENANT {"plan":"free"}`,
			"GET /admin/v1/users/API/TENANT/ann", "PATCH /admin/v1/users/API/TENANT/ann {}", "GET /admin/v1/users?api=API&tenant=TENANT",
			`POST /admin/v1/users {"api":"API","tenant":"TENANT","id":"x","roles":["own"]}`,
			"GET /admin/v1/roles?api=API&tenant=TENANT", `PUT /admin/v1/roles/API/TENANT/x {"scopes":[]}`, "DELETE /admin/v1/roles/API/TENANT/own",
			"GET /admin/v1/keys/KEY", "PATCH /admin/v1/keys/KEY {}", `PATCH /admin/v1/keys/KEY {"name":"x"}`, "POST /admin/v1/keys/KEY/revoke", "POST /admin/v1/keys/KEY/roll {}",
			"GET /admin/v1/keys?api=API&tenant=TENANT", "GET /admin/v1/keys?after=KEY", `POST /admin/v1/keys {"api":"API","tenant":"TENANT"}`,
			`POST /admin/v1/keys/import {"keys":[{"api":"API","tenant":"TENANT","key":"x"}]}`,
			"POST /admin/v1/tokens/TOKEN/revoke", `POST /admin/v1/tokens {"name":"x","role":"viewer","api":"API","tenant":"TENANT"}`,
			"GET /admin/v1/limits?api=API&tenant=TENANT", "GET /admin/v1/limits?api=API&tenant=TENANT&key=KEY",
			`POST /admin/v1/limits/reset {"api":"API","tenant":"TENANT","limit":"requests"}`,
			`POST /admin/v1/limits/refund {"api":"API","tenant":"TENANT","key":"KEY","limit":"requests","hits":1}`,
			`PUT /admin/v1/limits/override {"api":"API","tenant":"TENANT","limit":"requests","windows":["unlimited"]}`,
			`PUT /admin/v1/limits/override {"api":"API","tenant":"TENANT","key":"KEY","limit":"requests","windows":["unlimited"]}`,
			"DELETE /admin/v1/limits/override?api=API&tenant=TENANT&limit=requests", "DELETE /admin/v1/limits/override?api=API&tenant=TENANT&key=KEY&limit=requests",
			`POST /admin/v1/explain {"method":"GET","url":"https://a.test/","key_id":"KEY"}`,
		} {
			ask := func(r *strings.Replacer) string {
				method, rest, _ := strings.Cut(r.Replace(one), " ")
				path, body, _ := strings.Cut(rest, " ")
				w := s.serve(s.request(method, path, body))
				return fmt.Sprint(w.Code, " ", w.Body)
			}
			got, want := ask(foreign), ask(unknown)
			if c.Tenant == "" { // the API itself is named in what refuses it
				got, want = strings.ReplaceAll(got, "parts", "nope"), strings.ReplaceAll(want, "parts", "nope")
			}
			if got != want {
				t.Errorf("%s by a token of %q %q:\n%s\nand of what is not there:\n%s", one, c.API, c.Tenant, got, want)
			}
		}
	}
}

func TestListsAreNarrowed(t *testing.T) {
	s := newServer(t)
	for _, test := range []struct {
		caller        sallyport.AdminToken
		tenants, keys []string
		apis, tokens  int
	}{
		{sallyport.AdminToken{Role: RoleAdmin}, []string{"orders/acme", "orders/other", "parts/acme"}, []string{"key_parts", "client_other", "key_other", "client_acme", "key_acme"}, 3, 3},
		{sallyport.AdminToken{Role: RoleAdmin, API: "orders"}, []string{"orders/acme", "orders/other"}, []string{"client_other", "key_other", "client_acme", "key_acme"}, 1, 2},
		{sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "acme"}, []string{"orders/acme"}, []string{"client_acme", "key_acme"}, 1, 2},
		{sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "gone"}, nil, nil, 1, 1},
		{sallyport.AdminToken{Role: RoleAdmin, API: "gone"}, nil, nil, 0, 1},
	} {
		s.emptied().withAll().withToken(sallyport.AdminToken{ID: "adm_acme", Role: RoleViewer, API: "orders", Tenant: "acme"})
		s.withToken(test.caller)
		var tenants, keys []string
		for _, one := range call[TenantList](s, 200, "GET", "/admin/v1/tenants", "").Tenants {
			tenants = append(tenants, one.API+"/"+one.ID)
		}
		for _, one := range call[KeyList](s, 200, "GET", "/admin/v1/keys", "").Keys {
			keys = append(keys, one.KeyID)
		}
		apis := call[Status](s, 200, "GET", "/admin/v1/status", "").APIs
		tokens := call[TokenList](s, 200, "GET", "/admin/v1/tokens", "").Tokens
		if !slices.Equal(tenants, test.tenants) || !slices.Equal(keys, test.keys) || len(apis) != test.apis || len(tokens) != test.tokens {
			t.Errorf("a token of %q %q: tenants %q, keys %q, %d APIs, %d tokens; want %+v", test.caller.API, test.caller.Tenant, tenants, keys, len(apis), len(tokens), test)
		}
		if got := call[TenantList](s, 200, "GET", "/admin/v1/tenants?api=parts", "").Tenants; test.caller.API != "" && len(got) != 0 {
			t.Errorf("a token of %q %q lists %+v of another API", test.caller.API, test.caller.Tenant, got)
		}
	}
	s.emptied().withAll().withToken(sallyport.AdminToken{Role: RoleViewer, API: "orders", Tenant: "acme"})
	if got := call[TenantList](s, 200, "GET", "/admin/v1/tenants?after=orders/acme", "").Tenants; len(got) != 0 {
		t.Errorf("behind the only tenant there is %+v", got)
	}
	if got := call[UserList](s, 200, "GET", "/admin/v1/users", "").Users; len(got) != 1 || got[0].Tenant != "acme" {
		t.Errorf("users %+v, want those of acme, which need not be named", got)
	}
}

func TestATenantDoesNotChangeItsOwnTerms(t *testing.T) {
	s := newServer(t).withAll().withToken(sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "acme"})
	for _, change := range []string{`{"plan":"free"}`, `{"limits":{}}`, `{"overrides":{"requests":["unlimited"]}}`, `{"overrides":null}`, `{"state":"active"}`} {
		where, _ := details(call[problem](s, 403, "PATCH", "/admin/v1/tenants/orders/acme", change))
		if len(where) != 1 || !strings.HasPrefix(where[0], "body.") {
			t.Errorf("%s: faults at %q", change, where)
		}
	}
	if got := call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"name":"x","attributes":{"a":"b"}}`); got.Name != "x" {
		t.Errorf("changed %+v", got)
	}
}

func TestNobodyMakesATokenWithMoreThanTheirs(t *testing.T) {
	end := now.Add(30 * day)
	s := newServer(t).withAll().withToken(sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "acme", ExpiresAt: end})
	for body, want := range map[string][]string{
		`{"name":"x","role":"admin"}`:                                                                        {"body.api", "body.expires_at"},
		`{"name":"x","role":"admin","api":"orders","expires_at":"31d"}`:                                      {"body.expires_at", "body.tenant"},
		`{"name":"x","role":"admin","api":"parts","tenant":"acme","expires_at":"1d"}`:                        {"body.api"},
		`{"name":"x","role":"admin","api":"orders","tenant":"other","expires_at":"1d"}`:                      {"body.tenant"},
		`{"name":"x","role":"root","api":"orders","tenant":"acme","expires_at":"1d"}`:                        {"body.role"},
		`{"name":"a\u0007","role":"viewer","api":"orders","tenant":"acme","expires_at":"2020-01-01"}`:        {"body.expires_at", "body.name"},
		`{"name":"x","role":"viewer","tenant":"acme","expires_at":"never"}`:                                  {"body.api", "body.expires_at"},
		`{"role":"viewer","api":"orders","tenant":"acme"}`:                                                   {"body"},
		`{"name":"x","role":"viewer","api":"orders","tenant":"acme","expires_at":"1d","secret":"of my own"}`: {"body.secret"},
	} {
		if where, text := details(call[problem](s, 422, "POST", "/admin/v1/tokens", body)); !slices.Equal(where, want) {
			t.Errorf("%s: faults at %q, want %q\n%s", body, where, want, text)
		}
	}
	made := call[CreatedToken](s, 201, "POST", "/admin/v1/tokens", `{"name":"x","role":"admin","api":"orders","tenant":"acme","expires_at":"30d"}`)
	if made.ExpiresAt == nil || !made.ExpiresAt.Equal(end.Truncate(time.Second)) || made.Tenant != "acme" || made.State != "active" || made.Expired {
		t.Errorf("made %+v", made.Token)
	}
}

func TestTokenIsCreatedListedAndRevoked(t *testing.T) {
	s := newServer(t)
	own := s.token
	made := call[CreatedToken](s, 201, "POST", "/admin/v1/tokens", `{"name":"ci","role":"viewer","expires_at":"90d"}`)
	if !strings.HasPrefix(made.Secret.Reveal(), TokenPrefix) || made.Role != "viewer" {
		t.Fatalf("made %+v", made)
	}
	list := call[TokenList](s, 200, "GET", "/admin/v1/tokens", "").Tokens
	if len(list) != 2 || !slices.ContainsFunc(list, func(t Token) bool { return t.ID == made.ID && t.Name == "ci" }) {
		t.Errorf("tokens %+v", list)
	}
	s.token = made.Secret.Reveal()
	call[Status](s, 200, "GET", "/admin/v1/status", "")
	s.token = own
	for range 2 {
		if got := call[Token](s, 200, "POST", "/admin/v1/tokens/"+made.ID+"/revoke", ""); got.State != "revoked" {
			t.Errorf("state %s, want revoked", got.State)
		}
	}
	s.token = made.Secret.Reveal()
	call[problem](s, 401, "GET", "/admin/v1/status", "")
	if n := strings.Count(s.shown.String(), made.Secret.Reveal()); n != 1 || strings.Contains(s.log.String(), made.Secret.Reveal()) {
		t.Errorf("the answers show the token %d times, want once, and the log never", n)
	}
}

func TestTokensThatAreNoGood(t *testing.T) {
	s := newServer(t)
	for _, bad := range []sallyport.AdminToken{
		{Role: "auditor"},
		{ID: "no role"},
		{Role: RoleAdmin, Tenant: "acme"}, // of no API
		{Role: RoleAdmin, State: sallyport.Disabled},
		{Role: RoleAdmin, State: sallyport.Revoked},
		{Role: RoleAdmin, ExpiresAt: now},
		{Role: RoleAdmin, ExpiresAt: now.Add(-time.Hour)},
	} {
		s.emptied().withToken(bad)
		if got := call[problem](s, 401, "GET", "/admin/v1/status", ""); got.Detail == "" {
			t.Errorf("%+v: no detail", bad)
		}
	}
	s.emptied().withToken(sallyport.AdminToken{Role: RoleAdmin, ExpiresAt: now.Add(time.Second)})
	call[Status](s, 200, "GET", "/admin/v1/status", "")
}
