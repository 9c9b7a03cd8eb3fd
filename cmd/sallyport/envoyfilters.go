package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/app"
)

func newFilters(s streams) *cobra.Command {
	var file string
	var apis []string
	var o envoy.Options
	c := &cobra.Command{
		Use:   "filters -c FILE",
		Short: "Print what an Envoy that you have needs",
		Long: "Print what an Envoy that you have needs to ask sallyport: filters and settings of its connection manager, what\n" +
			"each API's virtual host needs, and clusters. Every line says why it is there. `sallyport envoy doctor` tells of\n" +
			"a running Envoy what is missing.",
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
			text, err := app.Filters(p.Policy, o, apis...)
			if err != nil {
				return err
			}
			_, err = s.out.Write(text)
			return err
		}),
	}
	f := c.Flags()
	f.StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	f.StringArrayVar(&apis, "api", nil, "only what this API needs; may be repeated")
	chainFlag(c, &o.Chain, "filters that ask sallyport, by default what the configuration says, else paired")
	f.StringVar(&o.GRPC, "grpc", "", "where Envoy reaches sallyport: unix:///path or host:port (default: the first of listen.grpc)")
	f.StringVar(&o.HTTP, "http", "", "where Envoy reaches sallyport's HTTP (default: listen.http)")
	f.Uint32Var(&o.TrustedHops, "trusted-hops", 0, "proxies before Envoy whose X-Forwarded-For counts")
	return c
}
