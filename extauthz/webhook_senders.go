package extauthz

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/singleflight"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
)

// SenderLoader reads who signs webhooks, with its tenant. Its error wraps
// sallyport.ErrNotFound where there is none. What it returns is never changed
// afterwards.
type SenderLoader interface {
	Sender(ctx context.Context, api, id string) (*sallyport.Sender, error)
}

// Senders finds who signs webhooks, and opens their secrets: in its cache, else in
// the store, once for however many ask. Safe for concurrent use.
//
// Why a change holds is told at Finder: the stamps are the same ones, so that what
// is announced there of a tenant goes for its senders too.
type Senders struct {
	loader  SenderLoader
	finder  *Finder
	sealer  *seal.Sealer
	cache   *cache[*signer]
	unknown *cache[*signer] // ids that the store does not know: bounded apart, so that noise evicts no sender
	loads   singleflight.Group
}

// signer is what one load found: a sender as the caller that it is and its open
// secrets, or nobody.
type signer struct {
	api, id    string
	credential *sallyport.Credential // nil: there is no such sender
	secrets    []openSecret
	stamp      uint64
}

type openSecret struct {
	webhook.Secret
	expiresAt time.Time // zero: never
}

const (
	senderEntries  = 1 << 14
	strangeEntries = 1 << 12
	maxSenderID    = 200 // bytes; what is longer nobody is called
)

// NewSenders returns an empty Senders over loader. It opens what is sealed under a
// key derived from the pepper of hasher or an older one, and knows of changes
// what finder is told. Close stops its caches.
func NewSenders(loader SenderLoader, finder *Finder, hasher *apikey.Hasher) (*Senders, error) {
	s := &Senders{loader: loader, finder: finder, sealer: seal.Under(hasher)}
	var err error
	if s.cache, err = newCache[*signer](senderEntries); err != nil {
		return nil, err
	}
	if s.unknown, err = newCache[*signer](strangeEntries); err != nil {
		s.cache.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the caches' goroutines.
func (s *Senders) Close() {
	s.cache.Close()
	s.unknown.Close()
}

// Forget announces that a sender has changed, after the change has committed:
// when it returns, no webhook that comes is judged by what was true before.
func (s *Senders) Forget(api, id string) { s.finder.changes.announce(senderSubject(api, id)) }

func senderSubject(api, id string) subject {
	return subject(xxhash.Sum64String(api)*43 + xxhash.Sum64String(id))
}

// find returns the sender called id; one without a credential is nobody's. Its
// error says that the store could not be asked in time, or that no secret of the
// sender opens.
func (s *Senders) find(ctx context.Context, api, id string) (*signer, error) {
	key := uint64(senderSubject(api, id))
	if e, ok := s.cache.Get(key); ok && s.good(e, api, id) {
		return e, nil
	}
	if e, ok := s.unknown.Get(key); ok && s.good(e, api, id) {
		return e, nil
	}
	if len(id) > maxSenderID {
		return &signer{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.finder.timeout)
	defer cancel()
	for { // until no change has overtaken the load
		e, err := s.load(ctx, api, id)
		if err != nil || s.good(e, api, id) {
			return e, err
		}
	}
}

// good reports whether e stands for the sender called id and nothing that it
// depends on has changed since its load began.
func (s *Senders) good(e *signer, api, id string) bool {
	changes := &s.finder.changes
	switch {
	case e.api != api || e.id != id:
		return false // another with the same hash
	case e.stamp >= changes.latest():
		return true
	}
	return e.stamp >= changes.of(senderSubject(api, id)) &&
		(e.credential == nil || e.stamp >= changes.of(tenantSubject(api, e.credential.Tenant.ID)))
}

// load asks the store, together with all who ask for the same sender now, as
// Finder does. What it keeps must not be part of a request.
func (s *Senders) load(ctx context.Context, api, id string) (*signer, error) {
	id = strings.Clone(id)
	flight := s.loads.DoChan(api+"/"+id, func() (any, error) { return s.loadOnce(api, id) })
	select {
	case r := <-flight:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*signer), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Senders) loadOnce(api, id string) (*signer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.finder.timeout)
	defer cancel()
	key := uint64(senderSubject(api, id))
	if e, ok := s.cache.Get(key); ok && s.good(e, api, id) {
		return e, nil // who asked looked before the last load ended, and begins this one after it
	}
	e := &signer{api: api, id: id, stamp: s.finder.changes.latest()} // before the read
	sender, err := s.loader.Sender(ctx, api, id)
	switch {
	case errors.Is(err, sallyport.ErrNotFound):
		s.unknown.keep(key, e, unknownFor)
		return e, nil
	case err != nil:
		return nil, err
	}
	if e.secrets, err = s.open(sender); err != nil {
		return nil, err
	}
	// An id that no key has, imported ones neither: else they would be counted as one.
	name := sallyport.KindWebhook + ":" + id
	e.credential = &sallyport.Credential{
		ID: name, API: api, Tenant: sender.Tenant, Kind: sallyport.KindWebhook, Name: sender.Name, Principal: name,
		State: sender.State, CreatedAt: sender.CreatedAt,
	}
	s.cache.keep(key, e, 0) // whoever asks when this load has ended finds it
	return e, nil
}

// open opens the secrets of sender. One that does not open, such as when its
// pepper is lost, leaves the others good; where none does, that is our failure,
// and not a wrong signature.
func (s *Senders) open(sender *sallyport.Sender) (all []openSecret, err error) {
	name := webhook.SealName(sender.API, sender.ID)
	for _, sealed := range sender.Secrets {
		secret, failed := s.sealer.Open(name, sealed.Sealed)
		if failed != nil {
			err = fmt.Errorf("secret of %s: %w", name, failed)
			continue
		}
		all = append(all, openSecret{webhook.NewSecret(secret), sealed.ExpiresAt})
	}
	if len(all) > 0 {
		err = nil
	}
	return all, err
}

// usable returns the secrets of e that are good at now.
func (e *signer) usable(now time.Time) []webhook.Secret {
	list := make([]webhook.Secret, 0, 4)
	for _, s := range e.secrets {
		if s.expiresAt.IsZero() || now.Before(s.expiresAt) {
			list = append(list, s.Secret)
		}
	}
	return list
}
