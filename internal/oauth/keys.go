package oauth

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/token"
)

// KeyStore keeps signing keys.
type KeyStore interface {
	// SigningKeys lists the keys of an API, the oldest first.
	SigningKeys(ctx context.Context, api string) ([]*sallyport.SigningKey, error)
	// CreateSigningKey keeps a key if those of its API are still the ones in read;
	// else its error wraps sallyport.ErrConflict.
	CreateSigningKey(ctx context.Context, k sallyport.SigningKey, read []*sallyport.SigningKey) error
	UpdateSigningKey(ctx context.Context, api, id string, change func(*sallyport.SigningKey) error) (*sallyport.SigningKey, error)
}

// Keyring knows the signing keys of all APIs: it makes what is missing, replaces
// what is old, and reads again what other instances may have made. Safe for
// concurrent use.
type Keyring struct {
	store  KeyStore
	sealer *seal.Sealer
	pepper int // the version of what it seals under
	now    func() time.Time

	mu    sync.Mutex
	rings map[string]*ringOf // by API; guarded by mu
}

// ringOf is the ring of one API and when it was read.
type ringOf struct {
	*token.Ring
	read time.Time
}

// NewKeyring returns a Keyring that has read nothing yet.
func NewKeyring(store KeyStore, hasher *apikey.Hasher, now func() time.Time) *Keyring {
	return &Keyring{store: store, sealer: seal.Under(hasher), pepper: hasher.Version(), now: now, rings: make(map[string]*ringOf)}
}

const (
	// publishedBefore is how long a key is published before it signs, so that who
	// caches the set has it by then.
	publishedBefore = time.Hour
	// readAgain is how often a key that is not known makes the keys be read again.
	readAgain = 5 * time.Second
)

// Ring returns the keys of an API, as they were last read.
func (k *Keyring) Ring(ctx context.Context, api string) (*token.Ring, error) {
	k.mu.Lock()
	r := k.rings[api]
	k.mu.Unlock()
	if r != nil {
		return r.Ring, nil
	}
	return k.read(ctx, api)
}

// Fresh is Ring, read again unless that was done a moment ago: for a token that
// names a key which is not there.
func (k *Keyring) Fresh(ctx context.Context, api string) (*token.Ring, error) {
	k.mu.Lock()
	r := k.rings[api]
	k.mu.Unlock()
	if r != nil && k.now().Sub(r.read) < readAgain {
		return r.Ring, nil
	}
	return k.read(ctx, api)
}

func (k *Keyring) read(ctx context.Context, api string) (*token.Ring, error) {
	kept, err := k.store.SigningKeys(ctx, api)
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	now := k.now()
	var keys []*token.Key
	for _, one := range kept {
		if !one.EndsAt.IsZero() && !now.Before(one.EndsAt) {
			continue
		}
		secret, err := k.open(one)
		if err != nil {
			return nil, err
		}
		key, err := token.ParseKey(one.ID, one.Algorithm, secret, one.SignsFrom)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	r := &ringOf{token.NewRing(keys...), now}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rings[api] = r
	return r.Ring, nil
}

// open decrypts a key.
func (k *Keyring) open(one *sallyport.SigningKey) ([]byte, error) {
	secret, err := k.sealer.Open(sealName(one.API, one.ID), one.Sealed)
	if err != nil {
		return nil, fmt.Errorf("signing key %s of api %s, sealed under pepper %d: no pepper that is configured opens it: %w", one.ID, one.API, one.Pepper, err)
	}
	return secret, nil
}

func sealName(api, id string) string { return "signing key " + api + "/" + id }

// Keep sees to it that api has a key that signs with its algorithm and is not too
// old, and seals what an older pepper has sealed anew. It is called when a policy
// comes into force, and every now and then.
func (k *Keyring) Keep(ctx context.Context, api *sallyport.API) error {
	if api.Tokens == nil {
		return nil
	}
	kept, err := k.store.SigningKeys(ctx, api.Name)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	now, own := k.now(), api.Tokens
	for _, one := range kept {
		if one.Pepper != k.pepper {
			if err := k.resealed(ctx, one); err != nil {
				return err
			}
		}
	}
	if due(kept, own, now) {
		err := k.replace(ctx, api.Name, own, kept, now)
		if err != nil && !errors.Is(err, sallyport.ErrConflict) { // another instance was first
			return err
		}
	}
	if err := k.retire(ctx, api.Name, own, now); err != nil {
		return err
	}
	_, err = k.read(ctx, api.Name)
	return err
}

// Rotate makes a new key at once. It signs when who caches the set knows it.
func (k *Keyring) Rotate(ctx context.Context, api *sallyport.API) error {
	kept, err := k.store.SigningKeys(ctx, api.Name)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	if err := k.replace(ctx, api.Name, api.Tokens, kept, k.now()); err != nil {
		return err
	}
	_, err = k.read(ctx, api.Name)
	return err
}

// due reports whether own needs a new key beside kept.
func due(kept []*sallyport.SigningKey, own *sallyport.OwnTokens, now time.Time) bool {
	for _, one := range kept {
		if one.Algorithm == own.Algorithm && one.EndsAt.IsZero() && now.Sub(one.SignsFrom) < own.Rotate {
			return false
		}
	}
	return true
}

// replace makes a key that follows those which are kept. The first signs at once.
func (k *Keyring) replace(ctx context.Context, api string, own *sallyport.OwnTokens, kept []*sallyport.SigningKey, now time.Time) error {
	secret, err := token.Generate(own.Algorithm)
	if err != nil {
		return err
	}
	one := sallyport.SigningKey{ID: token.NewKeyID(), API: api, Algorithm: own.Algorithm, Pepper: k.pepper, CreatedAt: now, SignsFrom: now}
	for _, before := range kept {
		if before.Algorithm == own.Algorithm && before.EndsAt.IsZero() {
			one.SignsFrom = now.Add(publishedBefore)
		}
	}
	one.Sealed = k.sealer.Seal(sealName(api, one.ID), secret)
	if err := k.store.CreateSigningKey(ctx, one, kept); err != nil {
		return fmt.Errorf("create a signing key for api %s: %w", api, err)
	}
	return nil
}

// retire gives an end to each key that another has followed: when the last token
// that it signed has expired.
func (k *Keyring) retire(ctx context.Context, api string, own *sallyport.OwnTokens, now time.Time) error {
	kept, err := k.store.SigningKeys(ctx, api)
	if err != nil {
		return fmt.Errorf("read signing keys: %w", err)
	}
	for i, one := range kept {
		for _, later := range kept[i+1:] {
			if !one.EndsAt.IsZero() || later.SignsFrom.After(now) || !later.SignsFrom.After(one.SignsFrom) {
				continue
			}
			end := later.SignsFrom.Add(own.Lifetime + readAgain)
			_, err := k.store.UpdateSigningKey(ctx, api, one.ID, func(s *sallyport.SigningKey) error {
				s.EndsAt = end
				return nil
			})
			if err != nil {
				return fmt.Errorf("retire a signing key of api %s: %w", api, err)
			}
			break
		}
	}
	return nil
}

func (k *Keyring) resealed(ctx context.Context, one *sallyport.SigningKey) error {
	secret, err := k.open(one)
	if err != nil {
		return err
	}
	_, err = k.store.UpdateSigningKey(ctx, one.API, one.ID, func(s *sallyport.SigningKey) error {
		s.Sealed, s.Pepper = k.sealer.Seal(sealName(one.API, one.ID), secret), k.pepper
		return nil
	})
	return err
}
