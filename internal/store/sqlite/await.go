package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sallyport/sallyport"
)

type none = struct{}

type outcome[T any] struct {
	value T
	err   error
}

var errClosed = errors.New("the store is closed")

// await runs f and returns its outcome, or ctx's error as soon as ctx is done.
// SQLite itself does not stop for a context while it waits for a lock or for
// the disk; then f is left to end on its own. So f must not touch what belongs
// to the caller: it returns what it found.
func await[T any](ctx context.Context, s *Store, f func() (T, error)) (T, error) {
	var nothing T
	if err := ctx.Err(); err != nil {
		return nothing, err
	}
	if !s.enter() {
		return nothing, errClosed
	}
	done := make(chan outcome[T], 1)
	go func() {
		defer s.tasks.Done()
		value, err := f()
		done <- outcome[T]{value, named(ctx, err)}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done: // both at once: what was done is told
		return o.value, o.err
	default:
		return nothing, ctx.Err()
	}
}

// enter counts a task in, for Close to wait for.
func (s *Store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.tasks.Add(1)
	return true
}

// named gives driver errors the names that cross rooms.
func named(ctx context.Context, err error) error {
	var e *sqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sql.ErrNoRows):
		return sallyport.ErrNotFound
	case errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil:
		return ctx.Err() // database/sql rolled back because ctx was done
	case !errors.As(err, &e):
		return err
	}
	if e.Code()&0xff == sqlite3.SQLITE_BUSY {
		return fmt.Errorf("another process holds the database: %w", err)
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return sallyport.ErrConflict
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return sallyport.ErrNotFound
	case sqlite3.SQLITE_INTERRUPT:
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// write runs f in one transaction and commits it.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	_, err := transact(ctx, s, func(tx *sql.Tx) (none, error) { return none{}, f(tx) })
	return err
}

// transact is write where f has something to return.
func transact[T any](ctx context.Context, s *Store, f func(*sql.Tx) (T, error)) (T, error) {
	return await(ctx, s, func() (v T, err error) {
		tx, err := s.writer.BeginTx(ctx, nil)
		if err != nil {
			return v, err
		}
		v, err = f(tx)
		return v, commit(tx, err)
	})
}

// commit ends tx: for good if err is nil, else it is rolled back and err
// returned.
func commit(tx *sql.Tx, err error) error {
	if err == nil {
		return tx.Commit()
	}
	// The transaction is gone in any case; why it failed is what counts.
	tx.Rollback()
	return err
}

// update runs read, change and write in one transaction, and returns the
// changed row and what write counted. change runs in the caller's goroutine,
// for it is the caller's, and its error is returned as it is; where it changes
// nothing, nothing is written. what names the row, for the other errors.
func update[R comparable](ctx context.Context, s *Store, what fmt.Stringer, read func(*sql.Tx) (R, error),
	change func(R) (R, error), write func(tx *sql.Tx, before, after R) (int, error)) (row R, n int, err error) {
	type begun struct {
		tx  *sql.Tx
		row R
	}
	b, err := await(ctx, s, func() (begun, error) {
		tx, err := s.writer.BeginTx(ctx, nil)
		if err != nil {
			return begun{}, err
		}
		row, err := read(tx)
		if err != nil {
			return begun{}, commit(tx, err)
		}
		return begun{tx, row}, nil
	})
	if err != nil {
		// What was begun nevertheless, database/sql rolls back for ctx.
		return b.row, 0, fmt.Errorf("update %s: %w", what, err)
	}
	committed := false
	defer func() {
		if !committed { // also if change panics
			s.abandon(b.tx)
		}
	}()
	after, err := change(b.row)
	if err != nil || after == b.row {
		return b.row, 0, err
	}
	n, err = await(ctx, s, func() (int, error) {
		n, err := write(b.tx, b.row, after)
		return n, commit(b.tx, err)
	})
	if err != nil {
		return b.row, 0, fmt.Errorf("update %s: %w", what, err)
	}
	committed = true
	return after, n, nil
}

// abandon rolls tx back, if it was not committed after all, without making the
// caller wait for it.
func (s *Store) abandon(tx *sql.Tx) {
	if !s.enter() {
		tx.Rollback()
		return
	}
	go func() {
		defer s.tasks.Done()
		tx.Rollback()
	}()
}

// executor is a transaction, or compiled statements of one.
type executor interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// A line about a change, and how many values it has.
const (
	newChange    = `INSERT INTO changes (kind, api, tenant, id, at) VALUES `
	changeValues = 5
)

var noteChangeQuery = newChange + values(1, changeValues)

// noteChange writes the line about a change, in its transaction. tenant is
// whose user or credential it is, and else "".
func noteChange(ctx context.Context, tx executor, kind, api, tenant, id string) error {
	_, err := tx.ExecContext(ctx, noteChangeQuery, kind, api, tenant, id, time.Now().UnixMilli())
	return err
}
