package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
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
	many      int
	rounds    int
	quick     bool
	module    string
	output    string
	parts     names
	profile   string
	match     string
	beside    string
	strict    bool
	budget    time.Duration
	timeout   time.Duration
	soak      time.Duration
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
	what := bench
	if o.soak > 0 {
		what = soak
	}
	if err := what(ctx, o, stdout, stderr); err != nil {
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
	f.IntVar(&o.many, "many", manyKeys, "how many keys the part keys has; its bars are for the default")
	f.IntVar(&o.rounds, "rounds", 12, "rounds of each server")
	f.BoolVar(&o.quick, "quick", getenv("QUICK") == "1", "fewer rounds: a first look (also QUICK=1)")
	f.StringVar(&o.module, "module", "../..", "`directory` of the main module")
	f.StringVar(&o.output, "o", "", "write the result to this `file` too")
	f.Var(&o.parts, "parts", "measure these `parts` only, by commas: "+partNames())
	f.StringVar(&o.match, "match", "", "of the part limits, measure only what has this `text` in its name")
	f.StringVar(&o.profile, "profile", "", "gather profiles of a Check under load, and of overload, into this `folder`")
	f.StringVar(&o.beside, "beside", "", "measure a Check of this `binary` too, an older or newer one, beside that of -sallyport")
	f.BoolVar(&o.strict, "strict", false, "fail where a bar is missed")
	f.DurationVar(&o.budget, "time", 75*time.Second, "on a slow machine, make rounds shorter rather than take much longer than this for a part")
	f.DurationVar(&o.timeout, "timeout", 15*time.Minute, "give up after this time, besides that of -soak")
	f.DurationVar(&o.soak, "soak", 0, "measure nothing: for so `long` change what the gate works with, and hold that answers are right and memory is flat")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if err := o.check(f.NArg()); err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return o, err
	}
	o.timeout += o.soak
	if o.quick {
		o.rounds, o.budget = min(o.rounds, 4), min(o.budget, 12*time.Second)
	}
	return o, nil
}

func (o *options) check(rest int) error {
	switch {
	case rest > 0:
		return errors.New("no arguments are expected, see -h")
	case o.rounds < 1 || o.rounds > 100:
		return errors.New("-rounds: 1 to 100")
	case o.parts.unknown() != "":
		return fmt.Errorf("-parts: there is no %q, but %s", o.parts.unknown(), partNames())
	case o.soak < 0 || o.soak > mostSoak:
		return fmt.Errorf("-soak: up to %s", mostSoak)
	case o.soak > 0 && o.sallyport == "":
		return errors.New("-soak needs -sallyport")
	case o.keyCount < 1 || o.keyCount > 1000:
		return errors.New("-keys: 1 to 1000")
	case o.many <= fewKeys || o.many > manyKeys:
		return fmt.Errorf("-many: %d to %d", fewKeys+1, manyKeys)
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

// bench measures every part that is asked for, and prints the table. How far it
// is goes to stderr.
func bench(ctx context.Context, o options, stdout, stderr io.Writer) error {
	dir, err := os.MkdirTemp("", "sallyport-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var all finding
	for _, p := range parts {
		if !o.parts.has(p.name) {
			continue
		}
		where := filepath.Join(dir, p.name)
		if err := os.Mkdir(where, 0o700); err != nil {
			return err
		}
		begin := time.Now()
		found, err := p.run(ctx, o, where)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(stderr, "load: %s measured in %.0f s\n", p.name, time.Since(begin).Seconds())
		all.add(found)
	}
	return o.report(ctx, stdout, all)
}

// report prints what was found to stdout and into the file that was asked for,
// and is an error where a bar was missed and that is to fail.
func (o *options) report(ctx context.Context, stdout io.Writer, all finding) error {
	var text strings.Builder
	fmt.Fprintln(&text, machine(ctx, o.module, time.Now()))
	fmt.Fprintf(&text, "CPU of one call, user and system; %d rounds in turn; lower quartiles; spread: from there to the upper ones. Every answer was checked.\n\n", o.rounds)
	if err := writeTable(&text, all.rows); err != nil {
		return err
	}
	for _, note := range all.notes {
		fmt.Fprintln(&text, note)
	}
	if _, err := io.WriteString(stdout, text.String()); err != nil {
		return err
	}
	if o.output != "" {
		if err := os.WriteFile(o.output, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	missed := all.missed || slices.ContainsFunc(all.rows, func(r row) bool { return !r.met() })
	if missed && o.strict {
		return errBar
	}
	return nil
}
