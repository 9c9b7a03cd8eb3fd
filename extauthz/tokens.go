package extauthz

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/sallyport/sallyport"
)

// Tokens verifies access tokens. It is asked at a token's first use, and again
// when something that the token rests on may have changed. Safe for concurrent
// use.
type Tokens interface {
	// Verify returns the credential that text stands for at api, a Credential
	// with a Token, and until when it may be remembered. One that has expired or
	// ended comes back as such, so that whoever reads the log knows whose it was.
	// The error wraps sallyport.ErrNotFound where text is no token of api's.
	Verify(ctx context.Context, api *sallyport.API, text string) (c *sallyport.Credential, until time.Time, err error)
}

// AcceptTokens makes a accept what t verifies, at APIs that take tokens. It is for
// before the first Decide.
func (a *Authorizer) AcceptTokens(t Tokens) { a.tokens = t }

// maxToken is how long a token may be.
const maxToken = 8 << 10

// isJWT reports whether secret has the look of a JWT: three parts, the first of
// which begins like a JSON object in base64.
func isJWT(secret string) bool {
	return strings.HasPrefix(secret, "eyJ") && strings.Count(secret, ".") == 2
}

// takesToken reports whether secret is to be read as a token: it looks like one,
// or could be anything and an issuer knows its tokens without their saying so.
func (a *apiRules) takesToken(secret string) bool {
	if a.Tokens == nil && len(a.Issuers) == 0 || len(secret) > maxToken {
		return false
	}
	return isJWT(secret) || a.opaque && !a.looksLikeKey(secret)
}

// identifyToken finds whose token secret is.
func (a *Authorizer) identifyToken(ctx context.Context, api *apiRules, secret string, now time.Time, memory *sallyport.Credential) (*sallyport.Credential, sallyport.Reason) {
	if a.tokens == nil {
		return nil, sallyport.CredentialMalformed
	}
	digest := tokenDigest(api.Name, a.hasher.Digest(secret))
	c, known := a.finder.cached(&digest, memory)
	if !known {
		var err error
		c, err = a.finder.verify(ctx, digest, memory, a.tokenTime(api.API), a.reads(api.API, secret))
		if why := failure(err); why != sallyport.Allowed {
			return nil, why
		}
	}
	switch {
	case c == nil, c.API != api.Name, c.Token == nil:
		return nil, sallyport.CredentialUnknown
	case api.Grace > 0 && a.finder.DownFor(now) > api.Grace:
		return nil, sallyport.StoreFailed
	}
	return c, sallyport.Allowed
}

// How long an issuer is waited for whose keys are not known yet, or who has to be
// asked, and the Check that waits for it: less than the second that a proxy waits.
const (
	issuerTime = 750 * time.Millisecond
	issuerWait = 850 * time.Millisecond
)

// tokenTime is how long a first use of a token may take at api.
func (a *Authorizer) tokenTime(api *sallyport.API) time.Duration {
	if len(api.Issuers) > 0 {
		return max(a.finder.timeout, issuerWait)
	}
	return a.finder.timeout
}

// reads is a function of its own for the reason of fromStore.
func (a *Authorizer) reads(api *sallyport.API, secret string) read {
	return func(ctx context.Context) (*sallyport.Credential, time.Time, error) {
		if len(api.Issuers) > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, max(a.finder.timeout, issuerTime))
			defer cancel()
		}
		return a.tokens.Verify(ctx, api, secret)
	}
}

// failure says what an error of a Find means; Allowed for none.
func failure(err error) sallyport.Reason {
	switch {
	case err == nil:
		return sallyport.Allowed
	case errors.Is(err, sallyport.ErrNotFound):
		return sallyport.CredentialUnknown
	case errors.Is(err, sallyport.ErrIssuerDown):
		return sallyport.IssuerFailed
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return sallyport.StoreTimeout
	}
	return sallyport.StoreFailed
}

// tokenDigest is under what a token is remembered: what is no token at one API may
// be one at another.
func tokenDigest(api string, d sallyport.Digest) sallyport.Digest {
	for i := range len(api) {
		d[i%len(d)] ^= api[i]
	}
	return d
}

func tokenSubject(api, id string) subject {
	return subject(xxhash.Sum64String(api)*37 + xxhash.Sum64String(id))
}

// policySubject is the part of a policy that tokens of api rest on: what roles
// permit, and which issuers are believed.
func policySubject(api string) subject { return subject(xxhash.Sum64String(api)*41 + 1) }

// ForgetToken announces that the token called id is revoked.
func (f *Finder) ForgetToken(api, id string) { f.changes.announce(tokenSubject(api, id)) }

// ForgetPolicy announces that another policy for api is in force.
func (f *Finder) ForgetPolicy(api string) { f.changes.announce(policySubject(api)) }

// stands reports whether nothing that the token c rests on, besides what all
// credentials do, has changed since stamp.
func (f *Finder) stands(c *sallyport.Credential, stamp uint64) bool {
	t := c.Token
	return stamp >= f.changes.of(policySubject(c.API)) &&
		stamp >= f.changes.of(tokenSubject(c.API, t.ID)) &&
		(t.Parent == "" || stamp >= f.changes.of(credentialSubject(t.Parent))) &&
		(t.Client == "" || stamp >= f.changes.of(credentialSubject(t.Client)))
}
