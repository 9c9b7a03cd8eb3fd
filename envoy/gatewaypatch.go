package envoy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

// patch is one change that an EnvoyPatchPolicy makes to what Envoy Gateway sends:
// it puts Value at Path, below everything that JSONPath finds. Envoy Gateway makes
// them one after the other, each for itself.
type patch struct {
	Section  string // said before it
	Comment  []string
	Type     string // of the resource, without what all begin with
	Name     string // of the resource; what is not there is not changed
	JSONPath string
	Path     string
	Value    string // YAML: one line, or more
}

// Block is the value as it stands behind its key.
func (p patch) Block() string {
	if !strings.Contains(p.Value, "\n") {
		return " " + p.Value
	}
	return "\n" + indented(p.Value, 8)
}

// The types of what is patched.
const (
	clusterType  = "cluster.v3.Cluster"
	listenerType = "listener.v3.Listener"
	routesType   = "route.v3.RouteConfiguration"
)

// manager finds the HTTP connection managers of a listener.
const manager = "..filters[?(@.name=='envoy.filters.network.http_connection_manager')].typed_config"

// patches lists all of them.
func (v gatewayView) patches() (list []patch, err error) {
	for i, c := range v.Clusters {
		text, err := v.ClusterMapping(c, 0)
		if err != nil {
			return nil, err
		}
		p := patch{Type: clusterType, Name: c.Name, Value: text}
		if i == 0 {
			p.Section = "Where the filters below ask. The cluster of ext_authz is made by Envoy Gateway."
		}
		list = append(list, p)
	}
	var listeners, routes []string // those that are patched: a patch that comes twice is made twice
	for _, l := range v.Listeners {
		if !slices.Contains(listeners, l.XDS) {
			listeners = append(listeners, l.XDS)
			patches, err := v.listenerPatches()
			if err != nil {
				return nil, err
			}
			patches[0].Section = "The listener " + l.Name + "."
			for _, p := range patches {
				p.Type, p.Name = listenerType, l.XDS
				list = append(list, p)
			}
		}
		if slices.Contains(routes, l.Routes) {
			continue
		}
		routes = append(routes, l.Routes)
		for _, p := range v.routePatches() {
			p.Type, p.Name = routesType, l.Routes
			list = append(list, p)
		}
	}
	return list, nil
}

// listenerPatches are about a listener: its filters, and what manages them.
func (v gatewayView) listenerPatches() ([]patch, error) {
	filters, err := v.filterPatches()
	if err != nil {
		return nil, err
	}
	manager, err := v.managerPatches()
	return append(filters, manager...), err
}

// filterPatches put our filters in their places, and say of ext_authz what a
// SecurityPolicy cannot.
func (v gatewayView) filterPatches() (list []patch, err error) {
	stamp, err := v.Mapping("stamp", 0)
	if err != nil {
		return nil, err
	}
	list = append(list, patch{Comment: []string{"Before all other filters."}, JSONPath: "..http_filters", Path: "/0", Value: stamp})
	if v.Paired {
		limit, err := v.Mapping("limit", 0)
		if err != nil {
			return nil, err
		}
		list = append(list, patch{
			Comment:  []string{"Before the router, and so after ext_authz, whose words it takes."},
			JSONPath: "..http_filters[?(@.name=='envoy.filters.http.router')]", Value: limit,
		})
	}
	for _, api := range v.Guarded {
		// Between the slashes stands the policy's kind, or nothing: some ways to get an object lose it.
		here := fmt.Sprintf("..http_filters[?(@.name=~'^envoy[.]filters[.]http[.]ext_authz/[a-z]*/%s/%s$')].typed_config", v.Gateway.Namespace, strings.ReplaceAll(api.Policy, ".", "[.]"))
		of := "Of the filter that " + api.Policy + " becomes: "
		list = append(list,
			patch{JSONPath: here, Path: "/status_on_error", Value: "{code: InsufficientStorage}",
				Comment: []string{of + "507 becomes 503 in local_reply_config, in the API's own shape."}},
			patch{JSONPath: here, Path: "/validate_mutations", Value: "true",
				Comment: []string{of + "or a newline in a header would split the response."}},
			patch{JSONPath: here, Path: "/encode_raw_headers", Value: "true",
				Comment: []string{of + "repeated headers stay apart, and bytes stay bytes."}},
			patch{JSONPath: here, Path: "/grpc_service/initial_metadata", Value: fmt.Sprintf("[{key: %s, value: %s}]", sallyport.ChainMetadata, v.Chain),
				Comment: []string{of + "the filters above are in this listener, so Check may rely on them.",
					"The routes may be those of other listeners, too, such as that of HTTP/3, where it does not."}})
		if api.Body > 0 {
			list = append(list, patch{JSONPath: here, Path: "/with_request_body",
				Value: fmt.Sprintf("{max_request_bytes: %d, allow_partial_message: true, pack_as_bytes: true}", api.Body),
				Comment: []string{of + "webhooks are signed, so Check needs their bodies as they are.",
					"What is longer than it may be comes cut short, a byte longer still, so that it is refused by Check and not by Envoy."}})
		}
	}
	return list, nil
}

// managerPatches are about the connection manager, and so about all its routes.
func (v gatewayView) managerPatches() (list []patch, err error) {
	replies, err := v.Piece("mappers", 0)
	if err != nil {
		return nil, err
	}
	list = append(list, patch{JSONPath: manager, Path: "/local_reply_config", Value: replies, Comment: []string{
		"What Envoy answers by itself on the APIs' hosts, in their own shape. No mapper goes by 401, 403, 404, 429 or 503 alone:",
		"those are answers of Check and of the rate limit service, and their bodies stay.",
	}})
	if v.AccessLog != nil {
		logger, err := v.Mapping("logger", 0)
		if err != nil {
			return nil, err
		}
		list = append(list, patch{JSONPath: manager, Path: "/access_log/-", Value: logger,
			Comment: []string{"One more access log, for Sallyport: what has ended, where something is held for it or what it cost is asked."}})
	}
	if v.AccessLog != nil && v.AccessLog.Slots {
		list = append(list, patch{JSONPath: manager, Path: "/access_log_options", Value: "{access_log_flush_interval: 10s}",
			Comment: []string{"That a stream goes on: a lease ends after three of these without a word."}})
	}
	return append(list,
		patch{JSONPath: manager, Path: "/strip_trailing_host_dot", Value: "true",
			Comment: []string{"A host is one however a client writes it."}},
		patch{JSONPath: manager, Path: "/internal_address_config", Value: `{unix_sockets: false, cidr_ranges: [{address_prefix: "255.255.255.255", prefix_len: 32}]}`,
			Comment: []string{"Nobody is internal, or clients in a private network could set timeouts and retries by x-envoy-* headers.",
				"An empty list means all private networks, so it names an address that no client can have."}},
		patch{JSONPath: manager, Path: "/request_id_extension", Value: `typed_config:
  "@type": type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig
  pack_trace_reason: false`,
			Comment: []string{"It would change a character of the client's request id."}},
		patch{JSONPath: manager, Path: "/request_headers_timeout", Value: seconds(v.Timeouts.Headers),
			Comment: []string{"A client may not send its headers for ever."}}), nil
}

// routePatches are about the routes that are guarded.
func (v gatewayView) routePatches() (list []patch) {
	for _, api := range v.Guarded {
		for _, route := range api.Routes {
			list = append(list, patch{JSONPath: routesOf(v.Gateway.Namespace, route), Path: "/response_headers_to_remove",
				Value:   flowList(api.Remove),
				Comment: []string{"An upstream's own would pass for ours."}})
		}
	}
	return list
}

// routesOf finds what an HTTPRoute becomes. A name has nothing that an expression
// would take for its own but dots.
func routesOf(namespace, name string) string {
	return fmt.Sprintf("..routes[?(@.name=~'^httproute/%s/%s/')]", namespace, strings.ReplaceAll(name, ".", "[.]"))
}

// flowList writes a list of strings on one line.
func flowList(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
