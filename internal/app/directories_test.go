package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sallyport/sallyport/internal/config"
)

// lines are what a server logs, to be waited for.
type lines chan string

func (l lines) Write(text []byte) (int, error) {
	l <- string(text)
	return len(text), nil
}

// await returns when a line holds every one of parts, and the lines before it.
func (l lines) await(t *testing.T, parts ...string) (before string) {
	t.Helper()
	late := time.After(20 * time.Second)
next:
	for {
		select {
		case line := <-l:
			before += line
			for _, part := range parts {
				if !strings.Contains(line, part) {
					continue next
				}
			}
			return before
		case <-late:
			t.Fatalf("never logged %q; got\n%s", parts, before)
		}
	}
}

// filed is a server with a folder of rate limits.
type filed struct {
	t      *testing.T
	app    *App
	folder string
	log    lines
	rls    rlsv3.RateLimitServiceClient
	health healthv1.HealthClient
}

// rules is a file whose domain has a limit of so many a day for every value of
// key.
func rules(domain string, requests any) string {
	return fmt.Sprintf("domain: %s\ndescriptors:\n- {key: key, rate_limit: {unit: day, requests_per_unit: %v}}\n", domain, requests)
}

// serve starts a server over files, which are name and text in turn.
func serve(t *testing.T, files ...string) *filed {
	t.Helper()
	f := &filed{t: t, folder: t.TempDir(), log: make(lines, 1000)}
	for i := 0; i < len(files); i += 2 {
		f.write(files[i], files[i+1])
	}
	c := configured(t)
	c.RateLimit = config.RateLimit{Directories: config.List{f.folder}, Poll: config.Duration(100 * time.Millisecond)}
	var err error
	if f.app, err = New(t.Context(), Options{Config: c, Log: slog.New(slog.NewTextHandler(f.log, nil))}); err != nil {
		t.Fatal(err)
	}
	return f
}

// write puts a file in place at once.
func (f *filed) write(name, text string) {
	f.t.Helper()
	next := filepath.Join(f.folder, "."+name)
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
	if err := os.Rename(next, filepath.Join(f.folder, name)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *filed) dial() {
	conn := dial(f.t, f.app.GRPC()[0])
	f.rls, f.health = rlsv3.NewRateLimitServiceClient(conn), healthv1.NewHealthClient(conn)
}

// limit asks for the limit of domain, without counting; 0 where there is none.
func (f *filed) limit(domain string) (uint32, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	resp, err := f.rls.ShouldRateLimit(ctx, &rlsv3.RateLimitRequest{Domain: domain, Descriptors: []*ratelimitv3.RateLimitDescriptor{
		{Entries: []*ratelimitv3.RateLimitDescriptor_Entry{{Key: "key", Value: "x"}}},
	}})
	if err != nil {
		return 0, err
	}
	return resp.Statuses[0].GetCurrentLimit().GetRequestsPerUnit(), nil
}

func (f *filed) limits(domain string, want uint32) {
	f.t.Helper()
	if got, err := f.limit(domain); err != nil || got != want {
		f.t.Errorf("%s: got %d, %v, want %d", domain, got, err, want)
	}
}

func (f *filed) ready(want int) {
	f.t.Helper()
	resp, err := http.Get("http://" + f.app.HTTP() + "/readyz")
	if err != nil {
		f.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		f.t.Errorf("/readyz: got %d, want %d", resp.StatusCode, want)
	}
}

// TestRateLimitFilesAreReadAgain: a change is in force without a restart, a bad
// file is kept out by itself, and the server stays ready.
func TestRateLimitFilesAreReadAgain(t *testing.T) {
	f := serve(t, "shop.yaml", rules("shop", 1), "mall.yaml", rules("mall", 1))
	run(t, f.app)
	f.dial()
	if err := serves(t, dial(t, f.app.GRPC()[0])); err != nil {
		t.Fatal(err)
	}
	f.limits("shop", 1)
	f.limits("mall", 1)
	f.limits("fair", 0)
	f.log.await(t, "rate limit files loaded", "domains=2")

	f.write("shop.yaml", rules("shop", 2))
	f.log.await(t, "rate limit files loaded", "faults=0")
	f.limits("shop", 2)

	f.write("shop.yaml", rules("shop", "many"))
	f.log.await(t, "a rate limit file is kept out", "shop.yaml:3: descriptors[0].rate_limit.requests_per_unit: is text")
	f.write("mall.yaml", rules("mall", 3))
	if again := f.log.await(t, "rate limit files loaded", "faults=1"); strings.Contains(again, "kept out") {
		t.Errorf("a fault is told again:\n%s", again)
	}
	f.limits("shop", 2)
	f.limits("mall", 3)
	f.ready(http.StatusOK)

	odd := strings.Replace(rules("shop", 4), "unit: day", "unit: day, replaces: [{name: nobody}]", 1)
	f.write("shop.yaml", odd)
	f.log.await(t, "rate limit file", "notice=", "shop.yaml:3: ")
	f.limits("shop", 4)
	f.write("mall.yaml", rules("mall", 5))
	if again := f.log.await(t, "rate limit files loaded", "faults=0"); strings.Contains(again, "notice") {
		t.Errorf("a notice is told again:\n%s", again)
	}
}

// TestNotReadyBeforeTheFirstGoodLoad: health says so on both sides, no other
// domain is answered, and a file that is mended makes the server ready.
func TestNotReadyBeforeTheFirstGoodLoad(t *testing.T) {
	f := serve(t, "shop.yaml", rules("shop", "many"), "mall.yaml", rules("mall", 1))
	run(t, f.app)
	f.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	watch, err := f.health.Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	status := func(want healthv1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		if got, err := watch.Recv(); err != nil || got.Status != want {
			t.Fatalf("health: got %v, %v, want %v", got, err, want)
		}
	}
	status(healthv1.HealthCheckResponse_NOT_SERVING)
	f.ready(http.StatusServiceUnavailable)
	if _, err := f.limit("mall"); err == nil || !strings.Contains(err.Error(), "rate limits have not been loaded") {
		t.Errorf("mall: got %v", err)
	}

	f.write("shop.yaml", rules("shop", 2))
	status(healthv1.HealthCheckResponse_SERVING)
	f.ready(http.StatusOK)
	f.limits("shop", 2)
	f.limits("mall", 1)

	f.write("shop.yaml", "nonsense") // what was good once stays in force
	f.log.await(t, "a rate limit file is kept out", "shop.yaml:1: is text")
	f.ready(http.StatusOK)
	f.limits("shop", 2)
}

// TestAFolderThatComesLater: rules that are mounted after the start.
func TestAFolderThatComesLater(t *testing.T) {
	f := serve(t)
	run(t, f.app)
	f.dial()
	f.ready(http.StatusServiceUnavailable)
	f.log.await(t, "a rate limit file is kept out", "holds no file")
	f.write("shop.yaml", rules("shop", 7))
	f.log.await(t, "rate limit files loaded", "ready=true")
	f.limits("shop", 7)
	f.ready(http.StatusOK)
}

// TestTheFilesAreWatchedByOneGoroutine, which ends with the server.
func TestTheFilesAreWatchedByOneGoroutine(t *testing.T) {
	before := openNow(t)
	f := serve(t, "shop.yaml", rules("shop", 1))
	stop := run(t, f.app)
	f.write("shop.yaml", rules("shop", 2))
	f.log.await(t, "rate limit files loaded")
	f.log.await(t, "rate limit files loaded")
	stop()
	before.check(t)
}
