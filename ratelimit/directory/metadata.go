package directory

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/yamltree"
)

// metadata reads any YAML that a google.protobuf.Struct can hold; nil where
// there is none.
func (r *reader) metadata(f fields) map[string]any {
	if !f.has("metadata") {
		return nil
	}
	p := f.by["metadata"]
	if p.Kind != yaml.MappingNode {
		r.mistyped(p, "a mapping", "write it as key: value")
		return nil
	}
	m, _ := r.any(p, 1).(map[string]any)
	if len(m) == 0 {
		return nil
	}
	return m
}

func (r *reader) any(p place, depth int) any {
	if depth > maxDepth {
		r.at(p.line, p.path, fmt.Sprintf("is nested more than %d deep", maxDepth), "")
		return nil
	}
	switch p.Kind {
	case yaml.SequenceNode:
		list := make([]any, len(p.Content))
		for i, n := range p.Content {
			list[i] = r.any(place{n, yamltree.Index(p.path, i), n.Line}.resolved(), depth+1)
		}
		return list
	case yaml.MappingNode:
		m := make(map[string]any, len(p.Content)/2)
		for _, e := range r.pairs(p, p.path) {
			m[e.key] = r.any(place{e.value, yamltree.Key(p.path, e.key), e.line}.resolved(), depth+1)
		}
		return m
	}
	return r.scalar(p)
}

func (r *reader) scalar(p place) any {
	if r.tagged(p) {
		return nil
	}
	if isFlag(p.Node) {
		return switches[p.Value]
	}
	switch p.ShortTag() {
	case "!!null":
		return nil
	case "!!int", "!!float":
		return r.float(p)
	}
	return p.Value
}

func (r *reader) float(p place) any {
	if n, ok := whole(p.Value); ok {
		return float64(n)
	}
	n, err := strconv.ParseFloat(strings.ReplaceAll(p.Value, "_", ""), 64)
	if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
		r.at(p.line, p.path, "is "+yamltree.Quote(p.Value)+", a number that JSON does not have", "put it in quotes if text is meant")
		return nil
	}
	return n
}
