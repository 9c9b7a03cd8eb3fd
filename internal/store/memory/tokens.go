package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func (t *tables) keysOf(api string) (list []store.SigningKeyRow) {
	for _, r := range t.signingKeys {
		if r.API == api {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b store.SigningKeyRow) int {
		return cmp.Or(store.TimeOf(a.CreatedAt).Compare(store.TimeOf(b.CreatedAt)), cmp.Compare(a.ID, b.ID))
	})
	return list
}

func (s *Store) SigningKeys(ctx context.Context, api string) ([]*sallyport.SigningKey, error) {
	return store.Values(read(ctx, s, func(t *tables) ([]store.SigningKeyRow, error) { return t.keysOf(api), nil }))
}

func (s *Store) CreateSigningKey(ctx context.Context, k sallyport.SigningKey, known []*sallyport.SigningKey) error {
	r, err := store.NewSigningKeyRow(&k)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		if err := r.Beside(known, t.keysOf(r.API)); err != nil {
			return fmt.Errorf("create %s: %w", r, err)
		}
		t.signingKeys[[2]string{r.API, r.ID}] = r
		return nil
	})
}

func (t *tables) signingKey(api, id string) (store.SigningKeyRow, error) {
	r, ok := t.signingKeys[[2]string{api, id}]
	if !ok {
		return r, fmt.Errorf("%s: %w", store.SigningKeyRow{API: api, ID: id}, sallyport.ErrNotFound)
	}
	return r, nil
}

func (s *Store) UpdateSigningKey(ctx context.Context, api, id string, change func(*sallyport.SigningKey) error) (*sallyport.SigningKey, error) {
	return store.Value(write(ctx, s, func(t *tables) (store.SigningKeyRow, error) {
		r, err := t.signingKey(api, id)
		if err == nil {
			r, err = r.Change(change)
		}
		if err == nil {
			t.signingKeys[[2]string{api, id}] = r
		}
		return r, err
	}))
}

func (s *Store) DeleteSigningKey(ctx context.Context, api, id string) error {
	return do(ctx, s, func(t *tables) error {
		_, err := t.signingKey(api, id)
		delete(t.signingKeys, [2]string{api, id})
		return err
	})
}

func (s *Store) RevokeToken(ctx context.Context, api, id string, until time.Time) error {
	r, err := store.NewRevokedToken(api, id, until)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		at := [2]string{api, id}
		if kept, ok := t.revoked[at]; !ok || kept.Until.V < r.Until.V {
			t.revoked[at] = r
		}
		return nil
	})
}

func (s *Store) TokenRevoked(ctx context.Context, api, id string) (bool, error) {
	return read(ctx, s, func(t *tables) (bool, error) {
		_, ok := t.revoked[[2]string{api, id}]
		return ok, nil
	})
}

func (s *Store) SweepOAuth(ctx context.Context, now time.Time) (int, error) {
	return write(ctx, s, func(t *tables) (int, error) {
		left := store.SweepRows
		sweep(t.revoked, &left, func(r store.RevokedToken) bool { return store.Over(r.Until, now) })
		sweep(t.signingKeys, &left, func(r store.SigningKeyRow) bool { return store.Over(r.EndsAt, now) })
		t.sweepUnused(&left, now)
		sweep(t.grantSecrets, &left, func(r store.GrantSecretRow) bool {
			g := t.credentials[t.at(r.Grant)]
			over := g.State == sallyport.Revoked.String() || store.Over(g.ExpiresAt, now)
			return over && store.Over(r.ExpiresAt, now)
		})
		forgotten := func(g store.CredentialRow) bool {
			return g.ClientID != "" && store.Over(g.ExpiresAt, now.Add(-store.GrantKept))
		}
		sweep(t.grantSecrets, &left, func(r store.GrantSecretRow) bool { return forgotten(t.credentials[t.at(r.Grant)]) })
		for _, g := range slices.Clone(t.credentials) {
			if forgotten(g) && left > 0 && !t.hasSecrets(g.ID) {
				t.deleteGrant(g.ID)
				left--
			}
		}
		return store.SweepRows - left, nil
	})
}

// sweep takes away what is over, as much as is left to do.
func sweep[K comparable, R any](rows map[K]R, left *int, over func(R) bool) {
	for k, r := range maps.Clone(rows) {
		if *left > 0 && over(r) {
			delete(rows, k)
			*left--
		}
	}
}

// sweepUnused takes away grants whose code is over, each with its code.
func (t *tables) sweepUnused(left *int, now time.Time) {
	for d, r := range maps.Clone(t.grantSecrets) {
		if *left > 1 && r.Kind == sallyport.GrantCode && !r.Spent && store.Over(r.ExpiresAt, now) {
			delete(t.grantSecrets, d)
			t.deleteGrant(r.Grant)
			*left -= 2
		}
	}
}

func (t *tables) hasSecrets(grant string) bool {
	for _, r := range t.grantSecrets {
		if r.Grant == grant {
			return true
		}
	}
	return false
}

func (t *tables) deleteGrant(id string) {
	at := t.at(id)
	t.credentials = slices.Delete(t.credentials, at, at+1)
}
