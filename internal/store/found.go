package store

import "github.com/sallyport/sallyport"

// Found is a credential's row with its tenant's, and the end of the secret by
// which it was found, where that has one of its own.
type Found struct {
	Credential CredentialRow
	Tenant     TenantRow
	End        Time
}

// Value returns a new credential, which ends when its secret does, if that is
// earlier: while it is rolled, an old secret ends before its credential.
func (f Found) Value() (*sallyport.Credential, error) {
	f.Credential.ExpiresAt = earlier(f.Credential.ExpiresAt, f.End)
	return f.Credential.credential(f.Tenant)
}

// Change returns f after change, which gets a credential of its own; what it
// does to the tenant is not kept. An error of change is returned as it is. A
// credential's id, api and tenant cannot change, and nothing of a revoked one
// can.
func (f Found) Change(change func(*sallyport.Credential) error) (_ Found, err error) {
	f.Credential, err = f.Credential.change(f.Tenant, change)
	return f, err
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
