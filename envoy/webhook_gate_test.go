package envoy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
	"github.com/sallyport/sallyport/internal/wire"
	"github.com/sallyport/sallyport/ratelimit"
)

// acme is who signs, by one of two secrets; it is all that there is in its store.
type acme struct{ hasher *apikey.Hasher }

func (a acme) Sender(_ context.Context, api, id string) (*sallyport.Sender, error) {
	if id != "acme" {
		return nil, fmt.Errorf("sender: %w", sallyport.ErrNotFound)
	}
	s := &sallyport.Sender{ID: id, API: api, State: sallyport.Active,
		Tenant: &sallyport.Tenant{ID: "org_1", API: api, State: sallyport.Active}}
	for _, secret := range []string{"new", "old"} {
		s.Secrets = append(s.Secrets, sallyport.SealedSecret{Pepper: a.hasher.Version(),
			Sealed: seal.Seal(seal.Key(a.hasher.Derive(seal.Purpose)), webhook.SealName(api, id), []byte(secret))})
	}
	return s, nil
}

func (acme) ByDigest(context.Context, sallyport.Digest) (*sallyport.Credential, error) {
	return nil, sallyport.ErrNotFound
}

// serveGate serves p by our own Check, on the socket that it returns.
func serveGate(t *testing.T, p *sallyport.Policy) (socket string) {
	t.Helper()
	pepper, err := apikey.ParsePepper([]byte(strings.Repeat("pepper", 8)))
	if err != nil {
		t.Fatal(err)
	}
	hasher, err := apikey.NewHasher(pepper)
	if err != nil {
		t.Fatal(err)
	}
	finder, err := extauthz.NewFinder(acme{}, extauthz.FinderOptions{Credentials: 10, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	senders, err := extauthz.NewSenders(acme{hasher}, finder, hasher)
	if err != nil {
		t.Fatal(err)
	}
	authorizer := extauthz.New(hasher, finder, ratelimit.Limiter{Counters: ratelimit.NewMemory()}, nil, time.Now)
	authorizer.AcceptWebhooks(senders)
	commit, err := authorizer.Prepare(p)
	if err != nil {
		t.Fatal(err)
	}
	commit()
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()))
	extauthz.NewServer(authorizer, nil).Register(server)
	socket = filepath.Join(t.TempDir(), "gate.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(func() {
		server.Stop()
		senders.Close()
		finder.Close()
	})
	return socket
}

// bodies is an upstream that knows what it got.
type bodies struct {
	mu  sync.Mutex // guards all below
	got [][32]byte
	of  []string // tenants
}

func (b *bodies) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	io.Copy(h, r.Body)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, [32]byte(h.Sum(nil)))
	b.of = append(b.of, r.Header.Get("X-Sallyport-Tenant")+" "+r.Header.Get("X-Sallyport-Credential")+r.Header.Get("X-Api-Key"))
}

func (b *bodies) drain() (got [][32]byte, of []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	got, of, b.got, b.of = b.got, b.of, nil, nil
	return got, of
}

func sign(secret string, body []byte, stamp string) string {
	return webhook.Write(&sallyport.Webhook{}, webhook.Sign(webhook.NewSecret([]byte(secret)), webhook.Message{Stamp: stamp, Body: string(body)}))
}

// V9, G6: through Envoy to the gate and on to the upstream, however it is sent:
// what its sender signed arrives as it was signed, and as its tenant's; anything
// else is 401, and does not arrive at all.
func TestSignedWebhooksPassAndOthersDoNot(t *testing.T) {
	arrived := new(bodies)
	l := startLive(t, sallyport.Fused, func(p *sallyport.Policy, o *Options) {
		orders := p.APIs[0]
		orders.Places = []sallyport.Place{{Header: "x-api-key"}}
		orders.Operations = nil
		for path, most := range maxBodies {
			w := &sallyport.Webhook{Header: "x-signature", Sender: "acme", MaxBody: most}
			if strings.Contains(path, "{from}") {
				w.Sender, w.Parameter = "", "from"
			}
			orders.Operations = append(orders.Operations, &sallyport.Operation{Name: "POST " + path, Method: "POST", Path: path, Weight: 1, Webhook: w})
		}
		orders.Operations = append(orders.Operations, &sallyport.Operation{Name: "once", Method: "POST", Path: "/hooks/once", Weight: 1, Webhook: &sallyport.Webhook{
			Header: "x-signature", Sender: "acme", MaxBody: 1000, Once: time.Hour,
			Timestamp: sallyport.WebhookTimestamp{Header: "x-time", Tolerance: 10 * time.Minute, Signed: true}}})
		o.GRPC = "unix://" + serveGate(t, p)
	})
	l.onUpstream(arrived.ServeHTTP)
	small, long := noise(1000), noise(1001)
	flipped := bytes.Clone(small)
	flipped[500] ^= 1
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	for _, c := range []struct {
		name, path string
		body       []byte
		headers    []string
		want       int
	}{
		{"of every byte", "/hooks/small/acme", small, []string{"X-Signature", sign("new", small, "")}, 200},
		{"by the old secret", "/hooks/small/acme", small, []string{"X-Signature", sign("old", small, "")}, 200},
		{"in capitals", "/hooks/small/acme", small, []string{"X-Signature", strings.ToUpper(sign("new", small, ""))}, 200},
		{"with a key beside", "/hooks/small/acme", small, []string{"X-Signature", sign("new", small, ""), "X-Api-Key", "k"}, 200},
		{"compressed", "/hooks/small/acme", gzipped(small[:500]), []string{"X-Signature", sign("new", gzipped(small[:500]), ""), "Content-Encoding", "gzip"}, 200},
		{"as long as usual", "/hooks/usual", noise(1 << 20), []string{"X-Signature", sign("new", noise(1<<20), "")}, 200},
		{"as long as it ever may be", "/hooks/long", noise(3 << 20), []string{"X-Signature", sign("new", noise(3<<20), "")}, 200},
		{"a byte too long", "/hooks/small/acme", long, []string{"X-Signature", sign("new", long, "")}, 401},
		{"too long, and signed as far as it is shown", "/hooks/small/acme", noise(5000), []string{"X-Signature", sign("new", noise(5000)[:1001], "")}, 401},
		{"too long, and signed as far as it may be", "/hooks/small/acme", noise(5000), []string{"X-Signature", sign("new", noise(5000)[:1000], "")}, 401},
		{"a bit flipped", "/hooks/small/acme", flipped, []string{"X-Signature", sign("new", small, "")}, 401},
		{"not signed", "/hooks/small/acme", small, nil, 401},
		{"signed by another", "/hooks/small/acme", small, []string{"X-Signature", sign("other", small, "")}, 401},
		{"from nobody", "/hooks/small/nobody", small, []string{"X-Signature", sign("new", small, "")}, 401},
		{"uncompressed", "/hooks/small/acme", gzipped(small[:500]), []string{"X-Signature", sign("new", small[:500], ""), "Content-Encoding", "gzip"}, 401},
		{"in place of a key", "/hooks/none", small, []string{"X-Signature", sign("new", small, "")}, 401},
		{"too late", "/hooks/once", small, []string{"X-Signature", sign("new", small, "1"), "X-Time", "1"}, 401},
	} {
		for _, way := range waysOf(c.body) {
			l.wantPassed(t, c.name+", "+way, way, c.path, c.body, c.headers, c.want, arrived)
		}
	}
	l.wantPassed(t, "empty", "h1", "/hooks/small/acme", nil, []string{"X-Signature", sign("new", nil, "")}, 200, arrived)
	l.wantPassed(t, "empty", "h2", "/hooks/small/acme", nil, []string{"X-Signature", sign("new", nil, "")}, 200, arrived)
	once := []string{"X-Signature", sign("new", small, stamp), "X-Time", stamp}
	l.wantPassed(t, "once", "h1", "/hooks/once", small, once, 200, arrived)
	l.wantPassed(t, "twice", "h2", "/hooks/once", small, once, 401, arrived)
}

func (l *live) wantPassed(t *testing.T, name, way, path string, body []byte, headers []string, want int, arrived *bodies) {
	t.Helper()
	if got := l.post(way, path, body, headers...); got != want {
		t.Errorf("%s: got status %d, want %d", name, got, want)
	}
	got, of := arrived.drain()
	switch {
	case want != 200 && len(got) > 0:
		t.Errorf("%s: the upstream was called", name)
	case want == 200 && (len(got) != 1 || got[0] != sha256.Sum256(body) || of[0] != "org_1 webhook:acme"):
		t.Errorf("%s: the upstream got %d bodies, of %q", name, len(got), of)
	}
}
