package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/app"
)

func newGateway(s streams) *cobra.Command {
	var file string
	var o envoy.GatewayOptions
	c := &cobra.Command{
		Use:   "gateway -c FILE",
		Short: "Print what Envoy Gateway is told: policies, and a patch of Envoy's configuration",
		Long: "Print what Envoy Gateway is told, as objects for kubectl:\n\n" +
			"  SecurityPolicy       for each API: its HTTPRoutes are asked about\n" +
			"  HTTPRoute            for each API with endpoints that sallyport serves itself\n" +
			"  ReferenceGrant       where sallyport is in another namespace\n" +
			"  ClientTrafficPolicy  how the Gateway reads requests\n" +
			"  EnvoyPatchPolicy     what those cannot say: the ratelimit filter of the paired chain, and more\n\n" +
			"An EnvoyPatchPolicy goes by names, of which there are two schemes, and does nothing where they are others.\n" +
			"v1 is Envoy Gateway's up to 1.9, v2 from 1.10 on and before that with its flag XDSNameSchemeV2.\n" +
			"With none there is no EnvoyPatchPolicy, and only the fused chain.",
		Example: "  sallyport envoy gateway -c sallyport.yaml | kubectl apply -f -\n" +
			"  sallyport envoy gateway -c sallyport.yaml --gateway public -n shop --route orders=checkout --listener https:443:tls",
		Args: cobra.NoArgs,
		RunE: runs(func(context.Context, []string) error {
			p, err := load(s, file)
			if err != nil {
				return err
			}
			text, err := app.Gateway(p.Policy, o)
			if err != nil {
				return err
			}
			_, err = s.out.Write(text)
			return err
		}),
	}
	f := c.Flags()
	f.StringVarP(&file, "config", "c", "sallyport.yaml", "the configuration")
	chainFlag(c, &o.Chain, "filters that ask sallyport, by default what the configuration says, else paired; with --names none fused")
	f.StringVar((*string)(&o.Names), "names", string(envoy.GatewayNamesV1), "how Envoy Gateway names what is patched: v1, v2 or none")
	complete(c, "names", envoy.AllGatewayNames()...)
	f.StringVarP(&o.Namespace, "namespace", "n", "default", "the namespace of the APIs' HTTPRoutes")
	f.StringArrayVar(&o.Routes, "route", nil, "API=HTTPROUTE, or HTTPROUTE where there is one API; may be repeated (default: called as the API)")
	f.StringVar(&o.Gateway, "gateway", "eg", "the Gateway's name")
	f.StringVar(&o.GatewayNamespace, "gateway-namespace", "", "the Gateway's namespace (default: that of the HTTPRoutes)")
	f.StringArrayVar(&o.Listeners, "listener", []string{"http:80"}, "a listener of the Gateway: NAME:PORT, or NAME:PORT:tls where it ends TLS; may be repeated")
	f.StringVar(&o.Service, "service", "sallyport", "sallyport's Service")
	f.StringVar(&o.ServiceNamespace, "service-namespace", "sallyport", "its namespace")
	f.StringVar(&o.ServiceKind, "service-kind", "Service", "what it is: Service, or Backend of Envoy Gateway's own")
	complete(c, "service-kind", "Service", "Backend")
	f.Uint16Var(&o.Port, "port", 9191, "its port for gRPC")
	f.StringVar(&o.HTTPService, "http-service", "", "the one for HTTP, where it is another")
	f.Uint16Var(&o.HTTPPort, "http-port", 9192, "its port for HTTP")
	f.StringVar(&o.GRPC, "grpc", "", "where Envoy reaches sallyport's gRPC by itself: host:port or unix:///path (default: the Service by its name; needed for a Backend)")
	f.StringVar(&o.ClusterDomain, "cluster-domain", "cluster.local", "the domain of the cluster's Services")
	f.Uint32Var(&o.TrustedHops, "trusted-hops", 0, "proxies before the Gateway whose X-Forwarded-For counts")
	f.DurationVar(&o.Timeouts.Check, "timeout", 0, "how long Envoy waits for an answer (default 1s)")
	return c
}
