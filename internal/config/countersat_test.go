package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/internal/config"
)

func TestCountersAtMeansWhatAFileMeans(t *testing.T) {
	for _, text := range []string{
		"memory", "redis://localhost", "rediss://ana@h:7/3", "unix:///run/redis.sock",
		"{redis: redis://localhost, lease: {batch: 5}}", "{redis: [redis://a, redis://b], mode: cluster, on_loss: local}",
	} {
		got, err := config.CountersAt(text)
		want := parse(t, "counters: "+text+"\n"+minimal).Counters
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", text, err, diff)
		}
	}
	for text, want := range map[string]string{
		"nowhere":                      "counters: are neither memory nor the address of a Redis",
		"redis://:hunter2@h:x":         "counters",
		"{redis: redis://h, leas: {}}": "did you mean lease?",
		"{memory: true}\napis: {}":     "apis",
		"it's":                         "counters: are neither",
		"{":                            "counters: is not YAML",
		"":                             "counters",
	} {
		if _, err := config.CountersAt(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want an error with %q", text, err, want)
		}
	}
}
