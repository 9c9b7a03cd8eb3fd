package envoy

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sallyport/sallyport"
)

// maxBodies are how long bodies of webhooks may be: small, as long as Envoy keeps
// of a connection, and the longest that configuration takes.
var maxBodies = map[string]int64{"/hooks/small/{from}": 1000, "/hooks/usual": 1 << 20, "/hooks/long": 3 << 20}

// withWebhooks is a policy's orders with webhooks, and what stands near them.
func withWebhooks(p *sallyport.Policy, _ *Options) {
	for path, most := range maxBodies {
		p.APIs[0].Operations = append(p.APIs[0].Operations, &sallyport.Operation{
			Name: "POST " + path, Method: "POST", Path: path, Webhook: &sallyport.Webhook{MaxBody: most}})
	}
	p.APIs[0].Operations = append(p.APIs[0].Operations,
		&sallyport.Operation{Name: "POST /hooks/small/none", Method: "POST", Path: "/hooks/small/none"})
}

// noise is n bytes of every kind, NUL and what is not UTF-8 among them; the same
// for the same n.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b)
	return b
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// V9: the signature is over the body as it was sent, so that is what Check gets,
// byte for byte; and the upstream gets the same.
func TestCheckGetsTheBodyOfAWebhookAsItWasSent(t *testing.T) {
	l := startLive(t, sallyport.Paired, withWebhooks)
	upstreamGot := make(chan [32]byte, 1)
	l.onUpstream(func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			t.Errorf("read body: %v", err)
		}
		upstreamGot <- [32]byte(h.Sum(nil))
	})
	for name, c := range map[string]struct {
		path string
		body []byte
	}{
		"of every byte":                 {"/hooks/small/acme", noise(777)},
		"text":                          {"/hooks/small/acme", []byte(`{"paid": true}`)},
		"as long as it may be":          {"/hooks/small/acme", noise(1000)},
		"one byte longer":               {"/hooks/small/acme", noise(1001)},
		"two bytes longer":              {"/hooks/small/acme", noise(1002)},
		"a megabyte too long":           {"/hooks/small/acme", noise(1 << 20)},
		"as long as usual":              {"/hooks/usual", noise(1 << 20)},
		"one byte longer than usual":    {"/hooks/usual", noise(1<<20 + 1)},
		"as long as it ever may be":     {"/hooks/long", noise(3 << 20)},
		"longer than it ever may be":    {"/hooks/long", noise(3<<20 + 1)},
		"ten megabytes":                 {"/hooks/usual", noise(10 << 20)},
		"ten megabytes, where 3 may be": {"/hooks/long", noise(10 << 20)},
		"compressed":                    {"/hooks/small/acme", gzipped(bytes.Repeat([]byte("paid "), 1000))},
	} {
		for _, way := range waysOf(c.body) {
			l.forget()
			status := l.post(way, c.path, c.body)
			if status != 200 {
				t.Errorf("%s, %s: got status %d", name, way, status)
				continue
			}
			if got := <-upstreamGot; got != sha256.Sum256(c.body) {
				t.Errorf("%s, %s: the upstream got another body", name, way)
			}
			wantBody(t, name+", "+way, l.gate.lastCheck(), c.body, maxBodies[strings.Replace(c.path, "acme", "{from}", 1)])
		}
	}
}

// wantBody checks that Check got all of body, or where it is longer than it may
// be so much that Check can tell.
func wantBody(t *testing.T, name string, r *authv3.CheckRequest, body []byte, most int64) {
	t.Helper()
	h := r.GetAttributes().GetRequest().GetHttp()
	got := h.GetRawBody()
	switch {
	case h.GetBody() != "":
		t.Errorf("%s: the body came as text", name)
	case int64(len(body)) <= most && (!bytes.Equal(got, body) || h.GetSize() != int64(len(body))):
		t.Errorf("%s: Check got %d bytes of size %d, want %d", name, len(got), h.GetSize(), len(body))
	case int64(len(body)) <= most && !slices.Equal(checkHeader(r, "x-envoy-auth-partial-body"), []string{"false"}):
		t.Errorf("%s: partial: got %q", name, checkHeader(r, "x-envoy-auth-partial-body"))
	case int64(len(body)) > most && (int64(len(got)) <= most || !bytes.HasPrefix(body, got)):
		t.Errorf("%s: Check got %d bytes, want the first %d of %d and at least one more", name, len(got), most, len(body))
	}
	if got := r.GetAttributes().GetContextExtensions(); got["api"] != "orders" || got["chain"] != "paired" {
		t.Errorf("%s: Check got the context %v", name, got)
	}
}

// waysOf are the ways to send body. They matter to Envoy and not to the body, so a
// long one, which takes its time, goes in two that are unlike.
func waysOf(body []byte) []string {
	if len(body) >= 1<<20 {
		return []string{"h1 chunked", "h2"}
	}
	return []string{"h1", "h1 chunked", "h1 trailers", "h2", "h2 without length", "h2 trailers"}
}

// post sends body in one of the ways that there are, with pairs of headers, and
// returns the status.
func (l *live) post(way, path string, body []byte, headers ...string) int {
	l.t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols), DisableKeepAlives: true}
	transport.Protocols.SetHTTP1(strings.HasPrefix(way, "h1"))
	transport.Protocols.SetUnencryptedHTTP2(strings.HasPrefix(way, "h2"))
	defer transport.CloseIdleConnections()
	var from io.Reader = bytes.NewReader(body)
	if way != "h1" && way != "h2" {
		from = io.MultiReader(from) // whose length is not known
	}
	req, err := http.NewRequest("POST", "http://"+l.envoy.Address()+path, from)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Host = "api.orders.test"
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if strings.HasSuffix(way, "trailers") {
		req.Trailer = http.Header{"X-Checksum": {"abc"}}
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		l.t.Errorf("%s %s: %v", way, path, err)
		return 0
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// V9: an empty body is told from one that was not shown by its length.
func TestCheckGetsNoBodyOfAWebhookWithoutOne(t *testing.T) {
	l := startLive(t, sallyport.Fused, withWebhooks)
	for name, c := range map[string]struct {
		raw  string
		want []string
	}{
		"empty":          {request("POST /hooks/usual", "Host: api.orders.test", "Content-Length: 0"), []string{"0"}},
		"none":           {request("POST /hooks/usual", "Host: api.orders.test"), nil},
		"empty, chunked": {request("POST /hooks/usual", "Host: api.orders.test", "Transfer-Encoding: chunked") + "0\r\n\r\n", nil},
	} {
		l.forget()
		if a := l.send(c.raw); a.Status != 200 {
			t.Errorf("%s: got %d %s", name, a.Status, a.Body)
		}
		r := l.gate.lastCheck()
		h := r.GetAttributes().GetRequest().GetHttp()
		if len(h.GetRawBody()) != 0 || h.GetSize() != 0 || !slices.Equal(checkHeader(r, "content-length"), c.want) {
			t.Errorf("%s: got body %q of size %d, with length %q", name, h.GetRawBody(), h.GetSize(), checkHeader(r, "content-length"))
		}
	}
}

// V9: a webhook that Check refuses reaches no upstream, however long it is; and
// nobody waits for the rest of it.
func TestAWebhookThatIsRefusedIsNotWaitedFor(t *testing.T) {
	l := startLive(t, sallyport.Paired, withWebhooks)
	l.onCheck(deny(401))
	for _, head := range []string{"Content-Length: 10485760\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", 10<<20)} {
		l.forget()
		conn, err := net.DialTimeout("tcp", l.envoy.Address(), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		io.WriteString(conn, "POST /hooks/small/acme HTTP/1.1\r\nHost: api.orders.test\r\n"+head)
		conn.Write(noise(2000)) // and no more of it
		a := l.read(conn, false)
		conn.Close()
		if a.Status != 401 || a.Body != ownBody(401) || l.upstream.last() != nil {
			t.Errorf("%q: got %d %s, the upstream got %v", head, a.Status, a.Body, l.upstream.last())
		}
	}
}

// Bodies of all that is no webhook go by, also on paths that a webhook's template
// would take, and are not waited for.
func TestOtherBodiesAreNotShown(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		asked := make(chan *authv3.CheckRequest, 1)
		l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
			asked <- r
			return deny(403)(ctx, r)
		})
		for _, line := range []string{"POST /v1/orders", "POST /hooks/small/none", "PUT /hooks/small/acme", "POST /hooks/small/a/b", "POST /hooks/usual/"} {
			conn, err := net.DialTimeout("tcp", l.envoy.Address(), 5*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(conn, line+" HTTP/1.1\r\nHost: api.orders.test\r\nContent-Length: 5\r\n\r\n") // which never come
			if a := l.read(conn, false); a.Status != 403 {
				t.Errorf("%s: got %d %s", line, a.Status, a.Body)
			}
			conn.Close()
			if h := (<-asked).GetAttributes().GetRequest().GetHttp(); len(h.GetRawBody())+len(h.GetBody()) > 0 {
				t.Errorf("%s: Check got a body", line)
			}
		}
	})
}
