package testenv

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Kubernetes is a stand-in for the API server of a cluster: to those who list and
// watch it shows the objects that it was given, as they are. It has no schemas, no
// admission and no controllers. What clients write it forgets, leases and
// configuration maps aside, and every review is allowed. For any number of clients.
type Kubernetes struct {
	URL string

	mu      sync.Mutex
	objects map[resource]map[string]map[string]any // guarded by mu; by namespace/name
	version int                                    // guarded by mu
	ended   chan struct{}
}

// resource is a kind of object, as it stands in URLs: the group and the plural.
type resource struct{ group, plural string }

// istioKinds are those of which clients wait to hear, that there are any.
var istioKinds = map[string][]string{
	"networking.istio.io":       {"VirtualService", "Gateway", "ServiceEntry", "Sidecar", "EnvoyFilter", "DestinationRule", "WorkloadEntry", "WorkloadGroup", "ProxyConfig"},
	"security.istio.io":         {"AuthorizationPolicy", "PeerAuthentication", "RequestAuthentication"},
	"telemetry.istio.io":        {"Telemetry"},
	"extensions.istio.io":       {"WasmPlugin", "TrafficExtension"},
	"gateway.networking.k8s.io": {"GatewayClass", "Gateway", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "ReferenceGrant", "BackendTLSPolicy", "ListenerSet"},
}

// otherKinds are Kubernetes's own that clients ask for.
var otherKinds = []string{"Service", "Pod", "Node", "Namespace", "Secret", "ConfigMap", "EndpointSlice", "Endpoints", "Ingress", "IngressClass", "ServiceAccount",
	"CustomResourceDefinition", "Lease", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget", "DaemonSet"}

// StartKubernetes starts one that shows the objects of the YAML documents, and the
// namespaces that they name, until the test ends.
func StartKubernetes(t testing.TB, documents ...[]byte) *Kubernetes {
	t.Helper()
	k := &Kubernetes{objects: map[resource]map[string]map[string]any{}, version: 1000, ended: make(chan struct{})}
	namespaces := map[string]bool{"istio-system": true, "default": true, "kube-system": true}
	for _, text := range documents {
		for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
			var o map[string]any
			err := d.Decode(&o)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("an object: %v", err)
			}
			kind, _ := o["kind"].(string)
			version, _ := o["apiVersion"].(string)
			if kind == "" || version == "" || text0(metadata(o)["name"]) == "" {
				t.Fatalf("an object without kind, apiVersion or name: %v", o)
			}
			group, _, grouped := strings.Cut(version, "/")
			if !grouped {
				group = ""
			}
			if ns := text0(metadata(o)["namespace"]); ns != "" {
				namespaces[ns] = true
			}
			k.put(resource{group, plural(kind)}, o)
		}
	}
	for ns := range namespaces {
		k.put(resource{"", "namespaces"}, map[string]any{"metadata": map[string]any{"name": ns, "labels": map[string]any{"kubernetes.io/metadata.name": ns}}})
	}
	for group, kinds := range istioKinds {
		for _, kind := range kinds {
			k.put(resource{"apiextensions.k8s.io", "customresourcedefinitions"}, map[string]any{"metadata": map[string]any{
				"name":        plural(kind) + "." + group,
				"annotations": map[string]any{"gateway.networking.k8s.io/bundle-version": "v1.6.0", "gateway.networking.k8s.io/channel": "experimental"},
			}})
		}
	}
	server := httptest.NewServer(k)
	k.URL = server.URL
	t.Cleanup(func() {
		close(k.ended)
		server.Close()
	})
	return k
}

// text0 is v, if it is text.
func text0(v any) string {
	s, _ := v.(string)
	return s
}

func metadata(o map[string]any) map[string]any {
	m, _ := o["metadata"].(map[string]any)
	if m == nil {
		m = map[string]any{}
		o["metadata"] = m
	}
	return m
}

// plural is how a kind stands in URLs.
func plural(kind string) string {
	k := strings.ToLower(kind)
	switch {
	case k == "endpoints":
		return k
	case strings.HasSuffix(k, "s"), strings.HasSuffix(k, "x"), strings.HasSuffix(k, "ch"):
		return k + "es"
	case strings.HasSuffix(k, "y") && !strings.HasSuffix(k, "ay") && !strings.HasSuffix(k, "ey"):
		return k[:len(k)-1] + "ies"
	}
	return k + "s"
}

// kindOf is the kind whose plural is p.
func kindOf(p string) string {
	all := slices.Clone(otherKinds)
	for _, kinds := range istioKinds {
		all = append(all, kinds...)
	}
	if i := slices.IndexFunc(all, func(kind string) bool { return plural(kind) == p }); i >= 0 {
		return all[i]
	}
	return "Unknown"
}

// put keeps an object, in the place of one of the same name.
func (k *Kubernetes) put(r resource, o map[string]any) map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version++
	m := metadata(o)
	m["resourceVersion"] = fmt.Sprint(k.version)
	m["uid"] = fmt.Sprintf("00000000-0000-0000-0000-%012d", k.version)
	m["creationTimestamp"] = "2026-01-01T00:00:00Z"
	if k.objects[r] == nil {
		k.objects[r] = map[string]map[string]any{}
	}
	k.objects[r][text0(m["namespace"])+"/"+text0(m["name"])] = o
	return o
}

// target is what a request's URL names.
type target struct {
	resource
	version, namespace, name string
	below                    bool // something below the object, such as its status
}

func (t target) apiVersion() string {
	if t.group == "" {
		return t.version
	}
	return t.group + "/" + t.version
}

// parseTarget reads /api/VERSION/… and /apis/GROUP/VERSION/….
func parseTarget(path string) (t target, ok bool) {
	p := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case p[0] == "api" && len(p) >= 3:
		t.version, p = p[1], p[2:]
	case p[0] == "apis" && len(p) >= 4:
		t.group, t.version, p = p[1], p[2], p[3:]
	default:
		return t, false
	}
	if p[0] == "namespaces" && len(p) >= 3 {
		t.namespace, p = p[1], p[2:]
	}
	t.plural = p[0]
	if len(p) > 1 {
		t.name = p[1]
	}
	t.below = len(p) > 2
	return t, true
}

// ServeHTTP answers as an API server does, as far as istiod's client asks.
func (k *Kubernetes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the client may have left
	}
	t, ok := parseTarget(r.URL.Path)
	switch {
	case r.URL.Path == "/version":
		answer(http.StatusOK, map[string]any{"major": "1", "minor": "36", "gitVersion": "v1.36.0", "platform": "linux/amd64"})
	case !ok:
		answer(http.StatusOK, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{}, "versions": []any{"v1"}})
	case r.Method == http.MethodDelete:
		answer(http.StatusOK, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Success"})
	case r.Method != http.MethodGet:
		answer(k.write(t, r))
	case t.name != "":
		k.mu.Lock()
		o, there := k.objects[t.resource][t.namespace+"/"+t.name]
		k.mu.Unlock()
		if !there {
			answer(http.StatusNotFound, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
				"message": t.plural + " " + t.name + " not found", "details": map[string]any{"name": t.name, "group": t.group, "kind": t.plural}})
			return
		}
		answer(http.StatusOK, shown(t, r, o))
	case slices.Contains([]string{"true", "1"}, r.URL.Query().Get("watch")):
		k.watch(w, r, t)
	default:
		items, version := k.list(t, r)
		kind := kindOf(t.plural) + "List"
		if partial(r) {
			kind = "PartialObjectMetadataList"
		}
		answer(http.StatusOK, map[string]any{"kind": kind, "apiVersion": listVersion(t, r), "metadata": map[string]any{"resourceVersion": version}, "items": items})
	}
}

// write answers who creates or changes something.
func (k *Kubernetes) write(t target, r *http.Request) (status int, body any) {
	o := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		o = map[string]any{}
	}
	switch {
	case strings.HasSuffix(t.plural, "reviews"):
		o["status"] = map[string]any{"allowed": true, "authenticated": true}
	case t.below || r.Method == http.MethodPatch:
	case r.Method == http.MethodPost && t.namespace != "":
		metadata(o)["namespace"] = t.namespace
		k.put(t.resource, o)
	case t.plural == "leases" || t.plural == "configmaps":
		k.put(t.resource, o)
	}
	if r.Method == http.MethodPost {
		return http.StatusCreated, o
	}
	return http.StatusOK, o
}

// watch sends what there is, and nothing more until the client leaves.
func (k *Kubernetes) watch(w http.ResponseWriter, r *http.Request, t target) {
	w.Header().Set("Content-Type", "application/json")
	events := json.NewEncoder(w)
	if r.URL.Query().Get("sendInitialEvents") == "true" {
		items, version := k.list(t, r)
		for _, o := range items {
			_ = events.Encode(map[string]any{"type": "ADDED", "object": o})
		}
		end := shown(t, r, map[string]any{"kind": kindOf(t.plural), "metadata": map[string]any{
			"resourceVersion": version, "annotations": map[string]any{"k8s.io/initial-events-end": "true"}}})
		_ = events.Encode(map[string]any{"type": "BOOKMARK", "object": end})
	}
	if flusher, ok := w.(http.Flusher); ok {
		flusher.Flush()
	}
	select {
	case <-r.Context().Done():
	case <-k.ended:
	}
}

// list returns what the request selects, and the version of it all.
func (k *Kubernetes) list(t target, r *http.Request) (items []any, version string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	items = []any{}
	for _, o := range k.objects[t.resource] {
		if (t.namespace == "" || t.namespace == text0(metadata(o)["namespace"])) && selected(r, metadata(o)) {
			items = append(items, shown(t, r, o))
		}
	}
	return items, fmt.Sprint(k.version)
}

// selected reports whether a request's selectors take an object in.
func selected(r *http.Request, m map[string]any) bool {
	for field := range strings.SplitSeq(r.URL.Query().Get("fieldSelector"), ",") {
		if v, ok := strings.CutPrefix(field, "metadata.name="); ok && v != text0(m["name"]) {
			return false
		}
		if v, ok := strings.CutPrefix(field, "metadata.namespace="); ok && v != text0(m["namespace"]) {
			return false
		}
	}
	labels, _ := m["labels"].(map[string]any)
	for label := range strings.SplitSeq(r.URL.Query().Get("labelSelector"), ",") {
		if label == "" || strings.ContainsAny(label, "! ") {
			continue
		}
		key, value, equals := strings.Cut(label, "=")
		if got, there := labels[key]; !there || equals && text0(got) != value {
			return false
		}
	}
	return true
}

// partial reports whether a client wants metadata alone.
func partial(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata")
}

func listVersion(t target, r *http.Request) string {
	if partial(r) {
		return "meta.k8s.io/v1"
	}
	return t.apiVersion()
}

// shown is an object as a client wants it.
func shown(t target, r *http.Request, o map[string]any) map[string]any {
	if partial(r) {
		return map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o["metadata"]}
	}
	all := map[string]any{}
	for key, value := range o {
		all[key] = value
	}
	all["apiVersion"] = t.apiVersion()
	if all["kind"] == nil {
		all["kind"] = kindOf(t.plural)
	}
	return all
}
