package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func (s *Store) CreateAdminToken(ctx context.Context, token sallyport.AdminToken, d sallyport.Digest) error {
	r, err := store.NewAdminTokenRow(&token, d)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		for other, kept := range t.tokens {
			if other == d || kept.ID == r.ID {
				return fmt.Errorf("create %s: %w", r, sallyport.ErrConflict)
			}
		}
		t.tokens[d] = r
		return nil
	})
}

func (s *Store) AdminTokenByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.AdminToken, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.AdminTokenRow, error) {
		r, ok := t.tokens[d]
		if !ok {
			return r, fmt.Errorf("admin token by digest: %w", sallyport.ErrNotFound)
		}
		return r, nil
	}))
}

func (s *Store) AdminTokens(ctx context.Context) ([]*sallyport.AdminToken, error) {
	return store.Values(read(ctx, s, func(t *tables) ([]store.AdminTokenRow, error) {
		return slices.SortedFunc(maps.Values(t.tokens), func(a, b store.AdminTokenRow) int {
			return cmp.Or(store.TimeOf(a.CreatedAt).Compare(store.TimeOf(b.CreatedAt)), cmp.Compare(a.ID, b.ID))
		}), nil
	}))
}

func (s *Store) RevokeAdminToken(ctx context.Context, id string) error {
	return do(ctx, s, func(t *tables) error {
		for d, r := range t.tokens {
			if r.ID == id {
				t.tokens[d] = r.Revoked()
				return nil
			}
		}
		return fmt.Errorf("update %s: %w", store.AdminTokenRow{ID: id}, sallyport.ErrNotFound)
	})
}

func (s *Store) CountAdminTokens(ctx context.Context) (int, error) {
	return read(ctx, s, func(t *tables) (n int, _ error) {
		for _, r := range t.tokens {
			if r.State == sallyport.Active.String() {
				n++
			}
		}
		return n, nil
	})
}
