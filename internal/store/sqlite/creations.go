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

// What is kept of a credential and of its secret when they are made, and how many
// values each row has.
const (
	newCredential = `INSERT INTO credentials (id, api, tenant, user_id, kind, name, principal, environment, access, sandbox,
		scopes, roles, state, prefix, last4, unchecked, allowed_ips, attributes, plan, overrides,
		client_id, client, cause, created_at, expires_at) VALUES `
	newSecret = `INSERT INTO secrets (digest, credential_id, pepper_version) VALUES `

	credentialValues, secretValues = 25, 3
)

var insertCredentialQuery, insertSecretQuery = newCredential + values(1, credentialValues), newSecret + values(1, secretValues)

func appendCredential(to []any, r *store.CredentialRow) []any {
	return append(to, r.ID, r.API, r.Tenant, r.User, r.Kind, r.Name, r.Principal, r.Environment, r.Access, r.Sandbox,
		r.Scopes, r.Roles, r.State, r.Prefix, r.Last4, r.Unchecked, r.AllowedIPs, r.Attributes, r.Plan, r.Overrides,
		r.ClientID, r.Client, r.Cause, r.CreatedAt, r.ExpiresAt)
}

func insertCredential(ctx context.Context, tx executor, r store.CredentialRow) error {
	_, err := tx.ExecContext(ctx, insertCredentialQuery, appendCredential(nil, &r)...)
	return err
}

func insertSecret(ctx context.Context, tx executor, d sallyport.Digest, credential string, pepper int) error {
	_, err := tx.ExecContext(ctx, insertSecretQuery, d[:], credential, pepper)
	return err
}
