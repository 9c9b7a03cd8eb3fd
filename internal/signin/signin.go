// Package signin has users sign in at an OpenID provider (OpenID Connect Core 1.0,
// the authorization code flow with PKCE) in place of a page of ours. What comes
// of it is a login: the text of one claim of the ID token, by which we know the
// user.
//
// The work is go-oidc's and x/oauth2's. This package holds what a gate has to hold
// besides: every address of the provider is https, its documents are bounded in
// size and time, what it says of itself is read at the first use and again after a
// failure, and an e-mail address counts only where the provider says that it has
// verified it.
package signin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

// errRefused says that the provider did not sign the user in, or not so that it
// could be relied on. The text behind it is for logs.
var errRefused = fmt.Errorf("%w: the provider has not signed the user in", sallyport.ErrNotFound)

// Options says where users sign in, and as which client we ask.
type Options struct {
	sallyport.Login
	Secret apikey.Secret
	HTTP   *http.Client
	Now    func() time.Time
}

// Provider is an OpenID provider. Safe for concurrent use.
type Provider struct {
	o Options

	mu    sync.Mutex // guards what follows
	found *oidc.Provider
	tried time.Time
	err   error // of the last try
}

// New returns a Provider, which asks nothing yet.
func New(o Options) *Provider {
	client := *o.HTTP
	client.Transport = guard{client.Transport}
	o.HTTP = &client
	return &Provider{o: o}
}

// tryAgain is how long a provider that could not be read is left alone.
const tryAgain = 2 * time.Second

// provider returns what the provider says of itself.
func (p *Provider) provider() (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != nil {
		return p.found, nil
	}
	if p.err != nil && p.o.Now().Before(p.tried.Add(tryAgain)) {
		return nil, p.err
	}
	// Its keys are read later too, when the request that asks now has gone.
	found, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.o.HTTP), p.o.Issuer)
	if err == nil {
		err = overTLS(found)
	}
	p.tried, p.err = p.o.Now(), nil
	if err != nil {
		p.err = fmt.Errorf("the OpenID provider %s: %w", p.o.Issuer, err)
		return nil, p.err
	}
	p.found = found
	return found, nil
}

func overTLS(p *oidc.Provider) error {
	var said struct {
		Keys string `json:"jwks_uri"`
	}
	if err := p.Claims(&said); err != nil {
		return err
	}
	for _, address := range []string{p.Endpoint().AuthURL, p.Endpoint().TokenURL, said.Keys} {
		if u, err := url.Parse(address); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("it names %q, which is no https URL", address)
		}
	}
	return nil
}

func (p *Provider) client(found *oidc.Provider, redirect string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.o.Client, ClientSecret: p.o.Secret.Reveal(), Endpoint: found.Endpoint(), RedirectURL: redirect, Scopes: p.o.Scopes,
	}
}

// URL returns where a user is sent to sign in, who comes back to redirect. State
// and nonce are random, and verifier is a code_verifier (RFC 7636): the caller
// keeps all three for the browser that is sent. Fresh asks the provider to have
// the user sign in again, though it knows one.
func (p *Provider) URL(_ context.Context, redirect, state, nonce, verifier string, fresh bool) (string, error) {
	found, err := p.provider()
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)}
	if fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return p.client(found, redirect).AuthCodeURL(state, options...), nil
}

// Login returns the login of the user who came back with code: redirect, nonce and
// verifier are those of URL. Its error wraps sallyport.ErrNotFound where nobody has signed in.
func (p *Provider) Login(ctx context.Context, redirect, code, nonce, verifier string) (string, error) {
	found, err := p.provider()
	if err != nil {
		return "", err
	}
	ctx = oidc.ClientContext(ctx, p.o.HTTP)
	answer, err := p.client(found, redirect).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if refused := (*oauth2.RetrieveError)(nil); errors.As(err, &refused) {
		return "", fmt.Errorf("%w: it refused the code: %s", errRefused, refused.ErrorCode)
	}
	if err != nil {
		return "", fmt.Errorf("the OpenID provider %s: %w", p.o.Issuer, err)
	}
	text, ok := answer.Extra("id_token").(string)
	if !ok {
		return "", fmt.Errorf("%w: its answer has no id_token", errRefused)
	}
	id, err := found.Verifier(&oidc.Config{ClientID: p.o.Client, Now: p.o.Now}).Verify(ctx, text)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errRefused, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return "", fmt.Errorf("%w: the id_token was made for another request", errRefused)
	}
	return p.loginOf(id)
}

func (p *Provider) loginOf(id *oidc.IDToken) (string, error) {
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return "", fmt.Errorf("%w: %w", errRefused, err)
	}
	login, ok := claims[p.o.Claim].(string)
	switch {
	case !ok || login == "":
		return "", fmt.Errorf("%w: the id_token has no claim %s", errRefused, p.o.Claim)
	case p.o.Claim == "email" && !slices.Contains([]any{true, "true"}, claims["email_verified"]):
		return "", fmt.Errorf("%w: it has not verified the e-mail address", errRefused)
	}
	return login, nil
}

// Issuer returns the provider's name, which its answers may carry (RFC 9207).
func (p *Provider) Issuer() string { return p.o.Issuer }
