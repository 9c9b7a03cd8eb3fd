package config_test

import (
	"path/filepath"
	"testing"

	"github.com/sallyport/sallyport/internal/config"
)

func TestExamplesLoad(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/sallyport.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		c, faults := config.Load(file)
		if len(faults) > 0 {
			t.Errorf("got faults:\n%s", config.Format(faults))
			continue
		}
		t.Logf("%s: %d operations\nabsent:\n%snotices:\n%s", file, len(c.Policy.APIs[0].Operations), config.Format(c.Absent), config.Format(c.Notices))
	}
}
