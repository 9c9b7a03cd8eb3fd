package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
)

func newServe(s streams) *cobra.Command {
	var file string
	var watch bool
	var x told
	c := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Run the server",
		Long: "Run the server until SIGINT or SIGTERM.\n\n" +
			"A configuration with faults is refused as `sallyport check` refuses it. What a configuration asks for and\n" +
			"this version does not serve yet is said at start: where it concerns single operations, those are answered\n" +
			"503; where leaving it out would let requests pass that the configuration means to stop, the server does\n" +
			"not start.\n\n" +
			"The configuration is read again when the file changes, on SIGHUP, and on `sallyport reload`: all of it is\n" +
			"put in force, or where anything is wrong nothing. Addresses, store, pepper and the like need a restart.\n\n" +
			"With --xds, Envoys that were started on `sallyport envoy bootstrap --xds` get their whole configuration from\n" +
			"here, and with every reload anew. Whoever reaches listen.grpc can read it; it holds no secret.",
		Args: cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error { return serve(ctx, s, file, watch, x) }),
	}
	c.Flags().StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	c.Flags().BoolVar(&watch, "watch", true, "read the configuration again when the file changes")
	f := c.Flags()
	f.BoolVar(&x.on, "xds", false, "give Envoys their configuration")
	f.StringVar(&x.options.Listen, "envoy-listen", "0.0.0.0:10000", "with --xds: where Envoy listens")
	f.StringVar(&x.options.GRPC, "envoy-grpc", "", "with --xds: where Envoy reaches sallyport: unix:///path or host:port (default: the first of listen.grpc)")
	f.StringVar(&x.options.HTTP, "envoy-http", "", "with --xds: where Envoy reaches sallyport's HTTP (default: listen.http)")
	f.StringVar(&x.options.Certificates, "envoy-certificates", "", "with --xds: file of the authorities that https upstreams are checked by, where Envoy runs (default /etc/ssl/certs/ca-certificates.crt)")
	f.Uint32Var(&x.options.TrustedHops, "envoy-trusted-hops", 0, "with --xds: proxies before Envoy whose X-Forwarded-For counts")
	return c
}

// told is what Envoys are told, if they are.
type told struct {
	on      bool
	options envoy.Options
}

func serve(ctx context.Context, s streams, file string, watch bool, x told) error {
	c, err := load(s, file)
	if err != nil {
		return err
	}
	for _, n := range c.Notices {
		fmt.Fprintf(s.err, "notice: %s\n", n)
	}
	if len(c.Absent) > 0 {
		return fmt.Errorf("the configuration asks for more than this version serves, and leaving it out would let requests pass:\n%s", lines(c.Absent))
	}
	tuneMemory(ctx, os.Getenv)
	var handler slog.Handler = slog.NewTextHandler(s.err, nil)
	if c.Log.Format == "json" {
		handler = slog.NewJSONHandler(s.err, nil)
	}
	log := slog.New(handler)
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from now on: one that comes early must not end the server
	defer signal.Stop(hangup)
	o := app.Options{
		Config: c, Version: version(), Log: log,
		Reload: func() (*config.Config, []sallyport.Fault) { return config.Load(file) },
	}
	if x.on {
		o.XDS = &x.options
	}
	server, err := app.New(ctx, o)
	if err != nil {
		return err
	}
	if token, made := server.AdminToken(); made {
		fmt.Fprintf(s.out, "The admin token, shown this once (SALLYPORT_TOKEN):\n%s\n", token.Reveal())
	}
	log.Info("ready", "version", version(), "grpc", strings.Join(server.GRPC(), " "), "http", server.HTTP())
	if watch {
		go server.Watch(ctx, file)
	}
	go reloadOnSignal(ctx, server, hangup)
	err = server.Run(ctx)
	log.Info("ended")
	return err
}

// reloadOnSignal reloads at each hangup until ctx ends. What went wrong, the
// server logs.
func reloadOnSignal(ctx context.Context, server *app.App, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			_ = server.Reload(ctx)
		}
	}
}

// load reads a configuration; its faults are the error, all of them.
func load(s streams, file string) (*config.Config, error) {
	c, faults := config.Load(file)
	if len(faults) == 0 {
		return c, nil
	}
	return nil, fmt.Errorf("%s in %s:\n%s", count(len(faults), "fault"), file, lines(faults))
}

func lines(faults []sallyport.Fault) string {
	var all []string
	for _, f := range faults {
		all = append(all, f.String())
	}
	return strings.Join(all, "\n")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
