package envoyproc_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/envoyproc"
	"github.com/sallyport/sallyport/internal/testenv"
)

// minimal is a bootstrap with one listener that needs nothing else.
const minimal = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: one
    address: {socket_address: {address: 0.0.0.0, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.echo
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo}
`

func TestProcessServesUntilStopped(t *testing.T) {
	p, err := envoyproc.Start(t.Context(), envoyproc.Config{Binary: testenv.Envoy(t), Bootstrap: []byte(minimal)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for _, address := range []string{p.Address(), p.Admin()} {
		if host, port, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" || port == "0" {
			t.Errorf("address %q: want the loopback's and a real port (%v)", address, err)
		}
	}
	conn, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "echo")
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "echo\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if err := p.Err(); err != nil {
		t.Errorf("while it runs: %v", err)
	}
	p.Stop()
	p.Stop()
	<-p.Exited()
	if err := p.Err(); err != nil {
		t.Errorf("after Stop: %v", err)
	}
	if alive(p.Pid()) {
		t.Error("the process is left")
	}
}

func TestProcessEndsWithItsContext(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	p, err := envoyproc.Start(ctx, envoyproc.Config{Binary: testenv.Envoy(t), Bootstrap: []byte(minimal)})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-p.Exited()
	p.Stop() // waits for the files to be gone
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "sallyport-envoy-*")); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
}

func TestProcessThatDiesIsAnErrorWithItsLog(t *testing.T) {
	p, err := envoyproc.Start(t.Context(), envoyproc.Config{Binary: testenv.Envoy(t), Bootstrap: []byte(minimal)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if err := syscall.Kill(p.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "ended by itself (signal: killed)") {
		t.Errorf("got %v", err)
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	binary := testenv.Envoy(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	t.Setenv("TMPDIR", t.TempDir())
	for name, c := range map[string]struct {
		config envoyproc.Config
		want   string
	}{
		"unknown field": {envoyproc.Config{Binary: binary, Bootstrap: []byte("nonsense: 1\n")}, "nonsense"},
		"no binary":     {envoyproc.Config{Binary: "/nonexistent/envoy", Bootstrap: []byte(minimal)}, "no such file"},
		"not Envoy":     {envoyproc.Config{Binary: "/bin/false", Bootstrap: []byte(minimal)}, "ended by itself (exit status 1)"},
		"taken port":    {envoyproc.Config{Binary: binary, Listen: taken.Addr().String(), Bootstrap: []byte(minimal)}, "address already in use"},
		"taken admin port": {envoyproc.Config{Binary: binary, Bootstrap: []byte(strings.Replace(minimal, "port_value: 0", "port_value: "+port, 1))},
			"Address already in use"},
	} {
		p, err := envoyproc.Start(t.Context(), c.config)
		if err == nil {
			p.Stop()
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v lacks %q", name, err, c.want)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "sallyport-envoy-*")); len(left) != 0 {
		t.Errorf("files are left: %v", left)
	}
}

// TestNothingIsLeftByAKill starts Envoy in a child of this test and kills the
// child, which so cannot clean up.
func TestNothingIsLeftByAKill(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs Linux: elsewhere the kernel does not end children with their parents")
	}
	binary := testenv.Envoy(t)
	if os.Getenv("SALLYPORT_ENVOYPROC_CHILD") != "" {
		p, err := envoyproc.Start(t.Context(), envoyproc.Config{Binary: binary, Bootstrap: []byte(minimal)})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("pid", p.Pid())
		<-p.Exited()
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeftByAKill$", "-test.v")
	child.Env = append(os.Environ(), "SALLYPORT_ENVOYPROC_CHILD=1", "TMPDIR="+t.TempDir())
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "pid %d", &pid)
	}
	if pid == 0 || !alive(pid) {
		t.Fatal("the child did not start Envoy")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // says that it was killed
	deadline := time.Now().Add(10 * time.Second)
	for alive(pid) && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond) // there is nobody to ask: it is not our child
	}
	if alive(pid) {
		t.Errorf("Envoy (pid %d) is left", pid)
	}
}

// alive reports whether pid runs; one that waits to be reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func TestFindPrefersTheEnvironment(t *testing.T) {
	root := t.TempDir()
	tool := filepath.Join(root, ".tools", "envoy", "envoy")
	onPath := filepath.Join(root, "bin", "envoy")
	for _, path := range []string{tool, onPath} {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ env, path, root, want string }{
		{tool, filepath.Dir(onPath), root, tool},
		{"", filepath.Dir(onPath), root, onPath},
		{"", "/nonexistent", root, tool},
		{"", "/nonexistent", "", ""},
		{"/nonexistent", filepath.Dir(onPath), root, ""},
		{root, filepath.Dir(onPath), root, ""},
	} {
		t.Setenv("PATH", c.path)
		got, err := envoyproc.Find(func(string) string { return c.env }, c.root)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
	}
}
