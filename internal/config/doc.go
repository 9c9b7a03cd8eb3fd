// Package config reads sallyport.yaml: strictly, with every fault told at once,
// and compiles it to the Policy that the gate works by.
//
// The file goes three ways, one after the other:
//
//	document.go     bytes to one YAML document, bounded in size and expansion
//	decode.go       document to the structs of types.go: unknown fields, types
//	compile.go, …   structs to sallyport.Policy: what the words mean together
//
// Each step adds to one list of faults, with file:line and the path of what is
// wrong (apis.orders.limits[0].per), and the later steps still run where the
// earlier found faults, so that an operator mends a file in one go. A file with
// any fault has no Config. What the file asks for in good form but this version
// does not do is no fault: it is listed in Config.Absent, with which a server
// must not start, or in Config.Notices, which it refuses request by request.
//
// It is not for reading secrets (the file only says where they are), opening
// listeners or stores, or watching files. Of the machine it asks two things
// alone: which time zones there are, and whether the folders of rules are there.
// A Policy keeps nothing of the file.
//
// Costs: linear in the file but for templates that overlap; 10,000 operations
// take half a second of one core, a third of it in the YAML library. Nothing here runs while requests are served.
package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/sallyport/sallyport"
)

// Config is a whole configuration, valid and with defaults filled in.
type Config struct {
	File      string   // its name, for messages
	Sum       [32]byte // SHA-256 of the file
	Listen    Listen
	Store     string
	Counters  Counters
	RateLimit RateLimit
	Peppers   []Pepper // the current one first, each with its version
	Admin     Admin
	Cache     Cache
	Log       Log
	Policy    *sallyport.Policy

	// Absent is what the file asks for, this version does not do, and nothing
	// may ignore: a server refuses to start with these.
	Absent []sallyport.Fault
	// Notices is what this version refuses request by request or does not
	// accept, and what the file names that is not there yet: a server says them
	// at its start.
	Notices []sallyport.Fault
}

// Load reads and parses the file at path. The Config is nil if and only if
// there are faults.
func Load(path string) (*Config, []sallyport.Fault) {
	text, err := read(path)
	if err != nil {
		return nil, []sallyport.Fault{{File: path, Text: err.Error()}}
	}
	return Parse(path, text)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, readError(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, readError(err)
	}
	return text, nil
}

// readError leaves out the path, which the fault has already.
func readError(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// Parse parses text; name stands for the file in faults. The Config is nil if
// and only if there are faults.
func Parse(name string, text []byte) (*Config, []sallyport.Fault) {
	f := newFaults(name)
	root := document(f, text)
	if root == nil {
		return nil, f.sorted()
	}
	file := Defaults()
	decode(f, root, &file)
	if f.full() {
		return nil, f.sorted()
	}
	c := compile(f, &file)
	c.File, c.Sum = name, sha256.Sum256(text)
	if len(f.list) > 0 {
		return nil, f.sorted()
	}
	return c, nil
}

// Format writes faults one a line.
func Format(faults []sallyport.Fault) string {
	var text []byte
	for _, fault := range faults {
		text = append(text, fault.String()...)
		text = append(text, '\n')
	}
	return string(text)
}
