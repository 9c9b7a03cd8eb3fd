package kubernetes

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write deploy/kubernetes anew")

const (
	chartFolder = "../../deploy/helm/sallyport"
	manifests   = "../../deploy/kubernetes"
)

// render is what Helm makes of the chart: by template, without those that come to
// nothing. values are YAML, over those of the chart.
func render(t *testing.T, config, values string) (map[string]string, error) {
	t.Helper()
	chart, err := loader.Load(chartFolder)
	if err != nil {
		t.Fatal(err)
	}
	var given map[string]any
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		t.Fatalf("%v\n%s", err, values)
	}
	if given == nil {
		given = map[string]any{}
	}
	given["config"] = config
	all, err := util.ToRenderValues(chart, given, common.ReleaseOptions{Name: "sallyport", Namespace: "sallyport", IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(chart, all)
	if err != nil {
		return nil, err
	}
	rendered := make(map[string]string)
	for name, text := range files {
		if strings.TrimSpace(text) != "" {
			rendered[strings.TrimPrefix(name, "sallyport/templates/")] = strings.TrimSpace(text) + "\n"
		}
	}
	return rendered, nil
}

// exampleConfig is that of the manifests.
func exampleConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/sallyport.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inPod is the configuration where Envoy is in the same pod.
func inPod(config string) string {
	return strings.Replace(config, `"0.0.0.0:9191"`, `"unix:///run/sallyport/sallyport.sock"`, 1)
}

// A form of the manifests, as values of the chart.
type form struct {
	folder string
	config func(string) string
	values string
}

// The secret's values are no good on purpose: the server does not start on them.
var forms = []form{
	{"", func(c string) string { return c }, `
secret: {data: {pepper: REPLACE, admin-token: REPLACE}}
envoy: {form: deployment}
serviceMonitor: {enabled: true}
networkPolicy: {monitoring: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]}
`},
	{"one-pod", inPod, `
secret: {data: {pepper: REPLACE, admin-token: REPLACE}}
envoy: {form: pod}
`},
}

// deploy/kubernetes is what the chart renders, for who has no Helm.
func TestTheManifestsAreWhatTheChartRenders(t *testing.T) {
	for _, f := range forms {
		t.Run("form "+f.folder, func(t *testing.T) {
			files, err := render(t, f.config(exampleConfig(t)), f.values)
			if err != nil {
				t.Fatal(err)
			}
			delete(files, "NOTES.txt")
			files["namespace.yaml"] = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: sallyport\n  labels:\n    pod-security.kubernetes.io/enforce: restricted\n"
			names := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool { return slices.Contains(byHand, name) })
			files["kustomization.yaml"] = "# kubectl apply -k .\n" +
				"#\n# By hand: secret.yaml, once, with values in it, since it would put these in the place of a pepper that is in use; and a\n" +
				"# servicemonitor.yaml where the Prometheus operator is, since nobody else knows such an object.\n" +
				"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- " + strings.Join(names, "\n- ") + "\n"
			folder := filepath.Join(manifests, f.folder)
			if *update {
				if err := os.MkdirAll(folder, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			there, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range there {
				if _, wanted := files[filepath.Base(path)]; !wanted {
					t.Errorf("%s: the chart renders no such file", path)
				}
			}
			for name, want := range files {
				path := filepath.Join(folder, name)
				if *update {
					if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if got, err := os.ReadFile(path); err != nil || string(got) != want {
					t.Errorf("%s is not what the chart renders (%v): make test-kubernetes ARGS=-update writes it anew\n%s", path, err, want)
				}
			}
		})
	}
}

// Helm's linter has nothing to say of the chart.
func TestTheChartIsClean(t *testing.T) {
	linter := lint.RunAll(chartFolder, map[string]any{"config": exampleConfig(t)}, "sallyport")
	for _, m := range linter.Messages {
		if m.Severity > support.InfoSev {
			t.Errorf("%s", m.Error())
		}
	}
}

// What would not run is refused when it is installed, and not found out by a pod
// that does not come up.
func TestTheChartRefusesWhatWouldNotRun(t *testing.T) {
	good := exampleConfig(t)
	for name, c := range map[string]struct{ config, values, want string }{
		"no configuration":         {"", "", "--set-file config=sallyport.yaml"},
		"no YAML":                  {"a: [", "", "config: error converting YAML"},
		"gRPC on the loopback":     {strings.Replace(good, "0.0.0.0:9191", "127.0.0.1:9191", 1), "", `listen.grpc must hold "0.0.0.0:9191"`},
		"no gRPC":                  {"store: sqlite:///var/lib/sallyport/s.db", "", `listen.grpc must hold "0.0.0.0:9191"`},
		"one address of gRPC":      {strings.Replace(good, `["0.0.0.0:9191"]`, `"127.0.0.1:9191"`, 1), "", `it is "127.0.0.1:9191"`},
		"no map":                   {strings.Replace(good, "listen:", "listen: [a] #", 1), "", `listen.grpc must hold "0.0.0.0:9191"`},
		"no socket":                {good, "envoy: {form: pod}", `listen.grpc must hold "unix:///run/sallyport/sallyport.sock"`},
		"HTTP elsewhere":           {strings.Replace(good, "0.0.0.0:9192", "0.0.0.0:80", 1), "", `listen.http must be "0.0.0.0:9192"`},
		"the store elsewhere":      {strings.Replace(good, "/var/lib/sallyport", "/data", 1), "", "store must be below sqlite:///var/lib/sallyport/"},
		"no store":                 {strings.Replace(good, "store:", "cache: {} #", 1), "", "store must be named"},
		"a store of no kind":       {strings.Replace(good, "sqlite:///var/lib/sallyport/sallyport.db", "/var/lib/sallyport/s.db", 1), "", "store must be named"},
		"no pepper":                {strings.Replace(good, "pepper:", "cache: {} #", 1), "", "pepper must be {file: /run/secrets/sallyport/pepper}"},
		"an empty list of peppers": {strings.Replace(good, "pepper: {file: /run/secrets/sallyport/pepper}", "pepper: []", 1), "", "pepper must be {file: "},
		"a pepper elsewhere":       {strings.Replace(good, "/run/secrets/sallyport/pepper", "/etc/pepper", 1), "", "pepper must be {file: "},
		"an older one elsewhere": {strings.Replace(good, "pepper: {file: /run/secrets/sallyport/pepper}",
			"pepper: [{version: 2, file: /run/secrets/sallyport/pepper}, {version: 1, env: PEPPER}]", 1), "", "pepper must be {file: "},
		"no admin token":           {strings.Replace(good, "admin:", "cache: {} #", 1), "", "admin.token must be {file: /run/secrets/sallyport/admin-token}"},
		"an admin token elsewhere": {strings.Replace(good, "{file: /run/secrets/sallyport/admin-token}", "{env: TOKEN}", 1), "", "admin.token must be {file: "},
		"anybody's address":        {good, "envoy: {form: deployment, trustedHops: 1}", "networkPolicy.gateway names nobody"},
		"everybody as a client":    {good, "networkPolicy: {clients: [{}]}", "/networkPolicy/clients/0"},
		"a label of ours":          {good, "podLabels: {app.kubernetes.io/name: mine}", "/podLabels/app.kubernetes.io~1name"},
		"a sidecar":                {good, "podLabels: {sidecar.istio.io/inject: 'true'}", "/podLabels/sidecar.istio.io~1inject"},
		"a volume of no size":      {good, "persistence: {size: ''}", "/persistence/size"},
		"two on one file":          {good, "replicas: 2", "replicas: 2, but the store is a file of one process"},
		"scaling on one file":      {good, "autoscaling: {enabled: true}", "autoscaling.enabled: the store is a file of one process"},
		"a pepper in a folder":     {strings.Replace(good, "/run/secrets/sallyport/pepper", "/run/secrets/sallyport/a/pepper", 1), "", "pepper must be {file: "},
		"a secret without token":   {good, "secret: {data: {pepper: x}}", "secret.data.admin-token: admin.token is read from there"},
		"a pepper of another name": {strings.Replace(good, "/run/secrets/sallyport/pepper", "/run/secrets/sallyport/p2", 1), "secret: {data: {pepper: x, admin-token: t}}", "secret.data.p2: pepper is read from there"},
		"a secret without pepper":  {good, "secret: {data: {admin-token: x}}", "secret.data.pepper: pepper is read from there: at least 32 bytes"},
		"a form that there is not": {good, "envoy: {form: sidecar}", "'none', 'deployment', 'pod'"},
		"a word that there is not": {good, "imagePullPolicy: Always", "imagePullPolicy"},
		"a port that is none":      {good, "envoy: {service: {port: 0}}", "/envoy/service/port"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := render(t, c.config, c.values); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// What leads to Sallyport leads to its Service, whatever that is called.
func TestEnvoyFindsTheService(t *testing.T) {
	files, err := render(t, exampleConfig(t), "envoy: {form: deployment}\nclusterDomain: k8s.example")
	if err != nil {
		t.Fatal(err)
	}
	const host = "sallyport.sallyport.svc.k8s.example"
	for name, want := range map[string]string{"envoy-configmap.yaml": `address: "` + host + `"`, "deployment.yaml": "--envoy-grpc=" + host + ":9191\n        - --envoy-http=" + host + ":9192"} {
		if !strings.Contains(files[name], want) || strings.Contains(files[name], "cluster.local") {
			t.Errorf("%s: no %s in\n%s", name, want, files[name])
		}
	}
}

// Where Envoy believes in what a balancer writes, nobody but the balancer comes to it.
func TestOnlyTheBalancerComes(t *testing.T) {
	for form, in := range map[string]string{"deployment": "envoy-networkpolicy.yaml", "pod": "networkpolicy.yaml"} {
		config := exampleConfig(t)
		if form == "pod" {
			config = inPod(config)
		}
		files, err := render(t, config, "envoy: {form: "+form+", trustedHops: 1}\nnetworkPolicy: {gateway: [{ipBlock: {cidr: 10.0.0.0/24}}]}")
		if err != nil {
			t.Fatal(err)
		}
		var p networkingv1.NetworkPolicy
		if err := yaml.UnmarshalStrict([]byte(files[in]), &p); err != nil {
			t.Fatal(err)
		}
		if i := p.Spec.Ingress; len(i) != 1 || len(i[0].Ports) != 1 || i[0].Ports[0].Port.StrVal != "gateway" || len(i[0].From) != 1 || i[0].From[0].IPBlock.CIDR != "10.0.0.0/24" {
			t.Errorf("form %s: got %+v", form, i)
		}
	}
}

// Who has installed it is told what his own configuration needs, and what nobody keeps away.
func TestNotesAreOfTheConfigurationInForce(t *testing.T) {
	config := exampleConfig(t)
	const pepper, token = "{file: /run/secrets/sallyport/pepper}", "/run/secrets/sallyport/admin-token"
	other := strings.Replace(strings.Replace(config, pepper, "{file: /run/secrets/sallyport/salt}", 1), token, "/run/secrets/sallyport/first.token", 1)
	for name, c := range map[string]struct {
		config, values string
		want           []string
		not            string
	}{
		"as it comes": {config, "", []string{"--from-literal=pepper=", "--from-literal=admin-token=", "{.data.admin-token}"}, "networkPolicy"},
		"other names": {other, "", []string{"--from-literal=salt=", "--from-literal=first.token=", `{.data.first\.token}`}, "admin-token"},
		"two peppers": {strings.Replace(config, pepper, "[{version: 2, file: /run/secrets/sallyport/new}, {version: 1, file: /run/secrets/sallyport/pepper}]", 1), "",
			[]string{"new, pepper,", "under admin-token."}, "from-literal"},
		"ours":            {config, "secret: {data: {pepper: x, admin-token: t}}", []string{"{.data.admin-token}"}, "It starts once"},
		"open":            {config, "networkPolicy: {enabled: false}", []string{"networkPolicy.enabled is false"}, "trustedHops"},
		"open to forgers": {config, "networkPolicy: {enabled: false}\nenvoy: {form: deployment, trustedHops: 2}", []string{"networkPolicy.enabled is false", "envoy.trustedHops is 2"}, "\n\n\n"},
	} {
		files, err := render(t, c.config, c.values)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		notes := files["NOTES.txt"]
		for _, want := range c.want {
			if !strings.Contains(notes, want) {
				t.Errorf("%s: no %s in\n%s", name, want, notes)
			}
		}
		if strings.Contains(notes, c.not) {
			t.Errorf("%s: %q stands in\n%s", name, c.not, notes)
		}
	}
}

// A store that replicas share has what many replicas need.
func TestManyReplicas(t *testing.T) {
	config := strings.Replace(exampleConfig(t), "sqlite:///var/lib/sallyport/sallyport.db", "postgres://db.example.com/sallyport", 1)
	files, err := render(t, config, "autoscaling: {enabled: true, min: 3}")
	if err != nil {
		t.Fatal(err)
	}
	judge(t, files)
	for name, want := range map[string]string{
		"hpa.yaml":        "minReplicas: 3",
		"pdb.yaml":        "maxUnavailable: 1",
		"deployment.yaml": "maxUnavailable: 0",
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s: no %s in\n%s", name, want, files[name])
		}
	}
	if files["pvc.yaml"] != "" || strings.Contains(files["deployment.yaml"], "replicas:") {
		t.Errorf("got\n%s\n%s", files["pvc.yaml"], files["deployment.yaml"])
	}
}

// Whatever the values, Kubernetes takes what comes out.
func TestEveryValueIsTaken(t *testing.T) {
	config := exampleConfig(t)
	for i, c := range []struct{ config, values string }{
		{config, ""},
		{config, "envoy: {form: deployment, autoscaling: {enabled: false}, trustedHops: 1, service: {type: LoadBalancer, port: 443, annotations: {a: b}}}\n" +
			"networkPolicy: {gateway: [{ipBlock: {cidr: 10.0.0.0/24}}]}"},
		{inPod(config), "envoy: {form: pod, trustedHops: 1}\nnetworkPolicy: {gateway: [{ipBlock: {cidr: 10.0.0.0/24}}]}"},
		{strings.Replace(config, "pepper: {file: /run/secrets/sallyport/pepper}",
			"pepper: [{version: 2, file: /run/secrets/sallyport/new}, {version: 1, file: /run/secrets/sallyport/pepper}]", 1), "persistence: {size: '8', storageClass: '1'}"},
		{inPod(config), "envoy: {form: pod, service: {type: NodePort}}\nnetworkPolicy: {enabled: false}"},
		{strings.Replace(config, `["0.0.0.0:9191"]`, `"0.0.0.0:9191"`, 1), ""},
		{strings.Replace(config, "0.0.0.0:9191", "[::]:9191", 1), "persistence: {existingClaim: mine, storageClass: fast}\nsecret: {name: mine}"},
		{config, `
image: {repository: example.com/sallyport, tag: v1, pullSecrets: [one, two]}
networkPolicy:
  clients: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: istio-ingress}}}]
  monitoring: [{podSelector: {matchLabels: {app: prometheus}}}]
  egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]
serviceMonitor: {enabled: true, interval: 1m, labels: {release: prometheus}}
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}
`},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			files, err := render(t, c.config, c.values)
			if err != nil {
				t.Fatal(err)
			}
			judge(t, files)
		})
	}
}

// The pods may run where the pod security standard is the strictest.
func TestThePodsAreRestricted(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms {
		files, err := render(t, f.config(exampleConfig(t)), f.values)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"deployment.yaml", "envoy-deployment.yaml"} {
			var d appsv1.Deployment
			if err := yaml.UnmarshalStrict([]byte(files[name]), &d); err != nil {
				t.Fatal(err)
			}
			for _, r := range evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec) {
				if !r.Allowed {
					t.Errorf("%s of form %s: %s: %s", name, f.folder, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
		}
	}
}

// byHand are manifests that stand in no kustomization.
var byHand = []string{"secret.yaml", "servicemonitor.yaml"}

// `kubectl apply -k` takes every manifest of a folder but those, and so never puts a
// placeholder over the pepper that is in use.
func TestTheManifestsBuildWithKustomize(t *testing.T) {
	for _, f := range forms {
		folder := filepath.Join(manifests, f.folder)
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
		if err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		files = slices.DeleteFunc(files, func(path string) bool {
			return slices.Contains(append(byHand, "kustomization.yaml"), filepath.Base(path))
		})
		if err != nil || built.Size() != len(files) {
			t.Errorf("%s: %d objects out of %d files (%v)", folder, built.Size(), len(files), err)
		}
		for _, o := range built.Resources() {
			if o.GetKind() == "Secret" {
				t.Errorf("%s: a Secret would be applied", folder)
			}
		}
	}
}
