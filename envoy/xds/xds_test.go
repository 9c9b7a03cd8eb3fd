package xds

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
)

// example is the i-th example's name and bootstrap.
func example(t *testing.T, i int) (name string, text []byte) {
	t.Helper()
	files, err := filepath.Glob("../../examples/*/envoy-paired.yaml")
	if err != nil || len(files) <= i {
		t.Fatal(files, err)
	}
	if text, err = os.ReadFile(files[i]); err != nil {
		t.Fatal(err)
	}
	return filepath.Base(filepath.Dir(files[i])), text
}

func parse(t *testing.T, text []byte) *Resources {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBootstrapsAreTakenApart(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/envoy-*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := parse(t, text)
		if len(r.listeners) != 1 || len(r.routes) != 1 || len(r.clusters) < 2 {
			t.Errorf("%s: %d listeners, %d routes, %d clusters", file, len(r.listeners), len(r.routes), len(r.clusters))
		}
		for _, c := range r.clusters {
			c := c.(*clusterv3.Cluster)
			if c.GetType() == clusterv3.Cluster_STATIC || (c.GetType() == clusterv3.Cluster_EDS) != (c.GetLoadAssignment() == nil) {
				t.Errorf("%s: cluster %s is of type %s, with endpoints %v", file, c.GetName(), c.GetType(), c.GetLoadAssignment())
			}
		}
	}
}

func TestVersionsAreThoseOfTheContent(t *testing.T) {
	_, text := example(t, 0)
	first, err := parse(t, text).snapshot()
	if err != nil {
		t.Fatal(err)
	}
	again, err := parse(t, text).snapshot()
	if err != nil {
		t.Fatal(err)
	}
	other, err := parse(t, bytes.ReplaceAll(text, []byte("timeout: 60s"), []byte("timeout: 61s"))).snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for url, same := range map[string]bool{resource.ListenerType: true, resource.ClusterType: true, resource.EndpointType: true, resource.RouteType: false} {
		if first.GetVersion(url) != again.GetVersion(url) {
			t.Errorf("%s: %s and %s for one content", url, first.GetVersion(url), again.GetVersion(url))
		}
		if (first.GetVersion(url) == other.GetVersion(url)) != same {
			t.Errorf("%s: a change of routes changes its version: want %v", url, !same)
		}
	}
}

func TestWhatEnvoyWouldRefuseIsAnError(t *testing.T) {
	_, given := example(t, 0)
	text := string(given)
	for name, change := range map[string][2]string{
		"no YAML":             {"static_resources:", "static_resources: ["},
		"an unknown field":    {"normalize_path: true", "normalise_path: true"},
		"a bad value":         {"connect_timeout: 2s", "connect_timeout: 0s"},
		"a bad value, packed": {"max_concurrent_streams: 100", "max_concurrent_streams: 0"},
	} {
		if _, err := Parse([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil || !strings.Contains(text, change[0]) {
			t.Errorf("%s: no error", name)
		}
	}
}

// What a request may still be on its way to goes last, and goes.
func TestClustersLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(slog.New(slog.DiscardHandler))
		defer s.Close()
		has := func(cluster string) bool {
			got, err := s.cache.GetSnapshot(anyNode{}.ID(nil))
			if err != nil {
				t.Fatal(err)
			}
			_, there := got.GetResources(resource.ClusterType)[cluster]
			return there
		}
		set := func(i int) (cluster string) {
			t.Helper()
			name, text := example(t, i)
			if err := s.Set(parse(t, text)); err != nil {
				t.Fatal(err)
			}
			return "upstream_" + name
		}
		own, other := set(0), set(1)
		if !has(own) || !has(other) {
			t.Errorf("at once: %v, %v", has(own), has(other))
		}
		time.Sleep(linger) // of the bubble's own clock
		synctest.Wait()
		if has(own) || !has(other) {
			t.Errorf("after a while: %v, %v", has(own), has(other))
		}
		set(0)
		set(1)
		set(0)
		time.Sleep(linger) // of the bubble's own clock
		synctest.Wait()
		if !has(own) || has(other) {
			t.Errorf("after changes on changes: %v, %v", has(own), has(other))
		}
		changes := s.Changes()
		set(0)
		if got := s.Changes(); got != changes {
			t.Errorf("what was told already counted as %d changes", got-changes)
		}
	})
}

func TestRefusalsAreToldAndCounted(t *testing.T) {
	var log bytes.Buffer
	s := NewServer(slog.New(slog.NewTextHandler(&log, nil)))
	defer s.Close()
	for _, r := range []*discoveryv3.DiscoveryRequest{
		{TypeUrl: resource.ListenerType, Node: &corev3.Node{Id: "edge-1"}},
		{TypeUrl: resource.ListenerType, Node: &corev3.Node{Id: "edge-1"}, ErrorDetail: &status.Status{Message: "no such filter"}},
	} {
		if err := s.asked(1, r); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"edge-1", "no such filter", "type=Listener"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%q is not told in %s", want, &log)
		}
	}
	if s.Refused() != 1 {
		t.Errorf("%d refused, want 1", s.Refused())
	}
}
