package token

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// mediaType is the typ header of an access token (RFC 9068 §2.1).
const mediaType = "at+jwt"

// MaxLength is how many bytes a token may have.
const MaxLength = 8 << 10

// Ring is the keys of one API: those that sign, are about to, or have signed what
// is still good.
type Ring struct {
	keys map[string]*Key
	list []*Key // in the order given
}

// NewRing returns a ring of keys. Of two with one id the last counts.
func NewRing(keys ...*Key) *Ring {
	r := &Ring{keys: make(map[string]*Key, len(keys)), list: keys}
	for _, k := range keys {
		r.keys[k.id] = k
	}
	return r
}

// Has reports whether the ring has the key called id.
func (r *Ring) Has(id string) bool { return r.keys[id] != nil }

// ErrNoKey says that no key of the ring signs yet.
var ErrNoKey = errors.New("no key signs tokens")

// Sign returns a token that claims c, by the key that began to sign last.
func (r *Ring) Sign(c Claims, now time.Time) (string, error) {
	var with *Key
	for _, k := range r.list {
		if !k.signsFrom.After(now) && (with == nil || k.signsFrom.After(with.signsFrom)) {
			with = k
		}
	}
	if with == nil {
		return "", ErrNoKey
	}
	text, err := json.Marshal(c.wire())
	if err != nil {
		return "", err
	}
	signed, err := with.signer.Sign(text)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// The errors of Verify.
var (
	// ErrForeign says that no key of the ring is named: the token may be another
	// issuer's, or signed by a key that this instance has not read yet.
	ErrForeign = errors.New("the token names no key of this issuer")
	// ErrBad says that the token is not good. It does not say why.
	ErrBad = errors.New("the token is not good")
)

var allowed = []jose.SignatureAlgorithm{EdDSA, ES256, RS256, HS256}

// Verify returns what text claims, if a key of the ring signed it. Whether it has
// expired, whose it is and whether that still stands is for the caller to ask.
func (r *Ring) Verify(text string) (Claims, error) {
	if len(text) > MaxLength || strings.ContainsFunc(text, foreign) {
		return Claims{}, ErrBad
	}
	signed, err := jose.ParseSignedCompact(text, allowed)
	if err != nil || len(signed.Signatures) != 1 {
		return Claims{}, ErrBad
	}
	header := signed.Signatures[0].Protected
	k := r.keys[header.KeyID]
	if k == nil {
		return Claims{}, ErrForeign
	}
	if header.Algorithm != k.algorithm || header.JSONWebKey != nil {
		return Claims{}, ErrBad
	}
	if kind, _ := header.ExtraHeaders[jose.HeaderType].(string); kind != mediaType {
		return Claims{}, ErrBad
	}
	payload, err := signed.Verify(k.verifier())
	if err != nil {
		return Claims{}, ErrBad
	}
	return parseClaims(payload)
}

// foreign reports whether r is no character of a JWS in its compact form. Go's
// base64 passes over line feeds.
func foreign(r rune) bool {
	return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// JWKS returns the public keys as a JWK set. HMAC keys are not in it.
func (r *Ring) JWKS() ([]byte, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range r.list {
		if k.public != nil {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.public, KeyID: k.id, Algorithm: k.algorithm, Use: "sig"})
		}
	}
	return json.Marshal(set)
}
