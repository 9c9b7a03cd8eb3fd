package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of a signing key, in the order of signingKeyFields.
const signingKeyColumns = `api, id, algorithm, sealed, pepper_version, created_at, signs_from, ends_at`

func signingKeyFields(r *store.SigningKeyRow) []any {
	return []any{&r.API, &r.ID, &r.Algorithm, &r.Sealed, &r.Pepper, &r.CreatedAt, &r.SignsFrom, &r.EndsAt}
}

// signingKeysQuery lists the keys of an API, which are few.
const signingKeysQuery = `SELECT ` + signingKeyColumns + ` FROM signing_keys WHERE api = ? ORDER BY created_at, id`

// SigningKeys lists the keys that sign, signed or will sign an API's tokens, the
// oldest first.
func (s *Store) SigningKeys(ctx context.Context, api string) ([]*sallyport.SigningKey, error) {
	list, err := store.Values(await(ctx, s, func() ([]store.SigningKeyRow, error) {
		rows, err := s.reader.QueryContext(ctx, signingKeysQuery, api)
		return collect(rows, err, signingKeyFields)
	}))
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	return list, nil
}

// CreateSigningKey keeps a new signing key beside those that its API had when
// SigningKeys was called: read is what that returned. Its error wraps
// sallyport.ErrConflict where the API has others by now, or one of that id: of
// several who find that a key is missing one makes it, and the others read again.
func (s *Store) CreateSigningKey(ctx context.Context, k sallyport.SigningKey, read []*sallyport.SigningKey) error {
	r, err := store.NewSigningKeyRow(&k)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, signingKeysQuery, r.API)
		kept, err := collect(rows, err, signingKeyFields)
		if err != nil {
			return err
		}
		if err := r.Beside(read, kept); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO signing_keys (`+signingKeyColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			r.API, r.ID, r.Algorithm, []byte(r.Sealed), r.Pepper, r.CreatedAt, r.SignsFrom, r.EndsAt)
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, "signing_key", r.API, "", r.ID)
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

// UpdateSigningKey changes a signing key, read and written in one transaction, and
// returns it as it then is; its algorithm cannot change. An error of change is
// returned as it is, and nothing is changed; else the error wraps
// sallyport.ErrNotFound where the API has no such key. change must not call the
// store.
func (s *Store) UpdateSigningKey(ctx context.Context, api, id string, change func(*sallyport.SigningKey) error) (*sallyport.SigningKey, error) {
	r, _, err := update(ctx, s, store.SigningKeyRow{API: api, ID: id},
		func(tx *sql.Tx) (r store.SigningKeyRow, err error) {
			err = tx.QueryRowContext(ctx, `SELECT `+signingKeyColumns+` FROM signing_keys WHERE api = ? AND id = ?`, api, id).Scan(signingKeyFields(&r)...)
			return r, err
		},
		func(r store.SigningKeyRow) (store.SigningKeyRow, error) { return r.Change(change) },
		func(tx *sql.Tx, _, r store.SigningKeyRow) (int, error) {
			_, err := tx.ExecContext(ctx, `UPDATE signing_keys SET sealed = ?, pepper_version = ?, created_at = ?, signs_from = ?, ends_at = ?
				WHERE api = ? AND id = ?`, []byte(r.Sealed), r.Pepper, r.CreatedAt, r.SignsFrom, r.EndsAt, r.API, r.ID)
			if err != nil {
				return 0, err
			}
			return 0, noteChange(ctx, tx, "signing_key", r.API, "", r.ID)
		},
	)
	return store.Value(r, err)
}

// DeleteSigningKey forgets a signing key: nothing that it signed is good any more.
// Its error wraps sallyport.ErrNotFound where the API has no such key.
func (s *Store) DeleteSigningKey(ctx context.Context, api, id string) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `DELETE FROM signing_keys WHERE api = ? AND id = ?`, api, id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, sallyport.ErrNotFound)
		}
		return noteChange(ctx, tx, "signing_key", api, "", id)
	})
	if err != nil {
		return fmt.Errorf("delete %s: %w", store.SigningKeyRow{API: api, ID: id}, err)
	}
	return nil
}

// RevokeToken has the token of that id refused until then, which is when it would
// have expired. Where it is revoked already, the later end counts.
func (s *Store) RevokeToken(ctx context.Context, api, id string, until time.Time) error {
	r, err := store.NewRevokedToken(api, id, until)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO revoked_tokens (api, id, until) VALUES (?, ?, ?)
			ON CONFLICT (api, id) DO UPDATE SET until = excluded.until WHERE excluded.until > until`, r.API, r.ID, r.Until)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return noteChange(ctx, tx, "token", r.API, "", r.ID)
	})
	if err != nil {
		return fmt.Errorf("revoke %s: %w", r, err)
	}
	return nil
}

// revokedQuery looks for a revoked token.
const revokedQuery = `SELECT count(*) FROM revoked_tokens WHERE api = ? AND id = ?`

// TokenRevoked reports whether the token of that id has been revoked by it.
func (s *Store) TokenRevoked(ctx context.Context, api, id string) (bool, error) {
	n, err := await(ctx, s, func() (n int, err error) {
		err = s.reader.QueryRowContext(ctx, revokedQuery, api, id).Scan(&n)
		return n, err
	})
	if err != nil {
		return false, fmt.Errorf("%s: %w", store.RevokedToken{API: api, ID: id}, err)
	}
	return n > 0, nil
}
