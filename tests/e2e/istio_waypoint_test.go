package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport/internal/testenv"
)

var waypointForm = istioForm{"waypoint", "waypoint.yaml", []string{"waypoint"}, "waypoint~127.0.0.6~waypoint-1.default~default.svc.cluster.local", "", "waypoint.yaml"}

// A stock Envoy is no waypoint: it lacks filters of Istio's own, and has no tunnels.
// So what a waypoint is sent is looked at: requests meet our filters, in their order,
// and the tunnels that they come in do not. And the chain that requests to the API
// meet, without what is Istio's own and on a port of its own, runs in a stock Envoy,
// where it keeps the API's promises.
func TestIstioKeepsThePromisesAtAWaypoint(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain, func(t *testing.T) {
			istiod(t)
			r := istioCase{form: waypointForm, chain: chain}.gate(t)
			mesh, err := os.ReadFile("../../deploy/istio/meshconfig.yaml")
			if err != nil {
				t.Fatal(err)
			}
			objects := append(aroundUs(t, r.places, "common.yaml", waypointForm.around), waypointForm.ours(t, chain, ""))
			r.xds = startIstiod(t, meshOf(mesh), []string{"PILOT_ENABLE_AMBIENT=true"}, objects...)
			manager := requestsAtWaypoint(t, sentToWaypoint[*listenerv3.Listener](t, r.xds, "type.googleapis.com/envoy.config.listener.v3.Listener"), chain)
			clusters := sentToWaypoint[*clusterv3.Cluster](t, r.xds, "type.googleapis.com/envoy.config.cluster.v3.Cluster")
			r.behind(nil)
			runRequestsChain(t, r, manager, clusters)
			r.runSteps(t, "vaultwares")
			r.demo.end()
			if a := r.send(t, "GET", r.APIs["vaultwares"].URL+"/v1/devices"); a.status != 503 || !strings.Contains(a.body, "service_unavailable") {
				t.Errorf("without Sallyport: %d %s", a.status, a.body)
			}
		})
	}
}

// sentToWaypoint asks istiod, as a waypoint does, for all resources of a type.
func sentToWaypoint[R proto.Message](t *testing.T, xds, kind string) (all []R) {
	t.Helper()
	conn, err := grpc.NewClient(xds, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"CLUSTER_ID": "Kubernetes", "NAMESPACE": "default", "NAME": "waypoint-1", "ISTIO_VERSION": "1.31.1", "MESH_ID": "cluster.local", "INSTANCE_IPS": "127.0.0.6",
		"LABELS": map[string]any{"gateway.networking.k8s.io/gateway-name": "waypoint", "gateway.istio.io/managed": "istio.io-mesh-controller"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discoveryv3.DiscoveryRequest{TypeUrl: kind, Node: &corev3.Node{Id: waypointForm.node, Cluster: "waypoint.default", Metadata: metadata}}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range resp.GetResources() {
		one, err := resource.UnmarshalNew()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one.(R))
	}
	return all
}

// requestsAtWaypoint looks at every chain of the listeners, and returns what requests
// to the API's Service meet.
func requestsAtWaypoint(t *testing.T, listeners []*listenerv3.Listener, chain string) (found *hcmv3.HttpConnectionManager) {
	t.Helper()
	ours := []string{"envoy.filters.http.header_mutation", "envoy.filters.http.ext_authz", "envoy.filters.http.ratelimit", "envoy.filters.http.router"}
	for _, l := range listeners {
		for _, c := range l.GetFilterChains() {
			for _, f := range c.GetFilters() {
				manager := new(hcmv3.HttpConnectionManager)
				if !f.GetTypedConfig().MessageIs(manager) {
					continue
				}
				if err := f.GetTypedConfig().UnmarshalTo(manager); err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, filter := range manager.GetHttpFilters() {
					if slices.Contains(ours, filter.GetName()) {
						names = append(names, filter.GetName())
					}
				}
				want := ours[3:]
				if l.GetName() == "main_internal" {
					want = slices.Clone(ours)
					if chain == "fused" {
						want = slices.Delete(want, 2, 3)
					}
				}
				if !slices.Equal(names, want) || (manager.GetLocalReplyConfig() != nil) != (len(want) > 1) {
					t.Errorf("%s %s: filters %v, want %v; answers of its own: %v", l.GetName(), c.GetName(), names, want, manager.GetLocalReplyConfig() != nil)
				}
				if strings.HasPrefix(c.GetName(), "inbound-vip|8080|http|vaultwares") {
					found = manager
				}
			}
		}
	}
	if found == nil {
		t.Fatal("there is no chain for the API's Service")
	}
	return found
}

// runRequestsChain runs a connection manager of a waypoint in a stock Envoy.
func runRequestsChain(t *testing.T, r *istioRun, manager *hcmv3.HttpConnectionManager, clusters []*clusterv3.Cluster) {
	t.Helper()
	manager.HttpFilters = slices.DeleteFunc(manager.GetHttpFilters(), func(f *hcmv3.HttpFilter) bool { return strings.HasPrefix(f.GetName(), "waypoint_") })
	places := map[string]string{"inbound-vip|8080|http|vaultwares.": r.places.Upstream, "outbound|9191||sallyport.": r.places.GRPC, "outbound|9192||sallyport.": r.places.HTTP}
	b := &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{}}
	for begins, port := range places {
		i := slices.IndexFunc(clusters, func(c *clusterv3.Cluster) bool { return strings.HasPrefix(c.GetName(), begins) })
		if i < 0 {
			t.Fatalf("the waypoint was sent no cluster %s", begins)
		}
		c := clusters[i]
		c.ClusterDiscoveryType, c.EdsClusterConfig = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, nil
		c.TransportSocket, c.TransportSocketMatches = nil, nil // into tunnels
		c.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: c.GetName(), Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: loopback(t, port)}}}},
		}}}
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, c)
	}
	config, err := anypb.New(manager)
	if err != nil {
		t.Fatal(err)
	}
	b.StaticResources.Listeners = []*listenerv3.Listener{{Name: "requests", Address: loopback(t, r.places.Listen), FilterChains: []*listenerv3.FilterChain{{
		Filters: []*listenerv3.Filter{{Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: config}}},
	}}}}
	text, err := proto.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "envoy.pb") // binary: nobody here knows all types that are in it
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(logged)
	envoy := exec.Command(testenv.Envoy(t), "-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "warning")
	envoy.Stdout, envoy.Stderr = log, log
	if err := envoy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		envoy.Process.Kill()
		envoy.Wait()
		if t.Failed() {
			t.Logf("Envoy said last:\n%s", tailOf(log.String(), 4000))
		}
	})
	eventually(t, "Envoy to listen", func() bool { return listens("127.0.0.1:" + r.places.Listen) })
}

// loopback is a port of this machine.
func loopback(t *testing.T, port string) *corev3.Address {
	t.Helper()
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(number)},
	}}}
}
