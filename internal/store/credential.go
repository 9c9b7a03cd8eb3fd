package store

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sallyport/sallyport"
)

// CredentialRow is a credential as it is kept, without its secrets. Two rows
// of equal credentials are ==.
type CredentialRow struct {
	ID, API, Tenant       string
	Kind, Name, Principal string
	Environment           string
	Access                string
	Sandbox               bool
	Scopes                string // JSON list
	State                 string
	Prefix, Last4         string
	AllowedIPs            string // JSON list of CIDRs
	CreatedAt, ExpiresAt  Time
}

// NewCredentialRow returns c's row, or says why it cannot be kept.
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
		Access: c.Access.String(), Sandbox: c.Sandbox, Prefix: c.Prefix, Last4: c.Last4,
		CreatedAt: NewTime(c.CreatedAt), ExpiresAt: NewTime(c.ExpiresAt),
	}
	if err := checkLists(c); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if err := CheckText(r.ID, r.API, r.Tenant, r.Kind, r.Name, r.Principal, r.Environment, r.Prefix, r.Last4); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(c.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	if r.Scopes, err = encodeList(c.Scopes); err != nil {
		return r, fmt.Errorf("%s: scopes: %w", r, err)
	}
	if r.AllowedIPs, err = encodeList(c.AllowedIPs); err != nil {
		return r, fmt.Errorf("%s: addresses: %w", r, err)
	}
	return r, nil
}

func checkLists(c *sallyport.Credential) error {
	for _, p := range c.AllowedIPs {
		if !p.IsValid() {
			return errors.New("an allowed address range is not valid")
		}
	}
	return CheckText(c.Scopes...)
}

// String names the credential, for errors.
func (r CredentialRow) String() string { return fmt.Sprintf("credential %q", r.ID) }

// credential returns a new credential from r and its tenant's row.
func (r CredentialRow) credential(tenant TenantRow) (*sallyport.Credential, error) {
	c := &sallyport.Credential{
		ID: r.ID, API: r.API,
		Kind: r.Kind, Name: r.Name, Principal: r.Principal, Environment: r.Environment,
		Sandbox: r.Sandbox, Prefix: r.Prefix, Last4: r.Last4,
		CreatedAt: TimeOf(r.CreatedAt), ExpiresAt: TimeOf(r.ExpiresAt),
	}
	var errs [5]error
	c.Tenant, errs[0] = tenant.Value()
	c.Access, errs[1] = decodeAccess(r.Access)
	c.State, errs[2] = decodeState(r.State)
	c.Scopes, errs[3] = decodeList[string](r.Scopes)
	c.AllowedIPs, errs[4] = decodeList[netip.Prefix](r.AllowedIPs)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	return c, nil
}

// change is Found.Change.
func (r CredentialRow) change(tenant TenantRow, change func(*sallyport.Credential) error) (CredentialRow, error) {
	c, err := r.credential(tenant)
	if err != nil {
		return r, err
	}
	if err := change(c); err != nil {
		return r, err
	}
	after, err := NewCredentialRow(c)
	if err != nil {
		return r, err
	}
	if after.ID != r.ID || after.API != r.API || after.Tenant != r.Tenant {
		return r, fmt.Errorf("%s cannot change its id, api or tenant", r)
	}
	if after != r && r.State == sallyport.Revoked.String() {
		return r, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	return after, nil
}

// CheckDigest refuses the zero digest: it is nobody's, only forgotten.
func CheckDigest(d sallyport.Digest) error {
	if d == (sallyport.Digest{}) {
		return errors.New("the digest of the secret is missing")
	}
	return nil
}
