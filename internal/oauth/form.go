package oauth

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/internal/visit"
)

const (
	maxBody  = 64 << 10
	maxValue = 16 << 10
)

// problem is an error as RFC 6749 §5.2 tells it.
type problem struct {
	status int
	code   string
	detail string // ASCII without quotes and backslashes
}

func (p *problem) Error() string { return p.code + ": " + p.detail }

func invalidRequest(detail string) *problem {
	return &problem{http.StatusBadRequest, "invalid_request", detail}
}

// form is the parameters of a request (RFC 6749 §3.2): each once, and one without
// a value is as good as left out.
type form map[string]string

// readForm reads the body of v as a form, beside which nothing stands in the URL.
func readForm(v *visit.Visit) (form, *problem) {
	f, bad := readBody(v)
	if bad == nil && v.R.URL.RawQuery != "" { // secrets there end up in logs
		return nil, invalidRequest("parameters belong into the body")
	}
	return f, bad
}

// readBody reads the body of v as a form.
func readBody(v *visit.Visit) (form, *problem) {
	kind, _, err := mime.ParseMediaType(v.R.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" || len(v.R.Header.Values("Content-Type")) != 1 {
		return nil, invalidRequest("the body must be application/x-www-form-urlencoded")
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, maxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, &problem{http.StatusRequestEntityTooLarge, "invalid_request", "the body is too long"}
	case err != nil:
		return nil, invalidRequest("the body could not be read")
	}
	return parseForm(string(body))
}

// parseForm reads text as application/x-www-form-urlencoded. Unlike net/url it
// takes nothing twice and nothing that is not written as it should be.
func parseForm(text string) (form, *problem) {
	f := make(form)
	seen := make(map[string]bool)
	for text != "" {
		var pair string
		pair, text, _ = strings.Cut(text, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		if err != nil {
			return nil, invalidRequest("a parameter is not encoded as it should be")
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return nil, invalidRequest("a parameter is not encoded as it should be")
		}
		switch {
		case !utf8.ValidString(name) || !utf8.ValidString(value) || strings.ContainsAny(name+value, "\x00\r\n"):
			return nil, invalidRequest("a parameter holds what no parameter may")
		case len(value) > maxValue:
			return nil, invalidRequest("a parameter is too long")
		case seen[name]:
			return nil, invalidRequest("a parameter is there more than once")
		}
		seen[name] = true
		if value != "" {
			f[name] = value
		}
	}
	return f, nil
}
