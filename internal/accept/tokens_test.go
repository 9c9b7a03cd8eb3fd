package accept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/issuer"
	"github.com/sallyport/sallyport/internal/testenv"
)

// tenants are those of the API orders; asked says that the store fails.
type tenants struct{ err error }

func (s tenants) Tenant(_ context.Context, api, id string) (*sallyport.Tenant, error) {
	if s.err != nil {
		return nil, s.err
	}
	if api != "orders" || id != "acme" && id != "globex" {
		return nil, fmt.Errorf("tenant %s: %w", id, sallyport.ErrNotFound)
	}
	return &sallyport.Tenant{ID: id, API: api, State: sallyport.Active}, nil
}

// own is the verifier of our own tokens: it knows none, and says that it was asked.
type own struct{ asked atomic.Int64 }

func (o *own) Verify(context.Context, *sallyport.API, string) (*sallyport.Credential, time.Time, error) {
	o.asked.Add(1)
	return nil, time.Time{}, sallyport.ErrNotFound
}

// fixture is Tokens with what they rest on.
type fixture struct {
	*Tokens
	own     *own
	log     *bytes.Buffer
	changed atomic.Int64
	api     *sallyport.API
}

func newFixture(t *testing.T, issuers ...sallyport.Issuer) *fixture {
	t.Helper()
	f := &fixture{own: &own{}, log: &bytes.Buffer{}, api: &sallyport.API{Name: "orders", Plans: []string{"gold"}, Issuers: issuers}}
	f.Tokens = NewTokens(Options{
		Own: f.own, Tenants: tenants{}, Changed: func(string) { f.changed.Add(1) },
		Secret: func(p sallyport.SecretPlace) (apikey.Secret, error) {
			if p.Env != "GATE_SECRET" {
				return apikey.Secret{}, errors.New("no such secret")
			}
			return apikey.NewSecret(testenv.IssuerSecret), nil
		},
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	t.Cleanup(f.Close)
	f.enforce(t, f.api)
	return f
}

func (f *fixture) enforce(t *testing.T, api *sallyport.API) {
	t.Helper()
	commit, _, err := f.Prepare(&sallyport.Policy{APIs: []*sallyport.API{api}})
	if err != nil {
		t.Fatal(err)
	}
	commit()
	f.api = api
}

// ofJWTs is how the API accepts the JWTs of i.
func ofJWTs(i *testenv.Issuer) sallyport.Issuer {
	return sallyport.Issuer{
		URL: i.URL, Keys: i.URL + "/keys", CA: i.CA, Audience: []string{"api"},
		Claims: sallyport.Claims{Tenant: "org", Plan: "tier", PlanMap: map[string]string{"vip": "gold", "basic": "lead"}, ScopeMap: map[string]string{"r": "orders:read"}},
	}
}

func ofOpaque(i *testenv.Issuer) sallyport.Issuer {
	return sallyport.Issuer{
		URL: i.URL, CA: i.CA, Claims: sallyport.Claims{FixedTenant: "acme"},
		Introspect: &sallyport.Introspect{URL: i.URL + "/introspect", Client: testenv.IssuerClient, Secret: sallyport.SecretPlace{Env: "GATE_SECRET"}, Keep: time.Minute},
	}
}

// What a token says becomes a credential of the tenant that it names.
func TestTokenOfAnIssuerBecomesACredential(t *testing.T) {
	is := testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(is))
	end := time.Now().Add(time.Minute).Truncate(time.Second)
	c, until, err := f.Verify(t.Context(), f.api, is.JWT(map[string]any{
		"org": "globex", "scope": "r w", "tier": "vip", "jti": "7", "exp": end.Unix(), "azp": "app",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Tenant.ID != "globex" || c.Principal != "ann" || c.ID != is.URL+"#ann" || fmt.Sprint(c.Scopes) != "[orders:read]" || c.Plan != "gold" ||
		c.Kind != sallyport.KindToken || c.State != sallyport.Active || c.API != "orders" || c.Token.ID != is.URL+"#7" || c.Token.Client != "app" {
		t.Errorf("got %+v", c)
	}
	if !c.ExpiresAt.Equal(end) || !until.Equal(end) {
		t.Errorf("ends at %v, is remembered until %v, want %v", c.ExpiresAt, until, end)
	}
	c, _, err = f.Verify(t.Context(), f.api, is.JWT(map[string]any{"org": "acme", "tier": "basic", "sub": nil, "client_id": "robot"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Principal != "robot" || c.ID != is.URL+"#client:robot" || c.Scopes != nil || c.Plan != "" {
		t.Errorf("a client's: got %+v", c)
	}
}

func TestTokensThatAreRefused(t *testing.T) {
	is, other := testenv.NewIssuer(t), testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(is))
	for name, text := range map[string]string{
		"of no tenant":          is.JWT(nil),
		"of a foreign tenant":   is.JWT(map[string]any{"org": "initech"}),
		"for another audience":  is.JWT(map[string]any{"org": "acme", "aud": "elsewhere"}),
		"signed by another":     other.JWT(map[string]any{"org": "acme", "iss": is.URL}),
		"of an unlisted issuer": other.JWT(map[string]any{"org": "acme"}),
		"not begun":             is.JWT(map[string]any{"org": "acme", "nbf": time.Now().Add(time.Hour).Unix()}),
		"opaque":                "3f1c",
	} {
		if c, _, err := f.Verify(t.Context(), f.api, text); !errors.Is(err, sallyport.ErrNotFound) || c != nil {
			t.Errorf("%s: got %+v, %v", name, c, err)
		}
	}
	if n := f.own.asked.Load(); n != 1 {
		t.Errorf("our own verifier was asked %d times, want once: about the unlisted issuer's", n)
	}
	// One that has expired says whose it was.
	c, _, err := f.Verify(t.Context(), f.api, is.JWT(map[string]any{"org": "acme", "exp": time.Now().Add(-time.Hour).Unix()}))
	if err != nil || !c.Expired(time.Now()) || c.Principal != "ann" {
		t.Errorf("expired: got %+v, %v", c, err)
	}
}

// A store that fails is no wrong token.
func TestStoreThatFailsIsNotTheTokensFault(t *testing.T) {
	is := testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(is))
	f.o.Tenants = tenants{errors.New("disk full")}
	_, _, err := f.Verify(t.Context(), f.api, is.JWT(map[string]any{"org": "acme"}))
	if err == nil || errors.Is(err, sallyport.ErrNotFound) || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
}

// An opaque token is shown to those who must be asked, in turn.
func TestOpaqueTokensAreAskedAbout(t *testing.T) {
	jwts, first, second := testenv.NewIssuer(t), testenv.NewIssuer(t), testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(jwts), ofOpaque(first), ofOpaque(second))
	second.Opaque("3f1c", map[string]any{"scope": "orders:read", "exp": time.Now().Add(30 * time.Second).Unix()})
	c, until, err := f.Verify(t.Context(), f.api, "3f1c")
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != second.URL+"#ann" || c.Tenant.ID != "acme" || fmt.Sprint(c.Scopes) != "[orders:read]" {
		t.Errorf("got %+v", c)
	}
	if left := time.Until(until); left > 30*time.Second {
		t.Errorf("remembered for %v, longer than it lives", left)
	}
	if first.Asked() != 1 || second.Asked() != 1 {
		t.Errorf("asked %d and %d times", first.Asked(), second.Asked())
	}
	second.Opaque("3f1c", nil)
	if _, _, err := f.Verify(t.Context(), f.api, "3f1c"); !errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("revoked: got %v", err)
	}
	// Where one cannot be asked, nobody knows; where another knows it, that is enough.
	first.SetDown(true)
	if _, _, err := f.Verify(t.Context(), f.api, "3f1c"); !errors.Is(err, sallyport.ErrIssuerDown) {
		t.Errorf("one is down: got %v", err)
	}
	second.Opaque("77aa", map[string]any{})
	if c, _, err := f.Verify(t.Context(), f.api, "77aa"); err != nil || c.ID != second.URL+"#ann" {
		t.Errorf("one is down, the other knows it: got %+v, %v", c, err)
	}
	// A JWT of somebody else's is shown to nobody.
	before := first.Asked() + second.Asked()
	if _, _, err := f.Verify(t.Context(), f.api, testenv.NewIssuer(t).JWT(nil)); !errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("a stranger's JWT: got %v", err)
	}
	if got := first.Asked() + second.Asked(); got != before {
		t.Errorf("a stranger's JWT was shown to %d", got-before)
	}
}

// An issuer that is down leaves what is known of it good, and is our failure before
// anything is.
func TestOutage(t *testing.T) {
	is := testenv.NewIssuer(t)
	is.SetDown(true)
	f := newFixture(t, ofJWTs(is))
	token := is.JWT(map[string]any{"org": "acme"})
	if _, _, err := f.Verify(t.Context(), f.api, token); !errors.Is(err, sallyport.ErrIssuerDown) || !errors.Is(err, issuer.ErrUnreachable) {
		t.Fatalf("before its keys are known: got %v", err)
	}
	known := testenv.NewIssuer(t)
	f = newFixture(t, ofJWTs(known))
	token = known.JWT(map[string]any{"org": "acme"})
	for _, down := range []bool{false, true} {
		known.SetDown(down)
		if _, _, err := f.Verify(t.Context(), f.api, token); err != nil {
			t.Errorf("down %v: %v", down, err)
		}
	}
}

// A reload keeps what stays as it is, with the keys that it knows, and ends the rest.
func TestReloadKeepsWhatStays(t *testing.T) {
	stays, goes := testenv.NewIssuer(t), testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(stays), ofJWTs(goes))
	token, gone := stays.JWT(map[string]any{"org": "acme"}), goes.JWT(map[string]any{"org": "acme"})
	for _, text := range []string{token, gone} {
		if _, _, err := f.Verify(t.Context(), f.api, text); err != nil {
			t.Fatal(err)
		}
	}
	stays.SetDown(true)
	f.enforce(t, &sallyport.API{Name: "orders", Issuers: []sallyport.Issuer{ofJWTs(stays)}})
	if _, _, err := f.Verify(t.Context(), f.api, token); err != nil {
		t.Errorf("what stays: %v", err)
	}
	if _, _, err := f.Verify(t.Context(), f.api, gone); !errors.Is(err, sallyport.ErrNotFound) {
		t.Errorf("what is gone: got %v", err)
	}
	changed := ofJWTs(stays)
	changed.Audience = []string{"other"}
	f.enforce(t, &sallyport.API{Name: "orders", Issuers: []sallyport.Issuer{changed}})
	if _, _, err := f.Verify(t.Context(), f.api, token); err == nil {
		t.Error("another audience: the token is good still")
	}
}

// What cannot be set up leaves everything as it was.
func TestPrepareRefuses(t *testing.T) {
	is := testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(is))
	token := is.JWT(map[string]any{"org": "acme"})
	noCA, noSecret, noTenant := ofJWTs(is), ofOpaque(is), ofJWTs(is)
	noCA.CA += ".nowhere"
	noSecret.Introspect = &sallyport.Introspect{URL: is.URL, Client: "gate"}
	noTenant.Claims = sallyport.Claims{}
	for want, bad := range map[string]sallyport.Issuer{"ca: ": noCA, "introspection.secret: ": noSecret, "tenant": noTenant} {
		_, _, err := f.Prepare(&sallyport.Policy{APIs: []*sallyport.API{{Name: "orders", Issuers: []sallyport.Issuer{ofJWTs(is), bad}}}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "apis.orders: issuer "+is.URL) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	_, abandon, err := f.Prepare(&sallyport.Policy{})
	if err != nil {
		t.Fatal(err)
	}
	abandon()
	if _, _, err := f.Verify(t.Context(), f.api, token); err != nil {
		t.Error(err)
	}
}

// A key that is taken back makes what it signed be verified anew.
func TestWithdrawnKeyIsTold(t *testing.T) {
	f := newFixture(t)
	for withdrawn, want := range map[bool]int64{false: 0, true: 1} {
		f.changed.Store(0)
		f.Tokens.changed(&source{Issuer: &sallyport.Issuer{}, api: "orders"}, issuer.State{Usable: true, Withdrawn: withdrawn})
		if got := f.changed.Load(); got != want {
			t.Errorf("withdrawn %v: told %d times", withdrawn, got)
		}
	}
}

// Why tokens are refused is told once a minute for each reason, whatever strangers send.
func TestRefusalsAreToldAndBounded(t *testing.T) {
	is := testenv.NewIssuer(t)
	f := newFixture(t, ofJWTs(is))
	now := time.Now()
	f.o.Now, f.o.Log = func() time.Time { return now }, slog.New(slog.NewTextHandler(f.log, nil))
	told := func() int { return strings.Count(f.log.String(), "msg=") }
	for range 3 {
		f.tell("orders", (*f.current.Load())["orders"][0], errInactive)
	}
	if told() != 1 {
		t.Errorf("told %d times:\n%s", told(), f.log)
	}
	now = now.Add(tellEvery)
	f.tell("orders", (*f.current.Load())["orders"][0], errInactive)
	if told() != 2 {
		t.Errorf("a minute later: told %d times", told())
	}
	for i := range 3 * maxRefused {
		f.tell("orders", (*f.current.Load())["orders"][0], fmt.Errorf("%d", i))
	}
	if n := len(f.refused.told); n > maxRefused {
		t.Errorf("%d reasons are remembered", n)
	}
}
