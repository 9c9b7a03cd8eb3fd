package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// grantQuery finds a grant by the digest of one of its secrets.
const grantQuery = `SELECT ` + credentialColumns + `, g.grant_id, g.pepper_version, g.kind, g.expires_at, g.redirect, g.challenge, g.spent
	FROM grant_secrets g JOIN credentials c ON c.id = g.grant_id` + besideCredential + ` WHERE g.digest = ?`

func readGrant(ctx context.Context, q querier, d sallyport.Digest) (f store.FoundGrant, err error) {
	g := &f.Secret
	g.Digest = d
	err = q.QueryRowContext(ctx, grantQuery, d[:]).
		Scan(append(foundFields(&f.Found), &g.Grant, &g.Pepper, &g.Kind, &g.ExpiresAt, &g.Redirect, &g.Challenge, &g.Spent)...)
	return f, err
}

// CreateGrant keeps what a user granted a client: a credential of that kind, with
// its user (g.User.ID) and its client (g.Client.ID), and the code by which the
// client takes it up. Its error wraps sallyport.ErrConflict where the id or the
// digest of the code exists already, and sallyport.ErrNotFound where the tenant
// has no such user or no such client, or where these are not active.
func (s *Store) CreateGrant(ctx context.Context, g sallyport.Credential, code sallyport.GrantSecret) error {
	r, err := store.NewGrant(&g, code)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		client, err := readCredential(ctx, tx, r.API, r.Tenant, r.ClientID)
		if err != nil {
			return fmt.Errorf("client %q: %w", r.ClientID, named(ctx, err))
		}
		if err := client.Credential.Takes(r.CredentialRow); err != nil {
			return err
		}
		if err := insert(ctx, tx, r.Creation); err != nil {
			return err
		}
		return insertGrantSecret(ctx, tx, r.Code)
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

func insertGrantSecret(ctx context.Context, tx *sql.Tx, r store.GrantSecretRow) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO grant_secrets (digest, grant_id, pepper_version, kind, expires_at, redirect, challenge)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, r.Digest[:], r.Grant, r.Pepper, r.Kind, r.ExpiresAt, r.Redirect, r.Challenge)
	return err
}

// GrantByDigest returns the grant one of whose secrets has this digest, whatever
// its state, with that secret and whether it has been spent; also where either
// has expired. No key is found by it, and no code or refresh token by ByDigest.
// Its error wraps sallyport.ErrNotFound where there is none.
func (s *Store) GrantByDigest(ctx context.Context, d sallyport.Digest) (c *sallyport.Credential, secret sallyport.GrantSecret, spent bool, err error) {
	f, err := await(ctx, s, func() (store.FoundGrant, error) { return readGrant(ctx, s.reader, d) })
	if err == nil {
		c, err = f.Value()
	}
	if err != nil {
		return nil, sallyport.GrantSecret{}, false, fmt.Errorf("grant by digest: %w", err)
	}
	return c, f.Secret.Value(), f.Secret.Spent, nil
}

// UseGrantSecret spends the secret of a grant that has this digest, and keeps the
// refresh tokens that use returns in its place, all in one transaction: of two who
// come with one secret, one is first. It returns the grant. use gets the grant as
// Credential returns it, whatever its state, and the secret; it decides whether
// both are good for whoever showed it, and must not call the store. Its error is
// returned as it is, and nothing is changed; else the error wraps
//   - sallyport.ErrNotFound where there is no such secret, or where it or its grant
//     has expired,
//   - sallyport.ErrReused where it was spent before, also where it has expired
//     since: use is not called, and the grant is revoked, for that is its cause,
//   - sallyport.ErrFinal where the grant is revoked and use returned no error,
//   - sallyport.ErrConflict where a digest that use returned exists already.
//
// A secret that is spent leaves no line in the table of changes: nobody keeps one
// in mind.
func (s *Store) UseGrantSecret(ctx context.Context, d sallyport.Digest, now time.Time,
	use func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error)) (*sallyport.Credential, error) {
	var next []store.GrantSecretRow // is set before write runs
	f, _, err := update(ctx, s, store.GrantSecretRow{},
		func(tx *sql.Tx) (store.FoundGrant, error) { return readGrant(ctx, tx, d) },
		func(f store.FoundGrant) (after store.FoundGrant, err error) {
			after, next, err = f.Use(now, use)
			return after, err
		},
		func(tx *sql.Tx, before, after store.FoundGrant) (int, error) {
			if after.Reused {
				return 0, writeReused(ctx, tx, before, after)
			}
			return 0, writeUsed(ctx, tx, after.Secret, next)
		},
	)
	if err == nil && f.Reused {
		err = f.Secret.ReuseError()
	}
	return store.Value(f, err)
}

// writeReused keeps a grant one of whose secrets came again.
func writeReused(ctx context.Context, tx *sql.Tx, before, after store.FoundGrant) error {
	if after.Credential == before.Credential {
		return nil
	}
	return writeCredential(ctx, tx, after.Credential)
}

// writeUsed marks a secret as spent and keeps those that follow it.
func writeUsed(ctx context.Context, tx *sql.Tx, spent store.GrantSecretRow, next []store.GrantSecretRow) error {
	if _, err := tx.ExecContext(ctx, `UPDATE grant_secrets SET spent = 1 WHERE digest = ?`, spent.Digest[:]); err != nil {
		return err
	}
	for _, r := range next {
		if err := insertGrantSecret(ctx, tx, r); err != nil {
			return err
		}
	}
	return nil
}
