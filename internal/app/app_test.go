package app

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/store/sqlite"
	"github.com/sallyport/sallyport/internal/store/storetest"
	"github.com/sallyport/sallyport/internal/testenv"
)

const orders = `
store: sqlite://%[1]s/sallyport.db
pepper: {file: %[1]s/pepper}
cache: {credentials: 1000}
apis:
  orders:
    hosts: [api.acme.example]
    credentials:
      read: [{header: Authorization, scheme: Bearer}]
      keys: [{prefix: ord_live_}]
    scopes: [orders:read]
    operations:
      - {GET: /v1/orders, scope: orders:read}
`

var copies = storetest.Copies(func(ctx context.Context, path string) (io.Closer, error) { return sqlite.Open(ctx, path) })

// configured returns a configuration in a folder of its own, with an empty
// store, listening on ports of the system's choice.
func configured(t testing.TB) *config.Config {
	t.Helper()
	folder := t.TempDir()
	copies(t, folder)
	pepper := base64.StdEncoding.EncodeToString([]byte("only good for the tests, 32 bytes"))
	if err := os.WriteFile(filepath.Join(folder, "pepper"), []byte(pepper), 0o600); err != nil {
		t.Fatal(err)
	}
	c, faults := config.Parse("sallyport.yaml", fmt.Appendf(nil, orders, folder))
	if len(faults) > 0 {
		t.Fatal(config.Format(faults))
	}
	c.Listen = config.Listen{GRPC: config.List{"127.0.0.1:0"}, HTTP: "127.0.0.1:0"}
	return c
}

// run serves a until the test ends, or until the returned function is called.
func run(t testing.TB, a *App) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func newApp(t testing.TB, c *config.Config) *App {
	t.Helper()
	a, err := New(t.Context(), Options{Config: c, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTakenPortIsToldAndNothingStaysOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	for name, change := range map[string]func(*config.Listen){
		"http":        func(l *config.Listen) { l.HTTP = at },
		"grpc":        func(l *config.Listen) { l.GRPC = config.List{at} },
		"second grpc": func(l *config.Listen) { l.GRPC = append(l.GRPC, at) },
	} {
		t.Run(name, func(t *testing.T) {
			c := configured(t)
			free := testenv.FreeAddress(t)
			c.Listen.GRPC = config.List{free}
			change(&c.Listen)
			open := openNow(t)
			a, err := New(t.Context(), Options{Config: c})
			if a != nil || err == nil || err.Error() != "listen on "+at+": the port is taken; stop what uses it or choose another" {
				t.Errorf("got %v, %v", a, err)
			}
			open.check(t)
			l, err := net.Listen("tcp", free)
			if err != nil {
				t.Fatalf("a listener of the failed start is left: %v", err)
			}
			l.Close()
		})
	}
}

// open is what a process holds that a failed start must give back.
type open struct{ files, goroutines int }

func openNow(t testing.TB) (o open) {
	t.Helper()
	o.goroutines = runtime.NumGoroutine()
	if runtime.GOOS == "linux" { // others do not tell
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		o.files = len(files)
	}
	return o
}

// check fails t where more is held than before. Goroutines that were told to
// end may take a moment, of which nobody hears.
func (o open) check(t testing.TB) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	now := openNow(t)
	for now.goroutines > o.goroutines && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
		now = openNow(t)
	}
	if now.goroutines > o.goroutines || now.files > o.files {
		stacks := make([]byte, 64<<10)
		t.Errorf("before: %+v, now: %+v\n%s", o, now, stacks[:runtime.Stack(stacks, true)])
	}
}

func TestFailedStartLeavesNothingOpen(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*config.Config)
		want  string
	}{
		"pepper missing": {func(c *config.Config) { c.Peppers[0].File += ".gone" }, "pepper: the file"},
		"pepper unset":   {func(c *config.Config) { c.Peppers[0].Secret = config.Secret{Env: "SALLYPORT_TEST_UNSET"} }, "SALLYPORT_TEST_UNSET is not set"},
		"store":          {func(c *config.Config) { c.Store = "sqlite://" + filepath.Dir(c.Peppers[0].File) }, "store: "},
		"store's kind":   {func(c *config.Config) { c.Store = "mysql://x" }, "is not sqlite:///PATH"},
		"admin token":    {func(c *config.Config) { c.Admin.Token.File = c.Peppers[0].File + ".gone" }, "admin.token: the file"},
		"socket":         {func(c *config.Config) { c.Listen.GRPC = config.List{"unix://" + c.Peppers[0].File + "/s.sock"} }, "listen on "},
		"address":        {func(c *config.Config) { c.Listen.HTTP = "nonsense" }, "listen: "},
	} {
		t.Run(name, func(t *testing.T) {
			one := configured(t)
			c.spoil(one)
			open := openNow(t)
			a, err := New(t.Context(), Options{Config: one})
			if a != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, %v, want %q", a, err, c.want)
			}
			open.check(t)
		})
	}
}

// serves reports whether conn answers as a server that is ready.
func serves(t testing.TB, conn *grpc.ClientConn) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err == nil && got.Status != healthv1.HealthCheckResponse_SERVING {
		err = fmt.Errorf("status %s", got.Status)
	}
	return err
}

func dial(t testing.TB, at string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestSocketIsHandedOver starts a second server on the socket of the first, as
// an upgrade does.
func TestSocketIsHandedOver(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "deep", "s.sock")
	c := configured(t)
	c.Listen.GRPC = config.List{socket}
	first := newApp(t, c)
	stopFirst := run(t, first)
	if got := first.GRPC(); len(got) != 1 || got[0] != socket {
		t.Errorf("listens on %v, want %s", got, socket)
	}
	old := dial(t, socket)
	if err := serves(t, old); err != nil {
		t.Fatal(err)
	}

	// Someone dials all the while: a moment without a socket would refuse them.
	path := strings.TrimPrefix(socket, "unix://")
	dialing, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			conn, err := net.Dial("unix", path)
			switch {
			case err == nil:
				conn.Close()
			case errors.Is(err, syscall.EAGAIN): // more have dialled than are accepted: it is there
				runtime.Gosched()
			default:
				done <- err
				return
			}
			select {
			case <-dialing:
				done <- nil
				return
			default:
			}
		}
	}()
	second := newApp(t, c)
	run(t, second)
	if err := serves(t, old); err != nil {
		t.Errorf("the connection to the first server: %v", err)
	}
	if err := serves(t, dial(t, socket)); err != nil {
		t.Errorf("a new connection: %v", err)
	}
	stopFirst()
	if err := serves(t, dial(t, socket)); err != nil {
		t.Errorf("when the first server has ended: %v", err)
	}
	close(dialing)
	if err := <-done; err != nil {
		t.Errorf("dial: %v", err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left beside the socket: %v", left)
	}
}

func TestReadyFollowsTheStore(t *testing.T) {
	a := newApp(t, configured(t))
	defer a.close()
	ask := func(path string) (int, string) {
		w := httptest.NewRecorder()
		a.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	if code, body := ask("/readyz"); code != http.StatusOK || body != "ok" {
		t.Errorf("with a store: got %d %q", code, body)
	}
	if err := a.store.Close(); err != nil {
		t.Fatal(err)
	}
	if code, body := ask("/readyz"); code != http.StatusServiceUnavailable || body != "the store does not answer" {
		t.Errorf("without: got %d %q", code, body)
	}
	if code, _ := ask("/healthz"); code != http.StatusOK {
		t.Errorf("health without a store: got %d; a restart would not help", code)
	}
}

func TestMetricsAndAdminAreApart(t *testing.T) {
	a := newApp(t, configured(t))
	run(t, a)
	for path, want := range map[string]int{
		"/metrics": http.StatusOK, "/healthz": http.StatusOK, "/readyz": http.StatusOK,
		"/admin/v1/keys": http.StatusUnauthorized, "/": http.StatusNotFound, "/debug/pprof/": http.StatusNotFound,
	} {
		resp, err := http.Get("http://" + a.HTTP() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// What the store does not know costs no read of it, unless the filter takes it for
// known.
func TestReadsOfTheStoreAreCounted(t *testing.T) {
	a := newApp(t, configured(t))
	run(t, a)
	expected := sallyport.Digest{1}
	a.finder.Expect(expected)
	for _, d := range []sallyport.Digest{{2}, {3}, expected} {
		if _, err := a.finder.Find(t.Context(), d, new(sallyport.Credential)); !errors.Is(err, sallyport.ErrNotFound) {
			t.Fatal(err)
		}
	}
	w := httptest.NewRecorder()
	a.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{`sallyport_store_reads_total{outcome="found"} 0`, `sallyport_store_reads_total{outcome="unknown"} 1`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
}

// TestRunDrains: a request in flight when the end comes gets its answer.
func TestRunDrains(t *testing.T) {
	a := newApp(t, configured(t))
	started, finish := make(chan struct{}), make(chan struct{})
	a.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-finish
		fmt.Fprint(w, "done")
	})
	a.http.RegisterOnShutdown(func() { close(finish) })
	stop := run(t, a)
	conn, err := net.Dial("tcp", a.HTTP())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-started
	stop()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got %s", resp.Status)
	}
	if _, err := net.Dial("tcp", a.HTTP()); err == nil {
		t.Error("it still listens")
	}
}

// Each call in flight is a goroutine: so many more than there may be are seen,
// and when they have gone, that too.
func TestOverloadIsSeenAndGoes(t *testing.T) {
	const more = 200
	over := overloaded(runtime.NumGoroutine() + more/2)
	if over() {
		t.Fatal("overloaded at rest")
	}
	var waiting sync.WaitGroup
	release := make(chan struct{})
	for range more {
		waiting.Go(func() { <-release })
	}
	if !over() {
		t.Error("not seen")
	}
	close(release)
	waiting.Wait()
	for over() { // a goroutine is gone a moment after its function
		runtime.Gosched()
	}
}
