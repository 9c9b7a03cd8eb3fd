package store

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sallyport/sallyport"
)

// Found is a credential's row with its tenant's and its user's, and the end of
// the secret by which it was found, where that has one of its own.
type Found struct {
	Credential CredentialRow
	Tenant     TenantRow
	User       UserRow // the zero one where there is none
	End        Time
}

// Value returns a new credential, which ends when its secret does, if that is
// earlier: while it is rolled, an old secret ends before its credential. A
// credential whose user is not there is an error.
func (f Found) Value() (*sallyport.Credential, error) {
	f.Credential.ExpiresAt = earlier(f.Credential.ExpiresAt, f.End)
	return f.credential()
}

func (f Found) credential() (*sallyport.Credential, error) {
	r := f.Credential
	c := &sallyport.Credential{
		ID: r.ID, API: r.API,
		Kind: r.Kind, Name: r.Name, Principal: r.Principal, Environment: r.Environment,
		Sandbox: r.Sandbox, Prefix: r.Prefix, Last4: r.Last4, Unchecked: r.Unchecked, Plan: r.Plan,
		Epoch: r.Epoch, Cause: r.Cause, CreatedAt: TimeOf(r.CreatedAt), ExpiresAt: TimeOf(r.ExpiresAt),
	}
	var errs [10]error
	c.Tenant, errs[0] = f.Tenant.Value()
	c.User, errs[1] = f.user()
	c.Access, errs[2] = decodeAccess(r.Access)
	c.State, errs[3] = decodeState(r.State)
	c.Scopes, errs[4] = decodeList[string](r.Scopes)
	c.Roles, errs[5] = decodeList[string](r.Roles)
	c.AllowedIPs, errs[6] = decodeList[netip.Prefix](r.AllowedIPs)
	c.Attributes, errs[7] = decodeMap[string](r.Attributes)
	c.Overrides, errs[8] = decodeOverrides(r.Overrides)
	c.Client, errs[9] = decodeClient(r.ClientID, r.Client)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	if err := checkClient(c); err != nil {
		return nil, fmt.Errorf("%s: %w", r, err)
	}
	c.Networks = sallyport.NewNetworks(c.AllowedIPs)
	return c, nil
}

// user returns whom the credential acts for. To take a user who is not there
// for nobody would free the credential of what the user may not. The password
// stays behind: a credential is cached for long, and nobody signs in with one.
func (f Found) user() (*sallyport.User, error) {
	if f.Credential.User == "" {
		return nil, nil
	}
	if f.User.ID != f.Credential.User {
		return nil, fmt.Errorf("%s is not there", UserRow{API: f.Credential.API, Tenant: f.Credential.Tenant, ID: f.Credential.User})
	}
	u, err := f.User.Value()
	if err != nil {
		return nil, err
	}
	u.Password = ""
	return u, nil
}

// Change returns f after change, which gets a credential of its own; what it
// does to the tenant, the user and the epoch is not kept. An error of change is
// returned as it is. A credential's id, api, tenant, user and client cannot
// change, nor whether it is a client or a grant, and nothing of a revoked one can.
func (f Found) Change(change func(*sallyport.Credential) error) (Found, error) {
	r := f.Credential
	c, err := f.credential()
	if err != nil {
		return f, err
	}
	if err := change(c); err != nil {
		return f, err
	}
	after, err := NewCredentialRow(c)
	if err != nil {
		return f, err
	}
	after.Epoch = r.Epoch
	if after.ID != r.ID || after.API != r.API || after.Tenant != r.Tenant || after.User != r.User || after.ClientID != r.ClientID {
		return f, fmt.Errorf("%s cannot change its id, api, tenant, user or client", r)
	}
	if after.Kind != r.Kind && (r.oauth() || after.oauth()) {
		return f, fmt.Errorf("%s cannot turn from %q into %q", r, r.Kind, after.Kind)
	}
	if after != r && r.State == sallyport.Revoked.String() {
		return f, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	if after.State != r.State && after.Cause == r.Cause {
		after.Cause = "" // it was that of another state
	}
	ends, err := r.endsTokens(after)
	if err != nil {
		return f, fmt.Errorf("%s: roles: %w", r, err)
	}
	if ends {
		after.Epoch++
	}
	f.Credential = after
	return f, nil
}

// oauth reports whether r is a client or a grant.
func (r CredentialRow) oauth() bool {
	return r.Kind == sallyport.KindClient || r.Kind == sallyport.KindGrant
}

// Secretless reports whether f's credential has no secret among those of keys,
// as a grant and a public client have none.
func (f Found) Secretless() bool {
	its, err := decodeClient(f.Credential.ClientID, f.Credential.Client)
	return err == nil && secretless(f.Credential.Kind, its)
}

// Rolled is a credential with its new secret; without one, it is yet to be
// rolled.
type Rolled struct {
	Found
	Digest sallyport.Digest
	Pepper int
	Now    Time
	OldEnd Time // when the old secrets end, if not earlier
}

// Roll returns f after roll, which gets a credential of its own and may change
// its last characters, its expiry, and whether its secret may lack a checksum.
// An error of roll is returned as it is; others wrap sallyport.ErrFinal where
// the credential is revoked.
//
// An old secret lives on until the end that the credential had, at most: a roll
// lengthens the life of none. The tokens that were made from the credential end.
func (f Found) Roll(roll func(*sallyport.Credential) (sallyport.Roll, error)) (Rolled, error) {
	r := f.Credential
	if r.State == sallyport.Revoked.String() {
		return Rolled{}, fmt.Errorf("%s %w", r, sallyport.ErrFinal)
	}
	if f.Secretless() {
		return Rolled{}, fmt.Errorf("%s has no secret that could be rolled", r)
	}
	var made sallyport.Roll
	after, err := f.Change(func(c *sallyport.Credential) (err error) {
		made, err = roll(c)
		return err
	})
	if err != nil {
		return Rolled{}, err
	}
	r.Last4, r.Unchecked, r.ExpiresAt = after.Credential.Last4, after.Credential.Unchecked, after.Credential.ExpiresAt
	if after.Credential != r {
		return Rolled{}, fmt.Errorf("%s: a roll cannot change more than its last characters, its check and its expiry", r)
	}
	if err := CheckDigest(made.Digest); err != nil {
		return Rolled{}, fmt.Errorf("%s: %w", r, err)
	}
	if made.Now.IsZero() || made.OldEnd.IsZero() {
		return Rolled{}, fmt.Errorf("%s: a roll needs the time that it is and the end of the old secrets", r)
	}
	after.Credential.Epoch++
	return Rolled{
		Found: after, Digest: made.Digest, Pepper: made.Pepper,
		Now: NewTime(made.Now), OldEnd: earlier(f.Credential.ExpiresAt, NewTime(made.OldEnd)),
	}, nil
}

// Value returns what row stands for, unless there is an error already.
func Value[V any](row interface{ Value() (*V, error) }, err error) (*V, error) {
	if err != nil {
		return nil, err
	}
	return row.Value()
}

// Values is Value of a list.
func Values[V any, R interface{ Value() (*V, error) }](rows []R, err error) ([]*V, error) {
	if err != nil {
		return nil, err
	}
	values := make([]*V, len(rows))
	for i, r := range rows {
		if values[i], err = r.Value(); err != nil {
			return nil, err
		}
	}
	return values, nil
}
