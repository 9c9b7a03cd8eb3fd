package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// fleet is the servers of one run: the baseline, then what is measured.
type fleet struct {
	servers []*server
	started []*process
	gate    int      // the place of the gate among servers
	clients *clients // of the gate; nil: there is none
}

// anyKey is sent to servers that do not look at it.
var anyKey = []string{"ord_live_" + strings.Repeat("k", 38)}

// start starts what o asks for. What was started before an error is ended by
// stop all the same.
func (f *fleet) start(ctx context.Context, o options, dir string) error {
	empty := filepath.Join(dir, "empty")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", empty, "./cmd/empty").CombinedOutput(); err != nil {
		return fmt.Errorf("build the baseline: %w: %s", err, out)
	}
	if err := f.startCommand(ctx, "empty="+empty); err != nil {
		return err
	}
	for _, command := range o.against {
		if err := f.startCommand(ctx, command); err != nil {
			return err
		}
	}
	switch {
	case o.target != "":
		return f.join(o)
	case o.sallyport != "":
		return f.startSallyport(ctx, o, dir)
	}
	return nil
}

func (f *fleet) stop() {
	if f.clients != nil {
		f.clients.close()
	}
	for _, p := range f.started {
		p.stop()
	}
}

func (f *fleet) add(s *server, pids ...int) (err error) {
	f.servers = append(f.servers, s)
	s.cpu, err = newCPUClocks(pids...)
	return err
}

// startCommand starts name=command, a server that prints its address.
func (f *fleet) startCommand(ctx context.Context, command string) error {
	name, line, _ := strings.Cut(command, "=")
	words := strings.Fields(line)
	if len(words) == 0 {
		return fmt.Errorf("%q: want name=command", command)
	}
	p, address, err := startAnnounced(ctx, words[0], words[1:]...)
	if err != nil {
		return err
	}
	f.started = append(f.started, p)
	if err := checkLoopback(address); err != nil {
		return fmt.Errorf("%s prints the address %q: %w", name, address, err)
	}
	return f.add(&server{name: name, address: address, asked: checks(anyKey, false), process: p}, p.pid())
}

func (f *fleet) startSallyport(ctx context.Context, o options, dir string) error {
	g, keys, err := f.startGate(ctx, o.sallyport, o.keyCount, dir)
	if err != nil {
		return err
	}
	if err := f.add(&server{name: "sallyport", address: g.grpc, asked: checks(keys, true), barred: true, process: g.process}, g.pid()); err != nil {
		return err
	}
	f.gate = len(f.servers) - 1
	if o.beside != "" {
		if err := f.startBeside(ctx, o, dir); err != nil {
			return err
		}
	}
	if f.clients, err = g.makeClients(ctx, o.keyCount); err != nil {
		return err
	}
	tokens, err := f.clients.tokens(ctx, o.keyCount)
	if err != nil {
		return err
	}
	return f.add(&server{
		name: "a token beside a key", address: g.grpc, asked: checks(tokens, true), process: g.process,
		beside: f.gate, bar: tokenBar,
	}, g.pid())
}

// startGate starts the gate that binary is, with so many keys.
func (f *fleet) startGate(ctx context.Context, binary string, count int, dir string) (*gate, []string, error) {
	g, err := startGate(ctx, binary, dir, surroundings{})
	if err != nil {
		return nil, nil, err
	}
	f.started = append(f.started, g.process)
	keys, err := g.makeKeys(ctx, count)
	return g, keys, err
}

// startBeside starts another build of the gate, to be compared with the first.
func (f *fleet) startBeside(ctx context.Context, o options, dir string) error {
	dir = filepath.Join(dir, "beside")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	g, keys, err := f.startGate(ctx, o.beside, o.keyCount, dir)
	if err != nil {
		return err
	}
	return f.add(&server{name: "the binary beside", address: g.grpc, asked: checks(keys, true), process: g.process, beside: f.gate}, g.pid())
}

// tokenBar is what a Check of a token that is known may cost beside one of a key.
const tokenBar = 1.1

// join adds a server that runs already, if it runs as the others do.
func (f *fleet) join(o options) error {
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", o.pid))
	if err != nil {
		return fmt.Errorf("-pid: %w", err)
	}
	if !bytes.Contains(append([]byte{0}, env...), []byte("\x00GOMAXPROCS=1\x00")) {
		return fmt.Errorf("-pid: process %d was not started with GOMAXPROCS=1, so it cannot be compared", o.pid)
	}
	return f.add(&server{name: "target", address: o.target, asked: checks(strings.Split(o.keys, ","), true), barred: true}, o.pid)
}
