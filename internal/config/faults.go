package config

import (
	"errors"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/render"
	"github.com/sallyport/sallyport/internal/yamltree"
)

// maxFaults is how many faults are told; more help nobody.
const maxFaults = 1000

// faults collects what is wrong, and knows at which line each path stands.
type faults struct {
	file    string
	lines   map[string]int  // by path; also says which fields were written
	broken  map[string]bool // paths that the decoder found fault with
	list    []sallyport.Fault
	absent  []sallyport.Fault
	notices []sallyport.Fault
}

func newFaults(file string) *faults {
	return &faults{file: file, lines: map[string]int{}, broken: map[string]bool{}}
}

// at adds a fault of form, which spoils path for what reads it later.
func (f *faults) at(line int, path, text, hint string) {
	f.broken[path] = true
	f.push(sallyport.Fault{File: f.file, Line: line, Path: path, Text: text, Hint: hint})
}

// add adds a fault of meaning. One about what the decoder could not read says
// nothing new and is left out.
func (f *faults) add(path, text, hint string) {
	if !f.spoilt(path) {
		f.push(f.fault(path, text, hint))
	}
}

// full reports whether more would not be told.
func (f *faults) full() bool { return len(f.list) >= maxFaults }

func (f *faults) push(fault sallyport.Fault) {
	if !f.full() {
		f.list = append(f.list, fault)
	}
}

// addError adds err, found in what stands at path.
func (f *faults) addError(path string, err error) {
	var e *render.Error
	if errors.As(err, &e) {
		f.add(path, e.Text, e.Hint)
		return
	}
	f.add(path, err.Error(), "")
}

// notServed notes that what stands at path is well-formed and not done yet.
func (f *faults) notServed(path, text string) {
	f.absent = append(f.absent, f.fault(path, text, ""))
}

func (f *faults) notice(path, text string) {
	f.notices = append(f.notices, f.fault(path, text, ""))
}

// fault places a fault. What was left out is told at the line of what it is
// missing from; what was written without brackets is told without an index.
func (f *faults) fault(path, text, hint string) sallyport.Fault {
	at := sallyport.Fault{File: f.file, Line: 1, Path: path, Text: text, Hint: hint}
	for p := path; ; {
		if line, ok := f.lines[p]; ok {
			at.Line = line
			return at
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			return at
		}
		if p == path && p[cut] == '[' {
			at.Path = p[:cut]
		}
		p = p[:cut]
	}
}

// line returns where path stands.
func (f *faults) line(path string) int { return f.fault(path, "", "").Line }

// has reports whether path was written.
func (f *faults) has(path string) bool {
	_, ok := f.lines[path]
	return ok
}

// spoilt reports whether the decoder found fault with path or what it is in.
func (f *faults) spoilt(path string) bool {
	for p := path; len(f.broken) > 0; {
		if f.broken[p] {
			return true
		}
		cut := strings.LastIndexAny(p, ".[")
		if cut < 0 {
			return f.broken[""]
		}
		p = p[:cut]
	}
	return false
}

// whole reports whether the decoder found no fault with path, nor in it: only
// then can it be said what is not there.
func (f *faults) whole(path string) bool {
	for p := range f.broken {
		if p == path || strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
			return false
		}
	}
	return !f.spoilt(path)
}

// sorted returns the faults in the order of the file, each once.
func (f *faults) sorted() []sallyport.Fault { return yamltree.Sorted(f.list) }

// field, key and index make paths.
func field(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// key is field for a name that the operator chose.
func key(path, name string) string { return yamltree.Key(path, name) }

func index(path string, i int) string { return yamltree.Index(path, i) }

// quote quotes what an operator wrote, cut to a length that can be read.
func quote(s string) string { return yamltree.Quote(s) }
