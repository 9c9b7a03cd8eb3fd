package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of a user, in the order of userFields, or of the zero one where
// a credential is joined to nobody.
const userColumns = `coalesce(u.api, ''), coalesce(u.tenant, ''), coalesce(u.id, ''), coalesce(u.service, 0), coalesce(u.name, ''),
	coalesce(u.roles, ''), coalesce(u.off, ''), coalesce(u.state, ''), coalesce(u.attributes, ''),
	coalesce(u.login, ''), coalesce(u.password, ''), coalesce(u.epoch, 0), u.created_at`

func userFields(r *store.UserRow) []any {
	return []any{
		&r.API, &r.Tenant, &r.ID, &r.Service, &r.Name, &r.Roles, &r.Off, &r.State, &r.Attributes,
		&r.Login, &r.Password, &r.Epoch, &r.CreatedAt,
	}
}

// CreateUser keeps a new user of an existing tenant. Its error wraps
// sallyport.ErrConflict where the tenant has one of that id or the API one of
// that login, and sallyport.ErrNotFound where there is no such tenant.
func (s *Store) CreateUser(ctx context.Context, u sallyport.User) error {
	r, err := store.NewUserRow(&u)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		if err := checkLogin(ctx, tx, r); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO users (api, tenant, id, service, name, roles, off, state, attributes, login, password, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			r.API, r.Tenant, r.ID, r.Service, r.Name, r.Roles, r.Off, r.State, r.Attributes, r.Login, r.Password, r.CreatedAt)
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, "user", r.API, r.Tenant, r.ID)
	})
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return fmt.Errorf("create %s: the tenant: %w", r, err)
	case err != nil:
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

// User returns a user. Its error wraps sallyport.ErrNotFound where the tenant
// has none of that id.
func (s *Store) User(ctx context.Context, api, tenant, id string) (*sallyport.User, error) {
	r, err := await(ctx, s, func() (store.UserRow, error) {
		return readUser(ctx, s.reader, api, tenant, id)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", store.UserRow{API: api, Tenant: tenant, ID: id}, err)
	}
	return r.Value()
}

func readUser(ctx context.Context, q querier, api, tenant, id string) (r store.UserRow, err error) {
	err = q.QueryRowContext(ctx, `SELECT `+userColumns+` FROM users u WHERE u.api = ? AND u.tenant = ? AND u.id = ?`, api, tenant, id).
		Scan(userFields(&r)...)
	return r, err
}

// loginQuery looks for the user of a login.
const loginQuery = `SELECT ` + userColumns + ` FROM users u WHERE u.api = ? AND u.login = ? AND u.login <> ''`

// UserByLogin returns the user of an API who signs in by login, which is compared
// as it is given. Its error wraps sallyport.ErrNotFound where there is none, as
// also for "".
func (s *Store) UserByLogin(ctx context.Context, api, login string) (*sallyport.User, error) {
	r, err := await(ctx, s, func() (store.UserRow, error) {
		return readLogin(ctx, s.reader, api, login)
	})
	if err != nil {
		return nil, fmt.Errorf("user by login: %w", err)
	}
	return r.Value()
}

func readLogin(ctx context.Context, q querier, api, login string) (r store.UserRow, err error) {
	err = q.QueryRowContext(ctx, loginQuery, api, login).Scan(userFields(&r)...)
	return r, err
}

// checkLogin returns an error that wraps sallyport.ErrConflict where another user
// of r's API has r's login.
func checkLogin(ctx context.Context, tx *sql.Tx, r store.UserRow) error {
	other, err := readLogin(ctx, tx, r.API, r.Login)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err == nil && (other.Tenant != r.Tenant || other.ID != r.ID):
		return fmt.Errorf("its login: %w", sallyport.ErrConflict)
	}
	return err
}

// Users lists the users of a tenant in the order of their ids, those behind
// f.After (100 if f.Limit is 0, at most 1000). f.API and f.Tenant are required.
func (s *Store) Users(ctx context.Context, f sallyport.UserFilter) ([]*sallyport.User, error) {
	if err := store.CheckUserFilter(f); err != nil {
		return nil, err
	}
	where := condition{text: ` WHERE u.id > ?`, args: []any{f.After}}
	where.equal("u.api", f.API)
	where.equal("u.tenant", f.Tenant)
	where.state("u.state", f.State)
	users, err := store.Values(await(ctx, s, func() ([]store.UserRow, error) {
		rows, err := s.reader.QueryContext(ctx, `SELECT `+userColumns+` FROM users u`+where.text+` ORDER BY u.id LIMIT ?`,
			append(where.args, store.Limit(f.Limit))...)
		return collect(rows, err, userFields)
	}))
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return users, nil
}

// UpdateUser changes a user, read and written in one transaction, and returns
// it as it then is. Where that takes the user out of the active state or gives
// it another set of roles, its epoch grows and the same transaction revokes its
// personal access tokens and grants; ended is how many were not revoked before. An
// error of change is returned as it is, and nothing is changed; what it does to the
// epoch is not kept. Else the error wraps sallyport.ErrNotFound as that of User
// does, sallyport.ErrConflict as that of CreateUser does for a login,
// sallyport.ErrFinal where the user is revoked and change would alter anything.
// change must not call the store.
func (s *Store) UpdateUser(ctx context.Context, api, tenant, id string, change func(*sallyport.User) error) (u *sallyport.User, ended int, err error) {
	r, ended, err := update(ctx, s, store.UserRow{API: api, Tenant: tenant, ID: id},
		func(tx *sql.Tx) (store.UserRow, error) { return readUser(ctx, tx, api, tenant, id) },
		func(r store.UserRow) (store.UserRow, error) { return r.Change(change) },
		func(tx *sql.Tx, before, after store.UserRow) (int, error) { return writeUser(ctx, tx, before, after) },
	)
	u, err = store.Value(r, err)
	return u, ended, err
}

func writeUser(ctx context.Context, tx *sql.Tx, before, r store.UserRow) (ended int, err error) {
	if err := checkLogin(ctx, tx, r); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE users SET service = ?, name = ?, roles = ?, off = ?, state = ?, attributes = ?,
		login = ?, password = ?, epoch = ?, created_at = ?
		WHERE api = ? AND tenant = ? AND id = ?`,
		r.Service, r.Name, r.Roles, r.Off, r.State, r.Attributes,
		r.Login, r.Password, r.Epoch, r.CreatedAt, r.API, r.Tenant, r.ID)
	if err != nil {
		return 0, err
	}
	if err := noteChange(ctx, tx, "user", r.API, r.Tenant, r.ID); err != nil {
		return 0, err
	}
	if ends, err := before.EndsTokens(r); err != nil || !ends {
		return 0, err
	}
	return endTokens(ctx, tx, r.API, r.Tenant, r.ID)
}
