package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport"
)

// UserRow is a user as it is kept. Two rows of equal users are ==.
type UserRow struct {
	API, Tenant, ID string
	Service         bool
	Name            string
	Roles, Off      string // JSON lists
	State           string
	Attributes      string // JSON object of texts
	Login           string // "": none
	Password        sallyport.PasswordHash
	Epoch           uint64 // the store's alone: 0 in a row that was made from a user
	CreatedAt       Time
}

// NewUserRow returns u's row, or says why it cannot be kept.
func NewUserRow(u *sallyport.User) (r UserRow, err error) {
	if u.API == "" || u.Tenant == "" || u.ID == "" {
		return r, errors.New("a user needs an api, a tenant and an id")
	}
	r = UserRow{
		API: u.API, Tenant: u.Tenant, ID: u.ID, Service: u.Service, Name: u.Name,
		Login: u.Login, Password: u.Password, CreatedAt: NewTime(u.CreatedAt),
	}
	if err := errors.Join(CheckText(u.API, u.Tenant, u.ID, u.Name, u.Login, string(u.Password)), CheckText(u.Roles...), CheckText(u.Off...)); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(u.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	if r.Roles, err = encodeList(u.Roles); err != nil {
		return r, fmt.Errorf("%s: roles: %w", r, err)
	}
	if r.Off, err = encodeList(u.Off); err != nil {
		return r, fmt.Errorf("%s: off: %w", r, err)
	}
	if r.Attributes, err = encodeTexts(u.Attributes); err != nil {
		return r, fmt.Errorf("%s: attributes: %w", r, err)
	}
	return r, nil
}

// String names the user, for errors.
func (r UserRow) String() string {
	return fmt.Sprintf("user %q of %s", r.ID, TenantRow{API: r.API, ID: r.Tenant})
}

// Value returns a new user from r.
func (r UserRow) Value() (*sallyport.User, error) {
	u := &sallyport.User{
		ID: r.ID, API: r.API, Tenant: r.Tenant,
		Service: r.Service, Name: r.Name, Login: r.Login, Password: r.Password, Epoch: r.Epoch, CreatedAt: TimeOf(r.CreatedAt),
	}
	var errs [4]error
	u.Roles, errs[0] = decodeList[string](r.Roles)
	u.Off, errs[1] = decodeList[string](r.Off)
	u.State, errs[2] = decodeState(r.State)
	u.Attributes, errs[3] = decodeMap[string](r.Attributes)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return u, nil
}

// Change returns the row after change, which gets a user of its own. An error
// of change is returned as it is. A user's key and its epoch cannot change, and
// nothing of a revoked one can.
func (r UserRow) Change(change func(*sallyport.User) error) (UserRow, error) {
	u, err := r.Value()
	if err != nil {
		return r, err
	}
	if err := change(u); err != nil {
		return r, err
	}
	after, err := NewUserRow(u)
	if err != nil {
		return r, err
	}
	after.Epoch = r.Epoch
	if after.API != r.API || after.Tenant != r.Tenant || after.ID != r.ID {
		return r, fmt.Errorf("%s cannot change its api, tenant or id", r)
	}
	if after != r && r.State == sallyport.Revoked.String() {
		return r, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	ends, err := r.EndsTokens(after)
	if err != nil {
		return r, err
	}
	if ends {
		after.Epoch++
	}
	return after, nil
}

// Takes refuses the new credential c of the user, with sallyport.ErrNotFound: an
// active personal access token or grant is for an active user. One that was made while
// its user was being disabled would outlive that.
func (r UserRow) Takes(c CredentialRow) error {
	active := sallyport.Active.String()
	if c.EndsWithUser() && c.State == active && r.State != active {
		return fmt.Errorf("active %s: %w", r, sallyport.ErrNotFound)
	}
	return nil
}

// EndsTokens reports whether the user's personal access tokens and grants end with
// the change from r to after: it takes the user out of the active state, or gives
// it another set of roles.
func (r UserRow) EndsTokens(after UserRow) (bool, error) {
	if active := sallyport.Active.String(); r.State == active && after.State != active {
		return true, nil
	}
	same, err := sameSet(r.Roles, after.Roles)
	if err != nil {
		return false, fmt.Errorf("%s: roles: %w", r, err)
	}
	return !same, nil
}

// Holders returns the ids of those of users that have one of roles.
func Holders(users []UserRow, roles []string) (ids []string, err error) {
	for _, u := range users {
		its, err := decodeList[string](u.Roles)
		if err != nil {
			return nil, fmt.Errorf("%s: roles: %w", u, err)
		}
		if slices.ContainsFunc(its, func(role string) bool { return slices.Contains(roles, role) }) {
			ids = append(ids, u.ID)
		}
	}
	return ids, nil
}

// CheckUserFilter refuses what is about more than one tenant.
func CheckUserFilter(f sallyport.UserFilter) error {
	if f.API == "" || f.Tenant == "" {
		return errors.New("list users: an api and a tenant are needed")
	}
	return nil
}
