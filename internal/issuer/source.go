package issuer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// How long a set that was fetched is fresh, where the issuer says nothing and
// whatever it says.
const (
	defaultFresh = 15 * time.Minute
	minFresh     = time.Minute
	maxFresh     = 24 * time.Hour
)

// pollEvery is how often a file is read. That costs less than to be told of
// changes, and sees those that a link was turned for.
const pollEvery = 5 * time.Second

// source is where a JWK set comes from.
type source interface {
	// read returns the set's text, and when to read it again.
	read(ctx context.Context) (text []byte, again time.Duration, err error)
	// retry is when to read again after so many failures in a row, from 1.
	retry(failures int) time.Duration
}

func newSource(from string, c *http.Client) (source, error) {
	if from == "" {
		return nil, errors.New("a URL or a file is needed")
	}
	if !strings.Contains(from, "://") {
		return fileSource(from), nil
	}
	u, err := parseURL(from)
	if err != nil {
		return nil, err
	}
	return &urlSource{u, guarded(c, overHTTPS)}, nil
}

type urlSource struct {
	url    *url.URL
	client *http.Client
}

func (s *urlSource) read(ctx context.Context) (text []byte, again time.Duration, err error) {
	r := &http.Request{Method: http.MethodGet, URL: s.url, Host: s.url.Host, Header: make(http.Header)}
	text, header, err := call(ctx, s.client, r)
	if err != nil {
		return nil, 0, err
	}
	// Some time before the end, since the next answer may be late.
	return text, fresh(header) / 5 * 4, nil
}

// retry waits longer each time, so that an issuer that comes back is not met by
// everybody at once.
func (s *urlSource) retry(failures int) time.Duration {
	return min(fetchEvery<<min(failures-1, 5), 5*time.Minute)
}

// fresh is how long an answer may be kept: the max-age of Cache-Control less its
// Age, within bounds. no-store and no-cache ask for the shortest.
func fresh(header http.Header) time.Duration {
	for _, directive := range strings.Split(strings.ToLower(strings.Join(header.Values("Cache-Control"), ",")), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return minFresh
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil {
				return defaultFresh
			}
			age, err := strconv.ParseUint(header.Get("Age"), 10, 31)
			if err != nil {
				age = 0
			}
			left := time.Duration(seconds)*time.Second - time.Duration(age)*time.Second
			return min(max(left, minFresh), maxFresh)
		}
	}
	return defaultFresh
}

type fileSource string

func (s fileSource) read(context.Context) (text []byte, again time.Duration, err error) {
	// Opening what is not a file, such as a pipe, could wait for ever.
	info, err := os.Stat(string(s))
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a file", string(s))
	}
	f, err := os.Open(string(s))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text, err = readBounded(f)
	return text, pollEvery, err
}

func (s fileSource) retry(int) time.Duration { return pollEvery }
