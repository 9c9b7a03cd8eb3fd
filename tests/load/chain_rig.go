package main

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed testdata/chain.envoy.yaml
var envoyText string

// rig is the servers of the chain: the upstream, sallyport, an empty Check in
// its place, and an Envoy for each way that differs in more than the client.
type rig struct {
	dir      string
	binary   string // Envoy's
	upstream string
	gate     *gate
	hollow   *listening
	envoys   map[way]*listening
	keys     []string
	started  []*process
}

// listening is a server and where it listens.
type listening struct {
	*process
	address string
}

// start starts what ways need. What was started before an error is ended by
// stop all the same.
func (r *rig) start(ctx context.Context, o options, ways []way) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", r.dir+"/", "./cmd/empty", "./cmd/upstream")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the servers: %w: %s", err, out)
	}
	upstream, err := r.announced(ctx, "upstream")
	if err != nil {
		return err
	}
	r.upstream = upstream.address
	if r.hollow, err = r.announced(ctx, "empty", filepath.Join(r.dir, "empty.sock")); err != nil {
		return err
	}
	around := surroundings{socket: filepath.Join(r.dir, "gate.sock"), upstream: r.upstream}
	if r.gate, err = startGate(ctx, o.sallyport, r.dir, around); err != nil {
		return err
	}
	r.started = append(r.started, r.gate.process)
	if r.keys, err = r.gate.makeKeys(ctx, o.keyCount); err != nil {
		return err
	}
	return r.startEnvoys(ctx, ways)
}

func (r *rig) stop() {
	for _, p := range r.started {
		p.stop()
	}
}

// announced starts one of the programs of cmd.
func (r *rig) announced(ctx context.Context, name string, args ...string) (*listening, error) {
	p, address, err := startAnnounced(ctx, filepath.Join(r.dir, name), args...)
	if err != nil {
		return nil, err
	}
	r.started = append(r.started, p)
	return &listening{p, address}, nil
}

// startEnvoys starts all Envoys, then waits for each.
func (r *rig) startEnvoys(ctx context.Context, ways []way) error {
	free, err := freeAddresses(len(ways))
	if err != nil {
		return err
	}
	for i, w := range ways {
		if w = w.envoy(); r.envoys[w] == nil {
			if r.envoys[w], err = r.startEnvoy(ctx, w, free[i]); err != nil {
				return fmt.Errorf("%s: %w", w, err)
			}
		}
	}
	for w, e := range r.envoys {
		if err := e.awaitPort(ctx, e.address); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

func (r *rig) startEnvoy(ctx context.Context, w way, address string) (*listening, error) {
	bootstrap, err := r.bootstrap(ctx, w, address)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(r.dir, fmt.Sprintf("envoy%d.yaml", len(r.envoys)))
	if err := os.WriteFile(file, bootstrap, 0o600); err != nil { // it may hold keys
		return nil, err
	}
	p, err := start(ctx, nil, r.binary, "-c", file, "--disable-hot-restart",
		"--concurrency", strconv.Itoa(1+w.workers), "--log-level", "error")
	if err != nil {
		return nil, err
	}
	r.started = append(r.started, p)
	return &listening{p, address}, nil
}

// bootstrap is the configuration of an Envoy for w: what sallyport writes for
// its users, or our own where sallyport has no part.
func (r *rig) bootstrap(ctx context.Context, w way, address string) ([]byte, error) {
	if !w.asks() {
		var clients []envoyClient
		if w.filters == native {
			clients = envoyClients(r.keys)
		}
		return envoyConfig(address, r.upstream, clients)
	}
	chain, at := string(w.filters), "unix://"+r.gate.around.socket
	switch {
	case w.filters == hollow:
		chain, at = string(fused), "unix://"+r.hollow.address
	case w.tcp:
		at = r.gate.grpc
	}
	return r.gate.cli(ctx, "envoy", "bootstrap", "-c", r.gate.config, "--chain", chain, "--listen", address, "--admin", "", "--grpc", at)
}

// envoyClient is what Envoy's own filters know of a client.
type envoyClient struct {
	Name, Key string
	Tokens    int // a minute
}

// probeKey is good for one request a minute, which shows that Envoy counts.
const probeKey = "ord_live_probe"

func envoyClients(keys []string) []envoyClient {
	all := []envoyClient{{"probe", probeKey, 1}}
	for i, key := range keys {
		all = append(all, envoyClient{"client" + strconv.Itoa(i), key, 10_000_000})
	}
	return all
}

// envoyConfig is the configuration of an Envoy without sallyport. With clients
// it has filters for them.
func envoyConfig(address, upstream string, clients []envoyClient) ([]byte, error) {
	listen, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	behind, err := netip.ParseAddrPort(upstream)
	if err != nil {
		return nil, err
	}
	var text strings.Builder
	err = template.Must(template.New("envoy").Parse(envoyText)).Execute(&text, map[string]any{
		"Listen": listen, "Upstream": behind, "Clients": clients,
	})
	return []byte(text.String()), err
}

// traffic connects the clients of w.
func (r *rig) traffic(ctx context.Context, w way) (*traffic, error) {
	e := r.envoys[w.envoy()]
	t, err := newTraffic(ctx, w, e.address, r.keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w, err)
	}
	t.envoy = e.process
	if t.clocks.envoy, err = newCPUClocks(e.pid()); err != nil {
		return nil, err
	}
	if !w.asks() {
		return t, nil
	}
	t.gate = r.gate.process
	if w.filters == hollow {
		t.gate = r.hollow.process
	}
	t.clocks.gate, err = newCPUClocks(t.gate.pid())
	return t, err
}
