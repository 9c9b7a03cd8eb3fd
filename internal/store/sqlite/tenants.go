package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of a tenant, in the order of tenantFields.
const tenantColumns = `t.api, t.id, t.name, t.plan, t.state, t.limits, t.overrides, t.roles, t.attributes, t.epoch, t.created_at`

func tenantFields(r *store.TenantRow) []any {
	return []any{&r.API, &r.ID, &r.Name, &r.Plan, &r.State, &r.Limits, &r.Overrides, &r.Roles, &r.Attributes, &r.Epoch, &r.CreatedAt}
}

// CreateTenant keeps a new tenant. Its error wraps sallyport.ErrConflict where
// the API has one of that id.
func (s *Store) CreateTenant(ctx context.Context, t sallyport.Tenant) error {
	r, err := store.NewTenantRow(&t)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		return insertTenant(ctx, tx, r, "")
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

// CreateTenants keeps the tenants of list that are not there, in one transaction,
// and leaves those that are as they are.
func (s *Store) CreateTenants(ctx context.Context, list []sallyport.Tenant) error {
	rows, err := store.NewTenantRows(list)
	if err != nil {
		return fmt.Errorf("create tenants: %w", err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		once := compiled{tx, map[string]*sql.Stmt{}}
		for _, r := range rows {
			// Without its end, for the reason of ImportCredentials.
			if err := insertTenant(context.WithoutCancel(ctx), once, r, " ON CONFLICT DO NOTHING"); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("create tenants: %w", err)
	}
	return nil
}

// insertTenant keeps r; where it is there, orElse says what is done.
func insertTenant(ctx context.Context, tx executor, r store.TenantRow, orElse string) error {
	done, err := tx.ExecContext(ctx, `INSERT INTO tenants (api, id, name, plan, state, limits, overrides, roles, attributes, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`+orElse,
		r.API, r.ID, r.Name, r.Plan, r.State, r.Limits, r.Overrides, r.Roles, r.Attributes, r.CreatedAt)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return noteChange(ctx, tx, "tenant", r.API, "", r.ID)
}

// Tenant returns a tenant. Its error wraps sallyport.ErrNotFound where there
// is none.
func (s *Store) Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error) {
	r, err := await(ctx, s, func() (store.TenantRow, error) {
		var r store.TenantRow
		err := s.tenant.QueryRowContext(ctx, api, id).Scan(tenantFields(&r)...)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", store.TenantRow{API: api, ID: id}, err)
	}
	return r.Value()
}

// querier is a transaction or a pool.
type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const tenantQuery = `SELECT ` + tenantColumns + ` FROM tenants t WHERE t.api = ? AND t.id = ?`

func readTenant(ctx context.Context, q querier, api, id string) (r store.TenantRow, err error) {
	err = q.QueryRowContext(ctx, tenantQuery, api, id).Scan(tenantFields(&r)...)
	return r, err
}

// Tenants lists the tenants of an API in the order of their ids, those behind
// after, limit of them (100 if it is 0, at most 1000).
func (s *Store) Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error) {
	tenants, err := store.Values(await(ctx, s, func() ([]store.TenantRow, error) {
		rows, err := s.reader.QueryContext(ctx, `SELECT `+tenantColumns+` FROM tenants t WHERE t.api = ? AND t.id > ? ORDER BY t.id LIMIT ?`,
			api, after, store.Limit(limit))
		return collect(rows, err, tenantFields)
	}))
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	return tenants, nil
}

// collect reads all of rows.
func collect[R any](rows *sql.Rows, err error, fields func(*R) []any) (list []R, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r R
		if err := rows.Scan(fields(&r)...); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

// UpdateTenant changes a tenant, read and written in one transaction, and
// returns it as it then is. Its epoch grows where it leaves the active state.
// Where that makes, takes away or redefines roles of the tenant's own (a definition
// is a set of scopes), the same transaction revokes the personal access tokens and
// grants of its users who hold one of those, and the epochs grow of these users and
// of the credentials that hold one themselves; ended is how many were not revoked
// before. An error of change is returned as it is, and nothing is changed; what it
// does to the epoch is not kept. Else the error wraps sallyport.ErrNotFound where
// there is no such tenant, sallyport.ErrFinal where it is revoked and change
// would alter anything. change must not call the store.
func (s *Store) UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (t *sallyport.Tenant, ended int, err error) {
	r, ended, err := update(ctx, s, store.TenantRow{API: api, ID: id},
		func(tx *sql.Tx) (store.TenantRow, error) { return readTenant(ctx, tx, api, id) },
		func(r store.TenantRow) (store.TenantRow, error) { return r.Change(change) },
		func(tx *sql.Tx, before, after store.TenantRow) (int, error) {
			return writeTenant(ctx, tx, before, after)
		},
	)
	t, err = store.Value(r, err)
	return t, ended, err
}

func writeTenant(ctx context.Context, tx *sql.Tx, before, r store.TenantRow) (ended int, err error) {
	_, err = tx.ExecContext(ctx, `UPDATE tenants SET name = ?, plan = ?, state = ?, limits = ?, overrides = ?, roles = ?, attributes = ?, epoch = ?, created_at = ?
		WHERE api = ? AND id = ?`,
		r.Name, r.Plan, r.State, r.Limits, r.Overrides, r.Roles, r.Attributes, r.Epoch, r.CreatedAt, r.API, r.ID)
	if err != nil {
		return 0, err
	}
	if err := noteChange(ctx, tx, "tenant", r.API, "", r.ID); err != nil {
		return 0, err
	}
	roles, err := before.ChangedRoles(r)
	if err != nil || len(roles) == 0 {
		return 0, err
	}
	return endHolders(ctx, tx, r.API, r.ID, roles)
}
