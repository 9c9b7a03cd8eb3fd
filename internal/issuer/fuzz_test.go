package issuer

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport"
)

// naive says by the algorithms' own packages whether one of keys signed text, by
// an algorithm that is named in its header.
func naive(text string, keys []crypto.PublicKey) bool {
	parts := strings.Split(text, ".")
	header, _ := base64.RawURLEncoding.DecodeString(parts[0])
	signature, _ := base64.RawURLEncoding.DecodeString(parts[len(parts)-1])
	var said struct {
		Alg string `json:"alg"`
	}
	if len(parts) != 3 || json.Unmarshal(header, &said) != nil {
		return false
	}
	input := []byte(parts[0] + "." + parts[1])
	h, kind := hashOf(said.Alg)
	if h != nil {
		h.Write(input)
	}
	return slices.ContainsFunc(keys, func(key crypto.PublicKey) bool {
		switch k := key.(type) {
		case ed25519.PublicKey:
			return said.Alg == "EdDSA" && ed25519.Verify(k, input, signature)
		case *ecdsa.PublicKey:
			half := len(signature) / 2
			fit := said.Alg == "ES256" && half == 32 || said.Alg == "ES384" && half == 48
			return fit && ecdsa.Verify(k, h.Sum(nil), new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
		case *rsa.PublicKey:
			switch said.Alg {
			case "RS256", "RS384", "RS512":
				return rsa.VerifyPKCS1v15(k, kind, h.Sum(nil), signature) == nil
			case "PS256", "PS384", "PS512":
				return rsa.VerifyPSS(k, kind, h.Sum(nil), signature, nil) == nil
			}
		}
		return false
	})
}

// all finds every key for every token, so that nothing but the signature decides.
type all []crypto.PublicKey

func (a all) Find(context.Context, string, string) ([]crypto.PublicKey, error) { return a, nil }

// FuzzVerify: no text makes it panic; what is accepted was signed by a listed key,
// as the algorithms' own packages see it, has one form only, and says what was
// asked for; what is refused is refused with one of the errors that are told.
func FuzzVerify(f *testing.F) {
	r := ring()
	keys := set(f, jwks(jwk(r.ec, "ec", ""), jwk(r.ed, "ed", "")))
	listed := all{r.ec.Public(), r.ed.Public()}
	f.Add(forge(ecHeader, claimsText(nil), r.ec, "ES256"))
	f.Add(forge(`{"alg":"EdDSA"}`, claimsText(nil), r.ed, "EdDSA"))
	f.Add(forge(`{"alg":"RS256","kid":"ec"}`, claimsText(nil), r.ed, "EdDSA"))
	for i, h := range append(hostileForms(), hostileClaims()...) {
		if i%5 == 0 { // the tables are tests of their own
			f.Add(h.make())
		}
	}
	byKid := verifier(f, keys, DefaultLeeway, Algorithms()...)
	byAny := verifier(f, listed, DefaultLeeway, Algorithms()...)
	f.Fuzz(func(t *testing.T, text string) {
		issuer, _ := IssuerOf(text)
		for _, v := range []*Verifier{byKid, byAny} {
			claims, err := v.Verify(t.Context(), text, now)
			if err != nil {
				if !errors.Is(err, ErrBad) && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrExpired) {
					t.Fatalf("refused with %v", err)
				}
				if errors.Is(err, ErrExpired) && !naive(text, listed) {
					t.Fatal("said to have expired, and signed by nobody")
				}
				continue
			}
			if !naive(text, listed) {
				t.Fatal("accepted, and signed by nobody")
			}
			if again := canonical(text); again != text {
				t.Fatalf("accepted, and the same token is %q", again)
			}
			if issuer != theIssuer || !claims.Expires.After(now.Add(-DefaultLeeway)) {
				t.Fatalf("accepted of %q until %v", issuer, claims.Expires)
			}
		}
	})
}

// FuzzSigned: whatever a key of the issuer has signed, it is accepted only if a
// plain reading of it says the same: of the issuer, for us, now, of somebody, and
// without a header that would have to be understood.
func FuzzSigned(f *testing.F) {
	v := verifier(f, set(f, ecSet("ec")), DefaultLeeway)
	f.Add([]byte(ecHeader), []byte(claimsText(nil)))
	f.Add([]byte(`{"alg":"ES256"}`), []byte(claimsText(map[string]any{"aud": []string{"a", audience}, "sub": nil, "nbf": now.Unix()})))
	for _, h := range append(hostileForms(), hostileClaims()...) {
		if len(h.header)+len(h.payload) < 500 {
			f.Add([]byte(cmp.Or(h.header, ecHeader)), []byte(cmp.Or(h.payload, claimsText(h.changes))))
		}
	}
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		text := forge(string(header), string(payload), ring().ec, "ES256")
		if _, err := v.Verify(t.Context(), text, now); err != nil {
			return
		}
		var head, said map[string]any
		if json.Unmarshal(header, &head) != nil || json.Unmarshal(payload, &said) != nil {
			t.Fatal("accepted, and no JSON")
		}
		for _, name := range []string{"crit", "b64", "enc", "jwk"} {
			if _, there := head[name]; there {
				t.Fatalf("accepted with %s", name)
			}
		}
		if kid := head["kid"]; head["alg"] != "ES256" || kid != nil && kid != "ec" && kid != "" {
			t.Fatalf("accepted with %v", head)
		}
		aud, _ := said["aud"].([]any)
		if said["iss"] != theIssuer || said["aud"] != audience && said["aud"] != "other" && !slices.Contains(aud, any(audience)) && !slices.Contains(aud, any("other")) {
			t.Fatalf("accepted of %v for %v", said["iss"], said["aud"])
		}
		edge, leeway := float64(now.Unix()), DefaultLeeway.Seconds()
		exp, _ := said["exp"].(float64)
		nbf, _ := said["nbf"].(float64)
		if exp <= edge-leeway || exp > latest || nbf >= edge+leeway+1 {
			t.Fatalf("accepted from %v to %v", nbf, exp)
		}
		if someone := []any{said["sub"], said["client_id"], said["azp"]}; !slices.ContainsFunc(someone, func(v any) bool { s, ok := v.(string); return ok && s != "" }) {
			t.Fatal("accepted of nobody")
		}
	})
}

// canonical writes a token's parts anew.
func canonical(text string) string {
	parts := strings.Split(text, ".")
	for i := range parts {
		part, _ := base64.RawURLEncoding.DecodeString(parts[i])
		parts[i] = b64(part)
	}
	return strings.Join(parts, ".")
}

// TestVerifierAgreesWithANaiveOne: over tokens that are signed by each key in
// each way and then changed in one bit, both say the same.
func TestVerifierAgreesWithANaiveOne(t *testing.T) {
	keys := set(t, published())
	var listed all
	for _, k := range keys.keys {
		listed = append(listed, k.public)
	}
	v := verifier(t, listed, 0, Algorithms()...)
	r := ring()
	accepted := 0
	for _, by := range []struct {
		algorithm string
		key       any
	}{{"ES256", r.ec}, {"ES384", r.ec384}, {"EdDSA", r.ed}, {"RS256", rsaKey()}, {"PS512", rsaKey()}, {"ES256", r.otherEC}, {"RS256", otherRSA()}} {
		good := []byte(forge(`{"alg":"`+by.algorithm+`"}`, claimsText(nil), by.key, by.algorithm))
		for i := -1; i < len(good); i += 41 {
			text := bytes.Clone(good)
			if i >= 0 {
				text[i] = sibling64(text[i])
			}
			_, err := v.Verify(t.Context(), string(text), now)
			if err == nil {
				accepted++
			}
			if want := naive(string(text), listed) && canonical(string(text)) == string(text); (err == nil) != want {
				t.Errorf("%s, letter %d: got %v, the naive one says %v", by.algorithm, i, err, want)
			}
		}
	}
	if accepted != 5 {
		t.Errorf("%d tokens were accepted, want the 5 that were not changed", accepted)
	}
}

// sibling64 is another letter of base64, and dots for what is none.
func sibling64(c byte) byte {
	if c == '.' {
		return 'A'
	}
	return sibling(c)[0]
}

// FuzzMapping: no claims make it panic, and what comes out is what a header
// carries, with our tenant, and our scopes and plans only.
func FuzzMapping(f *testing.F) {
	for _, text := range []string{
		claimsText(nil), claimsText(map[string]any{"org": map[string]any{"id": 7}, "groups": []any{"a", 1, true}, "plan": "gold"}),
		`{"org":{"id":"t\n"},"sub":"u"}`, `{"org":{"id":"t"},"sub":"\ud800"}`, `{"org":{"id":"t"},"sub":"u","scope":["a","b c"]}`, `{"org.id":"t"}`, `[]`, `{"scope":{}}`,
	} {
		f.Add([]byte(text), "org.id", "groups")
		f.Add([]byte(text), "https://orders.example/tenant", `"groups"`)
	}
	ours := []string{"orders:read", "orders:write"}
	f.Fuzz(func(t *testing.T, text []byte, tenant, scopes string) {
		values, err := parseObject(text)
		if err != nil {
			return
		}
		for _, c := range []sallyport.Claims{
			{Tenant: tenant, Scopes: scopes, ScopeMap: map[string]string{"a": ours[0], "b c": ours[1]}, Plan: "plan", PlanMap: map[string]string{"gold": "pro"}},
			{FixedTenant: "acme", User: tenant, Plan: scopes},
		} {
			m, err := NewMapping(c)
			if err != nil {
				continue
			}
			i, err := m.Map(Claims{values: values})
			if err != nil {
				if !errors.Is(err, ErrUnmapped) {
					t.Fatalf("refused with %v", err)
				}
				continue
			}
			if i.Tenant == "" || i.Subject+i.Client == "" || c.FixedTenant != "" && i.Tenant != c.FixedTenant {
				t.Fatalf("nobody's: %+v", i)
			}
			for _, name := range append([]string{i.Tenant, i.Subject, i.Client, i.Plan, i.ID}, i.Scopes...) {
				if bad := strings.IndexFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }); bad >= 0 || len(name) > 256 {
					t.Fatalf("%q cannot be carried", name)
				}
			}
			for n, s := range i.Scopes {
				if strings.ContainsAny(s, " ,") && len(c.ScopeMap) > 0 || strings.Contains(s, " ") || slices.Contains(i.Scopes[:n], s) || len(c.ScopeMap) > 0 && !slices.Contains(ours, s) {
					t.Fatalf("scopes %q", i.Scopes)
				}
			}
			if len(c.PlanMap) > 0 && i.Plan != "" && i.Plan != "pro" {
				t.Fatalf("plan %q", i.Plan)
			}
		}
	})
}

// FuzzParseSet: no set makes it panic, and every key of one that is read is
// public, strong, and good for an algorithm that has no secret.
func FuzzParseSet(f *testing.F) {
	r := ring()
	f.Add([]byte(ecSet("one", "two")))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"` + strings.Repeat("AQAB", 90) + `","e":"AQAB"}]}`))
	f.Add([]byte(jwks(jwk(r.ec, "p", `"d":"AAAA"`), jwk(r.ed, "k", `"key_ops":["verify"]`), jwk(r.ec384, "w", `"use":"enc"`))))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSet(text)
		if err != nil {
			return
		}
		for _, k := range s.keys {
			fit := slices.DeleteFunc(Algorithms(), func(a string) bool { return !fits(k.public, a) })
			if len(fit) == 0 || strings.HasPrefix(fit[0], "HS") || !s.has(k.id) {
				t.Fatalf("key %q is good for %q", k.id, fit)
			}
			if p, ok := k.public.(*rsa.PublicKey); ok && p.N.BitLen() < 2048 {
				t.Fatalf("key %q has %d bits", k.id, p.N.BitLen())
			}
		}
	})
}
