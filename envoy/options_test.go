package envoy

import (
	"strings"
	"testing"
)

func TestParseEndpoint(t *testing.T) {
	for s, want := range map[string]endpoint{
		"unix:///run/a.sock": {Pipe: "/run/a.sock"},
		"unix:/run/a.sock":   {Pipe: "/run/a.sock"},
		"127.0.0.1:80":       {Host: "127.0.0.1", Port: 80, IP: true},
		"[::1]:80":           {Host: "::1", Port: 80, IP: true},
		"gate.internal:9191": {Host: "gate.internal", Port: 9191},
	} {
		if got, err := parseDial(s); err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "host", "host:", "host:x", "host:65536", "host:0", ":80", "Host:80", "a b:80", "unix:", "unix:a", "unix://a",
		"unix:////a", "unix:///" + strings.Repeat("a", 107), "[::1", "::1"} {
		if got, err := parseDial(s); err == nil {
			t.Errorf("%q: got %+v, want an error", s, got)
		}
	}
}

func TestParseUpstream(t *testing.T) {
	for s, want := range map[string]struct {
		at  endpoint
		tls bool
	}{
		"http://127.0.0.1:8080": {endpoint{Host: "127.0.0.1", Port: 8080, IP: true}, false},
		"http://backend/":       {endpoint{Host: "backend", Port: 80}, false},
		"https://backend.test":  {endpoint{Host: "backend.test", Port: 443}, true},
		"https://[::1]:1":       {endpoint{Host: "::1", Port: 1, IP: true}, true},
	} {
		if at, tls, err := parseUpstream(s); err != nil || at != want.at || tls != want.tls {
			t.Errorf("%q: got %+v, %v, %v, want %+v", s, at, tls, err, want)
		}
	}
	for _, s := range []string{"", "backend:80", "ftp://a", "http://", "http://a/b", "http://a?b", "http://a#b", "http://u:p@a", "http://a:0", "http://a:99999", "http://a b", "http://Ä"} {
		if at, _, err := parseUpstream(s); err == nil {
			t.Errorf("%q: got %+v, want an error", s, at)
		}
	}
}
