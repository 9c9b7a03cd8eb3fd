package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// Chromium returns the path of a Chromium binary, or of a browser made of it.
func Chromium(t testing.TB) string {
	t.Helper()
	path, err := findChromium(os.Getenv)
	if err != nil {
		Missing(t, "chromium", err.Error())
	}
	return path
}

func findChromium(getenv func(string) string) (string, error) {
	if path := getenv("CHROMIUM"); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("CHROMIUM=%s is not an executable file", path)
		}
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium found: run scripts/chromium.sh, put chromium on PATH or set CHROMIUM=/path/to/chromium: %w", os.ErrNotExist)
}
