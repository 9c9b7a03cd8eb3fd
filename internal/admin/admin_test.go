package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)

// testPolicy has an API with simple keys, and one with every rule about keys.
func testPolicy() *sallyport.Policy {
	return &sallyport.Policy{Chain: sallyport.Paired, APIs: []*sallyport.API{
		{
			Name: "orders", Hosts: []string{"api.orders.test"},
			Keys: []sallyport.KeyForm{
				{Prefix: "or_live_", Kind: "key", Environment: "live"},
				{Prefix: "or_test_", Kind: "key", Environment: "test", Access: sallyport.Read, Sandbox: true},
				{Prefix: "or_pat_", Kind: "pat"},
				{Prefix: "or_only_", Kind: "key", Label: true, UniqueLabel: true},
				{Prefix: "or_client_", Kind: "client", Exchange: true},
			},
			Scopes:  []sallyport.Scope{{Name: "items:read"}, {Name: "items:write"}, {Name: "admin", GrantsAll: true}},
			Presets: map[string][]string{"read-write": {"items:read", "items:write"}},
			Plans:   []string{"free", "custom"},
			Roles:   map[string][]string{"reader": {"items:read"}, "Security Analyst": {"items:read", "items:write"}},

			TenantRoles: true, Categories: []string{"Findings", "Posture"},
			Limits: []*sallyport.Limit{
				{Name: "requests", Plans: map[string]sallyport.Windows{
					"free":   {List: []sallyport.Window{{Max: 60, Length: time.Minute}}},
					"custom": {FromTenant: true},
				}},
				{Name: "in-flight", Concurrency: 5},
			},
			Operations: []*sallyport.Operation{{
				Name: "POST /token", Method: "POST", Path: "/token", Serve: sallyport.ServeToken, Plans: []string{"free"},
				Grants: []string{"client_credentials", "authorization_code", "refresh_token"},
			}, {
				Name: "POST /hooks/paid", Method: "POST", Path: "/hooks/paid", Webhook: &sallyport.Webhook{Header: "x-signature", Sender: "payments", MaxBody: 100},
			}, {
				Name: "POST /hooks/{from}", Method: "POST", Path: "/hooks/{from}", Webhook: &sallyport.Webhook{Header: "x-signature", Parameter: "from", MaxBody: 100},
			}},
		},
		{
			Name: "parts",
			Keys: []sallyport.KeyForm{
				{Prefix: "pa_", Kind: "key", Label: true, MinScopes: 1, Expiry: []string{"30d", "1y", "date"}},
				{Prefix: "pa_aged_", Kind: "key", Environment: "aged", MinAge: 7 * day, MaxAge: 365 * day},
				{Prefix: "pa_pat_", Kind: "pat"},
				{Prefix: "pa_role_", Kind: "key", Role: true},
			},
			Scopes: []sallyport.Scope{{Name: "*", GrantsAll: true}},
			Operations: []*sallyport.Operation{{
				Name: "POST /paid", Method: "POST", Path: "/paid", Webhook: &sallyport.Webhook{Header: "x-signature", Sender: "payments", MaxBody: 100},
			}},
			Roles: map[string][]string{"auditor": {"*"}},
		},
		{Name: "bare"},
	}}
}

// recorder notes what happens in which order.
type recorder struct {
	mu     sync.Mutex // guards events
	events []string
}

func (r *recorder) note(words ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, strings.Join(words, " "))
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

func (r *recorder) ForgetCredential(id string)  { r.note("forget credential", id) }
func (r *recorder) ForgetTenant(api, id string) { r.note("forget tenant", api, id) }
func (r *recorder) ForgetUser(api, tenant, id string) {
	r.note("forget user", api, tenant, id)
}
func (r *recorder) ForgetSender(api, id string)      { r.note("forget sender", api, id) }
func (r *recorder) Known(sallyport.Digest)           { r.note("known") }
func (r *recorder) MarkUnchecked(api, prefix string) { r.note("unchecked", api, prefix) }

// notingStore notes when a write has been committed, and fails when told to.
type notingStore struct {
	Store
	*recorder
	fail   error
	before func() // called before each write
}

func (s *notingStore) do(name string, write func() error) error {
	if s.before != nil {
		s.before()
	}
	if s.fail != nil {
		s.note("failed", name)
		return s.fail
	}
	err := write()
	if err == nil {
		s.note("committed", name)
	}
	return err
}

func (s *notingStore) CreateTenant(ctx context.Context, t sallyport.Tenant) error {
	return s.do("create tenant", func() error { return s.Store.CreateTenant(ctx, t) })
}

func (s *notingStore) UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (t *sallyport.Tenant, n int, err error) {
	err = s.do("update tenant", func() error { t, n, err = s.Store.UpdateTenant(ctx, api, id, change); return err })
	return t, n, err
}

func (s *notingStore) CreateUser(ctx context.Context, u sallyport.User) error {
	return s.do("create user", func() error { return s.Store.CreateUser(ctx, u) })
}

func (s *notingStore) UpdateUser(ctx context.Context, api, tenant, id string, change func(*sallyport.User) error) (u *sallyport.User, n int, err error) {
	err = s.do("update user", func() error { u, n, err = s.Store.UpdateUser(ctx, api, tenant, id, change); return err })
	return u, n, err
}

func (s *notingStore) CreateCredential(ctx context.Context, c sallyport.NewCredential) error {
	return s.do("create credential", func() error { return s.Store.CreateCredential(ctx, c) })
}

func (s *notingStore) ImportCredentials(ctx context.Context, list []sallyport.NewCredential) (done []sallyport.Imported, err error) {
	err = s.do("import credentials", func() error { done, err = s.Store.ImportCredentials(ctx, list); return err })
	return done, err
}

func (s *notingStore) UpdateCredential(ctx context.Context, api, tenant, id string, unique bool, change func(*sallyport.Credential) error) (c *sallyport.Credential, err error) {
	err = s.do("update credential", func() error {
		c, err = s.Store.UpdateCredential(ctx, api, tenant, id, unique, change)
		return err
	})
	return c, err
}

func (s *notingStore) RollCredential(ctx context.Context, api, tenant, id string, roll func(*sallyport.Credential) (sallyport.Roll, error)) (c *sallyport.Credential, err error) {
	err = s.do("roll credential", func() error { c, err = s.Store.RollCredential(ctx, api, tenant, id, roll); return err })
	return c, err
}

func (s *notingStore) CreateSender(ctx context.Context, w sallyport.Sender) error {
	return s.do("create sender", func() error { return s.Store.CreateSender(ctx, w) })
}

func (s *notingStore) UpdateSender(ctx context.Context, api, tenant, id string, change func(*sallyport.Sender) error) (w *sallyport.Sender, err error) {
	err = s.do("update sender", func() error { w, err = s.Store.UpdateSender(ctx, api, tenant, id, change); return err })
	return w, err
}

// server is a Handler over a store in memory.
type server struct {
	*testing.T
	*recorder
	handler *Handler
	store   *notingStore
	policy  *sallyport.Policy
	hasher  *apikey.Hasher
	log     *bytes.Buffer
	token   string
	shown   bytes.Buffer // every answer so far

	counters *counters
	reload   func(context.Context) error
	explain  func(context.Context, ExplainRequest) (Explanation, error)
}

func newServer(t *testing.T) *server {
	t.Helper()
	told := new(recorder)
	s := &server{
		T: t, recorder: told, policy: testPolicy(), hasher: testHasher(t, 1), log: new(bytes.Buffer),
		store: &notingStore{recorder: told}, counters: &counters{recorder: told, used: map[string]uint64{}},
		reload:  func(context.Context) error { return nil },
		explain: func(context.Context, ExplainRequest) (Explanation, error) { return Explanation{}, nil },
	}
	var err error
	if s.handler, err = New(s.options()); err != nil {
		t.Fatal(err)
	}
	return s.emptied()
}

func (s *server) options() Options {
	return Options{
		Store: s.store, Changed: s.recorder, Policy: func() *sallyport.Policy { return s.policy }, Hasher: s.hasher,
		Now: func() time.Time { return now }, Version: "test",
		Log:     slog.New(slog.NewJSONHandler(s.log, nil)),
		Limits:  s.counters,
		Reload:  func(ctx context.Context) error { return s.reload(ctx) },
		Explain: func(ctx context.Context, in ExplainRequest) (Explanation, error) { return s.explain(ctx, in) },
	}
}

func testHasher(t *testing.T, version int) *apikey.Hasher {
	t.Helper()
	pepper, err := apikey.ParsePepper([]byte("0123456789abcdefghijklmnopqrstuvwxyz!" + string(rune('a'+version))))
	if err != nil {
		t.Fatal(err)
	}
	h, err := apikey.NewHasher(pepper.WithVersion(version))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// noting is a ResponseWriter that notes when the answer begins.
type noting struct {
	*httptest.ResponseRecorder
	*recorder
}

func (n noting) WriteHeader(code int) {
	n.note("answered")
	n.ResponseRecorder.WriteHeader(code)
}

func (s *server) request(method, path, body string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	r.Header.Set("Authorization", "Bearer "+s.token)
	return r
}

func (s *server) serve(r *http.Request) *httptest.ResponseRecorder {
	s.Helper()
	w := noting{httptest.NewRecorder(), s.recorder}
	s.handler.ServeHTTP(w, r)
	s.shown.Write(w.Body.Bytes())
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		s.Errorf("%s %s: Cache-Control %q, want no-store", r.Method, r.URL.Path, got)
	}
	if ct := w.Header().Get("Content-Type"); w.Code >= 400 && ct != "application/problem+json" {
		s.Errorf("%s %s: %d with Content-Type %q, want a problem", r.Method, r.URL.Path, w.Code, ct)
	}
	return w.ResponseRecorder
}

// call makes a call that must be answered with status, and decodes the answer.
func call[T any](s *server, status int, method, path, body string) (answer T) {
	s.Helper()
	w := s.serve(s.request(method, path, body))
	if w.Code != status {
		s.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		s.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
	}
	return answer
}

type problem = huma.ErrorModel

// details lists where a problem was found, and the messages.
func details(p problem) (locations []string, text string) {
	for _, d := range p.Errors {
		locations = append(locations, d.Location)
		text += d.Message + "\n"
		if d.Value != nil {
			text += "VALUE REPEATED\n"
		}
	}
	slices.Sort(locations)
	return locations, text
}

// withTenant makes the tenant acme of orders and of parts.
func (s *server) withTenant() *server {
	s.Helper()
	call[Tenant](s, 201, "POST", "/admin/v1/tenants", `{"api":"orders","id":"acme","plan":"free"}`)
	call[Tenant](s, 201, "POST", "/admin/v1/tenants", `{"api":"parts","id":"acme"}`)
	s.take()
	return s
}

func (s *server) newKey(body string) CreatedKey {
	s.Helper()
	return call[CreatedKey](s, 201, "POST", "/admin/v1/keys", body)
}

const plainKey = `{"api":"orders","tenant":"acme","scopes":["items:read"]}`
