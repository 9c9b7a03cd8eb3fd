package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// CreateAdminToken keeps a new token of the admin API; tenant "" is an
// administrator of all. Its error wraps sallyport.ErrConflict where the id or
// the digest exists already.
func (s *Store) CreateAdminToken(ctx context.Context, id, name, role, tenant string, digest sallyport.Digest) error {
	t, err := store.NewAdminToken(id, name, role, tenant, digest, time.Now())
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO admin_tokens (id, digest, name, role, tenant, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
			t.ID, digest[:], t.Name, t.Role, t.Tenant, store.NewTime(t.CreatedAt))
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, "admin_token", "", id)
	})
	if err != nil {
		return fmt.Errorf("create admin token %q: %w", id, err)
	}
	return nil
}

// AdminTokenByDigest returns the token whose secret has this digest. Its error
// wraps sallyport.ErrNotFound where there is none.
func (s *Store) AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error) {
	t, err := await(ctx, s, func() (*sallyport.AdminToken, error) {
		var t sallyport.AdminToken
		var created store.Time
		err := s.reader.QueryRowContext(ctx, `SELECT id, name, role, tenant, created_at FROM admin_tokens WHERE digest = ?`, d[:]).
			Scan(&t.ID, &t.Name, &t.Role, &t.Tenant, &created)
		t.CreatedAt = store.TimeOf(created)
		return &t, err
	})
	if err != nil {
		return nil, fmt.Errorf("admin token by digest: %w", err)
	}
	return t, nil
}

// CountAdminTokens returns how many there are: none means a first start.
func (s *Store) CountAdminTokens(ctx context.Context) (int, error) {
	n, err := await(ctx, s, func() (n int, err error) {
		err = s.reader.QueryRowContext(ctx, `SELECT count(*) FROM admin_tokens`).Scan(&n)
		return n, err
	})
	if err != nil {
		return 0, fmt.Errorf("count admin tokens: %w", err)
	}
	return n, nil
}
