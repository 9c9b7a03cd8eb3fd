package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/app"
)

func newIstio(s streams) *cobra.Command {
	var file string
	var o envoy.IstioOptions
	var parts []string
	for _, part := range envoy.IstioParts() {
		parts = append(parts, string(part))
	}
	c := &cobra.Command{
		Use:   "istio -c FILE [PART...]",
		Short: "Print what Istio is told: the provider, policies and filters",
		Long: "Print what Istio is told, for all kinds of proxies or for the named parts:\n\n" +
			"  mesh         the extension provider, to be put into the mesh's configuration (no object of Kubernetes)\n" +
			"  local        the ServiceEntry for a container beside each Envoy (only with --beside, or when named)\n" +
			"  gateway      a gateway of Istio's own API, by its pods' labels\n" +
			"  gateway-api  a Gateway of the Gateway API\n" +
			"  routes       HTTPRoutes to what sallyport serves itself, such as a token endpoint\n" +
			"  workload     the sidecars of pods, by their labels\n" +
			"  waypoint     a waypoint of the ambient mode\n\n" +
			"Everything that a proxy gets is asked about, but for what --open-path and --open-host name.",
		Example: "  sallyport envoy istio -c sallyport.yaml mesh\n" +
			"  sallyport envoy istio -c sallyport.yaml gateway --selector istio=ingressgateway | kubectl apply -f -",
		ValidArgs: parts,
		Args:      cobra.OnlyValidArgs,
		RunE: runs(func(_ context.Context, args []string) error {
			p, err := load(s, file)
			if err != nil {
				return err
			}
			for _, arg := range args {
				o.Parts = append(o.Parts, envoy.IstioPart(arg))
			}
			text, err := app.Istio(p.Policy, o)
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
	f.StringVar(&o.Provider, "provider", "sallyport", "the extension provider's name")
	f.StringVar(&o.Service, "service", "", "sallyport's host as the mesh knows it (default sallyport.sallyport.svc.cluster.local; with --beside sallyport.local)")
	f.Uint16Var(&o.Port, "port", 9191, "the Service's port for gRPC")
	f.Uint16Var(&o.HTTPPort, "http-port", 9192, "the Service's port for HTTP")
	f.BoolVar(&o.Beside, "beside", false, "sallyport is a container beside each Envoy, and no Service")
	f.StringVar(&o.Root, "root-namespace", "istio-system", "the mesh's root namespace")
	f.StringVarP(&o.Namespace, "namespace", "n", "istio-system", "the namespace of the gateway's pods: a policy in another one guards nothing")
	f.StringVar(&o.Selector, "selector", "istio=ingressgateway", "labels of a gateway's pods: key=value,…")
	f.StringVar(&o.Gateway, "gateway", "ingress", "a Gateway's name")
	f.StringVar(&o.WorkloadNamespace, "workload-namespace", "default", "the namespace of the workload, or of the waypoint")
	f.StringVar(&o.Workload, "workload", "", "labels of the workload's pods (default app= and the first API's name)")
	f.StringVar(&o.Waypoint, "waypoint", "waypoint", "the waypoint's name")
	f.StringArrayVar(&o.OpenPaths, "open-path", nil, "a path that nobody is asked about, such as /healthz; may be repeated")
	f.StringArrayVar(&o.OpenHosts, "open-host", nil, "a host that nobody is asked about: HOST, or HOST:PORT for one that is written with it (80 and 443 are included); for gateways none of whose guarded routes takes it, by a wildcard either; may be repeated")
	f.Uint32Var(&o.TrustedHops, "trusted-hops", 0, "for workloads and waypoints: proxies before them whose X-Forwarded-For counts")
	f.DurationVar(&o.Timeouts.Check, "timeout", 0, "how long Envoy waits for an answer (default 1s)")
	return c
}
