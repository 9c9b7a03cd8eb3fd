package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

func TestNothingIsServedWithoutAToken(t *testing.T) {
	s := newServer(t)
	other, err := apikey.Generate(TokenPrefix)
	if err != nil {
		t.Fatal(err)
	}
	last := s.token[len(s.token)-1:]
	for _, header := range [][]string{
		nil,
		{""},
		{"Bearer"},
		{"Bearer "},
		{s.token},
		{"Basic " + s.token},
		{"Bearer " + other.Reveal()},
		{"Bearer " + strings.TrimSuffix(s.token, last)},
		{"Bearer " + s.token + last},
		{"Bearer " + s.token + " x"},
		{"Bearer " + strings.Repeat("x", 10_000)},
		{"Bearer " + s.token, "Bearer " + s.token},
	} {
		for _, target := range []string{
			"GET /admin/v1/status", "GET /admin/v1/keys", "POST /admin/v1/keys", "PATCH /admin/v1/keys/key_1",
			"GET /admin/openapi.json", "GET /admin/docs", "GET /admin/nowhere", "PUT /admin/v1/keys", "GET /admin//v1",
		} {
			method, path, _ := strings.Cut(target, " ")
			r := s.request(method, path, `{"api":"orders"}`)
			r.Header["Authorization"] = header
			w := s.serve(r)
			if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s with %.60q: %d, WWW-Authenticate %q; want 401", target, header, w.Code, w.Header().Get("WWW-Authenticate"))
			}
			if strings.Contains(w.Body.String(), "orders") {
				t.Errorf("%s told a stranger %s", target, w.Body)
			}
		}
	}
	if events := s.take(); strings.Contains(strings.Join(events, ","), "committed") {
		t.Errorf("a stranger's calls did %q", events)
	}
}

func TestTokenSchemeIgnoresCase(t *testing.T) {
	s := newServer(t)
	r := s.request("GET", "/admin/v1/status", "")
	r.Header.Set("Authorization", "bearer  "+s.token)
	if w := s.serve(r); w.Code != 200 {
		t.Errorf("status %d %s, want 200", w.Code, w.Body)
	}
}

func TestTokenFromFile(t *testing.T) {
	s := newServer(t)
	const own = "an-operators-own-token"
	o := s.options()
	o.Token = apikey.NewSecret(own)
	var err error
	if s.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{own, s.token} {
		s.token = token
		call[Status](s, 200, "GET", "/admin/v1/status", "")
	}
	s.token = own + "x"
	call[problem](s, 401, "GET", "/admin/v1/status", "")

	for _, bad := range []string{"short", strings.Repeat("x", 513), "sixteen and spaces", "sixteen-and-näher"} {
		o.Token = apikey.NewSecret(bad)
		if _, err := New(o); err == nil || strings.Contains(err.Error(), bad) {
			t.Errorf("New with the token %.20q: %v, want an error that does not quote it", bad, err)
		}
		if _, _, err := EnsureToken(t.Context(), s.store, s.hasher, bad); err == nil {
			t.Errorf("EnsureToken took the token %.20q", bad)
		}
	}
	if _, err := New(Options{}); err == nil {
		t.Error("New took no options")
	}
}

func TestEnsureTokenMakesOne(t *testing.T) {
	s := newServer(t) // which made the first
	shown, made, err := EnsureToken(t.Context(), s.store, s.hasher, "")
	if made || err != nil || shown.Reveal() != "" {
		t.Errorf("the second EnsureToken: %q, made %v, %v; want none", shown.Reveal(), made, err)
	}
	if !strings.HasPrefix(s.token, TokenPrefix) {
		t.Errorf("the token does not begin with %s", TokenPrefix)
	}
	broken := brokenTokens{s.store, errors.New("disk")}
	if shown, made, err := EnsureToken(t.Context(), broken, s.hasher, ""); err == nil || made || shown.Reveal() != "" {
		t.Errorf("with a broken store: made %v, %v; want an error and no token", made, err)
	}
	if _, made, err := EnsureToken(t.Context(), broken, s.hasher, "an-operators-own-token"); made || err != nil {
		t.Errorf("with the operator's own token: made %v, %v; want none, and no look at the store", made, err)
	}
}

func TestTokensOutliveAChangeOfPepper(t *testing.T) {
	s := newServer(t)
	parse := func(text string, version int) apikey.Pepper {
		p, err := apikey.ParsePepper([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p.WithVersion(version)
	}
	hasher, err := apikey.NewHasher(parse(strings.Repeat("new!", 10), 2), parse("0123456789abcdefghijklmnopqrstuvwxyz!b", 1))
	if err != nil {
		t.Fatal(err)
	}
	s.hasher = hasher
	if s.handler, err = New(s.options()); err != nil {
		t.Fatal(err)
	}
	call[Status](s, 200, "GET", "/admin/v1/status", "")
}

// brokenTokens is a store that finds no token because it finds nothing.
type brokenTokens struct {
	Store
	err error
}

func (b brokenTokens) AdminTokenByDigest(context.Context, sallyport.Digest) (*sallyport.AdminToken, error) {
	return nil, b.err
}
func (b brokenTokens) CountAdminTokens(context.Context) (int, error) { return 0, b.err }

func TestAStoreThatFailsLetsNobodyIn(t *testing.T) {
	s := newServer(t)
	o := s.options()
	o.Store = brokenTokens{s.store, errors.New("disk on fire")}
	var err error
	if s.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	w := s.serve(s.request("GET", "/admin/v1/status", ""))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "fire") {
		t.Errorf("answer %d %v %s, want 503 with Retry-After and no cause", w.Code, w.Header(), w.Body)
	}
	if !strings.Contains(s.log.String(), "disk on fire") {
		t.Errorf("the log does not say why: %s", s.log)
	}
}
