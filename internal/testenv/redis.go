package testenv

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Redis returns the path of a Redis or Valkey server binary.
func Redis(t testing.TB) string {
	t.Helper()
	path, err := findRedis(os.Getenv, Root(t))
	if err != nil {
		Missing(t, "redis", err.Error())
	}
	return path
}

func findRedis(getenv func(string) string, root string) (string, error) {
	if path := getenv("REDIS_SERVER"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("REDIS_SERVER=%s is not an executable file", path)
		}
		return path, nil
	}
	for _, name := range []string{"redis-server", "valkey-server", filepath.Join(root, ".tools", "redis", "redis-server")} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Redis found: run scripts/redis.sh, put redis-server on PATH or set REDIS_SERVER=/path/to/redis-server: %w", os.ErrNotExist)
}

// RedisServer is a Redis of a test's own, on a free port of the loopback, with
// an empty folder that ends with the test. Its methods make the faults that a
// client must survive; they fail the test where the server does not do as told,
// and are for one goroutine at a time.
type RedisServer struct {
	Addr string // host:port

	t      testing.TB
	binary string
	dir    string
	file   string // its configuration; "" for none
	args   []string
	env    []string // added to the process's environment
	log    *os.File

	mu      sync.Mutex
	process *os.Process   // guarded by mu; nil while it is not running
	ended   chan struct{} // guarded by mu: closed when process has ended
}

// StartRedis starts a server and waits until it answers. args are those of
// redis-server, such as "--maxmemory", "4mb"; nothing is written to disk unless
// they say so.
func StartRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := NewRedis(t, args...)
	s.Start()
	return s
}

// NewRedis prepares a server without starting it: its address is known, and
// nobody answers there.
func NewRedis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := newRedis(t, t.TempDir(), args...)
	t.Cleanup(func() {
		s.end()
		s.tell(t)
	})
	return s
}

// newRedis prepares a server in dir that nobody ends.
func newRedis(t testing.TB, dir string, args ...string) *RedisServer {
	t.Helper()
	s := &RedisServer{Addr: FreeAddress(t), t: t, binary: Redis(t), dir: dir, args: args}
	var err error
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	return s
}

// end ends the server for good.
func (s *RedisServer) end() {
	s.Kill()
	s.log.Close()
}

// tell shows what the server logged last, where a test that used it has failed.
func (s *RedisServer) tell(t testing.TB) {
	if t.Failed() {
		text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
		t.Logf("what Redis at %s logged last:\n%s", s.Addr, text[max(0, len(text)-2000):])
	}
}

// clusterBus is how far above its port a Redis listens for the others of its
// cluster.
const clusterBus = 10_000

// FreeAddress returns an address of the loopback that nobody listens on, nor
// clusterBus above it, and that no other server of tests that run was given:
// one that is not started yet, or killed to be started again, listens nowhere. It
// is below those that Linux gives to whoever asks for any port, so that nobody's
// connection is there when the server starts or comes back, and none of those that
// Istio and Envoy Gateway listen on whatever one says.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 11_000 + rand.IntN(clusterBus)
		if thousand := port / 1000; thousand == 15 || thousand == 18 || thousand == 19 {
			continue
		}
		if address := fmt.Sprintf("127.0.0.1:%d", port); canListen(address) &&
			canListen(fmt.Sprintf("127.0.0.1:%d", port+clusterBus)) && handOut(port) {
			return address
		}
	}
	t.Fatal("no free port with another one clusterBus above it")
	return ""
}

func canListen(address string) bool {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// handedOut holds the ports of the servers of this process's tests, and those
// that they have for their cluster, each with what claims it from other processes.
var handedOut = struct {
	sync.Mutex
	ports map[int]io.Closer
}{ports: map[int]io.Closer{}}

// handOut reports whether neither port nor the one for its cluster is another
// server's, and makes them the caller's.
func handOut(port int) bool {
	handedOut.Lock()
	defer handedOut.Unlock()
	bus := port + clusterBus
	if handedOut.ports[port] != nil || handedOut.ports[bus] != nil {
		return false
	}
	own, ok := claimPort(port)
	if !ok {
		return false
	}
	busToo, ok := claimPort(bus)
	if !ok {
		own.Close()
		return false
	}
	handedOut.ports[port], handedOut.ports[bus] = own, busToo
	return true
}

// Port returns the server's port.
func (s *RedisServer) Port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// Dir returns the server's folder.
func (s *RedisServer) Dir() string { return s.dir }

// Start starts the server, again where it was killed, and waits until it
// answers. A server that loads its data or wants a password has answered.
func (s *RedisServer) Start() {
	s.t.Helper()
	s.awaitAnswer(s.launch())
}

// launch starts the process. It dies with the thread that starts it, so that a
// killed test leaves none behind; that is why the thread waits.
func (s *RedisServer) launch() (ended <-chan struct{}) {
	s.t.Helper()
	args := []string{s.file}
	if s.file == "" {
		args = []string{"--save", "", "--appendonly", "no", "--port", s.Port()}
	}
	args = append(append(args, "--bind", "127.0.0.1", "--dir", s.dir, "--daemonize", "no"), s.args...)
	cmd := exec.Command(s.binary, args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.log, s.log, endWithParent()
	done, started := make(chan struct{}), make(chan error)
	go func() {
		defer close(done)
		lockThread()
		pprof.SetGoroutineLabels(context.Background()) // it is no test's: the server may be shared
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		s.t.Fatalf("start Redis: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.process, s.ended = cmd.Process, done
	return done
}

func (s *RedisServer) awaitAnswer(ended <-chan struct{}) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := s.ask(time.Second, "PING"); err == nil || errors.Is(err, errAnswer) {
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			s.t.Fatalf("Redis at %s ended at once (was its port taken, or an argument wrong?): %q", s.Addr, s.args)
		case <-ctx.Done():
			s.t.Fatalf("Redis at %s does not answer", s.Addr)
		}
	}
}

// Kill ends the server as kill -9 does, stopped or not, and waits until it is
// gone. One that is not running stays so.
func (s *RedisServer) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.Kill()
		<-s.ended
		s.process = nil
	}
}

// Restart kills the server and starts it on the same port, with what it had on
// disk.
func (s *RedisServer) Restart() {
	s.t.Helper()
	s.Kill()
	s.Start()
}

// Stop makes the server hang (SIGSTOP): connections to it open, and nobody
// answers.
func (s *RedisServer) Stop() { s.signal(syscall.SIGSTOP) }

// Cont lets a stopped server go on.
func (s *RedisServer) Cont() { s.signal(syscall.SIGCONT) }

func (s *RedisServer) signal(sig syscall.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		s.t.Fatalf("Redis at %s is not running", s.Addr)
	}
	if err := s.process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// errAnswer is an error that the server answered with.
var errAnswer = errors.New("redis answered")

// Do asks the server on a connection of its own and returns the answer as text,
// arrays with a line for each element. It waits at most ten seconds.
func (s *RedisServer) Do(command ...string) string {
	s.t.Helper()
	answer, err := s.ask(10*time.Second, command...)
	if err != nil {
		s.t.Fatalf("%s: %v", strings.Join(command, " "), err)
	}
	return answer
}

// Try is Do for a command that may fail.
func (s *RedisServer) Try(command ...string) (string, error) { return s.ask(time.Second, command...) }

func (s *RedisServer) ask(patience time.Duration, command ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.Addr, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	text := fmt.Appendf(nil, "*%d\r\n", len(command))
	for _, word := range command {
		text = fmt.Appendf(text, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write(text); err != nil {
		return "", err
	}
	return readAnswer(bufio.NewReader(conn))
}

// readAnswer reads one answer of Redis's protocol (RESP2).
func readAnswer(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	kind, rest := line[0], strings.TrimRight(line[1:], "\r\n")
	switch kind {
	case '-':
		return "", fmt.Errorf("%w: %s", errAnswer, rest)
	case '$', '*':
	default:
		return rest, nil
	}
	n, err := strconv.Atoi(rest)
	if err != nil || n < 0 {
		return "", err
	}
	if kind == '$' {
		text := make([]byte, n+2)
		for read := 0; read < len(text); {
			more, err := r.Read(text[read:])
			if err != nil {
				return "", err
			}
			read += more
		}
		return string(text[:n]), nil
	}
	var lines []string
	for range n {
		one, err := readAnswer(r)
		if err != nil {
			return "", err
		}
		lines = append(lines, one)
	}
	return strings.Join(lines, "\n"), nil
}
