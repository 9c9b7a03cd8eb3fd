package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// The columns of a store.FoundSender, in the order of senderFields.
const (
	senderColumns = `w.api, w.id, w.tenant, w.name, w.state, w.secrets, w.created_at, ` + tenantColumns
	senderTables  = ` FROM senders w JOIN tenants t ON t.api = w.api AND t.id = w.tenant`
	senderQuery   = `SELECT ` + senderColumns + senderTables + ` WHERE w.api = ?1 AND w.id = ?2 AND (?3 = '' OR w.tenant = ?3)`
)

func senderFields(f *store.FoundSender) []any {
	r := &f.Sender
	return append([]any{&r.API, &r.ID, &r.Tenant, &r.Name, &r.State, &r.Secrets, &r.CreatedAt}, tenantFields(&f.Tenant)...)
}

// CreateSender keeps a new sender of webhooks, of an existing tenant (w.API and
// w.Tenant.ID). Its secrets are encrypted by whoever made them; the store reads
// none. Its error wraps sallyport.ErrConflict where the API has one of that id,
// whosever it is, and sallyport.ErrNotFound where there is no such tenant.
func (s *Store) CreateSender(ctx context.Context, w sallyport.Sender) error {
	r, err := store.NewSenderRow(&w)
	if err != nil {
		return err
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO senders (api, id, tenant, name, state, secrets, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			r.API, r.ID, r.Tenant, r.Name, r.State, r.Secrets, r.CreatedAt)
		if err != nil {
			return err
		}
		return noteChange(ctx, tx, "sender", r.API, r.Tenant, r.ID)
	})
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		return fmt.Errorf("create %s: the tenant: %w", r, err)
	case err != nil:
		return fmt.Errorf("create %s: %w", r, err)
	}
	return nil
}

// Sender returns a sender with its tenant. Its error wraps sallyport.ErrNotFound
// where the API has none of that id.
func (s *Store) Sender(ctx context.Context, api, id string) (*sallyport.Sender, error) {
	f, err := await(ctx, s, func() (store.FoundSender, error) { return readSender(ctx, s.reader, api, "", id) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", store.SenderRow{API: api, ID: id}, err)
	}
	return f.Value()
}

func readSender(ctx context.Context, q querier, api, tenant, id string) (f store.FoundSender, err error) {
	err = q.QueryRowContext(ctx, senderQuery, api, id, tenant).Scan(senderFields(&f)...)
	return f, err
}

// Senders lists the senders of an API, those of a tenant or, where that is "", of
// all, in the order of their ids, those behind after, limit of them (100 if it is
// 0, at most 1000).
func (s *Store) Senders(ctx context.Context, api, tenant, after string, limit int) ([]*sallyport.Sender, error) {
	list, err := store.Values(await(ctx, s, func() ([]store.FoundSender, error) {
		query, args := senderListing(api, tenant, after, limit)
		rows, err := s.reader.QueryContext(ctx, query, args...)
		return collect(rows, err, senderFields)
	}))
	if err != nil {
		return nil, fmt.Errorf("list senders: %w", err)
	}
	return list, nil
}

func senderListing(api, tenant, after string, limit int) (query string, args []any) {
	tables, where := senderTables, condition{text: ` WHERE w.api = ? AND w.id > ?`, args: []any{api, after}}
	if tenant != "" {
		// Or SQLite would rather walk the API's than look for the few of the tenant.
		tables = ` FROM senders w INDEXED BY senders_by_tenant JOIN tenants t ON t.api = w.api AND t.id = w.tenant`
	}
	where.equal("w.tenant", tenant)
	return `SELECT ` + senderColumns + tables + where.text + ` ORDER BY w.id LIMIT ?`, append(where.args, store.Limit(limit))
}

// UpdateSender changes a sender, read and written in one transaction, and returns
// it as it then is. tenant "" is any, for administrators. An error of change is
// returned as it is, and nothing is changed; else the error wraps
// sallyport.ErrNotFound where there is none, and in the same words where it is
// another tenant's, sallyport.ErrFinal where it is revoked and change would alter
// anything. change must not call the store.
func (s *Store) UpdateSender(ctx context.Context, api, tenant, id string, change func(*sallyport.Sender) error) (*sallyport.Sender, error) {
	f, _, err := update(ctx, s, store.SenderRow{API: api, ID: id},
		func(tx *sql.Tx) (store.FoundSender, error) { return readSender(ctx, tx, api, tenant, id) },
		func(f store.FoundSender) (store.FoundSender, error) { return f.Change(change) },
		func(tx *sql.Tx, _, after store.FoundSender) (int, error) {
			r := after.Sender
			_, err := tx.ExecContext(ctx, `UPDATE senders SET name = ?, state = ?, secrets = ?, created_at = ? WHERE api = ? AND id = ?`,
				r.Name, r.State, r.Secrets, r.CreatedAt, r.API, r.ID)
			if err != nil {
				return 0, err
			}
			return 0, noteChange(ctx, tx, "sender", r.API, r.Tenant, r.ID)
		},
	)
	return store.Value(f, err)
}
