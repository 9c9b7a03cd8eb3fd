package testenv

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// Issuer stands in for an outside issuer of tokens, over TLS: it publishes keys at
// /keys, answers questions about opaque tokens at /introspect, and is an OpenID
// provider at which everybody is signed in at once. It is for what no real one can
// be made to do: to go down, to take keys back, and to say what is not so.
type Issuer struct {
	URL string
	CA  string // file of the certificate that it proves itself with

	mu     sync.Mutex
	kid    int
	key    ed25519.PrivateKey
	opaque map[string]map[string]any
	codes  map[string]code
	says   map[string]any // of an ID token, besides the usual
	down   bool
	asked  int
}

// The client that may ask an Issuer about tokens, and its secret.
const (
	IssuerClient = "gate"
	IssuerSecret = "not for others: 1+1=2"

	issuerSecretEncoded = "not+for+others%3A+1%2B1%3D2" // as RFC 6749 §2.3.1 sends it
)

// NewIssuer starts an Issuer, which ends with t.
func NewIssuer(t *testing.T) *Issuer {
	t.Helper()
	i := &Issuer{opaque: map[string]map[string]any{}, codes: map[string]code{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /keys", i.keys)
	mux.HandleFunc("POST /introspect", i.introspect)
	mux.HandleFunc("GET /.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET /authorize", i.authorize)
	mux.HandleFunc("POST /token", i.token)
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	i.URL, i.CA = server.URL, filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(i.CA, text, 0o600); err != nil {
		t.Fatal(err)
	}
	i.Rotate()
	return i
}

// Rotate replaces the key: the one before is not published any more.
func (i *Issuer) Rotate() {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.kid, i.key = i.kid+1, key
}

// SetDown makes the issuer answer 503, or answer again.
func (i *Issuer) SetDown(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Asked returns how many requests came.
func (i *Issuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// JWT returns a token that says claims, beside the usual ones, for an hour. A claim
// that is nil is left out.
func (i *Issuer) JWT(claims map[string]any) string {
	all := map[string]any{"iss": i.URL, "aud": "api", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	i.mu.Lock()
	defer i.mu.Unlock()
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(map[string]any{"alg": "EdDSA", "kid": i.id()}) + "." + part(all)
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(i.key, []byte(signed)))
}

func (i *Issuer) id() string { return fmt.Sprintf("key-%d", i.kid) }

// Opaque makes token stand for claims; nil ends it.
func (i *Issuer) Opaque(token string, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.opaque[token] = claims
}

// enter counts a request, and answers it where the issuer is down.
func (i *Issuer) enter(w http.ResponseWriter) bool {
	i.asked++
	if i.down {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	return !i.down
}

func (i *Issuer) keys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.enter(w) {
		fmt.Fprint(w, i.keySet())
	}
}

// KeySet returns the keys that are published, as a JWK set.
func (i *Issuer) KeySet() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keySet()
}

func (i *Issuer) keySet() string {
	public := base64.RawURLEncoding.EncodeToString(i.key.Public().(ed25519.PublicKey))
	return fmt.Sprintf(`{"keys": [{"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": %q, "x": %q}]}`, i.id(), public)
}

func (i *Issuer) introspect(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.enter(w) {
		return
	}
	if client, secret, ok := r.BasicAuth(); !ok || client != IssuerClient || secret != issuerSecretEncoded {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answer := map[string]any{"active": false}
	if claims := i.opaque[r.PostFormValue("token")]; claims != nil {
		answer = map[string]any{"active": true, "sub": "ann"}
		maps.Copy(answer, claims)
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(http.ErrAbortHandler)
	}
}
