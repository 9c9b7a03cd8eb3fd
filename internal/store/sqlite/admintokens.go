package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of an admin token, in the order of adminTokenFields.
const adminTokenColumns = `id, name, role, api, tenant, state, created_at, expires_at`

func adminTokenFields(r *store.AdminTokenRow) []any {
	return []any{&r.ID, &r.Name, &r.Role, &r.API, &r.Tenant, &r.State, &r.CreatedAt, &r.ExpiresAt}
}

// CreateAdminToken keeps a new token of the admin API and the digest of its
// secret. Its error wraps sallyport.ErrConflict where the id or the digest
// exists already.
func (s *Store) CreateAdminToken(ctx context.Context, t sallyport.AdminToken, d sallyport.Digest) error {
	r, err := store.NewAdminTokenRow(&t, d)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO admin_tokens (digest, `+adminTokenColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			d[:], r.ID, r.Name, r.Role, r.API, r.Tenant, r.State, r.CreatedAt, r.ExpiresAt)
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, "admin_token", r.API, "", r.ID)
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

// AdminTokenByDigest returns the token whose secret has this digest, whatever
// its state, and also where it has expired. Its error wraps
// sallyport.ErrNotFound where there is none.
func (s *Store) AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error) {
	r, err := await(ctx, s, func() (r store.AdminTokenRow, err error) {
		err = s.reader.QueryRowContext(ctx, `SELECT `+adminTokenColumns+` FROM admin_tokens WHERE digest = ?`, d[:]).Scan(adminTokenFields(&r)...)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("admin token by digest: %w", err)
	}
	return r.Value()
}

// AdminTokens lists all tokens of the admin API, the oldest first.
func (s *Store) AdminTokens(ctx context.Context) ([]*sallyport.AdminToken, error) {
	list, err := store.Values(await(ctx, s, func() ([]store.AdminTokenRow, error) {
		rows, err := s.reader.QueryContext(ctx, `SELECT `+adminTokenColumns+` FROM admin_tokens ORDER BY created_at, id`)
		return collect(rows, err, adminTokenFields)
	}))
	if err != nil {
		return nil, fmt.Errorf("list admin tokens: %w", err)
	}
	return list, nil
}

// RevokeAdminToken revokes a token, for good; one that is revoked stays so. Its
// error wraps sallyport.ErrNotFound where there is none of that id.
func (s *Store) RevokeAdminToken(ctx context.Context, id string) error {
	_, _, err := update(ctx, s, store.AdminTokenRow{ID: id},
		func(tx *sql.Tx) (r store.AdminTokenRow, err error) {
			err = tx.QueryRowContext(ctx, `SELECT `+adminTokenColumns+` FROM admin_tokens WHERE id = ?`, id).Scan(adminTokenFields(&r)...)
			return r, err
		},
		func(r store.AdminTokenRow) (store.AdminTokenRow, error) { return r.Revoked(), nil },
		func(tx *sql.Tx, _, r store.AdminTokenRow) (int, error) {
			if _, err := tx.ExecContext(ctx, `UPDATE admin_tokens SET state = ? WHERE id = ?`, r.State, r.ID); err != nil {
				return 0, err
			}
			return 0, noteChange(ctx, tx, "admin_token", r.API, "", r.ID)
		},
	)
	return err
}

// CountAdminTokens returns how many tokens are active, expired ones among them:
// none means a first start.
func (s *Store) CountAdminTokens(ctx context.Context) (int, error) {
	n, err := await(ctx, s, func() (n int, err error) {
		err = s.reader.QueryRowContext(ctx, `SELECT count(*) FROM admin_tokens WHERE state = 'active'`).Scan(&n)
		return n, err
	})
	if err != nil {
		return 0, fmt.Errorf("count admin tokens: %w", err)
	}
	return n, nil
}
