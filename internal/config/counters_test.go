package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/config"
)

// usual is a Redis of which only the addresses were said.
func usual(addresses ...string) config.Counters {
	return config.Counters{Redis: addresses, Mode: "single", Prefix: "sallyport:", Timeout: config.Duration(100 * time.Millisecond), Share: 100}
}

func TestCounters(t *testing.T) {
	memory, local := config.Counters{Memory: true}, usual("localhost:6379")
	change := func(c config.Counters, change func(*config.Counters)) config.Counters { change(&c); return c }
	for text, want := range map[string]config.Counters{
		"memory":                                memory,
		"{memory: true}":                        memory,
		"{memory: true, file: none}":            {Memory: true, File: "none"},
		"{memory: true, file: counters}":        {Memory: true, File: "counters"},
		"redis://localhost":                     local,
		"{redis: redis://localhost:6379/0}":     local,
		"{redis: [localhost:6379]}":             local,
		"localhost:6379":                        local,
		"redis://Redis-1.example.com:7000":      usual("Redis-1.example.com:7000"),
		"redis://[::1]:7000":                    usual("[::1]:7000"),
		"\"[fd00::1]:7000\"":                    usual("[fd00::1]:7000"),
		"unix:///run/redis.sock":                usual("unix:///run/redis.sock"),
		"redis://localhost/3":                   change(local, func(c *config.Counters) { c.Database = 3 }),
		"redis://gate@localhost":                change(local, func(c *config.Counters) { c.Username = "gate" }),
		"rediss://localhost":                    change(local, func(c *config.Counters) { c.TLS.On = true }),
		"{redis: localhost:6379, tls: {}}":      change(local, func(c *config.Counters) { c.TLS.On = true }),
		"{redis: redis://localhost, lease: {}}": change(local, func(c *config.Counters) { c.Lease = config.Lease{Batch: 100, Share: 10} }),
		"{redis: redis://localhost, on_loss: local, share: 50%, lease: {batch: 7, share: 1%}}": change(local, func(c *config.Counters) {
			c.OnLoss, c.Share, c.Lease = "local", 50, config.Lease{Batch: 7, Share: 1}
		}),
		"{redis: [\"a:1\", \"b:2\"], mode: cluster, prefix: \"x/\", timeout: 5ms, username: gate, password: {env: REDIS}}": {
			Redis: config.List{"a:1", "b:2"}, Mode: "cluster", Username: "gate", Password: config.Secret{Env: "REDIS"},
			Prefix: "x/", Timeout: config.Duration(5 * time.Millisecond), Share: 100,
		},
		"{redis: [rediss://a, rediss://b:2], mode: sentinel, master: m, tls: {ca: ca.pem, certificate: c.pem, key: k.pem, server_name: redis.example.com}}": {
			Redis: config.List{"a:26379", "b:2"}, Mode: "sentinel", Master: "m",
			TLS:    config.TLS{On: true, CA: "ca.pem", Certificate: "c.pem", Key: "k.pem", ServerName: "redis.example.com"},
			Prefix: "sallyport:", Timeout: config.Duration(100 * time.Millisecond), Share: 100,
		},
	} {
		c, faults := config.Parse("test.yaml", []byte("counters: "+text+"\n"+minimal))
		if len(faults) > 0 {
			t.Errorf("%s: got faults:\n%s", text, config.Format(faults))
			continue
		}
		if diff := cmp.Diff(want, c.Counters); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		if len(c.Absent) > 0 {
			t.Errorf("%s: got absent:\n%s", text, config.Format(c.Absent))
		}
	}
}

func TestCountersAreKeptBesideTheStore(t *testing.T) {
	for text, want := range map[string]string{
		"memory":                       "/var/lib/sallyport/sallyport.db-counters",
		"{memory: true, file: /srv/x}": "/srv/x",
		"{memory: true, file: x}":      "x",
		"{memory: true, file: none}":   "",
		"redis://localhost":            "",
	} {
		c := parse(t, "counters: "+text+"\n"+minimal)
		if got := c.CountersFile(); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	c := parse(t, minimal)
	c.Store = "sqlite:///elsewhere/s.db" // as a demo moves it
	if got, want := c.CountersFile(), "/elsewhere/s.db-counters"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	c.Store = "postgres://db/x"
	if got := c.CountersFile(); got != "" {
		t.Errorf("beside no file: got %q", got)
	}
}

// A folder of rules that is not there yet is no fault of the file.
func TestMissingFoldersAreNoticed(t *testing.T) {
	there := t.TempDir()
	file, missing := filepath.Join(there, "file"), filepath.Join(there, "missing")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := parse(t, minimal+"ratelimit: {directories: ["+there+", "+file+", "+missing+", "+file+"/x], poll: 5s}\n")
	want := config.RateLimit{Directories: config.List{there, file, missing, file + "/x"}, Poll: config.Duration(5 * time.Second)}
	if diff := cmp.Diff(want, c.RateLimit); diff != "" {
		t.Error(diff)
	}
	got := config.Format(c.Notices)
	for i, want := range []string{"", "is not a folder", "does not exist", "cannot be looked into (not a directory)"} {
		at := "ratelimit.directories[" + string(rune('0'+i)) + "]: "
		if strings.Contains(got, at) != (want != "") || !strings.Contains(got, want) {
			t.Errorf("folder %d: got\n%swant %q", i, got, want)
		}
	}
	if one := parse(t, minimal+"ratelimit: {directories: "+there+"}\n"); len(one.Notices) > 0 || one.RateLimit.Poll != config.Duration(time.Second) {
		t.Errorf("got %+v, %v", one.RateLimit, one.Notices)
	}
}
