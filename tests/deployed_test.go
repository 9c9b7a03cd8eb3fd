package tests

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/examples"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
)

// What stands in deploy/envoy-gateway is what `sallyport envoy gateway` prints for
// an example, and two objects that a user has before.
func TestDeployedEnvoyGatewayObjects(t *testing.T) {
	file, text, err := examples.Config("vaultwares")
	if err != nil {
		t.Fatal(err)
	}
	c, faults := config.Parse(file, text)
	if len(faults) > 0 {
		t.Fatal(config.Format(faults))
	}
	folder := filepath.Join("..", "deploy", "envoy-gateway")
	known := []string{"envoy-gateway.yaml", "gateway.yaml"}
	for name, o := range map[string]envoy.GatewayOptions{
		"paired-v1.yaml": {},
		"paired-v2.yaml": {Names: envoy.GatewayNamesV2},
		"fused-v1.yaml":  {Options: envoy.Options{Chain: sallyport.Fused}},
		"fused-v2.yaml":  {Options: envoy.Options{Chain: sallyport.Fused}, Names: envoy.GatewayNamesV2},
		"unpatched.yaml": {Names: envoy.GatewayNamesNone},
	} {
		known = append(known, name)
		got, err := app.Gateway(c.Policy, o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		golden := filepath.Join(folder, name)
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
	there, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if !slices.Contains(known, f.Name()) {
			t.Errorf("%s: nothing tests it", filepath.Join(folder, f.Name()))
		}
	}
}
