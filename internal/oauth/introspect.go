package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

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
	if client.Client.Public { // anybody could say that it is this one (RFC 7662 section 2.1)
		s.refuse(v, errClient)
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
		return s.introspectRefresh(ctx, v, client, text)
	case err != nil:
		return told, err
	case c.Tenant.ID != client.Tenant.ID, !stands(c, v.Now):
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

// introspectRefresh tells of a refresh token.
func (s *Server) introspectRefresh(ctx context.Context, v *visit.Visit, client *sallyport.Credential, text string) (told introspection, err error) {
	grant, secret, spent, err := s.grantOf(ctx, text)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return told, nil
	case err != nil:
		return told, err
	case secret.Kind != sallyport.GrantRefresh, spent, !v.Now.Before(secret.ExpiresAt), grant.API != v.API.Name, grant.Tenant.ID != client.Tenant.ID, !stands(grant, v.Now):
		return told, nil
	}
	return introspection{
		Active: true, Scope: strings.Join(grant.Scopes, " "), Client: grant.Client.ID, Username: grant.User.ID, TokenType: "refresh_token",
		Expires: secret.ExpiresAt.Unix(), Subject: grant.Principal, Issuer: issuerURL(v),
	}, nil
}

// stands reports whether c and whose it is are active at now.
func stands(c *sallyport.Credential, now time.Time) bool {
	return c.State == sallyport.Active && !c.Expired(now) && c.Tenant.State == sallyport.Active && (c.User == nil || c.User.State == sallyport.Active)
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
		err = s.revokeRefresh(ctx, client, text)
	case err == nil && claims.Client == client.ID && claims.Tenant == client.Tenant.ID:
		if err = s.Store.RevokeToken(ctx, v.API.Name, claims.ID, claims.Expires); err == nil {
			s.Changed.ForgetToken(v.API.Name, claims.ID)
		}
	}
	if err != nil {
		s.unavailable(v, err)
		return
	}
	v.W.WriteHeader(http.StatusOK)
}

// revokeRefresh ends the grant that a refresh token is of, and so all its tokens
// (RFC 7009 §2.1).
func (s *Server) revokeRefresh(ctx context.Context, client *sallyport.Credential, text string) error {
	grant, _, _, err := s.grantOf(ctx, text)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return nil
	case err != nil:
		return err
	case grant.API != client.API || grant.Tenant.ID != client.Tenant.ID || grant.Client.ID != client.ID:
		return nil
	}
	_, err = s.Store.UpdateCredential(ctx, grant.API, grant.Tenant.ID, grant.ID, false, func(c *sallyport.Credential) error {
		c.State, c.Cause = sallyport.Revoked, "its client revoked it"
		return nil
	})
	s.Changed.ForgetCredential(grant.ID)
	return err
}
