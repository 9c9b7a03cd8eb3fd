package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/tests/requests"
)

// manifest is what the tests read of the objects of deploy/kubernetes.
type manifest struct {
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct {
			Spec struct {
				InitContainers []container `yaml:"initContainers"`
				Containers     []container
				Volumes        []struct {
					Name      string
					ConfigMap struct{ Name string } `yaml:"configMap"`
					Secret    struct {
						Name string `yaml:"secretName"`
					} `yaml:"secret"`
				}
			}
		}
	}
}

type container struct {
	Name  string
	Args  []string
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe   probe `yaml:"startupProbe"`
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	VolumeMounts   []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

type probe struct {
	HTTPGet   *struct{ Path, Port string } `yaml:"httpGet"`
	TCPSocket *struct{ Port string }       `yaml:"tcpSocket"`
}

// cluster stands in for what a node does with the manifests: it mounts volumes, runs
// containers' arguments, and asks their probes. What is at a fixed path or port
// there is in a folder and on a port of its own here.
type cluster struct {
	t       *testing.T
	folder  string
	objects map[string]manifest // by kind and name
	here    *strings.Replacer   // of what the manifests say, where it is here
	ports   map[int]string      // by container port
	log     *logged
}

// newCluster reads a folder of manifests.
func newCluster(t *testing.T, manifests, upstream string) *cluster {
	t.Helper()
	folder, err := os.MkdirTemp("", "pod") // short: the path of a socket has to be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	c := &cluster{t: t, folder: folder, objects: map[string]manifest{}, ports: map[int]string{}, log: new(logged)}
	files, err := filepath.Glob(filepath.Join(manifests, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var m manifest
		if err := yaml.Unmarshal(text, &m); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		c.objects[m.Kind+"/"+m.Metadata.Name] = m
	}
	var places []string
	for _, mount := range []string{"/etc/sallyport", "/run/secrets/sallyport", "/var/lib/sallyport", "/run/sallyport", "/etc/envoy"} {
		places = append(places, mount, folder+mount)
		if err := os.MkdirAll(folder+mount, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, port := range []int{9191, 9192, 10000} {
		c.ports[port] = portOf(t, testenv.FreeAddress(t))
		places = append(places, fmt.Sprintf("port_value: %d", port), "port_value: "+c.ports[port], fmt.Sprintf(":%d", port), ":"+c.ports[port])
	}
	c.here = strings.NewReplacer(append(places, "sallyport.sallyport.svc.cluster.local", "127.0.0.1", "http://orders.shop.svc.cluster.local:8080", upstream,
		"port_value: 9901", "port_value: 0")...)
	return c
}

// mount fills the volumes of a Deployment, as a node does: a file is a link to one in
// a folder, which is another one with each change.
func (c *cluster) mount(deployment string, secret map[string]string) {
	c.t.Helper()
	spec := c.objects["Deployment/"+deployment].Spec.Template.Spec
	for _, one := range append(slices.Clone(spec.InitContainers), spec.Containers...) {
		for _, m := range one.VolumeMounts {
			for _, v := range spec.Volumes {
				switch {
				case v.Name != m.Name:
				case v.ConfigMap.Name != "":
					data := c.objects["ConfigMap/"+v.ConfigMap.Name].Data
					if len(data) == 0 {
						c.t.Fatalf("there is no ConfigMap %s", v.ConfigMap.Name)
					}
					c.project(m.MountPath, data)
				case v.Secret.Name != "":
					c.project(m.MountPath, secret)
				}
			}
		}
	}
}

// project makes files of what an object holds, all of them at once.
func (c *cluster) project(mountPath string, data map[string]string) {
	c.t.Helper()
	at := c.folder + mountPath
	version, err := os.MkdirTemp(at, "..version")
	if err != nil {
		c.t.Fatal(err)
	}
	must := func(err error) {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	for name, text := range data {
		must(os.WriteFile(filepath.Join(version, name), []byte(c.here.Replace(text)), 0o600))
		if _, err := os.Lstat(filepath.Join(at, name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(at, name)))
		}
	}
	must(os.Symlink(filepath.Base(version), filepath.Join(at, "..next")))
	must(os.Rename(filepath.Join(at, "..next"), filepath.Join(at, "..data")))
}

// start runs a container of a Deployment, and waits until its probes are content.
func (c *cluster) start(deployment, name, program string) *exec.Cmd {
	c.t.Helper()
	spec := c.objects["Deployment/"+deployment].Spec.Template.Spec
	for _, one := range append(slices.Clone(spec.InitContainers), spec.Containers...) {
		if one.Name != name {
			continue
		}
		process := exec.Command(program)
		for _, arg := range one.Args {
			process.Args = append(process.Args, strings.ReplaceAll(c.here.Replace(arg), "$(POD_NAME)", deployment+"-0"))
		}
		process.Stdout, process.Stderr = c.log, c.log
		if err := process.Start(); err != nil {
			c.t.Fatal(err)
		}
		c.t.Cleanup(func() {
			process.Process.Kill()
			process.Wait()
			if c.t.Failed() {
				c.t.Logf("the containers said last:\n%s", tailOf(c.log.String(), 4000))
			}
		})
		for what, p := range map[string]probe{"start": one.StartupProbe, "live": one.LivenessProbe, "be ready": one.ReadinessProbe} {
			eventually(c.t, name+" to "+what, func() bool { return c.content(one, p) })
		}
		return process
	}
	c.t.Fatalf("the Deployment %s has no container %s", deployment, name)
	return nil
}

// content asks a probe, as the kubelet does.
func (c *cluster) content(of container, p probe) bool {
	port := func(name string) string {
		for _, one := range of.Ports {
			if one.Name == name {
				return "127.0.0.1:" + c.ports[one.ContainerPort]
			}
		}
		c.t.Fatalf("the container %s has no port %s", of.Name, name)
		return ""
	}
	switch {
	case p.HTTPGet != nil:
		resp, err := http.Get("http://" + port(p.HTTPGet.Port) + p.HTTPGet.Path)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode >= 200 && resp.StatusCode < 400
	case p.TCPSocket != nil:
		conn, err := net.Dial("tcp", port(p.TCPSocket.Port))
		if err != nil {
			return false
		}
		conn.Close()
	}
	return true
}

// The pods of deploy/kubernetes run as they stand: Sallyport starts on the ConfigMap
// and the Secret, Envoy on its own and what Sallyport tells it; requests are
// guarded; a changed ConfigMap is in force without a restart; and without Sallyport
// there is 503.
func TestThePodsOfKubernetes(t *testing.T) {
	envoy := testenv.Envoy(t)
	for folder, gateway := range map[string]string{"": "sallyport-envoy", "one-pod": "sallyport"} {
		t.Run("form "+folder, func(t *testing.T) {
			upstream := httptest.NewServer(http.HandlerFunc(requests.Echo))
			t.Cleanup(upstream.Close)
			c := newCluster(t, filepath.Join("..", "..", "deploy", "kubernetes", folder), upstream.URL)

			c.mount("sallyport", c.objects["Secret/sallyport"].StringData)
			refused := exec.Command(binary, "serve", "--config="+c.folder+"/etc/sallyport/sallyport.yaml")
			if out, err := refused.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("openssl rand")) {
				t.Errorf("on the Secret as it is shipped: %v\n%s", err, out)
			}
			secret := map[string]string{"pepper": "cGVwcGVyLXBlcHBlci1wZXBwZXItcGVwcGVyLXBlcHBlcg==", "admin-token": serverToken}
			c.mount("sallyport", secret)
			c.mount(gateway, secret)
			gate := c.start("sallyport", "sallyport", binary)
			c.start(gateway, "envoy", envoy)

			admin, api := "http://127.0.0.1:"+c.ports[9192], "http://api.example.com:"+c.ports[10000]
			d := &demo{client: newClient()}
			onServer(t, admin, serverToken, "tenant", "create", "--api", "orders", "--id", "acme", "--plan", "free")
			key := "X-API-Key: " + strings.TrimSpace(onServer(t, admin, serverToken, "key", "create", "-q", "--api", "orders", "--tenant", "acme", "--scopes", "orders:read"))
			if a := d.send(t, "GET", api+"/v1/orders"); a.status != 401 || a.header.Get("X-Sallyport-Decision") == "" {
				t.Errorf("without a key: %d %v", a.status, a.header)
			}
			if a := d.send(t, "GET", api+"/v1/orders", key); a.status != 200 || a.header.Get("X-RateLimit-Remaining") != "59" || !strings.Contains(a.body, `"x-sallyport-tenant":"acme"`) {
				t.Errorf("with a key: %d %v %s", a.status, a.header, a.body)
			}

			changed := strings.ReplaceAll(c.objects["ConfigMap/sallyport"].Data["sallyport.yaml"], "GET: [/v1/orders,", "GET: [/v1/orders, /v1/invoices,")
			c.project("/etc/sallyport", map[string]string{"sallyport.yaml": changed})
			eventually(t, "the changed ConfigMap to be in force", func() bool { return d.send(t, "GET", api+"/v1/invoices", key).status == 200 })

			if err := gate.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if err := gate.Wait(); err != nil {
				t.Errorf("it was told to end: %v", err)
			}
			if a := d.send(t, "GET", api+"/v1/orders", key); a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.body, `"code":"`) {
				t.Errorf("without Sallyport: %d %v %s", a.status, a.header, a.body)
			}
			c.start("sallyport", "sallyport", binary)
			eventually(t, "Envoy to find Sallyport again", func() bool { return d.send(t, "GET", api+"/v1/orders", key).status == 200 })
		})
	}
}

// What the chart gives to Envoy is what the command prints.
func TestTheBootstrapsOfTheChart(t *testing.T) {
	for file, grpc := range map[string]string{"envoy.yaml": "sallyport.example.svc.cluster.local:9191", "envoy-pod.yaml": "unix:///run/sallyport/sallyport.sock"} {
		want, err := exec.Command(binary, "envoy", "bootstrap", "-c", "../kubernetes/testdata/sallyport.yaml", "--xds", "--grpc", grpc).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("../../deploy/helm/sallyport/files", file))
		if err != nil {
			t.Fatal(err)
		}
		got = regexp.MustCompile("{{ include `sallyport.host` . }}").ReplaceAll(got, []byte("sallyport.example.svc.cluster.local"))
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what `sallyport envoy bootstrap --xds` prints:\n%s", file, want)
		}
	}
}
