package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/visit"
)

// visitor is a credential of a tenant that uses the API's own endpoint.
type visitor struct {
	*server
	id string
}

// withEndpoint mounts the endpoint for keys on the paths of orders.
func (s *server) withEndpoint(scopes string) visitor {
	s.Helper()
	for _, at := range []struct{ method, path string }{
		{"GET", "/v1/api-keys"}, {"POST", "/v1/api-keys"}, {"GET", "/v1/api-keys/{id}"}, {"PATCH", "/v1/api-keys/{id}"}, {"DELETE", "/v1/api-keys/{id}"},
	} {
		s.policy.APIs[0].Operations = append(s.policy.APIs[0].Operations, &sallyport.Operation{
			Name: at.method + " " + at.path, Method: at.method, Path: at.path, Serve: sallyport.ServeKeys,
			Fields: map[string]string{"id": "key_id", "scopes": "permissions"},
		})
	}
	return visitor{s, s.newKey(`{"api":"orders","tenant":"acme","scopes":[` + scopes + `]}`).KeyID}
}

// statement is what Check would say of v's request.
func (v visitor) statement(method, path string) proof.Statement {
	operation := method + " /v1/api-keys"
	if strings.Count(path, "/") > 2 {
		operation += "/{id}"
	}
	return proof.Statement{API: "orders", Operation: operation, Tenant: "acme", Credential: v.id, RequestID: "r1", Method: method, Path: path, At: now.Unix()}
}

func (v visitor) visit(method, target, body string, s proof.Statement) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set(proof.Header, proof.Make(v.hasher.Derive(proof.Purpose), s))
	w := httptest.NewRecorder()
	v.enter(w, r)
	return w
}

// enter sends r to the door that Check's proof opens, as the server has it.
func (v visitor) enter(w http.ResponseWriter, r *http.Request) {
	door := visit.Door{Keys: []proof.Key{v.hasher.Derive(proof.Purpose)}, Policy: v.handler.policy, Now: v.handler.now, Log: v.handler.log}
	if in := door.Enter(w, r); in != nil {
		v.handler.ServeKeys(in)
	}
}

func (v visitor) ask(method, target, body string) (int, map[string]any) {
	v.Helper()
	path, _, _ := strings.Cut(target, "?")
	w := v.visit(method, target, body, v.statement(method, path))
	var tree map[string]any
	if w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &tree) != nil {
		v.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w.Code, tree
}

// Without the proof that Check let it pass, a request to an endpoint is nothing.
func TestEndpointsWantAProof(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"admin"`)
	good := v.statement("GET", "/v1/api-keys")
	if w := v.visit("GET", "/v1/api-keys", "", good); w.Code != 200 {
		t.Fatalf("with a proof: %d %s", w.Code, w.Body)
	}
	change := func(f func(*proof.Statement)) proof.Statement { s := good; f(&s); return s }
	for name, c := range map[string]struct {
		method string
		s      proof.Statement
	}{
		"of another path":      {"GET", change(func(s *proof.Statement) { s.Path = "/v1/devices" })},
		"of another method":    {"POST", good},
		"old":                  {"GET", change(func(s *proof.Statement) { s.At -= 60 })},
		"of another operation": {"GET", change(func(s *proof.Statement) { s.Operation = "GET /v1/devices" })},
		"of another API":       {"GET", change(func(s *proof.Statement) { s.API = "parts" })},
		"of nobody":            {"GET", change(func(s *proof.Statement) { s.Credential = "key_nobody" })},
		"of another tenant":    {"GET", change(func(s *proof.Statement) { s.Tenant = "other" })},
	} {
		if w := v.visit(c.method, "/v1/api-keys", "", c.s); w.Code != 404 || strings.Contains(w.Body.String(), "key_id") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("GET", "/v1/api-keys", nil)
	for _, name := range []string{"X-Sallyport-Tenant", "X-Sallyport-Credential", proof.Header} {
		r.Header.Set(name, "acme")
	}
	w := httptest.NewRecorder()
	v.enter(w, r)
	if w.Code != http.StatusNotFound {
		t.Errorf("forged headers: %d %s", w.Code, w.Body)
	}
}

// G4: a caller whose key ended since Check is nobody.
func TestCallersWhoseKeyEndedAreRefused(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"admin"`)
	for _, state := range []string{"disabled", "active"} {
		call[Key](v.server, 200, "PATCH", "/admin/v1/keys/"+v.id, `{"state":"`+state+`"}`)
		want := map[string]int{"disabled": 401, "active": 200}[state]
		if status, tree := v.ask("GET", "/v1/api-keys", ""); status != want {
			t.Errorf("%s: %d %v", state, status, tree)
		}
	}
	call[Tenant](v.server, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"state":"disabled"}`)
	if status, tree := v.ask("GET", "/v1/api-keys", ""); status != 401 {
		t.Errorf("suspended tenant: %d %v", status, tree)
	}
}

// slowly reads its text after it has done something.
type slowly struct {
	first func()
	text  *strings.Reader
}

func (s *slowly) Read(b []byte) (int, error) {
	if s.first != nil {
		s.first()
		s.first = nil
	}
	return s.text.Read(b)
}

// G4: who takes their time with a body is judged when it is there.
func TestASlowBodyDoesNotOutliveAKey(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"admin"`)
	r := httptest.NewRequest("POST", "/v1/api-keys", &slowly{
		func() { call[Key](v.server, 200, "POST", "/admin/v1/keys/"+v.id+"/revoke", "") }, strings.NewReader(`{"permissions":["admin"]}`),
	})
	r.Header.Set(proof.Header, proof.Make(v.hasher.Derive(proof.Purpose), v.statement("POST", "/v1/api-keys")))
	w := httptest.NewRecorder()
	if v.enter(w, r); w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// A user's token makes no key: it would stay when the user goes.
func TestUsersTokensMakeNoKeys(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"admin"`)
	call[User](v.server, 201, "POST", "/admin/v1/users", `{"api":"orders","tenant":"acme","id":"ana","roles":["Security Analyst"]}`)
	v.id = v.newKey(`{"api":"orders","tenant":"acme","prefix":"or_pat_","user":"ana"}`).KeyID
	if status, tree := v.ask("POST", "/v1/api-keys", `{"permissions":["items:read"]}`); status != 403 {
		t.Errorf("%d %v", status, tree)
	}
}

// V3: nobody grants what they do not hold, neither by name nor by preset.
func TestNobodyGrantsWhatTheyDoNotHold(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"items:read"`)
	for body, want := range map[string]int{
		`{"permissions":["items:read"]}`:  201,
		`{}`:                              201,
		`{"permissions":["items:write"]}`: 403,
		`{"permissions":["items:read","items:write"]}`: 403,
		`{"permissions":["admin"]}`:                    403,
		`{"permissions":["read-write"]}`:               403,
		`{"permissions":["nothing"]}`:                  400,
	} {
		if status, tree := v.ask("POST", "/v1/api-keys", body); status != want {
			t.Errorf("%s: %d %v, want %d", body, status, tree, want)
		}
	}
	if status, tree := v.ask("PATCH", "/v1/api-keys/"+v.id, `{"permissions":["admin"]}`); status != 403 {
		t.Errorf("PATCH of itself: %d %v", status, tree)
	}
	admin := newServer(t).withTenant().withEndpoint(`"admin"`)
	if status, tree := admin.ask("POST", "/v1/api-keys", `{"permissions":["read-write"]}`); status != 201 {
		t.Errorf("by one who holds all: %d %v", status, tree)
	}
}

// A changed key is forgotten by the caches before the answer; a deleted one is
// not there any more; and lists go on page by page.
func TestLifeOfAKeyInSelfService(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"admin"`)
	var ids []string
	for range 3 {
		status, tree := v.ask("POST", "/v1/api-keys", `{"name":"k","permissions":["items:read"]}`)
		id, _ := tree["key_id"].(string)
		if secret, _ := tree["key"].(string); status != 201 || id == "" || !strings.HasPrefix(secret, "or_live_") {
			t.Fatalf("create: %d %v", status, tree)
		}
		ids = append(ids, id)
	}
	v.take()
	if status, tree := v.ask("DELETE", "/v1/api-keys/"+ids[1], ""); status != 204 {
		t.Fatalf("delete: %d %v", status, tree)
	}
	if events := v.take(); !slices.Contains(events, "forget credential "+ids[1]) {
		t.Errorf("the caches were told %v", events)
	}
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		if status, tree := v.ask(method, "/v1/api-keys/"+ids[1], "{}"); status != 404 {
			t.Errorf("%s of a deleted key: %d %v", method, status, tree)
		}
	}
	var seen []string
	for target := "/v1/api-keys?limit=1"; target != ""; {
		status, tree := v.ask("GET", target, "")
		if status != 200 {
			t.Fatalf("list: %d %v", status, tree)
		}
		for _, k := range tree["api_keys"].([]any) {
			seen = append(seen, k.(map[string]any)["key_id"].(string))
		}
		target = ""
		if next, _ := tree["next"].(string); next != "" {
			target = "/v1/api-keys?limit=1&after=" + next
		}
	}
	if want := []string{ids[2], ids[0], v.id}; !slices.Equal(seen, want) {
		t.Errorf("listed %v, want %v", seen, want)
	}
	for _, target := range []string{"/v1/api-keys?limit=0", "/v1/api-keys?limit=x", "/v1/api-keys?after=key_nobody"} {
		if status, _ := v.ask("GET", target, ""); status != 400 {
			t.Errorf("%s: %d", target, status)
		}
	}
}

// What is wrong with a body is told in the API's shape, and nothing is repeated.
func TestBadBodiesInSelfService(t *testing.T) {
	v := newServer(t).withTenant().withEndpoint(`"admin"`)
	for body, want := range map[string]string{
		"":                          "ends too early",
		"[]":                        "begins with something else",
		"null":                      "begins with something else",
		`{"name":"a"} {}`:           "something follows",
		`{"name":"a","name":"b"}`:   "twice",
		`{"name":`:                  "ends too early",
		`{name:1}`:                  "broken",
		`{"name":{}}`:               "name: is not text",
		`{"permissions":[1]}`:       "permissions: is not a list of texts",
		`{"scopes":["items:read"]}`: "scopes: is not a field",
		`{"plan":"custom"}`:         "plan: is not a field",
		`{"overrides":{"requests":["unlimited"]}}`: "overrides: is not a field",
		`{"attributes":{"team":"new"}}`:            "attributes: is not a field",
		`{"allowed_ips":["10.0.0.0/99"]}`:          "allowed_ips[0]",
		`{"expires_at":"2020-01-01"}`:              "expires_at: is in the past",
	} {
		status, tree := v.ask("POST", "/v1/api-keys", body)
		message, _ := tree["error"].(map[string]any)["message"].(string)
		if status != 400 || !strings.Contains(message, want) {
			t.Errorf("%s: %d %v, want %q", body, status, tree, want)
		}
	}
	if status, tree := v.ask("POST", "/v1/api-keys", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`); status != 413 {
		t.Errorf("a megabyte: %d %v", status, tree)
	}
	if status, tree := v.ask("POST", "/v1/api-keys", `{"name":"`+strings.Repeat("x", 201)+`"}`); status != 400 {
		t.Errorf("a long name: %d %v", status, tree)
	}
	v.store.fail = http.ErrHandlerTimeout
	if status, tree := v.ask("POST", "/v1/api-keys", `{"name":"a"}`); status != 503 {
		t.Errorf("a store that fails: %d %v", status, tree)
	}
}

// FuzzReadObject: what is read holds what encoding/json reads, or is refused.
func FuzzReadObject(f *testing.F) {
	f.Add(`{"a":1,"b":[{"c":null}]}`)
	f.Add(`{"a":1,"a":2}`)
	f.Add(` { } x`)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readObject([]byte(text))
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil || want == nil {
			t.Fatalf("%q is read as %v, and encoding/json says %v", text, got, err)
		}
		if len(got) != len(want) {
			t.Errorf("%q: %d members, want %d", text, len(got), len(want))
		}
		for name, value := range want {
			if string(got[name]) != string(value) {
				t.Errorf("%q: %s is %s, want %s", text, name, got[name], value)
			}
		}
	})
}
