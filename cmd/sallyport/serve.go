package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
)

func newServe(s streams) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Run the server",
		Long: "Run the server until SIGINT or SIGTERM.\n\n" +
			"A configuration with faults is refused as `sallyport check` refuses it. What a configuration asks for and\n" +
			"this version does not serve yet is said at start: where it concerns single operations, those are answered\n" +
			"503; where leaving it out would let requests pass that the configuration means to stop, the server does\n" +
			"not start.",
		Args: cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error { return serve(ctx, s, file) }),
	}
	c.Flags().StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	return c
}

// garbage is GOGC where the environment says nothing: the server's live heap is
// small beside what the machine has, and collecting less often is worth more
// than the memory. GOMEMLIMIT bounds it where it is set.
const garbage = 400

func serve(ctx context.Context, s streams, file string) error {
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
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	log := slog.New(slog.NewTextHandler(s.err, nil))
	server, err := app.New(ctx, app.Options{Config: c, Version: version(), Log: log})
	if err != nil {
		return err
	}
	if token, made := server.AdminToken(); made {
		fmt.Fprintf(s.out, "The admin token, shown this once (SALLYPORT_TOKEN):\n%s\n", token.Reveal())
	}
	log.Info("ready", "version", version(), "grpc", strings.Join(server.GRPC(), " "), "http", server.HTTP())
	err = server.Run(ctx)
	log.Info("ended")
	return err
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
