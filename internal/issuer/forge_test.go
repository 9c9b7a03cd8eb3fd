package issuer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// What the tokens of tests say where they say nothing else.
const (
	theIssuer = "https://login.example"
	audience  = "https://api.orders.example"
)

var now = time.Unix(1_800_000_000, 0).UTC()

// keyring is the private keys of tests, made once.
type keyring struct {
	ec, ec384, otherEC *ecdsa.PrivateKey
	ed                 ed25519.PrivateKey
}

var ring = sync.OnceValue(func() *keyring {
	return &keyring{
		ec: newEC(elliptic.P256()), ec384: newEC(elliptic.P384()), otherEC: newEC(elliptic.P256()),
		ed: ed25519.NewKeyFromSeed(make([]byte, 32)),
	}
})

// RSA keys take their time, and more than that where code is made ready for
// fuzzing: who does not need them does not make them.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	weakRSA  = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
)

func newEC(curve elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwk is the public half of a key as an object of a JWK set, with more members at
// its end.
func jwk(private crypto.Signer, kid, more string) string {
	if more != "" {
		more = "," + more
	}
	switch p := private.Public().(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, x, y
		if err != nil {
			panic(err)
		}
		size := len(point) / 2
		return fmt.Sprintf(`{"kty":"EC","kid":%q,"crv":%q,"x":%q,"y":%q%s}`, kid, p.Params().Name, b64(point[1:1+size]), b64(point[1+size:]), more)
	case *rsa.PublicKey:
		return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q%s}`, kid, b64(p.N.Bytes()), b64(big.NewInt(int64(p.E)).Bytes()), more)
	case ed25519.PublicKey:
		return fmt.Sprintf(`{"kty":"OKP","kid":%q,"crv":"Ed25519","x":%q%s}`, kid, b64(p), more)
	}
	panic("unknown key")
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// published is the set of the issuer of tests.
func published() string {
	r := ring()
	return jwks(jwk(r.ec, "ec", `"use":"sig","alg":"ES256"`), jwk(rsaKey(), "rsa", `"use":"sig"`), jwk(r.ed, "ed", ""), jwk(r.ec384, "ec384", ""))
}

func set(t testing.TB, text string) *Set {
	t.Helper()
	s, err := ParseSet([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// sign signs by the algorithms' own packages alone. An HMAC is made under any
// bytes, which is how the confused are attacked.
func sign(key any, algorithm, input string) []byte {
	h, kind := hashOf(algorithm)
	if h != nil {
		h.Write([]byte(input))
	}
	var signature []byte
	var err error
	switch k := key.(type) {
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	case ed25519.PrivateKey:
		return ed25519.Sign(k, []byte(input))
	case *rsa.PrivateKey:
		if algorithm[0] == 'P' {
			signature, err = rsa.SignPSS(rand.Reader, k, kind, h.Sum(nil), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, k, kind, h.Sum(nil))
		}
	case *ecdsa.PrivateKey:
		var r, s *big.Int
		if r, s, err = ecdsa.Sign(rand.Reader, k, h.Sum(nil)); err == nil {
			size := (k.Params().BitSize + 7) / 8
			signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	}
	if err != nil {
		panic(err)
	}
	return signature
}

func hashOf(algorithm string) (hash.Hash, crypto.Hash) {
	switch strings.TrimLeft(algorithm, "EPRS") {
	case "256":
		return sha256.New(), crypto.SHA256
	case "384":
		return sha512.New384(), crypto.SHA384
	case "512":
		return sha512.New(), crypto.SHA512
	}
	return nil, 0
}

// forge returns a token of this header and payload, whatever they say.
func forge(header, payload string, key any, algorithm string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(sign(key, algorithm, input))
}

// claimsText is the payload of a good token, with changes: a value of nil takes
// a claim away.
func claimsText(changes map[string]any) string {
	claims := map[string]any{
		"iss": theIssuer, "aud": audience, "sub": "u-1", "client_id": "c-1", "jti": "t-1",
		"iat": now.Unix(), "exp": now.Unix() + 600, "scope": "orders:read orders:write",
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func verifier(t testing.TB, keys KeyFinder, leeway time.Duration, algorithms ...string) *Verifier {
	t.Helper()
	v, err := NewVerifier(VerifierOptions{Issuer: theIssuer, Audience: []string{"other", audience}, Algorithms: algorithms, Leeway: leeway, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// noKeys fails a test that asks for a key.
type noKeys struct{ t testing.TB }

func (n noKeys) Find(context.Context, string, string) ([]crypto.PublicKey, error) {
	n.t.Error("a key was asked for")
	return nil, ErrUnreachable
}
