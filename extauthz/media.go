package extauthz

import (
	"strings"

	"github.com/sallyport/sallyport"
)

// accepts reports whether the Accept headers of req admit the media type want
// (RFC 9110 §12.5.1): absent admits everything, and a quality of zero excludes.
func accepts(req *sallyport.Request, want string) bool {
	kind, _, _ := strings.Cut(want, "/")
	best, listed := -1, false
	refused := false
	for i := range req.Headers {
		if req.Headers[i].Name != "accept" {
			continue
		}
		for rest := req.Headers[i].Value; rest != ""; {
			var item string
			item, rest, _ = strings.Cut(rest, ",")
			name, parameters, _ := strings.Cut(item, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			listed = listed || name != ""
			if rank := specificity(name, kind, want); rank > best {
				best, refused = rank, zeroQuality(parameters)
			}
		}
	}
	return !listed || best >= 0 && !refused
}

// specificity says how exactly the media range name covers want: 2 by name, 1
// by its type, 0 by */*, -1 not at all.
func specificity(name, kind, want string) int {
	switch {
	case name == want:
		return 2
	case strings.TrimSuffix(name, "/*") == kind && strings.HasSuffix(name, "/*"):
		return 1
	case name == "*/*", name == "*":
		return 0
	}
	return -1
}

// zeroQuality reports whether parameters hold q=0, q=0.0 and so on.
func zeroQuality(parameters string) bool {
	for parameters != "" {
		var p string
		p, parameters, _ = strings.Cut(parameters, ";")
		key, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(key, "q") {
			return strings.Trim(value, "0.") == "" && value != ""
		}
	}
	return false
}

// declared reports whether a body that req carries is declared as want or a
// +suffix of its kind. Only methods that write carry bodies that matter.
func declared(req *sallyport.Request, want string) bool {
	if req.Method != "POST" && req.Method != "PUT" && req.Method != "PATCH" || !carriesBody(req) {
		return true
	}
	value, lines := req.Header("content-type")
	name, _, _ := strings.Cut(value, ";")
	name = strings.ToLower(strings.TrimSpace(name))
	_, sub, _ := strings.Cut(want, "/")
	return lines == 1 && (name == want || strings.HasSuffix(name, "+"+sub) && strings.Contains(name, "/"))
}

// carriesBody reports whether req announces a body: a length that is not zero,
// or chunks.
func carriesBody(req *sallyport.Request) bool {
	if length, lines := req.Header("content-length"); lines > 0 && length != "0" {
		return true
	}
	_, chunked := req.Header("transfer-encoding")
	return chunked > 0 || req.Size > 0
}
