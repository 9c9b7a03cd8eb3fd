package admin

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestStatus(t *testing.T) {
	s := newServer(t)
	got := call[Status](s, 200, "GET", "/admin/v1/status", "")
	if got.Version != "test" || got.Chain != "paired" || len(got.APIs) != 3 || got.APIs[0].Prefixes[1] != "or_test_" {
		t.Errorf("status %+v", got)
	}
}

func TestDescription(t *testing.T) {
	s := newServer(t)
	spec := call[struct {
		OpenAPI  string
		Paths    map[string]map[string]any
		Security []map[string][]string
	}](s, 200, "GET", "/admin/openapi.json", "")
	want := map[string][]string{
		"/admin/v1/status":                    {"get"},
		"/admin/v1/tenants":                   {"get", "post"},
		"/admin/v1/tenants/{api}/{id}":        {"get", "patch"},
		"/admin/v1/keys":                      {"get", "post"},
		"/admin/v1/keys/{id}":                 {"get", "patch"},
		"/admin/v1/keys/{id}/revoke":          {"post"},
		"/admin/v1/keys/{id}/roll":            {"post"},
		"/admin/v1/keys/import":               {"post"},
		"/admin/v1/clients":                   {"get", "post"},
		"/admin/v1/clients/{id}":              {"get", "patch"},
		"/admin/v1/clients/{id}/revoke":       {"post"},
		"/admin/v1/clients/{id}/roll":         {"post"},
		"/admin/v1/senders":                   {"get", "post"},
		"/admin/v1/senders/{api}/{id}":        {"get", "patch"},
		"/admin/v1/senders/{api}/{id}/roll":   {"post"},
		"/admin/v1/senders/{api}/{id}/settle": {"post"},
		"/admin/v1/senders/{api}/{id}/revoke": {"post"},
		"/admin/v1/users":                     {"get", "post"},
		"/admin/v1/roles":                     {"get"},
		"/admin/v1/tokens":                    {"get", "post"},
		"/admin/v1/tokens/{id}/revoke":        {"post"},
		"/admin/v1/reload":                    {"post"},
		"/admin/v1/profile":                   {"get"},
		"/admin/v1/explain":                   {"post"},
		"/admin/v1/limits":                    {"get"},
		"/admin/v1/limits/reset":              {"post"},
		"/admin/v1/limits/refund":             {"post"},
		"/admin/v1/limits/override":           {"put", "delete"},

		"/admin/v1/users/{api}/{tenant}/{id}":   {"get", "patch"},
		"/admin/v1/roles/{api}/{tenant}/{name}": {"put", "delete"},
	}
	for path, methods := range want {
		for _, method := range methods {
			if spec.Paths[path][method] == nil {
				t.Errorf("the description lacks %s %s", method, path)
			}
		}
	}
	if len(spec.Paths) != len(want) || len(spec.Security) != 1 || !strings.HasPrefix(spec.OpenAPI, "3.") {
		t.Errorf("the description has %d paths, security %v, version %q", len(spec.Paths), spec.Security, spec.OpenAPI)
	}
	page := s.serve(s.request("GET", "/admin/docs", "")).Body.String()
	for _, part := range []string{"PATCH /admin/v1/keys/{id}", `id="NewKey"`, "expires_at", "Send <a href=\"#KeyChange\">"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page for people lacks %q", part)
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, "http://") || strings.Contains(page, "https://") {
		t.Error("the page for people loads something")
	}
}

func TestBodiesAreBounded(t *testing.T) {
	s := newServer(t).withTenant()
	call[problem](s, 413, "POST", "/admin/v1/keys", `{"api":"orders","tenant":"acme","name":"`+strings.Repeat("x", maxBody)+`"}`)
	r := s.request("POST", "/admin/v1/keys", "api=orders&tenant=acme")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if w := s.serve(r); w.Code != 415 {
		t.Errorf("a form: %d, want 415", w.Code)
	}
}

func TestMethodsThatAPathHasAreTold(t *testing.T) {
	s := newServer(t)
	w := s.serve(s.request("DELETE", "/admin/v1/keys", ""))
	if allow := w.Header().Get("Allow"); w.Code != 405 || !strings.Contains(allow, "POST") {
		t.Errorf("%d with Allow %q, want 405 with POST", w.Code, allow)
	}
}

func TestRequestsOfAClientDecode(t *testing.T) {
	for _, test := range []struct {
		change KeyChange
		want   string
	}{
		{KeyChange{}, `{}`},
		{KeyChange{ExpiresAt: Null[string](), State: Some("disabled")}, `{"expires_at":null,"state":"disabled"}`},
		{KeyChange{Scopes: Some([]string{"a"}), AllowedIPs: Some([]string{})}, `{"scopes":["a"],"allowed_ips":[]}`},
	} {
		text, err := json.Marshal(test.change)
		if err != nil || string(text) != test.want {
			t.Errorf("%s, %v; want %s", text, err, test.want)
		}
		var back KeyChange
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(back); string(again) != test.want {
			t.Errorf("reads back as %s, want %s", again, test.want)
		}
	}
}
