package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// part is one of the things that are measured. It starts what it needs in a
// folder of its own, and ends it.
type part struct {
	name string
	run  func(ctx context.Context, o options, dir string) (finding, error)
}

// parts are in the order of the table.
var parts = []part{
	{"check", checkPart},
	{"chain", chainPart},
	{"keys", keysPart},
	{"limits", limitsPart},
	{"overload", overloadPart},
	{"micro", microPart},
}

// finding is what a part has to say: its lines of the table, and sentences
// beneath it.
type finding struct {
	rows   []row
	notes  []string
	missed bool // a bar that is not in rows: one that hold was told of, for one
}

func (f *finding) add(other finding) {
	f.rows = append(f.rows, other.rows...)
	f.notes = append(f.notes, other.notes...)
	f.missed = f.missed || other.missed
}

func (f *finding) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// hold is note for what is to be so: where it is not, that is a bar missed.
func (f *finding) hold(ok bool, format string, args ...any) {
	verdict := "yes"
	if !ok {
		verdict, f.missed = "NO", true
	}
	f.note(format+": "+verdict+".", args...)
}

// names are parts, as the command line has them. The zero value is all.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

func (n *names) Set(v string) error {
	*n = strings.Split(v, ",")
	return nil
}

func (n names) has(name string) bool { return len(n) == 0 || slices.Contains(n, name) }

// unknown returns the first name that is none.
func (n names) unknown() string {
	for _, name := range n {
		if !slices.Contains(strings.Split(partNames(), ", "), name) {
			return name
		}
	}
	return ""
}

func partNames() string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return strings.Join(all, ", ")
}

// checkPart compares a whole Check with an empty one on a default grpc-go
// server, and a token with a key.
func checkPart(ctx context.Context, o options, dir string) (finding, error) {
	var found finding
	var f fleet
	defer f.stop()
	if err := f.start(ctx, o, dir); err != nil {
		return found, err
	}
	for _, s := range checkShapes {
		r, err := measure(ctx, f.servers, s, o.rounds, o.budget/time.Duration(len(checkShapes)))
		if err != nil {
			return found, fmt.Errorf("%s: %w", s, err)
		}
		found.add(r.finding(f.servers))
		if o.profile != "" && f.clients != nil {
			if err := gatherProfiles(ctx, o, f.clients.gate, f.servers[f.gate], s); err != nil {
				return found, err
			}
		}
	}
	if f.clients != nil {
		issuing, err := f.clients.issuing(ctx, f.servers[len(f.servers)-1].cpu, o.rounds)
		if err != nil {
			return found, err
		}
		found.note("Token endpoint (client credentials, EdDSA): %s µs of CPU a token, its Check included; a bare signature is BenchmarkSign/EdDSA/bare.", micros(issuing))
	}
	return found, nil
}

// microPart runs the Go benchmarks of the module's hot parts.
func microPart(ctx context.Context, o options, _ string) (finding, error) {
	benchtime := "500ms"
	if o.quick {
		benchtime = "100ms"
	}
	return finding{notes: append([]string{""}, microBenchmarks(ctx, o.module, benchtime)...)}, nil
}
