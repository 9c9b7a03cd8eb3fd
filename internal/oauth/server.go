package oauth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// Store keeps what the endpoints make.
type Store interface {
	// RevokeToken keeps that the token called id is revoked, until it would have
	// expired anyhow.
	RevokeToken(ctx context.Context, api, id string, until time.Time) error
}

// Forgetter is the instance's own memory of tokens. Each call returns when the
// change is in force.
type Forgetter interface {
	ForgetToken(api, id string)
}

// Server serves the endpoints. All fields are required. Safe for concurrent use.
type Server struct {
	Credentials Credentials
	Store       Store
	Verifier    *Verifier
	Keys        *Keyring
	Limiter     Limiter
	Changed     Forgetter
	Log         *slog.Logger
}

// Serves reports whether what an operation serves is served here.
func Serves(what string) bool { return endpoints[what] != nil }

var endpoints = map[string]func(*Server, context.Context, *visit.Visit){
	sallyport.ServeToken:      (*Server).serveToken,
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
