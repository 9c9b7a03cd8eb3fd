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
	Overrides           string // JSON object: name → list of windows or unlimited
	Roles               string // JSON object: name → list of scopes
	Attributes          string // JSON object of texts
	Epoch               uint64 // the store's alone: 0 in a row that was made from a tenant
	CreatedAt           Time
}

// NewTenantRow returns t's row, or says why it cannot be kept.
func NewTenantRow(t *sallyport.Tenant) (r TenantRow, err error) {
	if t.API == "" || t.ID == "" {
		return r, errors.New("a tenant needs an api and an id")
	}
	r = TenantRow{API: t.API, ID: t.ID, Name: t.Name, Plan: t.Plan, CreatedAt: NewTime(t.CreatedAt)}
	if err := CheckText(t.API, t.ID, t.Name, t.Plan); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(t.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	if r.Limits, err = encodeLimits(t.Limits); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.Overrides, err = encodeOverrides(t.Overrides); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.Roles, err = encodeLists(t.Roles); err != nil {
		return r, fmt.Errorf("%s: roles: %w", r, err)
	}
	if r.Attributes, err = encodeTexts(t.Attributes); err != nil {
		return r, fmt.Errorf("%s: attributes: %w", r, err)
	}
	return r, nil
}

// NewTenantRows returns the rows of list, or says which one cannot be kept.
func NewTenantRows(list []sallyport.Tenant) ([]TenantRow, error) {
	rows := make([]TenantRow, len(list))
	for i := range list {
		var err error
		if rows[i], err = NewTenantRow(&list[i]); err != nil {
			return nil, sallyport.AtIndex{Index: i, Err: err}
		}
	}
	return rows, nil
}

// String names the tenant, for errors.
func (r TenantRow) String() string { return fmt.Sprintf("tenant %q of %q", r.ID, r.API) }

// Value returns a new tenant from r.
func (r TenantRow) Value() (*sallyport.Tenant, error) {
	t := &sallyport.Tenant{ID: r.ID, API: r.API, Name: r.Name, Plan: r.Plan, Epoch: r.Epoch, CreatedAt: TimeOf(r.CreatedAt)}
	var errs [5]error
	t.State, errs[0] = decodeState(r.State)
	t.Limits, errs[1] = decodeLimits(r.Limits)
	t.Overrides, errs[2] = decodeOverrides(r.Overrides)
	t.Roles, errs[3] = decodeLists(r.Roles)
	t.Attributes, errs[4] = decodeMap[string](r.Attributes)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return t, nil
}

// Change returns the row after change, which gets a tenant of its own. An
// error of change is returned as it is. A tenant's key and its epoch cannot
// change, and nothing of a revoked one can; all tokens of the tenant end where it
// leaves the active state.
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
	after.Epoch = r.Epoch
	if after.API != r.API || after.ID != r.ID {
		return r, fmt.Errorf("%s cannot change its api or id", r)
	}
	if after != r && r.State == sallyport.Revoked.String() {
		return r, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	if active := sallyport.Active.String(); r.State == active && after.State != active {
		after.Epoch++
	}
	return after, nil
}

// ChangedRoles returns the names of the tenant's own roles that the change from
// r to after makes, takes away, or gives another set of scopes. The personal
// access tokens and grants of who holds one of them end with it, and so do the
// tokens that were made from credentials that hold one.
func (r TenantRow) ChangedRoles(after TenantRow) (names []string, err error) {
	if names, err = changedRoles(r.Roles, after.Roles); err != nil {
		return nil, fmt.Errorf("%s: roles: %w", r, err)
	}
	return names, nil
}
