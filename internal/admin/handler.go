package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/password"
)

const (
	maxBody = 1 << 20
	// writeTimeout bounds a write, which does not end with its request.
	writeTimeout = 10 * time.Second
	// importTimeout is for an import, which is a thousand of them.
	importTimeout = 25 * time.Second
)

// Store keeps tenants, users, keys, senders of webhooks and admin tokens.
type Store interface {
	TenantStore
	UserStore
	KeyStore
	SenderStore
	TokenStore
}

// Forgetter is the instance's own memory of what the store holds: its caches
// and filters. Each call returns when the change is in force.
type Forgetter interface {
	// ForgetCredential: the credential has changed.
	ForgetCredential(id string)
	// ForgetTenant: the tenant has changed, and so have all its credentials.
	ForgetTenant(api, id string)
	// ForgetUser: the user has changed, and so have its credentials.
	ForgetUser(api, tenant, id string)
	// ForgetSender: the sender of webhooks has changed.
	ForgetSender(api, id string)
	// Known: there is now a credential with this digest.
	Known(d sallyport.Digest)
	// MarkUnchecked: there are now secrets under prefix that may have no
	// checksum.
	MarkUnchecked(api, prefix string)
}

// Options are what a Handler is made of. All but the second half are required.
type Options struct {
	Store   Store
	Changed Forgetter
	Policy  func() *sallyport.Policy // the one in force
	Hasher  *apikey.Hasher
	Now     func() time.Time

	Token   apikey.Secret                                              // the operator's own token, from a file or the environment
	Reload  func(context.Context) error                                // reads the configuration again; its error is Faults where that has any
	Explain func(context.Context, ExplainRequest) (Explanation, error) // decides without spending; sallyport.ErrNotFound: there is no such key
	Limits  Limits                                                     // the counters; nil: nobody sees or steers them here
	Version string
	Log     *slog.Logger

	Passwords *password.Hasher // nil: one of its own, that does one at a time
}

// Handler serves everything under /admin/.
type Handler struct {
	store   Store
	changed Forgetter
	policy  func() *sallyport.Policy
	hasher  *apikey.Hasher
	now     func() time.Time
	reload  func(context.Context) error
	explain func(context.Context, ExplainRequest) (Explanation, error)
	limits  Limits
	version string

	passwords *password.Hasher
	started   time.Time
	log       *slog.Logger

	auth authenticator
	mux  *http.ServeMux
}

// New returns a Handler, ready to be mounted at /admin/.
func New(o Options) (*Handler, error) {
	if o.Store == nil || o.Changed == nil || o.Policy == nil || o.Hasher == nil || o.Now == nil {
		return nil, errors.New("admin: the store, forgetter, policy, hasher and clock are all needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		store: o.Store, changed: o.Changed, policy: o.Policy, hasher: o.Hasher, now: o.Now,
		reload: o.Reload, explain: o.Explain, limits: o.Limits, version: o.Version, started: o.Now().UTC(), log: o.Log, mux: http.NewServeMux(),
		passwords: o.Passwords,
	}
	if h.passwords == nil {
		h.passwords = password.NewHasher(1)
	}
	forms, err := apikey.Compile(tokenForms)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	h.auth = authenticator{store: o.Store, hasher: o.Hasher, now: o.Now, forms: forms}
	if token := o.Token.Reveal(); token != "" {
		if err := checkFileToken(token); err != nil {
			return nil, fmt.Errorf("admin: %w", err)
		}
		digest := o.Hasher.Digest(token)
		h.auth.file = &digest
	}
	if err := h.register(); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	return h, nil
}

// register lists the operations and describes them.
func (h *Handler) register() error {
	api := humago.New(h.mux, h.config())
	api.UseMiddleware(permit(api))
	h.registerStatus(api)
	h.registerTenants(api)
	h.registerUsers(api)
	h.registerRoles(api)
	h.registerKeys(api)
	h.registerClients(api)
	h.registerSenders(api)
	h.registerLimits(api)
	h.registerTokens(api)
	h.registerRuntime(api)
	h.registerProfile(api)
	return h.describe(api.OpenAPI())
}

func (h *Handler) config() huma.Config {
	c := huma.DefaultConfig("Sallyport admin API", "v1")
	c.CreateHooks = nil // no $schema in answers
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{hideValues}
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An admin token, " + TokenPrefix + "…"},
	}
	c.Security = []map[string][]string{{"token": {}}}
	return c
}

// operation is one with what all of them have.
func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		MaxBodyBytes: maxBody,
		Errors:       []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable},
	}
}

// ServeHTTP lets nobody in without a token, and then serves the operations.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	c, err := h.auth.authenticate(r)
	switch {
	case errors.Is(err, errDenied):
		w.Header().Set("WWW-Authenticate", `Bearer realm="sallyport-admin"`)
		writeProblem(w, http.StatusUnauthorized, "send an admin token, as Authorization: Bearer TOKEN")
		return
	case err != nil:
		h.log.ErrorContext(r.Context(), "admin call failed", "doing", "authenticate", "error", err)
		w.Header().Set("Retry-After", "1")
		writeProblem(w, http.StatusServiceUnavailable, "the store does not answer; please retry")
		return
	}
	h.serve(w, r.WithContext(withCaller(r.Context(), c)))
}

// serve finds the operation. A request that none serves gets a problem, where
// ServeMux would write plain text.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	handler, pattern := h.mux.Handler(r)
	if pattern == "" {
		refusal := &headerOnly{header: http.Header{}}
		handler.ServeHTTP(refusal, r)
		if allow := refusal.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
			writeProblem(w, http.StatusMethodNotAllowed, "this path is for "+allow)
			return
		}
		writeProblem(w, http.StatusNotFound, "no such operation; see /admin/openapi.json")
		return
	}
	h.mux.ServeHTTP(w, r)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// The pattern and not the path, which is the caller's to choose.
		h.log.InfoContext(r.Context(), "admin call", "operation", pattern, "token", callerOf(r.Context()).token)
	}
}

// headerOnly is where ServeMux writes the refusals that are not passed on.
type headerOnly struct{ header http.Header }

func (h *headerOnly) Header() http.Header         { return h.header }
func (h *headerOnly) WriteHeader(int)             {}
func (h *headerOnly) Write(b []byte) (int, error) { return len(b), nil }

// writing returns a context for a write: a caller who goes away must not leave
// it in doubt.
func writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return writingFor(ctx, writeTimeout)
}

func writingFor(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), most)
}
