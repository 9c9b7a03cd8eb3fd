package store

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
)

// SenderRow is a sender of webhooks as it is kept. Two rows of equal senders are
// ==.
type SenderRow struct {
	API, ID, Tenant, Name string
	State                 string
	Secrets               string // JSON list
	CreatedAt             Time
}

// sealed is a secret of a sender as it is kept.
type sealed struct {
	Sealed    []byte `json:"sealed"`
	Pepper    int    `json:"pepper"`
	ExpiresAt *int64 `json:"expires_at,omitempty"` // Unix milliseconds
}

// NewSenderRow returns s's row, or says why it cannot be kept. Of its tenant only
// the id is.
func NewSenderRow(s *sallyport.Sender) (r SenderRow, err error) {
	switch {
	case s.API == "" || s.ID == "" || s.Tenant == nil || s.Tenant.ID == "":
		return r, errors.New("a sender needs an api, an id and a tenant")
	case s.Tenant.API != "" && s.Tenant.API != s.API:
		return r, fmt.Errorf("sender %q of %q cannot have a tenant of api %q", s.ID, s.API, s.Tenant.API)
	}
	r = SenderRow{API: s.API, ID: s.ID, Tenant: s.Tenant.ID, Name: s.Name, CreatedAt: NewTime(s.CreatedAt)}
	if err := CheckText(r.API, r.ID, r.Tenant, r.Name); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(s.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	kept := make([]sealed, len(s.Secrets))
	for i, its := range s.Secrets {
		if len(its.Sealed) == 0 {
			return r, fmt.Errorf("%s: a secret of it is missing", r)
		}
		kept[i] = sealed{Sealed: its.Sealed, Pepper: its.Pepper}
		if end := NewTime(its.ExpiresAt); end.Valid {
			kept[i].ExpiresAt = &end.V
		}
	}
	if r.Secrets, err = encodeList(kept); err != nil {
		return r, fmt.Errorf("%s: secrets: %w", r, err)
	}
	return r, nil
}

// String names the sender, for errors.
func (r SenderRow) String() string { return fmt.Sprintf("sender %q of %q", r.ID, r.API) }

// Peppers returns the version of the pepper of each of the sender's secrets.
func (r SenderRow) Peppers() (versions []int, err error) {
	kept, err := decodeList[sealed](r.Secrets)
	if err != nil {
		return nil, fmt.Errorf("%s: secrets: %w", r, err)
	}
	for _, one := range kept {
		versions = append(versions, one.Pepper)
	}
	return versions, nil
}

// FoundSender is a sender's row with its tenant's.
type FoundSender struct {
	Sender SenderRow
	Tenant TenantRow
}

// Value returns a new sender from f.
func (f FoundSender) Value() (*sallyport.Sender, error) {
	r := f.Sender
	s := &sallyport.Sender{ID: r.ID, API: r.API, Name: r.Name, CreatedAt: TimeOf(r.CreatedAt)}
	var errs [3]error
	s.Tenant, errs[0] = f.Tenant.Value()
	s.State, errs[1] = decodeState(r.State)
	kept, err := decodeList[sealed](r.Secrets)
	errs[2] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	for _, k := range kept {
		its := sallyport.SealedSecret{Sealed: k.Sealed, Pepper: k.Pepper}
		if k.ExpiresAt != nil {
			its.ExpiresAt = TimeOf(Time{V: *k.ExpiresAt, Valid: true})
		}
		s.Secrets = append(s.Secrets, its)
	}
	return s, nil
}

// Change returns f after change, which gets a sender of its own; what it does to
// the tenant is not kept. An error of change is returned as it is. A sender's api,
// id and tenant cannot change, and nothing of a revoked one can.
func (f FoundSender) Change(change func(*sallyport.Sender) error) (FoundSender, error) {
	r := f.Sender
	s, err := f.Value()
	if err != nil {
		return f, err
	}
	if err := change(s); err != nil {
		return f, err
	}
	after, err := NewSenderRow(s)
	if err != nil {
		return f, err
	}
	if after.API != r.API || after.ID != r.ID || after.Tenant != r.Tenant {
		return f, fmt.Errorf("%s cannot change its api, id or tenant", r)
	}
	if after != r && r.State == sallyport.Revoked.String() {
		return f, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	f.Sender = after
	return f, nil
}
