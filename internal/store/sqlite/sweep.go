package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/internal/store"
)

// Of each sort what may go by ?1, the longest over first, at most ?2.
const (
	tokensOver = ` FROM revoked_tokens WHERE until <= ?1 ORDER BY until LIMIT ?2`
	keysOver   = ` FROM signing_keys WHERE ends_at <= ?1 ORDER BY ends_at LIMIT ?2`

	// unusedOver is about grants whose code nobody took up: each has that alone.
	unusedOver  = ` FROM grant_secrets WHERE kind = 'code' AND spent = 0 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2`
	secretsOver = ` FROM grant_secrets WHERE sweep_at <= ?1 ORDER BY sweep_at LIMIT ?2`

	// Of the grants that ended so long ago that nobody asks for them.
	theirsOver = ` FROM credentials c JOIN grant_secrets g ON g.grant_id = c.id
	WHERE c.client_id <> '' AND c.expires_at <= ?1 ORDER BY c.expires_at LIMIT ?2`
	grantsOver = ` FROM credentials c WHERE c.client_id <> '' AND c.expires_at <= ?1
	AND NOT EXISTS (SELECT 1 FROM grant_secrets g WHERE g.grant_id = c.id) ORDER BY c.expires_at LIMIT ?2`

	deleteTokens  = `DELETE FROM revoked_tokens WHERE (api, id) IN (SELECT api, id` + tokensOver + `)`
	deleteKeys    = `DELETE FROM signing_keys WHERE (api, id) IN (SELECT api, id` + keysOver + `)`
	deleteSecrets = `DELETE FROM grant_secrets WHERE digest IN (SELECT digest` + secretsOver + `)`
	deleteTheirs  = `DELETE FROM grant_secrets WHERE digest IN (SELECT g.digest` + theirsOver + `)`
)

// SweepOAuth takes away what nobody can use any more and returns how many rows
// that were, 1000 at most, so that it holds up no writer for long: where it was
// as many, there may be more. These are
//   - revoked tokens that have expired, and signing keys that have ended,
//   - the secrets of a grant that have expired, once the grant is revoked or has
//     expired too: until then a spent one tells who shows it again,
//   - grants whose code was never spent and has expired, and
//   - grants that expired a day ago, with their secrets.
//
// The keys and the grants leave a line in the table of changes.
func (s *Store) SweepOAuth(ctx context.Context, now time.Time) (int, error) {
	n, err := transact(ctx, s, func(tx *sql.Tx) (total int, err error) {
		at, kept := store.NewTime(now), store.NewTime(now.Add(-store.GrantKept))
		for _, step := range []func(limit int) (int, error){
			func(limit int) (int, error) { return sweepRows(ctx, tx, deleteTokens, at, limit) },
			func(limit int) (int, error) { return sweepKeys(ctx, tx, at, limit) },
			func(limit int) (int, error) { return sweepUnused(ctx, tx, at, limit) },
			func(limit int) (int, error) { return sweepRows(ctx, tx, deleteSecrets, at, limit) },
			func(limit int) (int, error) { return sweepRows(ctx, tx, deleteTheirs, kept, limit) },
			func(limit int) (int, error) {
				return sweepGrants(ctx, tx, `SELECT c.id`+grantsOver, kept, limit)
			},
		} {
			if total == store.SweepRows {
				break
			}
			n, err := step(store.SweepRows - total)
			if err != nil {
				return 0, err
			}
			total += n
		}
		return total, nil
	})
	if err != nil {
		return 0, fmt.Errorf("sweep: %w", err)
	}
	return n, nil
}

func sweepRows(ctx context.Context, tx *sql.Tx, query string, at store.Time, limit int) (int, error) {
	result, err := tx.ExecContext(ctx, query, at, limit)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

func sweepKeys(ctx context.Context, tx *sql.Tx, at store.Time, limit int) (int, error) {
	_, err := tx.ExecContext(ctx, `INSERT INTO changes (kind, api, tenant, id, at) SELECT 'signing_key', api, '', id, ?3`+keysOver,
		at, limit, time.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	return sweepRows(ctx, tx, deleteKeys, at, limit)
}

// sweepUnused takes away grants whose code is over, each with its code.
func sweepUnused(ctx context.Context, tx *sql.Tx, at store.Time, limit int) (int, error) {
	rows, err := tx.QueryContext(ctx, `SELECT grant_id`+unusedOver, at, limit/2)
	ids, err := collect(rows, err, func(id *string) []any { return []any{id} })
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, `DELETE FROM grant_secrets WHERE grant_id IN (SELECT value FROM json_each(?))`, string(list))
	if err != nil {
		return 0, err
	}
	codes, err := result.RowsAffected()
	if err != nil {
		return 0, err
	}
	grants, err := deleteGrants(ctx, tx, ids)
	return int(codes) + grants, err
}

func sweepGrants(ctx context.Context, tx *sql.Tx, query string, at store.Time, limit int) (int, error) {
	rows, err := tx.QueryContext(ctx, query, at, limit)
	ids, err := collect(rows, err, func(id *string) []any { return []any{id} })
	if err != nil {
		return 0, err
	}
	return deleteGrants(ctx, tx, ids)
}

// grantsOfList is where the grants of a JSON list of ids are.
const grantsOfList = ` FROM credentials WHERE id IN (SELECT value FROM json_each(?1)) AND client_id <> ''`

func deleteGrants(ctx context.Context, tx *sql.Tx, ids []string) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO changes (kind, api, tenant, id, at) SELECT 'credential', api, tenant, id, ?2`+grantsOfList,
		string(list), time.Now().UnixMilli())
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, `DELETE`+grantsOfList, string(list))
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
