package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/envoyproc"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/tests/requests"
)

// printed is what a command prints.
func printed(t *testing.T, args ...string) []byte {
	t.Helper()
	c := exec.Command(binary, args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	return out
}

// plainEnvoy is an Envoy as somebody may have it, before anything of ours is in it.
const plainEnvoy = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: edge
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true}}]
          route_config: {name: edge, ignore_port_in_host_matching: true, virtual_hosts: []}
  clusters:
  - {name: upstream_%[1]s, type: STATIC, load_assignment: {cluster_name: upstream_%[1]s, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %[2]s}}}}]}]}}
`

// What `sallyport envoy filters` prints, put where its keys say into an Envoy that
// knew nothing of us, keeps the promises of the example, and the doctor finds
// nothing. Without it the doctor says that nobody is asked.
func TestFiltersInAnotherEnvoy(t *testing.T) {
	const api = "vaultwares"
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			upstream := httptest.NewServer(http.HandlerFunc(requests.Echo))
			t.Cleanup(upstream.Close)
			d, err := startDemo(testenv.Envoy(t), "--chain", chain, api)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.end)
			config := "../../examples/" + api + "/sallyport.yaml"
			plain := fmt.Sprintf(plainEnvoy, api, portOf(t, upstream.URL))
			before := d.through(t, api, []byte(plain))
			if got := doctor(t, 1, "--admin", "http://"+before.Admin(), "-c", config); !strings.Contains(got, "nobody-asks") {
				t.Errorf("of an Envoy that asks nobody the doctor says\n%s", got)
			}

			var envoy, ours map[string]any
			if err := yaml.Unmarshal([]byte(plain), &envoy); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(printed(t, "envoy", "filters", "-c", config, "--chain", chain, "--grpc", d.GRPC, "--http", strings.TrimPrefix(d.Admin.URL, "http://")), &ours); err != nil {
				t.Fatal(err)
			}
			resources := envoy["static_resources"].(map[string]any)
			resources["clusters"] = append(resources["clusters"].([]any), ours["clusters"].([]any)...)
			eachObject(resources["listeners"], func(o map[string]any) {
				if o["stat_prefix"] == nil {
					return
				}
				manager := ours["http_connection_manager"].(map[string]any)
				filters := append(manager["http_filters"].([]any), o["http_filters"].([]any)...)
				for key, value := range manager {
					o[key] = value
				}
				o["http_filters"] = filters
				o["route_config"].(map[string]any)["virtual_hosts"] = ours["virtual_hosts"]
			})
			text, err := yaml.Marshal(envoy)
			if err != nil {
				t.Fatal(err)
			}
			after := d.through(t, api, text)
			if got := doctor(t, 0, "--admin", "http://"+after.Admin(), "-c", config); got != "danger: 0, fault: 0, advice: 0\n" {
				t.Errorf("the doctor says\n%s", got)
			}
			d.runSteps(t, api)
		})
	}
}

// through makes an Envoy the way to the API.
func (d *demo) through(t *testing.T, api string, bootstrap []byte) *envoyproc.Process {
	t.Helper()
	log := new(logged)
	p, err := envoyproc.Start(t.Context(), envoyproc.Config{Binary: testenv.Envoy(t), Bootstrap: bootstrap, Stderr: log, LogLevel: "error"})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(p.Stop)
	_, port, err := net.SplitHostPort(p.Address())
	if err != nil {
		t.Fatal(err)
	}
	one := d.APIs[api]
	one.URL = "http://api." + api + ".localhost:" + port
	d.APIs[api], d.Gateway = one, "http://"+p.Address()
	return p
}

// doctor runs the doctor, which must exit with code, and returns what it prints.
func doctor(t *testing.T, code int, args ...string) string {
	t.Helper()
	c := exec.Command(binary, append([]string{"envoy", "doctor"}, args...)...)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, _ := c.Output()
	if got := c.ProcessState.ExitCode(); got != code {
		t.Errorf("doctor %v: exit code %d, want %d\n%s%s", args, got, code, out, &stderr)
	}
	return string(out)
}

// The doctor finds nothing in what we generate, as Envoy itself tells it: of every
// example and chain, and behind Istio nothing worse than what Istio is like.
func TestTheDoctorAndWhatWeGenerate(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/sallyport.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		for _, chain := range chains {
			t.Run(filepath.Base(filepath.Dir(file))+"/"+chain, func(t *testing.T) {
				text := printed(t, "envoy", "bootstrap", "-c", file, "--chain", chain, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
				p, err := envoyproc.Start(t.Context(), envoyproc.Config{Binary: testenv.Envoy(t), Bootstrap: text, Stderr: new(logged), LogLevel: "error"})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(p.Stop)
				if got := doctor(t, 0, "--admin", "http://"+p.Admin(), "-c", file); got != "danger: 0, fault: 0, advice: 0\n" {
					t.Errorf("the doctor says\n%s", got)
				}
				if got := doctor(t, 0, "--admin", "http://"+p.Admin(), "--json"); got != "[]\n" {
					t.Errorf("as JSON the doctor says %s", got)
				}
			})
		}
	}
}

// Behind Istio the doctor finds no danger in what our objects make.
func TestTheDoctorOnIstiosConfigurations(t *testing.T) {
	places := istioPlaces{portOf(t, testenv.FreeAddress(t)), "1", "2", "3"}
	for _, f := range istioForms {
		text := aroundUs(t, places, filepath.Join("golden", f.name+"-paired.json"))[0]
		p := envoyOf(t, text, places.Listen)
		resp, err := http.Get("http://" + p.Admin() + "/config_dump?include_eds")
		if err != nil {
			t.Fatal(err)
		}
		dump := filepath.Join(t.TempDir(), "dump.json")
		var tree any
		if err := json.NewDecoder(resp.Body).Decode(&tree); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		again, err := json.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dump, again, 0o600); err != nil {
			t.Fatal(err)
		}
		noDanger(t, "--dump", dump)
		p.Stop()
	}
}

// noDanger holds an Envoy that others configure to what the doctor calls dangers; what
// it says besides is theirs.
func noDanger(t *testing.T, flags ...string) {
	t.Helper()
	out, _ := exec.Command(binary, append([]string{"envoy", "doctor", "--json"}, flags...)...).Output()
	var found []struct{ ID, Severity, Where, What string }
	if err := json.Unmarshal(out, &found); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, one := range found {
		t.Logf("%s %s, %s: %s", one.Severity, one.ID, one.Where, one.What)
		if one.Severity == "danger" {
			t.Errorf("%+v", one)
		}
	}
}

func TestTheDoctorWithoutEnvoy(t *testing.T) {
	c := exec.Command(binary, "envoy", "doctor", "--admin", "http://"+testenv.FreeAddress(t))
	out, _ := c.CombinedOutput()
	if got := c.ProcessState.ExitCode(); got != 3 || !strings.Contains(string(out), "--admin says where") {
		t.Errorf("exit code %d: %s", got, out)
	}
}
