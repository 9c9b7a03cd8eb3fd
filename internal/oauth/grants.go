package oauth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/visit"
)

// errGrant is the one answer to a code or refresh token that is not good, whatever
// the reason (RFC 6749 §5.2).
var errGrant = &problem{http.StatusBadRequest, "invalid_grant", "the code or refresh token is not good, or not for this client"}

// newSecret makes a code or a refresh token.
func newSecret() string {
	var b [32]byte
	rand.Read(b[:]) // it does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// verifierForm is what a code_verifier may be (RFC 7636 §4.1).
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// authorizationCode answers with the tokens of a code (RFC 6749 §4.1.3).
func (s *Server) authorizationCode(ctx context.Context, v *visit.Visit, client *sallyport.Credential, f form) *problem {
	if f["code"] == "" {
		return invalidRequest("code is missing")
	}
	return s.spend(ctx, v, client, f["code"], func(grant *sallyport.Credential, code sallyport.GrantSecret) error {
		if code.Kind != sallyport.GrantCode || code.Redirect != f["redirect_uri"] || !proves(f["code_verifier"], code.Challenge) {
			return errGrant
		}
		return nil
	}, nil)
}

// proves reports whether verifier is what challenge was made from. A code that was
// asked for without one takes none: else a code of another's could be put in the
// place of one's own (RFC 9700 §4.8.2).
func proves(verifier, challenge string) bool {
	if challenge == "" {
		return verifier == ""
	}
	sum := sha256.Sum256([]byte(verifier))
	made := base64.RawURLEncoding.EncodeToString(sum[:])
	return verifierForm.MatchString(verifier) && subtle.ConstantTimeCompare([]byte(made), []byte(challenge)) == 1
}

// refresh answers with the tokens of a refresh token (RFC 6749 §6), a new one
// among them: each is good once, and one that comes again ends all (RFC 9700
// §4.14.2).
func (s *Server) refresh(ctx context.Context, v *visit.Visit, client *sallyport.Credential, f form) *problem {
	if f["refresh_token"] == "" {
		return invalidRequest("refresh_token is missing")
	}
	scopes := strings.Fields(f["scope"])
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	return s.spend(ctx, v, client, f["refresh_token"], func(grant *sallyport.Credential, token sallyport.GrantSecret) error {
		if token.Kind != sallyport.GrantRefresh {
			return errGrant
		}
		for _, scope := range scopes {
			if !slices.Contains(grant.Scopes, scope) {
				return &problem{http.StatusBadRequest, "invalid_scope", "a scope was not granted"}
			}
		}
		return nil
	}, scopes)
}

// spend spends a code or refresh token that good lets pass, and answers with
// tokens for it: for scopes, or where there are none for all that was granted.
func (s *Server) spend(ctx context.Context, v *visit.Visit, client *sallyport.Credential, secret string,
	good func(*sallyport.Credential, sallyport.GrantSecret) error, scopes []string) *problem {
	found, its, _, err := s.grantOf(ctx, secret)
	if err != nil {
		return s.notSpent(v, "", err)
	}
	next := ""
	grant, err := s.Store.UseGrantSecret(ctx, its.Digest, v.Now, func(grant *sallyport.Credential, kept sallyport.GrantSecret) ([]sallyport.GrantSecret, error) {
		if grant.API != v.API.Name || grant.Tenant.ID != client.Tenant.ID || grant.Client.ID != client.ID || !usable(grant, v) {
			return nil, errGrant
		}
		if err := good(grant, kept); err != nil {
			return nil, err
		}
		if !slices.Contains(v.Operation.Grants, sallyport.GrantRefreshToken) || !slices.Contains(client.Client.Grants, sallyport.GrantRefreshToken) {
			return nil, nil
		}
		next = newSecret()
		return []sallyport.GrantSecret{{
			Digest: s.Hasher.Digest(next), Pepper: s.Hasher.Version(), Kind: sallyport.GrantRefresh, ExpiresAt: grant.ExpiresAt,
		}}, nil
	})
	if err != nil {
		return s.notSpent(v, found.ID, err)
	}
	claims := s.claims(v, parent{credential: grant, client: client})
	claims.Client, claims.Scoped = client.ID, true
	if claims.Scopes = scopes; len(scopes) == 0 {
		claims.Scopes = grant.Scopes
	}
	granted := strings.Join(claims.Scopes, " ")
	s.issue(ctx, v, claims, issued{TokenType: "Bearer", RefreshToken: next, Scope: &granted})
	return nil
}

// grantOf finds the grant that secret is a code or refresh token of, under the
// pepper that it was kept with.
func (s *Server) grantOf(ctx context.Context, secret string) (grant *sallyport.Credential, kept sallyport.GrantSecret, spent bool, err error) {
	for _, h := range append([]*apikey.Hasher{s.Hasher}, s.Hasher.Older()...) {
		grant, kept, spent, err = s.Store.GrantByDigest(ctx, h.Digest(secret))
		if !errors.Is(err, sallyport.ErrNotFound) {
			break
		}
	}
	return grant, kept, spent, err
}

// notSpent says what it means that a secret of the grant called id was not spent.
func (s *Server) notSpent(v *visit.Visit, id string, err error) *problem {
	var told *problem
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, sallyport.ErrReused):
		s.Changed.ForgetCredential(id)
		s.Log.Warn("a code or refresh token came again: its grant is revoked", "api", v.API.Name, "grant", id, "address", v.Said.Address)
		return errGrant
	case errors.Is(err, sallyport.ErrNotFound), errors.Is(err, sallyport.ErrFinal):
		return errGrant
	}
	s.unavailable(v, err)
	return nil
}
