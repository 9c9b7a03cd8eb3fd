package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/testenv"
)

// Every version of Envoy that the README names takes what is generated for every
// example, and keeps the promises of one on both chains. ENVOYS lists the binaries.
func TestEveryEnvoy(t *testing.T) {
	list := os.Getenv("ENVOYS")
	if list == "" {
		testenv.Missing(t, "envoys", "run make test-envoys, which fetches them")
	}
	files, err := filepath.Glob("../../examples/*/envoy-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, envoy := range filepath.SplitList(list) {
		out, err := exec.Command(envoy, "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		version := strings.Split(string(out), "/")
		t.Run(version[len(version)-4], func(t *testing.T) {
			for _, file := range files {
				if out, err := exec.Command(envoy, "--mode", "validate", "-c", file).CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", file, err, out)
				}
			}
			for _, chain := range chains {
				t.Run(chain, func(t *testing.T) {
					d, err := startDemo(envoy, "--chain", chain, "vaultwares")
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(d.end)
					d.runSteps(t, "vaultwares")
				})
			}
		})
	}
}
