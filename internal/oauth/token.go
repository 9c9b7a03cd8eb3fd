package oauth

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/token"
	"github.com/sallyport/sallyport/internal/visit"
)

// issued is the answer of a token endpoint (RFC 6749 §5.1).
type issued struct {
	AccessToken  string  `json:"access_token"`
	TokenType    string  `json:"token_type,omitempty"`
	ExpiresIn    int64   `json:"expires_in"`
	RefreshToken string  `json:"refresh_token,omitempty"`
	Scope        *string `json:"scope,omitempty"` // where it is not what was asked for
}

// serveToken serves the token endpoint (RFC 6749 §3.2).
func (s *Server) serveToken(ctx context.Context, v *visit.Visit) {
	f, bad := readForm(v)
	if bad != nil {
		s.refuse(v, bad)
		return
	}
	client, ok := s.client(ctx, v, f)
	if !ok || !s.take(ctx, v, client) {
		return
	}
	switch grant := f["grant_type"]; {
	case grant == "":
		bad = invalidRequest("grant_type is missing")
	case !slices.Contains(v.Operation.Grants, grant):
		bad = &problem{http.StatusBadRequest, "unsupported_grant_type", "this grant type is not served here"}
	case !mayUse(client, v.Operation, grant):
		bad = &problem{http.StatusBadRequest, "unauthorized_client", "the client may not use this grant type"}
	case grant == sallyport.GrantClientCredentials:
		bad = s.clientCredentials(ctx, v, client, f)
	case grant == sallyport.GrantAuthorizationCode:
		bad = s.authorizationCode(ctx, v, client, f)
	default:
		bad = s.refresh(ctx, v, client, f)
	}
	if bad != nil {
		s.refuse(v, bad)
	}
}

// client returns the client that v is from, or answers and returns false.
func (s *Server) client(ctx context.Context, v *visit.Visit, f form) (*sallyport.Credential, bool) {
	given, bad := claimedBy(v.R, f)
	if bad != nil && bad != errClient {
		s.refuse(v, bad)
		return nil, false
	}
	if !s.mayTry(ctx, v, given.id) {
		return nil, false
	}
	client, err := s.provedClient(ctx, v, given)
	switch {
	case err != nil:
		s.unavailable(v, err)
		return nil, false
	case bad != nil, client == nil, client.ID != given.id:
		s.failed(ctx, v, given.id)
		s.refuse(v, errClient)
		return nil, false
	}
	return client, true
}

// provedClient is proved for a client: one that is public proves nothing but that
// it is there.
func (s *Server) provedClient(ctx context.Context, v *visit.Visit, given claimed) (*sallyport.Credential, error) {
	if given.secret != "" || given.id == "" {
		return s.proved(ctx, v, sallyport.KindClient, given.secret)
	}
	client, err := s.Store.Credential(ctx, v.API.Name, "", given.id)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case client.Kind != sallyport.KindClient || !client.Client.Public || !usable(client, v):
		return nil, nil
	}
	return client, nil
}

// mayUse reports whether client may use grant at op: its tenant's plan has it, and
// so has the client.
func mayUse(client *sallyport.Credential, op *sallyport.Operation, grant string) bool {
	return (len(op.Plans) == 0 || slices.Contains(op.Plans, client.Tenant.Plan)) &&
		client.Client != nil && slices.Contains(client.Client.Grants, grant)
}

// clientCredentials answers with a token for the client itself (RFC 6749 §4.4).
func (s *Server) clientCredentials(ctx context.Context, v *visit.Visit, client *sallyport.Credential, f form) *problem {
	claims := s.claims(v, parent{credential: client})
	claims.Client = client.ID
	if asked, ok := f["scope"]; ok {
		var bad *problem
		if claims.Scopes, bad = s.narrowed(v, client, asked); bad != nil {
			return bad
		}
		claims.Scoped = true
	}
	s.issue(ctx, v, claims, issued{TokenType: "Bearer"})
	return nil
}

// narrowed returns the scopes that asked names, if c holds all of them.
func (s *Server) narrowed(v *visit.Visit, c *sallyport.Credential, asked string) ([]string, *problem) {
	var memory []string
	held := v.API.Rights(&memory, c)
	scopes := strings.Fields(asked)
	for _, scope := range scopes {
		if !v.API.HasScope(scope) || !v.API.Holds(held, scope) {
			return nil, &problem{http.StatusBadRequest, "invalid_scope", "a scope is unknown, or the client does not hold it"}
		}
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

// claims are those of a token that is made from p now.
func (s *Server) claims(v *visit.Visit, p parent) token.Claims {
	c, own := p.credential, v.API.Tokens
	return token.Claims{
		Issuer: issuerURL(v), Audience: own.Audience, Subject: c.Principal, ID: newTokenID(),
		Tenant: c.Tenant.ID, Parent: c.ID, Epoch: p.epochs(), Roles: rolesMark(v.API, c),
		IssuedAt: v.Now, Expires: earlier(c.ExpiresAt, v.Now.Add(own.Lifetime)),
	}
}

// issue signs a token and answers with it.
func (s *Server) issue(ctx context.Context, v *visit.Visit, claims token.Claims, answer issued) {
	ring, err := s.Keys.Ring(ctx, v.API.Name)
	if err == nil {
		answer.AccessToken, err = ring.Sign(claims, v.Now)
	}
	if err != nil {
		s.unavailable(v, err)
		return
	}
	answer.ExpiresIn = int64(claims.Expires.Sub(v.Now) / time.Second)
	v.W.Header().Set("Pragma", "no-cache") // RFC 6749 §5.1, for caches of HTTP/1.0
	v.Answer(http.StatusOK, answer)
}

func newTokenID() string {
	var b [15]byte
	rand.Read(b[:]) // it does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// issuerURL is what tokens call their issuer: what the configuration says, or the
// URL by which the client came. Hosts were checked before it got here.
func issuerURL(v *visit.Visit) string {
	if v.API.Tokens.URL != "" {
		return v.API.Tokens.URL
	}
	return origin(v)
}

// origin is the scheme and host by which the client came.
func origin(v *visit.Visit) string {
	u := url.URL{Scheme: "http", Host: strings.ToLower(v.R.Host)}
	if secure(v) {
		u.Scheme = "https"
	}
	return u.String()
}
