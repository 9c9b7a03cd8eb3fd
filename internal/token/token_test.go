package token

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var now = time.Unix(1_700_000_000, 0)

func newKey(t testing.TB, id, algorithm string, from time.Time) *Key {
	t.Helper()
	private, err := Generate(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(id, algorithm, private, from)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func claims() Claims {
	return Claims{
		Issuer: "https://auth.example.com", Audience: "https://api.example.com", Subject: "ann", ID: "t1", Client: "client_1",
		Tenant: "acme", Parent: "key_1", Epoch: 3, Roles: "mark", Scopes: []string{"orders:read"}, Scoped: true,
		IssuedAt: now, Expires: now.Add(time.Hour),
	}
}

func TestWhatWasSignedIsWhatIsRead(t *testing.T) {
	for _, algorithm := range Algorithms() {
		r := NewRing(newKey(t, "k1", algorithm, now))
		for name, change := range map[string]func(*Claims){
			"all":       func(*Claims) {},
			"no scopes": func(c *Claims) { c.Scopes = []string{} },
			"unscoped":  func(c *Claims) { c.Scopes, c.Scoped = nil, false },
			"no client": func(c *Claims) { c.Client = "" },
		} {
			want := claims()
			change(&want)
			text, err := r.Sign(want, now)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Verify(text)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: read %+v, %v; want %+v", algorithm, name, got, err, want)
			}
		}
	}
}

// The key that began to sign last signs; the one before still verifies.
func TestKeysOverlap(t *testing.T) {
	old, next := newKey(t, "old", EdDSA, now), newKey(t, "next", EdDSA, now.Add(time.Hour))
	r := NewRing(old, next)
	for when, want := range map[time.Duration]string{0: "old", time.Hour - 1: "old", time.Hour: "next"} {
		text, err := r.Sign(claims(), now.Add(when))
		if err != nil {
			t.Fatal(err)
		}
		if got := header(t, text)["kid"]; got != want {
			t.Errorf("after %v: signed by %v, want %s", when, got, want)
		}
		if _, err := r.Verify(text); err != nil {
			t.Errorf("after %v: %v", when, err)
		}
	}
	text, _ := r.Sign(claims(), now)
	if _, err := NewRing(next).Verify(text); !errors.Is(err, ErrForeign) {
		t.Errorf("without its key: %v", err)
	}
	if _, err := NewRing(next).Sign(claims(), now); !errors.Is(err, ErrNoKey) {
		t.Errorf("before any signs: %v", err)
	}
}

func header(t testing.TB, text string) (h map[string]any) {
	t.Helper()
	first, _, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || json.Unmarshal(raw, &h) != nil {
		t.Fatal(text)
	}
	return h
}

// The published set verifies what is signed, and holds nothing that signs.
func TestTheSetIsPublic(t *testing.T) {
	for _, algorithm := range Algorithms() {
		r := NewRing(newKey(t, "k1", algorithm, now))
		text, err := r.JWKS()
		if err != nil {
			t.Fatal(err)
		}
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(text, &set); err != nil {
			t.Fatal(err)
		}
		if algorithm == HS256 {
			if string(text) != `{"keys":[]}` {
				t.Errorf("a shared key is published: %s", text)
			}
			continue
		}
		signed, _ := r.Sign(claims(), now)
		parsed, err := jose.ParseSignedCompact(signed, allowed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Verify(set.Key("k1")[0]); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		for _, k := range set.Keys {
			if !k.IsPublic() || k.Use != "sig" || k.Algorithm != algorithm {
				t.Errorf("%s: published %+v", algorithm, k)
			}
		}
	}
}

// forge makes a token of header and payload, signed with an HMAC under secret.
func forge(head, payload string, secret []byte) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(head)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestForgeriesAreRefused(t *testing.T) {
	k := newKey(t, "k1", EdDSA, now)
	shared := newKey(t, "s1", HS256, now)
	r := NewRing(k, shared)
	good, err := r.Sign(claims(), now)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	der, _ := x509.MarshalPKIXPublicKey(k.public)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	secret := shared.secret().([]byte)
	other := NewRing(newKey(t, "k1", EdDSA, now))
	theirs, _ := other.Sign(claims(), now)
	body := string(payload)
	const head = `{"alg":"HS256","kid":"s1","typ":"at+jwt"}`
	for name, text := range map[string]string{
		"nothing":                     "",
		"dots":                        "..",
		"alg none":                    forge(`{"alg":"none","kid":"k1","typ":"at+jwt"}`, body, nil),
		"alg None":                    forge(`{"alg":"None","kid":"k1","typ":"at+jwt"}`, body, nil),
		"no signature":                parts[0] + "." + parts[1] + ".",
		"no alg":                      forge(`{"kid":"k1","typ":"at+jwt"}`, body, secret),
		"the public key as secret":    forge(`{"alg":"HS256","kid":"k1","typ":"at+jwt"}`, body, public),
		"its bytes as secret":         forge(`{"alg":"HS256","kid":"k1","typ":"at+jwt"}`, body, der),
		"HS512 for HS256":             forge(`{"alg":"HS512","kid":"s1","typ":"at+jwt"}`, body, secret),
		"another's key of that id":    theirs,
		"no kid":                      forge(`{"alg":"HS256","typ":"at+jwt"}`, body, secret),
		"kid of another key":          forge(`{"alg":"HS256","kid":"k1","typ":"at+jwt"}`, body, secret),
		"kid as a path":               forge(`{"alg":"HS256","kid":"../../dev/null","typ":"at+jwt"}`, body, nil),
		"kid as a query":              forge(`{"alg":"HS256","kid":"' OR 1=1 --","typ":"at+jwt"}`, body, secret),
		"kid as a number":             forge(`{"alg":"HS256","kid":1,"typ":"at+jwt"}`, body, secret),
		"its own key":                 forge(`{"alg":"HS256","kid":"s1","typ":"at+jwt","jwk":{"kty":"oct","k":"AAAA"}}`, body, secret),
		"critical":                    forge(`{"alg":"HS256","kid":"s1","typ":"at+jwt","crit":["exp"],"exp":1}`, body, secret),
		"critical b64":                forge(`{"alg":"HS256","kid":"s1","typ":"at+jwt","crit":["b64"],"b64":false}`, body, secret),
		"of type JWT":                 forge(`{"alg":"HS256","kid":"s1","typ":"JWT"}`, body, secret),
		"of no type":                  forge(`{"alg":"HS256","kid":"s1"}`, body, secret),
		"a claim more":                forge(head, strings.Replace(body, "{", `{"admin":true,`, 1), secret),
		"no jti":                      forge(head, strings.Replace(body, `"jti":"t1"`, `"jti":""`, 1), secret),
		"no parent":                   forge(head, strings.Replace(body, `"parent":"key_1"`, `"parent":""`, 1), secret),
		"no tenant":                   forge(head, strings.Replace(body, `"tenant":"acme"`, `"tenant":""`, 1), secret),
		"exp as text":                 forge(head, strings.Replace(body, `"exp":1700003600`, `"exp":"1700003600"`, 1), secret),
		"exp as a fraction":           forge(head, strings.Replace(body, `"exp":1700003600`, `"exp":1700003600.5`, 1), secret),
		"exp beyond numbers":          forge(head, strings.Replace(body, `"exp":1700003600`, `"exp":1e300`, 1), secret),
		"exp below zero":              forge(head, strings.Replace(body, `"exp":1700003600`, `"exp":-1`, 1), secret),
		"no exp":                      forge(head, strings.Replace(body, `,"exp":1700003600`, ``, 1), secret),
		"two documents":               forge(head, body+body, secret),
		"a list":                      forge(head, "["+body+"]", secret),
		"no JSON":                     forge(head, "hello", secret),
		"a signature of another":      parts[0] + "." + parts[1] + "." + strings.Split(theirs, ".")[2],
		"a payload of another":        parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(body, "acme", "evil", 1))) + "." + parts[2],
		"padding":                     good + "=",
		"a space":                     good + " ",
		"a line feed":                 good + "\n",
		"four parts":                  good + "." + parts[2],
		"two parts":                   parts[0] + "." + parts[1],
		"JSON serialization":          `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"longer than any":             good + strings.Repeat("A", MaxLength),
		"a header without end":        forge(`{"alg":"HS256","kid":"s1","typ":"at+jwt"`, body, secret),
		"a header that says it twice": forge(`{"alg":"none","alg":"HS256","kid":"s1","typ":"at+jwt"}`, body, nil),
	} {
		if got, err := r.Verify(text); !errors.Is(err, ErrBad) && !errors.Is(err, ErrForeign) || !reflect.DeepEqual(got, Claims{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if _, err := r.Verify(forge(head, body, secret)); err != nil {
		t.Errorf("what was to be bent is not good itself: %v", err)
	}
}

func TestKeysThatDoNotFit(t *testing.T) {
	ed, err := Generate(EdDSA)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		id, algorithm string
		private       []byte
	}{
		"no id":             {"", EdDSA, ed},
		"another algorithm": {"k1", ES256, ed},
		"not a key":         {"k1", RS256, []byte("hello")},
		"too short":         {"k1", HS256, []byte("short")},
		"of no algorithm":   {"k1", "none", ed},
	} {
		if _, err := ParseKey(c.id, c.algorithm, c.private, now); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := Generate("none"); err == nil {
		t.Error("a key for no algorithm was made")
	}
}

// Whatever comes, Verify returns what the ring signed, or one of its errors.
func FuzzVerify(f *testing.F) {
	k, shared := newKey(f, "k1", ES256, now), newKey(f, "s1", HS256, now)
	r := NewRing(k, shared)
	good, _ := NewRing(k).Sign(claims(), now)
	f.Add(good)
	other, _ := NewRing(shared).Sign(claims(), now)
	f.Add(other)
	f.Add(forge(`{"alg":"none","kid":"k1","typ":"at+jwt"}`, `{}`, nil))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := r.Verify(text)
		switch {
		case err == nil && text != good && text != other && !reflect.DeepEqual(got, claims()):
			t.Errorf("%q passes as %+v", text, got)
		case err != nil && !errors.Is(err, ErrBad) && !errors.Is(err, ErrForeign):
			t.Errorf("%q: %v", text, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range Algorithms() {
		b.Run(algorithm, func(b *testing.B) {
			r := NewRing(newKey(b, "k1", algorithm, now))
			text, err := r.Sign(claims(), now)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Verify(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSign is a token, and beside it the bare signature of as much text.
func BenchmarkSign(b *testing.B) {
	for _, algorithm := range Algorithms() {
		k := newKey(b, "k1", algorithm, now)
		r := NewRing(k)
		text, err := r.Sign(claims(), now)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(algorithm+"/token", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Sign(claims(), now); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(algorithm+"/bare", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := signBare(k, []byte(text)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// signBare signs text by nothing but the standard library.
func signBare(k *Key, text []byte) error {
	if k.algorithm == HS256 {
		mac := hmac.New(sha256.New, k.secret().([]byte))
		mac.Write(text)
		mac.Sum(nil)
		return nil
	}
	sum, hash := sha256.Sum256(text), crypto.SHA256
	digest := sum[:]
	if k.algorithm == EdDSA {
		digest, hash = text, 0
	}
	_, err := k.secret().(crypto.Signer).Sign(rand.Reader, digest, hash)
	return err
}
