package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	maxAnswer    = 1 << 20 // bytes of an answer or file, after decompression
	maxRedirects = 3
	// callTime is how long one question may take from the connection to the last
	// byte. Requests that wait for it have a deadline of their own.
	callTime = 10 * time.Second
)

// NewClient returns the HTTP client that asks issuers where none is given. It
// obeys no proxy of the environment: proxy nil is none, and http.ProxyFromEnvironment
// is that of HTTPS_PROXY.
func NewClient(proxy func(*http.Request) (*url.URL, error)) *http.Client {
	return &http.Client{
		Timeout: callTime,
		Transport: &http.Transport{
			Proxy:                  proxy,
			DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			TLSHandshakeTimeout:    5 * time.Second,
			ResponseHeaderTimeout:  callTime,
			IdleConnTimeout:        90 * time.Second,
			MaxIdleConns:           16,
			MaxIdleConnsPerHost:    8,
			MaxResponseHeaderBytes: 64 << 10,
			ForceAttemptHTTP2:      true,
		},
	}
}

// NewClientTrusting is NewClient for issuers whose certificates are checked with
// those in text, as PEM.
func NewClientTrusting(text []byte) (*http.Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("the file holds no certificate in PEM")
	}
	client := NewClient(nil)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	return client, nil
}

// guarded returns c (nil: NewClient's) with redirects followed only as follow has
// it, whatever c would have done, and without cookies.
func guarded(c *http.Client, follow func(*http.Request, []*http.Request) error) *http.Client {
	if c == nil {
		c = NewClient(nil)
	}
	own := *c
	own.CheckRedirect, own.Jar = follow, nil
	return &own
}

// overHTTPS follows a few redirects, none of them away from https.
func overHTTPS(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != "https" {
		return errors.New("it redirects away from https")
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// nowhere follows no redirect: the request has a secret and a token in it.
func nowhere(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// parseURL reads the address of an issuer.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	if u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not an https URL with a host", u.Redacted())
	}
	if u.User != nil || u.Fragment != "" {
		return nil, fmt.Errorf("%q has a user or a fragment, which no issuer's address has", u.Redacted())
	}
	return u, nil
}

// call sends r and returns the answer, which must be 200 and not too long.
func call(ctx context.Context, c *http.Client, r *http.Request) (body []byte, header http.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	r.Header.Set("Accept", "application/json, application/jwk-set+json")
	r.Header.Set("User-Agent", "sallyport")
	answer, err := c.Do(r.WithContext(ctx))
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("it answers %d", answer.StatusCode)
	}
	if body, err = readBounded(answer.Body); err != nil {
		return nil, nil, err
	}
	return body, answer.Header, nil
}

func readBounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("it has more than %d bytes", maxAnswer)
	}
	return text, nil
}
