package envoy

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"

	"github.com/sallyport/sallyport"
)

const clusterXDS = "sallyport_xds"

var nodes = regexp.MustCompile(`^[A-Za-z0-9._~/-]{1,253}$`)

// Minimal writes the static configuration of an Envoy that asks us for the rest,
// as YAML. Of o it uses Admin, GRPC and Timeouts. node names this Envoy in logs.
func Minimal(node string, o Options) ([]byte, error) {
	o = o.withDefaults(new(sallyport.Policy))
	b := builder{options: o}
	at, err := parseDial(o.GRPC)
	if err != nil {
		b.fault("grpc: %w", err)
	}
	if !nodes.MatchString(node) {
		b.fault("node: %q: letters, digits, and . _ ~ / - only", node)
	}
	v := struct {
		Node        string
		AdminOn     *endpoint
		Cluster     cluster
		ClusterText string
	}{Node: node, Cluster: cluster{Name: clusterXDS, At: at, GRPC: true, Comment: "Who tells the rest."}}
	if o.Admin != "" {
		admin, err := parseListener(o.Admin)
		if err != nil {
			b.fault("admin: %w", err)
		}
		v.AdminOn = &admin
	}
	if err := errors.Join(b.faults...); err != nil {
		return nil, err
	}
	if v.ClusterText, err = (&view{Options: o}).Cluster(v.Cluster, 2); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "xds.yaml.tmpl", v); err != nil {
		return nil, fmt.Errorf("write bootstrap: %w", err)
	}
	return out.Bytes(), nil
}
