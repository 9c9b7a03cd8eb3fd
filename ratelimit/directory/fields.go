package directory

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/yamltree"
)

// maxFaults is how many faults of a file are told; more help nobody.
const maxFaults = 1000

// place is a YAML node and where it stands. An alias stands where it is used.
type place struct {
	*yaml.Node
	path string
	line int
}

func (p place) resolved() place {
	p.Node = yamltree.Follow(p.Node)
	return p
}

// full reports whether more faults would not be told.
func (r *reader) full() bool { return len(r.faults) >= maxFaults }

// at adds a fault.
func (r *reader) at(line int, path, text, hint string) {
	if !r.full() {
		r.faults = append(r.faults, sallyport.Fault{File: r.file, Line: line, Path: path, Text: text, Hint: hint})
	}
}

// note adds a notice: the file is taken all the same.
func (r *reader) note(line int, path, text, hint string) {
	if len(r.notices) < maxFaults {
		r.notices = append(r.notices, sallyport.Fault{File: r.file, Line: line, Path: path, Text: text, Hint: hint})
	}
}

func (r *reader) mistyped(p place, want, hint string) {
	what := yamltree.What(p.Node)
	if what == "a date" { // which is text to envoyproxy/ratelimit
		what = "text"
	}
	r.at(p.line, p.path, "is "+what+", not "+want, hint)
}

// tagged reports, as a fault, a tag that changes what a value means.
func (r *reader) tagged(p place) bool {
	if p.Style&yaml.TaggedStyle == 0 || slices.Contains([]string{"!!str", "!!map", "!!seq"}, p.ShortTag()) {
		return false
	}
	r.at(p.line, p.path, "has the tag "+yamltree.Quote(p.Tag), "remove the tag")
	return true
}

// fields are the entries of a mapping, by name. What is null is not written.
type fields struct {
	place
	by    map[string]place
	meant map[string]bool // names that were probably meant by those nobody knows
}

func (f *fields) has(name string) bool {
	p, ok := f.by[name]
	return ok && !yamltree.IsNull(p.Node)
}

// named reports whether the field is there, whatever it holds.
func (f *fields) named(name string) bool {
	_, ok := f.by[name]
	return ok
}

// fields reads p as a mapping that has names and nothing else.
func (r *reader) fields(p place, names []string) fields {
	f := fields{place: p, by: map[string]place{}, meant: map[string]bool{}}
	for _, e := range r.pairs(p, p.path) {
		if !slices.Contains(names, e.key) {
			hint, meant := elsewhere(e.key), ""
			if hint == "" {
				meant = yamltree.Meant(e.key, names)
				hint = yamltree.Allowed(names, meant)
			}
			f.meant[meant] = true
			r.at(e.line, yamltree.Key(p.path, e.key), "unknown field", hint)
			continue
		}
		f.by[e.key] = place{e.value, yamltree.Key(p.path, e.key), e.line}.resolved()
	}
	return f
}

// pair is one entry of a mapping.
type pair struct {
	key   string
	line  int
	value *yaml.Node
}

// pairs returns the entries of a mapping: those written there, then those that
// it merges (<<) and does not have itself.
func (r *reader) pairs(p place, path string) []pair {
	if p.Kind != yaml.MappingNode {
		r.mistyped(p, "a mapping", "write it as key: value")
		return nil
	}
	r.tagged(p)
	var all []pair
	at := make(map[string]int, len(p.Content)/2) // in all
	var merges [][2]int                          // where in Content, and how much of all came before
	for i := 0; i+1 < len(p.Content); i += 2 {
		k := place{p.Content[i], path, p.Content[i].Line}.resolved()
		first, twice := at[k.Value]
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merges = append(merges, [2]int{i, len(all)})
		case k.Kind != yaml.ScalarNode || yamltree.IsNull(k.Node):
			r.at(k.line, path, "has "+yamltree.What(k.Node)+" as a key", "keys are text")
		case twice:
			r.at(k.line, yamltree.Key(path, k.Value), fmt.Sprintf("is written twice; first on line %d", all[first].line), "")
		default:
			at[k.Value] = len(all)
			all = append(all, pair{k.Value, k.line, p.Content[i+1]})
		}
	}
	if len(merges) > 1 {
		r.at(p.Content[merges[1][0]].Line, path, "merges (<<) twice", "write <<: [*one, *other]")
	}
	for _, m := range merges {
		all = r.merge(place{p.Content[m[0]+1], path, p.Content[m[0]].Line}, all, at, m[1])
	}
	return all
}

// merge adds what from holds to all. The first before entries of all stand ahead
// of the merge: there envoyproxy/ratelimit would let the merge win, and it mixes
// two mappings of one name. Neither is what YAML says, so neither may be.
func (r *reader) merge(from place, all []pair, at map[string]int, before int) []pair {
	sources := []*yaml.Node{from.Node}
	if from.Kind == yaml.SequenceNode {
		sources = from.Content
	}
	for _, s := range sources {
		source := place{s, from.path, from.line}.resolved()
		for _, p := range r.pairs(source, from.path) {
			i, have := at[p.key]
			switch {
			case !have:
				at[p.key] = len(all)
				all = append(all, p)
			case i < before:
				r.at(from.line, yamltree.Key(from.path, p.key), "is written before << merges it again", "put << first")
			case yamltree.Follow(p.value).Kind == yaml.MappingNode:
				r.at(from.line, yamltree.Key(from.path, p.key), "is written and merged (<<) too", "write it in one place; envoyproxy/ratelimit would mix the two")
			}
		}
	}
	return all
}

// list reads a list, nil where it is null or not there.
func (r *reader) list(f fields, name string) []place {
	if !f.has(name) {
		return nil
	}
	p := f.by[name]
	if p.Kind != yaml.SequenceNode {
		r.mistyped(p, "a list", "begin each item with -")
		return nil
	}
	r.tagged(p)
	items := make([]place, len(p.Content))
	for i, n := range p.Content {
		items[i] = place{n, yamltree.Index(p.path, i), n.Line}.resolved()
	}
	return items
}

// text reads text, "" where it is null or not there. As in envoyproxy/ratelimit,
// whole numbers and switches are text as they are written; what it refuses there
// is refused here.
func (r *reader) text(f fields, name string) string {
	if !f.has(name) {
		return ""
	}
	p := f.by[name]
	switch {
	case p.Kind != yaml.ScalarNode:
		r.mistyped(p, "text", "")
		return ""
	case r.tagged(p):
		return ""
	}
	switch p.ShortTag() {
	case "!!str", "!!bool", "!!timestamp":
		return p.Value
	case "!!int":
		if _, ok := whole(p.Value); ok {
			return p.Value
		}
	}
	r.mistyped(p, "text", "put it in quotes if text is meant")
	return ""
}

// whole reads a whole number as YAML 1.1 writes them.
func whole(s string) (int64, bool) {
	n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 0, 64)
	return n, err == nil
}

var switches = map[string]bool{
	"y": true, "Y": true, "yes": true, "Yes": true, "YES": true,
	"true": true, "True": true, "TRUE": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false,
	"false": false, "False": false, "FALSE": false, "off": false, "Off": false, "OFF": false,
}

// isFlag reports whether n is a switch of YAML 1.1, which has more words for it
// than our library knows.
func isFlag(n *yaml.Node) bool {
	_, is := switches[n.Value]
	return is && n.Kind == yaml.ScalarNode && n.Style == 0
}

// flag reads a switch, false where it is null or not there.
func (r *reader) flag(f fields, name string) bool {
	if !f.has(name) {
		return false
	}
	p := f.by[name]
	if !isFlag(p.Node) {
		r.mistyped(p, "a switch", "write true or false")
	}
	return switches[p.Value]
}

// number reads a whole number that 32 bits hold.
func (r *reader) number(f fields, name string) uint32 {
	p := f.by[name]
	if p.Kind != yaml.ScalarNode || p.Style != 0 || p.ShortTag() != "!!int" {
		r.mistyped(p, "a whole number", "write digits alone")
		return 0
	}
	n, ok := whole(p.Value)
	if !ok || n < 0 || n > math.MaxUint32 {
		r.at(p.line, p.path, "is "+p.Value+", which is out of range", fmt.Sprintf("write 0 to %d", uint32(math.MaxUint32)))
	}
	return uint32(n)
}
