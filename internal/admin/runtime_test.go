package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

func TestReload(t *testing.T) {
	s := newServer(t)
	s.reload = func(context.Context) error {
		s.policy = &sallyport.Policy{APIs: []*sallyport.API{{Name: "next"}}}
		return nil
	}
	if got := call[Reloaded](s, 200, "POST", "/admin/v1/reload", ""); !slices.Equal(got.APIs, []string{"next"}) || !got.LoadedAt.Equal(now.Truncate(time.Second)) {
		t.Errorf("reloaded %+v", got)
	}
	s.reload = func(context.Context) error {
		return fmt.Errorf("read: %w", Faults{{File: "a.yaml", Line: 3, Path: "apis", Text: "is empty", Hint: "list one"}, {Text: "and more"}})
	}
	got := call[problem](s, 422, "POST", "/admin/v1/reload", "")
	if _, text := details(got); text != "a.yaml:3: apis: is empty (list one)\n: and more\n" || !strings.Contains(got.Detail, "stays in force") {
		t.Errorf("told %q: %s", got.Detail, text)
	}
	s.reload = func(context.Context) error { return errors.New("disk on fire") }
	if got := call[problem](s, 500, "POST", "/admin/v1/reload", ""); strings.Contains(got.Detail, "fire") {
		t.Errorf("told %s", got.Detail)
	}
}

func TestWithoutReloadAndExplainThereIsNeither(t *testing.T) {
	s := newServer(t)
	o := s.options()
	o.Reload, o.Explain = nil, nil
	var err error
	if s.handler, err = New(o); err != nil {
		t.Fatal(err)
	}
	call[problem](s, 404, "POST", "/admin/v1/reload", "")
	call[problem](s, 404, "POST", "/admin/v1/explain", `{"method":"GET","url":"https://a.test/"}`)
}

func TestExplain(t *testing.T) {
	s := newServer(t)
	var asked ExplainRequest
	s.explain = func(_ context.Context, in ExplainRequest) (Explanation, error) {
		asked = in
		return Explanation{
			API: "orders", Operation: "GET /items", Outcome: "refused", Reason: sallyport.ScopeMissing.String(), Status: 403,
			Requires: []string{"items:read"}, Credential: "key_1",
		}, nil
	}
	got := call[Explanation](s, 200, "POST", "/admin/v1/explain",
		`{"method":"GET","url":"https://api.orders.test/items?q=1","headers":["Accept: a/b","X-Empty:"],"source":"192.0.2.7","key_id":"key_1"}`)
	if got.Why != "GET /items asks for one of the scopes items:read, and the caller has none." || got.Status != 403 {
		t.Errorf("explained %+v", got)
	}
	if asked.Source != "192.0.2.7" || len(asked.Headers) != 2 || asked.KeyID != "key_1" {
		t.Errorf("asked %+v", asked)
	}
	const secret = "or_live_0123456789"
	for body, want := range map[string]string{
		`{"method":"GET /","url":"https://a.test/"}`:                                            "body.method",
		`{"method":"GET","url":"/items"}`:                                                       "body.url",
		`{"method":"GET","url":"ftp://a.test/"}`:                                                "body.url",
		`{"method":"GET","url":"https://a.test/%zz` + secret + `"}`:                             "body.url",
		`{"method":"GET","url":"https://a.test/","headers":["a: b","` + secret + `"]}`:          "body.headers[1]",
		`{"method":"GET","url":"https://a.test/","headers":["X: ` + secret + `\r\nY: 1"]}`:      "body.headers[0]",
		`{"method":"GET","url":"https://a.test/","source":"localhost"}`:                         "body.source",
		`{"method":"GET","url":"https://a.test/","headers":{"Authorization":"` + secret + `"}}`: "body.headers",
	} {
		if where, _ := details(call[problem](s, 422, "POST", "/admin/v1/explain", body)); !slices.Equal(where, []string{want}) {
			t.Errorf("%s: faults at %q, want %s", body, where, want)
		}
	}
	if strings.Contains(s.shown.String(), secret) || strings.Contains(s.log.String(), secret) {
		t.Error("a credential that was asked about is shown")
	}
	s.explain = func(context.Context, ExplainRequest) (Explanation, error) {
		return Explanation{}, sallyport.ErrNotFound
	}
	if got := call[problem](s, 404, "POST", "/admin/v1/explain", `{"method":"GET","url":"https://a.test/","key_id":"x"}`); got.Detail != "no such key" {
		t.Errorf("detail %q", got.Detail)
	}
}

func TestATokenExplainsItsOwnOnly(t *testing.T) {
	s := newServer(t)
	const ask = `{"method":"GET","url":"https://a.test/","key_id":"KEY"}`
	for _, test := range []struct {
		api, tenant, key string
		of               Explanation
		want             int
	}{
		{"orders", "acme", "key_acme", Explanation{API: "orders", Tenant: "acme"}, 200},
		{"orders", "acme", "key_acme", Explanation{}, 200}, // no API has the host
		{"orders", "acme", "key_acme", Explanation{API: "orders", Tenant: "acme", Webhook: true}, 200},
		{"orders", "acme", "key_acme", Explanation{API: "orders", Webhook: true}, 403}, // of whoever's sender
		{"orders", "", "", Explanation{API: "orders", Webhook: true}, 200},
		{"orders", "acme", "key_acme", Explanation{API: "parts", Tenant: "acme"}, 403},
		{"orders", "acme", "key_acme", Explanation{API: "orders", Tenant: "other"}, 403},
		{"orders", "acme", "key_other", Explanation{API: "orders", Tenant: "other"}, 403},
		{"orders", "acme", "key_nosuch", Explanation{}, 403},
		{"orders", "acme", "", Explanation{API: "orders"}, 403},
		{"orders", "", "", Explanation{API: "orders"}, 200},
		{"orders", "", "key_other", Explanation{API: "orders", Tenant: "other"}, 200},
		{"orders", "", "", Explanation{API: "parts"}, 403},
		{"orders", "", "key_parts", Explanation{API: "parts"}, 404},
		{"", "", "key_parts", Explanation{API: "parts"}, 200},
	} {
		s.emptied().withAll().withToken(sallyport.AdminToken{Role: RoleViewer, API: test.api, Tenant: test.tenant})
		s.explain = func(context.Context, ExplainRequest) (Explanation, error) { return test.of, nil }
		if w := s.serve(s.request("POST", "/admin/v1/explain", strings.Replace(ask, "KEY", test.key, 1))); w.Code != test.want {
			t.Errorf("%q %q about key %q, %+v: %d %s, want %d", test.api, test.tenant, test.key, test.of, w.Code, w.Body, test.want)
		}
	}
}

// Every reason is told in a sentence.
func TestWhy(t *testing.T) {
	for _, r := range sallyport.Reasons() {
		said := why(Explanation{Reason: r.String(), API: "orders", Tenant: "acme", Operation: "GET /a", Requires: []string{"a"}})
		if len(said) < 15 || !strings.HasSuffix(said, ".") || strings.Contains(said, "no words") || strings.Contains(said, "  ") {
			t.Errorf("%s: %q", r, said)
		}
	}
	if said := why(Explanation{Reason: "new"}); !strings.Contains(said, "new") {
		t.Errorf("a reason without words: %q", said)
	}
	reset := now.Add(time.Minute)
	for _, test := range []struct {
		of   Explanation
		want string
	}{
		{Explanation{Reason: "allowed", Operation: "GET /a"}, "GET /a asks for no credential."},
		{Explanation{Reason: "allowed", Operation: "GET /a", Credential: "k"}, "Key k is good, and GET /a asks for no scope."},
		{Explanation{Reason: "caller.quota.requests", Limits: []ExplainedLimit{{Name: "a", Remaining: 1, Reset: reset.Add(1)}, {Name: "b", Reset: reset}, {Name: "c", Reset: now}}},
			"Limit b is used up until 2026-03-01T12:01:00Z."},
		{Explanation{Reason: "allowed", Operation: "POST /a", Credential: "webhook:shop", Webhook: true}, "The signature is good, of sender shop."},
		{Explanation{Reason: "caller.credential.disabled", Webhook: true}, "The sender is disabled."},
		{Explanation{Reason: "caller.credential.revoked", Shadow: true}, "The key is revoked, but shadow mode lets the request pass."},
	} {
		if got := why(test.of); got != test.want {
			t.Errorf("%+v:\n%s, want\n%s", test.of, got, test.want)
		}
	}
}
