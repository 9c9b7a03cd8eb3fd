package config

import (
	"errors"
	"strings"
)

// CountersAt is what `counters: TEXT` means in a file: memory, the URL of a Redis,
// or a mapping in braces.
func CountersAt(text string) (Counters, error) {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		text = "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	f := newFaults("")
	var file struct {
		Counters Counters `yaml:"counters"`
	}
	if root := document(f, []byte("counters: "+text+"\n")); root != nil {
		decode(f, root, &file)
	}
	if len(f.list) > 0 {
		return Counters{}, faultsOf(f)
	}
	c := compileCounters(f, file.Counters)
	if len(f.list) > 0 {
		return Counters{}, faultsOf(f)
	}
	return c, nil
}

// faultsOf is the faults of a text that stands in no file.
func faultsOf(f *faults) error {
	var all []string
	for _, fault := range f.sorted() {
		fault.Line = 0
		if fault.Path == "" {
			fault.Path = "counters"
		}
		all = append(all, strings.TrimPrefix(fault.String(), ": "))
	}
	return errors.New(strings.Join(all, "; "))
}
