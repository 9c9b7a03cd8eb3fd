package signin

import (
	"errors"
	"io"
	"net/http"
)

// maxAnswer is how much of an answer is read: go-oidc reads all that there is.
const maxAnswer = 1 << 20

// guard holds requests to https, redirects included, and answers to a length.
type guard struct{ next http.RoundTripper }

var (
	errPlain = errors.New("the provider leads to an address that is not https")
	errLong  = errors.New("the provider's answer is too long")
)

// RoundTrip implements http.RoundTripper.
func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errPlain
	}
	answer, err := g.next.RoundTrip(r)
	if err == nil {
		answer.Body = &bounded{answer.Body, maxAnswer}
	}
	return answer, err
}

// bounded is a body that may have so many bytes more.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errLong
	}
	return n, err
}
