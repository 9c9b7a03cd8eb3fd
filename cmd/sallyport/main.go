// Command sallyport is the gate: its server, its configuration's check, its
// demo, and the hands of an operator on a running server.
//
// Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 server not
// reached. What is asked for goes to standard output, everything else to
// standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // limits by the calendar have time zones, also where the system has none

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, os.Getenv))
}

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes.
const (
	exitDone = iota
	exitRefused
	exitUsage
	exitUnreachable
)

// done wraps an error of a command that was used rightly: all others are wrong
// usage, which cobra finds.
type done struct{ error }

func (d done) Unwrap() error { return d.error }

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, s streams, getenv func(string) string) int {
	root := newRoot(s, getenv)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(s.err, "sallyport: %v\n", err)
	var d done
	switch {
	case !errors.As(err, &d):
		fmt.Fprintf(s.err, "See '%s --help'.\n", root.CommandPath())
		return exitUsage
	case errors.Is(err, admin.ErrUnreachable):
		fmt.Fprintln(s.err, "Is the server running? SALLYPORT_URL says where, default "+defaultURL+".")
		return exitUnreachable
	case errors.Is(err, errEnvoyUnreachable):
		fmt.Fprintln(s.err, "Is Envoy running, and its admin listener there? --admin says where.")
		return exitUnreachable
	}
	var refused *admin.Refused
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		fmt.Fprintln(s.err, "SALLYPORT_TOKEN is not an admin token of this server.")
	}
	return exitRefused
}

func newRoot(s streams, getenv func(string) string) *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "The gate in front of an API behind Envoy",
		Long: "Sallyport answers Envoy's external authorization and rate limit calls for any API:\n" +
			"keys, scopes, tenants and quotas from one YAML file.",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("sallyport {{.Version}}\n")
	root.AddCommand(
		newDemo(s, getenv), newServe(s), newCheck(s), newEnvoy(s),
		newKey(s, getenv), newTenant(s, getenv), newUser(s, getenv), newOAuthClient(s, getenv), newRole(s, getenv), newLimit(s, getenv), newToken(s, getenv),
		newWebhook(s, getenv), newExplain(s, getenv), newReload(s, getenv), newProfile(s, getenv),
	)
	return root
}

// runs makes the body of a command: its errors are those of the command, not of
// its usage.
func runs(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := f(cmd.Context(), args); err != nil {
			return done{err}
		}
		return nil
	}
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(commands...)
	return c
}

// version is the module's version, or the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "commit " + s.Value
		}
	}
	return "devel"
}
