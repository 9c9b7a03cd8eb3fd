package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/accept"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/issuer"
	"github.com/sallyport/sallyport/internal/oauth"
	"github.com/sallyport/sallyport/internal/password"
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/signin"
	"github.com/sallyport/sallyport/internal/visit"
	"github.com/sallyport/sallyport/ratelimit"
)

// openOAuth makes what issues and verifies tokens.
func (a *App) openOAuth() {
	a.keyring = oauth.NewKeyring(a.store, a.hasher, a.now)
	verifier := &oauth.Verifier{Keys: a.keyring, Store: a.store}
	a.tokens = accept.NewTokens(accept.Options{
		Own: verifier, Tenants: a.store, Secret: issuerSecret, Changed: a.finder.ForgetPolicy, Log: a.log, Now: a.now,
	})
	a.authorizer.AcceptTokens(a.tokens)
	a.oauth = &oauth.Server{
		Credentials: a.authorizer, Store: a.store, Verifier: verifier, Keys: a.keyring,
		Hasher: a.hasher, Passwords: password.NewHasher(runtime.GOMAXPROCS(0)),
		Limiter: ratelimit.Limiter{Counters: a.counters}, Changed: a.finder, Provider: a.provider, Log: a.log,
	}
}

// providers are where users of each API sign in, if not here.
type providers map[string]*signin.Provider

// newProviders returns those of p.
func (a *App) newProviders(p *sallyport.Policy) (providers, error) {
	all := providers{}
	for _, api := range p.APIs {
		if api.Tokens == nil || api.Tokens.Login == nil {
			continue
		}
		login, client := *api.Tokens.Login, issuer.NewClient(nil)
		secret, err := issuerSecret(login.Secret)
		if err == nil && login.CA != "" {
			var text []byte
			if text, err = os.ReadFile(login.CA); err == nil {
				client, err = issuer.NewClientTrusting(text)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("apis.%s: login: %w", api.Name, err)
		}
		all[api.Name] = signin.New(signin.Options{Login: login, Secret: secret, HTTP: client, Now: a.now})
	}
	return all, nil
}

func (a *App) provider(api string) oauth.Provider {
	if p := (*a.providers.Load())[api]; p != nil {
		return p
	}
	return nil
}

// issuerSecret reads the secret by which an issuer of tokens knows us.
func issuerSecret(from sallyport.SecretPlace) (apikey.Secret, error) {
	text, err := readSecret(config.Secret(from))
	return apikey.NewSecret(strings.TrimSpace(string(text))), err
}

// endpoints serves what APIs mount on their own paths.
func (a *App) endpoints(keys *admin.Handler) http.HandlerFunc {
	door := &visit.Door{Keys: []proof.Key{a.hasher.Derive(proof.Purpose)}, Policy: a.policy.Load, Now: a.now, Log: a.log}
	for _, older := range a.hasher.Older() {
		door.Keys = append(door.Keys, older.Derive(proof.Purpose))
	}
	return func(w http.ResponseWriter, r *http.Request) {
		v := door.Enter(w, r)
		switch {
		case v == nil:
		case v.Operation.Serve == sallyport.ServeKeys:
			keys.ServeKeys(v)
		case oauth.Serves(v.Operation.Serve):
			a.oauth.Serve(v)
		default:
			v.Refuse(sallyport.KindUnavailable, visit.Refusal{})
		}
	}
}

const (
	keepKeysEvery = time.Minute
	keepKeysFor   = 10 * time.Second
)

// keepKeys sees to it that every API of p has the keys to sign with that it needs.
func (a *App) keepKeys(p *sallyport.Policy) error {
	ctx, cancel := context.WithTimeout(context.Background(), keepKeysFor)
	defer cancel()
	for _, api := range p.APIs {
		if err := a.keyring.Keep(ctx, api); err != nil {
			return err
		}
	}
	return nil
}

// keepTokens keeps keys and sweeps up what has ended, until ctx ends.
func (a *App) keepTokens(ctx context.Context) {
	every(ctx, keepKeysEvery, func() {
		if err := a.keepKeys(a.policy.Load()); err != nil {
			a.log.Error("signing keys were not looked after", "error", err)
		}
		if _, err := a.store.SweepOAuth(ctx, a.now()); err != nil && ctx.Err() == nil {
			a.log.Error("ended tokens were not swept up", "error", err)
		}
	})
}
