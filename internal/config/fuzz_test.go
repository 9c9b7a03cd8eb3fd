package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/config"
)

// FuzzParse holds the law: any bytes give either faults or a policy, and a
// file that loads, written anew from its YAML tree, loads to the same policy.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/bad/*.yaml", "../../examples/*/sallyport.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte(minimal))
	f.Add([]byte(full))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, faults := config.Parse("fuzz.yaml", text)
		if (c == nil) != (len(faults) > 0) {
			t.Fatalf("got config %v and %d faults", c != nil, len(faults))
		}
		if c == nil {
			return
		}
		again, faults := config.Parse("again.yaml", rewritten(t, text))
		if len(faults) > 0 {
			t.Fatalf("loads, but not when it is written anew:\n%s", config.Format(faults))
		}
		if diff := cmp.Diff(c.Policy, again.Policy); diff != "" {
			t.Error(diff)
		}
	})
}

func rewritten(t *testing.T, text []byte) []byte {
	var tree yaml.Node
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	spellNulls(&tree)
	text, err := yaml.Marshal(&tree)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// spellNulls writes out the nulls that were left blank: the library would make
// empty text of them.
func spellNulls(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		n.Value = "null"
	}
	for _, child := range n.Content {
		spellNulls(child)
	}
}
