// Package memory keeps tenants, credentials and admin tokens in memory: the
// stand-in for a store in tests, held to the same contract (storetest).
//
// It is not for a gate that runs: everything is gone with the process, and
// listings walk all there is.
package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

// Store is a store in memory. Safe for concurrent use.
type Store struct {
	writing chan struct{} // holds a token while someone writes; taken before mu

	mu          sync.RWMutex                  // guards what follows
	tenants     map[[2]string]store.TenantRow // by api and id
	credentials []store.CredentialRow         // in order of creation
	places      map[string]int                // by id, in credentials
	secrets     map[sallyport.Digest]string
	tokens      map[sallyport.Digest]sallyport.AdminToken
}

// New returns an empty store.
func New() *Store {
	return &Store{
		writing: make(chan struct{}, 1),
		tenants: map[[2]string]store.TenantRow{},
		places:  map[string]int{},
		secrets: map[sallyport.Digest]string{},
		tokens:  map[sallyport.Digest]sallyport.AdminToken{},
	}
}

// read runs f beside other readers.
func read[T any](ctx context.Context, s *Store, f func() (T, error)) (v T, err error) {
	if err := ctx.Err(); err != nil {
		return v, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return f()
}

// write runs prepare as the only writer, beside readers, and then keep, without
// them.
func write[T any](ctx context.Context, s *Store, prepare func() (T, error), keep func(T)) (v T, err error) {
	select {
	case s.writing <- struct{}{}:
		defer func() { <-s.writing }()
	case <-ctx.Done():
	}
	if v, err = read(ctx, s, prepare); err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return v, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	keep(v)
	return v, nil
}

// Ping reports whether ctx is not done.
func (s *Store) Ping(ctx context.Context) error { return ctx.Err() }

// CreateTenant is as sqlite.Store's, and so are all the others.
func (s *Store) CreateTenant(ctx context.Context, t sallyport.Tenant) error {
	r, err := store.NewTenantRow(&t)
	if err != nil {
		return err
	}
	_, err = write(ctx, s, func() (store.TenantRow, error) {
		if _, ok := s.tenants[[2]string{r.API, r.ID}]; ok {
			return r, fmt.Errorf("create %s: %w", r, sallyport.ErrConflict)
		}
		return r, nil
	}, func(r store.TenantRow) { s.tenants[[2]string{r.API, r.ID}] = r })
	return err
}

func (s *Store) tenantLocked(api, id string) (store.TenantRow, error) {
	r, ok := s.tenants[[2]string{api, id}]
	if !ok {
		return r, fmt.Errorf("%s: %w", store.TenantRow{API: api, ID: id}, sallyport.ErrNotFound)
	}
	return r, nil
}

func (s *Store) Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error) {
	return store.Value(read(ctx, s, func() (store.TenantRow, error) { return s.tenantLocked(api, id) }))
}

func (s *Store) Tenants(ctx context.Context, api, after string, limit int) ([]*sallyport.Tenant, error) {
	return store.Values(read(ctx, s, func() (list []store.TenantRow, _ error) {
		for _, r := range s.tenants {
			if r.API == api && r.ID > after {
				list = append(list, r)
			}
		}
		slices.SortFunc(list, func(a, b store.TenantRow) int { return cmp.Compare(a.ID, b.ID) })
		return list[:min(len(list), store.Limit(limit))], nil
	}))
}

func (s *Store) UpdateTenant(ctx context.Context, api, id string, change func(*sallyport.Tenant) error) (*sallyport.Tenant, error) {
	return store.Value(write(ctx, s, func() (store.TenantRow, error) {
		r, err := s.tenantLocked(api, id)
		if err != nil {
			return r, err
		}
		return r.Change(change)
	}, func(r store.TenantRow) { s.tenants[[2]string{api, id}] = r }))
}

func (s *Store) CreateCredential(ctx context.Context, c sallyport.Credential, secret sallyport.Digest, _ int) error {
	r, err := store.NewCredentialRow(&c)
	if err = errors.Join(err, store.CheckDigest(secret)); err != nil {
		return err
	}
	_, err = write(ctx, s, func() (store.CredentialRow, error) {
		if _, ok := s.places[r.ID]; ok || s.secrets[secret] != "" {
			return r, fmt.Errorf("create %s: %w", r, sallyport.ErrConflict)
		}
		_, err := s.tenantLocked(r.API, r.Tenant)
		return r, err
	}, func(r store.CredentialRow) {
		s.places[r.ID] = len(s.credentials)
		s.credentials = append(s.credentials, r)
		s.secrets[secret] = r.ID
	})
	return err
}

func (s *Store) credentialLocked(api, tenant, id string) (f store.Found, err error) {
	at, ok := s.places[id]
	if !ok || !selects(sallyport.CredentialFilter{API: api, Tenant: tenant}, s.credentials[at]) {
		return f, fmt.Errorf("%s: %w", store.CredentialRow{ID: id}, sallyport.ErrNotFound)
	}
	return s.foundLocked(s.credentials[at]), nil
}

func (s *Store) foundLocked(r store.CredentialRow) store.Found {
	return store.Found{Credential: r, Tenant: s.tenants[[2]string{r.API, r.Tenant}]}
}

func selects(f sallyport.CredentialFilter, r store.CredentialRow) bool {
	return (f.API == "" || f.API == r.API) && (f.Tenant == "" || f.Tenant == r.Tenant) &&
		(f.State == sallyport.StateUnknown || f.State.String() == r.State)
}

func (s *Store) Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error) {
	return store.Value(read(ctx, s, func() (store.Found, error) { return s.credentialLocked(api, tenant, id) }))
}

func (s *Store) Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error) {
	return store.Values(read(ctx, s, func() (list []store.Found, _ error) {
		older := s.credentials
		if f.After != "" {
			if _, err := s.credentialLocked(f.API, f.Tenant, f.After); err != nil {
				return nil, err
			}
			older = older[:s.places[f.After]]
		}
		for _, r := range slices.Backward(older) {
			if selects(f, r) && len(list) < store.Limit(f.Limit) {
				list = append(list, s.foundLocked(r))
			}
		}
		return list, nil
	}))
}

func (s *Store) UpdateCredential(ctx context.Context, api, tenant, id string, change func(*sallyport.Credential) error) (*sallyport.Credential, error) {
	return store.Value(write(ctx, s, func() (store.Found, error) {
		f, err := s.credentialLocked(api, tenant, id)
		if err != nil {
			return f, err
		}
		return f.Change(change)
	}, func(f store.Found) { s.credentials[s.places[id]] = f.Credential }))
}

func (s *Store) ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error) {
	return store.Value(read(ctx, s, func() (store.Found, error) {
		return s.credentialLocked("", "", s.secrets[d]) // "" where there is none, which is nobody's id
	}))
}

func (s *Store) Digests(ctx context.Context, yield func(sallyport.Digest) error) error {
	all, err := read(ctx, s, func() ([]sallyport.Digest, error) { return slices.Collect(maps.Keys(s.secrets)), nil })
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := yield(d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) CreateAdminToken(ctx context.Context, id, name, role, tenant string, digest sallyport.Digest) error {
	made, err := store.NewAdminToken(id, name, role, tenant, digest, time.Now())
	if err != nil {
		return err
	}
	_, err = write(ctx, s, func() (sallyport.AdminToken, error) {
		for d, t := range s.tokens {
			if d == digest || t.ID == id {
				return t, fmt.Errorf("create admin token %q: %w", id, sallyport.ErrConflict)
			}
		}
		return made, nil
	}, func(t sallyport.AdminToken) { s.tokens[digest] = t })
	return err
}

func (s *Store) AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error) {
	return read(ctx, s, func() (*sallyport.AdminToken, error) {
		t, ok := s.tokens[d]
		if !ok {
			return nil, fmt.Errorf("admin token by digest: %w", sallyport.ErrNotFound)
		}
		return &t, nil
	})
}

func (s *Store) CountAdminTokens(ctx context.Context) (int, error) {
	return read(ctx, s, func() (int, error) { return len(s.tokens), nil })
}
