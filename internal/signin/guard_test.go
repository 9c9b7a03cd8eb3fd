package signin

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// No redirect leads away from https, and no answer is read without end.
func TestGuard(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, plain.URL, http.StatusFound)
		case "/most":
			io.WriteString(w, strings.Repeat("x", maxAnswer))
		case "/more":
			io.WriteString(w, strings.Repeat("x", maxAnswer+1))
		}
	}))
	defer server.Close()
	client := New(Options{HTTP: server.Client()}).o.HTTP
	for path, want := range map[string]error{"/away": errPlain, "/most": nil, "/more": errLong} {
		answer, err := client.Get(server.URL + path)
		if err == nil {
			_, err = io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	if _, err := client.Get(plain.URL); !errors.Is(err, errPlain) {
		t.Errorf("http: got %v", err)
	}
}
