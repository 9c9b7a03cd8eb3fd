package envoy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	authzv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/sallyport/sallyport"
)

// slotted is policy with a limit on requests in flight, so that streams' ends matter.
func slotted() *sallyport.Policy {
	p := policy()
	p.APIs[0].Limits = []*sallyport.Limit{{Name: "in-flight", Per: []string{"credential"}, Concurrency: 5}}
	return p
}

func TestIstioIsTheGoldenFile(t *testing.T) {
	for name, o := range map[string]IstioOptions{
		"istio":        {Options: Options{Chain: sallyport.Paired}},
		"istio.beside": {Options: Options{Chain: sallyport.Fused}, Beside: true, OpenPaths: []string{"/healthz"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Istio(slotted(), o)
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
			if again, err := Istio(slotted(), o); err != nil || !bytes.Equal(got, again) {
				t.Errorf("a second call gave other bytes (error %v)", err)
			}
		})
	}
}

// object is as much of an object as the tests look at.
type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		ConfigPatches []struct {
			ApplyTo string `yaml:"applyTo"`
			Match   struct{ Context string }
			Patch   struct {
				Operation string
				Value     any
			}
		} `yaml:"configPatches"`
	}
}

func objects(t *testing.T, text []byte) (list []object) {
	t.Helper()
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o object
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
}

// What istiod merges into Envoy's configuration is what Envoy knows, to the letter.
func TestIstioFiltersAreEnvoysOwnTypes(t *testing.T) {
	for _, chain := range chains {
		text, err := Istio(slotted(), IstioOptions{Options: Options{Chain: chain, TrustedHops: 1}})
		if err != nil {
			t.Fatal(err)
		}
		patches := 0
		for _, o := range objects(t, text) {
			for _, p := range o.Spec.ConfigPatches {
				patches++
				for _, config := range typed(p.Patch.Value) {
					text, err := json.Marshal(config)
					if err != nil {
						t.Fatal(err)
					}
					if err := protojson.Unmarshal(text, new(anypb.Any)); err != nil {
						t.Errorf("%s %s, %s: %v\n%s", o.Kind, o.Metadata.Name, p.ApplyTo, err, text)
					}
				}
			}
		}
		if want := map[sallyport.Chain]int{sallyport.Paired: 5*4 + 2, sallyport.Fused: 4*4 + 2}[chain]; patches != want {
			t.Errorf("%s: %d patches, want %d", chain, patches, want)
		}
	}
	_, _, _ = new(hcmv3.HttpConnectionManager), new(authzv3.ExtAuthz), new(accesslogv3.HttpGrpcAccessLogConfig) // the types are known
}

// typed lists the outermost parts of v that say their type.
func typed(v any) (list []map[string]any) {
	switch v := v.(type) {
	case map[string]any:
		if _, is := v["@type"]; is {
			return []map[string]any{v}
		}
		for _, part := range v {
			list = append(list, typed(part)...)
		}
	case []any:
		for _, part := range v {
			list = append(list, typed(part)...)
		}
	}
	return list
}

func TestIstioPartsAreChosen(t *testing.T) {
	kinds := func(parts ...IstioPart) string {
		text, err := Istio(slotted(), IstioOptions{Parts: parts})
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, o := range objects(t, text) {
			list = append(list, o.Kind+" "+o.Metadata.Namespace+"/"+o.Metadata.Name)
		}
		return strings.Join(list, ", ")
	}
	for _, c := range []struct {
		parts []IstioPart
		want  string
	}{
		{[]IstioPart{IstioGateway}, "AuthorizationPolicy istio-system/sallyport.istio.ingressgateway, EnvoyFilter istio-system/sallyport.istio.ingressgateway"},
		{[]IstioPart{IstioGatewayAPI}, "AuthorizationPolicy istio-system/sallyport.ingress, EnvoyFilter istio-system/sallyport.ingress"},
		{[]IstioPart{IstioRoutes}, "HTTPRoute istio-system/sallyport.ingress.orders, ReferenceGrant sallyport/sallyport.sallyport.istio-system"},
		{[]IstioPart{IstioWaypoint, IstioWorkload}, "AuthorizationPolicy default/sallyport.app.orders, EnvoyFilter default/sallyport.app.orders, " +
			"AuthorizationPolicy default/sallyport.waypoint, EnvoyFilter default/sallyport.waypoint"},
		{[]IstioPart{IstioLocal}, "ServiceEntry istio-system/sallyport-sallyport-svc-cluster-local"},
	} {
		if got := kinds(c.parts...); got != c.want {
			t.Errorf("%s: got %s, want %s", c.parts, got, c.want)
		}
	}
}

// What is printed for one gateway or workload must not take the place of what is there
// for another, which nobody would be asked about then: every name is another one.
func TestObjectsOfDifferentThingsHaveDifferentNames(t *testing.T) {
	names := map[string]string{}
	add := func(what, name string) {
		t.Helper()
		if other, taken := names[name]; taken {
			t.Errorf("%s and %s are both called %s", what, other, name)
		}
		if names[name] = what; len(name) > 253 || !subdomains.MatchString(name) || strings.Contains(name, "..") {
			t.Errorf("%s: Kubernetes takes no %q", what, name)
		}
	}
	long := strings.Repeat("x", 63)
	for _, selector := range []string{
		"app=orders", "app=stock", "App=orders", "app=Orders", "app=or_ders", "app=or.ders", "app=or-ders", "app=or,ders=x", "app-or=ders",
		"app.kubernetes.io/name=orders", "app.kubernetes.io.name=orders", "app-kubernetes-io-name=orders", "istio=edge,tier=public", "istio=edge-tier,public=x",
		strings.Repeat(long+".", 3) + "x/" + long + "=" + long, strings.Repeat(long+".", 3) + "y/" + long + "=" + long,
	} {
		b := new(builder)
		v := istioView{Labels: b.labels("selector", selector)}
		if len(b.faults) > 0 {
			t.Fatal(b.faults)
		}
		add(selector, v.labelled())
	}
	for _, v := range []gatewayView{
		{Gateway: GatewayOptions{Gateway: "a", GatewayNamespace: "n", Namespace: "n"}}, {Gateway: GatewayOptions{Gateway: "b", GatewayNamespace: "n", Namespace: "n"}},
		{Gateway: GatewayOptions{Gateway: "a", GatewayNamespace: "m", Namespace: "n"}},
	} {
		for _, api := range []string{"orders", "a-b", "a_b", "b"} {
			add(fmt.Sprintf("%+v %s", v.Gateway, api), v.Gateway.name(api))
		}
	}
}

func TestIstioSaysAllThatIsWrong(t *testing.T) {
	_, err := Istio(policy(), IstioOptions{
		Parts: []IstioPart{"ingress", IstioGateway}, Provider: "Sallyport", Service: "sallyport", Selector: "istio", Namespace: "a b",
		OpenPaths: []string{"healthz", "/open/*"}, OpenHosts: []string{"Open.test", "open.test:*", "open.test:0", "open.test:x.orders.test:80", "*.open.test", "api.orders.test:8443"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`part "ingress": there are mesh, local, gateway,`, `provider: "Sallyport" is no name`, `service: "sallyport" is not the whole name`,
		`selector: "istio" is not key=value`, `namespace: "a b" is no name`, `open-path: "healthz"`, `open-path: "/open/*"`, `open-host: "Open.test"`,
		`open-host: "open.test:*" is not HOST or HOST:PORT`, `open-host: "open.test:0"`, `open-host: "open.test:x.orders.test:80"`, `open-host: "*.open.test"`,
		`open-host: api.orders.test is a host of the API orders`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not told in:\n%v", want, err)
		}
	}
}

// At a workload or a waypoint the host is whatever a client writes: none is open there.
func TestIstioOpensNoHostThatAClientMayChoose(t *testing.T) {
	for parts, want := range map[IstioPart]bool{IstioGateway: true, IstioGatewayAPI: true, IstioWorkload: false, IstioWaypoint: false, "": false} {
		o := IstioOptions{OpenHosts: []string{"www.orders.test"}}
		if parts != "" {
			o.Parts = []IstioPart{IstioMesh, parts}
		}
		if _, err := Istio(policy(), o); (err == nil) != want || err != nil && !strings.Contains(err.Error(), "open-host: not for a w") {
			t.Errorf("%s: %v", parts, err)
		}
	}
}

// Whoever names paths or hosts to be asked about lets through what is spelt in
// another way: ours name what is not.
func TestIstioPoliciesNameOnlyWhatIsOpen(t *testing.T) {
	text, err := Istio(policy(), IstioOptions{Parts: []IstioPart{IstioGateway, IstioGatewayAPI}, OpenPaths: []string{"/healthz"}, OpenHosts: []string{"www.orders.test", "old.orders.test:8443"}})
	if err != nil {
		t.Fatal(err)
	}
	var policies int
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var o struct {
			Kind string
			Spec struct {
				Action string
				Rules  []struct {
					To []struct{ Operation map[string][]string }
				}
			}
		}
		if err := d.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if o.Kind != "AuthorizationPolicy" {
			continue
		}
		policies++
		operation := o.Spec.Rules[0].To[0].Operation
		if o.Spec.Action != "CUSTOM" || len(operation) != 2 || !slices.Equal(operation["notPaths"], []string{"/healthz"}) ||
			!slices.Equal(operation["notHosts"], []string{"www.orders.test", "www.orders.test:80", "www.orders.test:443", "old.orders.test:8443"}) {
			t.Errorf("got %+v", o.Spec)
		}
	}
	if policies != 2 {
		t.Errorf("%d policies, want 2", policies)
	}
}
