package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// introspection is the answer about a token (RFC 7662 §2.2). About one that is not
// good it says no more than that.
type introspection struct {
	Active    bool   `json:"active"`
	Scope     string `json:"scope,omitempty"`
	Client    string `json:"client_id,omitempty"`
	Username  string `json:"username,omitempty"`
	TokenType string `json:"token_type,omitempty"`
	Expires   int64  `json:"exp,omitempty"`
	IssuedAt  int64  `json:"iat,omitempty"`
	Subject   string `json:"sub,omitempty"`
	Audience  string `json:"aud,omitempty"`
	Issuer    string `json:"iss,omitempty"`
	ID        string `json:"jti,omitempty"`
}

// serveIntrospect tells a client of its own tenant's tokens.
func (s *Server) serveIntrospect(ctx context.Context, v *visit.Visit) {
	client, text, ok := s.about(ctx, v)
	if !ok {
		return
	}
	told, err := s.introspect(ctx, v, client, text)
	if err != nil {
		s.unavailable(v, err)
		return
	}
	v.Answer(http.StatusOK, told)
}

// about returns the client that v is from and the token that it is about, or
// answers and returns false.
func (s *Server) about(ctx context.Context, v *visit.Visit) (client *sallyport.Credential, text string, ok bool) {
	f, bad := readForm(v)
	if bad != nil {
		s.refuse(v, bad)
		return nil, "", false
	}
	if client, ok = s.client(ctx, v, f); !ok || !s.take(ctx, v, client) {
		return nil, "", false
	}
	if f["token"] == "" {
		s.refuse(v, invalidRequest("token is missing"))
		return nil, "", false
	}
	return client, f["token"], true
}

func (s *Server) introspect(ctx context.Context, v *visit.Visit, client *sallyport.Credential, text string) (told introspection, err error) {
	c, _, err := s.Verifier.Verify(ctx, v.API, text)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return told, nil
	case err != nil:
		return told, err
	case c.Tenant.ID != client.Tenant.ID, c.State != sallyport.Active, c.Expired(v.Now), c.Tenant.State != sallyport.Active,
		c.User != nil && c.User.State != sallyport.Active:
		return told, nil
	}
	claims, err := s.Verifier.claims(ctx, v.API.Name, text)
	if err != nil {
		return told, err
	}
	var memory []string
	told = introspection{
		Active: true, Scope: strings.Join(v.API.Rights(&memory, c), " "), Client: claims.Client, TokenType: "Bearer",
		Expires: c.ExpiresAt.Unix(), IssuedAt: claims.IssuedAt.Unix(), Subject: claims.Subject,
		Audience: claims.Audience, Issuer: claims.Issuer, ID: claims.ID,
	}
	if c.User != nil {
		told.Username = c.User.ID
	}
	return told, nil
}

// serveRevoke ends a token of the client's own (RFC 7009). What is not its own, or
// no token at all, is answered alike: it is not good for this client any more.
func (s *Server) serveRevoke(ctx context.Context, v *visit.Visit) {
	client, text, ok := s.about(ctx, v)
	if !ok {
		return
	}
	claims, err := s.Verifier.claims(ctx, v.API.Name, text)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
	case err != nil:
		s.unavailable(v, err)
		return
	case claims.Client == client.ID && claims.Tenant == client.Tenant.ID:
		if err := s.Store.RevokeToken(ctx, v.API.Name, claims.ID, claims.Expires); err != nil {
			s.unavailable(v, err)
			return
		}
		s.Changed.ForgetToken(v.API.Name, claims.ID)
	}
	v.W.WriteHeader(http.StatusOK)
}
