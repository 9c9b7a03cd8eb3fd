package oauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// What parses is what net/url reads, each name once; what does not has something
// that no form may have.
func FuzzParseForm(f *testing.F) {
	for _, text := range []string{
		"", "a=b", "a=b&a=c", "a=&b", "a=b&&c=d", "=x", "a=%zz", "a=%00", "a=%0a", "a=%ff", "a=b;c=d", "a+b=c+d", "%61=b&a=c", "a=b=c",
		"scope=" + strings.Repeat("x", maxValue), "scope=" + strings.Repeat("x", maxValue+1), "grant_type=client_credentials&scope=a%20b",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, problem := parseForm(text)
		if strings.Contains(text, ";") { // to net/url a mistake, to us a character (WHATWG URL §5.1)
			return
		}
		want, err := url.ParseQuery(text)
		forbidden := err != nil
		for name, values := range want {
			forbidden = forbidden || len(values) > 1 || !utf8.ValidString(name) || strings.ContainsAny(name, "\x00\r\n")
			for _, v := range values {
				forbidden = forbidden || len(v) > maxValue || !utf8.ValidString(v) || strings.ContainsAny(v, "\x00\r\n")
			}
		}
		if forbidden != (problem != nil) {
			t.Fatalf("%q: got %v, while net/url reads %q, %v", text, problem, want, err)
		}
		if problem != nil {
			if problem.status != http.StatusBadRequest || problem.code != "invalid_request" {
				t.Errorf("%q: %+v", text, problem)
			}
			return
		}
		for name, values := range want {
			if got[name] != values[0] {
				t.Errorf("%q: %q is %q, want %q", text, name, got[name], values[0])
			}
		}
		for name, value := range got {
			if value == "" || !want.Has(name) {
				t.Errorf("%q: has %q=%q", text, name, value)
			}
		}
	})
}

// What is encoded as RFC 6749 §2.3.1 has it is read back; what is read is what
// net/http reads, and is never without a name or a secret.
func FuzzParseBasic(f *testing.F) {
	for _, pair := range [][2]string{{"client_1", "s3cret"}, {"a:b", "c d+e%"}, {"", "x"}, {"x", ""}, {"ü", "\x00"}, {":", ":"}} {
		f.Add(pair[0], pair[1], "Basic "+base64.StdEncoding.EncodeToString([]byte(pair[0]+":"+pair[1])))
	}
	f.Add("a", "b", "basic  YTpi")
	f.Add("a", "b", "Basic YTpi\n")
	f.Add("a", "b", "Bearer x")
	f.Fuzz(func(t *testing.T, id, secret, header string) {
		sent := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
		c, ok := parseBasic(sent)
		if ok != (id != "" && secret != "") || ok && (c.id != id || c.secret != secret) {
			t.Errorf("%q and %q: read as %q and %q, %v", id, secret, c.id, c.secret, ok)
		}
		c, ok = parseBasic(header)
		if !ok {
			return
		}
		scheme, rest, _ := strings.Cut(header, " ")
		r := http.Request{Header: http.Header{"Authorization": {scheme + " " + strings.TrimLeft(rest, " ")}}}
		name, password, found := r.BasicAuth()
		for encoded, read := range map[string]string{name: c.id, password: c.secret} {
			if plain, err := url.QueryUnescape(encoded); !found || err != nil || plain != read || read == "" {
				t.Errorf("%q: read as %q and %q, which net/http reads as %q and %q", header, c.id, c.secret, name, password)
			}
		}
	})
}
