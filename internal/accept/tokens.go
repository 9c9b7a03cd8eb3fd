package accept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/issuer"
)

// Verifier verifies the tokens that the gate itself has issued; see
// extauthz.Tokens, which it is.
type Verifier interface {
	Verify(ctx context.Context, api *sallyport.API, text string) (*sallyport.Credential, time.Time, error)
}

// TenantStore knows the tenants that tokens are for.
type TenantStore interface {
	// Tenant returns a tenant; its error wraps sallyport.ErrNotFound.
	Tenant(ctx context.Context, api, id string) (*sallyport.Tenant, error)
}

// Options is what Tokens needs besides a policy.
type Options struct {
	Own     Verifier
	Tenants TenantStore
	Secret  func(sallyport.SecretPlace) (apikey.Secret, error)
	Changed func(api string) // what was verified with a key of one of api's issuers may be good no longer
	Log     *slog.Logger
	Now     func() time.Time
}

// Tokens verifies access tokens, whoever issued them. Safe for concurrent use.
type Tokens struct {
	o       Options
	current atomic.Pointer[sources]
	refused refusals
}

// sources are the outside issuers of each API, in the order of its file.
type sources map[string][]*source

// NewTokens returns Tokens that accept our own alone, until Prepare's work is
// done. Close ends what it runs.
func NewTokens(o Options) *Tokens {
	t := &Tokens{o: o}
	t.current.Store(&sources{})
	return t
}

// Close stops reading keys and asking issuers, and waits for that.
func (t *Tokens) Close() {
	for _, list := range *t.current.Swap(&sources{}) {
		for _, s := range list {
			s.close()
		}
	}
}

// Prepare makes what the issuers of p need, and returns what puts it in force and
// ends what is not needed any more, and what gives it up again: one of the two is
// to be called. What stays as it was goes on, with the keys that it knows. On an
// error nothing has changed.
func (t *Tokens) Prepare(p *sallyport.Policy) (commit, abandon func(), err error) {
	before, after := *t.current.Load(), sources{}
	var made []*source
	abandon = func() {
		for _, s := range made {
			s.close()
		}
	}
	for _, api := range p.APIs {
		for i := range api.Issuers {
			at := fmt.Sprintf("apis.%s: issuer %s", api.Name, api.Issuers[i].URL)
			s, err := t.newSource(api.Name, &api.Issuers[i])
			if err == nil {
				if same := slices.IndexFunc(before[api.Name], s.same); same >= 0 {
					s = before[api.Name][same]
				} else if err = s.open(t); err == nil {
					made = append(made, s)
				}
			}
			if err != nil {
				abandon()
				return nil, nil, fmt.Errorf("%s: %w", at, err)
			}
			after[api.Name] = append(after[api.Name], s)
		}
	}
	commit = func() {
		t.current.Store(&after)
		for api, list := range before {
			for _, s := range list {
				if !slices.Contains(after[api], s) {
					go s.close() // it waits for what is being asked
				}
			}
		}
	}
	return commit, abandon, nil
}

// Verify returns the credential that text stands for at api, and until when that
// may be remembered. Its error wraps sallyport.ErrNotFound where text is no token
// that api accepts, and sallyport.ErrIssuerDown where that could not be found out.
//
// A JWT is its issuer's and nobody else's; what is none is shown to the issuers
// that have to be asked, one after the other, until one knows it.
func (t *Tokens) Verify(ctx context.Context, api *sallyport.API, text string) (*sallyport.Credential, time.Time, error) {
	list := (*t.current.Load())[api.Name]
	if len(list) == 0 {
		return t.o.Own.Verify(ctx, api, text)
	}
	name, isJWT := issuer.IssuerOf(text)
	if isJWT {
		at := slices.IndexFunc(list, func(s *source) bool { return s.URL == name })
		if at < 0 {
			return t.o.Own.Verify(ctx, api, text)
		}
		return t.verify(ctx, api, list[at], text)
	}
	var down error
	for _, s := range list {
		if s.Introspect == nil {
			continue
		}
		c, until, err := t.verify(ctx, api, s, text)
		switch {
		case errors.Is(err, sallyport.ErrIssuerDown):
			down = err
		case !errors.Is(err, sallyport.ErrNotFound):
			return c, until, err
		}
	}
	if down != nil {
		return nil, time.Time{}, down
	}
	return nil, time.Time{}, sallyport.ErrNotFound
}

// verify returns the credential that text stands for if it is a token of s.
func (t *Tokens) verify(ctx context.Context, api *sallyport.API, s *source, text string) (*sallyport.Credential, time.Time, error) {
	claims, until, err := s.claims(ctx, text, t.o.Now())
	var who issuer.Identity
	if err == nil {
		who, err = s.mapping.Map(claims)
	}
	var tenant *sallyport.Tenant
	if err == nil {
		if tenant, err = t.o.Tenants.Tenant(ctx, api.Name, who.Tenant); errors.Is(err, sallyport.ErrNotFound) {
			err = fmt.Errorf("%w: the tenant that it names is not one of the API's", errRefused)
		} else if err != nil {
			return nil, time.Time{}, err
		}
	}
	switch {
	case err == nil:
		return s.credential(&who, tenant, api.Plans), until, nil
	case errors.Is(err, issuer.ErrUnreachable):
		return nil, time.Time{}, fmt.Errorf("%w: %s: %w", sallyport.ErrIssuerDown, s.URL, err)
	}
	t.tell(api.Name, s, err)
	return nil, time.Time{}, fmt.Errorf("%w: %w", sallyport.ErrNotFound, err)
}

var errRefused = errors.New("the token is refused")
