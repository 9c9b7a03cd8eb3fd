package tests

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/examples"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The Envoy configurations that are bundled with the examples are what
// `sallyport envoy bootstrap` prints for them.
func TestBundledEnvoyConfigurations(t *testing.T) {
	for _, name := range examples.Names() {
		file, text, err := examples.Config(name)
		if err != nil {
			t.Fatal(err)
		}
		c, faults := config.Parse(file, text)
		if len(faults) > 0 {
			t.Fatal(config.Format(faults))
		}
		for _, chain := range []sallyport.Chain{sallyport.Paired, sallyport.Fused} {
			got, err := app.Bootstrap(c.Policy, envoy.Options{Chain: chain, Admin: "127.0.0.1:9901", GRPC: c.Listen.GRPC[0], HTTP: c.Listen.HTTP})
			if err != nil {
				t.Fatalf("%s %v: %v", name, chain, err)
			}
			golden := filepath.Join("..", "examples", name, "envoy-"+chain.String()+".yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s is not what is generated (go test ./tests -update writes it):\n%s", golden, diff)
			}
		}
	}
}

// What stands in deploy/istio is what `sallyport envoy istio` prints for an
// example.
func TestDeployedIstioObjects(t *testing.T) {
	file, text, err := examples.Config("vaultwares")
	if err != nil {
		t.Fatal(err)
	}
	c, faults := config.Parse(file, text)
	if len(faults) > 0 {
		t.Fatal(config.Format(faults))
	}
	for name, o := range map[string]envoy.IstioOptions{
		"meshconfig.yaml":        {Parts: []envoy.IstioPart{envoy.IstioMesh}},
		"gateway.yaml":           {Parts: []envoy.IstioPart{envoy.IstioGateway}},
		"gateway-api.yaml":       {Parts: []envoy.IstioPart{envoy.IstioGatewayAPI, envoy.IstioRoutes}},
		"workload.yaml":          {Parts: []envoy.IstioPart{envoy.IstioWorkload}},
		"waypoint.yaml":          {Parts: []envoy.IstioPart{envoy.IstioWaypoint}},
		"beside/meshconfig.yaml": {Beside: true, Parts: []envoy.IstioPart{envoy.IstioMesh}},
		"beside/local.yaml":      {Beside: true, Parts: []envoy.IstioPart{envoy.IstioLocal}},
		"beside/gateway.yaml":    {Beside: true, Parts: []envoy.IstioPart{envoy.IstioGateway}},
		"beside/workload.yaml":   {Beside: true, Parts: []envoy.IstioPart{envoy.IstioWorkload}},
	} {
		got, err := app.Istio(c.Policy, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden := filepath.Join("..", "deploy", "istio", filepath.FromSlash(name))
		if *update {
			if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is not what is generated (go test ./tests -update writes it):\n%s", golden, diff)
		}
	}
}

// This version serves all that the examples ask for.
func TestTheExamplesAreServed(t *testing.T) {
	for _, name := range examples.Names() {
		file, text, err := examples.Config(name)
		if err != nil {
			t.Fatal(err)
		}
		c, faults := config.Parse(file, text)
		if len(faults) > 0 {
			t.Fatal(config.Format(faults))
		}
		if len(c.Absent) > 0 {
			t.Errorf("%s is not served:\n%s", name, config.Format(c.Absent))
		}
	}
}
