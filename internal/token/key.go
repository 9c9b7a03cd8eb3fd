package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The algorithms that the gate signs with (RFC 7518, RFC 8037).
const (
	EdDSA = "EdDSA"
	ES256 = "ES256"
	RS256 = "RS256"
	HS256 = "HS256" // shared: whoever may verify may also sign, so it is never published
)

// Algorithms lists them.
func Algorithms() []string { return []string{EdDSA, ES256, RS256, HS256} }

// Key is a signing key of a ring. It does not print.
type Key struct {
	id        string
	algorithm string
	signsFrom time.Time
	secret    func() any // the private key, where reflection does not reach
	public    any        // nil for HS256
	signer    jose.Signer
}

// NewKeyID returns an id for a key.
func NewKeyID() string {
	var b [12]byte
	rand.Read(b[:]) // it does not fail
	return base64.RawURLEncoding.EncodeToString(b[:])
}

const (
	rsaBits   = 2048
	hmacBytes = 32
)

// Generate makes a private key for algorithm, as ParseKey reads it.
func Generate(algorithm string) (private []byte, err error) {
	var made any
	switch algorithm {
	case EdDSA:
		_, made, err = ed25519.GenerateKey(rand.Reader)
	case ES256:
		made, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		made, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case HS256:
		secret := make([]byte, hmacBytes)
		rand.Read(secret)
		return secret, nil
	default:
		return nil, errAlgorithm(algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("generate a key for %s: %w", algorithm, err)
	}
	return x509.MarshalPKCS8PrivateKey(made)
}

func errAlgorithm(name string) error {
	return fmt.Errorf("unknown algorithm %q; there are EdDSA, ES256, RS256 and HS256", name)
}

// ParseKey reads a private key: PKCS #8, or the secret itself for HS256. From
// signsFrom on it signs; it verifies at once.
func ParseKey(id, algorithm string, private []byte, signsFrom time.Time) (*Key, error) {
	k := &Key{id: id, algorithm: algorithm, signsFrom: signsFrom}
	secret, err := k.read(private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", id, err)
	}
	k.secret = func() any { return secret }
	options := (&jose.SignerOptions{}).WithType(mediaType).WithHeader("kid", id)
	k.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: secret}, options)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", id, err)
	}
	return k, nil
}

func (k *Key) read(private []byte) (secret any, err error) {
	if k.id == "" {
		return nil, errors.New("it has no id")
	}
	if k.algorithm == HS256 {
		if len(private) < hmacBytes {
			return nil, fmt.Errorf("it has %d bytes, at least %d are needed", len(private), hmacBytes)
		}
		return private, nil
	}
	secret, err = x509.ParsePKCS8PrivateKey(private)
	if err != nil {
		return nil, errors.New("it is not PKCS #8")
	}
	k.public = secret.(crypto.Signer).Public()
	fits := false
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		fits = k.algorithm == EdDSA
	case *ecdsa.PublicKey:
		fits = k.algorithm == ES256 && p.Curve == elliptic.P256()
	case *rsa.PublicKey:
		fits = k.algorithm == RS256 && p.N.BitLen() >= rsaBits
	}
	if !fits {
		return nil, fmt.Errorf("it is no key for %s", k.algorithm)
	}
	return secret, nil
}

// verifier is what checks k's signatures.
func (k *Key) verifier() any {
	if k.public != nil {
		return k.public
	}
	return k.secret()
}
