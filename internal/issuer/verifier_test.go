package issuer

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const ecHeader = `{"alg":"ES256","kid":"ec","typ":"at+jwt"}`

func TestGoodTokensAreAccepted(t *testing.T) {
	r := ring()
	v := verifier(t, set(t, published()), 0, Algorithms()...)
	for _, test := range []struct {
		name, algorithm, kid string
		key                  any
		header               string
		changes              map[string]any
	}{
		{name: "ES256", algorithm: "ES256", kid: "ec", key: r.ec},
		{name: "ES384", algorithm: "ES384", kid: "ec384", key: r.ec384},
		{name: "EdDSA", algorithm: "EdDSA", kid: "ed", key: r.ed},
		{name: "RS256", algorithm: "RS256", kid: "rsa", key: rsaKey()},
		{name: "RS512", algorithm: "RS512", kid: "rsa", key: rsaKey()},
		{name: "PS256", algorithm: "PS256", kid: "rsa", key: rsaKey()},
		{name: "PS384", algorithm: "PS384", kid: "rsa", key: rsaKey()},
		{name: "no kid", algorithm: "EdDSA", key: r.ed, header: `{"alg":"EdDSA"}`},
		{name: "typ JWT", algorithm: "ES256", key: r.ec, header: `{"alg":"ES256","kid":"ec","typ":"JWT"}`},
		{name: "typ with application", algorithm: "ES256", key: r.ec, header: `{"alg":"ES256","kid":"ec","typ":"application/AT+JWT"}`},
		{name: "what is not read", algorithm: "ES256", key: r.ec, header: `{"alg":"ES256","kid":"ec","jku":"https://evil.example/","x5u":"https://evil.example/","x5t":"AAAA","x5t#S256":"??"}`},
		{name: "aud is a list", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"aud": []string{"a", audience}}},
		{name: "the last second", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"exp": now.Unix() + 1}},
		{name: "exp with a fraction", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"exp": float64(now.Unix()) + 60.5}},
		{name: "nbf is now", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"nbf": now.Unix()}},
		{name: "no iat", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"iat": nil}},
		{name: "a client only", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"sub": nil}},
		{name: "azp only", algorithm: "ES256", kid: "ec", key: r.ec, changes: map[string]any{"sub": nil, "client_id": nil, "azp": "c"}},
	} {
		if test.header == "" {
			test.header = fmt.Sprintf(`{"alg":%q,"kid":%q}`, test.algorithm, test.kid)
		}
		text := forge(test.header, claimsText(test.changes), test.key, test.algorithm)
		claims, err := v.Verify(t.Context(), text, now)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got, _ := claims.Text(top("iss")); got != theIssuer || !claims.Expires.After(now) {
			t.Errorf("%s: got issuer %q, until %v", test.name, got, claims.Expires)
		}
		if issuer, ok := IssuerOf(text); issuer != theIssuer || !ok {
			t.Errorf("%s: IssuerOf: got %q, %v", test.name, issuer, ok)
		}
	}
}

// hostile is a token that must be refused. It differs from a good one in what is
// named: the header, the payload, its claims, the key, or the text as a whole.
type hostile struct {
	name      string
	header    string // "": ecHeader
	payload   string // "": of changes
	changes   map[string]any
	key       any    // nil: that of ecHeader
	algorithm string // that it is signed by; "": ES256
	text      func(good string) string
	leeway    time.Duration
	want      error // nil: ErrBad
	why       string
}

const (
	whyAlgorithm = "algorithm is not accepted"
	whyKey       = "no key of the issuer has"
	whySigned    = "no key of the issuer signed it"
	whyForm      = "a part is not base64url"
)

// Every spelling of no algorithm, and public keys taken for a secret.
func hostileAlgorithms() (list []hostile) {
	r := ring()
	for _, none := range []string{"none", "None", "NONE", "nOnE", "", " none", "none\\u0000", "null"} {
		for _, signed := range []bool{true, false} {
			h := hostile{name: fmt.Sprintf("alg %q, signed %v", none, signed), header: fmt.Sprintf(`{"alg":"%s","kid":"ec"}`, none), why: whyAlgorithm}
			if !signed {
				h.text, h.why = func(good string) string { return good[:strings.LastIndex(good, ".")+1] }, "a part is empty"
			}
			list = append(list, h)
		}
	}
	der, _ := x509.MarshalPKIXPublicKey(&rsaKey().PublicKey)
	pkcs1 := x509.MarshalPKCS1PublicKey(&rsaKey().PublicKey)
	for name, secret := range map[string][]byte{
		"the PEM":               pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"the PEM in one line":   []byte(strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))),
		"the PEM of PKCS #1":    pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: pkcs1}),
		"the DER":               der,
		"the DER of PKCS #1":    pkcs1,
		"the JWK":               []byte(jwk(rsaKey(), "rsa", `"use":"sig"`)),
		"the JWK set":           []byte(published()),
		"the modulus":           rsaKey().N.Bytes(),
		"the modulus in base64": []byte(b64(rsaKey().N.Bytes())),
		"nothing":               {},
	} {
		list = append(list, hostile{name: "HS256 with " + name, header: `{"alg":"HS256","kid":"rsa"}`, key: secret, why: whyAlgorithm},
			hostile{name: "RS256 said, HMAC with " + name, header: `{"alg":"RS256","kid":"rsa"}`, key: secret, why: whySigned})
	}
	return append(list, []hostile{
		{name: "alg is missing", header: `{"kid":"ec"}`, why: whyAlgorithm},
		{name: "alg is a number", header: `{"alg":256,"kid":"ec"}`, why: "header alg is not text"},
		{name: "alg is a list", header: `{"alg":["none","ES256"],"kid":"ec"}`, why: "header alg is not text"},
		{name: "alg in lower case", header: `{"alg":"es256","kid":"ec"}`, why: whyAlgorithm},
		{name: "alg twice", header: `{"alg":"none","alg":"ES256","kid":"ec"}`, why: "twice"},
		{name: "alg twice, once escaped", header: `{"alg":"ES256","\u0061lg":"none","kid":"ec"}`, why: "twice"},
		{name: "Alg", header: `{"Alg":"ES256","kid":"ec"}`, why: whyAlgorithm},
		{name: "an algorithm that is not allowed", header: `{"alg":"RS384","kid":"rsa"}`, key: rsaKey(), algorithm: "RS384", why: whyAlgorithm},
		{name: "an algorithm of encryption", header: `{"alg":"RSA-OAEP","kid":"rsa"}`, key: rsaKey(), algorithm: "RS256", why: whyAlgorithm},
		{name: "RS256 said, PS256 done", header: `{"alg":"RS256","kid":"rsa"}`, key: rsaKey(), algorithm: "PS256", why: whySigned},
		{name: "ES256 with a key of P-384", header: `{"alg":"ES256","kid":"ec384"}`, key: r.ec384, algorithm: "ES256", why: whyKey},
		{name: "EdDSA with the kid of an EC key", header: `{"alg":"EdDSA","kid":"ec"}`, key: r.ed, algorithm: "EdDSA", why: whyKey},
		{name: "an algorithm that the key's alg is not", header: `{"alg":"ES384","kid":"ec"}`, key: r.ec384, algorithm: "ES384", why: whyAlgorithm},
	}...)
}

// Keys that are not the issuer's, or not the one that is named.
func hostileKeys() (list []hostile) {
	r := ring()
	for _, kid := range []string{
		"../../../../dev/null", "/dev/null", "file:///dev/null", "https://evil.example/jwks", "ec' OR '1'='1", "ec\\u0000", "EC", " ec", "ec ", "|id",
		"*", strings.Repeat("k", 4000),
	} {
		list = append(list, hostile{name: fmt.Sprintf("kid %.20q", kid), header: `{"alg":"ES256","kid":"` + kid + `"}`, why: whyKey})
	}
	own := jwk(r.otherEC, "ec", "")
	return append(list, []hostile{
		{name: "a key that is not listed, with a kid that is", key: r.otherEC, why: whySigned},
		{name: "a key that is not listed, without a kid", header: `{"alg":"ES256"}`, key: r.otherEC, why: whySigned},
		{name: "kid of another key", header: `{"alg":"ES256","kid":"rsa"}`, why: whyKey},
		{name: "kid is a number", header: `{"alg":"ES256","kid":1}`, why: "header kid is not text"},
		{name: "kid is null", header: `{"alg":"ES256","kid":null}`, why: "header kid is not text"},
		{name: "kid twice", header: `{"alg":"ES256","kid":"x","kid":"ec"}`, why: "twice"},
		{name: "jwk of its own", header: `{"alg":"ES256","kid":"ec","jwk":` + own + `}`, key: r.otherEC, why: "header jwk"},
		{name: "jwk that is listed", header: `{"alg":"ES256","kid":"ec","jwk":` + jwk(r.ec, "ec", "") + `}`, why: "header jwk"},
		{name: "jwk null", header: `{"alg":"ES256","kid":"ec","jwk":null}`, why: "header jwk"},
		{name: "jku of its own", header: `{"alg":"ES256","kid":"ec","jku":"https://evil.example/jwks"}`, key: r.otherEC, why: whySigned},
		{name: "x5u of its own", header: `{"alg":"ES256","kid":"ec","x5u":"https://evil.example/c.pem"}`, key: r.otherEC, why: whySigned},
		{name: "x5c of its own", header: `{"alg":"ES256","kid":"ec","x5c":["MIIB"]}`, key: r.otherEC, why: "header x5c"},
		{name: "signature of zeros", text: func(good string) string { return head(good) + b64(make([]byte, 64)) }, why: whySigned},
		{name: "signature of one byte", text: func(good string) string { return head(good) + "AA" }, why: whySigned},
		{name: "signature in ASN.1", text: func(good string) string {
			input := strings.TrimSuffix(head(good), ".")
			h, kind := hashOf("ES256")
			h.Write([]byte(input))
			der, _ := r.ec.Sign(nil, h.Sum(nil), kind)
			return head(good) + b64(der)
		}, why: whySigned},
		{name: "signature of another token", text: func(good string) string {
			return head(good) + tail(forge(ecHeader, claimsText(map[string]any{"sub": "u-2"}), r.ec, "ES256"))
		}, why: whySigned},
		{name: "header of another token", text: func(good string) string {
			return b64([]byte(`{"alg":"ES256","kid":"ec"}`)) + good[strings.Index(good, "."):]
		}, why: whySigned},
	}...)
}

func head(text string) string { return text[:strings.LastIndex(text, ".")+1] }
func tail(text string) string { return text[strings.LastIndex(text, ".")+1:] }

// Texts that are no token, or several, or one that is written in another way.
func hostileForms() []hostile {
	r := ring()
	header := func(more string) string { return `{"alg":"ES256","kid":"ec",` + more + `}` }
	as := func(f func(p []string) string) func(string) string {
		return func(good string) string { return f(strings.Split(good, ".")) }
	}
	return []hostile{
		{name: "crit", header: header(`"crit":["exp"],"exp":1`), why: "header crit"},
		{name: "crit b64", header: header(`"crit":["b64"],"b64":true`), why: "header crit"},
		{name: "crit is empty", header: header(`"crit":[]`), why: "header crit"},
		{name: "crit is null", header: header(`"crit":null`), why: "header crit"},
		{name: "b64 false", header: header(`"b64":false`), why: "header b64"},
		{name: "b64 false, payload as it is", header: header(`"b64":false`), text: as(func(p []string) string {
			h := b64([]byte(header(`"b64":false`)))
			return h + "." + claimsText(nil) + "." + b64(sign(r.ec, "ES256", h+"."+claimsText(nil)))
		}), why: ""},
		{name: "zip", header: header(`"zip":"DEF"`), why: "header zip"},
		{name: "enc", header: header(`"enc":"A128GCM"`), why: "header enc"},
		{name: "nested", header: header(`"cty":"JWT"`), why: "nested"},
		{name: "nested, with application", header: header(`"cty":"application/jwt"`), why: "nested"},
		{name: "payload is a token", payload: "a.b.c", why: "claims: it is not one JSON object"},
		{name: "encrypted", text: func(string) string { return "e30.e30.e30.e30.e30" }, why: "encrypted"},
		{name: "typ of an ID token's logout", header: header(`"typ":"logout+jwt"`), why: "header typ"},
		{name: "typ of a DPoP proof", header: header(`"typ":"dpop+jwt"`), why: "header typ"},
		{name: "typ is empty", header: header(`"typ":""`), why: "header typ"},
		{name: "typ is a list", header: header(`"typ":["JWT"]`), why: "header typ is not text"},
		{name: "JSON, flattened", text: as(func(p []string) string {
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
		}), why: "three parts"},
		{name: "JSON, two signatures", text: as(func(p []string) string {
			return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q},{"protected":%q,"signature":%q}]}`, p[1], p[0], p[2], p[0], p[2])
		}), why: "three parts"},
		{name: "two signatures", text: as(func(p []string) string { return p[0] + "." + p[1] + "." + p[2] + "." + p[2] }), why: "three parts"},
		{name: "two tokens", text: func(good string) string { return good + "," + good }, why: "encrypted"},
		{name: "no signature", text: as(func(p []string) string { return p[0] + "." + p[1] }), why: "three parts"},
		{name: "no payload", text: as(func(p []string) string { return p[0] + ".." + p[2] }), why: "a part is empty"},
		{name: "nothing", text: func(string) string { return "" }, why: "three parts"},
		{name: "dots", text: func(string) string { return ".." }, why: "a part is empty"},
		{name: "a space before", text: func(good string) string { return " " + good }, why: whyForm},
		{name: "a space after", text: func(good string) string { return good + " " }, why: whyForm},
		{name: "a line end after", text: func(good string) string { return good + "\n" }, why: "line ends"},
		{name: "a line end in the payload", text: as(func(p []string) string { return p[0] + "." + p[1][:9] + "\r\n" + p[1][9:] + "." + p[2] }), why: "line ends"},
		{name: "padding", text: func(good string) string { return good + "==" }, why: whyForm},
		{name: "padding of the header", text: as(func(p []string) string { return p[0] + "=." + p[1] + "." + p[2] }), why: whyForm},
		{name: "bits that do not count", text: func(good string) string { return good[:len(good)-1] + sibling(good[len(good)-1]) }, why: whyForm},
		{name: "base64 that is not for URLs", text: func(good string) string { return head(good) + "++++" + tail(good)[4:] }, why: whyForm},
		{name: "a null byte after", text: func(good string) string { return good + "\x00" }, why: whyForm},
		{name: "header is a list", header: `["ES256"]`, why: "header: it is not one"},
		{name: "header is broken", header: `{"alg":"ES256","kid":"ec"`, why: "header: it is not one"},
		{name: "header with more after it", header: ecHeader + `{}`, why: "header: it is not one"},
		{name: "header is huge", header: header(`"x":"` + strings.Repeat("x", MaxLength) + `"`), why: "too long"},
		{name: "header is deep", header: header(`"x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000)), why: "too deep"},
	}
}

// sibling returns a letter of base64 that differs in the last bit only.
func sibling(c byte) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(letters[strings.IndexByte(letters, c)^1])
}

// Claims that a key of the issuer did sign.
func hostileClaims() []hostile {
	at := func(name string, value any) map[string]any { return map[string]any{name: value} }
	with := func(more string) string { return strings.TrimSuffix(claimsText(nil), "}") + "," + more + "}" }
	n, huge := now.Unix(), strings.Repeat("9", 400)
	return []hostile{
		{name: "exp is missing", changes: at("exp", nil), why: "no exp"},
		{name: "exp is text", changes: at("exp", fmt.Sprint(n+600)), why: "exp is not a time"},
		{name: "exp is null", payload: strings.Replace(claimsText(at("exp", 5)), `"exp":5`, `"exp":null`, 1), why: "exp is not a time"},
		{name: "exp is true", changes: at("exp", true), why: "exp is not a time"},
		{name: "exp is a list", changes: at("exp", []int64{n + 600}), why: "exp is not a time"},
		{name: "exp is 0", changes: at("exp", 0), why: "exp is not a time"},
		{name: "exp is negative", changes: at("exp", -n), why: "exp is not a time"},
		{name: "exp is huge", changes: at("exp", 1e30), why: "exp is not a time"},
		{name: "exp is 2^63", payload: strings.Replace(claimsText(at("exp", 5)), `"exp":5`, `"exp":9223372036854775808`, 1), why: "exp is not a time"},
		{name: "exp has 400 digits", payload: strings.Replace(claimsText(at("exp", 5)), `"exp":5`, `"exp":`+huge, 1), why: "exp is not a time"},
		{name: "exp in milliseconds", changes: at("exp", n*1000), why: "exp is not a time"},
		{name: "exp twice", payload: with(fmt.Sprintf(`"exp":%d`, n+9999)), why: "twice"},
		{name: "expired now", changes: at("exp", n), want: ErrExpired},
		{name: "expired a fraction ago", changes: at("exp", float64(n)+0.5), want: ErrExpired},
		{name: "expired a second ago", changes: at("exp", n-1), want: ErrExpired},
		{name: "expired by the leeway", changes: at("exp", n-30), leeway: DefaultLeeway, want: ErrExpired},
		{name: "expired, and not signed", changes: at("exp", n-1), key: ring().otherEC, why: whySigned},
		{name: "expired, and not for us", changes: map[string]any{"exp": n - 1, "aud": "b"}, why: "aud names others"},
		{name: "nbf in the future", changes: at("nbf", n+1), why: "nbf is in the future"},
		{name: "nbf beyond the leeway", changes: at("nbf", n+31), leeway: DefaultLeeway, why: "nbf is in the future"},
		{name: "nbf is text", changes: at("nbf", "1"), why: "nbf is not a time"},
		{name: "iat in the future", changes: at("iat", n+1), why: "iat is in the future"},
		{name: "iat is an object", changes: at("iat", map[string]any{}), why: "iat is not a time"},
		{name: "aud is another's", changes: at("aud", "https://api.other.example"), why: "aud names others"},
		{name: "aud begins like ours", changes: at("aud", audience+".evil.example"), why: "aud names others"},
		{name: "aud with a slash at the end", changes: at("aud", audience+"/"), why: "aud names others"},
		{name: "aud is a list of others", changes: at("aud", []string{"a", "b"}), why: "aud names others"},
		{name: "aud is an empty list", changes: at("aud", []string{}), why: "aud names others"},
		{name: "aud is empty", changes: at("aud", ""), why: "aud names others"},
		{name: "aud is missing", changes: at("aud", nil), why: "aud is not there"},
		{name: "aud has a list in it", changes: at("aud", []any{[]string{audience}}), why: "aud is not there"},
		{name: "aud has us and a number", changes: at("aud", []any{audience, 1}), why: "aud is not there"},
		{name: "aud is an object", changes: at("aud", map[string]any{audience: true}), why: "aud is not there"},
		{name: "iss with a slash at the end", changes: at("iss", theIssuer+"/"), want: ErrForeign},
		{name: "iss in capitals", changes: at("iss", strings.ToUpper(theIssuer)), want: ErrForeign},
		{name: "iss without https", changes: at("iss", strings.TrimPrefix(theIssuer, "https://")), want: ErrForeign},
		{name: "iss is missing", changes: at("iss", nil), want: ErrForeign},
		{name: "iss is empty", changes: at("iss", ""), want: ErrForeign},
		{name: "iss is a list", changes: at("iss", []string{theIssuer}), want: ErrForeign},
		{name: "iss twice", payload: with(`"iss":"` + theIssuer + `"`), why: "twice"},
		{name: "iss twice, once in capitals", payload: strings.Replace(with(`"ISS":"`+theIssuer+`"`), `"iss":"`+theIssuer+`"`, `"iss":"x"`, 1), want: ErrForeign},
		{name: "nobody", changes: map[string]any{"sub": nil, "client_id": nil}, why: "neither sub"},
		{name: "nobody has a name", changes: map[string]any{"sub": "", "client_id": ""}, why: "neither sub"},
		{name: "sub is a number", changes: at("sub", 7), why: "sub is not text"},
		{name: "sub is an object", changes: at("sub", map[string]any{"id": "u-1"}), why: "sub is not text"},
		{name: "sub twice", payload: with(`"sub":"admin"`), why: "twice"},
		{name: "client_id is a list", changes: at("client_id", []string{"c"}), why: "client_id is not text"},
		{name: "bound to a key", changes: at("cnf", map[string]any{"jkt": "x"}), why: "cnf"},
		{name: "a name twice, deep inside", payload: with(`"a":{"b":[{"c":1,"c":2}]}`), why: "twice"},
		{name: "deep nesting", payload: with(`"a":` + strings.Repeat(`[`, 2500) + strings.Repeat(`]`, 2500)), why: "too deep"},
		{name: "one level too deep", payload: with(`"a":` + strings.Repeat(`[`, maxDepth) + strings.Repeat(`]`, maxDepth)), why: "too deep"},
		{name: "claims with more after them", payload: claimsText(nil) + `{}`, why: "claims: it is not one"},
		{name: "claims with a comment", payload: claimsText(nil) + `//`, why: "claims: it is not one"},
		{name: "claims that are not Unicode", payload: strings.Replace(claimsText(nil), "u-1", "u-\xff", 1), why: "claims: it is not one"},
		{name: "claims with a mark before them", payload: "\ufeff" + claimsText(nil), why: "claims: it is not one"},
		{name: "claims are null", payload: `null`, why: "claims: it is not one"},
		{name: "claims are a list", payload: `[` + claimsText(nil) + `]`, why: "claims: it is not one"},
		{name: "too long", changes: at("x", strings.Repeat("x", MaxLength)), why: "too long"},
	}
}

func TestHostileTokensAreRefused(t *testing.T) {
	keys := set(t, published())
	rows := append(append(append(hostileAlgorithms(), hostileKeys()...), hostileForms()...), hostileClaims()...)
	if len(rows) < 100 {
		t.Fatalf("there are %d rows", len(rows))
	}
	for _, h := range rows {
		v := verifier(t, keys, h.leeway, "ES256", "RS256", "PS256", "EdDSA")
		text := h.make()
		claims, err := v.Verify(t.Context(), text, now)
		want := h.want
		if want == nil {
			want = ErrBad
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", h.name, err, want)
			continue
		}
		if !strings.Contains(err.Error(), h.why) {
			t.Errorf("%s: got %v, want it to be for %q", h.name, err, h.why)
		}
		for _, other := range []error{ErrBad, ErrForeign, ErrExpired, ErrUnmapped, ErrUnreachable} {
			if other != want && errors.Is(err, other) {
				t.Errorf("%s: %v is %v too", h.name, err, other)
			}
		}
		if claims.values != nil || !claims.Expires.IsZero() {
			t.Errorf("%s: refused, and yet claims were returned", h.name)
		}
	}
}

func (h *hostile) make() string {
	header, payload, key, algorithm := h.header, h.payload, h.key, h.algorithm
	if header == "" {
		header = ecHeader
	}
	if payload == "" {
		payload = claimsText(h.changes)
	}
	if key == nil {
		key = ring().ec
	}
	if algorithm == "" {
		algorithm = "ES256"
	}
	text := forge(header, payload, key, algorithm)
	if h.text != nil {
		text = h.text(text)
	}
	return text
}

func TestExpiredSaysWhen(t *testing.T) {
	v := verifier(t, set(t, published()), 0)
	end := now.Add(-time.Second)
	text := forge(ecHeader, claimsText(map[string]any{"exp": end.Unix()}), ring().ec, "ES256")
	_, err := v.Verify(t.Context(), text, now)
	var expired *Expired
	if !errors.As(err, &expired) || !expired.Claims.Expires.Equal(end) {
		t.Errorf("got %v, want it expired at %v", err, end)
	}
	if _, err := verifier(t, set(t, published()), 2*time.Second).Verify(t.Context(), text, now); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	if _, err := verifier(t, set(t, published()), time.Second).Verify(t.Context(), text, now); !errors.Is(err, ErrExpired) {
		t.Errorf("at the end of the leeway: got %v, want %v", err, ErrExpired)
	}
}

// Nobody's keys are asked for because of a token that is refused anyway.
func TestKeysAreAskedForLast(t *testing.T) {
	v := verifier(t, noKeys{t}, 0)
	for _, h := range append(hostileForms(), hostileClaims()...) {
		if h.want != ErrExpired && h.why != whySigned {
			v.Verify(t.Context(), h.make(), now)
		}
	}
}

// What a KeyFinder returns is used with the algorithm that it fits, and no other.
func TestKeysOfAnotherTypeAreNotUsed(t *testing.T) {
	text := forge(`{"alg":"RS256"}`, claimsText(nil), []byte("secret"), "HS256")
	for _, k := range []crypto.PublicKey{[]byte("secret"), ring().ec.Public(), nil, rsaKey()} {
		if _, err := verifier(t, finder{k}, 0).Verify(t.Context(), text, now); !errors.Is(err, ErrBad) {
			t.Errorf("with a key of type %T: got %v, want %v", k, err, ErrBad)
		}
	}
}

type finder []crypto.PublicKey

func (f finder) Find(context.Context, string, string) ([]crypto.PublicKey, error) { return f, nil }

func TestErrorsQuoteNothing(t *testing.T) {
	v := verifier(t, set(t, published()), 0)
	for _, h := range append(hostileKeys(), hostileClaims()...) {
		text := h.make()
		_, err := v.Verify(t.Context(), text, now)
		for _, part := range append(strings.Split(text, "."), "u-1", "evil", theIssuer) {
			if part != "" && strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q quotes %.40q", h.name, err, part)
			}
		}
	}
}

func TestVerifierOptionsThatWouldAcceptTooMuchAreRefused(t *testing.T) {
	keys := set(t, published())
	good := VerifierOptions{Issuer: theIssuer, Audience: []string{audience}, Keys: keys}
	if _, err := NewVerifier(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(o *VerifierOptions){
		"nothing":           func(o *VerifierOptions) { *o = VerifierOptions{} },
		"no issuer":         func(o *VerifierOptions) { o.Issuer = "" },
		"no audience":       func(o *VerifierOptions) { o.Audience = nil },
		"an empty audience": func(o *VerifierOptions) { o.Audience = []string{audience, ""} },
		"no keys":           func(o *VerifierOptions) { o.Keys = nil },
		"a negative leeway": func(o *VerifierOptions) { o.Leeway = -1 },
		"a great leeway":    func(o *VerifierOptions) { o.Leeway = MaxLeeway + 1 },
		"none":              func(o *VerifierOptions) { o.Algorithms = []string{"ES256", "none"} },
		"HS256":             func(o *VerifierOptions) { o.Algorithms = []string{"HS256"} },
		"dir":               func(o *VerifierOptions) { o.Algorithms = []string{"dir"} },
	} {
		o := good
		change(&o)
		if v, err := NewVerifier(o); err == nil || v != nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
