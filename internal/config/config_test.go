package config_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestEveryMistakeIsTold holds each message that an operator can meet.
func TestEveryMistakeIsTold(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("got %d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, faults := config.Parse(filepath.Base(file), text)
			if c != nil || len(faults) == 0 {
				t.Fatalf("got a config and no faults")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", config.Format(faults))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%swant\n%s", file, got, want)
	}
}

func TestFileOverTheLimitIsRefused(t *testing.T) {
	text := minimal + "#" + strings.Repeat("x", 1<<20)
	if _, faults := config.Parse("big.yaml", []byte(text)); len(faults) != 1 || !strings.Contains(faults[0].Text, "larger than 1048576 bytes") {
		t.Errorf("got %v", faults)
	}
}

func TestUnreadableFileIsAFault(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none.yaml")} {
		c, faults := config.Load(path)
		if c != nil || len(faults) != 1 || !strings.HasPrefix(faults[0].String(), path+": cannot be read: ") {
			t.Errorf("got %v", faults)
		}
	}
}

const minimal = `store: sqlite:///var/lib/sallyport/sallyport.db
pepper: {file: /etc/sallyport/pepper}
apis:
  orders:
    hosts: [api.acme.example]
    credentials:
      read: [{header: Authorization, scheme: Bearer}]
      keys: [{prefix: orders_live_}]
    scopes: [orders:read, orders:write]
    operations:
      - {GET: /v1/orders, scope: orders:read}
`

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, faults := config.Parse("test.yaml", []byte(text))
	if len(faults) > 0 {
		t.Fatalf("got faults:\n%s", config.Format(faults))
	}
	return c
}

func TestManyOperationsAreChecked(t *testing.T) {
	text := operations(2000, func(i int) string { return fmt.Sprintf("/v1/things%d/{id}/parts%d", i%100, i) })
	if got := len(parse(t, text).Policy.APIs[0].Operations); got != 2001 {
		t.Errorf("got %d operations", got)
	}
}
