// Package sqlite keeps tenants, users, credentials, grants, signing keys, senders
// of webhooks and admin tokens in one SQLite file: the embedded default, for a gate on one machine.
//
// It is not for several machines, nor for a file on a network file system;
// that is what PostgreSQL is for. It keeps digests, never a secret, and knows
// nothing of caches: who changes something here tells the caches themselves,
// after the call has returned, and also when it returned a context's error,
// because then the change may or may not have been made.
//
// # What it promises
//
// A write that returned nil survives kill -9 and a power cut (WAL,
// synchronous=FULL). Every call returns when its context is done, even while
// the disk hangs or another process holds the file; what still runs then is
// bounded by the connections, and Close waits for it. Reads are never held up
// by a write. A change, its check, all that ends with it and their lines in the
// table of changes are one transaction.
//
// # Costs
//
// ByDigest, the way of a cache miss, is one prepared statement of three index
// look-ups, four with a user: tens of microseconds. A write is one or two
// fsyncs, and writes go one after the other: one connection writes, a few read.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	_ "modernc.org/sqlite" // the driver
)

// Store is an open database. Safe for concurrent use.
type Store struct {
	writer *sql.DB // one connection
	reader *sql.DB

	byDigest *sql.Stmt // on reader, and so is tenant
	tenant   *sql.Stmt

	mu     sync.Mutex // guards closed, and tasks.Add against tasks.Wait
	closed bool
	tasks  sync.WaitGroup
}

// Open opens the database at path and brings its tables up to date. The file
// is made if missing, readable by its owner only, and so are its directories.
func Open(ctx context.Context, path string) (*Store, error) {
	s, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", path, err)
	}
	return s, nil
}

// What an import of many keys needs, whose digests fall all over a table: to hold
// the pages of a million of them (64 MB, in KiB, where they are needed), to fold
// the log into the file once for what many transactions wrote (32 MB, in pages),
// and to keep what undoes a statement of many rows in memory.
const (
	writerCache = "cache_size(-65536)"
	checkpoint  = "wal_autocheckpoint(8192)"
	undoLog     = "temp_store(MEMORY)"
)

func open(ctx context.Context, path string) (*Store, error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("a file is needed; name one, such as /var/lib/sallyport/sallyport.db")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	s := &Store{}
	if s.writer, err = pool(path, 1, "_journal_mode", "WAL", "_synchronous", "FULL", "_foreign_keys", "1", "_txlock", "immediate",
		"_pragma", writerCache, "_pragma", checkpoint, "_pragma", undoLog); err != nil {
		return nil, err
	}
	if s.reader, err = pool(path, max(4, runtime.GOMAXPROCS(0)), "_query_only", "1"); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// createFile makes path and its directories if they are missing. SQLite gives
// the files that it puts beside it the same mode.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	// Only a new file is opened here: closing one that SQLite has open in
	// this process would drop its locks (POSIX).
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// pool opens path for so many connections, which are kept: opening one costs
// more than most statements.
func pool(path string, connections int, parameters ...string) (*sql.DB, error) {
	query := url.Values{
		"_busy_timeout": {"5000"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
	}
	for i := 0; i < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	name := url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	return db, nil
}

func (s *Store) prepare(ctx context.Context) error {
	_, err := await(ctx, s, func() (none, error) {
		if err := migrate(ctx, s.writer); err != nil {
			return none{}, err
		}
		var err error
		if s.byDigest, err = s.reader.PrepareContext(ctx, byDigestQuery); err != nil {
			return none{}, err
		}
		s.tenant, err = s.reader.PrepareContext(ctx, tenantQuery)
		return none{}, err
	})
	return err
}

// Close waits for what still runs and closes the database. Calls after it
// fail.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.tasks.Wait()
	var errs []error
	for _, stmt := range []*sql.Stmt{s.byDigest, s.tenant} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(errors.Join(errs...), s.reader.Close(), s.writer.Close())
}

// Ping reports whether the database can be read.
func (s *Store) Ping(ctx context.Context) error {
	_, err := await(ctx, s, func() (int, error) {
		var one int
		err := s.reader.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM secrets LIMIT 1)`).Scan(&one)
		return one, err
	})
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}
