package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport/internal/yamltree"
)

// decode fills v, a pointer to a struct, from root. It reports everything that
// v has no place for.
func decode(f *faults, root *yaml.Node, v any) {
	d := &decoder{faults: f, structs: map[reflect.Type][]member{}}
	d.value(node{Node: root, line: root.Line}, reflect.ValueOf(v).Elem())
}

// decodeAs fills v, a pointer, from n.
func decodeAs(d *decoder, n node, v any) { d.value(n, reflect.ValueOf(v).Elem()) }

type decoder struct {
	*faults
	structs map[reflect.Type][]member
}

// node is a YAML node with its place. An alias stands where it is used.
type node struct {
	*yaml.Node
	path string
	line int
}

// custom is a type that has a form of its own in YAML.
type custom interface{ decode(d *decoder, n node) }

// scalar is a type that is written as one word; parse says what is wrong.
type scalar interface {
	parse(text string) (problem, hint string)
}

func (d *decoder) value(n node, v reflect.Value) {
	n = n.resolved()
	if c, ok := v.Addr().Interface().(custom); ok {
		c.decode(d, n)
		return
	}
	if d.isNothing(n) || !d.isKnownTag(n) {
		return
	}
	if s, ok := v.Addr().Interface().(scalar); ok {
		d.scalar(n, s)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Slice:
		d.sequence(n, v)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem())
	case reflect.String:
		v.SetString(d.text(n))
	case reflect.Bool:
		v.SetBool(d.boolean(n))
	case reflect.Int:
		v.SetInt(int64(d.number(n, 31)))
	case reflect.Uint32:
		v.SetUint(d.number(n, 32))
	case reflect.Uint64:
		v.SetUint(d.number(n, 53))
	}
}

// resolved follows an alias.
func (n node) resolved() node {
	n.Node = yamltree.Follow(n.Node)
	return n
}

// isNothing says so where a field was written without a value.
func (d *decoder) isNothing(n node) bool {
	if !yamltree.IsNull(n.Node) {
		return false
	}
	d.at(n.line, n.path, "has no value", "give it one or leave it out")
	return true
}

var knownTags = []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!map", "!!seq", "!!merge"}

func (d *decoder) isKnownTag(n node) bool {
	if slices.Contains(knownTags, n.ShortTag()) {
		return true
	}
	d.at(n.line, n.path, "has the tag "+quote(n.ShortTag()), "remove the tag")
	return false
}

// mistyped says that n is not what is wanted. It does not quote n, which may be a
// secret in the wrong place.
func (d *decoder) mistyped(n node, want, hint string) {
	d.at(n.line, n.path, "is "+yamltree.What(n.Node)+", not "+want, hint)
}

func (d *decoder) text(n node) string {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value == "" {
		d.at(n.line, n.path, "is empty", "give it a value or leave it out")
		return ""
	}
	return d.anyText(n)
}

// anyText is text that may be empty.
func (d *decoder) anyText(n node) string {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.mistyped(n, "text", "")
	case n.ShortTag() != "!!str":
		d.mistyped(n, "text", "put it in quotes if text is meant")
	default:
		return n.Value
	}
	return ""
}

// word returns what stands before the quotes of YAML matter: 30 and "30" alike.
func (d *decoder) word(n node, want string) (string, bool) {
	if n.Kind != yaml.ScalarNode {
		d.mistyped(n, want, "")
		return "", false
	}
	return n.Value, true
}

func (d *decoder) scalar(n node, s scalar) {
	text, ok := d.word(n, "text")
	if !ok {
		return
	}
	if problem, hint := s.parse(text); problem != "" {
		d.at(n.line, n.path, problem, hint)
	}
}

func (d *decoder) boolean(n node) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
		d.mistyped(n, "a switch", "write true or false")
		return false
	}
	return n.Value == "true"
}

func (d *decoder) number(n node, bits int) uint64 {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" {
		d.mistyped(n, "a whole number", "")
		return 0
	}
	number, err := strconv.ParseUint(n.Value, 10, bits)
	if err != nil {
		d.at(n.line, n.path, "number "+quote(n.Value)+" is out of range", fmt.Sprintf("write digits alone, 0 to %d", uint64(1)<<bits-1))
	}
	return number
}

func (d *decoder) sequence(n node, v reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.mistyped(n, "a list", "write it in brackets: […]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i := range n.Content {
		d.value(d.element(n, i), v.Index(i))
	}
}

// element returns the i-th element of a list and notes where it stands.
func (d *decoder) element(n node, i int) node {
	child := node{Node: n.Content[i], path: index(n.path, i), line: n.Content[i].Line}
	d.lines[child.path] = child.line
	return child
}

func (d *decoder) mapping(n node, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range d.pairs(n) {
		child := node{Node: p.value, path: key(n.path, p.key), line: p.value.Line}
		d.lines[child.path] = p.line
		elem := reflect.New(v.Type().Elem()).Elem()
		d.value(child, elem)
		v.SetMapIndex(reflect.ValueOf(p.key), elem)
	}
}

func (d *decoder) structure(n node, v reflect.Value) {
	members := d.members(v.Type())
	pairs := d.pairs(n)
	for _, p := range pairs {
		at := slices.IndexFunc(members, func(m member) bool { return m.name == p.key })
		if at < 0 {
			d.unknown(n.path, p, members, pairs)
			continue
		}
		d.value(d.child(n, p), v.FieldByIndex(members[at].index))
	}
}

// child returns the value of a field and notes where it stands.
func (d *decoder) child(n node, p pair) node {
	child := node{Node: p.value, path: field(n.path, p.key), line: p.value.Line}
	d.lines[child.path] = p.line
	return child
}

// unknown says that p is none of the fields. The one that was probably meant
// counts as written, or it would be missed as well.
func (d *decoder) unknown(path string, p pair, members []member, written []pair) {
	names := make([]string, len(members))
	for i, m := range members {
		names[i] = m.name
	}
	hint, meant := allowed(p.key, names)
	if meant != "" && !slices.ContainsFunc(written, func(w pair) bool { return w.key == meant }) {
		d.broken[field(path, meant)] = true
		d.lines[field(path, meant)] = p.line
	}
	d.at(p.line, key(path, p.key), "unknown field", hint)
}

// member is a field of a struct as YAML names it.
type member struct {
	name  string
	index []int
}

func (d *decoder) members(t reflect.Type) []member {
	if known, ok := d.structs[t]; ok {
		return known
	}
	var all []member
	for i := range t.NumField() {
		tag := t.Field(i).Tag.Get("yaml")
		switch {
		case tag == ",inline":
			for _, m := range d.members(t.Field(i).Type) {
				all = append(all, member{m.name, append([]int{i}, m.index...)})
			}
		case tag != "" && tag != "-":
			all = append(all, member{tag, []int{i}})
		}
	}
	d.structs[t] = all
	return all
}

// pair is one entry of a mapping.
type pair struct {
	key   string
	line  int
	value *yaml.Node
}

// pairs returns the entries of a mapping: those written there, then those that
// it merges (<<) and does not have itself.
func (d *decoder) pairs(n node) []pair {
	if n.Kind != yaml.MappingNode {
		d.mistyped(n, "a mapping", "write it as key: value")
		return nil
	}
	all := make([]pair, 0, len(n.Content)/2)
	lines := make(map[string]int, len(n.Content)/2)
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := node{Node: n.Content[i]}.resolved()
		first, twice := lines[k.Value]
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merges = append(merges, n.Content[i+1])
		case k.Kind != yaml.ScalarNode:
			d.at(n.Content[i].Line, n.path, "has "+yamltree.What(k.Node)+" as a key", "keys are text")
		case k.ShortTag() != "!!str":
			d.at(n.Content[i].Line, key(n.path, k.Value), "is "+yamltree.What(k.Node)+", not text", "put the key in quotes")
		case twice:
			d.at(n.Content[i].Line, key(n.path, k.Value), fmt.Sprintf("is written twice; first on line %d", first), "")
		default:
			lines[k.Value] = n.Content[i].Line
			all = append(all, pair{k.Value, n.Content[i].Line, n.Content[i+1]})
		}
	}
	for _, m := range merges {
		all = d.merge(n, m, all, lines)
	}
	return all
}

func (d *decoder) merge(n node, from *yaml.Node, all []pair, lines map[string]int) []pair {
	source := node{Node: from, path: field(n.path, "<<"), line: from.Line}.resolved()
	sources := []node{source}
	if source.Kind == yaml.SequenceNode {
		sources = nil
		for _, s := range source.Content {
			sources = append(sources, node{Node: s, path: source.path, line: s.Line}.resolved())
		}
	}
	for _, s := range sources {
		for _, p := range d.pairs(s) {
			if _, have := lines[p.key]; !have {
				lines[p.key] = p.line
				all = append(all, p)
			}
		}
	}
	return all
}

// allowed returns a hint that lists names, and the one that was probably meant.
func allowed(got string, names []string) (hint, meant string) {
	meant = yamltree.Meant(got, names)
	return yamltree.Allowed(slices.Compact(slices.Sorted(slices.Values(names))), meant), meant
}
