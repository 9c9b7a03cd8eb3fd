package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of a store.Found, in the order of foundFields.
const (
	credentialColumns = `c.id, c.api, c.tenant, c.user_id, c.kind, c.name, c.principal, c.environment, c.access, c.sandbox,
		c.scopes, c.roles, c.state, c.prefix, c.last4, c.unchecked, c.allowed_ips, c.attributes, c.plan, c.overrides,
		c.client_id, c.client, c.epoch, c.cause, c.created_at, c.expires_at, ` +
		tenantColumns + `, ` + userColumns

	besideCredential = ` JOIN tenants t ON t.api = c.api AND t.id = c.tenant
		LEFT JOIN users u ON c.user_id <> '' AND u.api = c.api AND u.tenant = c.tenant AND u.id = c.user_id`

	credentialTables = ` FROM credentials c` + besideCredential

	credentialQuery = `SELECT ` + credentialColumns + credentialTables + ` WHERE c.id = ?1 AND (?2 = '' OR c.api = ?2) AND (?3 = '' OR c.tenant = ?3)`

	byDigestQuery = `SELECT ` + credentialColumns + `, s.expires_at FROM secrets s JOIN credentials c ON c.id = s.credential_id` +
		besideCredential + ` WHERE s.digest = ?`
)

func foundFields(f *store.Found) []any {
	c := &f.Credential
	fields := append([]any{
		&c.ID, &c.API, &c.Tenant, &c.User, &c.Kind, &c.Name, &c.Principal, &c.Environment, &c.Access, &c.Sandbox,
		&c.Scopes, &c.Roles, &c.State, &c.Prefix, &c.Last4, &c.Unchecked, &c.AllowedIPs, &c.Attributes, &c.Plan, &c.Overrides,
		&c.ClientID, &c.Client, &c.Epoch, &c.Cause, &c.CreatedAt, &c.ExpiresAt,
	}, tenantFields(&f.Tenant)...)
	return append(fields, userFields(&f.User)...)
}

// Credential returns a credential, with its tenant, its user (but for the
// password) and its networks compiled, as all that return one do. api and tenant "" are any, for
// administrators: an id exists once in the whole store. Its error wraps
// sallyport.ErrNotFound where there is none, and in the same words where it is
// another tenant's or another API's.
func (s *Store) Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error) {
	f, err := await(ctx, s, func() (store.Found, error) {
		return readCredential(ctx, s.reader, api, tenant, id)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", store.CredentialRow{ID: id}, err)
	}
	return f.Value()
}

func readCredential(ctx context.Context, q querier, api, tenant, id string) (f store.Found, err error) {
	err = q.QueryRowContext(ctx, credentialQuery, id, api, tenant).Scan(foundFields(&f)...)
	return f, err
}

// Credentials lists credentials, the newest first, those older than f.After
// (100 if f.Limit is 0, at most 1000). Credentials made or changed meanwhile do
// not disturb the pages. Its error wraps sallyport.ErrNotFound where f.After is
// none of f's API, tenant, user and client.
func (s *Store) Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error) {
	list, err := store.Values(await(ctx, s, func() ([]store.Found, error) {
		before := int64(math.MaxInt64)
		if f.After != "" {
			where := owned(f)
			where.equal("c.id", f.After)
			err := s.reader.QueryRowContext(ctx, `SELECT c.seq FROM credentials c`+where.text, where.args...).Scan(&before)
			if err != nil {
				return nil, err
			}
		}
		query, args := listing(f, before)
		rows, err := s.reader.QueryContext(ctx, query, args...)
		return collect(rows, err, foundFields)
	}))
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return list, nil
}

// listing is the query of what f selects that was made before.
func listing(f sallyport.CredentialFilter, before int64) (query string, args []any) {
	where := owned(f)
	where.equal("c.kind", f.Kind)
	where.equal("c.name", f.Name)
	where.state("c.state", f.State)
	seq := `c.seq`
	if f.API != "" && f.Tenant != "" && f.Name != "" {
		seq = `+c.seq` // or SQLite would rather walk the tenant's than look for the few of that name
	}
	return `SELECT ` + credentialColumns + credentialTables + where.text + ` AND ` + seq + ` < ? ORDER BY c.seq DESC LIMIT ?`,
		append(where.args, before, store.Limit(f.Limit))
}

// owned is what f says of credentials that never changes.
func owned(f sallyport.CredentialFilter) condition {
	where := condition{text: ` WHERE 1`}
	where.equal("c.api", f.API)
	where.equal("c.tenant", f.Tenant)
	where.equal("c.user_id", f.User)
	if f.User != "" {
		where.text += ` AND c.user_id <> ''` // for the index, which holds no others
	}
	where.equal("c.client_id", f.Client)
	if f.Client != "" {
		where.text += ` AND c.client_id <> ''` // likewise
	}
	return where
}

// condition is a WHERE clause that grows.
type condition struct {
	text string
	args []any
}

// equal narrows w to rows whose column is value; "" is any.
func (w *condition) equal(column, value string) {
	if value != "" {
		w.text += ` AND ` + column + ` = ?`
		w.args = append(w.args, value)
	}
}

func (w *condition) state(column string, s sallyport.State) {
	if s != sallyport.StateUnknown {
		w.equal(column, s.String())
	}
}

// UpdateCredential changes a credential, read and written in one transaction,
// and returns it as it then is. api and tenant "" are any, for administrators.
// An error of change is returned as it is, and nothing is changed; else the
// error wraps sallyport.ErrNotFound as that of Credential does,
// sallyport.ErrFinal where the credential is revoked and change would alter
// anything, sallyport.ErrConflict where uniqueName is asked for and change
// gives it the name of another credential of its tenant that is not revoked.
// Its user cannot change, nor its client, nor whether it is a client or a grant.
// What change does to the epoch is not kept: that grows where the credential
// leaves the active state or has another set of roles. A cause that was there
// before goes with the state that it is of. Where a client is revoked, the same
// transaction revokes its grants; where one is made public, it forgets its
// secrets. change must not call the store.
func (s *Store) UpdateCredential(ctx context.Context, api, tenant, id string, uniqueName bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error) {
	f, _, err := update(ctx, s, store.CredentialRow{ID: id},
		func(tx *sql.Tx) (store.Found, error) { return readCredential(ctx, tx, api, tenant, id) },
		func(f store.Found) (store.Found, error) { return f.Change(change) },
		func(tx *sql.Tx, before, after store.Found) (int, error) {
			if uniqueName && after.Credential.Name != before.Credential.Name {
				if err := checkName(ctx, tx, after.Credential); err != nil {
					return 0, err
				}
			}
			return 0, writeChanged(ctx, tx, before, after)
		},
	)
	return store.Value(f, err)
}

// writeChanged keeps a credential after a change, and what comes with that.
func writeChanged(ctx context.Context, tx *sql.Tx, before, after store.Found) error {
	if err := writeCredential(ctx, tx, after.Credential); err != nil {
		return err
	}
	if after.Secretless() && !before.Secretless() {
		if _, err := tx.ExecContext(ctx, `DELETE FROM secrets WHERE credential_id = ?`, after.Credential.ID); err != nil {
			return err
		}
	}
	if before.Credential.EndsGrants(after.Credential) {
		return endGrants(ctx, tx, after.Credential)
	}
	return nil
}

func writeCredential(ctx context.Context, tx *sql.Tx, r store.CredentialRow) error {
	_, err := tx.ExecContext(ctx, `UPDATE credentials SET kind = ?, name = ?, principal = ?, environment = ?, access = ?, sandbox = ?,
		scopes = ?, roles = ?, state = ?, prefix = ?, last4 = ?, unchecked = ?, allowed_ips = ?, attributes = ?, plan = ?, overrides = ?,
		client = ?, epoch = ?, cause = ?, created_at = ?, expires_at = ?
		WHERE id = ?`,
		r.Kind, r.Name, r.Principal, r.Environment, r.Access, r.Sandbox,
		r.Scopes, r.Roles, r.State, r.Prefix, r.Last4, r.Unchecked, r.AllowedIPs, r.Attributes, r.Plan, r.Overrides,
		r.Client, r.Epoch, r.Cause, r.CreatedAt, r.ExpiresAt,
		r.ID)
	if err != nil {
		return err
	}
	return noteChange(ctx, tx, "credential", r.API, r.Tenant, r.ID)
}

// nameQuery looks for other credentials of a name in their tenant.
const nameQuery = `SELECT count(*) FROM (SELECT 1 FROM credentials
	WHERE api = ? AND tenant = ? AND name = ? AND state <> 'revoked' AND id <> ? LIMIT 1)`

// checkName returns an error that wraps sallyport.ErrConflict where another
// credential of r's tenant that is not revoked has r's name.
func checkName(ctx context.Context, tx executor, r store.CredentialRow) error {
	var others int
	err := tx.QueryRowContext(ctx, nameQuery, r.API, r.Tenant, r.Name, r.ID).Scan(&others)
	if err == nil && others > 0 {
		err = fmt.Errorf("its name: %w", sallyport.ErrConflict)
	}
	return err
}

// UncheckedPrefixes returns, in order, the APIs and prefixes under which there
// are credentials that are not revoked and whose secret may have no checksum.
// It costs one look-up for each.
func (s *Store) UncheckedPrefixes(ctx context.Context) ([][2]string, error) {
	list, err := await(ctx, s, func() ([][2]string, error) {
		rows, err := s.reader.QueryContext(ctx, uncheckedQuery)
		return collect(rows, err, func(p *[2]string) []any { return []any{&p[0], &p[1]} })
	})
	if err != nil {
		return nil, fmt.Errorf("read unchecked prefixes: %w", err)
	}
	return list, nil
}

// uncheckedQuery goes from each prefix to the next: SELECT DISTINCT would walk
// all credentials under it.
const uncheckedQuery = `WITH RECURSIVE found (api, prefix) AS (
		VALUES ('', '')
		UNION ALL
		SELECT c.api, c.prefix FROM found f JOIN credentials c ON c.seq = coalesce(
			(SELECT n.seq FROM credentials n WHERE n.unchecked = 1 AND n.state <> 'revoked' AND n.api = f.api AND n.prefix > f.prefix
				ORDER BY n.prefix LIMIT 1),
			(SELECT n.seq FROM credentials n WHERE n.unchecked = 1 AND n.state <> 'revoked' AND n.api > f.api
				ORDER BY n.api, n.prefix LIMIT 1))
	)
	SELECT api, prefix FROM found WHERE api <> ''`
