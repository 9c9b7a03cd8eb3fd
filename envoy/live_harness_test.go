package envoy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/envoyproc"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

// gate is a stand-in for our server, on the generated types. Its answers may be
// changed between requests.
type gate struct {
	authv3.UnimplementedAuthorizationServer
	rlsv3.UnimplementedRateLimitServiceServer

	mu     sync.Mutex // guards all below
	check  func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)
	limit  func(context.Context, *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error)
	quiet  bool // keeps no requests
	checks []*authv3.CheckRequest
	limits []*rlsv3.RateLimitRequest
}

func (g *gate) Check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	g.mu.Lock()
	if !g.quiet {
		g.checks = append(g.checks, r)
	}
	answer := g.check
	g.mu.Unlock()
	return answer(ctx, r)
}

func (g *gate) ShouldRateLimit(ctx context.Context, r *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
	g.mu.Lock()
	if !g.quiet {
		g.limits = append(g.limits, r)
	}
	answer := g.limit
	g.mu.Unlock()
	return answer(ctx, r)
}

// lastCheck returns the latest CheckRequest, nil where there was none.
func (g *gate) lastCheck() *authv3.CheckRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.checks) == 0 {
		return nil
	}
	return g.checks[len(g.checks)-1]
}

func (g *gate) lastLimit() *rlsv3.RateLimitRequest {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.limits) == 0 {
		return nil
	}
	return g.limits[len(g.limits)-1]
}

// upstream records what reaches it and answers what the test says.
type upstream struct {
	mu       sync.Mutex // guards all below
	requests []*http.Request
	answer   http.HandlerFunc
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	u.requests = append(u.requests, r)
	answer := u.answer
	u.mu.Unlock()
	answer(w, r)
}

func (u *upstream) last() *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.requests) == 0 {
		return nil
	}
	return u.requests[len(u.requests)-1]
}

// live is Envoy on a generated bootstrap between a client and stand-ins.
type live struct {
	t        *testing.T
	chain    sallyport.Chain
	envoy    *envoyproc.Process
	gate     *gate
	grpc     *grpc.Server
	upstream *upstream
	backend  *httptest.Server
	http     *upstream // stands in for our own plain HTTP
	slots    *ratelimit.Slots
	log      *ratelimit.AccessLog
	ahead    atomic.Int64 // how far the clock of slots and log is before ours
	spent    chan ratelimit.Spent
}

func (l *live) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

// startLive runs Envoy with every stand-in in good health. change may alter the
// policy and the options.
func startLive(t *testing.T, chain sallyport.Chain, change func(*sallyport.Policy, *Options)) *live {
	t.Helper()
	return startEdited(t, chain, change, func(text []byte) []byte { return text })
}

// startEdited is startLive with the last word on the bootstrap.
func startEdited(t *testing.T, chain sallyport.Chain, change func(*sallyport.Policy, *Options), edit func([]byte) []byte) *live {
	t.Helper()
	return startWorkers(t, 1, chain, change, edit)
}

// startWorkers is startEdited with so many of Envoy's threads.
func startWorkers(t *testing.T, workers int, chain sallyport.Chain, change func(*sallyport.Policy, *Options), edit func([]byte) []byte) *live {
	t.Helper()
	binary := testenv.Envoy(t)
	l := &live{t: t, chain: chain, gate: &gate{}, upstream: &upstream{}, http: &upstream{}, spent: make(chan ratelimit.Spent, 16)}
	l.slots = ratelimit.NewSlots(l.now)
	l.log = ratelimit.NewAccessLog(l.slots, l.now, func(_ context.Context, s ratelimit.Spent) { l.spent <- s })
	l.gate.check, l.gate.limit = allow, underLimit
	l.upstream.answer = func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "upstream") }
	l.http.answer = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "20")
		io.WriteString(w, "ours")
	}
	l.backend = httptest.NewServer(l.upstream)
	ours := httptest.NewServer(l.http)
	socket := filepath.Join(t.TempDir(), "g.sock")
	l.serveGRPC(socket)

	p := policy()
	p.APIs[0].Upstream = l.backend.URL
	p.APIs[1].Upstream = l.backend.URL
	o := Options{Chain: chain, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", GRPC: "unix://" + socket,
		HTTP: strings.TrimPrefix(ours.URL, "http://"), Timeouts: Timeouts{Check: 10 * time.Second, RateLimit: 10 * time.Second}}
	if change != nil {
		change(p, &o)
	}
	text, err := Bootstrap(p, o)
	if err != nil {
		t.Fatal(err)
	}
	if l.envoy, err = envoyproc.Start(t.Context(), envoyproc.Config{Binary: binary, Bootstrap: edit(text), Concurrency: workers}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.envoy.Stop()
		l.backend.Close()
		ours.Close()
		l.grpc.Stop()
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", l.envoy.Log())
		}
	})
	return l
}

func (l *live) serveGRPC(socket string) {
	l.t.Helper()
	listener, err := net.Listen("unix", socket)
	if err != nil {
		l.t.Fatal(err)
	}
	// As ours: or the server would break off connections that Envoy pings.
	l.grpc = grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}))
	authv3.RegisterAuthorizationServer(l.grpc, l.gate)
	rlsv3.RegisterRateLimitServiceServer(l.grpc, l.gate)
	accesslogv3.RegisterAccessLogServiceServer(l.grpc, l.log)
	server := l.grpc
	go server.Serve(listener)
}

func (l *live) onCheck(f func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)) {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	l.gate.check = f
}

func (l *live) onLimit(f func(context.Context, *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error)) {
	l.gate.mu.Lock()
	defer l.gate.mu.Unlock()
	l.gate.limit = f
}

func (l *live) onUpstream(f http.HandlerFunc) {
	l.upstream.mu.Lock()
	defer l.upstream.mu.Unlock()
	l.upstream.answer = f
}

// forget clears what the stand-ins saw.
func (l *live) forget() {
	l.gate.mu.Lock()
	l.gate.checks, l.gate.limits = nil, nil
	l.gate.mu.Unlock()
	for _, u := range []*upstream{l.upstream, l.http} {
		u.mu.Lock()
		u.requests = nil
		u.mu.Unlock()
	}
}

// subject is what allow says in metadata.
func subject() *structpb.Struct {
	s, err := structpb.NewStruct(map[string]any{
		"api": "orders", "tenant": "org_1", "credential": "key_1", "principal": "", "plan": "free",
		"operation": "GET /v1/orders", "limits": "requests=60/60s",
	})
	if err != nil {
		panic(err)
	}
	return s
}

func header(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action}
}

const overwrite = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD

// requestID is the client's, or one of Check's own.
func requestID(r *authv3.CheckRequest) string {
	if sent := checkHeader(r, "x-request-id"); len(sent) == 1 {
		return sent[0]
	}
	return "req_of_check"
}

// allow is Check's answer to a good caller: identity for the upstream, quota
// for the ratelimit filter, and on the fused chain quota for the client.
func allow(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	ok := &authv3.OkHttpResponse{
		Headers:         []*corev3.HeaderValueOption{header("x-sallyport-tenant", "org_1", overwrite)},
		HeadersToRemove: []string{"x-api-key"},
	}
	ok.ResponseHeadersToAdd = []*corev3.HeaderValueOption{header("x-request-id", requestID(r), overwrite)}
	if r.GetAttributes().GetContextExtensions()["chain"] == "fused" {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, header("X-RateLimit-Limit", "60", overwrite))
	}
	return &authv3.CheckResponse{Status: &rpcstatus.Status{}, DynamicMetadata: subject(),
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: ok}}, nil
}

// deny makes Check refuse with status and a body that no mapper may touch.
func deny(status int) func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return func(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: int32(codes.PermissionDenied)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: deniedStatus(status), Body: ownBody(status),
				Headers: []*corev3.HeaderValueOption{
					header("content-type", "application/json", overwrite),
					header("x-sallyport-decision", "0123456789abcdef", overwrite),
					header("x-request-id", requestID(r), overwrite),
				}}}}, nil
	}
}

func deniedStatus(status int) *typev3.HttpStatus {
	return &typev3.HttpStatus{Code: typev3.StatusCode(status)}
}

func ownBody(status int) string { return fmt.Sprintf(`{"own":%d}`, status) }

func underLimit(context.Context, *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
	return &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK,
		ResponseHeadersToAdd: []*corev3.HeaderValue{{Key: "X-RateLimit-Limit", Value: "60"}}}, nil
}

func overLimit(context.Context, *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
	return &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OVER_LIMIT, RawBody: []byte(ownBody(429)),
		ResponseHeadersToAdd: []*corev3.HeaderValue{{Key: "content-type", Value: "application/json"},
			{Key: "retry-after", Value: "7"}, {Key: "X-RateLimit-Limit", Value: "60"}}}, nil
}

// answer is a response with its body read.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// send writes raw bytes to Envoy, so that nothing tidies them up, and reads one
// response.
func (l *live) send(raw string) answer {
	l.t.Helper()
	conn, err := net.DialTimeout("tcp", l.envoy.Address(), 5*time.Second)
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, raw); err != nil {
		l.t.Fatal(err)
	}
	return l.read(conn, strings.HasPrefix(raw, "HEAD "))
}

func (l *live) read(conn net.Conn, head bool) answer {
	l.t.Helper()
	method := "GET"
	if head {
		method = "HEAD"
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		l.t.Fatalf("read response: %v\n%s", err, l.envoy.Log())
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Logf("read body: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(bytes.TrimSpace(body))}
}

// stat returns one of Envoy's counters.
func (l *live) stat(name string) string {
	l.t.Helper()
	resp, err := http.Get("http://" + l.envoy.Admin() + "/stats?filter=^" + name + "$")
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(string(body)), ": ")
	return value
}

// request writes a request by hand: a line, then header lines.
func request(line string, headers ...string) string {
	return line + " HTTP/1.1\r\n" + strings.Join(append(headers, "Connection: close"), "\r\n") + "\r\n\r\n"
}

// get sends GET path to the API orders.
func (l *live) get(path string, headers ...string) answer {
	l.t.Helper()
	return l.send(request("GET "+path, append([]string{"Host: api.orders.test"}, headers...)...))
}
