package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of a store.Found, in the order of foundFields.
const (
	credentialColumns = `c.id, c.api, c.tenant, c.kind, c.name, c.principal, c.environment, c.access, c.sandbox,
		c.scopes, c.state, c.prefix, c.last4, c.allowed_ips, c.created_at, c.expires_at, ` + tenantColumns

	credentialTables = ` FROM credentials c JOIN tenants t ON t.api = c.api AND t.id = c.tenant`

	credentialQuery = `SELECT ` + credentialColumns + credentialTables + ` WHERE c.id = ?1 AND (?2 = '' OR c.api = ?2) AND (?3 = '' OR c.tenant = ?3)`

	byDigestQuery = `SELECT ` + credentialColumns + `, s.expires_at FROM secrets s
		JOIN credentials c ON c.id = s.credential_id
		JOIN tenants t ON t.api = c.api AND t.id = c.tenant
		WHERE s.digest = ?`
)

func foundFields(f *store.Found) []any {
	c := &f.Credential
	return append([]any{
		&c.ID, &c.API, &c.Tenant, &c.Kind, &c.Name, &c.Principal, &c.Environment, &c.Access, &c.Sandbox,
		&c.Scopes, &c.State, &c.Prefix, &c.Last4, &c.AllowedIPs, &c.CreatedAt, &c.ExpiresAt,
	}, tenantFields(&f.Tenant)...)
}

// CreateCredential keeps a new credential of an existing tenant (c.API and
// c.Tenant.ID) and the digest of its secret, made under the pepper of that
// version. Its error wraps sallyport.ErrConflict where the id or the digest
// exists already, in whatever API, and sallyport.ErrNotFound where the tenant
// does not.
func (s *Store) CreateCredential(ctx context.Context, c sallyport.Credential, secret sallyport.Digest, pepper int) error {
	r, err := store.NewCredentialRow(&c)
	if err == nil {
		err = store.CheckDigest(secret)
	}
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		if err := insertCredential(ctx, tx, r); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO secrets (digest, credential_id, pepper_version) VALUES (?, ?, ?)`,
			secret[:], r.ID, pepper)
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, "credential", r.API, r.ID)
	})
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return fmt.Errorf("create %s: %s: %w", r, store.TenantRow{API: r.API, ID: r.Tenant}, err)
	case err != nil:
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

func insertCredential(ctx context.Context, tx *sql.Tx, r store.CredentialRow) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO credentials (id, api, tenant, kind, name, principal, environment, access, sandbox,
		scopes, state, prefix, last4, allowed_ips, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.API, r.Tenant, r.Kind, r.Name, r.Principal, r.Environment, r.Access, r.Sandbox,
		r.Scopes, r.State, r.Prefix, r.Last4, r.AllowedIPs, r.CreatedAt, r.ExpiresAt)
	return err
}

// Credential returns a credential. api and tenant "" are any, for
// administrators: an id exists once in the whole store. Its error wraps
// sallyport.ErrNotFound where there is none, and in the same words where it is
// another tenant's or another API's.
func (s *Store) Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error) {
	f, err := await(ctx, s, func() (store.Found, error) {
		return readCredential(ctx, s.reader, api, tenant, id)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", store.CredentialRow{ID: id}, err)
	}
	return f.Value()
}

func readCredential(ctx context.Context, q querier, api, tenant, id string) (f store.Found, err error) {
	err = q.QueryRowContext(ctx, credentialQuery, id, api, tenant).Scan(foundFields(&f)...)
	return f, err
}

// Credentials lists credentials, the newest first, those older than f.After
// (100 if f.Limit is 0, at most 1000). Credentials made meanwhile do not
// disturb the pages. Its error wraps sallyport.ErrNotFound where f.After is
// none that f could list.
func (s *Store) Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error) {
	list, err := store.Values(await(ctx, s, func() ([]store.Found, error) {
		return s.listCredentials(ctx, f)
	}))
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return list, nil
}

func (s *Store) listCredentials(ctx context.Context, f sallyport.CredentialFilter) ([]store.Found, error) {
	where, args := ` WHERE 1`, []any{}
	for _, only := range []struct{ column, value string }{{"api", f.API}, {"tenant", f.Tenant}} {
		if only.value != "" {
			where += ` AND c.` + only.column + ` = ?`
			args = append(args, only.value)
		}
	}
	if f.After != "" {
		var seq int64
		err := s.reader.QueryRowContext(ctx, `SELECT c.seq FROM credentials c`+where+` AND c.id = ?`, append(args, f.After)...).Scan(&seq)
		if err != nil {
			return nil, err
		}
		where += ` AND c.seq < ?`
		args = append(args, seq)
	}
	if f.State != sallyport.StateUnknown {
		where += ` AND c.state = ?`
		args = append(args, f.State.String())
	}
	rows, err := s.reader.QueryContext(ctx, `SELECT `+credentialColumns+credentialTables+where+` ORDER BY c.seq DESC LIMIT ?`,
		append(args, store.Limit(f.Limit))...)
	return collect(rows, err, foundFields)
}

// UpdateCredential changes a credential, read and written in one transaction,
// and returns it as it then is. api and tenant "" are any, for administrators.
// An error of change is returned as it is, and nothing is changed; else the
// error wraps sallyport.ErrNotFound as that of Credential does,
// sallyport.ErrFinal where the credential is revoked and change would alter
// anything. change must not call the store.
func (s *Store) UpdateCredential(ctx context.Context, api, tenant, id string, change func(*sallyport.Credential) error) (*sallyport.Credential, error) {
	return store.Value(update(ctx, s, store.CredentialRow{ID: id},
		func(tx *sql.Tx) (store.Found, error) { return readCredential(ctx, tx, api, tenant, id) },
		func(f store.Found) (store.Found, error) { return f.Change(change) },
		func(tx *sql.Tx, f store.Found) error { return writeCredential(ctx, tx, f.Credential) },
	))
}

func writeCredential(ctx context.Context, tx *sql.Tx, r store.CredentialRow) error {
	_, err := tx.ExecContext(ctx, `UPDATE credentials SET kind = ?, name = ?, principal = ?, environment = ?, access = ?, sandbox = ?,
		scopes = ?, state = ?, prefix = ?, last4 = ?, allowed_ips = ?, created_at = ?, expires_at = ? WHERE id = ?`,
		r.Kind, r.Name, r.Principal, r.Environment, r.Access, r.Sandbox,
		r.Scopes, r.State, r.Prefix, r.Last4, r.AllowedIPs, r.CreatedAt, r.ExpiresAt, r.ID)
	if err != nil {
		return err
	}
	return noteChange(ctx, tx, "credential", r.API, r.ID)
}

// ByDigest returns the credential whose secret has this digest, with its
// tenant, whatever their state. It expires when the secret does, if that is
// earlier. Its error wraps sallyport.ErrNotFound where there is none.
func (s *Store) ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error) {
	f, err := await(ctx, s, func() (f store.Found, err error) {
		err = s.byDigest.QueryRowContext(ctx, d[:]).Scan(append(foundFields(&f), &f.End)...)
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("credential by digest: %w", err)
	}
	return f.Value()
}

// digestPage is how many digests are read at a time: a read that lasted would
// keep SQLite from folding its log into the file.
const digestPage = 10_000

// Digests calls yield with every digest, in no particular order, and returns
// its first error as it is. Digests that are made or die meanwhile may or may
// not be among them.
func (s *Store) Digests(ctx context.Context, yield func(sallyport.Digest) error) error {
	last := []byte{}
	for {
		page, err := await(ctx, s, func() ([][]byte, error) {
			rows, err := s.reader.QueryContext(ctx, `SELECT digest FROM secrets WHERE digest > ? ORDER BY digest LIMIT ?`, last, digestPage)
			return collect(rows, err, func(d *[]byte) []any { return []any{d} })
		})
		if err != nil {
			return fmt.Errorf("read digests: %w", err)
		}
		for _, d := range page {
			if err := yield(sallyport.Digest(d)); err != nil { // the table's check holds their length
				return err
			}
		}
		if len(page) < digestPage {
			return nil
		}
		last = page[len(page)-1]
	}
}
