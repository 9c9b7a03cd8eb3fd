package admin

import (
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
)

// conditional makes a call with one header more.
func (s *server) conditional(method, path, body, header, value string) *httptest.ResponseRecorder {
	s.Helper()
	r := s.request(method, path, body)
	r.Header.Set(header, value)
	return s.serve(r)
}

func TestETags(t *testing.T) {
	s, pat := newServer(t).withUser()
	for path, change := range map[string]string{
		"/admin/v1/tenants/orders/acme":   `{"name":"x"}`,
		"/admin/v1/users/orders/acme/ann": `{"name":"x"}`,
		"/admin/v1/keys/" + pat.KeyID:     `{"name":"x"}`,
	} {
		tag := s.serve(s.request("GET", path, "")).Header().Get("ETag")
		if len(tag) < 20 || tag[0] != '"' {
			t.Fatalf("%s: ETag %s, want a strong one", path, tag)
		}
		for _, value := range []string{tag, "*", "W/" + tag, `"other", ` + tag} {
			if w := s.conditional("GET", path, "", "If-None-Match", value); w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
				t.Errorf("%s If-None-Match %s: %d %s, ETag %s", path, value, w.Code, w.Body, w.Header().Get("ETag"))
			}
		}
		if w := s.conditional("GET", path, "", "If-None-Match", `"other"`); w.Code != 200 {
			t.Errorf("%s If-None-Match of another: %d", path, w.Code)
		}
		for _, value := range []string{`"other"`, "W/" + tag, "x", tag[:len(tag)-1]} {
			if w := s.conditional("PATCH", path, change, "If-Match", value); w.Code != 412 {
				t.Errorf("%s If-Match %s: %d %s, want 412", path, value, w.Code, w.Body)
			}
		}
		w := s.conditional("PATCH", path, change, "If-Match", `"other", `+tag)
		next := w.Header().Get("ETag")
		if w.Code != 200 || next == "" || next == tag {
			t.Errorf("%s If-Match of its own: %d, ETag %s after %s", path, w.Code, next, tag)
		}
		if w := s.conditional("PATCH", path, change, "If-Match", tag); w.Code != 412 {
			t.Errorf("%s If-Match of the one before: %d, want 412", path, w.Code)
		}
		if got := s.serve(s.request("GET", path, "")).Header().Get("ETag"); got != next {
			t.Errorf("%s: ETag %s, want that of the change, %s", path, got, next)
		}
	}
	for _, doing := range []string{"roll", "revoke"} {
		path := "/admin/v1/keys/" + pat.KeyID
		tag := s.serve(s.request("GET", path, "")).Header().Get("ETag")
		if w := s.conditional("POST", path+"/"+doing, "", "If-Match", `"other"`); w.Code != 412 {
			t.Errorf("%s If-Match of another: %d, want 412", doing, w.Code)
		}
		if w := s.conditional("POST", path+"/"+doing, "", "If-Match", tag); w.Code != 200 || w.Header().Get("ETag") == tag {
			t.Errorf("%s: %d, ETag %s after %s", doing, w.Code, w.Header().Get("ETag"), tag)
		}
	}
}

func TestTheETagOfWhatIsMadeIsThatOfWhatIsShown(t *testing.T) {
	s := newServer(t).withTenant()
	for body, path := range map[string]string{
		`{"api":"orders","id":"new","plan":"custom","limits":{"requests":["60/60s"]}}`: "tenants/orders/new",
		`{"api":"orders","tenant":"acme","id":"new","roles":["reader"]}`:               "users/orders/acme/new",
		`{"api":"orders","tenant":"acme","allowed_ips":["10.0.0.0/8"],"name":"x"}`:     "keys/",
	} {
		collection := map[byte]string{'t': "tenants", 'u': "users", 'k': "keys"}[path[0]]
		made := s.serve(s.request("POST", "/admin/v1/"+collection, body))
		if path == "keys/" {
			path += call[KeyList](s, 200, "GET", "/admin/v1/keys?name=x", "").Keys[0].KeyID
		}
		shown := s.serve(s.request("GET", "/admin/v1/"+path, ""))
		if got, want := made.Header().Get("ETag"), shown.Header().Get("ETag"); made.Code != 201 || got != want {
			t.Errorf("%s: %d with ETag %s, and shown with %s", path, made.Code, got, want)
		}
	}
}

// Of many who change what they all have read, one does.
func TestNoUpdateIsLost(t *testing.T) {
	s := newServer(t).withTenant()
	path := "/admin/v1/keys/" + s.newKey(plainKey).KeyID
	tag := s.serve(s.request("GET", path, "")).Header().Get("ETag")
	var done atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		r := s.request("PATCH", path, `{"name":"`+string(rune('a'+i))+`"}`)
		r.Header.Set("If-Match", tag)
		all.Go(func() {
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Code == 200 {
				done.Add(1)
			}
		})
	}
	all.Wait()
	if n := done.Load(); n != 1 {
		t.Errorf("%d of 8 changed it, want 1", n)
	}
}
