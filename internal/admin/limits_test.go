package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport"
)

// counters are counters that fit in a map: every window of a limit has used
// what was noted under the limit's name and the values that it is counted by.
type counters struct {
	*recorder
	used     map[string]uint64
	inFlight int
	fail     error
	short    bool // tells less than it was asked
}

func (c *counters) key(s *sallyport.Subject, l *sallyport.Limit) string {
	key := l.Name
	for _, per := range l.Per {
		key += " " + s.Value(per)
	}
	return key
}

func (c *counters) Look(_ context.Context, s *sallyport.Subject, charges []sallyport.Charge) (all []Standing, _ error) {
	for _, charge := range charges {
		for _, w := range charge.Windows {
			used := min(c.used[c.key(s, charge.Limit)], w.Size())
			all = append(all, Standing{charge.Limit, w, used, w.Size() - used, now.Add(time.Minute)})
		}
	}
	if c.short {
		all = nil
	}
	return all, c.fail
}

func (c *counters) Reset(_ context.Context, s *sallyport.Subject, charges []sallyport.Charge) error {
	for _, charge := range charges {
		c.note("reset", c.key(s, charge.Limit))
		delete(c.used, c.key(s, charge.Limit))
	}
	return c.fail
}

func (c *counters) Refund(_ context.Context, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) error {
	for _, charge := range charges {
		key := c.key(s, charge.Limit)
		c.note("refunded", key)
		c.used[key] -= min(hits, c.used[key])
	}
	return c.fail
}

func (c *counters) InFlight(s *sallyport.Subject, _ *sallyport.Limit) int { return c.inFlight }

// withLimits gives orders limits of every kind, and acme two keys, of which
// key_gold has an attribute.
func (s *server) withLimits() *server {
	s.Helper()
	s.withAll()
	for _, tenant := range []string{"acme", "other"} {
		call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/"+tenant, `{"overrides":null}`)
	}
	minute := func(n uint64) sallyport.Windows {
		return sallyport.Windows{List: []sallyport.Window{{Max: n, Length: time.Minute}}}
	}
	api := s.policy.API("orders")
	api.PerAttributes = []string{"team"}
	api.Operations = []*sallyport.Operation{{Name: "GET /items", Category: "Findings", Access: sallyport.Read}, {Name: "POST /items", Access: sallyport.Write}}
	api.Limits = []*sallyport.Limit{
		{Name: "keys", Per: []string{"credential"}, Plans: map[string]sallyport.Windows{"free": minute(10), "custom": minute(20)}},
		{Name: "tenants", Per: []string{"tenant"}, Default: sallyport.Windows{List: []sallyport.Window{
			{Max: 100, Length: time.Minute, Algorithm: sallyport.Bucket, Burst: 15}, {Max: 1000, Calendar: sallyport.Month, Zone: "Europe/Berlin"}}}},
		{Name: "all", Per: []string{"api"}, Default: minute(10000), Shadow: true},
		{Name: "each", Per: []string{"credential", "operation"}, When: sallyport.When{Access: sallyport.Read}, Default: minute(5)},
		{Name: "teams", Per: []string{"attribute team"}, Default: minute(7)},
		{Name: "gold", Per: []string{"credential"}, When: sallyport.When{Attributes: []sallyport.AttributeIs{{Name: "tier", Values: []string{"gold"}}}}, Default: minute(8)},
		{Name: "none", Per: []string{"tenant"}, Plans: map[string]sallyport.Windows{"free": {}, "custom": {Unlimited: true}}},
		{Name: "in-flight", Per: []string{"credential"}, Concurrency: 5},
	}
	call[ImportedKeys](s, 200, "POST", "/admin/v1/keys/import",
		fmt.Sprintf(`{"keys":[{"api":"orders","tenant":"acme","sha256":"%064x","key_id":"key_gold","attributes":{"tier":"gold","team":"a=b"}}]}`, 99))
	s.take()
	return s
}

// told writes how limits stand in a line each.
func told(list LimitList) (lines []string) {
	for _, l := range list.Limits {
		line := l.Name + " " + l.From
		for _, w := range l.Windows {
			line += " " + w.Window
			if w.Used != nil {
				line += fmt.Sprintf(" %d+%d=%d", *w.Used, *w.Remaining, w.Limit)
			}
		}
		if l.Concurrency != nil {
			line += fmt.Sprintf(" %d", l.Concurrency.Max)
			if l.Concurrency.InFlight != nil {
				line += fmt.Sprintf(" has %d", *l.Concurrency.InFlight)
			}
		}
		for name, yes := range map[string]bool{" shadow": l.Shadow, " unlimited": l.Unlimited} {
			if yes {
				line += name
			}
		}
		if len(l.Needs) > 0 {
			line += " needs " + strings.Join(l.Needs, " ")
		}
		lines = append(lines, line)
	}
	return lines
}

const acmes = "/admin/v1/limits?api=orders&tenant=acme"

func TestLimitsAreShownAsTheyStand(t *testing.T) {
	s := newServer(t).withLimits()
	s.counters.inFlight = 3
	s.counters.used = map[string]uint64{
		"keys key_acme": 4, "keys key_gold": 10, "tenants acme": 115, "tenants other": 1, "all orders": 9, "each key_acme GET /items": 2, "teams a%3Db": 6,
	}
	for _, test := range []struct {
		path string
		want []string
	}{
		{acmes, []string{
			"keys plan 10/1m needs key", "tenants default 100/1m+15% 115+0=115 1000/month@Europe/Berlin 115+885=1000", "all default 10000/1m 9+9991=10000 shadow",
			"each default 5/1m needs key operation", "teams default 7/1m needs key", "gold default 8/1m needs key", "none plan", "in-flight default 5 needs key",
		}},
		{acmes + "&key=key_acme", []string{
			"keys plan 10/1m 4+6=10", "tenants default 100/1m+15% 115+0=115 1000/month@Europe/Berlin 115+885=1000", "all default 10000/1m 9+9991=10000 shadow",
			"each default 5/1m needs operation", "none plan", "in-flight default 5 has 3",
		}},
		{acmes + "&key=key_gold&operation=GET+/items", []string{
			"keys plan 10/1m 10+0=10", "tenants default 100/1m+15% 115+0=115 1000/month@Europe/Berlin 115+885=1000", "all default 10000/1m 9+9991=10000 shadow",
			"each default 5/1m 0+5=5", "teams default 7/1m 6+1=7", "gold default 8/1m 0+8=8", "none plan", "in-flight default 5 has 3",
		}},
		{acmes + "&operation=POST+/items", []string{
			"keys plan 10/1m needs key", "tenants default 100/1m+15% 115+0=115 1000/month@Europe/Berlin 115+885=1000", "all default 10000/1m 9+9991=10000 shadow",
			"teams default 7/1m needs key", "gold default 8/1m needs key", "none plan", "in-flight default 5 needs key",
		}},
	} {
		got := call[LimitList](s, 200, "GET", test.path, "")
		if diff := cmp.Diff(test.want, told(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.path, diff)
		}
		if got.Plan != "free" || !got.At.Equal(now) {
			t.Errorf("%s: plan %s at %v", test.path, got.Plan, got.At)
		}
	}
	// What the tenant says of itself decides for all its keys that say nothing.
	call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"attributes":{"tier":"iron","team":"x"}}`)
	got := told(call[LimitList](s, 200, "GET", acmes, ""))
	if !slices.Contains(got, "teams default 7/1m 0+7=7") || slices.ContainsFunc(got, func(l string) bool { return strings.HasPrefix(l, "gold") }) {
		t.Errorf("of a tenant with attributes: %q", got)
	}
	if w := call[LimitList](s, 200, "GET", acmes, "").Limits; w[3].When == nil || w[3].When.Access != "read" || w[0].When != nil {
		t.Errorf("conditions %+v, %+v", w[0].When, w[3].When)
	}
}

func TestWhereWindowsComeFrom(t *testing.T) {
	s := newServer(t).withLimits()
	plain := s.policy.API("orders").Limits
	s.policy.API("orders").Limits = append(plain, &sallyport.Limit{Name: "own", Per: []string{"tenant"}, Default: sallyport.Windows{FromTenant: true}})
	call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"limits":{"own":["3/1d"]}}`)
	first := func(path, name string) string {
		for _, line := range told(call[LimitList](s, 200, "GET", path, "")) {
			if strings.HasPrefix(line, name+" ") {
				return line
			}
		}
		return ""
	}
	const key = acmes + "&key=key_acme"
	for _, step := range []struct{ method, path, body, name, tenant, key string }{
		{"PATCH", "keys/key_acme", `{}`, "own", "own tenant_limits 3/1d 0+3=3", "own tenant_limits 3/1d 0+3=3"},
		{"PATCH", "keys/key_acme", `{"plan":"custom"}`, "keys", "keys plan 10/1m needs key", "keys key_plan 20/1m 0+20=20"},
		{"PATCH", "tenants/orders/acme", `{"overrides":{"keys":["30/1m"]}}`, "keys", "keys tenant_override 30/1m needs key", "keys tenant_override 30/1m 0+30=30"},
		{"PATCH", "keys/key_acme", `{"overrides":{"keys":["unlimited"]}}`, "keys", "keys tenant_override 30/1m needs key", "keys key_override unlimited"},
		{"PATCH", "keys/key_acme", `{"overrides":{"keys":["40/1h"]}}`, "keys", "keys tenant_override 30/1m needs key", "keys key_override 40/1h 0+40=40"},
		{"PATCH", "keys/key_acme", `{"overrides":null}`, "keys", "keys tenant_override 30/1m needs key", "keys tenant_override 30/1m 0+30=30"},
		{"PATCH", "tenants/orders/acme", `{"overrides":{}}`, "keys", "keys plan 10/1m needs key", "keys key_plan 20/1m 0+20=20"},
		{"PATCH", "keys/key_acme", `{"plan":null}`, "keys", "keys plan 10/1m needs key", "keys plan 10/1m 0+10=10"},
	} {
		call[any](s, 200, step.method, "/admin/v1/"+step.path, step.body)
		if got := first(acmes, step.name); got != step.tenant {
			t.Errorf("after %s: the tenant's %q, want %q", step.body, got, step.tenant)
		}
		if got := first(key, step.name); got != step.key {
			t.Errorf("after %s: the key's %q, want %q", step.body, got, step.key)
		}
	}
}

func TestCountersAreSteered(t *testing.T) {
	s := newServer(t).withLimits()
	for _, test := range []struct {
		path, body string
		want       []string // events
	}{
		{"reset", `{"api":"orders","tenant":"acme","limit":"all"}`, []string{"reset all orders"}},
		// Without a limit's name, what others share stays.
		{"reset", `{"api":"orders","tenant":"acme"}`, []string{"reset tenants acme", "reset none acme"}},
		{"reset", `{"api":"orders","tenant":"acme","key":"key_gold"}`, []string{"reset keys key_gold", "reset gold key_gold"}},
		{"reset", `{"api":"orders","tenant":"acme","key":"key_gold","operation":"GET /items"}`, []string{"reset keys key_gold", "reset each key_gold GET /items", "reset gold key_gold"}},
		{"refund", `{"api":"orders","tenant":"acme","key":"key_acme","limit":"keys","hits":3}`, []string{"refunded keys key_acme"}},
		{"refund", `{"api":"orders","tenant":"acme","key":"key_gold","limit":"teams","hits":9007199254740992}`, []string{"refunded teams a%3Db"}},
	} {
		s.counters.used = map[string]uint64{"keys key_acme": 4, "keys key_gold": 4, "tenants acme": 4, "all orders": 4, "teams a%3Db": 4}
		got := call[SteeredLimits](s, 200, "POST", "/admin/v1/limits/"+test.path, test.body)
		events := slices.DeleteFunc(s.take(), func(e string) bool { return e == "answered" })
		if !slices.Equal(events, test.want) || len(got.Changed) != len(test.want) {
			t.Errorf("%s %s: %q, told %q, want %q", test.path, test.body, events, got.Changed, test.want)
		}
		for _, l := range got.Limits {
			if slices.Contains(got.Changed, l.Name) && len(l.Windows) > 0 && *l.Windows[0].Used > 1 {
				t.Errorf("%s %s: limit %s has %d used", test.path, test.body, l.Name, *l.Windows[0].Used)
			}
		}
	}
	if log := s.log.String(); strings.Count(log, `"counters changed"`) != 6 || !strings.Contains(log, `"doing":"refund limit","api":"orders","tenant":"acme","key_id":"key_acme","limits":["keys"]`) {
		t.Errorf("log:\n%s", log)
	}
}

func TestWhatCannotBeSteered(t *testing.T) {
	s := newServer(t).withLimits()
	call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"overrides":{"all":["unlimited"]}}`)
	for _, test := range []struct {
		call, body string
		status     int
		where, say string
	}{
		{"GET " + acmes + "&key=key_other", "", 404, "", ""},
		{"GET " + acmes + "&operation=GET+/nothing", "", 422, "query.operation", "not an operation of orders"},
		{"GET /admin/v1/limits?api=nope&tenant=acme", "", 422, "query.api", "use one of orders, parts, bare"},
		{"GET /admin/v1/limits?api=orders&tenant=nobody", "", 404, "", ""},
		{"GET /admin/v1/limits?api=orders", "", 422, "query.tenant", "required"},
		{"POST /admin/v1/limits/reset", `{"api":"orders","tenant":"acme","limit":"keys"}`, 422, "body.limit", "keys is counted per credential: send also key"},
		{"POST /admin/v1/limits/reset", `{"api":"orders","tenant":"acme","limit":"each"}`, 422, "body.limit", "send also key and operation"},
		{"POST /admin/v1/limits/reset", `{"api":"orders","tenant":"acme","key":"key_acme","limit":"gold"}`, 422, "body.limit", "not a limit that counts this caller; use one of keys, tenants"},
		{"POST /admin/v1/limits/reset", `{"api":"orders","tenant":"acme","key":"key_acme","limit":"in-flight"}`, 422, "body.limit", "in flight"},
		{"POST /admin/v1/limits/reset", `{"api":"orders","tenant":"acme","limit":"all"}`, 422, "body.limit", "unlimited for this caller"},
		{"POST /admin/v1/limits/reset", `{"api":"orders","tenant":"acme","key":"key_other"}`, 404, "", ""},
		{"POST /admin/v1/limits/reset", `{"api":"parts","tenant":"acme"}`, 422, "body.limit", "there is none"},
		{"POST /admin/v1/limits/refund", `{"api":"orders","tenant":"acme","limit":"tenants","hits":0}`, 422, "body.hits", ""},
		{"POST /admin/v1/limits/refund", `{"api":"orders","tenant":"acme","limit":"tenants","hits":-1}`, 422, "body.hits", ""},
		{"POST /admin/v1/limits/refund", `{"api":"orders","tenant":"acme","limit":"tenants","hits":1.5}`, 422, "body.hits", ""},
		{"POST /admin/v1/limits/refund", `{"api":"orders","tenant":"acme","hits":1}`, 422, "body", "required property limit"},
		{"PUT /admin/v1/limits/override", `{"api":"orders","tenant":"acme","limit":"nope","windows":["1/1s"]}`, 422, "body.limit", "use one of keys"},
		{"PUT /admin/v1/limits/override", `{"api":"orders","tenant":"acme","limit":"in-flight","windows":["1/1s"]}`, 422, "body.limit", "the same for all"},
		{"PUT /admin/v1/limits/override", `{"api":"orders","tenant":"acme","limit":"keys","windows":[]}`, 422, "body.windows", "empty"},
		{"PUT /admin/v1/limits/override", `{"api":"orders","tenant":"acme","limit":"keys","windows":["lots"]}`, 422, "body.windows[0]", "MAX/LENGTH"},
		{"PUT /admin/v1/limits/override", `{"api":"orders","tenant":"nobody","limit":"keys","windows":["1/1s"]}`, 404, "", ""},
		{"PUT /admin/v1/limits/override", `{"api":"orders","tenant":"acme","key":"key_other","limit":"keys","windows":["1/1s"]}`, 404, "", ""},
		{"DELETE /admin/v1/limits/override?api=orders&tenant=acme&limit=keys", "", 404, "", ""},
		{"DELETE /admin/v1/limits/override?api=orders&tenant=acme", "", 422, "query.limit", ""},
		{"DELETE /admin/v1/limits/override?api=orders&tenant=acme&key=key_other&limit=keys", "", 404, "", ""},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		where, text := details(call[problem](s, test.status, method, path, test.body))
		if test.where != "" && !slices.Contains(where, test.where) || !strings.Contains(text, test.say) {
			t.Errorf("%s %s: at %q:\n%swant %s: %s", test.call, test.body, where, text, test.where, test.say)
		}
	}
	long := strings.Repeat("s", 60)
	if _, text := details(call[problem](s, 422, "PUT", "/admin/v1/limits/override", `{"api":"orders","tenant":"acme","limit":"keys","windows":["`+long+`"]}`)); strings.Contains(text, long) {
		t.Errorf("what may be a secret is repeated: %s", text)
	}
}

func TestOverrideIsPutAndLifted(t *testing.T) {
	for _, whose := range []struct{ path, fields, query, forget string }{
		{"/admin/v1/tenants/orders/acme", ``, "", "forget tenant orders acme"},
		{"/admin/v1/keys/key_acme", `"key":"key_acme",`, "&key=key_acme", "forget credential key_acme"},
	} {
		s := newServer(t).withLimits()
		tag := s.serve(s.request("GET", whose.path, "")).Header().Get("ETag")
		body := `{"api":"orders","tenant":"acme",` + whose.fields + `"limit":"keys","windows":["5/60s","9/month"]}`
		if w := s.conditional("PUT", "/admin/v1/limits/override", body, "If-Match", `"other"`); w.Code != 412 {
			t.Errorf("If-Match of another: %d, want 412", w.Code)
		}
		s.take()
		w := s.conditional("PUT", "/admin/v1/limits/override", body, "If-Match", tag)
		if events := s.take(); w.Code != 200 || len(events) != 3 || events[1] != whose.forget || !strings.HasPrefix(events[0], "committed") {
			t.Errorf("put: %d %s after %q", w.Code, w.Body, events)
		}
		shown := s.serve(s.request("GET", whose.path, ""))
		if got := w.Header().Get("ETag"); got == tag || got != shown.Header().Get("ETag") {
			t.Errorf("ETag %s after %s, want that of what is shown", got, tag)
		}
		if !strings.Contains(shown.Body.String(), `"overrides":{"keys":["5/1m","9/month"]}`) {
			t.Errorf("shown %s", shown.Body)
		}
		second := `{"api":"orders","tenant":"acme",` + whose.fields + `"limit":"tenants","windows":["unlimited"]}`
		want := map[string][]string{"keys": {"5/1m", "9/month"}, "tenants": {"unlimited"}}
		if got := call[Overrides](s, 200, "PUT", "/admin/v1/limits/override", second); !cmp.Equal(got.Overrides, want) {
			t.Errorf("overrides %v, want %v", got.Overrides, want)
		}
		// Also one of a limit that the configuration has lost is lifted.
		s.policy.API("orders").Limits = s.policy.API("orders").Limits[1:]
		delete(want, "keys")
		s.take()
		got := call[Overrides](s, 200, "DELETE", "/admin/v1/limits/override?api=orders&tenant=acme&limit=keys"+whose.query, "")
		if events := s.take(); !cmp.Equal(got.Overrides, want) || !slices.Contains(events, whose.forget) {
			t.Errorf("lifted: %v after %q, want %v", got.Overrides, events, want)
		}
		if log := s.log.String(); !strings.Contains(log, `"doing":"put override"`) || !strings.Contains(log, `"doing":"lift override"`) {
			t.Errorf("log:\n%s", log)
		}
	}
}

func TestCountersThatAreNotThere(t *testing.T) {
	s := newServer(t).withLimits()
	const reset = `{"api":"orders","tenant":"acme"}`
	s.counters.fail = errors.New("no route to 10.0.0.7")
	for _, one := range []string{"GET " + acmes + " ", "POST /admin/v1/limits/reset " + reset} {
		part := strings.SplitN(one, " ", 3)
		w := s.serve(s.request(part[0], part[1], part[2]))
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "10.0.0.7") {
			t.Errorf("%s: %d %s", one, w.Code, w.Body)
		}
	}
	s.counters.fail, s.counters.short = nil, true
	call[problem](s, 503, "GET", acmes, "")

	options := s.options()
	options.Limits = nil
	var err error
	if s.handler, err = New(options); err != nil {
		t.Fatal(err)
	}
	call[problem](s, 501, "GET", acmes, "")
	call[problem](s, 501, "POST", "/admin/v1/limits/reset", reset)
	call[problem](s, 501, "POST", "/admin/v1/limits/refund", `{"api":"orders","tenant":"acme","limit":"all","hits":1}`)
	call[Overrides](s, 200, "PUT", "/admin/v1/limits/override", `{"api":"orders","tenant":"acme","limit":"keys","windows":["1/1s"]}`)
}

// Whoever acts for one tenant gets no more than was agreed: not by a plan, an
// override or an attribute of a key or user, nor of the tenant.
func TestATenantDoesNotLiftItsOwnQuota(t *testing.T) {
	s := newServer(t).withLimits()
	call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"attributes":{"team":"red","tier":""}}`)
	s.take()
	s.withToken(sallyport.AdminToken{Role: RoleAdmin, API: "orders", Tenant: "acme"})
	digest := fmt.Sprintf("%064x", 123)
	for _, test := range []struct{ call, body, where string }{
		{"POST /admin/v1/keys", `{"api":"orders","tenant":"acme","plan":"custom"}`, "body.plan"},
		{"POST /admin/v1/keys", `{"api":"orders","tenant":"acme","overrides":{"keys":["unlimited"]}}`, "body.overrides"},
		{"POST /admin/v1/keys", `{"api":"orders","tenant":"acme","attributes":{"team":"new"}}`, "body.attributes.team"},
		{"POST /admin/v1/keys", `{"api":"orders","tenant":"acme","attributes":{"tier":""}}`, "body.attributes.tier"},
		{"POST /admin/v1/keys/import", `{"keys":[{"api":"orders","tenant":"acme","sha256":"` + digest + `","plan":"custom"}]}`, "body.keys[0].plan"},
		{"POST /admin/v1/keys/import", `{"keys":[{"api":"orders","tenant":"acme","sha256":"` + digest + `","overrides":{"keys":["unlimited"]}}]}`, "body.keys[0].overrides"},
		{"POST /admin/v1/keys/import", `{"keys":[{"api":"orders","tenant":"acme","sha256":"` + digest + `","attributes":{"team":"new"}}]}`, "body.keys[0].attributes.team"},
		{"PATCH /admin/v1/keys/key_acme", `{"plan":"custom"}`, "body.plan"},
		{"PATCH /admin/v1/keys/key_acme", `{"plan":null}`, "body.plan"},
		{"PATCH /admin/v1/keys/key_acme", `{"overrides":null}`, "body.overrides"},
		{"PATCH /admin/v1/keys/key_acme", `{"attributes":{"team":"new"}}`, "body.attributes.team"},
		{"PATCH /admin/v1/keys/key_gold", `{"attributes":null}`, "body.attributes.team"},
		{"PATCH /admin/v1/users/orders/acme/ann", `{"attributes":{"team":"new"}}`, "body.attributes.team"},
		{"POST /admin/v1/users", `{"api":"orders","tenant":"acme","id":"bob","attributes":{"tier":"iron"}}`, "body.attributes.tier"},
		{"PATCH /admin/v1/tenants/orders/acme", `{"attributes":{"team":"new"}}`, "body.attributes.team"},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		if where, text := details(call[problem](s, http.StatusForbidden, method, path, test.body)); !slices.Contains(where, test.where) {
			t.Errorf("%s %s: at %q: %s, want %s", test.call, test.body, where, text, test.where)
		}
	}
	if events := strings.Join(s.take(), ","); strings.Contains(events, "committed") {
		t.Errorf("what was refused did %s", events)
	}
	// What limits do not look at is its own, and so is what stays as it is.
	call[CreatedKey](s, 201, "POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme","attributes":{"color":"blue"}}`)
	call[Key](s, 200, "PATCH", "/admin/v1/keys/key_gold", `{"attributes":{"color":"blue","tier":"gold","team":"a=b"}}`)
	call[User](s, 200, "PATCH", "/admin/v1/users/orders/acme/ann", `{"attributes":{"color":"blue"}}`)
}

func TestPlansAndOverridesOfKeys(t *testing.T) {
	s := newServer(t).withTenant()
	made := s.newKey(`{"api":"orders","tenant":"acme","plan":"free","overrides":{"requests":["9/day@Asia/Tokyo"]}}`)
	if made.Plan != "free" || !cmp.Equal(made.Overrides, map[string][]string{"requests": {"9/day@Asia/Tokyo"}}) {
		t.Errorf("made %+v", made.Key)
	}
	path := "/admin/v1/keys/" + made.KeyID
	if got := call[Key](s, 200, "GET", path, ""); !cmp.Equal(got, made.Key) {
		t.Errorf("shown %+v, want %+v", got, made.Key)
	}
	for body, want := range map[string]string{
		`{"plan":"gold"}`: "use one of free, custom", `{"plan":"custom"}`: "leaves limit requests to the tenant",
		`{"overrides":{"in-flight":["1/1s"]}}`: "the same for all", `{"overrides":{"requests":["1/1s","2/1s"]}}`: "second window of 1s",
	} {
		if _, text := details(call[problem](s, 422, "PATCH", path, body)); !strings.Contains(text, want) {
			t.Errorf("%s: %s, want %s", body, text, want)
		}
	}
	call[Tenant](s, 200, "PATCH", "/admin/v1/tenants/orders/acme", `{"limits":{"requests":["1/1s"]}}`)
	if got := call[Key](s, 200, "PATCH", path, `{"plan":"custom","overrides":{}}`); got.Plan != "custom" || len(got.Overrides) > 0 {
		t.Errorf("changed %+v", got)
	}
	if got := call[Key](s, 200, "PATCH", path, `{"plan":null}`); got.Plan != "" {
		t.Errorf("plan %q, want the tenant's", got.Plan)
	}
}
