package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFullModeVariesOneThingAtATime(t *testing.T) {
	all := ways(false)
	if quick := ways(true); !slices.Equal(all[:len(quick)], quick) {
		t.Error("the usual setting does not come first")
	}
	seen := make(map[way]bool)
	for _, w := range all {
		if seen[w] {
			t.Errorf("%s is measured twice", w)
		}
		seen[w] = true
		if strings.Count(w.setting(), ",") > 1 {
			t.Errorf("%s differs in more than one thing", w)
		}
		if !seen[w.with(bare)] {
			t.Errorf("%s has no Envoy alone before it to be compared with", w)
		}
	}
	for _, want := range []string{"paired, TCP", "fused, TCP", "paired, 2 workers", "fused, 2 workers", "paired, HTTP/2", "fused, HTTP/2"} {
		if !slices.ContainsFunc(all, func(w way) bool { return w.String() == want }) {
			t.Errorf("%s is not measured", want)
		}
	}
}

func TestEnvoyConfigurationsRender(t *testing.T) {
	keys := []string{"ord_live_one", "ord_live_two"}
	tests := []struct {
		name    string
		clients []envoyClient
		want    []string
		not     string
	}{
		{"alone", nil, []string{"port_value: 10001", "port_value: 10002"}, "ratelimit"},
		{"native", envoyClients(keys), []string{
			`{client: "client0", key: "ord_live_one"}`, `{client: "client1", key: "ord_live_two"}`, `{client: "probe", key: "ord_live_probe"}`,
			`value: "client1"`, "tokens_per_fill: 10000000", "tokens_per_fill: 1,",
		}, "no value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, err := envoyConfig("127.0.0.1:10001", "127.0.0.1:10002", tt.clients)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(text), want) {
					t.Errorf("%q is not in\n%s", want, text)
				}
			}
			if strings.Contains(string(text), tt.not) {
				t.Errorf("%q is in\n%s", tt.not, text)
			}
			validate(t, text)
		})
	}
	if _, err := envoyConfig("nowhere", "127.0.0.1:1", nil); err == nil {
		t.Error("an Envoy that listens nowhere was configured")
	}
}

// validate has Envoy judge its configuration, where there is one.
func validate(t *testing.T, text []byte) {
	t.Helper()
	binary := os.Getenv("ENVOY")
	if binary == "" {
		t.Log("ENVOY is not set: the configuration is not shown to Envoy")
		return
	}
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "--mode", "validate", "-c", file, "--log-level", "error").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestGateConfigurationRenders(t *testing.T) {
	tests := []struct {
		around surroundings
		want   []string
	}{
		{surroundings{}, []string{`grpc: ["127.0.0.1:1"],`, "upstream: http://127.0.0.1:8080"}},
		{surroundings{socket: "/run/s.sock", upstream: "127.0.0.1:7"}, []string{`grpc: ["127.0.0.1:1", "unix:///run/s.sock"],`, "upstream: http://127.0.0.1:7\n"}},
	}
	for _, tt := range tests {
		g := &gate{grpc: "127.0.0.1:1", http: "127.0.0.1:2", around: tt.around}
		path, err := g.writeConfig(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range tt.want {
			if !strings.Contains(string(text), want) {
				t.Errorf("%q is not in\n%s", want, text)
			}
		}
	}
}

func TestQuestionsAreReadFromMetrics(t *testing.T) {
	const metrics = `# HELP sallyport_checks_total Checks decided, by API and reason.
# TYPE sallyport_checks_total counter
sallyport_checks_total{api="orders",reason="allowed"} 30
sallyport_checks_total{api="orders",reason="unknown_credential"} 2
sallyport_ratelimit_decisions_total{reason="allowed"} 1.6e+01
sallyport_check_duration_seconds_count 32
`
	got, err := readQuestions(strings.NewReader(metrics))
	if want := (questions{checks: 32, limits: 16}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if _, err := readQuestions(strings.NewReader(`sallyport_checks_total{api="orders"} many`)); err == nil {
		t.Error("a count that is none was read")
	}
}
