package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

// TokenPrefix is what admin tokens begin with.
const TokenPrefix = "sp_admin_"

const (
	minFileToken = 16 // characters
	maxToken     = 512
)

// tokenForms lets a guess of another shape be refused without the store.
var tokenForms = []sallyport.KeyForm{{Prefix: TokenPrefix}}

// TokenStore is where admin tokens are kept. Errors wrap sallyport.ErrNotFound
// where there is none.
type TokenStore interface {
	AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error)
	CountAdminTokens(ctx context.Context) (int, error)
	CreateAdminToken(ctx context.Context, t sallyport.AdminToken, d sallyport.Digest) error
	AdminTokens(ctx context.Context) ([]*sallyport.AdminToken, error)
	// RevokeAdminToken may be called again.
	RevokeAdminToken(ctx context.Context, id string) error
}

// EnsureToken sees to it that there is a way in: where the operator gave no
// token of their own in fromFile and the store holds none, it makes the first,
// which is to be shown this once.
func EnsureToken(ctx context.Context, store TokenStore, hasher *apikey.Hasher, fromFile string) (shown apikey.Secret, made bool, err error) {
	if fromFile != "" {
		return shown, false, checkFileToken(fromFile)
	}
	if shown, made, err = firstToken(ctx, store, hasher); err != nil {
		return apikey.Secret{}, false, fmt.Errorf("first admin token: %w", err)
	}
	return shown, made, nil
}

func firstToken(ctx context.Context, store TokenStore, hasher *apikey.Hasher) (secret apikey.Secret, made bool, err error) {
	if n, err := store.CountAdminTokens(ctx); err != nil || n > 0 {
		return secret, false, err
	}
	if secret, err = apikey.Generate(TokenPrefix); err != nil {
		return secret, false, err
	}
	id, err := newID("adm_")
	if err != nil {
		return secret, false, err
	}
	first := sallyport.AdminToken{ID: id, Name: "first", Role: RoleAdmin, State: sallyport.Active, CreatedAt: time.Now().UTC().Truncate(time.Second)}
	return secret, true, store.CreateAdminToken(ctx, first, hasher.Digest(secret.Reveal()))
}

// checkFileToken refuses what can be guessed, or cannot be sent in a header.
func checkFileToken(token string) error {
	switch {
	case len(token) < minFileToken:
		return fmt.Errorf("the admin token has %d characters, at least %d are needed; make one with: openssl rand -hex 32", len(token), minFileToken)
	case len(token) > maxToken:
		return fmt.Errorf("the admin token has %d characters, at most %d are allowed", len(token), maxToken)
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return errors.New("the admin token holds a space or a character that is not printable ASCII")
		}
	}
	return nil
}

// newID returns prefix and 20 random base62 characters.
func newID(prefix string) (string, error) {
	random, err := apikey.Generate(prefix)
	if err != nil {
		return "", err
	}
	return random.Reveal()[:len(prefix)+20], nil
}

// authenticator knows who holds an admin token.
type authenticator struct {
	store  TokenStore
	hasher *apikey.Hasher
	now    func() time.Time
	forms  *apikey.Prefixes
	file   *sallyport.Digest // of the operator's own token; nil: none
}

var errDenied = errors.New("no admin token")

// authenticate returns whose token r carries; errDenied for all that a caller
// can do wrong, anything else is the store's failure.
func (a *authenticator) authenticate(r *http.Request) (c caller, err error) {
	lines := r.Header.Values("Authorization")
	if len(lines) != 1 {
		return c, errDenied
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if token = strings.Trim(token, " "); token == "" || len(token) > maxToken || !strings.EqualFold(scheme, "Bearer") {
		return c, errDenied
	}
	if a.file != nil {
		if d := a.hasher.Digest(token); subtle.ConstantTimeCompare(d[:], a.file[:]) == 1 {
			return caller{token: "file", role: RoleAdmin}, nil
		}
	}
	if _, err := a.forms.Parse(token); err != nil {
		return c, errDenied
	}
	return a.find(r.Context(), token)
}

// find asks the store, under the current pepper and those before it.
func (a *authenticator) find(ctx context.Context, token string) (c caller, err error) {
	for _, hasher := range append([]*apikey.Hasher{a.hasher}, a.hasher.Older()...) {
		t, err := a.store.AdminTokenByDigest(ctx, hasher.Digest(token))
		switch {
		case errors.Is(err, sallyport.ErrNotFound):
			continue
		case err != nil:
			return c, fmt.Errorf("find admin token: %w", err)
		case !slices.Contains(ranks, t.Role), t.Tenant != "" && t.API == "":
			return c, errDenied // of a kind that nothing here serves
		case t.State != sallyport.Active, ended(t, a.now()):
			return c, errDenied
		}
		return caller{token: t.ID, role: t.Role, api: t.API, tenant: t.Tenant, end: t.ExpiresAt}, nil
	}
	return c, errDenied
}

func ended(t *sallyport.AdminToken, now time.Time) bool {
	return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt)
}
