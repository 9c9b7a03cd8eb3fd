package store

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
)

// AdminTokenRow is a token of the admin API as it is kept, without its secret.
type AdminTokenRow struct {
	ID, Name, Role, API, Tenant string
	State                       string
	CreatedAt, ExpiresAt        Time
}

// NewAdminTokenRow returns t's row, or says why it cannot be kept with the
// digest of its secret.
func NewAdminTokenRow(t *sallyport.AdminToken, digest sallyport.Digest) (r AdminTokenRow, err error) {
	if t.ID == "" {
		return r, errors.New("an admin token needs an id")
	}
	r = AdminTokenRow{
		ID: t.ID, Name: t.Name, Role: t.Role, API: t.API, Tenant: t.Tenant,
		CreatedAt: NewTime(t.CreatedAt), ExpiresAt: NewTime(t.ExpiresAt),
	}
	if err := errors.Join(CheckText(r.ID, r.Name, r.Role, r.API, r.Tenant), CheckDigest(digest)); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(t.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	return r, nil
}

// String names the token, for errors.
func (r AdminTokenRow) String() string { return fmt.Sprintf("admin token %q", r.ID) }

// Value returns a new token from r.
func (r AdminTokenRow) Value() (*sallyport.AdminToken, error) {
	state, err := decodeState(r.State)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return &sallyport.AdminToken{
		ID: r.ID, Name: r.Name, Role: r.Role, API: r.API, Tenant: r.Tenant,
		State: state, CreatedAt: TimeOf(r.CreatedAt), ExpiresAt: TimeOf(r.ExpiresAt),
	}, nil
}

// Revoked returns r as it is after it has been revoked.
func (r AdminTokenRow) Revoked() AdminTokenRow {
	r.State = sallyport.Revoked.String()
	return r
}
