package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/app"
)

func newEnvoy(s streams) *cobra.Command {
	return group("envoy", "Print Envoy's configuration, made from the same file", newBootstrap(s))
}

func newBootstrap(s streams) *cobra.Command {
	var file, chain string
	var o envoy.Options
	c := &cobra.Command{
		Use:   "bootstrap -c FILE",
		Short: "Print a whole configuration for Envoy",
		Long: "Print a whole configuration for Envoy: listener, filters, routes and clusters.\n\n" +
			"The paired chain asks twice a request, by ext_authz and by the ratelimit filter; the fused one asks once.",
		Args: cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error {
			p, err := load(s, file)
			if err != nil {
				return err
			}
			if chain != "" {
				var ok bool
				if o.Chain, ok = sallyport.ParseChain(chain); !ok {
					return fmt.Errorf("unknown chain %q; allowed are paired and fused", chain)
				}
			}
			if o.GRPC == "" {
				o.GRPC = p.Listen.GRPC[0]
			}
			if o.HTTP == "" {
				o.HTTP = p.Listen.HTTP
			}
			text, err := app.Bootstrap(p.Policy, o)
			if err != nil {
				return err
			}
			_, err = s.out.Write(text)
			return err
		}),
	}
	f := c.Flags()
	f.StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	f.StringVar(&chain, "chain", "", "paired or fused (default: what the configuration says, else paired)")
	f.StringVar(&o.Listen, "listen", "0.0.0.0:10000", "where Envoy listens")
	f.StringVar(&o.Admin, "admin", "127.0.0.1:9901", "where Envoy's own admin listener is; empty leaves it out")
	f.StringVar(&o.GRPC, "grpc", "", "where Envoy reaches sallyport: unix:///path or host:port (default: the first of listen.grpc)")
	f.StringVar(&o.HTTP, "http", "", "where Envoy reaches sallyport's HTTP (default: listen.http)")
	f.Uint32Var(&o.TrustedHops, "trusted-hops", 0, "proxies before Envoy whose X-Forwarded-For counts")
	complete(c, "chain", "paired", "fused")
	return c
}

// complete offers values for a flag.
func complete(c *cobra.Command, flag string, values ...string) {
	// The flag exists: it was made a few lines above.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
