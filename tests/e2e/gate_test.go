package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
)

var chains = []string{"paired", "fused"}

// binary is the built command. It is built once, with the race detector where
// the tests have it.
var binary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	folder, err := os.MkdirTemp("", "sallyport-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "sallyport")
	args := []string{"build", "-o", binary}
	if raceEnabled {
		args = append(args, "-race")
		if os.Getenv("GORACE") == "" { // each command would wait a second before it ends
			os.Setenv("GORACE", "atexit_sleep_ms=10")
		}
	}
	build := exec.Command("go", append(args, "../../cmd/sallyport")...)
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build sallyport:", err)
		return 1
	}
	code := m.Run()
	for _, d := range demos {
		d.end()
	}
	return code
}

// demo is a running `sallyport demo`, as its one line of JSON tells it.
type demo struct {
	Gateway string
	GRPC    string
	Admin   struct{ URL, Token string }
	APIs    map[string]struct {
		URL     string
		Hosts   []string
		Tenants []struct {
			ID, Plan string
			Keys     []struct {
				KeyID       string `json:"key_id"`
				Key         string
				Permissions []string
				State       string
			}
			Clients []struct {
				ClientID string `json:"client_id"`
				Secret   string `json:"client_secret"`
			}
			Users   []struct{ Login, Password string }
			Senders []struct{ ID, Secret string }
		}
	}

	process *exec.Cmd
	ended   chan struct{}
	log     *logged
	client  *http.Client
}

// logged is what a process wrote.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var demos = map[string]*demo{} // by name and chain; shared by the tests of the package

// running returns a demo of the example called name on chain, of all where name
// is empty. It is shared:
// tests make their own tenants and keys in it.
func running(t *testing.T, name, chain string) *demo {
	t.Helper()
	envoy := testenv.Envoy(t)
	id := name + " " + chain
	if demos[id] == nil {
		args := []string{"--chain", chain}
		if name != "" {
			args = append(args, name)
		}
		d, err := startDemo(envoy, args...)
		if err != nil {
			t.Fatal(err)
		}
		demos[id] = d
	}
	return demos[id]
}

// startDemo starts a demo on ports of the system's choice.
func startDemo(envoy string, args ...string) (*demo, error) {
	d := &demo{ended: make(chan struct{}), log: new(logged), client: newClient()}
	d.process = exec.Command(binary, append([]string{"demo", "--json", "--listen", "127.0.0.1:0", "--envoy", envoy}, args...)...)
	d.process.Stderr = d.log
	d.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := d.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.process.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	go func() {
		d.process.Wait()
		close(d.ended)
	}()
	if err == nil {
		err = json.Unmarshal(line, d)
	}
	if err != nil {
		d.end()
		return nil, fmt.Errorf("demo did not start: %w\n%s", err, d.log)
	}
	return d, nil
}

// end ends the demo as Ctrl-C does, and waits.
func (d *demo) end() {
	d.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		d.process.Process.Kill()
		<-d.ended
	}
}

// newClient makes a client that reaches every host name at 127.0.0.1, and shows
// redirects and bodies as they come.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableCompression:  true,
			MaxIdleConnsPerHost: 64,
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(address)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port)
			},
		},
	}
}

// answer is a response, read.
type answer struct {
	status int
	header http.Header
	body   string
}

// json returns the body as a tree; it fails the test where it is not one.
func (a answer) json(t *testing.T) (tree map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), &tree); err != nil {
		t.Fatalf("the body is not JSON: %v\n%s", err, a.body)
	}
	return tree
}

// send sends a request to the first API of d, or to the URL's own host; lines
// are header lines.
func (d *demo) send(t testing.TB, method, url string, lines ...string) answer {
	t.Helper()
	a, err := d.try(method, url, "", lines...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (d *demo) try(method, url, body string, lines ...string) (answer, error) {
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, url, content)
	if err != nil {
		return answer{}, err
	}
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// cli runs a command on the demo's server and returns its standard output.
func (d *demo) cli(t testing.TB, args ...string) string {
	t.Helper()
	return onServer(t, d.Admin.URL, d.Admin.Token, args...)
}

func onServer(t testing.TB, url, token string, args ...string) string {
	t.Helper()
	c := onServerCommand(url, token, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// onServerCommand is a command for the server at url.
func onServerCommand(url, token string, args ...string) *exec.Cmd {
	c := exec.Command(binary, args...)
	c.Env = append(os.Environ(), "SALLYPORT_URL="+url, "SALLYPORT_TOKEN="+token)
	return c
}

// made is a key just created.
type made struct {
	KeyID string `json:"key_id"`
	Key   string
}

// key makes a key in tenant.
func (d *demo) key(t testing.TB, api, tenant string, flags ...string) (k made) {
	t.Helper()
	out := d.cli(t, append([]string{"key", "create", "--json", "--api", api, "--tenant", tenant}, flags...)...)
	if err := json.Unmarshal([]byte(out), &k); err != nil {
		t.Fatalf("key create printed %q: %v", out, err)
	}
	return k
}

// token exchanges a key for the header line that carries a token.
func (d *demo) token(t testing.TB, url, key string) (line string) {
	t.Helper()
	a, err := d.try("POST", url+"/v2/auth/token/access", `{"api_key": "`+key+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal([]byte(a.body), &answer); err != nil || a.status != 200 || answer.AccessToken == "" || answer.ExpiresIn != 900 {
		t.Fatalf("exchange: %d %s", a.status, a.body)
	}
	return "Authorization: Bearer " + answer.AccessToken
}
