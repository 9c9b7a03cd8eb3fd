package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/token"
)

// ParentStore knows what tokens are made from.
type ParentStore interface {
	// Credential returns a credential; its error wraps sallyport.ErrNotFound.
	Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error)
	// TokenRevoked reports whether the token called id was revoked by itself.
	TokenRevoked(ctx context.Context, api, id string) (bool, error)
}

// Verifier verifies the tokens that the gate has issued. Safe for concurrent use.
type Verifier struct {
	Keys  *Keyring
	Store ParentStore
}

// Verify returns the credential that text stands for at api. One that has ended
// since it was made comes back as revoked. The error wraps sallyport.ErrNotFound
// where text is no token of api's, and says nothing of why.
func (v *Verifier) Verify(ctx context.Context, api *sallyport.API, text string) (*sallyport.Credential, time.Time, error) {
	if api.Tokens == nil {
		return nil, time.Time{}, sallyport.ErrNotFound
	}
	claims, err := v.claims(ctx, api.Name, text)
	if err != nil {
		return nil, time.Time{}, err
	}
	from, err := v.parent(ctx, api.Name, claims.Tenant, claims.Parent)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("what the token was made from: %w", err)
	}
	revoked, err := v.Store.TokenRevoked(ctx, api.Name, claims.ID)
	if err != nil {
		return nil, time.Time{}, err
	}
	c := from.token(&claims)
	if revoked || from.epochs() != claims.Epoch || rolesMark(api, from.credential) != claims.Roles {
		c.State = sallyport.Revoked
	}
	return c, c.ExpiresAt, nil
}

// claims returns what text claims, if one of api's keys has signed it.
func (v *Verifier) claims(ctx context.Context, api, text string) (token.Claims, error) {
	ring, err := v.Keys.Ring(ctx, api)
	if err != nil {
		return token.Claims{}, err
	}
	claims, err := ring.Verify(text)
	if errors.Is(err, token.ErrForeign) {
		if ring, err = v.Keys.Fresh(ctx, api); err != nil {
			return token.Claims{}, err
		}
		claims, err = ring.Verify(text)
	}
	if err != nil {
		return token.Claims{}, fmt.Errorf("%w: %w", sallyport.ErrNotFound, err)
	}
	return claims, nil
}

// parent is what a token is made from.
type parent struct {
	credential *sallyport.Credential
	client     *sallyport.Credential // whose grant that is; nil: it is no grant
}

func (v *Verifier) parent(ctx context.Context, api, tenant, id string) (p parent, err error) {
	if p.credential, err = v.Store.Credential(ctx, api, tenant, id); err != nil {
		return p, err
	}
	if p.credential.Kind == sallyport.KindGrant {
		p.client, err = v.Store.Credential(ctx, api, tenant, p.credential.Client.ID)
	}
	return p, err
}

// epochs counts what has ended tokens that were made from p.
func (p parent) epochs() uint64 {
	n := p.credential.Epochs()
	if p.client != nil {
		n += p.client.Epoch
	}
	return n
}

// token returns the credential that a token is, made from p and claiming claims.
func (p parent) token(claims *token.Claims) *sallyport.Credential {
	c := *p.credential
	c.Kind, c.Client = sallyport.KindToken, nil
	c.Token = &sallyport.Token{ID: claims.ID, Parent: c.ID, Client: claims.Client}
	if claims.Scoped {
		c.Token.Granted = append([]string{}, claims.Scopes...)
	}
	c.ExpiresAt = earlier(c.ExpiresAt, claims.Expires)
	if p.client != nil { // counted for each client and user, however often it was granted
		c.ID = p.client.ID + "/" + c.User.ID
		c.ExpiresAt = earlier(c.ExpiresAt, p.client.ExpiresAt)
		if c.State == sallyport.Active {
			c.State = p.client.State
		}
	}
	return &c
}

// earlier returns the earlier of two ends; the zero time is never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// rolesMark is a mark of what the roles of c permit in api's configuration: a token
// that was made while they permitted something else has ended. Roles of the
// tenant's own are told by its epochs.
func rolesMark(api *sallyport.API, c *sallyport.Credential) string {
	roles := c.Roles
	if c.User != nil {
		roles = c.User.Roles
	}
	if len(roles) == 0 {
		return ""
	}
	roles = slices.Clone(roles)
	slices.Sort(roles)
	sum := sha256.New()
	for _, role := range slices.Compact(roles) {
		scopes := slices.Clone(api.Roles[role])
		slices.Sort(scopes)
		fmt.Fprintf(sum, "%q %q\n", role, slices.Compact(scopes))
	}
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil)[:9])
}
