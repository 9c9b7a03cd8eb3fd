package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/app"
)

func newEnvoy(s streams) *cobra.Command {
	return group("envoy", "Print Envoy's configuration, made from the same file, and look at one that runs", newBootstrap(s), newFilters(s), newIstio(s), newGateway(s), newDoctor(s))
}

func newBootstrap(s streams) *cobra.Command {
	var file string
	var node string
	var asks bool
	var o envoy.Options
	c := &cobra.Command{
		Use:   "bootstrap -c FILE",
		Short: "Print a whole configuration for Envoy",
		Long: "Print a whole configuration for Envoy: listener, filters, routes and clusters.\n\n" +
			"The paired chain asks twice a request, by ext_authz and by the ratelimit filter; the fused one asks once.\n\n" +
			"With --xds only what an Envoy needs to ask `sallyport serve --xds` for the rest, which then changes without a\n" +
			"restart. It holds no listener: that one's address is told by serve.",
		Args: cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error {
			p, err := load(s, file)
			if err != nil {
				return err
			}
			if o.GRPC == "" {
				o.GRPC = p.Listen.GRPC[0]
			}
			if o.HTTP == "" {
				o.HTTP = p.Listen.HTTP
			}
			var text []byte
			if asks {
				text, err = envoy.Minimal(node, o)
			} else {
				text, err = app.Bootstrap(p.Policy, o)
			}
			if err != nil {
				return err
			}
			_, err = s.out.Write(text)
			return err
		}),
	}
	f := c.Flags()
	f.StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	chainFlag(c, &o.Chain, "filters that ask sallyport, by default what the configuration says, else paired")
	f.StringVar(&o.Listen, "listen", "0.0.0.0:10000", "where Envoy listens")
	f.StringVar(&o.Admin, "admin", "127.0.0.1:9901", "where Envoy's own admin listener is; empty leaves it out")
	f.StringVar(&o.GRPC, "grpc", "", "where Envoy reaches sallyport: unix:///path or host:port (default: the first of listen.grpc)")
	f.StringVar(&o.HTTP, "http", "", "where Envoy reaches sallyport's HTTP (default: listen.http)")
	f.Uint32Var(&o.TrustedHops, "trusted-hops", 0, "proxies before Envoy whose X-Forwarded-For counts")
	f.StringVar(&o.Certificates, "certificates", "", "file of the authorities that https upstreams are checked by, where Envoy runs (default /etc/ssl/certs/ca-certificates.crt)")
	f.BoolVar(&asks, "xds", false, "only what is needed to ask sallyport for the rest")
	f.StringVar(&node, "node", "envoy", "with --xds: what this Envoy is called in logs")
	for _, other := range []string{"chain", "listen", "http", "trusted-hops", "certificates"} {
		c.MarkFlagsMutuallyExclusive("xds", other)
	}
	return c
}

// chain is a flag's value.
type chain struct{ to *sallyport.Chain }

func (c chain) Type() string { return "chain" }

func (c chain) String() string {
	if c.to == nil { // cobra makes a zero value to compare with
		return ""
	}
	return c.to.String()
}

func (c chain) Set(s string) error {
	parsed, ok := sallyport.ParseChain(s)
	if !ok || parsed == sallyport.PerListener {
		return errors.New("allowed are paired and fused")
	}
	*c.to = parsed
	return nil
}

// chainFlag adds the flag that says which chain.
func chainFlag(c *cobra.Command, to *sallyport.Chain, hint string) {
	c.Flags().Var(chain{to}, "chain", hint+": paired (two) or fused (one)")
	complete(c, "chain", "paired", "fused")
}

// complete offers values for a flag.
func complete(c *cobra.Command, flag string, values ...string) {
	// The flag exists: it was made a few lines above.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
