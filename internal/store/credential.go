package store

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
)

// CredentialRow is a credential as it is kept, without its secrets. Two rows
// of equal credentials are ==.
type CredentialRow struct {
	ID, API, Tenant       string
	User                  string // its id; "" is nobody
	Kind, Name, Principal string
	Environment           string
	Access                string
	Sandbox               bool
	Scopes, Roles         string // JSON lists
	State                 string
	Prefix, Last4         string
	Unchecked             bool
	AllowedIPs            string // JSON list of CIDRs
	Attributes            string // JSON object of texts
	Plan                  string // "": the tenant's
	Overrides             string // JSON object: name → list of windows or unlimited
	CreatedAt, ExpiresAt  Time
}

// NewCredentialRow returns c's row, or says why it cannot be kept. Of c's
// tenant and user only the ids are.
func NewCredentialRow(c *sallyport.Credential) (r CredentialRow, err error) {
	switch {
	case c.ID == "" || c.API == "" || c.Tenant == nil || c.Tenant.ID == "":
		return r, errors.New("a credential needs an id, an api and a tenant")
	case c.Tenant.API != "" && c.Tenant.API != c.API:
		return r, fmt.Errorf("credential %q of api %q cannot have a tenant of api %q", c.ID, c.API, c.Tenant.API)
	}
	r = CredentialRow{
		ID: c.ID, API: c.API, Tenant: c.Tenant.ID,
		Kind: c.Kind, Name: c.Name, Principal: c.Principal, Environment: c.Environment,
		Access: c.Access.String(), Sandbox: c.Sandbox, Prefix: c.Prefix, Last4: c.Last4, Unchecked: c.Unchecked, Plan: c.Plan,
		CreatedAt: NewTime(c.CreatedAt), ExpiresAt: NewTime(c.ExpiresAt),
	}
	if r.User, err = r.userOf(c.User); err != nil {
		return r, err
	}
	if err := checkLists(c); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if err := CheckText(r.ID, r.API, r.Tenant, r.User, r.Kind, r.Name, r.Principal, r.Environment, r.Prefix, r.Last4, r.Plan); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(c.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	var errs [5]error
	r.Scopes, errs[0] = encodeList(c.Scopes)
	r.Roles, errs[1] = encodeList(c.Roles)
	r.AllowedIPs, errs[2] = encodeList(c.AllowedIPs)
	r.Attributes, errs[3] = encodeTexts(c.Attributes)
	r.Overrides, errs[4] = encodeOverrides(c.Overrides)
	if err := errors.Join(errs[:]...); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	return r, nil
}

// userOf returns the id of u, whom r's credential acts for.
func (r CredentialRow) userOf(u *sallyport.User) (string, error) {
	switch {
	case u == nil:
		return "", nil
	case u.ID == "":
		return "", fmt.Errorf("%s has a user without an id", r)
	case u.API != "" && u.API != r.API || u.Tenant != "" && u.Tenant != r.Tenant:
		return "", fmt.Errorf("%s of %s cannot have a user of %s", r, TenantRow{API: r.API, ID: r.Tenant}, TenantRow{API: u.API, ID: u.Tenant})
	}
	return u.ID, nil
}

func checkLists(c *sallyport.Credential) error {
	for _, p := range c.AllowedIPs {
		if !p.IsValid() {
			return errors.New("an allowed address range is not valid")
		}
	}
	return errors.Join(CheckText(c.Scopes...), CheckText(c.Roles...))
}

// String names the credential, for errors.
func (r CredentialRow) String() string { return fmt.Sprintf("credential %q", r.ID) }

// CheckDigest refuses the zero digest: it is nobody's, only forgotten.
func CheckDigest(d sallyport.Digest) error {
	if d == (sallyport.Digest{}) {
		return errors.New("the digest of the secret is missing")
	}
	return nil
}

// Creation is a credential that is to be kept, with its first secret.
type Creation struct {
	CredentialRow
	Digest     sallyport.Digest
	Pepper     int
	UniqueName bool
}

// NewCreation returns n as it is to be kept, or says why it cannot be.
func NewCreation(n *sallyport.NewCredential) (Creation, error) {
	r, err := NewCredentialRow(&n.Credential)
	if err == nil {
		if err = CheckDigest(n.Digest); err != nil {
			err = fmt.Errorf("%s: %w", r, err)
		}
	}
	return Creation{r, n.Digest, n.Pepper, n.UniqueName}, err
}

// NewCreations returns an import as it is to be kept. Its error is a
// sallyport.AtIndex about the first that cannot be; it wraps
// sallyport.ErrConflict where a secret is there twice, for two credentials.
func NewCreations(list []sallyport.NewCredential) ([]Creation, error) {
	rows := make([]Creation, len(list))
	owners := make(map[sallyport.Digest]string, len(list))
	for i := range list {
		r, err := NewCreation(&list[i])
		if err != nil {
			return nil, sallyport.AtIndex{Index: i, Err: err}
		}
		if id, twice := owners[r.Digest]; twice && id != r.ID {
			err = fmt.Errorf("%s: its secret, also that of %s: %w", r, CredentialRow{ID: id}, sallyport.ErrConflict)
			return nil, sallyport.AtIndex{Index: i, Err: err}
		}
		rows[i], owners[r.Digest] = r, r.ID
	}
	return rows, nil
}

// Known says what an import does about c where its secret is known already, as
// that of owner: nothing, if that is the same tenant's; else the error wraps
// sallyport.ErrConflict.
func (c Creation) Known(owner CredentialRow) (sallyport.Imported, error) {
	if owner.API != c.API || owner.Tenant != c.Tenant {
		return sallyport.Imported{}, fmt.Errorf("its secret: %w", sallyport.ErrConflict)
	}
	return sallyport.Imported{ID: owner.ID, Existed: true}, nil
}
