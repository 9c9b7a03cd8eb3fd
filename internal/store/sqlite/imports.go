package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// ImportCredentials keeps credentials as CreateCredential does, all of them or
// none, and says what became of each. A secret that is known already as that of
// a credential of the same API and tenant is left as it is, with that
// credential: so an import can be sent again. Its error wraps what
// CreateCredential's does, and sallyport.ErrConflict also where a secret is
// another tenant's or is given to two credentials; it holds a
// sallyport.AtIndex for each of list that it is about, up to
// store.MaxRefusals.
func (s *Store) ImportCredentials(ctx context.Context, list []sallyport.NewCredential) ([]sallyport.Imported, error) {
	rows, err := store.NewCreations(list)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	all, err := transact(ctx, s, func(tx *sql.Tx) ([]sallyport.Imported, error) {
		// The driver watches a context from a goroutine for every statement,
		// which takes longer than the statement: run looks at ctx itself.
		i := importing{ctx: context.WithoutCancel(ctx), tx: compiled{tx, map[string]*sql.Stmt{}}, all: make([]sallyport.Imported, 0, len(rows))}
		err := i.run(ctx, rows)
		return i.all, err
	})
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return all, nil
}

// importing is one import in its transaction.
type importing struct {
	ctx     context.Context // of its statements: without an end
	tx      compiled
	all     []sallyport.Imported // what became of the rows so far
	refused store.Refusals
	args    []any
}

// bulk is how many credentials go into one statement. Fewer statements are what
// makes an import fast; more rows in each would save little more.
const bulk = 50

// run keeps rows until ctx ends. What is alike and depends on nothing else goes
// in bulk; whatever that finds wrong with one of them is found again, and named,
// when they go one by one.
func (i *importing) run(ctx context.Context, rows []store.Creation) error {
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		next := rows[:min(bulk, len(rows))]
		done, err := i.bulk(next)
		if err == nil && !done {
			err = i.oneByOne(next)
		}
		if err != nil {
			return err
		}
		rows = rows[len(next):]
	}
	return i.refused.Err()
}

func (i *importing) oneByOne(rows []store.Creation) error {
	for _, r := range rows {
		one, err := i.one(r)
		err = named(i.ctx, err)
		i.all = append(i.all, one)
		if err != nil && !i.refused.Add(len(i.all)-1, fmt.Errorf("%s: %w", r, err)) {
			return i.refused.Err()
		}
	}
	return nil
}

func (i *importing) one(r store.Creation) (sallyport.Imported, error) {
	var owner store.CredentialRow
	err := i.tx.QueryRowContext(i.ctx, ownerQuery, r.Digest[:]).Scan(new([]byte), &owner.ID, &owner.API, &owner.Tenant)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return sallyport.Imported{ID: r.ID}, insert(i.ctx, i.tx, r)
	case err != nil:
		return sallyport.Imported{}, err
	}
	return r.Known(owner)
}

// ownersQuery finds whose the secrets of a list are.
const ownersQuery = `SELECT s.digest, c.id, c.api, c.tenant FROM secrets s JOIN credentials c ON c.id = s.credential_id WHERE s.digest IN `

// bulk keeps rows together, if there are enough, all of them are new or none is,
// and none needs more looked at than its own row. If not, it reports false and
// has changed nothing.
func (i *importing) bulk(rows []store.Creation) (done bool, err error) {
	if len(rows) < bulk || !plain(rows) {
		return false, nil
	}
	known, err := i.owners(rows)
	switch {
	case err != nil:
		return false, err
	case len(known) == len(rows):
		return i.known(rows, known), nil
	case len(known) > 0:
		return false, nil
	}
	i.args = i.args[:0]
	for n := range rows {
		i.args = appendCredential(i.args, &rows[n].CredentialRow)
	}
	_, err = i.tx.ExecContext(i.ctx, insertCredentialsQuery, i.args...)
	switch err = named(i.ctx, err); {
	case errors.Is(err, sallyport.ErrConflict), errors.Is(err, sallyport.ErrNotFound):
		return false, nil // the statement is undone, and the transaction goes on
	case err != nil:
		return false, err
	}
	return true, i.rest(rows)
}

// rest keeps what comes with the credentials of rows.
func (i *importing) rest(rows []store.Creation) error {
	i.args = i.args[:0]
	for n := range rows {
		i.args = append(i.args, rows[n].Digest[:], rows[n].ID, rows[n].Pepper)
	}
	if _, err := i.tx.ExecContext(i.ctx, insertSecretsQuery, i.args...); err != nil {
		return err
	}
	i.args = i.args[:0]
	now := time.Now().UnixMilli()
	for n := range rows {
		i.args = append(i.args, "credential", rows[n].API, rows[n].Tenant, rows[n].ID, now)
		i.all = append(i.all, sallyport.Imported{ID: rows[n].ID})
	}
	_, err := i.tx.ExecContext(i.ctx, noteChangesQuery, i.args...)
	return err
}

// plain reports whether each of rows can be kept without a look at others.
func plain(rows []store.Creation) bool {
	seen := make(map[sallyport.Digest]bool, len(rows))
	for n := range rows {
		r := &rows[n]
		if r.User != "" || r.UniqueName || !r.HasSecret() || seen[r.Digest] {
			return false
		}
		seen[r.Digest] = true
	}
	return true
}

// owners returns whose the secrets of rows are that are known already.
func (i *importing) owners(rows []store.Creation) (map[sallyport.Digest]store.CredentialRow, error) {
	i.args = i.args[:0]
	for n := range rows {
		i.args = append(i.args, rows[n].Digest[:])
	}
	type secret struct {
		digest []byte
		owner  store.CredentialRow
	}
	statement, err := i.tx.statement(i.ctx, bulkOwnersQuery)
	if err != nil {
		return nil, err
	}
	found, err := statement.QueryContext(i.ctx, i.args...)
	list, err := collect(found, err, func(s *secret) []any { return []any{&s.digest, &s.owner.ID, &s.owner.API, &s.owner.Tenant} })
	if err != nil {
		return nil, err
	}
	known := make(map[sallyport.Digest]store.CredentialRow, len(list))
	for _, s := range list {
		known[sallyport.Digest(s.digest)] = s.owner
	}
	return known, nil
}

// known notes that all of rows are there already. It reports false, and notes
// nothing, where one is another's.
func (i *importing) known(rows []store.Creation, owners map[sallyport.Digest]store.CredentialRow) bool {
	all := make([]sallyport.Imported, len(rows))
	for n, r := range rows {
		var err error
		if all[n], err = r.Known(owners[r.Digest]); err != nil {
			return false
		}
	}
	i.all = append(i.all, all...)
	return true
}

// The statements of bulk rows.
var (
	ownerQuery             = ownersQuery + values(1, 1)
	bulkOwnersQuery        = ownersQuery + values(1, bulk)
	insertCredentialsQuery = newCredential + values(bulk, credentialValues)
	insertSecretsQuery     = newSecret + values(bulk, secretValues)
	noteChangesQuery       = newChange + values(bulk, changeValues)
)

// values is a list of so many rows, each of so many values.
func values(rows, each int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", each), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(row+", ", rows), ", ")
}

// compiled runs statements in a transaction, and has each compiled once: an
// import is the same few a thousand times, and to run one takes less than to
// compile it.
type compiled struct {
	tx         *sql.Tx // closes the statements when it ends
	statements map[string]*sql.Stmt
}

func (c compiled) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if s, ok := c.statements[text]; ok {
		return s, nil
	}
	s, err := c.tx.PrepareContext(ctx, text)
	if err == nil {
		c.statements[text] = s
	}
	return s, err
}

// ExecContext does what that of the transaction does.
func (c compiled) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryRowContext does what that of the transaction does.
func (c compiled) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	s, err := c.statement(ctx, text)
	if err != nil {
		return c.tx.QueryRowContext(ctx, text, args...) // tells the error
	}
	return s.QueryRowContext(ctx, args...)
}
