package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

// TokenPrefix is what admin tokens begin with.
const TokenPrefix = "sp_admin_"

// RoleAdmin is the role of tokens that may do everything.
const RoleAdmin = "admin"

const (
	minFileToken = 16 // characters
	maxToken     = 512
)

// tokenForms lets a guess of another shape be refused without the store.
var tokenForms = []sallyport.KeyForm{{Prefix: TokenPrefix}}

// TokenStore is where admin tokens are kept.
type TokenStore interface {
	// AdminTokenByDigest returns an error that wraps sallyport.ErrNotFound
	// where there is none.
	AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error)
	CountAdminTokens(ctx context.Context) (int, error)
	// CreateAdminToken keeps a token; tenant "" is an administrator of all.
	CreateAdminToken(ctx context.Context, id, name, role, tenant string, d sallyport.Digest) error
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
	return secret, true, store.CreateAdminToken(ctx, id, "first", RoleAdmin, "", hasher.Digest(secret.Reveal()))
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
	forms  *apikey.Prefixes
	file   *sallyport.Digest // of the operator's own token; nil: none
}

var errDenied = errors.New("no admin token")

// authenticate returns the id of the token that r carries; errDenied for all
// that a caller can do wrong, anything else is the store's failure.
func (a *authenticator) authenticate(r *http.Request) (id string, err error) {
	lines := r.Header.Values("Authorization")
	if len(lines) != 1 {
		return "", errDenied
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	if token = strings.Trim(token, " "); token == "" || len(token) > maxToken || !strings.EqualFold(scheme, "Bearer") {
		return "", errDenied
	}
	if a.file != nil {
		if d := a.hasher.Digest(token); subtle.ConstantTimeCompare(d[:], a.file[:]) == 1 {
			return "file", nil
		}
	}
	if _, err := a.forms.Parse(token); err != nil {
		return "", errDenied
	}
	return a.find(r.Context(), token)
}

// find asks the store, under the current pepper and those before it.
func (a *authenticator) find(ctx context.Context, token string) (id string, err error) {
	for _, hasher := range append([]*apikey.Hasher{a.hasher}, a.hasher.Older()...) {
		t, err := a.store.AdminTokenByDigest(ctx, hasher.Digest(token))
		switch {
		case errors.Is(err, sallyport.ErrNotFound):
			continue
		case err != nil:
			return "", fmt.Errorf("find admin token: %w", err)
		case t.Role != RoleAdmin || t.Tenant != "":
			return "", errDenied // a token of a kind that nothing here serves
		}
		return t.ID, nil
	}
	return "", errDenied
}
