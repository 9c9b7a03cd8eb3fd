package envoyproc

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Find returns the path of an Envoy binary: $ENVOY, else envoy on PATH, else
// the one that scripts/envoy.sh put under root, the project's folder. root may
// be empty.
func Find(getenv func(string) string, root string) (string, error) {
	if path := getenv("ENVOY"); path != "" {
		if !executable(path) {
			return "", fmt.Errorf("ENVOY=%s is not an executable file", path)
		}
		return path, nil
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	}
	if root != "" {
		if path := filepath.Join(root, ".tools", "envoy", "envoy"); executable(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Envoy found: run scripts/envoy.sh, put envoy on PATH or set ENVOY=/path/to/envoy: %w", os.ErrNotExist)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}
