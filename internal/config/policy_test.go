package config_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
)

func TestMinimalFileGetsDefaults(t *testing.T) {
	c := parse(t, minimal)
	want := &config.Config{
		Listen:    config.Listen{GRPC: config.List{"unix:///run/sallyport/sallyport.sock", "127.0.0.1:9191"}, HTTP: "127.0.0.1:9192"},
		Store:     "sqlite:///var/lib/sallyport/sallyport.db",
		Counters:  config.Counters{Memory: true},
		RateLimit: config.RateLimit{Poll: config.Duration(time.Second)},
		File:      "test.yaml",
		Sum:       c.Sum,
		Peppers:   []config.Pepper{{Version: 1, Secret: config.Secret{File: "/etc/sallyport/pepper"}}},
		Log:       config.Log{Format: "text", Decisions: "refused", Rate: 100},
		Cache:     config.Cache{Credentials: 1_000_000, Timeout: config.Duration(250 * time.Millisecond)},
		Policy:    c.Policy,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if c.Policy.Chain != sallyport.Paired {
		t.Errorf("got chain %v", c.Policy.Chain)
	}
	api := c.Policy.APIs[0]
	got := *api.Operations[0]
	if diff := cmp.Diff(sallyport.Operation{
		Name: "GET /v1/orders", Method: "GET", Path: "/v1/orders", Scopes: []string{"orders:read"}, Granted: []string{"orders:read"},
		Weight: 1, Access: sallyport.Read,
	}, got); diff != "" {
		t.Error(diff)
	}
	if got, want := api.Keys[0], (sallyport.KeyForm{Prefix: "orders_live_", Kind: "key"}); !cmp.Equal(got, want) {
		t.Errorf("got %+v", got)
	}
	for _, kind := range sallyport.Kinds() {
		if r := api.Response(kind); r.Status != kind.Default().Status || !json.Valid([]byte(r.Body)) || r.Code == "" {
			t.Errorf("%v: got %+v", kind, r)
		}
	}
}

const full = `store: sqlite:///var/lib/sallyport/sallyport.db
pepper: {env: PEPPER}
chain: fused
listen: {grpc: "127.0.0.1:0", http: unix:///run/x.sock}
apis:
  orders:
    hosts: [api.acme.example]
    credentials:
      read: [{header: X-API-Key}, {header: Authorization, scheme: Bearer}, {query: api_key}]
      keys:
        - {prefix: orders_live_, environment: live, access: read, age: {min: 7d, max: 1y}, require: {label: true, scopes: 1}, expiry: [30d, date]}
      tokens: [{issuer: self, algorithm: ES256}]
    scopes: [orders:read, orders:write, lines:read, {name: "*:read", grants: ["*:read"]}, {name: clerk, grants: ["*:read", "orders:*"]}, {name: admin, grants: all}, {name: chief, grants: [admin]}]
    presets: {readers: ["*:read"], all: [admin]}
    tenant: {path: org, header: X-Org}
    answers:
      me: {body: {b: "${tenant}", a: [0x1f, 1.50, ~, true, 2026-01-01]}}
    operations:
      - {GET: /v1/orders, HEAD: /v1/orders, scope: [orders:read, lines:read]}
      - {methods: [POST, DELETE], paths: ["/v1/{org}/orders", /v1/all], scope: orders:write, weight: 3, name: change}
      - {POST: /v1/search, access: read, tenant: {query: org}, weight: {request: X-Cost, response: X-Actual-Cost, default: 2}}
      - {GET: /v1/me, answer: me, sandbox: {status: 201, body: []}, hosts: [me.acme.example]}
    endpoints:
      - {GET: /keys, serve: api_keys, scope: admin}
      - {GET: /jwks, serve: jwks, hosts: auth.acme.example}
    limits:
      - {name: requests, per: [tenant, credential], plans: {gold: unlimited, free: [60/1m, 1000/1h], custom: tenant}}
      - {name: writes, per: tenant, when: {access: write}, limit: 5/1s}
      - {name: teams, per: [attribute team, attribute region], when: {attribute: {tier: ["", gold], region: eu}}, limit: [9/1m+15%, {rate: 8/month, zone: Europe/Berlin}], shadow: true}
      - {name: in-flight, per: [attribute team, api], concurrency: 5}
      - {name: patient, per: api, concurrency: 5, wait: 500ms}
    headers: {limit: X-L, reset: {name: X-R, as: delta}, retry_after: seconds}
    errors:
      type: error
      template: {code: "${code}"}
      expired_credential: {status: 403}
      invalid_credential: {www_authenticate: Key}
      not_found: {code: gone, type: lost, template: {gone: true}, message: "no ${operation}"}
    on_failure: {quota: open, grace: 1h30m}
`

func fullAPI(t *testing.T) *sallyport.API {
	t.Helper()
	return parse(t, full).Policy.APIs[0]
}

func operation(t *testing.T, api *sallyport.API, method, path string) *sallyport.Operation {
	t.Helper()
	for _, op := range api.Operations {
		if op.Method == method && op.Path == path {
			return op
		}
	}
	t.Fatalf("no %s %s", method, path)
	return nil
}

func TestScopesThatGrantAreSpelledOut(t *testing.T) {
	api := fullAPI(t)
	for _, tt := range []struct{ method, path, want string }{
		{"GET", "/v1/orders", "orders:read lines:read *:read clerk admin chief"},
		{"POST", "/v1/all", "orders:write clerk admin chief"},
		{"POST", "/v1/search", ""},
		{"GET", "/keys", "admin chief"},
	} {
		if got := strings.Join(operation(t, api, tt.method, tt.path).Granted, " "); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.method, tt.path, got, tt.want)
		}
	}
	if got, want := api.Presets["readers"], []string{"*:read"}; !slices.Equal(got, want) {
		t.Errorf("readers: got %v, want %v: a scope of that name is meant before a pattern", got, want)
	}
}

func TestOperationsAreSpelledOut(t *testing.T) {
	api := fullAPI(t)
	if got := len(api.Operations); got != 10 {
		t.Errorf("got %d operations", got)
	}
	search, change, all := operation(t, api, "POST", "/v1/search"), operation(t, api, "DELETE", "/v1/{org}/orders"), operation(t, api, "POST", "/v1/all")
	if search.Access != sallyport.Read || change.Access != sallyport.Write || change.Weight != 3 || change.Name != "change" {
		t.Errorf("got %+v, %+v", search, change)
	}
	for _, tt := range []struct {
		op   *sallyport.Operation
		want sallyport.TenantParameter
	}{
		{search, sallyport.TenantParameter{Query: "org"}},
		{change, sallyport.TenantParameter{Path: "org", Header: "x-org"}},
		{all, sallyport.TenantParameter{Header: "x-org"}},
		{operation(t, api, "GET", "/keys"), sallyport.TenantParameter{Header: "x-org"}},
		{operation(t, api, "GET", "/jwks"), sallyport.TenantParameter{}},
	} {
		if tt.op.Tenant != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.op.Name, tt.op.Tenant, tt.want)
		}
	}
	keys, jwks := operation(t, api, "GET", "/keys"), operation(t, api, "GET", "/jwks")
	if keys.Public || !jwks.Public || keys.Serve != "api_keys" || jwks.Absent != "" {
		t.Errorf("got %+v, %+v", keys, jwks)
	}
}

func TestHostsAreSpelledOut(t *testing.T) {
	api := fullAPI(t)
	if want := []string{"api.acme.example", "me.acme.example", "auth.acme.example"}; !slices.Equal(api.Hosts, want) {
		t.Errorf("got %v, want %v", api.Hosts, want)
	}
	for path, want := range map[string]string{"/v1/orders": "api.acme.example", "/v1/me": "me.acme.example", "/jwks": "auth.acme.example"} {
		if got := operation(t, api, "GET", path).Hosts; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %v, want %s", path, got, want)
		}
	}
}

func TestAnswersAreJSONInTheOrderWritten(t *testing.T) {
	me := operation(t, fullAPI(t), "GET", "/v1/me")
	if want := (sallyport.Answer{Status: 200, Body: `{"b":"${tenant}","a":[31,1.50,null,true,"2026-01-01"]}`}); *me.Answer != want {
		t.Errorf("got %+v, want %+v", *me.Answer, want)
	}
	if want := (sallyport.Answer{Status: 201, Body: `[]`}); *me.Sandbox != want {
		t.Errorf("got %+v, want %+v", *me.Sandbox, want)
	}
}

func TestLimitsAndPlans(t *testing.T) {
	api := fullAPI(t)
	minute, hour := sallyport.Window{Max: 60, Length: time.Minute}, sallyport.Window{Max: 1000, Length: time.Hour}
	want := []*sallyport.Limit{
		{Name: "requests", Per: []string{"tenant", "credential"}, Plans: map[string]sallyport.Windows{
			"gold": {Unlimited: true}, "custom": {FromTenant: true}, "free": {List: []sallyport.Window{minute, hour}}}},
		{Name: "writes", Per: []string{"tenant"}, When: sallyport.When{Access: sallyport.Write},
			Default: sallyport.Windows{List: []sallyport.Window{{Max: 5, Length: time.Second}}}},
		{Name: "teams", Per: []string{"attribute team", "attribute region"}, Shadow: true,
			When: sallyport.When{Attributes: []sallyport.AttributeIs{{Name: "region", Values: []string{"eu"}}, {Name: "tier", Values: []string{"", "gold"}}}},
			Default: sallyport.Windows{List: []sallyport.Window{
				{Max: 9, Length: time.Minute, Algorithm: sallyport.Bucket, Burst: 15}, {Max: 8, Calendar: sallyport.Month, Zone: "Europe/Berlin"}}}},
		{Name: "in-flight", Per: []string{"attribute team", "api"}, Concurrency: 5, Wait: 250 * time.Millisecond},
		{Name: "patient", Per: []string{"api"}, Concurrency: 5, Wait: 500 * time.Millisecond},
	}
	if diff := cmp.Diff(want, api.Limits); diff != "" {
		t.Error(diff)
	}
	if want := []string{"team", "region"}; !slices.Equal(api.PerAttributes, want) {
		t.Errorf("got %v, want %v", api.PerAttributes, want)
	}
	if want := []string{"custom", "free", "gold"}; !slices.Equal(api.Plans, want) {
		t.Errorf("got %v, want %v", api.Plans, want)
	}
	if want := (sallyport.QuotaHeaders{Limit: "X-L", Reset: "X-R", ResetAs: sallyport.ResetDelta, RetryAfter: true}); api.Headers != want {
		t.Errorf("got %+v, want %+v", api.Headers, want)
	}
	if !api.OnFailure.QuotaOpen || api.Grace != 90*time.Minute {
		t.Errorf("got %+v, %v", api.OnFailure, api.Grace)
	}
}

func TestRefusalsMergeDefaultAPIAndKind(t *testing.T) {
	api := fullAPI(t)
	for kind, want := range map[sallyport.Kind]sallyport.Response{
		sallyport.KindMissingCredential: {Status: 401, Code: "unauthorized", Type: "error", Body: `{"code":"${code}"}`, WWWAuthenticate: `ApiKey realm="orders"`},
		sallyport.KindInvalidCredential: {Status: 401, Code: "unauthorized", Type: "error", Body: `{"code":"${code}"}`, WWWAuthenticate: "Key"},
		sallyport.KindExpiredCredential: {Status: 403, Code: "unauthorized", Type: "error", Body: `{"code":"${code}"}`},
		sallyport.KindNotFound:          {Status: 404, Code: "gone", Type: "lost", Body: `{"gone":true}`, Message: "no ${operation}"},
	} {
		if want.Message == "" {
			want.Message = kind.Default().Message
		}
		if diff := cmp.Diff(want, *api.Response(kind)); diff != "" {
			t.Errorf("%v: %s", kind, diff)
		}
	}
	bearer := parse(t, minimal).Policy.APIs[0]
	if got, want := bearer.Response(sallyport.KindExpiredCredential).WWWAuthenticate, `Bearer realm="orders", error="invalid_token"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWindowsAreReadInEveryForm(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]sallyport.Window{
		"60/1m":                                        {Max: 60, Length: time.Minute},
		"500/1d":                                       {Max: 500, Length: day},
		"60/1m+0%":                                     {Max: 60, Length: time.Minute, Algorithm: sallyport.Bucket},
		"60/1h30m+1000%":                               {Max: 60, Length: 90 * time.Minute, Algorithm: sallyport.Bucket, Burst: 1000},
		"60/1m sliding":                                {Max: 60, Length: time.Minute, Algorithm: sallyport.Sliding},
		"500/day":                                      {Max: 500, Calendar: sallyport.Day},
		"1000/month@Europe/Berlin":                     {Max: 1000, Calendar: sallyport.Month, Zone: "Europe/Berlin"},
		"{rate: 60/1m}":                                {Max: 60, Length: time.Minute},
		"{rate: 60/1m, algorithm: fixed}":              {Max: 60, Length: time.Minute},
		"{rate: 60/1m, algorithm: sliding}":            {Max: 60, Length: time.Minute, Algorithm: sallyport.Sliding},
		"{rate: 60/1m, algorithm: bucket}":             {Max: 60, Length: time.Minute, Algorithm: sallyport.Bucket},
		"{rate: 60/1m, burst: 15%}":                    {Max: 60, Length: time.Minute, Algorithm: sallyport.Bucket, Burst: 15},
		"{burst: 0%, rate: 60/1m}":                     {Max: 60, Length: time.Minute, Algorithm: sallyport.Bucket},
		"{rate: 5/week, zone: Asia/Tokyo}":             {Max: 5, Calendar: sallyport.Week, Zone: "Asia/Tokyo"},
		"{rate: 5/day, algorithm: fixed}":              {Max: 5, Calendar: sallyport.Day},
		"9007199254740992/1s":                          {Max: 1 << 53, Length: time.Second},
		"{rate: 60/1m, burst: 15%, algorithm: bucket}": {Max: 60, Length: time.Minute, Algorithm: sallyport.Bucket, Burst: 15},
	} {
		for _, form := range []string{"limit: %s", "limit: [%s]", "plans: {gold: %s}", "plans: {gold: [%s]}"} {
			api := parse(t, minimal+"    limits:\n      - {name: a, per: tenant, "+strings.Replace(form, "%s", text, 1)+"}\n").Policy.APIs[0]
			got := api.Limits[0].Default
			if api.Limits[0].Plans != nil {
				got = api.Limits[0].Plans["gold"]
			}
			if diff := cmp.Diff(sallyport.Windows{List: []sallyport.Window{want}}, got); diff != "" {
				t.Errorf("%s: %s", text, diff)
			}
			if again, err := sallyport.ParseWindow(want.String()); err != nil || again != want {
				t.Errorf("%s: %v is read as %v, %v", text, want, again, err)
			}
		}
	}
}

// Windows of one length that count differently are several.
func TestOneLengthInThreeAlgorithms(t *testing.T) {
	api := parse(t, minimal+"    limits: [{name: a, per: tenant, limit: [60/1m, 50/60s sliding, 40/1m+10%, 9/day, 9/1d, 9/week]}]\n").Policy.APIs[0]
	if got := len(api.Limits[0].Default.List); got != 6 {
		t.Errorf("got %d windows, want 6", got)
	}
}

func TestWeights(t *testing.T) {
	for text, want := range map[string]struct {
		weight uint64
		cost   sallyport.Cost
	}{
		"name: a":                   {1, sallyport.Cost{}},
		"weight: 5":                 {5, sallyport.Cost{}},
		"weight: {request: X-Cost}": {1, sallyport.Cost{Request: "x-cost", Max: 1000}},
		"weight: {response: X-Cost, default: 5, max: 5}":             {5, sallyport.Cost{Response: "x-cost", Max: 5}},
		"weight: {request: x-a, response: X-A, max: 1000000}":        {1, sallyport.Cost{Request: "x-a", Response: "x-a", Max: 1_000_000}},
		"answer: {body: {}}, weight: {request: X-Cost, default: 10}": {10, sallyport.Cost{Request: "x-cost", Max: 1000}},
	} {
		op := operation(t, parse(t, minimal+"      - {GET: /w, "+text+"}\n").Policy.APIs[0], "GET", "/w")
		if op.Weight != want.weight || op.Cost != want.cost {
			t.Errorf("%s: got %d, %+v, want %+v", text, op.Weight, op.Cost, want)
		}
	}
}

// TestWhatIsNotServedIsSaid holds that nothing the file asks for is ignored.
func TestWhatIsNotServedIsSaid(t *testing.T) {
	text := strings.NewReplacer(
		"store: sqlite:///var/lib/sallyport/sallyport.db", "store: postgres://user:hunter2@db/x",
		"[{prefix: orders_live_}]", "[{prefix: orders_live_}]\n      tokens: [{issuer: self}]",
	).Replace(minimal) + `      - {POST: /hook, webhook: {header: X-S, sender: acme}}
    roles: {Clerk: [orders:read]}
    tenant_roles: true
    endpoints: [{GET: /authorize, serve: oauth2_authorize}]
`
	c := parse(t, text)
	golden(t, "testdata/absent.want", config.Format(c.Absent))
	golden(t, "testdata/notices.want", config.Format(c.Notices))
	hook := operation(t, c.Policy.APIs[0], "POST", "/hook")
	if hook.Webhook == nil || hook.Public {
		t.Errorf("got %+v", hook)
	}
}

// A4: rules over anomalous use, of which there are none where the file has none.
func TestAnomalies(t *testing.T) {
	if got := parse(t, minimal).Policy.APIs[0].Anomalies; len(got) > 0 {
		t.Errorf("without any: %+v", got)
	}
	c := parse(t, minimal+`    anomalies:
      - {name: far-away, of: networks, over: 10000, in: 7d, action: alert}
      - {name: refused, of: refusals, over: 1, in: 1s, action: disable}
      - {name: busy, of: requests, over: 1000000, in: 1h30m, action: revoke}
`)
	want := []sallyport.Anomaly{
		{Name: "far-away", Of: sallyport.MeasureNetworks, Over: 10_000, In: 7 * 24 * time.Hour, Action: sallyport.ActionAlert},
		{Name: "refused", Of: sallyport.MeasureRefusals, Over: 1, In: time.Second, Action: sallyport.ActionDisable},
		{Name: "busy", Of: sallyport.MeasureRequests, Over: 1_000_000, In: 90 * time.Minute, Action: sallyport.ActionRevoke},
	}
	if diff := cmp.Diff(want, c.Policy.APIs[0].Anomalies); diff != "" || len(c.Absent) > 0 {
		t.Errorf("%v\n%s", c.Absent, diff)
	}
}

// A1, A5, H1: what tokens are made from, and what their endpoints count.
func TestTokensAndTheirEndpoints(t *testing.T) {
	text := strings.Replace(minimal, "[{prefix: orders_live_}]", `[{prefix: orders_live_, use: exchange}, {prefix: orders_client_, kind: client}]
      tokens: [{issuer: self}]`, 1) + `    endpoints:
      - {POST: /token, serve: oauth2_token, grants: [client_credentials], plans: gold}
      - {POST: /exchange, serve: key_exchange}
      - {GET: /keys.json, serve: jwks}
    plans: [free, gold]
    limits:
      - {name: token, per: tenant, limit: 20/1m, when: {endpoint: oauth2_token}}
      - {name: failures, per: [address, client], limit: 30/1m, when: {endpoint: [oauth2_token, key_exchange], outcome: failed}}
`
	c := parse(t, text)
	if len(c.Absent)+len(c.Notices) > 0 {
		t.Errorf("not served: %v %v", c.Absent, c.Notices)
	}
	api := c.Policy.APIs[0]
	want := &sallyport.OwnTokens{
		Algorithm: "EdDSA", Lifetime: time.Hour, Grant: 30 * 24 * time.Hour, Rotate: 90 * 24 * time.Hour, Audience: "https://" + api.Hosts[0],
	}
	if diff := cmp.Diff(want, api.Tokens); diff != "" {
		t.Error(diff)
	}
	if !api.Keys[0].Exchange || !api.Keys[1].Exchange || api.Keys[1].Kind != sallyport.KindClient {
		t.Errorf("forms %+v", api.Keys)
	}
	token, exchange := operation(t, api, "POST", "/token"), operation(t, api, "POST", "/exchange")
	if !token.Public || !slices.Equal(token.Grants, []string{"client_credentials"}) || !slices.Equal(token.Plans, []string{"gold"}) || exchange.Field != "api_key" {
		t.Errorf("got %+v, %+v", token, exchange)
	}
	known := &sallyport.Credential{Tenant: &sallyport.Tenant{}}
	for _, one := range []struct {
		what string
		op   *sallyport.Operation
		c    *sallyport.Credential
		want []string
	}{
		{"a token", token, known, []string{"token"}},
		{"a failure", token, nil, []string{"failures"}},
		{"an exchange", exchange, known, nil},
		{"a failed exchange", exchange, nil, []string{"failures"}},
	} {
		var got []string
		for _, charge := range api.AppendEndpointCharges(nil, one.op, one.c) {
			got = append(got, charge.Limit.Name)
		}
		if !slices.Equal(got, one.want) {
			t.Errorf("%s counts as %v, want %v", one.what, got, one.want)
		}
	}
	if charges := api.AppendCharges(nil, operation(t, api, "GET", "/v1/orders"), known); len(charges) > 0 {
		t.Errorf("an operation counts as %v", charges)
	}
}

func TestMergedAndSharedValuesAreRead(t *testing.T) {
	c := parse(t, minimal+`  parcels:
    hosts: [parcels.acme.example]
    credentials: &c {read: [{query: key}], keys: [{prefix: parcels_}]}
    operations: [{GET: /a}]
  pallets:
    hosts: [pallets.acme.example]
    credentials: {<<: *c, keys: [{prefix: pallets_}]}
    operations: [{GET: /a}]
`)
	api := c.Policy.API("pallets")
	if api.Places[0].Query != "key" || len(api.Keys) != 1 || api.Keys[0].Prefix != "pallets_" {
		t.Errorf("got %+v, %+v", api.Places, api.Keys)
	}
}
