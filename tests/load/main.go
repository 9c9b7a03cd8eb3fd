package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	sallyport string
	target    string
	keys      string
	pid       int
	against   servers
	keyCount  int
	rounds    int
	quick     bool
	micro     bool
	module    string
	output    string
	strict    bool
	budget    time.Duration
	timeout   time.Duration
}

// servers collects the values of a flag that may be repeated.
type servers []string

func (s *servers) String() string { return strings.Join(*s, " ") }

func (s *servers) Set(v string) error {
	*s = append(*s, v)
	return nil
}

// errBar says that something was too dear, where -strict asks to fail then.
var errBar = errors.New("a bar was missed")

func main() {
	// One thread for the load, one core for the server, where there are two.
	runtime.GOMAXPROCS(1)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer, getenv func(string) string) int {
	o, err := parse(args, stderr, getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if err := bench(ctx, o, stdout); err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer, getenv func(string) string) (o options, err error) {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.sallyport, "sallyport", "../../bin/sallyport", "the `binary` to measure; empty: none")
	f.StringVar(&o.target, "target", "", "measure what listens at this loopback `address` instead; needs -key and -pid, and GOMAXPROCS=1 there")
	f.StringVar(&o.keys, "key", "", "with -target: `keys` that it knows, by commas")
	f.IntVar(&o.pid, "pid", 0, "with -target: its process `id`")
	f.Var(&o.against, "against", "measure this `name=command` too, a server that prints its address; may be repeated")
	f.IntVar(&o.keyCount, "keys", 16, "how many keys to create and send in turn")
	f.IntVar(&o.rounds, "rounds", 12, "rounds of each server")
	f.BoolVar(&o.quick, "quick", getenv("QUICK") == "1", "fewer rounds: a first look (also QUICK=1)")
	f.BoolVar(&o.micro, "micro", true, "run the module's Go benchmarks too")
	f.StringVar(&o.module, "module", "../..", "`directory` of the main module")
	f.StringVar(&o.output, "o", "", "write the result to this `file` too")
	f.BoolVar(&o.strict, "strict", false, "fail where a bar is missed")
	f.DurationVar(&o.budget, "time", 150*time.Second, "on a slow machine, make rounds shorter rather than take much longer than this")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "give up after this time")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if err := o.check(f.NArg()); err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return o, err
	}
	if o.quick {
		o.rounds, o.budget = min(o.rounds, 4), min(o.budget, 25*time.Second)
	}
	return o, nil
}

func (o *options) check(rest int) error {
	switch {
	case rest > 0:
		return errors.New("no arguments are expected, see -h")
	case o.rounds < 1 || o.rounds > 100:
		return errors.New("-rounds: 1 to 100")
	case o.keyCount < 1 || o.keyCount > 1000:
		return errors.New("-keys: 1 to 1000")
	case o.target == "" && o.sallyport == "" && len(o.against) == 0:
		return errors.New("nothing to measure: give -sallyport, -target or -against")
	case o.target != "" && (o.keys == "" || o.pid <= 0):
		return errors.New("-target needs -key and -pid")
	case o.target != "":
		if err := checkLoopback(o.target); err != nil {
			return fmt.Errorf("-target %s: %w", o.target, err)
		}
	}
	return nil
}

// bench starts the servers, measures them, and prints the table.
func bench(ctx context.Context, o options, stdout io.Writer) error {
	dir, err := os.MkdirTemp("", "sallyport-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var f fleet
	defer f.stop()
	if err := f.start(ctx, o, dir); err != nil {
		return err
	}
	var results []result
	for _, s := range shapes {
		r, err := measure(ctx, f.servers, s, o.rounds, o.budget/time.Duration(len(shapes)))
		if err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		results = append(results, r)
	}
	var issuing time.Duration
	if f.clients != nil {
		var err error
		if issuing, err = f.clients.issuing(ctx, f.servers[len(f.servers)-1].cpu, o.rounds); err != nil {
			return err
		}
	}
	return o.report(ctx, stdout, f.servers, results, issuing)
}

// report prints the results to stdout and into the file that was asked for,
// and is an error where a bar was missed and that is to fail.
func (o *options) report(ctx context.Context, stdout io.Writer, all []*server, results []result, issuing time.Duration) error {
	var text strings.Builder
	fmt.Fprintln(&text, machine(ctx, o.module, time.Now()))
	fmt.Fprintf(&text, "CPU of one call, user and system (%s); GOMAXPROCS=1; %d rounds in turn; lower quartiles; spread: from there to the upper ones.\n", all[0].cpu.name, o.rounds)
	fmt.Fprint(&text, "Baseline: an empty Check on a default grpc-go server with the generated types. Every answer was an OK.\n\n")
	var rows []row
	for _, r := range results {
		rows = append(rows, r.rows(all)...)
	}
	if err := writeTable(&text, rows); err != nil {
		return err
	}
	for _, r := range results {
		fmt.Fprintf(&text, "%s: %d calls a round; the servers waited %.0f %% of their CPU time for a core\n", r.shape, r.calls, 100*r.wait)
		if r.wait > busy {
			fmt.Fprintln(&text, "  The machine was busy with other things: ratios lean towards 1. Measure again when it rests.")
		}
	}
	if issuing > 0 {
		fmt.Fprintf(&text, "Token endpoint (client credentials, EdDSA): %s µs of CPU a token, its Check included; a bare signature is BenchmarkSign/EdDSA/bare of ./internal/token\n", micros(issuing))
	}
	if o.micro {
		benchtime := "1s"
		if o.quick {
			benchtime = "100ms"
		}
		fmt.Fprintf(&text, "\n%s\n", strings.Join(microBenchmarks(ctx, o.module, benchtime), "\n"))
	}
	if _, err := io.WriteString(stdout, text.String()); err != nil {
		return err
	}
	if o.output != "" {
		if err := os.WriteFile(o.output, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	if missed := slices.ContainsFunc(rows, func(r row) bool { return !r.met() }); missed && o.strict {
		return errBar
	}
	return nil
}
