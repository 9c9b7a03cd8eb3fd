package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/template"
	"time"

	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
)

//go:embed testdata/limits.yaml
var limitsText string

// limiter is a rate limit service under measurement, with what it counts in.
type limiter struct {
	address string
	process *process
	cpu     cpuClocks
	gate    *gate // for its command line; nil: it is none of ours
}

// asked is l as measure wants it, under a name.
func (l *limiter) asked(name string, a limitAsk, bar float64) *server {
	return &server{name: name, address: l.address, cpu: l.cpu, process: l.process, asked: a.asked(), bar: bar}
}

// limiters are those of one run, and the processes that were started for them.
type limiters struct {
	empty, memory         *limiter
	redis, leasing, rival *limiter // nil: there is no Redis, or it was left out

	dir     string
	started []*process
	notes   finding
}

func (ls *limiters) stop() {
	for i := len(ls.started) - 1; i >= 0; i-- {
		ls.started[i].stop() // whoever uses another comes later
	}
}

// start starts what there is to measure. What was started before an error is
// ended by stop all the same.
func (ls *limiters) start(ctx context.Context, o options) (err error) {
	if err := writeRules(ls.rules()); err != nil {
		return err
	}
	if ls.empty, err = ls.startEmpty(ctx); err != nil {
		return err
	}
	if ls.memory, err = ls.startGate(ctx, o.sallyport, "memory", nil); err != nil {
		return err
	}
	redis := findRedis()
	if redis == "" {
		ls.notes.note("There is no Redis on PATH: nothing is said of counters in one, and of envoyproxy/ratelimit.")
		return nil
	}
	for _, one := range []struct {
		to    **limiter
		name  string
		start func(store *redisServer) (*limiter, error)
	}{
		{&ls.redis, "redis", func(store *redisServer) (*limiter, error) {
			return ls.startGate(ctx, o.sallyport, "{redis: redis://"+store.address+"}", store)
		}},
		{&ls.leasing, "leasing", func(store *redisServer) (*limiter, error) {
			return ls.startGate(ctx, o.sallyport, "{redis: redis://"+store.address+", lease: {batch: 100, share: 10%}}", store)
		}},
		{&ls.rival, "rival", func(store *redisServer) (*limiter, error) { return ls.startRival(ctx, store) }},
	} {
		if one.to == &ls.rival && o.quick {
			ls.notes.note("envoyproxy/ratelimit was left out of a first look: it may take minutes to build.")
			continue
		}
		store, err := ls.startRedis(ctx, redis)
		if err != nil {
			return err
		}
		if *one.to, err = one.start(store); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	return nil
}

// rules is the folder of rules, where envoyproxy/ratelimit looks for it.
func (ls *limiters) rules() string { return filepath.Join(ls.dir, "runtime", "config") }

func (ls *limiters) startEmpty(ctx context.Context) (*limiter, error) {
	binary := filepath.Join(ls.dir, "empty")
	if err := build(ctx, ".", binary, "./cmd/empty"); err != nil {
		return nil, err
	}
	p, address, err := startAnnounced(ctx, binary)
	if err != nil {
		return nil, err
	}
	return ls.add(ctx, address, p, nil)
}

// build builds a package of the module in dir.
func build(ctx context.Context, dir, binary, what string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, what)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w: %s", filepath.Join(dir, what), err, out)
	}
	return nil
}

// add keeps a limiter that was started, and the clocks of it and its store.
func (ls *limiters) add(ctx context.Context, address string, p *process, store *redisServer) (l *limiter, err error) {
	ls.started = append(ls.started, p)
	if err := p.awaitPort(ctx, address); err != nil {
		return nil, err
	}
	pids := []int{p.pid()}
	if store != nil {
		pids = append(pids, store.pid())
	}
	l = &limiter{address: address, process: p}
	l.cpu, err = newCPUClocks(pids...)
	return l, err
}

// startGate starts sallyport with the counters that are written so in its
// configuration. store is what they are in, nil for the process itself.
func (ls *limiters) startGate(ctx context.Context, binary, counters string, store *redisServer) (*limiter, error) {
	dir, err := os.MkdirTemp(ls.dir, "gate-")
	if err != nil {
		return nil, err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	free, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	g := &gate{binary: binary, http: free[1], token: rand.Text()}
	for name, secret := range map[string]string{"token": g.token, "pepper": rand.Text() + rand.Text()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(secret+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	var text strings.Builder
	err = template.Must(template.New("limits").Parse(limitsText)).Execute(&text, map[string]string{
		"GRPC": free[0], "HTTP": free[1], "Dir": dir, "Counters": counters, "Rules": ls.rules(),
	})
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "sallyport.yaml")
	if err := os.WriteFile(config, []byte(text.String()), 0o600); err != nil {
		return nil, err
	}
	p, err := start(ctx, nil, binary, "serve", "-c", config)
	if err != nil {
		return nil, err
	}
	l, err := ls.add(ctx, free[0], p, store)
	if err == nil {
		l.gate = g
	}
	return l, err
}

// startRival builds and starts envoyproxy/ratelimit. Nothing but what stands
// here is set, so all else is as it is by default.
func (ls *limiters) startRival(ctx context.Context, store *redisServer) (*limiter, error) {
	binary, begin := filepath.Join(ls.dir, "rival"), time.Now()
	if err := build(ctx, "rival", binary, "."); err != nil {
		return nil, err
	}
	ls.notes.note("envoyproxy/ratelimit was built in %.0f s.", time.Since(begin).Seconds())
	free, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	var ports [3]string
	for i, address := range free {
		if _, ports[i], err = net.SplitHostPort(address); err != nil {
			return nil, err
		}
	}
	// env becomes what it starts: the process is the server itself. Without statsd
	// it would log every number it counts, so its statistics are off.
	p, err := start(ctx, nil, "env", "-i", "GOMAXPROCS=1",
		"GRPC_HOST=127.0.0.1", "GRPC_PORT="+ports[0], "HOST=127.0.0.1", "PORT="+ports[1], "DEBUG_HOST=127.0.0.1", "DEBUG_PORT="+ports[2],
		"RUNTIME_ROOT="+ls.dir, "RUNTIME_SUBDIRECTORY=runtime",
		"BACKEND_TYPE=redis", "REDIS_SOCKET_TYPE=tcp", "REDIS_URL="+store.address,
		"USE_STATSD=false", "DISABLE_STATS=true", "LOG_LEVEL=error", binary)
	if err != nil {
		return nil, err
	}
	return ls.add(ctx, free[0], p, store)
}

// redisServer is a Redis that one limiter has for itself.
type redisServer struct {
	*process
	address string
}

// findRedis returns "" where there is none.
func findRedis() string {
	for _, name := range []string{os.Getenv("REDIS_SERVER"), "redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// startRedis starts a Redis that keeps nothing on disk.
func (ls *limiters) startRedis(ctx context.Context, binary string) (*redisServer, error) {
	free, err := freeAddresses(1)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(free[0])
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, nil, binary, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", port, "--dir", ls.dir)
	if err != nil {
		return nil, err
	}
	ls.started = append(ls.started, p)
	return &redisServer{p, free[0]}, p.awaitPort(ctx, free[0])
}

var errNotCounting = errors.New("a limit of one request an hour let three pass, or none")

// probe is an exchange that takes any answer and remembers what was said.
type probe struct {
	*limitStencil
	passed, refused int
}

func (p *probe) quick(message []byte) error {
	switch code, err := overallCode(message); {
	case err != nil:
		return err
	case code == rlsv3.RateLimitResponse_OK:
		p.passed++
	default:
		p.refused++
	}
	return nil
}

func (*probe) full([]byte) error { return nil }

// counts makes sure that l counts: of three requests under a limit of one an
// hour one passes, or two where the hour ends between them.
func (l *limiter) counts(ctx context.Context, rules int) error {
	stencil, err := newLimitStencil(onceAsk(rules), 0)
	if err != nil {
		return err
	}
	p := &probe{limitStencil: stencil}
	c, err := dial(ctx, l.address, 1, p)
	if err != nil {
		return err
	}
	defer c.close()
	var budget atomic.Int64
	budget.Store(3)
	if err := c.run(&budget, time.Now().Add(10*time.Second)); err != nil {
		return err
	}
	if p.passed == 0 || p.refused == 0 {
		return errNotCounting
	}
	return nil
}
