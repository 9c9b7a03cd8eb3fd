package store

import (
	"errors"
	"fmt"
	"slices"

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
	ClientID              string // of a grant: its client's
	Client                string // of a client: JSON of what it may
	Epoch                 uint64 // the store's alone: 0 in a row that was made from a credential
	Cause                 string
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
		Cause: c.Cause, CreatedAt: NewTime(c.CreatedAt), ExpiresAt: NewTime(c.ExpiresAt),
	}
	if r.User, err = r.userOf(c.User); err != nil {
		return r, err
	}
	if err := checkLists(c); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if err := CheckText(r.ID, r.API, r.Tenant, r.User, r.Kind, r.Name, r.Principal, r.Environment, r.Prefix, r.Last4, r.Plan, r.Cause); err != nil {
		return r, fmt.Errorf("%s: %w", r, err)
	}
	if r.State, err = encodeState(c.State); err != nil {
		return r, fmt.Errorf("%s %w", r, err)
	}
	var errs [6]error
	r.Scopes, errs[0] = encodeList(c.Scopes)
	r.Roles, errs[1] = encodeList(c.Roles)
	r.AllowedIPs, errs[2] = encodeList(c.AllowedIPs)
	r.Attributes, errs[3] = encodeTexts(c.Attributes)
	r.Overrides, errs[4] = encodeOverrides(c.Overrides)
	r.ClientID, r.Client, errs[5] = encodeClient(c)
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

// What a credential's Cause says where it ended with something else.
const (
	CauseUser   = "its user was disabled or revoked, or its roles changed"
	CauseClient = "its client was revoked"
	CauseReused = "a code or refresh token of it was used twice"
)

// Ended returns r as it is after it has been revoked for cause.
func (r CredentialRow) Ended(cause string) CredentialRow {
	if r.State == sallyport.Active.String() {
		r.Epoch++
	}
	r.State, r.Cause = sallyport.Revoked.String(), cause
	return r
}

// EndsWithUser reports whether r's credential is of a kind that ends with its
// user's roles and state.
func (r CredentialRow) EndsWithUser() bool {
	return r.Kind == sallyport.KindPAT || r.Kind == sallyport.KindGrant
}

// Takes refuses the new grant g of the client r, with sallyport.ErrNotFound: one
// that was made while its client was being revoked would outlive that.
func (r CredentialRow) Takes(g CredentialRow) error {
	if r.Kind != sallyport.KindClient || r.State != sallyport.Active.String() || r.ID != g.ClientID || r.API != g.API || r.Tenant != g.Tenant {
		return fmt.Errorf("active client %q: %w", g.ClientID, sallyport.ErrNotFound)
	}
	return nil
}

// EndsGrants reports whether the grants of the client r end with the change from
// r to after.
func (r CredentialRow) EndsGrants(after CredentialRow) bool {
	revoked := sallyport.Revoked.String()
	return r.Kind == sallyport.KindClient && r.State != revoked && after.State == revoked
}

// endsTokens reports whether the tokens made from r's credential end with the
// change from r to after: it leaves the active state, or has another set of
// roles.
func (r CredentialRow) endsTokens(after CredentialRow) (bool, error) {
	if active := sallyport.Active.String(); r.State == active && after.State != active {
		return true, nil
	}
	same, err := sameSet(r.Roles, after.Roles)
	return !same, err
}

// Holds reports whether r's credential has itself one of roles.
func (r CredentialRow) Holds(roles []string) (bool, error) {
	its, err := decodeList[string](r.Roles)
	if err != nil {
		return false, fmt.Errorf("%s: roles: %w", r, err)
	}
	return slices.ContainsFunc(its, func(role string) bool { return slices.Contains(roles, role) }), nil
}

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
	if err != nil {
		return Creation{}, err
	}
	switch {
	case n.Kind == sallyport.KindGrant:
		err = errors.New("a grant is made with a code (CreateGrant)")
	case !secretless(n.Kind, n.Client):
		err = CheckDigest(n.Digest)
	case n.Digest != sallyport.Digest{}:
		err = errors.New("a public client has no secret")
	}
	if err != nil {
		return Creation{}, fmt.Errorf("%s: %w", r, err)
	}
	return Creation{r, n.Digest, n.Pepper, n.UniqueName}, nil
}

// HasSecret reports whether c has one: a public client and a grant have none of
// this kind.
func (c Creation) HasSecret() bool { return c.Digest != sallyport.Digest{} }

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
		if id, twice := owners[r.Digest]; twice && id != r.ID && r.HasSecret() {
			err = fmt.Errorf("%s: its secret, also that of %s: %w", r, CredentialRow{ID: id}, sallyport.ErrConflict)
			return nil, sallyport.AtIndex{Index: i, Err: err}
		}
		rows[i], owners[r.Digest] = r, r.ID
	}
	return rows, nil
}

// MaxRefusals is how many faults of an import are told: all of one mistake may be
// thousands.
const MaxRefusals = 100

// Refusals gathers what an import cannot keep. The zero value holds none.
type Refusals struct{ errs []error }

// Add notes that the one at index cannot be kept, for err. It reports false where
// the import is to end: where there are enough of them, or err is not about that
// one alone.
func (r *Refusals) Add(index int, err error) bool {
	r.errs = append(r.errs, sallyport.AtIndex{Index: index, Err: err})
	return len(r.errs) < MaxRefusals && (errors.Is(err, sallyport.ErrConflict) || errors.Is(err, sallyport.ErrNotFound))
}

// Err returns what was noted, with a sallyport.AtIndex for each; nil for nothing.
func (r *Refusals) Err() error { return errors.Join(r.errs...) }

// Known says what an import does about c where its secret is known already, as
// that of owner: nothing, if that is the same tenant's; else the error wraps
// sallyport.ErrConflict.
func (c Creation) Known(owner CredentialRow) (sallyport.Imported, error) {
	if owner.API != c.API || owner.Tenant != c.Tenant {
		return sallyport.Imported{}, fmt.Errorf("its secret: %w", sallyport.ErrConflict)
	}
	return sallyport.Imported{ID: owner.ID, Existed: true}, nil
}
