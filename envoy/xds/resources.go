// Package xds serves Envoy's configuration over its own discovery protocol (the
// aggregated discovery service, state of the world), so that a change of the policy
// reaches a running Envoy without a restart. What it serves is what envoy.Bootstrap
// writes, taken apart into listeners, routes, clusters and endpoints.
//
// Every Envoy that asks gets the same. Whoever reaches the server can read it: it
// holds addresses, hosts and the bodies of refusals, and no secret.
//
// https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol
package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	// The types that a bootstrap packs into Any.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_authz/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ratelimit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

// Resources is one state of the configuration, taken apart. It is not changed once
// it is made.
type Resources struct {
	listeners, routes, clusters, endpoints []types.Resource
}

// Parse takes apart a bootstrap as envoy.Bootstrap writes it. Every message is
// held to the rules that Envoy has for it, so that what Envoy would refuse for its
// form is an error here.
func Parse(bootstrap []byte) (*Resources, error) {
	var tree any
	if err := yaml.Unmarshal(bootstrap, &tree); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	var b bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if err := b.ValidateAll(); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	r := new(Resources)
	var faults []error
	for _, l := range b.GetStaticResources().GetListeners() {
		faults = append(faults, r.addListener(l))
	}
	for _, c := range b.GetStaticResources().GetClusters() {
		r.addCluster(c)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	if _, err := r.snapshot(); err != nil {
		return nil, err
	}
	return r, nil
}

// here is where an Envoy finds what another resource names: on the same stream.
func here() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

// addListener adds l, and the routes of its connection managers apart: a change of
// routes alone leaves the connections of a listener alone.
func (r *Resources) addListener(l *listenerv3.Listener) error {
	for _, chain := range l.GetFilterChains() {
		for _, f := range chain.GetFilters() {
			var m hcmv3.HttpConnectionManager
			if !f.GetTypedConfig().MessageIs(&m) {
				continue
			}
			if err := f.GetTypedConfig().UnmarshalTo(&m); err != nil {
				return fmt.Errorf("listener %s: %w", l.GetName(), err)
			}
			if err := m.ValidateAll(); err != nil {
				return fmt.Errorf("listener %s: %w", l.GetName(), err)
			}
			if routes := m.GetRouteConfig(); routes != nil {
				r.routes = append(r.routes, routes)
				m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{ConfigSource: here(), RouteConfigName: routes.GetName()}}
			}
			packed := new(anypb.Any)
			if err := anypb.MarshalFrom(packed, &m, proto.MarshalOptions{Deterministic: true}); err != nil {
				return fmt.Errorf("listener %s: %w", l.GetName(), err)
			}
			f.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
		}
	}
	r.listeners = append(r.listeners, l)
	return nil
}

// addCluster adds c, and where its endpoints are addresses those apart.
func (r *Resources) addCluster(c *clusterv3.Cluster) {
	if c.GetType() == clusterv3.Cluster_STATIC {
		r.endpoints = append(r.endpoints, c.GetLoadAssignment())
		c.LoadAssignment = nil
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		c.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: here()}
	}
	r.clusters = append(r.clusters, c)
}

// with is r and such clusters and endpoints of before as r has not: what a request
// that is on its way may still be sent to.
func (r *Resources) with(before *Resources) *Resources {
	if before == nil {
		return r
	}
	all := *r
	all.clusters = union(r.clusters, before.clusters)
	all.endpoints = union(r.endpoints, before.endpoints)
	return &all
}

func union(first, second []types.Resource) []types.Resource {
	all := slices.Clone(first)
	for _, s := range second {
		named := func(f types.Resource) bool { return cache.GetResourceName(f) == cache.GetResourceName(s) }
		if !slices.ContainsFunc(first, named) {
			all = append(all, s)
		}
	}
	return all
}

// snapshot is r as the cache wants it. The versions are those of the content, so
// that what did not change is not sent again, by a restarted server neither.
func (r *Resources) snapshot() (*cache.Snapshot, error) {
	s := new(cache.Snapshot)
	for kind, list := range map[types.ResponseType][]types.Resource{
		types.Listener: r.listeners, types.Route: r.routes, types.Cluster: r.clusters, types.Endpoint: r.endpoints,
	} {
		version, err := versionOf(list)
		if err != nil {
			return nil, err
		}
		s.Resources[kind] = cache.NewResources(version, list)
	}
	if err := s.Consistent(); err != nil {
		return nil, fmt.Errorf("configuration of Envoy: %w", err)
	}
	return s, nil
}

func versionOf(list []types.Resource) (string, error) {
	h := sha256.New()
	for _, one := range list {
		text, err := proto.MarshalOptions{Deterministic: true}.Marshal(one)
		if err != nil {
			return "", fmt.Errorf("configuration of Envoy: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", cache.GetResourceName(one), len(text))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

var (
	_ types.Resource = (*routev3.RouteConfiguration)(nil)
	_ types.Resource = (*endpointv3.ClusterLoadAssignment)(nil)
)
