package memory

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func (s *Store) CreateGrant(ctx context.Context, g sallyport.Credential, code sallyport.GrantSecret) error {
	r, err := store.NewGrant(&g, code)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		client, _, err := t.find(r.API, r.Tenant, r.ClientID)
		if err == nil {
			err = client.Credential.Takes(r.CredentialRow)
		}
		if err == nil {
			err = t.insert(r.Creation)
		}
		if err == nil {
			err = t.insertGrantSecret(r.Code)
		}
		if err != nil {
			return fmt.Errorf("create %s: %w", r, err)
		}
		return nil
	})
}

func (t *tables) insertGrantSecret(r store.GrantSecretRow) error {
	if _, ok := t.grantSecrets[r.Digest]; ok {
		return sallyport.ErrConflict
	}
	t.grantSecrets[r.Digest] = r
	return nil
}

// grant returns the grant that has this secret, and where it is.
func (t *tables) grant(d sallyport.Digest) (f store.FoundGrant, at int, err error) {
	r, ok := t.grantSecrets[d]
	if !ok {
		return f, 0, fmt.Errorf("grant by digest: %w", sallyport.ErrNotFound)
	}
	found, at, err := t.find("", "", r.Grant)
	return store.FoundGrant{Found: found, Secret: r}, at, err
}

func (s *Store) GrantByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, sallyport.GrantSecret, bool, error) {
	f, err := read(ctx, s, func(t *tables) (store.FoundGrant, error) {
		f, _, err := t.grant(d)
		return f, err
	})
	c, err := store.Value(f, err)
	if err != nil {
		return nil, sallyport.GrantSecret{}, false, err
	}
	return c, f.Secret.Value(), f.Secret.Spent, nil
}

func (s *Store) UseGrantSecret(ctx context.Context, d sallyport.Digest, now time.Time,
	use func(*sallyport.Credential, sallyport.GrantSecret) ([]sallyport.GrantSecret, error)) (*sallyport.Credential, error) {
	f, err := write(ctx, s, func(t *tables) (after store.FoundGrant, err error) {
		before, at, err := t.grant(d)
		if err != nil {
			return after, err
		}
		after, next, err := before.Use(now, use)
		if err != nil {
			return after, err
		}
		t.credentials[at], t.grantSecrets[d] = after.Credential, after.Secret
		for _, r := range next {
			if err := t.insertGrantSecret(r); err != nil {
				return after, fmt.Errorf("update %s: %w", after.Secret, err)
			}
		}
		return after, nil
	})
	if err == nil && f.Reused {
		err = f.Secret.ReuseError()
	}
	return store.Value(f, err)
}
