package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	k8sjson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/autoscaling"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install"
	autoscalingvalidation "k8s.io/kubernetes/pkg/apis/autoscaling/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"sigs.k8s.io/yaml"
)

// Every object that is shipped is taken by the API server that it is for.
func TestWhatIsShippedIsTaken(t *testing.T) {
	seen := map[string]int{}
	err := filepath.WalkDir("../../deploy", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" || strings.Contains(path, "/helm/") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		t.Run(strings.TrimPrefix(path, "../../deploy/"), func(t *testing.T) {
			for _, kind := range judge(t, map[string]string{path: string(text)}) {
				seen[kind]++
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{
		"Deployment", "Service", "ConfigMap", "Secret", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy", "HorizontalPodAutoscaler",
		"ServiceMonitor", "AuthorizationPolicy", "EnvoyFilter", "HTTPRoute", "SecurityPolicy", "EnvoyPatchPolicy", "ClientTrafficPolicy", "ReferenceGrant",
	} {
		if seen[kind] == 0 {
			t.Errorf("no %s was judged", kind)
		}
	}
	t.Logf("judged %v", seen)
}

// The judge finds what is wrong: a word that there is not, a value that is none, a
// rule that is broken.
func TestTheJudgeRefuses(t *testing.T) {
	const deployment = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: b}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: d, %s}]}}}}`
	const policy = `{apiVersion: gateway.envoyproxy.io/v1alpha1, kind: SecurityPolicy, metadata: {name: a, namespace: b}, spec: {%s}}`
	for text, want := range map[string]string{
		fmt.Sprintf(deployment, "port: 1"):                                                                                                       `unknown field "spec.template.spec.containers[0].port"`,
		fmt.Sprintf(deployment, "ports: [{name: A, containerPort: 1}]"):                                                                          "ports[0].name",
		fmt.Sprintf(deployment, "imagePullPolicy: Seldom"):                                                                                       "imagePullPolicy",
		fmt.Sprintf(deployment, "volumeMounts: [{name: x, mountPath: /x}]"):                                                                      "volumeMounts[0].name",
		fmt.Sprintf(policy, "targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}, extAuth: {failOpen: 3}"):                   "failOpen",
		fmt.Sprintf(policy, "targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: a}, extAuht: {}"):                              "spec.extAuht",
		fmt.Sprintf(policy, "targetRef: {group: x, kind: HTTPRoute, name: a}"):                                                                   "targetRef",
		`{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a, namespace: b}, spec: {action: MAYBE}}`:                "spec.action",
		`{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: a}, spec: {selector: {}, endpoints: [{paht: /metrics}]}}`: "paht",
		`{apiVersion: example.com/v1, kind: Thing, metadata: {name: a}}`:                                                                         "nobody knows",
	} {
		_, err := judgeOne([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot %v, want %s", text, err, want)
		}
	}
	if _, err := judgeOne([]byte(fmt.Sprintf(deployment, "imagePullPolicy: Always"))); err != nil {
		t.Errorf("a good one: %v", err)
	}
}

// judge says what is wrong with the objects in files, and what kinds they are of.
func judge(t *testing.T, files map[string]string) (kinds []string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		for _, document := range strings.Split(files[name], "\n---\n") {
			kind, err := judgeOne([]byte(document))
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, document)
			}
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// notObjects are files that a program reads, and not the API server.
var notObjects = []string{"", "Kustomization", "EnvoyGateway"}

// judgeOne reads an object as the API server does where it is asked to be strict,
// and validates it.
func judgeOne(document []byte) (kind string, err error) {
	text, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return "", err
	}
	var object map[string]any
	if err := k8sjson.Unmarshal(text, &object); err != nil {
		return "", err
	}
	kind, _ = object["kind"].(string)
	version, _ := object["apiVersion"].(string)
	at, err := schema.ParseGroupVersion(version)
	switch {
	case err != nil || slices.Contains(notObjects, kind):
		return kind, err
	case legacyscheme.Scheme.Recognizes(at.WithKind(kind)):
		return kind, judgeBuiltIn(text)
	case at.String() == "monitoring.coreos.com/v1" && kind == "ServiceMonitor":
		return kind, yaml.UnmarshalStrict(text, new(monitoringv1.ServiceMonitor))
	default:
		return kind, judgeDefined(at.WithKind(kind), object)
	}
}

func judgeBuiltIn(text []byte) error {
	strict := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	object, err := runtime.Decode(strict.UniversalDecoder(), text) // with defaults, as what the server works on
	if err != nil {
		return err
	}
	switch o := object.(type) {
	case *core.Namespace:
		return corevalidation.ValidateNamespace(o).ToAggregate()
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(o).ToAggregate()
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(o).ToAggregate()
	case *core.Secret:
		return corevalidation.ValidateSecret(o).ToAggregate()
	case *core.Service:
		if o.Spec.Type == core.ServiceTypeLoadBalancer && o.Spec.ExternalTrafficPolicy == core.ServiceExternalTrafficPolicyLocal {
			o.Spec.HealthCheckNodePort = 30000 // which the server chooses before it validates
		}
		return corevalidation.ValidateServiceCreate(o).ToAggregate()
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(o, corevalidation.PersistentVolumeClaimSpecValidationOptions{}).ToAggregate()
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(o, corevalidation.PodValidationOptions{}).ToAggregate()
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(o, policyvalidation.PodDisruptionBudgetValidationOptions{}).ToAggregate()
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{}).ToAggregate()
	case *autoscaling.HorizontalPodAutoscaler:
		return autoscalingvalidation.ValidateHorizontalPodAutoscaler(o, autoscalingvalidation.HorizontalPodAutoscalerSpecValidationOptions{MinReplicasLowerBound: 1}).ToAggregate()
	default:
		return fmt.Errorf("nobody here validates a %T", o)
	}
}

// definition is a kind that a project defines for Kubernetes.
type definition struct {
	structural *structuralschema.Structural
	validator  schemavalidation.SchemaValidator
}

// definitions are those of Istio, Envoy Gateway and the Gateway API, out of the very
// modules whose control planes the tests run.
var definitions = sync.OnceValues(func() (map[schema.GroupVersionKind]definition, error) {
	known := make(map[schema.GroupVersionKind]definition)
	for _, from := range []struct{ pinnedIn, module, files string }{
		{"../istio", "istio.io/istio", "manifests/charts/base/files/crd-all.gen.yaml"},
		{"../envoygateway", "github.com/envoyproxy/gateway", "charts/gateway-helm/charts/crds/crds/generated/*.yaml"},
		{"../envoygateway", "sigs.k8s.io/gateway-api", "config/crd/standard/gateway.networking.k8s.io_*.yaml"},
	} {
		download := exec.Command("go", "mod", "download", "-json", from.module)
		download.Dir, download.Stderr = from.pinnedIn, os.Stderr
		text, err := download.Output()
		if err != nil {
			return nil, fmt.Errorf("download %s: %w", from.module, err)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(text, &module); err != nil {
			return nil, err
		}
		files, err := filepath.Glob(filepath.Join(module.Dir, from.files))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("%s has no %s (%v)", from.module, from.files, err)
		}
		for _, file := range files {
			if err := define(known, file); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	return known, nil
})

func define(known map[schema.GroupVersionKind]definition, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var v1 apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(document, &v1); err != nil {
			return err
		}
		if v1.Kind != "CustomResourceDefinition" {
			continue
		}
		apiextensionsv1.SetDefaults_CustomResourceDefinition(&v1)
		for _, version := range v1.Spec.Versions {
			var internal apiextensions.JSONSchemaProps
			if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &internal, nil); err != nil {
				return err
			}
			structural, err := structuralschema.NewStructural(&internal)
			if err != nil {
				return err
			}
			validator, _, err := schemavalidation.NewSchemaValidator(&internal)
			if err != nil {
				return err
			}
			known[schema.GroupVersionKind{Group: v1.Spec.Group, Version: version.Name, Kind: v1.Spec.Names.Kind}] = definition{structural, validator}
		}
	}
	return nil
}

func judgeDefined(kind schema.GroupVersionKind, object map[string]any) error {
	known, err := definitions()
	if err != nil {
		return err
	}
	d, ok := known[kind]
	if !ok {
		return fmt.Errorf("nobody knows the kind %s", kind)
	}
	unknown := pruning.PruneWithOptions(object, d.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		return fmt.Errorf("unknown fields %v", unknown)
	}
	defaulting.Default(object, d.structural)
	faults := schemavalidation.ValidateCustomResource(nil, object, d.validator)
	if rules := cel.NewValidator(d.structural, true, celconfig.PerCallLimit); rules != nil {
		more, _ := rules.Validate(context.Background(), field.NewPath(""), d.structural, object, nil, celconfig.RuntimeCELCostBudget)
		faults = append(faults, more...)
	}
	return faults.ToAggregate()
}
