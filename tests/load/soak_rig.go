package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"text/template"
	"time"
)

//go:embed testdata/soak.yaml
var soakText string

// smallQuota is what a key of the plan small has in any hour.
const smallQuota = 5

// pool is the servers of the soak: sallyport with its counters in a Redis, an
// Envoy for each chain, and the upstream.
type pool struct {
	dir      string
	redisBin string
	redisAt  string
	gate     *gate
	doors    []*door
	fields   map[string]any // of the configuration, besides its age
	ages     ages
	ledger   *ledger
	started  []*process

	calm     sync.RWMutex  // held for writing while Redis is away
	redis    *process      // guarded by calm
	restarts atomic.Uint64 // of Redis, begun
}

// door is an Envoy through which requests come.
type door struct {
	chain   filters
	address string
	client  *http.Client
}

// start starts all servers. What was started before an error is ended by stop
// all the same.
func (p *pool) start(ctx context.Context, o options) error {
	envoy, err := findEnvoy(ctx, o.module)
	if err != nil {
		return fmt.Errorf("the soak needs an Envoy: %w", err)
	}
	if p.redisBin, err = findTool(ctx, o.module, "redis.sh"); err != nil {
		return fmt.Errorf("the soak needs a Redis: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", p.dir+"/", "./cmd/upstream").CombinedOutput(); err != nil {
		return fmt.Errorf("build the upstream: %w: %s", err, out)
	}
	upstream, address, err := startAnnounced(ctx, filepath.Join(p.dir, "upstream"))
	if err != nil {
		return err
	}
	p.started = append(p.started, upstream)
	free, err := freeAddresses(4)
	if err != nil {
		return err
	}
	p.redisAt = free[0]
	if err := p.startRedis(ctx); err != nil {
		return err
	}
	if err := p.startGate(ctx, o.sallyport, free[1], address); err != nil {
		return err
	}
	for i, chain := range []filters{paired, fused} {
		if err := p.startDoor(ctx, envoy, chain, free[2+i]); err != nil {
			return fmt.Errorf("start Envoy, %s: %w", chain, err)
		}
	}
	return nil
}

func (p *pool) stop() {
	p.calm.Lock()
	defer p.calm.Unlock()
	for _, one := range p.started {
		one.stop()
	}
	if p.redis != nil {
		p.redis.stop()
	}
}

// startRedis starts a Redis that keeps nothing, at the address that it had
// before. The caller holds calm, or is the first.
func (p *pool) startRedis(ctx context.Context) error {
	_, port, _ := strings.Cut(p.redisAt, ":")
	redis, err := start(ctx, nil, p.redisBin, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", p.dir)
	if err != nil {
		return err
	}
	p.redis = redis
	return redis.awaitPort(ctx, p.redisAt)
}

func (p *pool) startGate(ctx context.Context, binary, address, upstream string) (err error) {
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(p.dir, name) }
	p.gate = &gate{binary: binary, config: file("sallyport.yaml"), http: address, token: rand.Text()}
	p.fields = map[string]any{
		"Socket": file("gate.sock"), "HTTP": address, "Store": file("sallyport.db"), "Redis": p.redisAt,
		"Pepper": file("pepper"), "Token": file("token"), "Upstream": upstream, "Small": smallQuota,
	}
	for name, secret := range map[string]string{"token": p.gate.token, "pepper": rand.Text() + rand.Text()} {
		if err := os.WriteFile(file(name), []byte(secret+"\n"), 0o600); err != nil {
			return err
		}
	}
	if err := p.write(0, ""); err != nil {
		return err
	}
	if p.gate.process, err = start(ctx, nil, binary, "serve", "-c", p.gate.config); err != nil {
		return err
	}
	p.started = append(p.started, p.gate.process)
	return p.gate.awaitPort(ctx, address)
}

// write puts a configuration in the place of the one before, all at once. What
// is added to it may be a fault.
func (p *pool) write(age int, added string) error {
	text, err := soakConfig(p.fields, age)
	if err != nil {
		return err
	}
	next := p.gate.config + ".next"
	if err := os.WriteFile(next, append(text, added...), 0o600); err != nil {
		return err
	}
	return os.Rename(next, p.gate.config)
}

func soakConfig(fields map[string]any, age int) ([]byte, error) {
	all := map[string]any{"Age": age, "Odd": age%2 == 1}
	for name, value := range fields {
		all[name] = value
	}
	var text bytes.Buffer
	err := template.Must(template.New("soak").Option("missingkey=error").Parse(soakText)).Execute(&text, all)
	return text.Bytes(), err
}

func (p *pool) startDoor(ctx context.Context, envoy string, chain filters, address string) error {
	bootstrap, err := p.gate.cli(ctx, "envoy", "bootstrap", "-c", p.gate.config, "--chain", string(chain), "--listen", address, "--admin", "")
	if err != nil {
		return err
	}
	file := filepath.Join(p.dir, string(chain)+".yaml")
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil {
		return err
	}
	e, err := start(ctx, nil, envoy, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "error")
	if err != nil {
		return err
	}
	p.started = append(p.started, e)
	p.doors = append(p.doors, &door{chain, address, &http.Client{
		Timeout:   20 * time.Second, // longer than Envoy and the gate wait for each other
		Transport: &http.Transport{MaxIdleConnsPerHost: 4 * callersOfDoor, DisableCompression: true},
	}})
	return e.awaitPort(ctx, address)
}

// ask sends q through d and notes its answer. It returns what was answered, for
// those who count, and false where that was not right.
func (p *pool) ask(ctx context.Context, d *door, q question) (outcome, bool) {
	o, err := p.askOnce(ctx, d, q)
	if err != nil {
		p.ledger.fault(fmt.Sprintf("%s %s, %s", q.method, q.path, d.chain), err)
	}
	return o, err == nil
}

func (p *pool) askOnce(ctx context.Context, d *door, q question) (outcome, error) {
	least, _ := p.ages.now()
	begin := time.Now()
	got, err := p.send(ctx, d, q)
	if err != nil {
		return outcome{}, err
	}
	_, most := p.ages.now()
	p.ledger.answer(got.outcome, time.Since(begin))
	return got.outcome, q.judge(got, least, most)
}

// send sends q through d and reads the answer.
func (p *pool) send(ctx context.Context, d *door, q question) (told, error) {
	r, err := http.NewRequestWithContext(ctx, q.method, "http://"+d.address+q.path, nil)
	if err != nil {
		return told{}, err
	}
	r.Host = chainHost
	r.Header.Set("X-API-Key", q.key)
	answer, err := d.client.Do(r)
	if err != nil {
		return told{}, err
	}
	return read(answer)
}

// refused is the admin API's no.
type refused struct {
	status int
	body   string
}

func (r *refused) Error() string { return fmt.Sprintf("status %d: %s", r.status, r.body) }

// admin calls the admin API of g. in and out may be nil.
func (g *gate) admin(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+g.http+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+g.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	switch {
	case err != nil:
		return err
	case answer.StatusCode >= 300:
		return fmt.Errorf("%s %s: %w", method, path, &refused{answer.StatusCode, string(text)})
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// isRefused reports whether err is the admin API's no with status.
func isRefused(err error, status int) bool {
	var no *refused
	return errors.As(err, &no) && no.status == status
}
