package envoy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

// Filters writes what an Envoy that people have already needs to ask us, as one
// YAML document: settings and filters of the connection manager, what each API's
// virtual host needs, and the clusters that lead to us. apis are the names of those
// that are wanted; none, all. Its errors are the operator's, all of them at once.
func Filters(p *sallyport.Policy, o Options, apis ...string) ([]byte, error) {
	chosen := *p
	var unknown []string
	if len(apis) > 0 {
		chosen.APIs = nil
		for _, name := range apis {
			i := slices.IndexFunc(p.APIs, func(api *sallyport.API) bool { return api.Name == name })
			if i < 0 {
				unknown = append(unknown, name)
				continue
			}
			chosen.APIs = append(chosen.APIs, p.APIs[i])
		}
	}
	o = o.withDefaults(&chosen)
	b := builder{options: o}
	for _, name := range unknown {
		var there []string
		for _, api := range p.APIs {
			there = append(there, api.Name)
		}
		b.fault("api %q: there are %s", name, strings.Join(there, ", "))
	}
	v := b.view(&chosen)
	v.Clusters = slices.DeleteFunc(v.Clusters, func(c cluster) bool { return strings.HasPrefix(c.Name, upstreamPrefix) })
	if err := errors.Join(b.faults...); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, "filters.yaml.tmpl", v); err != nil {
		return nil, fmt.Errorf("write filters: %w", err)
	}
	return out.Bytes(), nil
}
