package envoy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport"
)

func TestGatewayIsTheGoldenFile(t *testing.T) {
	for name, c := range map[string]struct {
		policy *sallyport.Policy
		o      GatewayOptions
	}{
		"gateway": {slotted(), GatewayOptions{Options: Options{Chain: sallyport.Paired}}},
		"gateway.backend": {slotted(), GatewayOptions{
			Options: Options{Chain: sallyport.Fused, TrustedHops: 1, GRPC: "unix:///run/sallyport/sallyport.sock"}, Names: GatewayNamesV2,
			Gateway: "public", GatewayNamespace: "edge", Listeners: []string{"http:80", "https:443:tls"},
			Namespace: "shop", Routes: []string{"orders=checkout", "orders=basket"}, ServiceKind: "Backend", ServiceNamespace: "shop", HTTPService: "sallyport-http",
		}},
		"gateway.none": {policy(), GatewayOptions{Names: GatewayNamesNone}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Gateway(c.policy, c.o)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("differs from %s; see the difference with: go test ./envoy -update && git diff envoy/testdata", golden)
			}
			if again, err := Gateway(c.policy, c.o); err != nil || !bytes.Equal(got, again) {
				t.Errorf("a second call gave other bytes (error %v)", err)
			}
		})
	}
}

// gatewayObject is as much of an object of Envoy Gateway as the tests look at.
type gatewayObject struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		TargetRefs []struct{ Kind, Name string } `yaml:"targetRefs"`
		ExtAuth    struct {
			FailOpen          bool `yaml:"failOpen"`
			StatusOnError     int  `yaml:"statusOnError"`
			Timeout           string
			ContextExtensions []struct{ Name, Value string } `yaml:"contextExtensions"`
			BodyToExtAuth     struct {
				MaxRequestBytes int `yaml:"maxRequestBytes"`
			} `yaml:"bodyToExtAuth"`
		} `yaml:"extAuth"`
		Connection struct {
			BufferLimit int `yaml:"bufferLimit"`
		}
		JSONPatches []struct {
			Type, Name string
			Operation  struct {
				Op       string
				JSONPath string `yaml:"jsonPath"`
				Path     string
				Value    any
			}
		} `yaml:"jsonPatches"`
	}
}

func gatewayObjects(t *testing.T, p *sallyport.Policy, o GatewayOptions) (list []gatewayObject) {
	t.Helper()
	text, err := Gateway(p, o)
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var one gatewayObject
		if err := d.Decode(&one); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatalf("%v\n%s", err, numbered(text))
		}
		if one.Kind != "" {
			list = append(list, one)
		}
	}
}

func kindsOf(list []gatewayObject) string {
	var all []string
	for _, o := range list {
		all = append(all, o.Kind+" "+o.Metadata.Namespace+"/"+o.Metadata.Name)
	}
	return strings.Join(all, ", ")
}

func TestGatewayObjectsGoWhereTheyAreTold(t *testing.T) {
	for _, c := range []struct {
		o    GatewayOptions
		want string
	}{
		{GatewayOptions{}, "SecurityPolicy default/sallyport.eg.orders, HTTPRoute default/sallyport.eg.orders, SecurityPolicy default/sallyport.eg.billing, " +
			"ReferenceGrant sallyport/sallyport.eg.sallyport.default, ClientTrafficPolicy default/sallyport.eg, EnvoyPatchPolicy default/sallyport.eg"},
		{GatewayOptions{Namespace: "shop", ServiceNamespace: "shop", Gateway: "public", GatewayNamespace: "edge", Names: GatewayNamesNone},
			"SecurityPolicy shop/sallyport.edge.public.orders, HTTPRoute shop/sallyport.edge.public.orders, SecurityPolicy shop/sallyport.edge.public.billing, ClientTrafficPolicy edge/sallyport.public"},
	} {
		if got := kindsOf(gatewayObjects(t, policy(), c.o)); got != c.want {
			t.Errorf("got %s\nwant %s", got, c.want)
		}
	}
}

// A SecurityPolicy alone refuses in doubt, and says that Check takes the quota: so
// nothing is unlimited where the patch is not applied.
func TestASecurityPolicyHoldsByItself(t *testing.T) {
	for _, chain := range chains {
		for _, o := range gatewayObjects(t, policy(), GatewayOptions{Options: Options{Chain: chain, TrustedHops: 1, Timeouts: Timeouts{Check: 1500 * time.Millisecond}}}) {
			if o.Kind != "SecurityPolicy" {
				continue
			}
			said := map[string]string{}
			for _, e := range o.Spec.ExtAuth.ContextExtensions {
				said[e.Name] = e.Value
			}
			auth := o.Spec.ExtAuth
			if auth.FailOpen || auth.StatusOnError != 503 || auth.Timeout != "1500ms" || "sallyport.eg."+said["api"] != o.Metadata.Name ||
				said["chain"] != "listener" || said["source"] != "x-sallyport-source" || auth.BodyToExtAuth.MaxRequestBytes != 0 {
				t.Errorf("%v: got %+v", chain, o)
			}
		}
	}
	for _, o := range gatewayObjects(t, policy(), GatewayOptions{Names: GatewayNamesNone}) {
		if want := 256<<10 + 1; o.Metadata.Name == "sallyport.eg.billing" && o.Spec.ExtAuth.BodyToExtAuth.MaxRequestBytes != want {
			t.Errorf("Check is shown %d bytes of a webhook, want %d", o.Spec.ExtAuth.BodyToExtAuth.MaxRequestBytes, want)
		}
		if want := 256<<10 + 1 + 1<<20; o.Kind == "ClientTrafficPolicy" && o.Spec.Connection.BufferLimit != want {
			t.Errorf("a connection keeps %d bytes, want %d", o.Spec.Connection.BufferLimit, want)
		}
	}
}

// Both schemes name what is patched in their own way. Envoy has one listener for all of
// a Gateway on a port, and what is patched twice would have our filters twice.
func TestPatchesGoByTheNamesOfTheScheme(t *testing.T) {
	for _, c := range []struct {
		scheme    GatewayNames
		listeners []string
		want      []string
	}{
		{GatewayNamesV1, []string{"http:80", "https:443:tls"}, []string{"listener edge/public/http", "route edge/public/http", "listener edge/public/https", "route edge/public/https"}},
		{GatewayNamesV2, []string{"http:80", "https:443:tls"}, []string{"listener tcp-80", "route http-80", "listener tcp-443", "route edge/public/https"}},
		{GatewayNamesV1, []string{"a:80", "b:80", "c:81"}, []string{"listener edge/public/a", "route edge/public/a", "listener edge/public/c", "route edge/public/c"}},
		{GatewayNamesV2, []string{"a:80", "b:80", "c:81"}, []string{"listener tcp-80", "route http-80", "listener tcp-81", "route http-81"}},
		{GatewayNamesV1, []string{"a:443:tls", "b:443:tls"}, []string{"listener edge/public/a", "route edge/public/a", "route edge/public/b"}},
		{GatewayNamesV2, []string{"a:443:tls", "b:443:tls"}, []string{"listener tcp-443", "route edge/public/a", "route edge/public/b"}},
	} {
		var got []string
		seen := map[string]bool{}
		list := gatewayObjects(t, policy(), GatewayOptions{Names: c.scheme, Gateway: "public", GatewayNamespace: "edge", Listeners: c.listeners})
		for _, p := range list[len(list)-1].Spec.JSONPatches {
			kind, _, _ := strings.Cut(strings.TrimPrefix(p.Type, "type.googleapis.com/envoy.config."), ".")
			one := kind + " " + p.Name
			if kind != "cluster" && !slices.Contains(got, one) {
				got = append(got, one)
			}
			text := one + p.Operation.JSONPath + p.Operation.Path
			if seen[text] {
				t.Errorf("%s, %s: patched twice: %s", c.scheme, c.listeners, text)
			}
			seen[text] = true
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, %s: got %q, want %q", c.scheme, c.listeners, got, c.want)
		}
	}
}

// What is patched in is what Envoy knows, to the letter, and whole.
func TestPatchesAreEnvoysOwnTypes(t *testing.T) {
	p := slotted()
	p.APIs[0].Operations[0].Cost.Response = "x-cost"
	list := gatewayObjects(t, p, GatewayOptions{Options: Options{TrustedHops: 1}})
	manager, filters, routes := map[string]any{"stat_prefix": "x"}, []any{}, map[string]any{}
	authz := map[string]map[string]any{}
	clusters := 0
	for _, one := range list[len(list)-1].Spec.JSONPatches {
		op := one.Operation
		field := strings.Trim(op.Path, "/-")
		switch {
		case op.Op != "add":
			t.Errorf("the operation %s", op.Op)
		case strings.HasSuffix(one.Type, ".Cluster"):
			clusters++
			valid(t, op.Value, new(clusterv3.Cluster))
		case strings.Contains(op.JSONPath, "ext_authz") && strings.HasSuffix(one.Type, ".Listener"):
			if authz[op.JSONPath] == nil {
				authz[op.JSONPath] = map[string]any{}
			}
			if outer, inner, deep := strings.Cut(field, "/"); deep {
				authz[op.JSONPath][outer] = map[string]any{inner: op.Value}
			} else {
				authz[op.JSONPath][field] = op.Value
			}
		case strings.Contains(op.JSONPath, "http_filters"):
			filters = append(filters, op.Value)
		case field == "access_log":
			manager[field] = []any{op.Value}
		case strings.Contains(op.JSONPath, "http_connection_manager"):
			manager[field] = op.Value
		case field == "response_headers_to_remove":
			routes[field] = op.Value
		default:
			t.Errorf("a patch that nobody expects: %+v", one)
		}
	}
	manager["http_filters"] = filters
	valid(t, manager, new(hcmv3.HttpConnectionManager))
	valid(t, routes, new(routev3.Route))
	for _, fields := range authz {
		valid(t, fields, new(authzv3.ExtAuthz))
	}
	if clusters != 2 || len(filters) != 2 || len(authz) != 2 || len(manager) != 9 || len(routes) != 1 {
		t.Errorf("%d clusters, %d filters, %d of ext_authz, manager %v, routes %v", clusters, len(filters), len(authz), manager, routes)
	}
}

// valid holds value to be a message of m's type, without unknown fields.
func valid(t *testing.T, value any, m proto.Message) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// What Envoy answers by itself is shaped on the APIs' own hosts alone: others may
// share the listener.
func TestOtherHostsAreLeftAlone(t *testing.T) {
	text, err := Gateway(slotted(), GatewayOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mappers := bytes.Count(text, []byte("json_format:"))
	if hosts := bytes.Count(text, []byte(`header_filter: {header: {name: ":authority"`)); mappers == 0 || hosts != mappers+1 {
		t.Errorf("%d answers and an access log, and %d of them for some hosts alone", mappers, hosts)
	}
}

func TestGatewaySaysAllThatIsWrong(t *testing.T) {
	for _, c := range []struct {
		o    GatewayOptions
		want []string
	}{
		{GatewayOptions{
			Names: "v3", Gateway: "EG", Listeners: []string{"http", "http:0", "a:1:ssl", "b:2", "b:3"}, Namespace: "a b", Service: "-", ServiceKind: "Deployment",
			ClusterDomain: "Cluster", Routes: []string{"checkout", "stock=x", "orders=A"},
		}, []string{
			`names: "v3": there are v1, v2, none`, `gateway: "EG" is no name`, `listener: "http" is not NAME:PORT`, `listener: "http:0"`, `listener: "a:1:ssl"`,
			`listener: b is named twice`, `namespace: "a b" is no name`, `service: "-" is no name`, `service-kind: "Deployment": there are Service and Backend`,
			`cluster-domain: "Cluster"`, `route: "checkout": there are several APIs, so say whose it is: API=HTTPROUTE, with orders, billing`,
			`route: "stock=x": no API with hosts is called "stock"; there are orders, billing`, `route: "A" is no name`,
		}},
		{GatewayOptions{Options: Options{Chain: sallyport.Paired}, Names: GatewayNamesNone}, []string{"names none: the paired chain needs", "names none: a limit of concurrency"}},
		{GatewayOptions{ServiceKind: "Backend"}, []string{"grpc: "}},
		{GatewayOptions{Listeners: []string{"a:1", "b:1:tls"}}, []string{"listener: of a and b, on one port, both end TLS or neither does"}},
	} {
		_, err := Gateway(slotted(), c.o)
		if err == nil {
			t.Fatalf("no error for %+v", c.o)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not told in:\n%v", want, err)
			}
		}
	}
	if _, err := Gateway(&sallyport.Policy{}, GatewayOptions{}); err == nil || !strings.Contains(err.Error(), "no API with hosts") {
		t.Errorf("no API: %v", err)
	}
}

// A fused chain without slots needs no cluster of its own, and so no address.
func TestABackendsAddressIsAskedForOnlyWhereItMatters(t *testing.T) {
	o := GatewayOptions{Options: Options{Chain: sallyport.Fused}, ServiceKind: "Backend"}
	if _, err := Gateway(policy(), o); err != nil {
		t.Error(err)
	}
}
