package oauth

import (
	"context"
	"net/http"
	"slices"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/token"
	"github.com/sallyport/sallyport/internal/visit"
)

// metadata is what a client needs to know of the server (RFC 8414 §2).
type metadata struct {
	Issuer        string   `json:"issuer"`
	Authorize     string   `json:"authorization_endpoint,omitempty"`
	Token         string   `json:"token_endpoint,omitempty"`
	Keys          string   `json:"jwks_uri,omitempty"`
	Revocation    string   `json:"revocation_endpoint,omitempty"`
	Introspection string   `json:"introspection_endpoint,omitempty"`
	Scopes        []string `json:"scopes_supported,omitempty"`
	Responses     []string `json:"response_types_supported"`
	Grants        []string `json:"grant_types_supported"`
	Methods       []string `json:"token_endpoint_auth_methods_supported"`
	Challenges    []string `json:"code_challenge_methods_supported,omitempty"`
}

func (s *Server) serveMetadata(_ context.Context, v *visit.Visit) {
	issuer := issuerURL(v)
	m := metadata{Issuer: issuer, Responses: []string{}, Grants: []string{}, Methods: []string{"client_secret_basic", "client_secret_post"}}
	for _, scope := range v.API.Scopes {
		m.Scopes = append(m.Scopes, scope.Name)
	}
	for _, op := range v.API.Operations {
		if len(op.Hosts) > 0 && !sharesHost(op, v.Operation) {
			continue
		}
		at := issuer + op.Path
		switch op.Serve {
		case sallyport.ServeAuthorize:
			if op.Absent == "" {
				m.Authorize, m.Responses, m.Challenges = at, []string{"code"}, []string{"S256"}
			}
		case sallyport.ServeToken:
			m.Token, m.Grants = at, append(m.Grants, op.Grants...)
		case sallyport.ServeJWKS:
			m.Keys = at
		case sallyport.ServeRevoke:
			m.Revocation = at
		case sallyport.ServeIntrospect:
			m.Introspection = at
		}
	}
	if slices.Contains(m.Grants, sallyport.GrantAuthorizationCode) {
		m.Methods = append(m.Methods, "none")
	}
	cacheable(v)
	v.Answer(http.StatusOK, m)
}

func sharesHost(a, b *sallyport.Operation) bool {
	return slices.ContainsFunc(a.Hosts, func(host string) bool { return slices.Contains(b.Hosts, host) })
}

// serveKeys publishes the keys that tokens are verified with.
func (s *Server) serveKeys(ctx context.Context, v *visit.Visit) {
	var ring *token.Ring
	ring, err := s.Keys.Ring(ctx, v.API.Name)
	if err != nil {
		s.unavailable(v, err)
		return
	}
	set, err := ring.JWKS()
	if err != nil {
		s.unavailable(v, err)
		return
	}
	cacheable(v)
	v.W.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = v.W.Write(set) // the caller may have gone; there is nobody else to tell
}

// cacheable lets anybody keep an answer for a while that is the same for all: far
// less than a key is published before it signs.
func cacheable(v *visit.Visit) { v.W.Header().Set("Cache-Control", "public, max-age=300") }
