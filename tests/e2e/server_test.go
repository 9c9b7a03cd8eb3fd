package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/envoyproc"
	"github.com/sallyport/sallyport/internal/testenv"
)

// server is `sallyport serve` in a process of its own, which can be killed, on
// a store that stays.
type server struct {
	t       *testing.T
	folder  string
	http    string
	args    []string // of serve, besides the configuration
	process *exec.Cmd
	log     *logged
}

const serverToken = "an-admin-token-of-the-end-to-end-tests"

// newServer writes the configuration of a neutral API with the upstream at url.
func newServer(t *testing.T, upstream string) *server {
	t.Helper()
	s := &server{t: t, folder: t.TempDir(), log: new(logged)}
	s.write("pepper", "cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLXBlcHBlcg==")
	s.write("token", serverToken)
	s.write("sallyport.yaml", fmt.Sprintf(`
listen: {grpc: ["unix://%[1]s/s.sock", "127.0.0.1:0"], http: "127.0.0.1:0"}
store: sqlite://%[1]s/s.db
pepper: {file: %[1]s/pepper}
admin: {token: {file: %[1]s/token}}
apis:
  orders:
    hosts: [api.orders.test]
    upstream: %[2]s
    credentials:
      read: [{header: X-API-Key}]
      keys: [{prefix: ord_live_, environment: live}]
    scopes: [orders:read]
    operations: [{GET: /v1/orders, scope: orders:read}]
    limits: [{name: requests, per: credential, plans: {big: [1000000/1h]}}]
    headers: {limit: X-RateLimit-Limit, remaining: X-RateLimit-Remaining, reset: X-RateLimit-Reset, retry_after: seconds}
    errors: {template: {error: {code: "${code}", message: "${message}", request_id: "${request_id}"}}}
`, s.folder, upstream))
	return s
}

func (s *server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

var readyLine = regexp.MustCompile(`msg=ready .*http=(\S+)`)

// start runs the server and returns when it is ready.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(binary, append([]string{"serve", "-c", filepath.Join(s.folder, "sallyport.yaml")}, s.args...)...)
	err, pipeErr := s.process.StderrPipe()
	if pipeErr != nil {
		s.t.Fatal(pipeErr)
	}
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(err)
		for lines.Scan() {
			fmt.Fprintln(s.log, lines.Text())
			if m := readyLine.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m[1]
			}
		}
		close(ready)
	}()
	address, ok := <-ready
	if !ok {
		s.t.Fatalf("serve ended:\n%s", s.log)
	}
	s.http = "http://" + address
	process := s.process
	s.t.Cleanup(func() { process.Process.Kill(); process.Wait() })
}

func (s *server) end(how syscall.Signal) {
	s.process.Process.Signal(how)
	s.process.Wait()
}

func (s *server) cli(args ...string) string {
	s.t.Helper()
	return onServer(s.t, s.http, serverToken, args...)
}

// envoy starts an Envoy over the server and returns its gateway.
func (s *server) envoy(chain string) *demo {
	s.t.Helper()
	return s.envoyOn(s.bootstrap(chain))
}

func (s *server) bootstrap(chain string) string {
	s.t.Helper()
	return s.cli("envoy", "bootstrap", "-c", filepath.Join(s.folder, "sallyport.yaml"),
		"--chain", chain, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--http", strings.TrimPrefix(s.http, "http://"))
}

func (s *server) envoyOn(bootstrap string) *demo {
	s.t.Helper()
	p, err := envoyproc.Start(context.Background(), envoyproc.Config{
		Binary: testenv.Envoy(s.t), Bootstrap: []byte(bootstrap), Stderr: s.log, LogLevel: "error",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Stop)
	return &demo{Gateway: "http://" + p.Address(), client: newClient()}
}

// eventually waits until f is true; it fails the test after a generous time.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

const ordersHost = "Host: api.orders.test"

// G8, G9: with the server gone, killed or stopped, every answer is 503 in the
// API's shape within the timeout; when it is back, all is as before.
func TestTheServerGoneIs503(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			testenv.Envoy(t)
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "{}") }))
			t.Cleanup(upstream.Close)
			s := newServer(t, upstream.URL)
			s.start()
			g := s.envoy(chain)
			s.cli("tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big")
			key := "X-API-Key: " + strings.TrimSpace(s.cli("key", "create", "--api", "orders", "--tenant", "t1", "--scopes", "orders:read", "-q"))
			get := func() answer { return g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, key) }
			if a := get(); a.status != 200 {
				t.Fatalf("before: %d %s", a.status, a.body)
			}
			unavailable := func(when string) {
				t.Helper()
				began := time.Now()
				a := get()
				if a.status != 503 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Retry-After") == "" || a.header.Get("X-Request-ID") == "" {
					t.Errorf("%s: %d %v %s", when, a.status, a.header, a.body)
				}
				if body, _ := a.json(t)["error"].(map[string]any); body["code"] != "service_unavailable" || body["request_id"] != a.header.Get("X-Request-ID") {
					t.Errorf("%s: body %s", when, a.body)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s: took %v", when, took)
				}
			}
			s.process.Process.Signal(syscall.SIGSTOP)
			eventually(t, "the server has stopped", func() bool { return state(s.process.Process.Pid) == "T" })
			unavailable("stopped")
			s.process.Process.Signal(syscall.SIGCONT)
			eventually(t, "200 after SIGCONT", func() bool { return get().status == 200 })

			s.end(syscall.SIGKILL)
			unavailable("killed")
			s.start()
			eventually(t, "200 after the restart: the acknowledged key is still there", func() bool { return get().status == 200 })
		})
	}
}

// G7, G8: an upstream that cannot be reached: 503 in the API's shape, with the
// quota told, once, and spent.
func TestAnUnreachableUpstream(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			testenv.Envoy(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			nowhere := "http://" + l.Addr().String()
			l.Close()
			s := newServer(t, nowhere)
			s.start()
			g := s.envoy(chain)
			s.cli("tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big")
			key := "X-API-Key: " + strings.TrimSpace(s.cli("key", "create", "--api", "orders", "--tenant", "t1", "--scopes", "orders:read", "-q"))
			for want := int64(999_999); want > 999_996; want-- {
				a := g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, key)
				limit, remaining, _ := a.quota(t)
				if a.status != 503 || limit != 1_000_000 || remaining != want {
					t.Errorf("got %d with %d of %d, want 503 with %d", a.status, remaining, limit, want)
				}
				if body, _ := a.json(t)["error"].(map[string]any); body["code"] != "service_unavailable" || a.header.Get("Content-Type") != "application/json" {
					t.Errorf("%v %s", a.header, a.body)
				}
			}
		})
	}
}

// G9: a store that fails refuses what is not known with 503, goes on serving
// what is, and recovers by itself.
func TestAFailingStore(t *testing.T) {
	testenv.Envoy(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "{}") }))
	t.Cleanup(upstream.Close)
	s := newServer(t, upstream.URL)
	s.start()
	g := s.envoy("paired")
	s.cli("tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big")
	fresh := func() string {
		return "X-API-Key: " + strings.TrimSpace(s.cli("key", "create", "--api", "orders", "--tenant", "t1", "--scopes", "orders:read", "-q"))
	}
	known, unused := fresh(), fresh()
	get := func(key string) answer { return g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, key) }
	if a := get(known); a.status != 200 {
		t.Fatalf("before: %d", a.status)
	}
	restore := breakStore(t, filepath.Join(s.folder, "s.db"))
	if a := get(unused); a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("a key that is not cached: %d %v %s", a.status, a.header, a.body)
	}
	if a := get(known); a.status != 200 {
		t.Errorf("a key that is cached: %d %s", a.status, a.body)
	}
	if a := g.send(t, "GET", g.Gateway+"/v1/orders", ordersHost, "X-API-Key: ord_live_nobodys"); a.status != 401 {
		t.Errorf("not a key at all: %d", a.status)
	}
	restore()
	if a := get(unused); a.status != 200 {
		t.Errorf("after it came back: %d %s", a.status, a.body)
	}
}
