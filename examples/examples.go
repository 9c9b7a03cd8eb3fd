// Package examples holds documented APIs as configuration, a folder each: what
// the gate's generality is proved by, and what `sallyport demo` runs. There is
// no code for any of them, here or elsewhere.
package examples

import (
	"embed"
	"io/fs"
)

//go:embed */sallyport.yaml
var files embed.FS

// Names lists the examples, in order.
func Names() []string {
	entries, _ := fs.ReadDir(files, ".") // an embedded root is always there
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Config returns the configuration of the example called name, and the file
// name to show in messages about it.
func Config(name string) (file string, text []byte, err error) {
	file = "examples/" + name + "/sallyport.yaml"
	text, err = files.ReadFile(name + "/sallyport.yaml")
	return file, text, err
}
