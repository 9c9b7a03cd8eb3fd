package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/examples"
	"github.com/sallyport/sallyport/internal/demo"
	"github.com/sallyport/sallyport/internal/envoyproc"
)

func newDemo(s streams, getenv func(string) string) *cobra.Command {
	var asJSON bool
	o := demo.Options{Version: version(), Chain: sallyport.Paired}
	c := &cobra.Command{
		Use:   "demo [NAME...]",
		Short: "Run everything on this machine: Envoy, an upstream, examples, keys",
		Long: "Run Envoy, a sample upstream and the named examples (default: all), each on its own\n" +
			"host name, with a tenant of every plan and keys. Print what to try, or with --json one line when all is ready.\n" +
			"Ctrl-C or SIGTERM ends everything and leaves nothing behind.\n\nExamples: " + strings.Join(examples.Names(), ", ") + ".",
		ValidArgs: examples.Names(),
		RunE: runs(func(ctx context.Context, names []string) (err error) {
			for _, name := range names {
				if !slices.Contains(examples.Names(), name) {
					return fmt.Errorf("unknown example %q; there are %s", name, strings.Join(examples.Names(), ", "))
				}
			}
			o.Names = names
			if o.Envoy == "" {
				if o.Envoy, err = envoyproc.Find(getenv, projectFolder()); err != nil {
					return err
				}
			}
			return runDemo(ctx, s, o, asJSON)
		}),
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "print one line of JSON when all is ready")
	chainFlag(c, &o.Chain, "filters that ask sallyport")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:10000", "where the gateway listens; port 0 lets the system choose, for grpc and http too unless they are given")
	f.StringVar(&o.GRPC, "grpc", "127.0.0.1:9191", "where the server's gRPC listens")
	f.StringVar(&o.HTTP, "http", "127.0.0.1:9192", "where the server's admin API, metrics and health listen")
	f.StringVar(&o.Counters, "counters", "memory", "where quotas are counted, as in a file: memory, a Redis such as redis://127.0.0.1:6379, or {redis: …, lease: …}")
	f.StringVar(&o.Envoy, "envoy", "", "the Envoy binary (default: $ENVOY, envoy on PATH, .tools/envoy)")
	c.PreRun = func(*cobra.Command, []string) {
		if !strings.HasSuffix(o.Listen, ":0") {
			return
		}
		for name, address := range map[string]*string{"grpc": &o.GRPC, "http": &o.HTTP} {
			if !f.Changed(name) {
				*address = "127.0.0.1:0"
			}
		}
	}
	return c
}

func runDemo(ctx context.Context, s streams, o demo.Options, asJSON bool) error {
	o.Log = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o.EnvoyTo = s.err
	d, err := demo.Start(ctx, o)
	if err != nil {
		return err
	}
	defer d.Stop()
	if asJSON {
		if err := json.NewEncoder(s.out).Encode(d); err != nil {
			return err
		}
	} else {
		d.Show(s.out)
	}
	return d.Wait(ctx)
}

// projectFolder is where .tools may be: this folder, or the one that the binary
// was built into the bin folder of.
func projectFolder() string {
	if _, err := os.Stat(".tools"); err == nil {
		return "."
	}
	if self, err := os.Executable(); err == nil {
		return filepath.Dir(filepath.Dir(self))
	}
	return ""
}
