package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport/sallyport/internal/testenv"
)

// The demo says what CONTRACT.md promises of it: a tenant of every plan, each
// with a key for everything and two for reading.
func TestTheDemosJSON(t *testing.T) {
	d := running(t, "vaultwares", "paired")
	api, ok := d.APIs["vaultwares"]
	if !ok || len(d.APIs) != 1 {
		t.Fatalf("APIs are %v", d.APIs)
	}
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(d.Gateway, "http://"))
	if api.URL != "http://api.vaultwares.localhost:"+port {
		t.Errorf("url %s, gateway %s", api.URL, d.Gateway)
	}
	if want := []string{"api.vaultwares.localhost", "auth.vaultwares.localhost"}; !slices.Equal(api.Hosts, want) {
		t.Errorf("hosts %v, want %v", api.Hosts, want)
	}
	var plans []string
	for _, tenant := range api.Tenants {
		plans = append(plans, tenant.Plan)
		if tenant.ID != "org_"+tenant.Plan {
			t.Errorf("tenant %s of plan %s", tenant.ID, tenant.Plan)
		}
		if len(tenant.Senders) != 1 || tenant.Senders[0].ID != tenant.ID || len(tenant.Senders[0].Secret) < 32 {
			t.Errorf("%s: senders %+v", tenant.ID, tenant.Senders)
		}
		var permissions [][]string
		for _, k := range tenant.Keys {
			permissions = append(permissions, k.Permissions)
			if k.State != "active" || !strings.HasPrefix(k.Key, "vw_live_") || k.KeyID == "" {
				t.Errorf("key %+v", k)
			}
		}
		want := [][]string{{"admin"}, {"devices:read"}, {"devices:read"}}
		if !slices.EqualFunc(permissions, want, slices.Equal[[]string]) {
			t.Errorf("%s: permissions %v, want %v", tenant.ID, permissions, want)
		}
	}
	if want := []string{"free", "professional", "enterprise", "custom"}; !slices.Equal(plans, want) {
		t.Errorf("plans %v, want %v", plans, want)
	}
	// The documents' real host names are served as well, in any case, with any port.
	for _, host := range []string{"api.vaultwares.com", "API.VaultWares.com:443", "api.vaultwares.com."} {
		a := d.send(t, "GET", d.Gateway+"/v1/devices", "Host: "+host, "X-API-Key: "+api.Tenants[0].Keys[1].Key)
		if a.status != 200 {
			t.Errorf("%s: %d %s", host, a.status, a.body)
		}
	}
}

// Ctrl-C, SIGTERM and even kill -9 leave no process, no folder and no port.
func TestTheDemoLeavesNothing(t *testing.T) {
	envoy := testenv.Envoy(t)
	for _, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			d, err := startDemo(envoy, "vaultwares")
			if err != nil {
				t.Fatal(err)
			}
			children := childrenOf(t, d.process.Process.Pid)
			if len(children) == 0 {
				t.Fatal("the demo has no child: is there no Envoy?")
			}
			d.process.Process.Signal(how)
			<-d.ended
			for _, child := range children {
				eventually(t, fmt.Sprintf("the end of child %d", child), func() bool { return !alive(child) })
			}
			if code := d.process.ProcessState.ExitCode(); how != syscall.SIGKILL && code != 0 {
				t.Errorf("exit code %d\n%s", code, d.log)
			}
			left, _ := filepath.Glob(filepath.Join(temp, "*"))
			if how != syscall.SIGKILL && len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			for _, address := range []string{strings.TrimPrefix(d.Gateway, "http://"), d.GRPC, strings.TrimPrefix(d.Admin.URL, "http://")} {
				eventually(t, address+" is free", func() bool {
					l, err := net.Listen("tcp", address)
					if err == nil {
						l.Close()
					}
					return err == nil
				})
			}
		})
	}
}

// childrenOf lists the processes that pid started.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			children = append(children, child)
		}
	}
	return children
}

// alive reports whether pid runs; a process that only waits to be reaped does
// not.
func alive(pid int) bool { return state(pid) != "" && state(pid) != "Z" }

// state is the letter of pid's state in /proc, "" where there is no process.
func state(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return rest[:1]
}

// A taken port is a clear error, whichever it is, and nothing stays behind.
func TestATakenPortIsAClearError(t *testing.T) {
	envoy := testenv.Envoy(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	for _, flag := range []string{"--listen", "--grpc", "--http"} {
		t.Run(flag, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			args := []string{"demo", "vaultwares", "--json", "--envoy", envoy}
			for _, f := range []string{"--listen", "--grpc", "--http"} {
				if f == flag {
					args = append(args, f, taken)
				} else {
					args = append(args, f, "127.0.0.1:0")
				}
			}
			out, err := exec.Command(binary, args...).CombinedOutput()
			if code := err.(*exec.ExitError).ExitCode(); code != 1 || !strings.Contains(string(out), taken) {
				t.Errorf("exit %d, said %q, want 1 and the address %s", code, out, taken)
			}
			if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
