package pattern

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	good := []string{
		"/", "/v1", "/v1/items/7", "/a.b/..c/...", "/.well-known/x", "/~joe", "/a:b@c", "/!$&'()*+,=",
		"/a%20b", "/%C3%A9t%c3%a9", "/joe%40example.com", "/a%2Bb%3D", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D",
		"/%F0%9F%98%80", "/%C2%A0", "/%EF%BF%BD",
	}
	for _, p := range good {
		if !Canonical(p) {
			t.Errorf("Canonical(%q) = false, want true", p)
		}
	}
	bad := []string{
		"", "*", "v1", "http://host/v1", "//", "/v1/", "/v1//items", "//v1",
		"/.", "/..", "/v1/.", "/v1/..", "/v1/./items", "/v1/../items", "/../v1",
		"/%2e", "/%2E%2E", "/.%2e", "/%2e./v1", "/v1/%2e%2e/items", "/v1/..;/items", "/v1/..;",
		"/v1;x=1", "/;/v1", "/v1%3Bx", "/v1%3bx",
		"/v1%2Fitems", "/v1%2fitems", "/v1%5Citems", "/v1%5citems", "/v1\\items", "/..\\v1",
		"/v1%252Fitems", "/%25", "/a%2520b", "/%2525",
		"/%61dmin", "/%41", "/%30", "/%2D", "/%5F", "/%7E", "/%7e",
		"/a%00", "/%0A", "/%0d%0aX", "/%1F", "/%7F", "/\x00", "/a\nb", "/a\tb", "/a\x7fb", "/a b",
		"/v1?x", "/v1#x", "/v1%3Fx", "/v1%23x",
		"/\"", "/<", "/>", "/[", "/]", "/^", "/`", "/{", "/|", "/}",
		"/é", "/\xff", "/%", "/a%", "/%2", "/%4", "/%zz", "/%G0", "/%0G", "/%u002e", "/%%",
		"/%FF", "/%C0%AF", "/%C0%AE", "/%E0%80%AF", "/%F0%80%80%AF", "/%ED%A0%80", "/%F4%90%80%80", // not UTF-8
		"/%C3", "/%C3x", "/%C3%", "/%C3%4", "/%C3/%A9", "/%E2%82", "/%A9", "/%C3%C3%A9", "/%C2%85", "/%C2%80",
	}
	for _, p := range bad {
		if Canonical(p) {
			t.Errorf("Canonical(%q) = true, want false", p)
		}
	}
}

var (
	slowSegment = regexp.MustCompile(`^(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%[0-9A-Fa-f]{2})+$`)
	slowEncoded = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	slowNever   = regexp.MustCompile(`^[A-Za-z0-9._~/\\%;?#\x00-\x1f\x7f-]$`)
)

// slowCanonical is Canonical, segment by segment and with the library's means.
func slowCanonical(path string) bool {
	if path == "/" {
		return true
	}
	tail, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	for _, segment := range strings.Split(tail, "/") {
		if segment == "." || segment == ".." || !slowSegment.MatchString(segment) {
			return false
		}
		for _, e := range slowEncoded.FindAllString(segment, -1) {
			if one, err := url.PathUnescape(e); err != nil || slowNever.MatchString(one) {
				return false
			}
		}
		text, err := url.PathUnescape(segment)
		if err != nil || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
			return false
		}
	}
	return true
}

// Canonical is what its plain form says; and what it accepts survives being
// parsed, cleaned and printed by net/url as the same segments.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"/", "/v1/items/a%20b", "/%C3%A9", "/%C0%AF", "/..", "/a/%2e", "/a;b", "/%25", "/a//b", "/%C3/%A9", "/%F0%9F%98%80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := Canonical(path)
		if want := slowCanonical(path); got != want {
			t.Fatalf("Canonical(%q) = %v, want %v", path, got, want)
		}
		if !got {
			return
		}
		u, err := url.ParseRequestURI(path)
		if err != nil || u.RawQuery != "" || u.EscapedPath() != path && u.RawPath != "" {
			t.Fatalf("net/url reads %q as %#v, %v", path, u, err)
		}
		if cleaned := (&url.URL{Path: "/"}).JoinPath(path).Path; cleaned != u.Path {
			t.Fatalf("%q is cleaned to %q", path, cleaned)
		}
		if strings.Count(u.Path, "/") != strings.Count(path, "/") {
			t.Fatalf("%q has other segments once decoded: %q", path, u.Path)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	for _, p := range []string{"/v1/items/0f8fad5b-d9cb-469f-a165-70867728950e/parts", "/v1/items/%C3%A9t%C3%A9%20%C3%A9t%C3%A9"} {
		b.Run(p[10:14], func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if !Canonical(p) {
					b.Fatal(p)
				}
			}
		})
	}
}
