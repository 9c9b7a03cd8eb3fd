package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// ByDigest returns the credential whose secret has this digest, with its
// tenant and its user, whatever their state. It expires when the secret does,
// if that is earlier. Its error wraps sallyport.ErrNotFound where there is none.
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

// Digests calls yield with every digest and the version of the pepper that it was
// made under, in no particular order, and returns its first error as it is.
// Digests that are made or die meanwhile may or may not be among them. A million
// cost little more than the one SELECT that fetches them.
func (s *Store) Digests(ctx context.Context, yield func(d sallyport.Digest, pepper int) error) error {
	last := []byte{}
	for {
		page, err := await(ctx, s, func() ([]peppered, error) { return s.digests(ctx, last) })
		if err != nil {
			return fmt.Errorf("read digests: %w", err)
		}
		for _, p := range page {
			if err := yield(p.digest, int(p.pepper)); err != nil {
				return err
			}
		}
		if len(page) < digestPage {
			return nil
		}
		last = page[len(page)-1].digest[:]
	}
}

// peppered is a digest and the version of its pepper.
type peppered struct {
	digest sallyport.Digest
	pepper int64
}

// digests returns the page of digests after one. It reads them where the driver
// has put them: all there are go through here at every start.
func (s *Store) digests(ctx context.Context, after []byte) ([]peppered, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT digest, pepper_version FROM secrets WHERE digest > ? ORDER BY digest LIMIT ?`, after, digestPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	page := make([]peppered, 0, digestPage)
	var digest sql.RawBytes
	var pepper any // an int64: STRICT holds it to that, and any spares its conversion
	for rows.Next() {
		if err := rows.Scan(&digest, &pepper); err != nil {
			return nil, err
		}
		page = append(page, peppered{sallyport.Digest(digest), pepper.(int64)}) // the table's check holds the length
	}
	return page, rows.Err()
}

// CountDigests returns how many digests there are.
func (s *Store) CountDigests(ctx context.Context) (n int, err error) {
	n, err = await(ctx, s, func() (n int, err error) {
		err = s.reader.QueryRowContext(ctx, `SELECT count(*) FROM secrets`).Scan(&n)
		return n, err
	})
	if err != nil {
		return 0, fmt.Errorf("count digests: %w", err)
	}
	return n, nil
}

// RollCredential gives a credential a new secret, in one transaction, and
// returns it as it then is; api and tenant "" are any. Each old secret ends
// where sallyport.Roll says, or earlier where it or the credential was to end
// earlier; those that had ended are forgotten. roll may change Last4, Unchecked
// and ExpiresAt, and must not call the store; the epoch grows. A grant and a
// public client have nothing to roll. An error of roll is returned as it is,
// and nothing is changed; else the error wraps sallyport.ErrNotFound as that of
// Credential does, sallyport.ErrFinal where the credential is revoked,
// sallyport.ErrConflict where the digest exists already.
func (s *Store) RollCredential(ctx context.Context, api, tenant, id string, roll func(*sallyport.Credential) (sallyport.Roll, error)) (*sallyport.Credential, error) {
	r, _, err := update(ctx, s, store.CredentialRow{ID: id},
		func(tx *sql.Tx) (r store.Rolled, err error) {
			r.Found, err = readCredential(ctx, tx, api, tenant, id)
			return r, err
		},
		func(r store.Rolled) (store.Rolled, error) { return r.Roll(roll) },
		func(tx *sql.Tx, _, after store.Rolled) (int, error) { return 0, writeRolled(ctx, tx, after) },
	)
	return store.Value(r, err)
}

func writeRolled(ctx context.Context, tx *sql.Tx, r store.Rolled) error {
	id := r.Credential.ID
	// The new secret first: it conflicts also with one that has ended.
	if err := insertSecret(ctx, tx, r.Digest, id, r.Pepper); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM secrets WHERE credential_id = ? AND expires_at <= ?`, id, r.Now); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `UPDATE secrets SET expires_at = ?1
		WHERE credential_id = ?2 AND digest <> ?3 AND (expires_at IS NULL OR expires_at > ?1)`, r.OldEnd, id, r.Digest[:])
	if err != nil {
		return err
	}
	return writeCredential(ctx, tx, r.Credential)
}

// RenewSecret keeps the secret that is known by the digest before under after,
// made under the pepper of that version; when it ends does not change. Where
// the same credential has after already, before is removed. Its error wraps
// sallyport.ErrNotFound where there is no such secret, and
// sallyport.ErrConflict where after is another credential's.
func (s *Store) RenewSecret(ctx context.Context, before, after sallyport.Digest, pepper int) error {
	err := store.CheckDigest(after)
	if err == nil {
		err = s.write(ctx, func(tx *sql.Tx) error { return renewSecret(ctx, tx, before, after, pepper) })
	}
	if err != nil {
		return fmt.Errorf("renew secret: %w", err)
	}
	return nil
}

func renewSecret(ctx context.Context, tx *sql.Tx, before, after sallyport.Digest, pepper int) error {
	owner, err := ownerOf(ctx, tx, before)
	if err != nil {
		return err
	}
	if before != after {
		switch other, err := ownerOf(ctx, tx, after); {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		case other != owner:
			return sallyport.ErrConflict
		default:
			_, err := tx.ExecContext(ctx, `DELETE FROM secrets WHERE digest = ?`, before[:])
			return err
		}
	}
	_, err = tx.ExecContext(ctx, `UPDATE secrets SET digest = ?, pepper_version = ? WHERE digest = ?`, after[:], pepper, before[:])
	return err
}

func ownerOf(ctx context.Context, tx *sql.Tx, d sallyport.Digest) (credential string, err error) {
	err = tx.QueryRowContext(ctx, `SELECT credential_id FROM secrets WHERE digest = ?`, d[:]).Scan(&credential)
	return credential, err
}

// The queries for what a pepper is needed for: the digests of secrets that are
// still good for something, and what is sealed.
const (
	pepperQuery      = `SELECT pepper_version, count(*) FROM (SELECT pepper_version FROM secrets UNION ALL ` + besideDigests + `) GROUP BY pepper_version`
	otherPepperQuery = `SELECT pepper_version, count(*) FROM (` + besideDigests + `) GROUP BY pepper_version`

	besideDigests = `SELECT pepper_version FROM grant_secrets WHERE spent = 0
	UNION ALL SELECT pepper_version FROM signing_keys
	UNION ALL SELECT json_extract(one.value, '$.pepper') FROM senders, json_each(senders.secrets) AS one`
)

// Peppers returns how many secrets are kept under each version of the pepper: of
// keys and clients, of grants unless they are spent, of senders, and keys that
// sign. It counts them one by one.
func (s *Store) Peppers(ctx context.Context) (map[int]int, error) {
	return s.countPeppers(ctx, pepperQuery)
}

// OtherPeppers is Peppers without the secrets of keys and clients, whose versions
// Digests tells.
func (s *Store) OtherPeppers(ctx context.Context) (map[int]int, error) {
	return s.countPeppers(ctx, otherPepperQuery)
}

func (s *Store) countPeppers(ctx context.Context, query string) (map[int]int, error) {
	type line struct{ version, secrets int }
	lines, err := await(ctx, s, func() ([]line, error) {
		rows, err := s.reader.QueryContext(ctx, query)
		return collect(rows, err, func(l *line) []any { return []any{&l.version, &l.secrets} })
	})
	if err != nil {
		return nil, fmt.Errorf("count secrets: %w", err)
	}
	counts := make(map[int]int, len(lines))
	for _, l := range lines {
		counts[l.version] = l.secrets
	}
	return counts, nil
}
