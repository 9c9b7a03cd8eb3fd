package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newProfile(s streams, getenv func(string) string) *cobra.Command {
	var in admin.ProfileRequest
	var output string
	r := &remote{s: s, getenv: getenv}
	c := &cobra.Command{
		Use:   "profile [" + strings.Join(admin.Profiles, "|") + "]",
		Short: "Tell where a running server spends time and memory",
		Long: "Get a profile of a running server, for `go tool pprof FILE`: of its CPU (the default), heap, allocations and\n" +
			"goroutines, and of where goroutines wait for locks (mutex) and for one another (block). It tells functions of\n" +
			"the program, and nothing of requests. CPU, mutex and block are gathered for --seconds, which costs the server\n" +
			"a few percent meanwhile; one profile is gathered at a time.",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: admin.Profiles,
		RunE: runs(func(ctx context.Context, args []string) error {
			if in.Kind = admin.Profiles[0]; len(args) > 0 {
				in.Kind = args[0]
			}
			if in.Seconds < 1 || in.Seconds > 20 {
				return fmt.Errorf("--seconds %d: from 1 to 20", in.Seconds)
			}
			if output == "" {
				output = in.Kind + ".pprof"
			}
			client, err := r.client()
			if err != nil {
				return err
			}
			profile, err := client.Profile(ctx, in)
			if err != nil {
				return err
			}
			if output == "-" {
				_, err := s.out.Write(profile)
				return err
			}
			if err := os.WriteFile(output, profile, 0o600); err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.err, "%s: %d bytes; look at it with: go tool pprof -top %s\n", output, len(profile), output)
			return err
		}),
	}
	c.Flags().IntVar(&in.Seconds, "seconds", 5, "how long to gather, of cpu, mutex and block")
	c.Flags().StringVarP(&output, "output", "o", "", "the `file` to write; - is standard output (default KIND.pprof)")
	return c
}
