package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

func TestChromiumIsFoundWhereItMayBe(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	put := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	find := func(env string) string {
		path, err := findChromium(func(string) string { return env })
		if err != nil {
			return ""
		}
		return path
	}
	if got := find(""); got != "" {
		t.Errorf("found %s where there is none", got)
	}
	for _, name := range []string{"google-chrome-stable", "google-chrome", "chromium-browser", "chromium"} {
		if want := put(name); find("") != want {
			t.Errorf("found %s, want %s", find(""), want)
		}
	}
	if want := put("mine"); find(want) != want {
		t.Errorf("CHROMIUM does not win: %s", find(want))
	}
	if got := find("/nowhere"); got != "" {
		t.Errorf("a wrong CHROMIUM found %s", got)
	}
}
