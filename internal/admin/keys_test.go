package admin

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

func TestKeyIsCreatedOnceShown(t *testing.T) {
	s := newServer(t).withTenant()
	made := s.newKey(`{"api":"orders","tenant":"acme","name":"ci","scopes":["read-write","items:read","admin","admin"],
		"environment":"test","expires_at":"90d","allowed_ips":["192.0.2.7","::ffff:192.0.2.7","2001:db8::/32","::ffff:10.0.0.0/104"]}`)
	if got, want := s.take(), []string{"committed create credential", "known", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	secret := made.Secret.Reveal()
	end := now.Truncate(time.Second).Add(90 * day)
	want := Key{
		KeyID: made.KeyID, API: "orders", Tenant: "acme", Kind: "key", Principal: made.KeyID, Name: "ci",
		Scopes: []string{"items:read", "items:write", "admin"}, Roles: []string{}, Environment: "test",
		Prefix: "or_test_", Last4: secret[len(secret)-4:], Masked: "or_test_•••••" + secret[len(secret)-4:],
		State: "active", CreatedAt: now.Truncate(time.Second), ExpiresAt: &end,
		AllowedIPs: []string{"192.0.2.7", "2001:db8::/32", "10.0.0.0/8"}, Overrides: map[string][]string{}, Attributes: map[string]string{},
	}
	if diff := cmp.Diff(want, made.Key); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, call[Key](s, 200, "GET", "/admin/v1/keys/"+made.KeyID, "")); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
	if !regexp.MustCompile(`^key_[0-9A-Za-z]{20}$`).MatchString(made.KeyID) || strings.Contains(secret, made.KeyID[4:]) {
		t.Errorf("key id %q", made.KeyID)
	}
	forms, err := apikey.Compile(s.policy.API("orders").Keys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forms.Parse(secret); err != nil {
		t.Errorf("the key does not parse: %v", err)
	}
	c, err := s.store.Store.(interface {
		ByDigest(context.Context, sallyport.Digest) (*sallyport.Credential, error)
	}).ByDigest(t.Context(), s.hasher.Digest(secret))
	if err != nil {
		t.Fatal(err)
	}
	if c.ID != made.KeyID || c.Principal != c.ID || c.Kind != "key" || c.Access != sallyport.Read || !c.Sandbox {
		t.Errorf("kept %+v", c)
	}
	if fmt.Sprintf("%v %+v %#v %s", made, made, made, made.Secret) == "" || strings.Contains(fmt.Sprintf("%v %+v %#v %s", made, made, made, made.Secret), secret) {
		t.Error("a printed answer shows the key")
	}
}

func TestKeyFormIsChosen(t *testing.T) {
	s := newServer(t).withTenant()
	for _, test := range []struct{ ask, prefix string }{
		{`"api":"orders"`, "or_live_"},
		{`"api":"orders","environment":"live"`, "or_live_"},
		{`"api":"orders","environment":"test"`, "or_test_"},
		{`"api":"orders","prefix":"or_test_"`, "or_test_"},
		{`"api":"orders","prefix":"or_test_","environment":"test"`, "or_test_"},
		{`"api":"parts","name":"x","scopes":["*"],"expires_at":"1y"`, "pa_"},
		{`"api":"parts","environment":"aged","expires_at":"7d"`, "pa_aged_"},
	} {
		if got := s.newKey(`{"tenant":"acme",` + test.ask + `}`); got.Prefix != test.prefix {
			t.Errorf("%s: prefix %s, want %s", test.ask, got.Prefix, test.prefix)
		}
	}
}

func TestBadKeys(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	s.take()
	const labelled = `"api":"parts","tenant":"acme","name":"x","scopes":["*"]`
	for _, test := range []struct {
		body, where, say string
	}{
		{`{"api":"nope","tenant":"acme"}`, "body.api", "use one of orders, parts, bare"},
		{`{"api":"bare","tenant":"acme"}`, "body.api", "has no keys"},
		{`{"api":"orders","tenant":"other"}`, "body.tenant", "create it first"},
		{`{"api":"orders"}`, "body", "required property tenant"},
		{`{"api":"orders","tenant":"acme","scopes":["items:read","items:reed"]}`, "body.scopes[1]", "use one of items:read, items:write, admin, read-write"},
		{`{"api":"orders","tenant":"acme","scopes":[""]}`, "body.scopes[0]", ""},
		{`{"api":"orders","tenant":"acme","scopes":"admin"}`, "body.scopes", "expected array"},
		{`{"api":"orders","tenant":"acme","prefix":"` + key.Secret.Reveal() + `"}`, "body.prefix", "use one of or_live_, or_test_"},
		{`{"api":"orders","tenant":"acme","prefix":"or_live_","environment":"test"}`, "body.environment", `for "live"`},
		{`{"api":"orders","tenant":"acme","environment":"prod"}`, "body.environment", "use one of live, test"},
		{`{"api":"orders","tenant":"acme","expires_at":"soon"}`, "body.expires_at", "write a length from now"},
		{`{"api":"orders","tenant":"acme","expires_at":"2026-03-01"}`, "body.expires_at", "in the past"},
		{`{"api":"orders","tenant":"acme","expires_at":"2026-03-01T12:00:00Z"}`, "body.expires_at", "in the past"},
		{`{"api":"orders","tenant":"acme","expires_at":"9999-01-01"}`, "body.expires_at", "too far away"},
		{`{"api":"orders","tenant":"acme","expires_at":"999999999999d"}`, "body.expires_at", ""},
		{`{"api":"orders","tenant":"acme","expires_at":"0d"}`, "body.expires_at", ""},
		{`{"api":"orders","tenant":"acme","expires_at":"-1d"}`, "body.expires_at", ""},
		{`{"api":"orders","tenant":"acme","allowed_ips":["192.0.2.0/24","192.0.2.0/33"]}`, "body.allowed_ips[1]", "neither an address nor a CIDR"},
		{`{"api":"orders","tenant":"acme","allowed_ips":["192.0.2.1/24"]}`, "body.allowed_ips[0]", "write 192.0.2.0/24"},
		{`{"api":"orders","tenant":"acme","allowed_ips":["fe80::1%eth0"]}`, "body.allowed_ips[0]", "zone"},
		{`{"api":"orders","tenant":"acme","allowed_ips":["::ffff:0:0/90"]}`, "body.allowed_ips[0]", ""},
		{`{"api":"orders","tenant":"acme","name":"a\u001bb"}`, "body.name", "control character"},
		{`{"api":"orders","tenant":"acme","name":"` + strings.Repeat("x", 201) + `"}`, "body.name", "length"},
		{`{"api":"orders","tenant":"acme","state":"active"}`, "body.state", "unexpected property"},
		{`{"api":"orders","tenant":"acme","allowed_ip":["192.0.2.1"]}`, "body.allowed_ip", "unexpected property"},
		{`{"api":"parts","tenant":"acme","scopes":["*"],"expires_at":"1y"}`, "body.name", "required"},
		{`{"api":"parts","tenant":"acme","name":" ","scopes":["*"],"expires_at":"1y"}`, "body.name", "required"},
		{`{"api":"parts","tenant":"acme","name":"x","expires_at":"1y"}`, "body.scopes", "at least 1; use one of *"},
		{`{` + labelled + `}`, "body.expires_at", "required for keys of prefix pa_; use one of 30d, 1y, date"},
		{`{` + labelled + `,"expires_at":"never"}`, "body.expires_at", "required"},
		{`{` + labelled + `,"expires_at":"31d"}`, "body.expires_at", "use one of 30d, 1y, date"},
		{`{"api":"parts","tenant":"acme","prefix":"pa_aged_"}`, "body.expires_at", "live at most 365d"},
		{`{"api":"parts","tenant":"acme","prefix":"pa_aged_","expires_at":"366d"}`, "body.expires_at", "live at most 365d"},
		{`{"api":"parts","tenant":"acme","prefix":"pa_aged_","expires_at":"6d"}`, "body.expires_at", "live at least 7d"},
		{`{"api":"parts","tenant":"acme","prefix":"pa_pat_"}`, "body.user", "is required"},
		{`{"api":"parts","tenant":"acme","prefix":"pa_role_"}`, "body.roles", "need one; use one of auditor"},
	} {
		got := call[problem](s, 422, "POST", "/admin/v1/keys", test.body)
		where, text := details(got)
		if !slices.Contains(where, test.where) || !strings.Contains(text, test.say) || strings.Contains(text, "VALUE") {
			t.Errorf("%s: at %q:\n%swant %s: %s", test.body, where, text, test.where, test.say)
		}
	}
	for _, event := range s.take() {
		if event != "answered" {
			t.Errorf("a bad key: %s", event)
		}
	}
	if n := len(call[KeyList](s, 200, "GET", "/admin/v1/keys", "").Keys); n != 1 {
		t.Errorf("%d keys, want the 1 from before", n)
	}
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	s := newServer(t).withTenant()
	where, _ := details(call[problem](s, 422, "POST", "/admin/v1/keys",
		`{"api":"parts","tenant":"acme","scopes":["a","b"],"expires_at":"x","allowed_ips":["y"]}`))
	want := []string{"body.allowed_ips[0]", "body.expires_at", "body.name", "body.scopes[0]", "body.scopes[1]"}
	if !slices.Equal(where, want) {
		t.Errorf("faults at %q, want %q", where, want)
	}
}

func TestGoodExpiries(t *testing.T) {
	s := newServer(t).withTenant()
	at := func(text string) *time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return &v
	}
	for _, test := range []struct {
		api, expires string
		want         *time.Time
	}{
		{"orders", "", nil},
		{"orders", "never", nil},
		{"orders", "1y", at("2027-03-01T12:00:00Z")},
		{"orders", "36h", at("2026-03-03T00:00:00Z")},
		{"orders", "2026-03-02", at("2026-03-02T00:00:00Z")},
		{"orders", "2026-03-01T14:00:00.9+01:00", at("2026-03-01T13:00:00Z")},
		{"parts", "30d", at("2026-03-31T12:00:00Z")},
		{"parts", "365d", at("2027-03-01T12:00:00Z")}, // the choice 1y in other words
		{"parts", "2030-01-01", at("2030-01-01T00:00:00Z")},
	} {
		got := s.newKey(fmt.Sprintf(`{"api":%q,"tenant":"acme","name":"x","scopes":[%q],"expires_at":%q}`,
			test.api, map[string]string{"orders": "admin", "parts": "*"}[test.api], test.expires)).ExpiresAt
		if (got == nil) != (test.want == nil) || got != nil && !got.Equal(*test.want) {
			t.Errorf("%s %q: %v, want %v", test.api, test.expires, got, test.want)
		}
	}
}

func TestKeyIsChanged(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	path := "/admin/v1/keys/" + key.KeyID
	s.take()
	want := key.Key
	end := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	want.Name, want.Scopes, want.ExpiresAt = "new", []string{"items:read", "items:write"}, &end
	want.AllowedIPs, want.State = []string{"192.0.2.0/24"}, "disabled"
	got := call[Key](s, 200, "PATCH", path, `{"name":"new","scopes":["read-write"],"expires_at":"2027-01-31","allowed_ips":["192.0.2.0/24"],"state":"disabled"}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
	if got, want := s.take(), []string{"committed update credential", "forget credential " + key.KeyID, "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if diff := cmp.Diff(want, call[Key](s, 200, "PATCH", path, `{}`)); diff != "" {
		t.Errorf("an empty change (-want +got):\n%s", diff)
	}
	want.ExpiresAt, want.AllowedIPs, want.State, want.Scopes, want.Name = nil, []string{}, "active", []string{}, ""
	got = call[Key](s, 200, "PATCH", path, `{"name":null,"scopes":null,"expires_at":null,"allowed_ips":null,"state":"active"}`)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lifted (-want +got):\n%s", diff)
	}
}

func TestBadChangesOfKeys(t *testing.T) {
	s := newServer(t).withTenant()
	plain := s.newKey(plainKey).KeyID
	ruled := s.newKey(`{"api":"parts","tenant":"acme","name":"x","scopes":["*"],"expires_at":"30d"}`).KeyID
	aged := s.newKey(`{"api":"parts","tenant":"acme","prefix":"pa_aged_","expires_at":"30d"}`).KeyID
	for _, test := range []struct{ id, body, where string }{
		{plain, `{"scopes":["items:read","nope"]}`, "body.scopes[1]"},
		{plain, `{"state":"revoked"}`, "body.state"},
		{plain, `{"state":"unknown"}`, "body.state"},
		{plain, `{"expires_at":"2020-01-01"}`, "body.expires_at"},
		{plain, `{"allowed_ips":["x"]}`, "body.allowed_ips[0]"},
		{plain, `{"allowed_ips":"192.0.2.1"}`, "body.allowed_ips"},
		{plain, `{"tenant":"other"}`, "body.tenant"},
		{plain, `{"api":"parts"}`, "body.api"},
		{plain, `{"key":"x"}`, "body.key"},
		{ruled, `{"name":""}`, "body.name"},
		{ruled, `{"name":null}`, "body.name"},
		{ruled, `{"scopes":[]}`, "body.scopes"},
		{ruled, `{"expires_at":null}`, "body.expires_at"},
		{ruled, `{"expires_at":"31d"}`, "body.expires_at"},
		{aged, `{"expires_at":"never"}`, "body.expires_at"},
		{aged, `{"expires_at":"366d"}`, "body.expires_at"},
		{aged, `{"expires_at":"1d"}`, "body.expires_at"},
	} {
		before := call[Key](s, 200, "GET", "/admin/v1/keys/"+test.id, "")
		where, text := details(call[problem](s, 422, "PATCH", "/admin/v1/keys/"+test.id, test.body))
		if !slices.Contains(where, test.where) {
			t.Errorf("%s: at %q, want %s\n%s", test.body, where, test.where, text)
		}
		if diff := cmp.Diff(before, call[Key](s, 200, "GET", "/admin/v1/keys/"+test.id, "")); diff != "" {
			t.Errorf("%s changed the key:\n%s", test.body, diff)
		}
	}
	call[problem](s, 404, "PATCH", "/admin/v1/keys/key_nowhere", `{"name":"x"}`)
	call[problem](s, 404, "GET", "/admin/v1/keys/key_nowhere", "")
	call[problem](s, 404, "POST", "/admin/v1/keys/key_nowhere/revoke", "")
	call[problem](s, 405, "DELETE", "/admin/v1/keys/"+plain, "")
	call[problem](s, 404, "GET", "/admin/v1/keys/"+plain+"/nothing", "")
}

func TestAgesCountFromWhenTheKeyWasMade(t *testing.T) {
	c := sallyport.Credential{API: "parts", Prefix: "pa_aged_", State: sallyport.Active, CreatedAt: now}
	later := now.Add(300 * day)
	if err := changeCredential(testPolicy(), &c, KeyChange{ExpiresAt: Some("300d")}, later); err == nil {
		t.Errorf("a key that lives a year at most now lives until %v", c.ExpiresAt)
	}
	if err := changeCredential(testPolicy(), &c, KeyChange{ExpiresAt: Some("1d")}, later); err != nil {
		t.Errorf("a key that has lived long enough may end: %v", err)
	}
}

func TestRevokedIsFinal(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	path := "/admin/v1/keys/" + key.KeyID
	s.take()
	for range 2 {
		if got := call[Key](s, 200, "POST", path+"/revoke", ""); got.State != "revoked" {
			t.Errorf("state %s, want revoked", got.State)
		}
		if got, want := s.take(), []string{"committed update credential", "forget credential " + key.KeyID, "answered"}; !slices.Equal(got, want) {
			t.Errorf("order %q, want %q", got, want)
		}
	}
	for _, change := range []string{`{"state":"active"}`, `{"state":"disabled"}`, `{"expires_at":"1y"}`, `{"name":"x"}`} {
		got := call[problem](s, 409, "PATCH", path, change)
		if !strings.Contains(got.Detail, "final") {
			t.Errorf("%s: %s, want it to say that this is final", change, got.Detail)
		}
	}
	if got := call[Key](s, 200, "GET", path, ""); got.State != "revoked" {
		t.Errorf("state %s, want revoked", got.State)
	}
}

func TestKeyOfAnAPIThatIsGone(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	s.policy = testPolicy()
	s.policy.APIs = s.policy.APIs[1:]
	path := "/admin/v1/keys/" + key.KeyID
	call[problem](s, 422, "PATCH", path, `{"scopes":["admin"]}`)
	call[Key](s, 200, "PATCH", path, `{"state":"disabled","allowed_ips":["192.0.2.1"]}`)
	call[Key](s, 200, "POST", path+"/revoke", "")
}

func TestKeysArePagedAndFiltered(t *testing.T) {
	s := newServer(t).withTenant()
	call[Tenant](s, 201, "POST", "/admin/v1/tenants", `{"api":"orders","id":"other","plan":"free"}`)
	var acme, other []string
	for range 5 {
		acme = append([]string{s.newKey(plainKey).KeyID}, acme...)
	}
	other = append(other, s.newKey(`{"api":"orders","tenant":"other"}`).KeyID)
	call[Key](s, 200, "POST", "/admin/v1/keys/"+acme[2]+"/revoke", "")
	live := slices.Concat(acme[:2], acme[3:])
	for filter, want := range map[string][]string{
		"":                          append(slices.Clone(other), acme...),
		"&api=orders":               append(slices.Clone(other), acme...),
		"&api=orders&tenant=acme":   acme,
		"&tenant=other":             other,
		"&api=parts":                nil,
		"&tenant=acme&state=active": live,
		"&state=revoked":            acme[2:3],
		"&state=disabled":           nil,
	} {
		for size := 1; size <= 7; size++ {
			var got []string
			next := ""
			for pages := 0; pages == 0 || next != ""; pages++ {
				page := call[KeyList](s, 200, "GET", fmt.Sprintf("/admin/v1/keys?limit=%d&after=%s%s", size, next, filter), "")
				for _, k := range page.Keys {
					got = append(got, k.KeyID)
				}
				if next = page.Next; next != "" && len(page.Keys) != size || pages > 10 {
					t.Fatalf("page %d of %d has %d keys", pages, size, len(page.Keys))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d%s: %q, want %q", size, filter, got, want)
			}
		}
	}
	if page := call[KeyList](s, 200, "GET", "/admin/v1/keys?after="+acme[len(acme)-1], ""); len(page.Keys) != 0 || page.Next != "" {
		t.Errorf("beyond the end: %+v", page)
	}
	for query, where := range map[string]string{
		"limit=501": "query.limit", "limit=0": "query.limit", "limit=x": "query.limit",
		"state=gone": "query.state", "after=key_nowhere": "query.after", "secret=x": "query.secret",
	} {
		if got, _ := details(call[problem](s, 422, "GET", "/admin/v1/keys?"+query, "")); !slices.Contains(got, where) {
			t.Errorf("%s: faults at %q, want %s", query, got, where)
		}
	}
}

// A write that fails in the middle may have been made: the caches are told.
func TestCachesAreToldWhenTheStoreFails(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	path := "/admin/v1/keys/" + key.KeyID
	for _, test := range []struct {
		fail   error
		status int
	}{{context.DeadlineExceeded, 503}, {errors.New("disk on fire"), 500}} {
		s.store.fail = fmt.Errorf("update: %w", test.fail)
		for call, want := range map[string]string{
			"POST " + path + "/revoke":            "forget credential " + key.KeyID,
			"PATCH " + path:                       "forget credential " + key.KeyID,
			"PATCH /admin/v1/tenants/orders/acme": "forget tenant orders acme",
			"POST /admin/v1/keys":                 "",
		} {
			s.take()
			method, path, _ := strings.Cut(call, " ")
			body := map[string]string{"PATCH": `{"state":"disabled"}`, "POST": plainKey}[method]
			w := s.serve(s.request(method, path, body))
			if w.Code != test.status || strings.Contains(w.Body.String(), "fire") {
				t.Errorf("%s: %d %s, want %d without the cause", call, w.Code, w.Body, test.status)
			}
			if test.status == 503 && w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: 503 without Retry-After", call)
			}
			if events := s.take(); want != "" && !slices.Contains(events, want) || slices.Contains(events, "known") {
				t.Errorf("%s: %q, want %q", call, events, want)
			}
		}
	}
	if !strings.Contains(s.log.String(), "disk on fire") {
		t.Error("the log does not say why")
	}
}

func TestAWriteGoesOnWithoutItsCaller(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	ctx, leave := context.WithCancel(t.Context())
	s.store.before = leave
	s.take()
	s.serve(s.request("POST", "/admin/v1/keys/"+key.KeyID+"/revoke", "").WithContext(ctx))
	if got, want := s.take()[:2], []string{"committed update credential", "forget credential " + key.KeyID}; !slices.Equal(got, want) {
		t.Errorf("done %q, want %q", got, want)
	}
}

// The canary: the secret stands once in everything that was answered and
// logged, wherever its owner pastes it.
func TestSecretIsShownOnce(t *testing.T) {
	s := newServer(t).withTenant()
	key := s.newKey(plainKey)
	secret := key.Secret.Reveal()
	path := "/admin/v1/keys/" + key.KeyID
	for _, one := range []struct{ method, path, body string }{
		{"GET", path, ""},
		{"GET", "/admin/v1/keys", ""},
		{"PATCH", path, `{"name":"x"}`},
		{"PATCH", path, `{"` + secret + `":1}`},
		{"PATCH", path, `{"state":"` + secret + `"}`},
		{"PATCH", path, `{"expires_at":"` + secret + `"}`},
		{"PATCH", path, `{"scopes":["` + secret + `"]}`},
		{"PATCH", path, `{"allowed_ips":["` + secret + `"]}`},
		{"PATCH", path, `{"name":"` + strings.Repeat(secret, 9) + `"}`},
		{"PATCH", path, secret},
		{"PATCH", path, `{"scopes":"` + secret + `"}`},
		{"POST", "/admin/v1/keys", `{"api":"orders","tenant":"` + secret + `"}`},
		{"POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme","prefix":"` + secret + `"}`},
		{"POST", "/admin/v1/keys", `{"api":"` + secret + `","tenant":"acme"}`},
		{"POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme","environment":"` + secret + `"}`},
		{"GET", "/admin/v1/keys/" + secret, ""},
		{"PATCH", "/admin/v1/keys/" + secret, `{}`},
		{"GET", "/admin/v1/keys?after=" + secret, ""},
		{"GET", "/admin/v1/keys?state=" + secret, ""},
		{"GET", "/admin/v1/keys?" + secret + "=1", ""},
		{"GET", "/admin/" + secret, ""},
		{"GET", "/admin//" + secret, ""},
		{"POST", path + "/revoke", ""},
	} {
		s.serve(s.request(one.method, one.path, one.body))
	}
	s.store.fail = errors.New("disk on fire")
	s.serve(s.request("PATCH", path, `{"name":"y"}`))
	if n := strings.Count(s.shown.String(), secret); n != 1 {
		t.Errorf("the answers show the secret %d times, want once", n)
	}
	if part := secret[:20]; strings.Count(s.shown.String(), part) != 1 {
		t.Errorf("the answers show parts of the secret:\n%s", &s.shown)
	}
	if strings.Contains(s.log.String(), secret) || strings.Contains(s.log.String(), s.token) {
		t.Errorf("the log shows a secret:\n%s", s.log)
	}
}
