package accept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/issuer"
)

// source is one outside issuer of one API, and what its tokens are verified with.
type source struct {
	*sallyport.Issuer
	api    string
	secret apikey.Secret
	roots  []byte // the certificates in the file that Issuer names

	mapping  *issuer.Mapping
	verifier *issuer.Verifier
	keys     *issuer.Keys
	asked    *issuer.Introspector // in place of verifier and keys
}

// newSource returns a source that runs nothing yet.
func (t *Tokens) newSource(api string, is *sallyport.Issuer) (*source, error) {
	s := &source{Issuer: is, api: api}
	var err error
	if s.mapping, err = issuer.NewMapping(is.Claims); err != nil {
		return nil, err
	}
	if is.CA != "" {
		if s.roots, err = os.ReadFile(is.CA); err != nil {
			return nil, fmt.Errorf("ca: %w", err)
		}
	}
	if is.Introspect != nil {
		if s.secret, err = t.o.Secret(is.Introspect.Secret); err != nil {
			return nil, fmt.Errorf("introspection.secret: %w", err)
		}
	}
	return s, nil
}

// same reports whether other does what s is to do.
func (s *source) same(other *source) bool {
	return reflect.DeepEqual(s.Issuer, other.Issuer) && s.secret.Reveal() == other.secret.Reveal() && bytes.Equal(s.roots, other.roots)
}

func (s *source) open(t *Tokens) error {
	client, err := s.client()
	if err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if in := s.Introspect; in != nil {
		place := issuer.SecretInHeader
		if in.InBody {
			place = issuer.SecretInBody
		}
		s.asked, err = issuer.NewIntrospector(issuer.IntrospectorOptions{
			URL: in.URL, Client: in.Client, Secret: s.secret, SecretIn: place, Keep: in.Keep,
			Issuer: s.URL, Audience: s.Audience, Leeway: s.Leeway, HTTP: client, Now: t.o.Now,
		})
		return err
	}
	s.keys, err = issuer.NewKeys(issuer.KeysOptions{From: s.Keys, Client: client, Now: t.o.Now, Changed: func(state issuer.State) { t.changed(s, state) }})
	if err != nil {
		return err
	}
	s.verifier, err = issuer.NewVerifier(issuer.VerifierOptions{
		Issuer: s.URL, Audience: s.Audience, Algorithms: s.Algorithms, Leeway: s.Leeway, Keys: s.keys,
	})
	if err != nil {
		s.keys.Close()
	}
	return err
}

// client returns the HTTP client that trusts the certificates of s; nil is the
// usual one.
func (s *source) client() (*http.Client, error) {
	if s.roots == nil {
		return nil, nil
	}
	return issuer.NewClientTrusting(s.roots)
}

func (s *source) close() {
	if s.keys != nil {
		s.keys.Close()
	}
	if s.asked != nil {
		s.asked.Close()
	}
}

// errInactive is of a token that its issuer does not stand for.
var errInactive = fmt.Errorf("%w: the issuer says that it is not active, or it is not for us", errRefused)

// claims returns what s stands for by text, and until when that may be remembered.
// A JWT that has expired comes with its end in the claims.
func (s *source) claims(ctx context.Context, text string, now time.Time) (issuer.Claims, time.Time, error) {
	if s.asked == nil {
		claims, err := s.verifier.Verify(ctx, text, now)
		var expired *issuer.Expired
		if errors.As(err, &expired) {
			claims, err = expired.Claims, nil
		}
		return claims, claims.Expires.Add(s.Leeway), err
	}
	answer, err := s.asked.Ask(ctx, text)
	if err == nil && !answer.Active {
		err = errInactive
	}
	return answer.Claims, now.Add(answer.Keep), err
}

// credential returns what who comes to, in tenant. A plan that is none of plans
// leaves it the tenant's.
func (s *source) credential(who *issuer.Identity, tenant *sallyport.Tenant, plans []string) *sallyport.Credential {
	c := &sallyport.Credential{
		API: s.api, Tenant: tenant, Kind: sallyport.KindToken, State: sallyport.Active,
		ID: s.URL + "#" + who.Subject, Principal: who.Subject, Scopes: who.Scopes,
		Token: &sallyport.Token{ID: s.URL + "#" + who.ID, Client: who.Client},
	}
	if who.Subject == "" {
		c.ID, c.Principal = s.URL+"#client:"+who.Client, who.Client
	}
	if slices.Contains(plans, who.Plan) {
		c.Plan = who.Plan
	}
	if !who.Expires.IsZero() {
		c.ExpiresAt = who.Expires.Add(s.Leeway)
	}
	return c
}
