package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// algorithms are those that tokens may be signed with (RFC 7518, RFC 8037). None
// has a secret: whoever may verify could sign, and a public key is easily taken
// for one.
var algorithms = []string{
	string(jose.EdDSA),
	string(jose.ES256), string(jose.ES384), string(jose.ES512),
	string(jose.PS256), string(jose.PS384), string(jose.PS512),
	string(jose.RS256), string(jose.RS384), string(jose.RS512),
}

// Algorithms lists what a Verifier may be told to accept.
func Algorithms() []string { return slices.Clone(algorithms) }

// DefaultAlgorithms lists what it accepts where it is told nothing.
func DefaultAlgorithms() []string {
	return []string{string(jose.EdDSA), string(jose.ES256), string(jose.PS256), string(jose.RS256)}
}

// allowlist reads the algorithms that a Verifier is told to accept.
func allowlist(names []string) ([]string, error) {
	if len(names) == 0 {
		return DefaultAlgorithms(), nil
	}
	for _, name := range names {
		if !slices.Contains(algorithms, name) {
			return nil, fmt.Errorf("algorithm %q cannot be accepted; there are %s", name, strings.Join(algorithms, ", "))
		}
	}
	return slices.Clone(names), nil
}

// RSA keys below minRSABits can be broken. Above 4,096 a stranger's token costs too
// much to refuse: go-jose reads none.
const (
	minRSABits     = 2048
	maxRSAExponent = 1<<31 - 1
)

// fits reports whether public is a key for algorithm.
func fits(public crypto.PublicKey, algorithm string) bool {
	switch p := public.(type) {
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	case *ecdsa.PublicKey:
		switch p.Curve {
		case elliptic.P256():
			return algorithm == string(jose.ES256)
		case elliptic.P384():
			return algorithm == string(jose.ES384)
		case elliptic.P521():
			return algorithm == string(jose.ES512)
		}
	case *rsa.PublicKey:
		return slices.Contains(algorithms, algorithm) && (algorithm[0] == 'P' || algorithm[0] == 'R')
	}
	return false
}

// weak says why public is not to be relied on; "" where it is.
func weak(public crypto.PublicKey) (why string) {
	p, ok := public.(*rsa.PublicKey)
	switch {
	case !ok:
	case p.N.BitLen() < minRSABits:
		return fmt.Sprintf("RSA of %d bits, fewer than %d", p.N.BitLen(), minRSABits)
	case p.N.Bit(0) == 0 || p.E < 3 || p.E%2 == 0 || p.E > maxRSAExponent:
		return "RSA with a modulus or exponent that makes no signatures"
	}
	return ""
}
