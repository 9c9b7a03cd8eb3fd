package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/sallyport/sallyport/internal/store"
)

// What ends with a change elsewhere. Each is a condition on credentials or users
// of a tenant (?1 its API, ?2 its id) and a JSON list of what changed (?3).
const (
	// tokensOf is where the personal access tokens and grants of users are that
	// have not been revoked.
	tokensOf = ` WHERE api = ?1 AND tenant = ?2 AND user_id IN (SELECT value FROM json_each(?3)) AND user_id <> ''
	AND kind IN ('pat', 'grant') AND state <> 'revoked'`

	// grantsOf is where the grants of clients are that have not been revoked.
	grantsOf = ` WHERE api = ?1 AND tenant = ?2 AND client_id IN (SELECT value FROM json_each(?3)) AND client_id <> ''
	AND state <> 'revoked'`

	// holdersOf is where the credentials are that hold one of these roles
	// themselves and have not been revoked.
	holdersOf = ` WHERE api = ?1 AND tenant = ?2 AND state <> 'revoked'
	AND EXISTS (SELECT 1 FROM json_each(roles) WHERE value IN (SELECT value FROM json_each(?3)))`

	usersOf = ` WHERE api = ?1 AND tenant = ?2 AND id IN (SELECT value FROM json_each(?3))`

	endCredentials = `UPDATE credentials SET epoch = epoch + (state = 'active'), state = 'revoked', cause = ?4`
)

// endHolders ends what rests on the holders of these roles in a tenant: the
// personal access tokens and grants of its users who hold one are revoked, and the
// epochs grow of these users and of the credentials that hold one themselves. It
// returns how many were not revoked before.
func endHolders(ctx context.Context, tx *sql.Tx, api, tenant string, roles []string) (ended int, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT `+userColumns+` FROM users u WHERE u.api = ? AND u.tenant = ?`, api, tenant)
	users, err := collect(rows, err, userFields)
	if err != nil {
		return 0, err
	}
	holders, err := store.Holders(users, roles)
	if err != nil {
		return 0, err
	}
	if err := growUsers(ctx, tx, api, tenant, holders); err != nil {
		return 0, err
	}
	if ended, err = endTokens(ctx, tx, api, tenant, holders...); err != nil {
		return 0, err
	}
	return ended, growHolders(ctx, tx, api, tenant, roles)
}

// endTokens revokes the personal access tokens and grants of these users of a
// tenant, and returns how many were not revoked before.
func endTokens(ctx context.Context, tx *sql.Tx, api, tenant string, users ...string) (int, error) {
	return changeAll(ctx, tx, "credential", endCredentials, "credentials", tokensOf, api, tenant, users, store.CauseUser)
}

// endGrants revokes the grants of a client.
func endGrants(ctx context.Context, tx *sql.Tx, client store.CredentialRow) error {
	_, err := changeAll(ctx, tx, "credential", endCredentials, "credentials", grantsOf, client.API, client.Tenant, []string{client.ID}, store.CauseClient)
	return err
}

// growUsers adds one to the epochs of these users of a tenant.
func growUsers(ctx context.Context, tx *sql.Tx, api, tenant string, users []string) error {
	_, err := changeAll(ctx, tx, "user", `UPDATE users SET epoch = epoch + 1`, "users", usersOf, api, tenant, users)
	return err
}

// growHolders adds one to the epochs of a tenant's credentials that hold one of
// these roles themselves.
func growHolders(ctx context.Context, tx *sql.Tx, api, tenant string, roles []string) error {
	_, err := changeAll(ctx, tx, "credential", `UPDATE credentials SET epoch = epoch + 1`, "credentials", holdersOf, api, tenant, roles)
	return err
}

// changeAll runs change on the rows of table where of says, writes a line about
// each, and returns how many there were.
func changeAll(ctx context.Context, tx *sql.Tx, kind, change, table, of, api, tenant string, list []string, more ...any) (int, error) {
	if len(list) == 0 {
		return 0, nil
	}
	text, err := json.Marshal(list)
	if err != nil {
		return 0, err
	}
	args := []any{api, tenant, string(text)}
	_, err = tx.ExecContext(ctx, `INSERT INTO changes (kind, api, tenant, id, at) SELECT ?4, api, tenant, id, ?5 FROM `+table+of,
		append(args, kind, time.Now().UnixMilli())...)
	if err != nil {
		return 0, err
	}
	result, err := tx.ExecContext(ctx, change+of, append(args, more...)...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}
