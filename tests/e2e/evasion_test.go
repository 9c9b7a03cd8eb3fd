package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// G1, G2, G3: however a request is written, the upstream gets nothing, or an
// operation that the key may do, with the caller's true identity and without
// its key. What the upstream got is what the sample upstream echoes.
func TestEvasion(t *testing.T) {
	rows := evasions()
	if len(rows) < 60 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	for _, chain := range chains {
		g := evading(t, running(t, "", chain))
		for _, e := range rows {
			t.Run(chain+" "+e.name, func(t *testing.T) { g.run(t, e) })
		}
	}
}

// G1, G2, G3: the same on an upstream that keeps what it got, so that nothing
// reaches it beside what is answered: no request inside another's body.
func TestEvasionOfAnUpstreamThatKeepsCount(t *testing.T) {
	g := counting(t)
	for _, e := range evasions() {
		t.Run(e.name, func(t *testing.T) { g.run(t, e) })
	}
}

// G2, G3: HTTP/2 is no way round, where there is no request line to cut and no
// end of a line.
func TestEvasionByHTTP2(t *testing.T) {
	g, answered := counting(t), 0
	transport := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second, CheckRedirect: newClient().CheckRedirect}
	for _, e := range evasions() {
		t.Run(e.name, func(t *testing.T) {
			method, target, host, lines := naive(g.names.Replace(e.raw))
			req := &http.Request{Method: method, URL: &url.URL{Scheme: "http", Host: g.address, Opaque: target}, Host: host, Header: make(http.Header)}
			for _, l := range lines {
				req.Header.Add(l[0], l[1])
			}
			if resp, err := client.Do(req); err == nil { // the client refuses to write some, and Envoy resets some
				resp.Body.Close()
				answered++
			}
			for _, s := range g.upstream.drain() { // what is refused as HTTP/1 may be a good request here
				if e.stranger {
					t.Error("let in without a good credential")
				}
				g.lawful(t, s)
			}
		})
	}
	if answered < 60 {
		t.Errorf("only %d rows could be said in HTTP/2", answered)
	}
}

// G2, G3: behind a proxy that normalises nothing, Check lets pass only what is
// literally an operation that the key may do, and has removed what a client
// says in the gate's name.
func TestEvasionOfAProxyThatNormalisesNothing(t *testing.T) {
	d := running(t, "", "fused")
	g := evading(t, d)
	conn, err := grpc.NewClient(d.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client, sent := authv3.NewAuthorizationClient(conn), 0
	loopback := &corev3.SocketAddress{Address: "127.0.0.1"}
	source := &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: loopback}}}
	for _, e := range evasions() {
		for _, form := range []string{"lines", "map"} {
			t.Run(e.name+" as "+form, func(t *testing.T) {
				method, target, host, lines := naive(g.names.Replace(e.raw))
				if !utf8.ValidString(method+target+host) || slices.ContainsFunc(lines, func(l [2]string) bool { return strings.ContainsAny(l[0], "\x00\r") }) {
					t.Skip("no message carries these bytes, and no proxy these names")
				}
				sent++
				req := &authv3.AttributeContext_HttpRequest{Method: method, Path: target, Host: host, Protocol: "HTTP/1.1"}
				carry(req, form, append([][2]string{{":method", method}, {":path", target}, {":authority", host}}, lines...))
				resp, err := client.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
					Source:            source,
					Request:           &authv3.AttributeContext_Request{Http: req},
					ContextExtensions: map[string]string{"api": "vaultwares", "chain": "fused"},
				}})
				if err != nil {
					t.Fatal(err)
				}
				if ok := resp.GetOkResponse(); ok == nil && resp.GetStatus().GetCode() != 0 {
					return
				}
				if e.stranger {
					t.Error("let in without a good credential")
				}
				g.lawful(t, seen{method, target, mutated(resp.GetOkResponse(), lines)})
			})
		}
	}
	if sent < 2*60 {
		t.Errorf("only %d requests were sent", sent)
	}
}

// carry puts header lines into req: each by itself, or as a map that joins them.
func carry(req *authv3.AttributeContext_HttpRequest, form string, lines [][2]string) {
	req.Headers, req.HeaderMap = make(map[string]string), &corev3.HeaderMap{}
	for _, l := range lines {
		name, value := strings.ToLower(l[0]), strings.ToValidUTF8(l[1], "!")
		if form == "lines" {
			req.HeaderMap.Headers = append(req.HeaderMap.Headers, &corev3.HeaderValue{Key: l[0], RawValue: []byte(l[1])})
		} else if old, there := req.Headers[name]; there {
			req.Headers[name] = old + "," + value
		} else {
			req.Headers[name] = value
		}
	}
}

// mutated is what a proxy that does as it is told sends on of lines, to the
// API that its route names. The sid is the proxy's own word.
func mutated(ok *authv3.OkHttpResponse, lines [][2]string) map[string]string {
	headers := make(map[string]string)
	for _, l := range lines {
		headers[strings.ToLower(l[0])] += l[1]
	}
	headers["host"] = vaultwaresHost
	for _, name := range append(ok.GetHeadersToRemove(), "x-sallyport-sid") {
		delete(headers, strings.ToLower(name))
	}
	for _, h := range ok.GetHeaders() {
		headers[strings.ToLower(h.GetHeader().GetKey())] = h.GetHeader().GetValue()
	}
	return headers
}

// naive reads a request as simply as can be: what stands between the first
// space and HTTP/ is the target, and every line after it a header.
func naive(raw string) (method, target, host string, lines [][2]string) {
	head, _, _ := strings.Cut(raw, "\r\n\r\n")
	first, rest, _ := strings.Cut(head, "\r\n")
	method, target, _ = strings.Cut(first, " ")
	if i := strings.LastIndex(target, " HTTP/"); i >= 0 {
		target = target[:i]
	}
	for line := range strings.SplitSeq(rest, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		if name == "" && value != "" { // a pseudo-header by its looks
			name, value, _ = strings.Cut(value, ":")
			name = ":" + name
		}
		if value = strings.Trim(value, " \t"); strings.EqualFold(name, "host") && host == "" {
			host = value
		} else if name != "" {
			lines = append(lines, [2]string{name, value})
		}
	}
	return method, target, host, lines
}

// gateway is what rows are sent to, and by whom.
type gateway struct {
	address  string // of Envoy
	keyID    string
	secret   string // of {{key}}, without its prefix
	names    *strings.Replacer
	upstream *keeper // nil: what is answered tells what the upstream got
	canaries int
}

// evading makes keys of org_custom, and sends to d.
func evading(t *testing.T, d *demo) *gateway {
	t.Helper()
	key := func(flags ...string) made {
		return d.key(t, "vaultwares", "org_custom", append(flags, "--scopes", "devices:read")...)
	}
	mine := key()
	return &gateway{address: strings.TrimPrefix(d.Gateway, "http://"), keyID: mine.KeyID, secret: strings.TrimPrefix(mine.Key, "vw_live_"),
		names: strings.NewReplacer("{{key}}", mine.Key, "{{key:1}}", mine.Key[1:], "{{other}}", key().Key,
			"{{boxed}}", key("--ip", "203.0.113.7").Key, "{{host}}", vaultwaresHost, "{{elsewhere}}", elsewhere)}
}

// counting returns a gateway of its own with an upstream that keeps what it got.
func counting(t *testing.T) *gateway {
	t.Helper()
	k := &keeper{}
	upstream := httptest.NewServer(k)
	t.Cleanup(upstream.Close)
	s := newServer(t, upstream.URL)
	example, err := os.ReadFile("../../examples/vaultwares/sallyport.yaml")
	if err != nil {
		t.Fatal(err)
	}
	free := httptest.NewServer(nil) // Envoy is told the address of the endpoints in advance
	free.Close()
	_, apis, _ := strings.Cut(string(example), "\napis:")
	s.write("sallyport.yaml", fmt.Sprintf(`
listen: {grpc: ["unix://%[1]s/s.sock", "127.0.0.1:0"], http: "%[2]s"}
store: sqlite://%[1]s/s.db
pepper: {file: %[1]s/pepper}
admin: {token: {file: %[1]s/token}}
apis:`, s.folder, free.Listener.Addr())+strings.Replace(apis, "upstream: http://127.0.0.1:8080", "upstream: "+upstream.URL, 1))
	s.start()
	d := s.envoy("paired")
	d.Admin.URL, d.Admin.Token = s.http, serverToken
	d.cli(t, "tenant", "create", "--api", "vaultwares", "--id", "org_custom", "--plan", "custom", "--limit", "requests=1000000/1h")
	g := evading(t, d)
	g.upstream = k
	return g
}

// seen is a request as an upstream got it.
type seen struct {
	Method, Path string
	Headers      map[string]string
}

// keeper is an upstream that keeps what it got, and answers as the sample does.
type keeper struct {
	mu   sync.Mutex
	kept []seen // guarded by mu
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	s := seen{r.Method, r.RequestURI, map[string]string{"host": r.Host}}
	for _, h := range []http.Header{r.Header, r.Trailer} {
		for name, values := range h {
			s.Headers[strings.ToLower(name)] += strings.Join(values, ", ")
		}
	}
	k.mu.Lock()
	k.kept = append(k.kept, s)
	k.mu.Unlock()
	json.NewEncoder(w).Encode(s)
}

// drain returns what came since the last time.
func (k *keeper) drain() []seen {
	k.mu.Lock()
	defer k.mu.Unlock()
	kept := k.kept
	k.kept = nil
	return kept
}

// run sends a row and judges what came of it.
func (g *gateway) run(t *testing.T, e evasion) {
	t.Helper()
	answers := g.exchange(t, g.names.Replace(e.raw))
	if len(answers) == 0 {
		t.Error("no answer")
	}
	var got []seen
	for _, a := range answers {
		t.Logf("%d %.3000s", a.status, a.body)
		if !slices.Contains(e.status, a.status) {
			t.Errorf("answered %d, want %d\n%.300s", a.status, e.status, a.body)
		}
		switch s, err := a.echo(); {
		case err != nil:
			t.Errorf("neither the gate nor the sample upstream answers so: %d %v %.300q", a.status, a.header, a.body)
		case s.Method != "":
			got = append(got, s)
		}
	}
	if g.upstream != nil {
		if got = g.upstream.drain(); len(got) > len(answers) {
			t.Errorf("the upstream got %d requests, and there are %d answers", len(got), len(answers))
		}
	}
	for _, s := range got {
		if what := s.Method + " " + s.Path; what != g.names.Replace(e.reaches) {
			t.Errorf("the upstream got %.200q, want %.200q", what, e.reaches)
		}
		g.lawful(t, s)
	}
	g.canary(t)
}

// own are the gate's words to the upstream.
var own = regexp.MustCompile(`^x-sallyport-(tenant|credential|principal|scopes|plan|environment|request-id|sid)$`)

// lawful is the law of every row: s is an operation that the key may do, it is
// the caller's own, and it holds no credential.
func (g *gateway) lawful(t *testing.T, s seen) {
	t.Helper()
	if !mayDo(s.Method, s.Path) {
		t.Errorf("reached: %s %.200q, which the key may not do", s.Method, s.Path)
	}
	host, _, _ := strings.Cut(strings.ToLower(s.Headers["host"]), ":")
	if !slices.Contains(vaultwaresHosts, strings.TrimSuffix(host, ".")) {
		t.Errorf("reached with the host %q", s.Headers["host"])
	}
	for name, want := range map[string]string{"x-sallyport-tenant": "org_custom", "x-sallyport-credential": g.keyID, "x-sallyport-scopes": "devices:read"} {
		if got := s.Headers[name]; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	path, _ := url.PathUnescape(s.Path)
	for name, value := range s.Headers {
		plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if strings.HasPrefix(plain, "x-sallyport-") && (!own.MatchString(name) || strings.Contains(value, "evil")) {
			t.Errorf("reached: %s: %s, which is the client's own", name, value)
		}
		if strings.Contains(value, g.secret) {
			t.Errorf("the credential reached the upstream in %s", name)
		}
	}
	if strings.Contains(path, g.secret) {
		t.Error("the credential reached the upstream in the path")
	}
}

// exchange sends raw on a connection of its own and reads what comes back.
func (g *gateway) exchange(t *testing.T, raw string) (answers []answer) {
	t.Helper()
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(conn, raw) // what is refused early is not read to its end
	method, _, _ := strings.Cut(raw, " ")
	for r := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return answers
		}
		body, _ := io.ReadAll(resp.Body)
		if answers = append(answers, answer{resp.StatusCode, resp.Header, string(body)}); resp.Close {
			return answers
		}
		conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	}
}

// echo returns what the sample upstream says that it got, nothing where the
// gate answered, and an error where the answer is of neither.
func (a answer) echo() (s seen, err error) {
	if a.body == "" || a.status == http.StatusBadRequest { // an answer to HEAD; Envoy's own, in the middle of a body
		return s, nil
	}
	if err = json.Unmarshal([]byte(a.body), &s); err == nil && s.Method == "" && a.status < 400 {
		err = errors.New("nobody was reached")
	}
	return s, err
}

// canary sends a request that is as it should be: it gets its own answer, not
// one that was meant for another.
func (g *gateway) canary(t *testing.T) {
	t.Helper()
	g.canaries++
	line := fmt.Sprintf("GET /v1/devices/canary-%d", g.canaries)
	answers := g.exchange(t, g.names.Replace(ask(line)))
	if len(answers) != 1 {
		t.Fatalf("a request as it should be has %d answers", len(answers))
	}
	s, _ := answers[0].echo()
	got := []seen{s}
	if g.upstream != nil {
		got = g.upstream.drain()
	}
	if len(got) != 1 || got[0].Method+" "+got[0].Path != line {
		t.Errorf("after it, %s reached the upstream as %v: %d", line, got, answers[0].status)
	}
}
