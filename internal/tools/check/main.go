// Command check runs every gate that a change must pass, with nothing but Go
// and what scripts fetch: formatting, vet, the modules' tidiness, staticcheck,
// all tests with the race detector, each fuzz target for a moment, known
// vulnerabilities, and the gate behind a real Envoy. `make test` calls it.
//
//	go run ./internal/tools/check [-fuzztime 5s] [-update] [GATE...]
//
// Some gates run only where they are named: istio and envoygateway, whose control
// planes are built from source, which takes ten minutes of CPU time each, once,
// kubernetes, which compiles much of Kubernetes, and envoys, which fetches Envoys of
// several versions.
//
// All gates run, also behind one that failed, so that one run tells
// everything. It ends with exit code 1 where any failed, and its last line
// counts them. It needs a C compiler (the race detector does) and the network
// for what is not fetched yet, and takes some minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("check", flag.ContinueOnError)
	f.SetOutput(stderr)
	fuzzTime := f.Duration("fuzztime", 5*time.Second, "how long each fuzz target runs")
	update := f.Bool("update", false, "write the golden files anew that the gates istio and kubernetes make")
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	root, err := findRoot()
	if err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 1
	}
	p := &project{root: root, out: stdout, fuzzTime: *fuzzTime, update: *update}
	chosen, err := choose(p.gates(), p.asked(), f.Args())
	if err != nil {
		fmt.Fprintln(stderr, "check:", err)
		return 2
	}
	return runGates(ctx, chosen, stdout)
}

// gate is one thing that must hold.
type gate struct {
	name string
	run  func(context.Context) error
}

// skipped is the error of a gate that could not be asked, and why that is no
// failure.
type skipped string

func (s skipped) Error() string { return string(s) }

// choose returns the gates called names, in the order of usual and then asked; no
// names, the usual ones.
func choose(usual, asked []gate, names []string) ([]gate, error) {
	if len(names) == 0 {
		return usual, nil
	}
	all := slices.Concat(usual, asked)
	var known []string
	for _, g := range all {
		known = append(known, g.name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown gate %q; there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(g gate) bool { return !slices.Contains(names, g.name) }), nil
}

// runGates runs all of gates, one after the other, and returns the exit code.
func runGates(ctx context.Context, gates []gate, out io.Writer) int {
	passed := 0
	var failed, report []string
	for i, g := range gates {
		if ctx.Err() != nil {
			failed = append(failed, g.name)
			report = append(report, fmt.Sprintf("  %-12s not run", g.name))
			continue
		}
		fmt.Fprintf(out, "== %d/%d %s\n", i+1, len(gates), g.name)
		began := time.Now()
		err := g.run(ctx)
		took := time.Since(began).Round(100 * time.Millisecond)
		var skip skipped
		verdict := "passed"
		switch {
		case err == nil:
			passed++
		case errors.As(err, &skip):
			verdict = "skipped: " + skip.Error()
		default:
			verdict = "FAILED: " + err.Error()
			failed = append(failed, g.name)
		}
		fmt.Fprintf(out, "== %s: %s (%s)\n\n", g.name, verdict, took)
		report = append(report, fmt.Sprintf("  %-12s %7s  %s", g.name, took, verdict))
	}
	fmt.Fprintln(out, strings.Join(report, "\n"))
	if len(failed) > 0 {
		fmt.Fprintf(out, "Failed: %s\n", strings.Join(failed, ", "))
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", passed, len(failed))
	if len(failed) > 0 {
		return 1
	}
	return 0
}
