package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a server under measurement that this program started.
type process struct {
	cmd    *exec.Cmd
	errors *tail
	ended  chan struct{} // closed when it has ended
}

// childEnv is the environment of every server: no setting of Go's runtime or
// of the gate leaks in from outside, and one thread runs Go code at a time.
func childEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "GO") || strings.HasPrefix(name, "GRPC_") || strings.HasPrefix(name, "SALLYPORT_") {
			continue
		}
		env = append(env, v)
	}
	return append(env, "GOMAXPROCS=1")
}

// start runs a server until ctx ends or stop is called.
func start(ctx context.Context, stdout io.Writer, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, name, args...), errors: new(tail), ended: make(chan struct{})}
	p.cmd.Env = childEnv()
	p.cmd.Stdout, p.cmd.Stderr = stdout, p.errors
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.Wait() // how it ended shows in its standard error
		close(p.ended)
	}()
	return p, nil
}

// startAnnounced runs a server that prints the address it listens on.
func startAnnounced(ctx context.Context, name string, args ...string) (*process, string, error) {
	r, w := io.Pipe()
	p, err := start(ctx, w, name, args...)
	if err != nil {
		return nil, "", err
	}
	go func() {
		<-p.ended
		w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		return nil, "", fmt.Errorf("%s ended before it printed its address: %s", name, p.errors)
	}
	go io.Copy(io.Discard, r)
	return p, strings.TrimSpace(line), nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the server and waits until it has.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.cmd.Process.Kill()
		<-p.ended
	}
}

// awaitPort waits until something listens at address. The server is a black
// box that says nothing when it is ready, so this asks.
func (p *process) awaitPort(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-retry.C:
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.cmd.Path, p.errors)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w: %s", p.cmd.Path, address, ctx.Err(), p.errors)
		}
	}
}

// freeAddresses returns n addresses of the loopback interface that nothing
// listened on a moment ago.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

// checkLoopback refuses to send load anywhere else.
func checkLoopback(address string) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !a.Addr().IsLoopback() {
		return errors.New("load goes to the loopback interface only")
	}
	return nil
}

// tail keeps the last of what a server wrote.
type tail struct {
	mu   sync.Mutex // guards text
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if len(t.text) > most {
		t.text = append(t.text[:0], t.text[len(t.text)-most:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return "(it wrote nothing)"
	}
	return strings.TrimSpace(string(t.text))
}
