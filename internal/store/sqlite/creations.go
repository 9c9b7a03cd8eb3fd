package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// CreateCredential keeps a new credential of an existing tenant (n.API and
// n.Tenant.ID) and, where it has one, of an existing user of that tenant
// (n.User.ID), with its secret. A public client has none, and a grant is made by
// CreateGrant alone. Epochs begin at 0. Its error wraps sallyport.ErrConflict where the
// id or the digest exists already, in whatever API, or the name does that is to
// be unique, and sallyport.ErrNotFound where the tenant or the user does not.
func (s *Store) CreateCredential(ctx context.Context, n sallyport.NewCredential) error {
	r, err := store.NewCreation(&n)
	if err != nil {
		return err
	}
	if err := s.write(ctx, func(tx *sql.Tx) error { return insert(ctx, tx, r) }); err != nil {
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

// ImportCredentials keeps credentials as CreateCredential does, all of them or
// none, and says what became of each. A secret that is known already as that of
// a credential of the same API and tenant is left as it is, with that
// credential: so an import can be sent again. Its error wraps what
// CreateCredential's does, and sallyport.ErrConflict also where a secret is
// another tenant's or is given to two credentials; sallyport.AtIndex in it says
// which one of list it is about.
func (s *Store) ImportCredentials(ctx context.Context, list []sallyport.NewCredential) ([]sallyport.Imported, error) {
	rows, err := store.NewCreations(list)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	all, err := transact(ctx, s, func(tx *sql.Tx) ([]sallyport.Imported, error) {
		all := make([]sallyport.Imported, len(rows))
		once := compiled{tx, map[string]*sql.Stmt{}}
		for i, r := range rows {
			var err error
			if all[i], err = importOne(ctx, once, r); err != nil {
				return nil, sallyport.AtIndex{Index: i, Err: fmt.Errorf("%s: %w", r, named(ctx, err))}
			}
		}
		return all, nil
	})
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return all, nil
}

// compiled runs statements in a transaction, and has each compiled once: an
// import is the same few a thousand times, and to run one takes less than to
// compile it.
type compiled struct {
	tx         *sql.Tx // closes the statements when it ends
	statements map[string]*sql.Stmt
}

func (c compiled) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := c.statements[text]; ok {
		return s, nil
	}
	s, err := c.tx.PrepareContext(ctx, text)
	if err == nil {
		c.statements[text] = s
	}
	return s, err
}

// ExecContext does what that of the transaction does.
func (c compiled) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryRowContext does what that of the transaction does.
func (c compiled) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	s, err := c.statement(ctx, text)
	if err != nil {
		return c.tx.QueryRowContext(ctx, text, args...) // tells the error
	}
	return s.QueryRowContext(ctx, args...)
}

func importOne(ctx context.Context, tx executor, r store.Creation) (sallyport.Imported, error) {
	var owner store.CredentialRow
	err := tx.QueryRowContext(ctx, `SELECT c.id, c.api, c.tenant FROM secrets s JOIN credentials c ON c.id = s.credential_id WHERE s.digest = ?`, r.Digest[:]).
		Scan(&owner.ID, &owner.API, &owner.Tenant)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return sallyport.Imported{ID: r.ID}, insert(ctx, tx, r)
	case err != nil:
		return sallyport.Imported{}, err
	}
	return r.Known(owner)
}

// insert keeps r. Its errors say which of tenant, user and name it is, but
// where the id or the digest exists already.
func insert(ctx context.Context, tx executor, r store.Creation) error {
	if r.User != "" {
		u, err := readUser(ctx, tx, r.API, r.Tenant, r.User)
		if err != nil {
			return fmt.Errorf("%s: %w", store.UserRow{API: r.API, Tenant: r.Tenant, ID: r.User}, named(ctx, err))
		}
		if err := u.Takes(r.CredentialRow); err != nil {
			return err
		}
	}
	if r.UniqueName {
		if err := checkName(ctx, tx, r.CredentialRow); err != nil {
			return err
		}
	}
	if err := named(ctx, insertCredential(ctx, tx, r.CredentialRow)); errors.Is(err, sallyport.ErrNotFound) {
		return fmt.Errorf("%s: %w", store.TenantRow{API: r.API, ID: r.Tenant}, err)
	} else if err != nil {
		return err
	}
	if r.HasSecret() {
		if err := insertSecret(ctx, tx, r.Digest, r.ID, r.Pepper); err != nil {
			return err
		}
	}
	return noteChange(ctx, tx, "credential", r.API, r.Tenant, r.ID)
}

func insertCredential(ctx context.Context, tx executor, r store.CredentialRow) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO credentials (id, api, tenant, user_id, kind, name, principal, environment, access, sandbox,
		scopes, roles, state, prefix, last4, unchecked, allowed_ips, attributes, plan, overrides,
		client_id, client, cause, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.API, r.Tenant, r.User, r.Kind, r.Name, r.Principal, r.Environment, r.Access, r.Sandbox,
		r.Scopes, r.Roles, r.State, r.Prefix, r.Last4, r.Unchecked, r.AllowedIPs, r.Attributes, r.Plan, r.Overrides,
		r.ClientID, r.Client, r.Cause, r.CreatedAt, r.ExpiresAt)
	return err
}

func insertSecret(ctx context.Context, tx executor, d sallyport.Digest, credential string, pepper int) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO secrets (digest, credential_id, pepper_version) VALUES (?, ?, ?)`, d[:], credential, pepper)
	return err
}
