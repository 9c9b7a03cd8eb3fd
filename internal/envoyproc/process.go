// Package envoyproc runs an Envoy process: it starts it on a bootstrap, waits
// until it serves, says on which addresses, and sees to it that the process
// ends with its owner. It is for the demonstration and for tests, not for
// production, where an init system or a pod owns Envoy. Starting costs a few
// tenths of a second and some 50 MB.
package envoyproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Config is what to run. Binary and Bootstrap are needed; the bootstrap must
// have an admin listener, and port 0 is well for any of its listeners.
type Config struct {
	Binary      string
	Bootstrap   []byte
	Listen      string    // the listener's host:port, checked to be free: Envoy itself would share a taken port
	Concurrency int       // worker threads; default 1
	LogLevel    string    // default "warning"
	Stderr      io.Writer // Envoy's log; nil discards it
}

// Process is a running Envoy.
type Process struct {
	address, admin string
	folder         string
	process        *os.Process
	stderr         *tail
	exited         chan struct{}
	exit           error // how it ended; to be read when exited is closed
	stopping       sync.Once
	stopped        chan struct{} // closed when Stop was called
}

// grace is how long Envoy may take to end when asked; it does not drain.
const grace = 5 * time.Second

// Start runs Envoy and returns when it serves, or says why it does not, with
// the last of its log. The process ends with Stop, with ctx and, on Linux,
// with this process however that ends.
func Start(ctx context.Context, c Config) (*Process, error) {
	if err := free(c.Listen); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "sallyport-envoy-")
	if err != nil {
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	p := &Process{folder: folder, stderr: &tail{next: c.Stderr}, exited: make(chan struct{}), stopped: make(chan struct{})}
	if err := p.start(c); err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	if err := p.awaitReady(ctx); err != nil {
		p.Stop()
		return nil, fmt.Errorf("start envoy: %w", err)
	}
	go func() {
		select {
		case <-ctx.Done():
			p.Stop()
		case <-p.stopped:
		case <-p.exited:
		}
	}()
	return p, nil
}

// free reports whether address can be listened on. Envoy's workers listen with
// SO_REUSEPORT, so that two Envoys of one user would take turns in silence.
func free(address string) error {
	if address == "" {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("start envoy: %s cannot be listened on: %w", address, err)
	}
	return l.Close()
}

// start writes the bootstrap and starts the process.
func (p *Process) start(c Config) error {
	bootstrap := filepath.Join(p.folder, "bootstrap.yaml")
	if err := os.WriteFile(bootstrap, c.Bootstrap, 0o600); err != nil {
		return fmt.Errorf("start envoy: %w", err)
	}
	level := c.LogLevel
	if level == "" {
		level = "warning"
	}
	cmd := exec.Command(c.Binary, "-c", bootstrap, "--disable-hot-restart", "--admin-address-path", p.adminFile(),
		"--concurrency", strconv.Itoa(max(c.Concurrency, 1)), "--log-level", level)
	cmd.Stderr, cmd.Stdout = p.stderr, p.stderr
	cmd.SysProcAttr = endWithParent()
	cmd.WaitDelay = grace
	started := make(chan error)
	go func() {
		// The kernel ends the child with the thread that started it, so that
		// thread stays ours for the child's whole life.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		p.exit = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start envoy: %w", err)
	}
	return nil
}

func (p *Process) adminFile() string { return filepath.Join(p.folder, "admin") }

// Address returns host:port of the first listener, one to connect to: where
// Envoy listens on all addresses it is the loopback's.
func (p *Process) Address() string { return p.address }

// Admin returns host:port of Envoy's admin listener.
func (p *Process) Admin() string { return p.admin }

// Pid returns the process id.
func (p *Process) Pid() int { return p.process.Pid }

// Exited is closed when the process has ended, wanted or not.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Log returns the last of what Envoy wrote.
func (p *Process) Log() string { return p.stderr.String() }

// Err says how a process ended that was not stopped; nil while it runs and
// after Stop.
func (p *Process) Err() error {
	select {
	case <-p.stopped:
		return nil
	default:
	}
	select {
	case <-p.exited:
		return p.died()
	default:
		return nil
	}
}

func (p *Process) died() error {
	return fmt.Errorf("envoy ended by itself (%v):\n%s", p.exit, p.stderr)
}

// Stop ends the process, waits for it and removes its files. It may be called
// more than once and by many.
func (p *Process) Stop() {
	p.stopping.Do(func() {
		close(p.stopped)
		// An error here says that it has ended already.
		_ = p.process.Signal(syscall.SIGTERM)
		select {
		case <-p.exited:
		case <-time.After(grace):
			_ = p.process.Kill()
			<-p.exited
		}
		_ = os.RemoveAll(p.folder)
	})
	<-p.exited
}
