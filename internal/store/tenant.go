package store

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
)

// TenantRow is a tenant as it is kept. Two rows of equal tenants are ==.
type TenantRow struct {
	API, ID, Name, Plan string
	State               string
	Limits              string // JSON object: name → list of windows
	CreatedAt           Time
}

// NewTenantRow returns t's row, or says why it cannot be kept.
func NewTenantRow(t *sallyport.Tenant) (r TenantRow, err error) {
	if t.API == "" || t.ID == "" {
		return r, errors.New("a tenant needs an api and an id")
	}
	if err := CheckText(t.API, t.ID, t.Name, t.Plan); err != nil {
		return r, fmt.Errorf("tenant: %w", err)
	}
	r = TenantRow{API: t.API, ID: t.ID, Name: t.Name, Plan: t.Plan, CreatedAt: NewTime(t.CreatedAt)}
	if r.State, err = encodeState(t.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	if r.Limits, err = encodeLimits(t.Limits); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	return r, nil
}

// String names the tenant, for errors.
func (r TenantRow) String() string { return fmt.Sprintf("tenant %q of %q", r.ID, r.API) }

// Value returns a new tenant from r.
func (r TenantRow) Value() (*sallyport.Tenant, error) {
	state, err := decodeState(r.State)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	limits, err := decodeLimits(r.Limits)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return &sallyport.Tenant{
		ID: r.ID, API: r.API, Name: r.Name, Plan: r.Plan,
		State: state, Limits: limits, CreatedAt: TimeOf(r.CreatedAt),
	}, nil
}

// Change returns the row after change, which gets a tenant of its own. An
// error of change is returned as it is. A tenant's key cannot change, and
// nothing of a revoked one can.
func (r TenantRow) Change(change func(*sallyport.Tenant) error) (TenantRow, error) {
	t, err := r.Value()
	if err != nil {
		return r, err
	}
	if err := change(t); err != nil {
		return r, err
	}
	after, err := NewTenantRow(t)
	if err != nil {
		return r, err
	}
	if after.API != r.API || after.ID != r.ID {
		return r, fmt.Errorf("%s cannot change its api or id", r)
	}
	if after != r && r.State == sallyport.Revoked.String() {
		return r, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	return after, nil
}
