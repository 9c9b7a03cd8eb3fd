package testenv

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// code is what an Issuer has sent a user back with.
type code struct{ challenge, redirect, nonce string }

// SignsIn makes ID tokens say claims, besides the usual ones; one that is nil is left
// out. Without claims nobody is signed in: users come back with access_denied.
func (i *Issuer) SignsIn(claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.says = claims
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.enter(w) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer": %[1]q, "authorization_endpoint": "%[1]s/authorize", "token_endpoint": "%[1]s/token", "jwks_uri": "%[1]s/keys",
			"response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["EdDSA"]}`, i.URL)
	}
}

func (i *Issuer) authorize(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.enter(w) {
		return
	}
	q := r.URL.Query()
	back := url.Values{"state": {q.Get("state")}, "iss": {i.URL}}
	switch {
	case q.Get("client_id") != IssuerClient || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || !strings.Contains(q.Get("scope"), "openid"):
		w.WriteHeader(http.StatusBadRequest)
		return
	case i.says == nil:
		back.Set("error", "access_denied")
	default:
		name := fmt.Sprintf("code-%d", len(i.codes))
		i.codes[name] = code{q.Get("code_challenge"), q.Get("redirect_uri"), q.Get("nonce")}
		back.Set("code", name)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	up := i.enter(w)
	c, known := i.codes[r.PostFormValue("code")]
	delete(i.codes, r.PostFormValue("code"))
	says := maps.Clone(i.says)
	i.mu.Unlock()
	if !up {
		return
	}
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	client, secret, _ := r.BasicAuth()
	w.Header().Set("Content-Type", "application/json")
	if !known || client != IssuerClient || secret != issuerSecretEncoded || r.PostFormValue("redirect_uri") != c.redirect ||
		base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error": "invalid_grant"}`)
		return
	}
	claims := map[string]any{"aud": IssuerClient, "nonce": c.nonce, "iat": 1_700_000_000}
	maps.Copy(claims, says)
	if err := json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": i.JWT(claims)}); err != nil {
		panic(http.ErrAbortHandler)
	}
}
