package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport/sallyport/internal/store/sqlite"
	"github.com/sallyport/sallyport/internal/store/storetest"
)

// The scripts run this test binary as the command sallyport.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": main})
}

// TestScripts runs tests/script: what a reader of the manual would type, and
// what they would see. Beside testscript's own commands there are
//
//	exits CODE COMMAND…  runs a command that ends with this exit code
//	capture VAR REGEXP   keeps what the first group matches in the last output
//	serve FILE           starts the server, waits until it is ready, and sets
//	                     SALLYPORT_URL and, where the token is shown, SALLYPORT_TOKEN;
//	                     its output is in serve.out and serve.log
//	end                  ends it as Ctrl-C does
//	occupy VAR           listens on a port and keeps its address
//
// and $WORK is replaced in the YAML files.
func TestScripts(t *testing.T) {
	store := func(folder string) { copies(t, folder) }
	testscript.Run(t, testscript.Params{
		Dir:                 "../../tests/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { return setup(env, store) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "capture": capture, "serve": serveCommand, "end": endCommand, "occupy": occupy,
		},
	})
}

type serverKey struct{}

// raceExit keeps a command that is built with the race detector from waiting a
// second at its end.
const raceExit = "atexit_sleep_ms=10"

var copies = storetest.Copies(func(ctx context.Context, path string) (io.Closer, error) { return sqlite.Open(ctx, path) })

// setup prepares the folder of a script. The scripts find a store without
// rows where their server keeps it, but serve, which is about the first start.
func setup(env *testscript.Env, store func(folder string)) error {
	if filepath.Base(env.WorkDir) != "script-serve" {
		store(env.WorkDir)
	}
	env.Values[serverKey{}] = new(server)
	env.Setenv("GORACE", raceExit)
	files, err := filepath.Glob(filepath.Join(env.WorkDir, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "$WORK", env.WorkDir)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture VAR REGEXP")
	}
	match := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(match) < 2 {
		ts.Fatalf("the output does not match %s", args[1])
	}
	ts.Setenv(args[0], match[1])
}

func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: occupy VAR")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// server is the one that a script started, if any.
type server struct {
	process *exec.Cmd
	drained chan struct{} // closed when its whole log has been read
}

var ready = regexp.MustCompile(`msg=ready .*http=(\S+)`)

func serveCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	if neg || len(args) != 1 || s.process != nil {
		ts.Fatalf("usage: serve FILE, once until end")
	}
	stdout, err := os.Create(ts.MkAbs("serve.out"))
	ts.Check(err)
	defer stdout.Close()
	log, err := os.Create(ts.MkAbs("serve.log"))
	ts.Check(err)
	c := exec.Command("sallyport", "serve", "-c", args[0])
	c.Dir = ts.MkAbs(".")
	c.Env = append(os.Environ(), "GORACE="+raceExit)
	c.Stdout = stdout
	stderr, err := c.StderrPipe()
	ts.Check(err)
	ts.Check(c.Start())
	s.process = c
	ts.Defer(func() { s.stop(syscall.SIGKILL) })
	s.drained = make(chan struct{})
	address := s.follow(stderr, log)
	if address == "" {
		ts.Fatalf("the server is not ready:\n%s", ts.ReadFile("serve.log"))
	}
	ts.Setenv("SALLYPORT_URL", "http://"+address)
	if token := regexp.MustCompile(`(?m)^sp_admin_\w+$`).FindString(ts.ReadFile("serve.out")); token != "" {
		ts.Setenv("SALLYPORT_TOKEN", token)
	}
}

// follow copies the log until the server ends, and returns its address when it
// is ready, or nothing where it ended before.
func (s *server) follow(from io.Reader, to io.WriteCloser) string {
	address := make(chan string, 1)
	go func() {
		defer close(s.drained)
		defer to.Close()
		defer close(address)
		for lines := bufio.NewScanner(from); lines.Scan(); {
			io.WriteString(to, lines.Text()+"\n")
			if at := ready.FindStringSubmatch(lines.Text()); at != nil {
				address <- at[1]
			}
		}
	}()
	return <-address
}

func endCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(serverKey{}).(*server)
	if neg || len(args) != 0 || s.process == nil {
		ts.Fatalf("usage: end, after serve")
	}
	ts.Check(s.stop(syscall.SIGTERM))
}

// stop ends the server and waits; it may be called again.
func (s *server) stop(sig os.Signal) error {
	if s.process == nil {
		return nil
	}
	process := s.process
	s.process = nil
	err := process.Process.Signal(sig)
	<-s.drained
	return errors.Join(err, process.Wait())
}
