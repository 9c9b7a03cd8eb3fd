// Package memory keeps in memory what a store keeps: the stand-in for one in
// tests, held to the same contract (storetest). It does what the contract says in
// the plainest way.
//
// It is not for a gate that runs: everything is gone with the process, what
// looks for something walks all there is, and a write copies it.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// Store is a store in memory. Safe for concurrent use.
type Store struct {
	writing chan struct{}          // holds a token while someone writes
	kept    atomic.Pointer[tables] // replaced by each write, and never changed
}

// tables are all there is.
type tables struct {
	tenants     map[[2]string]store.TenantRow // by api and id
	users       map[[3]string]store.UserRow   // by api, tenant and id
	credentials []store.CredentialRow         // in order of creation
	secrets     map[sallyport.Digest]secret
	tokens      map[sallyport.Digest]store.AdminTokenRow
	roles       map[string]store.APIRoles // by api

	grantSecrets map[sallyport.Digest]store.GrantSecretRow
	signingKeys  map[[2]string]store.SigningKeyRow // by api and id
	revoked      map[[2]string]store.RevokedToken  // by api and id
	senders      map[[2]string]store.SenderRow     // by api and id
}

// secret is one of a credential's.
type secret struct {
	credential string // its id
	pepper     int
	end        store.Time
}

// New returns an empty store.
func New() *Store {
	s := &Store{writing: make(chan struct{}, 1)}
	s.kept.Store(&tables{
		tenants: map[[2]string]store.TenantRow{},
		users:   map[[3]string]store.UserRow{},
		secrets: map[sallyport.Digest]secret{},
		tokens:  map[sallyport.Digest]store.AdminTokenRow{},
		roles:   map[string]store.APIRoles{},

		grantSecrets: map[sallyport.Digest]store.GrantSecretRow{},
		signingKeys:  map[[2]string]store.SigningKeyRow{},
		revoked:      map[[2]string]store.RevokedToken{},
		senders:      map[[2]string]store.SenderRow{},
	})
	return s
}

func (t *tables) clone() *tables {
	return &tables{
		tenants: maps.Clone(t.tenants), users: maps.Clone(t.users), credentials: slices.Clone(t.credentials),
		secrets: maps.Clone(t.secrets), tokens: maps.Clone(t.tokens), roles: maps.Clone(t.roles),
		grantSecrets: maps.Clone(t.grantSecrets), signingKeys: maps.Clone(t.signingKeys),
		revoked: maps.Clone(t.revoked), senders: maps.Clone(t.senders),
	}
}

// read runs f beside all others.
func read[T any](ctx context.Context, s *Store, f func(*tables) (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	return f(s.kept.Load())
}

// write runs f as the only writer, on a copy, which is kept if f did not fail
// and ctx is not done.
func write[T any](ctx context.Context, s *Store, f func(*tables) (T, error)) (v T, err error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return v, err
	}
	next := s.kept.Load().clone()
	done, err := f(next)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return v, err
	}
	s.kept.Store(next)
	return done, nil
}

// do is write where f has nothing to return.
func do(ctx context.Context, s *Store, f func(*tables) error) error {
	_, err := write(ctx, s, func(t *tables) (struct{}, error) { return struct{}{}, f(t) })
	return err
}

// changed is a row after a change, and how many credentials ended with it.
type changed[R any] struct {
	row   R
	ended int
}

// Ping reports whether ctx is not done.
func (s *Store) Ping(ctx context.Context) error { return ctx.Err() }

// CreateTenant is as sqlite.Store's, and so are all the others.
func (s *Store) CreateTenant(ctx context.Context, t sallyport.Tenant) error {
	r, err := store.NewTenantRow(&t)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		if _, err := t.tenant(r.API, r.ID); err == nil {
			return fmt.Errorf("create %s: %w", r, sallyport.ErrConflict)
		}
		t.tenants[[2]string{r.API, r.ID}] = r
		return nil
	})
}

func (s *Store) CreateTenants(ctx context.Context, list []sallyport.Tenant) error {
	rows, err := store.NewTenantRows(list)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		for _, r := range rows {
			if _, err := t.tenant(r.API, r.ID); err != nil {
				t.tenants[[2]string{r.API, r.ID}] = r
			}
		}
		return nil
	})
}

func (t *tables) tenant(api, id string) (store.TenantRow, error) {
	r, ok := t.tenants[[2]string{api, id}]
	if !ok {
		return r, fmt.Errorf("%s: %w", store.TenantRow{API: api, ID: id}, sallyport.ErrNotFound)
	}
	return r, nil
}

func (s *Store) Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.TenantRow, error) { return t.tenant(api, id) }))
}

func (s *Store) Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error) {
	return store.Values(read(ctx, s, func(t *tables) (list []store.TenantRow, _ error) {
		for _, r := range t.tenants {
			if r.API == api && r.ID > after {
				list = append(list, r)
			}
		}
		slices.SortFunc(list, func(a, b store.TenantRow) int { return cmp.Compare(a.ID, b.ID) })
		return list[:min(len(list), store.Limit(limit))], nil
	}))
}

func (s *Store) UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (*sallyport.Tenant, int, error) {
	c, err := write(ctx, s, func(t *tables) (c changed[store.TenantRow], err error) {
		before, err := t.tenant(api, id)
		if err != nil {
			return c, err
		}
		if c.row, err = before.Change(change); err != nil {
			return c, err
		}
		t.tenants[[2]string{api, id}] = c.row
		roles, err := before.ChangedRoles(c.row)
		if err != nil {
			return c, err
		}
		c.ended, err = t.endHolders(api, id, roles)
		return c, err
	})
	tenant, err := store.Value(c.row, err)
	return tenant, c.ended, err
}
