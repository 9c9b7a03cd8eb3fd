package directory

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/yamltree"
)

var (
	fileFields       = []string{"domain", "descriptors"}
	limitFields      = []string{"unit", "requests_per_unit", "unlimited", "name", "replaces"}
	replaceFields    = []string{"name"}
	descriptorFields = []string{"key", "value", "rate_limit", "descriptors", "shadow_mode", "quota_mode",
		"detailed_metric", "value_to_metric", "share_threshold", "metadata"}
)

// elsewhere says where a field belongs that stands in the wrong place, which
// envoyproxy/ratelimit does not notice.
func elsewhere(name string) string {
	switch {
	case name == "domain":
		return "domain stands at the top of the file"
	case slices.Contains(limitFields, name) && name != "name":
		return name + " stands in rate_limit"
	case slices.Contains(descriptorFields, name):
		return name + " stands in an item of descriptors, beside key"
	}
	return ""
}

// reading is what came of reading one file.
type reading struct {
	name   string // of the domain; "" where it cannot be told
	line   int    // of the name
	domain *domain
	faults []sallyport.Fault // if any, there is no domain

	notices []sallyport.Fault // what is probably not meant, and does no harm
}

// reader reads one file.
type reader struct {
	file    string
	faults  []sallyport.Fault
	notices []sallyport.Fault

	domain   *domain
	names    map[string]bool // of limits
	replaced []mention

	// beyond says that the file means something to us that the version of
	// envoyproxy/ratelimit in go.mod refuses; see opinion.
	beyond bool
}

// mention is a name that a limit replaces.
type mention struct {
	place
	name string
}

// read reads text, which stands in file.
func read(file string, text []byte) reading {
	r := &reader{file: file, domain: &domain{}, names: map[string]bool{}}
	line := r.readFile(text)
	if len(r.faults) == 0 && !r.beyond {
		if complaint := opinion(file, text); complaint != "" {
			r.at(0, "", "envoyproxy/ratelimit refuses it: "+complaint, "")
		}
	}
	if len(r.faults) > 0 {
		return reading{name: r.domain.name, line: line, faults: yamltree.Sorted(r.faults)}
	}
	return reading{name: r.domain.name, line: line, domain: r.domain, notices: yamltree.Sorted(r.notices)}
}

func (r *reader) readFile(text []byte) (line int) {
	root := r.document(text)
	if root == nil {
		return 0
	}
	f := r.fields(place{root, "", root.Line}.resolved(), fileFields)
	before := len(r.faults)
	r.domain.name = r.text(f, "domain")
	if r.domain.name == "" && len(r.faults) == before && !f.meant["domain"] && root.Kind == yaml.MappingNode {
		r.at(root.Line, "domain", "is missing", "name the domain that Envoy asks for")
	}
	r.domain.top = r.level(f, nil, r.domain.name)
	names := slices.Sorted(maps.Keys(r.names))
	for _, m := range r.replaced {
		if !r.names[m.name] {
			hint := yamltree.Allowed(names, yamltree.Meant(m.name, names))
			r.note(m.line, m.path, "no rate_limit of this domain has the name "+yamltree.Quote(m.name)+", so it replaces nothing", hint)
		}
	}
	return f.by["domain"].line
}

// level reads the list of descriptors in f, which stands below the nodes of path.
func (r *reader) level(f fields, path []*node, metric string) level {
	items := r.list(f, "descriptors")
	if len(items) == 0 {
		return nil
	}
	if len(path) == maxDepth {
		r.at(f.by["descriptors"].line, f.by["descriptors"].path, fmt.Sprintf("is nested more than %d deep", maxDepth), "")
		return nil
	}
	all := make(level)
	joined := make(map[string]bool, len(items))
	for i, p := range items {
		if r.full() {
			break
		}
		n := r.descriptor(p, path, metric)
		if n == nil {
			continue
		}
		n.order = i
		if earlier := all.add(n); earlier != nil {
			r.at(n.line, p.path, fmt.Sprintf("has the key and value of line %d", earlier.line), "a level has one descriptor for each key and value")
			continue
		}
		// To envoyproxy/ratelimit, a_b with c and a with b_c are one.
		r.beyond = r.beyond || joined[n.joined()]
		joined[n.joined()] = true
	}
	r.reachable(f.by["descriptors"].path, all)
	return all
}

// joined names n as envoyproxy/ratelimit does in its metrics.
func (n *node) joined() string {
	if n.value == "" {
		return n.key
	}
	return n.key + "_" + n.value
}

// descriptor reads one item of descriptors and all that it holds; nil where that
// has no key.
func (r *reader) descriptor(p place, above []*node, metric string) *node {
	f := r.fields(p, descriptorFields)
	before := len(r.faults)
	n := &node{key: r.text(f, "key"), value: r.text(f, "value"), line: p.line}
	if n.key == "" && len(r.faults) == before && !f.meant["key"] && p.Kind == yaml.MappingNode {
		r.at(p.line, yamltree.Key(p.path, "key"), "is missing", "a descriptor names the key that Envoy sends")
	}
	switch key := f.by["key"]; {
	case n.value == "" && strings.HasSuffix(n.key, "*"):
		r.at(key.line, key.path, "has a wildcard", "wildcards stand in value")
	case strings.Contains(n.key, "*"):
		r.note(key.line, key.path, "has a * that stands for itself alone", "wildcards stand in value")
	}
	if strings.Contains(n.value, "*") {
		n.parts = strings.Split(n.value, "*")
	}
	n.toMetric = r.flag(f, "value_to_metric")
	if n.share = r.flag(f, "share_threshold"); n.share && n.parts == nil {
		r.at(f.by["share_threshold"].line, f.by["share_threshold"].path, "has no wildcard whose threshold could be shared", "give value a *, or leave share_threshold out")
	}
	r.beyond = r.beyond || f.named("metadata") || n.share && !strings.HasSuffix(n.value, "*")
	path := append(slices.Clip(above), n)
	metric += "." + n.joined()
	rule := Rule{
		Shadow: r.flag(f, "shadow_mode"), Quota: r.flag(f, "quota_mode"),
		DetailedMetric: r.flag(f, "detailed_metric"), ValueToMetric: n.toMetric, ShareThreshold: n.share,
		Metadata: r.metadata(f), Metric: metric, domain: r.domain.name, path: path,
	}
	if limit, written := f.by["rate_limit"]; written {
		rule.File, rule.Line = r.file, limit.line
		rule.PerValue = rule.perValue()
		r.limit(limit, &rule)
		n.rule = &rule
		r.domain.rules = append(r.domain.rules, n.rule)
	}
	n.below = r.level(f, path, metric)
	if n.key == "" {
		return nil
	}
	return n
}

// perValue reports whether what AppendMetric writes depends on the request.
func (r *Rule) perValue() bool {
	return slices.ContainsFunc(r.path, func(n *node) bool {
		return (r.DetailedMetric || n.toMetric) && (n.value == "" || n.parts != nil && !n.share)
	})
}

// limit reads a rate_limit into rule.
func (r *reader) limit(p place, rule *Rule) {
	if yamltree.IsNull(p.Node) {
		r.at(p.line, p.path, "has no value, so that nothing would be limited", "write unit and requests_per_unit, or leave rate_limit out to let all pass")
		return
	}
	f := r.fields(p, limitFields)
	rule.Multiplier = 1
	rule.Name, rule.Unlimited = r.text(f, "name"), r.flag(f, "unlimited")
	if rule.Name != "" {
		r.names[rule.Name] = true
	}
	switch name := r.text(f, "unit"); {
	case rule.Unlimited && name != "":
		tell := r.note
		if _, known := ParseUnit(name); known { // which envoyproxy/ratelimit refuses
			tell = r.at
		}
		tell(f.by["unit"].line, f.by["unit"].path, "stands with unlimited", "remove one of the two")
	case rule.Unlimited || p.Kind != yaml.MappingNode:
	case name != "":
		var ok bool
		if rule.Unit, ok = ParseUnit(name); !ok {
			r.at(f.by["unit"].line, f.by["unit"].path, "unknown unit "+yamltree.Quote(name), "allowed: "+unitNames())
		}
	case !f.has("unit") && !f.meant["unit"], f.has("unit") && f.by["unit"].Kind == yaml.ScalarNode && f.by["unit"].Value == "":
		r.at(p.line, yamltree.Key(p.path, "unit"), "is missing", "allowed: "+unitNames())
	}
	switch {
	case f.has("requests_per_unit"):
		rule.Requests = r.number(f, "requests_per_unit")
	case !rule.Unlimited && !f.meant["requests_per_unit"] && p.Kind == yaml.MappingNode:
		r.at(p.line, yamltree.Key(p.path, "requests_per_unit"), "is missing", "write 0 to let nothing through, or unlimited: true")
	}
	for _, item := range r.list(f, "replaces") {
		r.replaces(item, rule)
	}
}

func (r *reader) replaces(p place, rule *Rule) {
	f := r.fields(p, replaceFields)
	before := len(r.faults)
	switch name := r.text(f, "name"); {
	case name == "" && len(r.faults) == before && !f.meant["name"] && p.Kind == yaml.MappingNode:
		r.at(p.line, yamltree.Key(p.path, "name"), "is missing", "name the rate_limit that this one replaces")
	case name == "":
	case name == rule.Name:
		r.at(p.line, yamltree.Key(p.path, "name"), "is the name of the same rate_limit", "a limit cannot replace itself")
	default:
		r.replaced = append(r.replaced, mention{place{p.Node, yamltree.Key(p.path, "name"), p.line}, name})
		rule.Replaces = append(rule.Replaces, name)
	}
}

// reachable tells of descriptors of a level that another one always comes
// before.
func (r *reader) reachable(path string, all level) {
	unreachable := func(n, first *node) {
		r.note(n.line, yamltree.Index(path, n.order),
			fmt.Sprintf("can never be reached: %s with %s on line %d comes first and matches all that it does", first.key, yamltree.Quote(first.value), first.line),
			"put the narrower wildcard first, or remove one of the two")
	}
	for _, c := range all {
		for _, list := range c.wildcards.begin {
			for _, n := range list {
				// A pattern that matches another one's text matches all that
				// the other does, for its own text has no star to match.
				if first := c.wildcards.first(n.value); first != n {
					unreachable(n, first)
				}
			}
		}
		if c.bare != nil {
			if first := c.wildcards.first("*"); first != nil {
				unreachable(c.bare, first)
			}
		}
	}
}
