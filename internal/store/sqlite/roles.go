package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/internal/store"
)

// tenantsOfHolders is where holders are of one of these roles (?2, a JSON list) of
// an API (?1), themselves or by their users.
const tenantsOfHolders = `SELECT tenant FROM users WHERE api = ?1
	AND EXISTS (SELECT 1 FROM json_each(roles) WHERE value IN (SELECT value FROM json_each(?2)))
	UNION SELECT tenant FROM credentials WHERE api = ?1 AND state <> 'revoked'
	AND EXISTS (SELECT 1 FROM json_each(roles) WHERE value IN (SELECT value FROM json_each(?2)))
	ORDER BY tenant`

// endedRoles is what ended with a change of roles.
type endedRoles struct {
	tenants []string
	ended   int
}

// KeepRoles keeps what the roles of an API's configuration permit. Where that is
// not what it was when it was last kept, the same transaction ends what rests on
// the roles that were made, taken away or redefined, in every tenant, as a change
// of a tenant's own roles does (UpdateTenant). It returns the tenants that have
// holders of one, in order, and how many tokens and grants were not revoked before.
func (s *Store) KeepRoles(ctx context.Context, api string, roles map[string][]string) (tenants []string, ended int, err error) {
	r, err := store.NewAPIRoles(api, roles)
	if err != nil {
		return nil, 0, err
	}
	e, err := transact(ctx, s, func(tx *sql.Tx) (endedRoles, error) { return keepRoles(ctx, tx, api, r) })
	if err != nil {
		return nil, 0, fmt.Errorf("keep roles of API %q: %w", api, err)
	}
	return e.tenants, e.ended, nil
}

func keepRoles(ctx context.Context, tx *sql.Tx, api string, r store.APIRoles) (e endedRoles, err error) {
	var before store.APIRoles
	err = tx.QueryRowContext(ctx, `SELECT roles FROM api_roles WHERE api = ?`, api).Scan(before.Column())
	if err != nil && !errors.Is(err, sql.ErrNoRows) || before == r {
		return e, err
	}
	changed, err := before.Changed(r)
	if err != nil {
		return e, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO api_roles (api, roles) VALUES (?1, ?2) ON CONFLICT (api) DO UPDATE SET roles = ?2`, api, *r.Column())
	if err != nil || len(changed) == 0 {
		return e, err
	}
	list, err := json.Marshal(changed)
	if err != nil {
		return e, err
	}
	rows, err := tx.QueryContext(ctx, tenantsOfHolders, api, string(list))
	if e.tenants, err = collect(rows, err, func(id *string) []any { return []any{id} }); err != nil {
		return e, err
	}
	for _, tenant := range e.tenants {
		ended, err := endHolders(ctx, tx, api, tenant, changed)
		if err != nil {
			return e, err
		}
		e.ended += ended
	}
	return e, nil
}
