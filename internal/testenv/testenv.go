// Package testenv finds what tests need besides Go: Envoy, Redis, a browser. A
// test whose need is not met skips and names it, unless SALLYPORT_TEST_REQUIRE
// lists that name (comma-separated), where it fails: so a newcomer's `go test` is
// quiet and a release's is complete. It is for tests only and costs a look at the
// file system.
package testenv

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/envoyproc"
)

// Envoy returns the path of an Envoy binary.
func Envoy(t testing.TB) string {
	t.Helper()
	path, err := envoyproc.Find(os.Getenv, Root(t))
	if err != nil {
		Missing(t, "envoy", err.Error())
	}
	return path
}

// Missing skips t because need is not there, or fails it where it is required.
func Missing(t testing.TB, need, why string) {
	t.Helper()
	if Required(need) {
		t.Fatalf("%s is required by SALLYPORT_TEST_REQUIRE: %s", need, why)
	}
	t.Skipf("needs %s: %s", need, why)
}

// Required reports whether SALLYPORT_TEST_REQUIRE lists need.
func Required(need string) bool {
	list := strings.Split(os.Getenv("SALLYPORT_TEST_REQUIRE"), ",")
	return slices.ContainsFunc(list, func(s string) bool { return strings.TrimSpace(s) == need })
}

// Root returns the project's folder: the nearest above with a go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = parent
	}
}
