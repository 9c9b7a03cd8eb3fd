package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// The request that clients of the chain send, but for the key in it.
const (
	chainHost = "api.orders.test"
	chainPath = "/v1/orders/4711"
	// chainBody is what cmd/upstream answers.
	chainBody = `{"id":"4711","state":"shipped"}`
)

// quotaHeaders are what the gate adds to an answer; Envoy's own filter has the
// same names.
var quotaHeaders = []string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"}

// caller is one of the clients of an Envoy: it has one request on the way at a
// time, shows its keys in turn, and reads and checks every answer.
type caller interface {
	call() error
}

// keyring gives the keys of one caller in turn.
type keyring struct {
	keys []string
	turn int
}

func (k *keyring) next() string {
	key := k.keys[k.turn]
	k.turn = (k.turn + 1) % len(k.keys)
	return key
}

// line is a connection by HTTP/1.1, which has one request on the way at a time.
type line struct {
	socket net.Conn
	in     *bufio.Reader
	text   []byte // of the request
	key    int    // where in it the key is
	keys   keyring
	quota  bool // answers must tell the quota
}

// dialLine connects to an Envoy. All keys have the same length.
func dialLine(ctx context.Context, address string, keys keyring, quota bool) (*line, error) {
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	first := keys.keys[keys.turn]
	before := "GET " + chainPath + " HTTP/1.1\r\nHost: " + chainHost +
		"\r\nUser-Agent: orders-client/2.3.1\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate\r\nX-API-Key: "
	return &line{
		socket: socket, in: bufio.NewReader(socket),
		text: []byte(before + first + "\r\n\r\n"), key: len(before),
		keys: keys, quota: quota,
	}, nil
}

func (l *line) call() error {
	copy(l.text[l.key:], l.keys.next())
	if _, err := l.socket.Write(l.text); err != nil {
		return err
	}
	answer, err := http.ReadResponse(l.in, nil)
	if err != nil {
		return err
	}
	return checkAnswer(answer, l.quota)
}

// stream is one of several callers that share a connection by HTTP/2.
type stream struct {
	conn    *http.ClientConn
	request *http.Request
	keys    keyring
	quota   bool
}

// dialHTTP2 opens a connection for callers that newStream makes.
func dialHTTP2(ctx context.Context, address string) (*http.ClientConn, error) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DisableCompression: true}
	return transport.NewClientConn(ctx, "http", address)
}

func newStream(ctx context.Context, conn *http.ClientConn, keys keyring, quota bool) (*stream, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+chainHost+chainPath, nil)
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{
		"User-Agent": {"orders-client/2.3.1"}, "Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate"}, "X-Api-Key": {""},
	}
	return &stream{conn: conn, request: request, keys: keys, quota: quota}, nil
}

func (s *stream) call() error {
	s.request.Header["X-Api-Key"][0] = s.keys.next()
	answer, err := s.conn.RoundTrip(s.request)
	if err != nil {
		return err
	}
	if answer.ProtoMajor != 2 {
		return fmt.Errorf("the answer came by %s", answer.Proto)
	}
	return checkAnswer(answer, s.quota)
}

// checkAnswer reads answer to its end and says why it is not what a good
// request gets: the upstream's own words, with the quota where it is to be told
// and without where nobody is there who counts.
func checkAnswer(answer *http.Response, quota bool) error {
	var room [512]byte // more than is good, so that a longer body shows
	n, err := io.ReadFull(answer.Body, room[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		answer.Body.Close()
		return fmt.Errorf("read an answer: %w", err)
	}
	if err := answer.Body.Close(); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	if fault := answerFault(answer, string(room[:n]), quota); fault != "" {
		return fmt.Errorf("%s:\n%s", fault, dumpAnswer(answer, room[:n]))
	}
	return nil
}

func answerFault(answer *http.Response, body string, quota bool) string {
	if answer.StatusCode != http.StatusOK {
		return "status " + answer.Status
	}
	for _, name := range quotaHeaders {
		values := answer.Header[name]
		switch {
		case quota && (len(values) != 1 || values[0] == ""):
			return fmt.Sprintf("%d headers %s, want one", len(values), name)
		case !quota && len(values) > 0:
			return "there is a header " + name + ", and nobody who counts"
		}
	}
	if body != chainBody {
		return "the body is not the upstream's"
	}
	return ""
}

// dumpAnswer shows what was read of an answer.
func dumpAnswer(answer *http.Response, body []byte) string {
	whole := *answer
	whole.Body = io.NopCloser(bytes.NewReader(body))
	whole.ContentLength = int64(len(body))
	text, err := httputil.DumpResponse(&whole, true)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}
