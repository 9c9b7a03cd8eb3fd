package issuer

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The leeway for clocks that differ.
const (
	DefaultLeeway = 30 * time.Second
	MaxLeeway     = 5 * time.Minute
)

// KeyFinder finds the keys that a token may be verified with, which names the key
// id ("": none) and algorithm: a few at most, all of them for that algorithm.
// Its error wraps ErrBad where the issuer has none, and ErrUnreachable where that
// cannot be told.
type KeyFinder interface {
	Find(ctx context.Context, id, algorithm string) ([]crypto.PublicKey, error)
}

// VerifierOptions says what a Verifier accepts.
type VerifierOptions struct {
	Issuer     string        // iss, character by character
	Audience   []string      // aud must have one of them
	Algorithms []string      // none: DefaultAlgorithms
	Leeway     time.Duration // at most MaxLeeway; zero is none
	Keys       KeyFinder
}

// Verifier verifies the JWTs of one issuer.
type Verifier struct{ o VerifierOptions }

// NewVerifier returns a Verifier. Its errors are for operators.
func NewVerifier(o VerifierOptions) (*Verifier, error) {
	switch {
	case o.Issuer == "":
		return nil, errors.New("verify tokens: the issuer has no name; every token would be its own")
	case len(o.Audience) == 0 || slices.Contains(o.Audience, ""):
		return nil, errors.New("verify tokens: no audience is named; tokens for others would be accepted")
	case o.Keys == nil:
		return nil, errors.New("verify tokens: there are no keys")
	}
	err := checkLeeway(o.Leeway)
	if err == nil {
		o.Algorithms, err = allowlist(o.Algorithms)
	}
	if err != nil {
		return nil, fmt.Errorf("verify tokens: %w", err)
	}
	o.Audience = slices.Clone(o.Audience)
	return &Verifier{o}, nil
}

func checkLeeway(leeway time.Duration) error {
	if leeway < 0 || leeway > MaxLeeway {
		return fmt.Errorf("a leeway of %v cannot be had; it goes from 0 to %v", leeway, MaxLeeway)
	}
	return nil
}

// Verify returns what text claims, if a key of the issuer signed it, it is for us
// and it is good at now. Its errors wrap ErrBad, ErrForeign, ErrExpired or
// ErrUnreachable.
//
// What costs nothing comes first, so that keys are asked for, and signatures
// computed, only for what could be accepted or has expired. That it has expired
// is said of what the issuer signed and of nothing else.
func (v *Verifier) Verify(ctx context.Context, text string, now time.Time) (Claims, error) {
	t, err := parseToken(text)
	if err != nil {
		return Claims{}, err
	}
	if t.claims[claimIssuer] != v.o.Issuer {
		return Claims{}, ErrForeign
	}
	if !slices.Contains(v.o.Algorithms, t.algorithm) {
		return Claims{}, bad("its algorithm is not accepted")
	}
	p, why := v.judge(t.claims, now)
	if why != "" {
		return Claims{}, bad(why)
	}
	keys, err := v.o.Keys.Find(ctx, t.key, t.algorithm)
	if err != nil {
		return Claims{}, err
	}
	if !signed(text, t.algorithm, keys) {
		return Claims{}, bad("no key of the issuer signed it")
	}
	claims := Claims{Expires: p.expires, values: t.claims}
	if p.expired(now, v.o.Leeway) {
		return Claims{}, &Expired{claims}
	}
	return claims, nil
}

// judge says why claims cannot be accepted, whoever signed them; "" where they
// can, but for their end.
func (v *Verifier) judge(claims map[string]any, now time.Time) (p period, why string) {
	p, why = readPeriod(claims)
	if why == "" && p.expires.IsZero() {
		why = "it has no exp"
	}
	why = cmp.Or(why, p.begun(now, v.o.Leeway), forUs(claims, v.o.Audience), named(claims), bound(claims))
	return p, why
}

// signed reports whether one of keys signed text by algorithm.
func signed(text, algorithm string, keys []crypto.PublicKey) bool {
	token, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(algorithm)})
	if err != nil || len(token.Signatures) != 1 {
		return false
	}
	for _, k := range keys {
		// A key finder returns keys that fit, and go-jose refuses others. That no
		// public key is ever taken for a secret is not left to them.
		if !fits(k, algorithm) {
			continue
		}
		if _, err := token.Verify(k); err == nil {
			return true
		}
	}
	return false
}
