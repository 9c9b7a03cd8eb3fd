package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/password"
	"github.com/sallyport/sallyport/internal/visit"
)

// Store keeps what the endpoints make and read. Errors wrap sallyport.ErrNotFound,
// ErrReused or ErrFinal where they apply.
type Store interface {
	ParentStore
	Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error)
	User(ctx context.Context, api, tenant, id string) (*sallyport.User, error)
	UserByLogin(ctx context.Context, api, login string) (*sallyport.User, error)
	// CreateGrant keeps a grant and the code for it.
	CreateGrant(ctx context.Context, grant sallyport.Credential, code sallyport.GrantSecret) error
	// GrantByDigest returns the grant of a code or refresh token, also of one that
	// is spent or has expired.
	GrantByDigest(ctx context.Context, d sallyport.Digest) (c *sallyport.Credential, secret sallyport.GrantSecret, spent bool, err error)
	// UseGrantSecret spends a code or refresh token and keeps what use returns in its
	// place. One that was spent before ends its grant, and is sallyport.ErrReused.
	UseGrantSecret(ctx context.Context, d sallyport.Digest, now time.Time,
		use func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error)) (*sallyport.Credential, error)
	UpdateCredential(ctx context.Context, api, tenant, id string, uniqueName bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error)
	// RevokeToken keeps that the token called id is revoked, until it would have
	// expired anyhow.
	RevokeToken(ctx context.Context, api, id string, until time.Time) error
}

// Forgetter is the instance's own memory of credentials and tokens. Each call
// returns when the change is in force.
type Forgetter interface {
	ForgetCredential(id string)
	ForgetToken(api, id string)
}

// Server serves the endpoints. All fields are required. Safe for concurrent use.
type Server struct {
	Credentials Credentials
	Store       Store
	Verifier    *Verifier
	Keys        *Keyring
	Hasher      *apikey.Hasher
	Passwords   *password.Hasher
	Limiter     Limiter
	Changed     Forgetter
	Provider    func(api string) Provider // where users of api sign in; nil: nowhere else
	Log         *slog.Logger
}

// Serves reports whether what an operation serves is served here.
func Serves(what string) bool { return endpoints[what] != nil }

var endpoints = map[string]func(*Server, context.Context, *visit.Visit){
	sallyport.ServeToken:      (*Server).serveToken,
	sallyport.ServeAuthorize:  (*Server).serveAuthorize,
	sallyport.ServeCallback:   (*Server).serveCallback,
	sallyport.ServeExchange:   (*Server).serveExchange,
	sallyport.ServeRevoke:     (*Server).serveRevoke,
	sallyport.ServeIntrospect: (*Server).serveIntrospect,
	sallyport.ServeMetadata:   (*Server).serveMetadata,
	sallyport.ServeJWKS:       (*Server).serveKeys,
}

// Serve answers v, whose operation Serves must know.
func (s *Server) Serve(v *visit.Visit) {
	ctx, cancel := context.WithTimeout(v.R.Context(), patience)
	defer cancel()
	if v.API.Tokens == nil {
		v.Refuse(sallyport.KindUnavailable, visit.Refusal{})
		return
	}
	endpoints[v.Operation.Serve](s, ctx, v)
}

// patience is how long one request may take.
const patience = 10 * time.Second

// refuse answers with an error of OAuth.
func (s *Server) refuse(v *visit.Visit, p *problem) {
	if p.status == http.StatusUnauthorized {
		v.W.Header().Set("WWW-Authenticate", `Basic realm="`+strings.ReplaceAll(v.API.Name, `"`, "")+`"`)
	}
	v.W.Header().Set("Pragma", "no-cache")
	v.Answer(p.status, struct {
		Code   string `json:"error"`
		Detail string `json:"error_description"`
	}{p.code, p.detail})
}

// unavailable answers that the gate itself failed, in the API's own shape.
func (s *Server) unavailable(v *visit.Visit, err error) {
	if !errors.Is(err, context.Canceled) {
		s.Log.Error("an endpoint failed", "api", v.API.Name, "operation", v.Operation.Name, "request_id", v.Said.RequestID, "error", err)
	}
	v.Refuse(sallyport.KindUnavailable, visit.Refusal{})
}
