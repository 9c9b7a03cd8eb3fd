package issuer

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestSetsUseTheKeysThatAreFit(t *testing.T) {
	r := ring()
	good := jwk(r.ed, "good", "")
	oct := `{"kty":"oct","kid":"s","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U"}`
	private := jwk(r.ec, "p", `"d":"AAAA"`)
	for _, test := range []struct {
		name, text string
		keys       []string // the kids in use
		leftOut    []string // a part of each reason
	}{
		{"all kinds", published(), []string{"ec", "rsa", "ed", "ec384"}, nil},
		{"no kid", jwks(strings.Replace(good, `"kid":"good",`, "", 1)), []string{""}, nil},
		{"other members", `{"x":[1],"keys":[` + jwk(r.ed, "good", `"x5c":["no certificate"],"x5t":"?","exp":1`) + `]}`, []string{"good"}, nil},
		{"for encryption", jwks(good, jwk(rsaKey(), "e", `"use":"enc"`)), []string{"good"}, []string{`"e": its use`}},
		{"use is a list", jwks(good, jwk(rsaKey(), "e", `"use":["sig"]`)), []string{"good"}, []string{`"e": use is not text`}},
		{"key_ops", jwks(good, jwk(r.ec, "v", `"key_ops":["sign","verify"]`), jwk(rsaKey(), "e", `"key_ops":["encrypt"]`), jwk(rsaKey(), "n", `"key_ops":[]`), jwk(rsaKey(), "t", `"key_ops":"verify"`)),
			[]string{"good", "v"}, []string{`"e": its key_ops`, `"n": its key_ops`, `"t": its key_ops`}},
		{"alg of another type", jwks(good, jwk(rsaKey(), "a", `"alg":"ES256"`), jwk(rsaKey(), "h", `"alg":"HS256"`), jwk(rsaKey(), "n", `"alg":"none"`), jwk(r.ec, "c", `"alg":"ES384"`), jwk(rsaKey(), "o", `"alg":"RSA-OAEP"`)),
			[]string{"good"}, []string{`"a": its alg`, `"h": its alg`, `"n": its alg`, `"c": its alg`, `"o": its alg`}},
		{"symmetric", jwks(good, oct), []string{"good"}, []string{`"s": it is symmetric`}},
		{"weak RSA", jwks(good, jwk(weakRSA(), "w", "")), []string{"good"}, []string{`"w": RSA of 1024 bits`}},
		{"huge RSA", jwks(good, fmt.Sprintf(`{"kty":"RSA","kid":"w","n":%q,"e":"AQAB"}`, b64(slices.Repeat([]byte{0xff}, 513)))), []string{"good"}, []string{`"w": it is no key`}},
		{"RSA with an exponent of 1", jwks(good, fmt.Sprintf(`{"kty":"RSA","kid":"w","n":%q,"e":"AQ"}`, b64(rsaKey().N.Bytes()))), []string{"good"}, []string{`"w": it is no key`}},
		{"RSA with an exponent of 2", jwks(good, fmt.Sprintf(`{"kty":"RSA","kid":"w","n":%q,"e":"Ag"}`, b64(rsaKey().N.Bytes()))), []string{"good"}, []string{`"w": RSA with a modulus`}},
		{"RSA with a great exponent", jwks(good, fmt.Sprintf(`{"kty":"RSA","kid":"w","n":%q,"e":"gAAAAQ"}`, b64(rsaKey().N.Bytes()))), []string{"good"}, []string{`"w": RSA with a modulus`}},
		{"a point that is not on the curve", jwks(good, strings.Replace(jwk(r.ec, "w", ""), `"x":"`, `"y2":"`, 1)), []string{"good"}, []string{`"w": it is no key`}},
		{"unknown kinds", jwks(good, `{"kty":"PQ","kid":"w"}`, `{"kid":"k"}`, `{"kty":"OKP","crv":"X25519","kid":"x","x":"AAAA"}`, `7`, `{"kty":"EC","kid":1}`),
			[]string{"good"}, []string{`"w": it is no key`, `"k": it is no key`, `"x": it is no key`, `key 5 "": it is not an object`, `kid is not text`}},
		{"a kid twice", jwks(jwk(r.ec, "k", ""), jwk(rsaKey(), "k", ""), jwk(r.otherEC, "k", "")), []string{"k", "k", "k"}, nil},
		{"a key twice", jwks(good, good), []string{"good"}, nil},
		{"a private key", jwks(good, private), []string{"good"}, []string{`"p": it is a private key`}},
		{"a private key, and its public half", jwks(jwk(r.ec, "before", ""), private, jwk(rsaKey(), "r", `"use":7,"d":"AAAA"`), good, jwk(r.ec, "after", `"alg":"ES256"`), jwk(rsaKey(), "rsa", "")), []string{"good"},
			[]string{`"p": it is a private key`, `key 3 "r": it is a private key`, `key 1 "before": its private half`, `key 5 "after": its private half`, `key 6 "rsa": its private half`}},
	} {
		s, err := ParseSet([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []string
		for _, k := range s.keys {
			got = append(got, k.id)
		}
		if !slices.Equal(got, test.keys) {
			t.Errorf("%s: got the keys %q, want %q", test.name, got, test.keys)
		}
		if len(s.LeftOut()) != len(test.leftOut) {
			t.Errorf("%s: left out are %q, want %q", test.name, s.LeftOut(), test.leftOut)
			continue
		}
		for i, want := range test.leftOut {
			if !strings.Contains(s.LeftOut()[i], want) {
				t.Errorf("%s: left out is %q, want %q", test.name, s.LeftOut()[i], want)
			}
		}
	}
}

func TestSetsThatAreNoneAreRefused(t *testing.T) {
	good := jwk(ring().ed, "good", "")
	for name, text := range map[string]string{
		"nothing":               "",
		"HTML":                  "<html>",
		"null":                  "null",
		"a list":                "[" + good + "]",
		"a key":                 good,
		"no keys":               `{}`,
		"keys is an object":     `{"keys":` + good + `}`,
		"empty":                 jwks(),
		"no key that is fit":    jwks(jwk(weakRSA(), "w", "")),
		"more after it":         jwks(good) + "{}",
		"keys twice":            `{"keys":[],"keys":[` + good + `]}`,
		"a name twice in a key": jwks(strings.Replace(good, `{`, `{"kid":"x",`, 1)),
		"too many":              jwks(slices.Repeat([]string{good}, maxKeys+1)...),
		"too deep":              `{"keys":[` + good + `],"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
	} {
		if s, err := ParseSet([]byte(text)); err == nil || s != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestFindChoosesByKidAndAlgorithm(t *testing.T) {
	r := ring()
	s := set(t, jwks(jwk(r.ec, "k", ""), jwk(rsaKey(), "k", `"alg":"PS256"`), jwk(r.otherEC, "k", ""), jwk(otherRSA(), "o", "")))
	for _, test := range []struct {
		id, algorithm string
		want          []crypto.Signer
	}{
		{"k", "ES256", []crypto.Signer{r.ec, r.otherEC}},
		{"k", "PS256", []crypto.Signer{rsaKey()}},
		{"k", "RS256", nil}, // the key is for PS256 alone
		{"k", "ES384", nil},
		{"k", "HS256", nil},
		{"k", "", nil},
		{"o", "RS256", []crypto.Signer{otherRSA()}},
		{"", "PS256", []crypto.Signer{rsaKey(), otherRSA()}},
		{"", "EdDSA", nil},
		{"K", "ES256", nil},
	} {
		got, err := s.Find(t.Context(), test.id, test.algorithm)
		if (err != nil) != (test.want == nil) || err != nil && !errors.Is(err, ErrBad) {
			t.Errorf("%q %q: got error %v", test.id, test.algorithm, err)
		}
		same := slices.EqualFunc(got, test.want, func(a crypto.PublicKey, b crypto.Signer) bool {
			return a.(interface{ Equal(crypto.PublicKey) bool }).Equal(b.Public())
		})
		if !same {
			t.Errorf("%q %q: got %d other keys than the %d wanted", test.id, test.algorithm, len(got), len(test.want))
		}
	}
}

// However many keys an issuer lists under one name, a stranger's token costs few
// signatures.
func TestFewKeysAreTried(t *testing.T) {
	var keys []string
	for range maxTries + 2 {
		keys = append(keys, jwk(newEC(ring().ec.Curve), "k", ""))
	}
	s := set(t, jwks(keys...))
	for _, id := range []string{"", "k"} {
		if got, err := s.Find(t.Context(), id, "ES256"); err != nil || len(got) != maxTries {
			t.Errorf("%q: got %d keys, %v, want %d", id, len(got), err, maxTries)
		}
	}
}
