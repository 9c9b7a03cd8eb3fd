package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
)

func sumOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// imports sends keys, each the fields beside API and tenant.
func imports(keys ...string) string {
	for i, k := range keys {
		keys[i] = strings.TrimSuffix(`{"api":"orders","tenant":"acme",`+k, ",") + "}"
	}
	return `{"keys":[` + strings.Join(keys, ",") + `]}`
}

const legacy = "or_live_abc-DEF.123/456=789"

func TestKeysAreImported(t *testing.T) {
	s, _ := newServer(t).withUser()
	ours, err := apikey.Generate("or_test_")
	if err != nil {
		t.Fatal(err)
	}
	hidden := "or_test_0123456789"
	body := imports(
		`"key":"`+legacy+`","key_id":"old-1","name":"shop","scopes":["read-write"],"expires_at":"2027-01-31"`,
		`"key":"`+ours.Reveal()+`","roles":["reader"]`,
		`"sha256":"`+strings.ToUpper(sumOf(hidden))+`","last4":"6789","environment":"test","allowed_ips":["192.0.2.7"]`,
		`"key":"or_pat_of-ann-1234","user":"ann"`,
	)
	got := call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", body)
	if got.Imported != 4 || got.Existed != 0 || got.Keys[0].KeyID != "old-1" || got.Keys[3].Existed {
		t.Errorf("imported %+v", got)
	}
	if got, want := s.take(), []string{"committed import credentials", "unchecked orders or_live_", "known", "known",
		"unchecked orders or_test_", "known", "unchecked orders or_pat_", "known", "answered"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	for secret, want := range map[string]struct {
		unchecked       bool
		prefix, last4   string
		principal, kind string
	}{
		legacy:               {true, "or_live_", "=789", "old-1", "key"},
		ours.Reveal():        {false, "or_test_", ours.Last4(), got.Keys[1].KeyID, "key"},
		hidden:               {true, "or_test_", "6789", got.Keys[2].KeyID, "key"},
		"or_pat_of-ann-1234": {true, "or_pat_", "1234", "ann", "pat"},
	} {
		c := s.find(secret)
		if c == nil || c.Unchecked != want.unchecked || c.Prefix != want.prefix || c.Last4 != want.last4 || c.Principal != want.principal || c.Kind != want.kind {
			t.Errorf("the key of prefix %s is kept as %+v, want %+v", want.prefix, c, want)
		}
	}
	again := call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", body)
	if again.Imported != 0 || again.Existed != 4 || again.Keys[1].KeyID != got.Keys[1].KeyID {
		t.Errorf("sent again: %+v", again)
	}
	for _, secret := range []string{legacy, ours.Reveal(), hidden, "of-ann"} {
		if strings.Contains(s.shown.String(), secret) || strings.Contains(s.log.String(), secret) {
			t.Error("an imported key was shown")
		}
	}
}

func TestBadImports(t *testing.T) {
	s := newServer(t).withTenant()
	call[Tenant](s, 201, "POST", "/admin/v1/tenants", `{"api":"orders","id":"other","plan":"free"}`)
	call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", imports(
		`"key":"or_live_there-already","key_id":"taken"`, `"key":"or_only_there-already","name":"shop"`))
	const good = `"key":"or_live_12345678"`
	s.take()
	for _, test := range []struct {
		body       string
		status     int
		where, say string
	}{
		{imports(good, `"name":"x"`), 422, "body.keys[1].key", "not both"},
		{imports(`"key":"x","sha256":"` + sumOf("x") + `"`), 422, "body.keys[0].key", "not both"},
		{imports(`"key":"or_prod_12345678"`), 422, "body.keys[0].key", "use one of or_live_, or_test_"},
		{imports(`"key":"or_live_1234567"`), 422, "body.keys[0].key", "8 to 256"},
		{imports(`"key":"or_live_` + strings.Repeat("x", 257) + `"`), 422, "body.keys[0].key", "8 to 256"},
		{imports(`"key":"or_live_1234 5678"`), 422, "body.keys[0].key", "cannot stand in a header"},
		{imports(`"key":"or_live_12345678","prefix":"or_test_"`), 422, "body.keys[0].prefix", "or_live_"},
		{imports(`"key":"or_live_12345678","environment":"test"`), 422, "body.keys[0].environment", ""},
		{imports(`"key":"or_live_12345678","last4":"5678"`), 422, "body.keys[0].last4", "sha256"},
		{imports(`"sha256":"abc"`), 422, "body.keys[0].sha256", "64 hex digits"},
		{imports(`"sha256":"` + strings.Repeat("x", 64) + `"`), 422, "body.keys[0].sha256", "64 hex digits"},
		{imports(`"sha256":"` + sumOf("x") + `","last4":"12345"`), 422, "body.keys[0].last4", "four"},
		{imports(good, `"key":"or_live_87654321","expires_at":"2020-01-01"`), 422, "body.keys[1].expires_at", "in the past"},
		{imports(good + `,"allowed_ips":["192.0.2.0/33"]`), 422, "body.keys[0].allowed_ips[0]", "CIDR"},
		{imports(good + `,"scopes":["nope"]`), 422, "body.keys[0].scopes[0]", "use one of"},
		{imports(good + `,"key_id":"a b"`), 422, "body.keys[0].key_id", "letters"},
		{imports(good + `,"key_id":"` + strings.Repeat("x", 65) + `"`), 422, "body.keys[0].key_id", "at most 64"},
		{imports(good + `,"colour":"red"`), 422, "body.keys[0].colour", "unexpected"},
		{imports(good, good), 422, "body.keys[1]", "same key as keys[0]"},
		{imports(`"key":"or_pat_12345678"`), 422, "body.keys[0].user", "required"},
		{imports(`"key":"or_only_12345678"`), 422, "body.keys[0].name", "required"},
		{`{"keys":[{"api":"nope","tenant":"acme",` + good + `}]}`, 422, "body.keys[0].api", "use one of orders"},
		{`{"keys":[{"api":"orders","tenant":"nobody",` + good + `}]}`, 422, "body.keys[0].tenant", "create it first"},
		{`{"keys":[]}`, 422, "body.keys", ""},
		{`{"keys":[` + strings.TrimSuffix(strings.Repeat(`{"api":"a","tenant":"b"},`, 1001), ",") + `]}`, 422, "body.keys", ""},
		{`{"keys":`, 400, "body", ""},
		{imports(good, `"key":"or_live_87654321","key_id":"taken"`), 409, "body.keys[1]", "key_id"},
		{imports(good, `"key":"or_only_12345678","name":"shop"`), 409, "body.keys[1]", "label"},
		{`{"keys":[{"api":"orders","tenant":"other","key":"or_live_there-already"}]}`, 409, "body.keys[0]", "secret"},
	} {
		where, text := details(call[problem](s, test.status, "POST", "/admin/v1/keys/import", test.body))
		if !slices.Contains(where, test.where) || !strings.Contains(text, test.say) || strings.Contains(text, "VALUE") {
			t.Errorf("%.200s: at %q:\n%swant %s: %s", test.body, where, text, test.where, test.say)
		}
	}
	if events := strings.Join(s.take(), ","); strings.Contains(events, "committed") || strings.Contains(events, "unchecked") {
		t.Errorf("bad imports did %s", events)
	}
	if s.find("or_live_12345678") != nil {
		t.Error("half an import was kept")
	}
	if strings.Contains(s.shown.String(), "12345678") {
		t.Error("an answer repeats a key")
	}
	s.store.fail = errors.New("disk on fire")
	call[problem](s, 500, "POST", "/admin/v1/keys/import", imports(good))
}

func TestAnImportTellsNotTooManyFaults(t *testing.T) {
	s := newServer(t).withTenant()
	var keys []string
	for i := range 1000 {
		keys = append(keys, fmt.Sprintf(`"key":"or_live_%08d","scopes":["nope"]`, i))
	}
	got := call[problem](s, 422, "POST", "/admin/v1/keys/import", imports(keys...))
	if n := len(got.Errors); n != maxFaults {
		t.Errorf("%d faults, want %d", n, maxFaults)
	}
	call[problem](s, 413, "POST", "/admin/v1/keys/import", imports(`"key":"`+strings.Repeat("x", maxBody)+`"`))
}

// Rules about what may be asked for were kept when the key was made: those that
// are left are about what it may be.
func TestOldKeysKeepTheirEnds(t *testing.T) {
	s := newServer(t).withTenant()
	for keys, status := range map[string]int{
		`{"api":"parts","tenant":"acme","key":"pa_aged_12345678","expires_at":"1d"}`:                              200, // lives a week at least
		`{"api":"parts","tenant":"acme","key":"pa_aged_12345679","expires_at":"366d"}`:                            422,
		`{"api":"parts","tenant":"acme","key":"pa_12345678","name":"x","scopes":["*"],"expires_at":"2027-01-01"}`: 200,
		`{"api":"parts","tenant":"acme","key":"pa_12345679","name":"x","scopes":["*"]}`:                           422,
	} {
		if w := s.serve(s.request("POST", "/admin/v1/keys/import", `{"keys":[`+keys+`]}`)); w.Code != status {
			t.Errorf("%s: %d %s, want %d", keys, w.Code, w.Body, status)
		}
	}
}

// A key that is kept under an older pepper is the same key.
func TestAnImportKnowsKeysOfOlderPeppers(t *testing.T) {
	s := newServer(t).withTenant()
	call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", imports(`"key":"`+legacy+`","key_id":"old"`))
	pepper := func(text string, version int) apikey.Pepper {
		p, err := apikey.ParsePepper([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p.WithVersion(version)
	}
	var err error
	if s.hasher, err = apikey.NewHasher(pepper(strings.Repeat("new!", 10), 2), pepper("0123456789abcdefghijklmnopqrstuvwxyz!b", 1)); err != nil {
		t.Fatal(err)
	}
	if s.handler, err = New(s.options()); err != nil {
		t.Fatal(err)
	}
	got := call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", imports(`"sha256":"`+sumOf(legacy)+`"`, `"key":"or_live_a-new-one"`))
	if got.Existed != 1 || got.Keys[0].KeyID != "old" || got.Keys[1].Existed {
		t.Errorf("imported %+v", got)
	}
	if s.find("or_live_a-new-one") == nil {
		t.Error("a new one is not kept under the current pepper")
	}
}

func TestAnImportHidesItsKeys(t *testing.T) {
	in := ImportKey{NewKey: NewKey{API: "orders"}, Secret: Shown(legacy)}
	if text := fmt.Sprintf("%v %+v %#v", in, in, ImportKeys{Keys: []ImportKey{in}}); strings.Contains(text, legacy) {
		t.Errorf("printed as %s", text)
	}
	if text, err := json.Marshal(in); err != nil || string(text) != `{"api":"orders","tenant":"","key":"`+legacy+`"}` {
		t.Errorf("sent as %s, %v", text, err)
	}
}

// An operator of an API can have tenants made with their keys; a tenant itself
// cannot.
func TestAnImportMakesTenants(t *testing.T) {
	s := newServer(t).withTenant()
	body := func(plan string, tenants ...string) string {
		var keys []string
		for i, tenant := range tenants {
			keys = append(keys, fmt.Sprintf(`{"api":"orders","tenant":%q,"key":"or_live_of-%d-%s"}`, tenant, i, plan))
		}
		return `{"new_tenants":{"plan":"` + plan + `"},"keys":[` + strings.Join(keys, ",") + `]}`
	}
	got := call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", body("free", "new", "acme", "new", "newer"))
	if got.Imported != 4 {
		t.Errorf("imported %+v", got)
	}
	if made := call[Tenant](s, 200, "GET", "/admin/v1/tenants/orders/newer", ""); made.Plan != "free" || made.State != "active" {
		t.Errorf("made %+v", made)
	}
	where, text := details(call[problem](s, 422, "POST", "/admin/v1/keys/import", body("nope", "newest")))
	if !slices.Contains(where, "body.new_tenants.plan") {
		t.Errorf("an unknown plan: at %q: %s", where, text)
	}
	where, text = details(call[problem](s, 422, "POST", "/admin/v1/keys/import", body("free", "acme", "not an id", "newest")))
	if !slices.Contains(where, "body.keys[1].tenant") {
		t.Errorf("no id: at %q: %s", where, text)
	}
	call[problem](s, 404, "GET", "/admin/v1/tenants/orders/newest", "")
	own := s.withToken(sallyport.AdminToken{ID: "own", Role: RoleOperator, API: "orders", Tenant: "acme"})
	where, text = details(call[problem](own, 422, "POST", "/admin/v1/keys/import", body("free", "acme")))
	if !slices.Contains(where, "body.new_tenants") {
		t.Errorf("a tenant's own token: at %q: %s", where, text)
	}
}

// All that is taken is told at once: an import of many is not sent again for each.
func TestAnImportTellsAllThatIsTaken(t *testing.T) {
	s := newServer(t).withTenant()
	call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import", imports(`"key":"or_live_there-already","key_id":"taken"`))
	where, _ := details(call[problem](s, 409, "POST", "/admin/v1/keys/import", imports(
		`"key":"or_live_12345670","key_id":"taken"`, `"key":"or_live_12345671"`, `"key":"or_live_12345672","key_id":"taken"`)))
	if !slices.Equal(where, []string{"body.keys[0]", "body.keys[2]"}) {
		t.Errorf("told %q", where)
	}
}
