package pattern

import (
	"errors"
	"fmt"
	"strings"
)

// MaxParams is the most parameters that a template may have.
const MaxParams = 8

// Params are the parameters of one match, in the template's order. A caller
// keeps one and hands it to many matches; values are parts of the path.
type Params struct {
	list [MaxParams]Param
	n    int
}

// Param is one parameter of a path, not decoded.
type Param struct{ Name, Value string }

// Len returns how many there are.
func (p *Params) Len() int { return p.n }

// At returns the i-th, 0 ≤ i < Len.
func (p *Params) At(i int) Param { return p.list[:p.n][i] }

// Value returns the value of the one called name.
func (p *Params) Value(name string) (value string, ok bool) {
	for i := range p.n {
		if p.list[i].Name == name {
			return p.list[i].Value, true
		}
	}
	return "", false
}

// Tree finds the template that a path matches, and the value kept with it. The
// zero value matches nothing. Build it with Add; from then on it is safe for
// concurrent use.
type Tree[T any] struct {
	root node[T]
}

type node[T any] struct {
	literals map[string]*node[T]
	param    *node[T]
	rest     *node[T]

	ends  bool // a template ends here, with these:
	names []string
	value T
}

// ErrTwice says that a template of the same shape is in the tree already.
var ErrTwice = errors.New("is in the tree already")

// Add puts t into the tree with v. A template that is Equal to one in the
// tree, or the zero Template, changes nothing and is an error.
func (tree *Tree[T]) Add(t Template, v T) error {
	if t.text == "" {
		return errors.New("add to tree: an empty template matches no path; parse one first")
	}
	n := &tree.root
	for _, s := range t.segments {
		n = n.child(s)
	}
	if n.ends {
		return fmt.Errorf("add to tree: %s %w", t, ErrTwice)
	}
	n.ends, n.names, n.value = true, t.Params(), v
	return nil
}

// child returns the node that s leads to, making it where there is none.
func (n *node[T]) child(s segment) *node[T] {
	switch s.kind {
	case parameter:
		if n.param == nil {
			n.param = new(node[T])
		}
		return n.param
	case rest:
		if n.rest == nil {
			n.rest = new(node[T])
		}
		return n.rest
	}
	next := n.literals[s.text]
	if next == nil {
		if n.literals == nil {
			n.literals = make(map[string]*node[T])
		}
		next = new(node[T])
		n.literals[s.text] = next
	}
	return next
}

// Match returns the value of the template that path matches: segment by
// segment a literal beats a parameter, and that beats a rest. Of templates
// that are not Ambiguous it is the narrowest. A path that would meet another
// one if it were decoded matches nothing.
//
// params may be nil; it is meaningful only where ok. Match expects a path that
// is [Canonical]; of any other it promises only not to panic.
func (tree *Tree[T]) Match(path string, params *Params) (v T, ok bool) {
	if path == "" || path[0] != '/' {
		return v, false
	}
	if params == nil {
		params = new(Params)
	}
	params.n = 0
	if path == "/" {
		path = ""
	}
	n := tree.root.find(path, params, 0, raw)
	if n == nil {
		return v, false
	}
	if strings.IndexByte(path, '%') >= 0 && tree.root.find(path, params, 0, decoded) != n {
		return v, false
	}
	for i, name := range n.names {
		params.list[i].Name = name
	}
	params.n = len(n.names)
	return n.value, true
}

// reading is how a segment is compared with literals.
type reading bool

const (
	raw     reading = false
	decoded reading = true
)

// find walks from n along path, which is empty or begins with a slash. It
// leaves the values of parameters in params, from the depth-th on.
func (n *node[T]) find(path string, params *Params, depth int, as reading) *node[T] {
	if path == "" {
		if n.ends {
			return n
		}
		return nil
	}
	first, after := path[1:], ""
	if i := strings.IndexByte(first, '/'); i >= 0 {
		first, after = first[:i], first[i:]
	}
	if first == "" {
		return nil
	}
	if next := n.literal(first, as); next != nil {
		if end := next.find(after, params, depth, as); end != nil {
			return end
		}
	}
	if n.param != nil {
		params.list[depth].Value = first
		if end := n.param.find(after, params, depth+1, as); end != nil {
			return end
		}
	}
	if n.rest != nil && !hasEmptySegment(path) {
		params.list[depth].Value = path[1:]
		return n.rest
	}
	return nil
}

// literal returns the node behind the literal that s is, read as told.
func (n *node[T]) literal(s string, as reading) *node[T] {
	if as == raw || strings.IndexByte(s, '%') < 0 {
		return n.literals[s]
	}
	var buf [maxLiteral]byte
	text, ok := decode(buf[:0], s)
	if !ok {
		return nil
	}
	return n.literals[string(text)]
}

// decode appends s, percent-decoded, to dst; false where s is longer than any
// literal or badly encoded, and so no literal in disguise.
func decode(dst []byte, s string) ([]byte, bool) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' {
			if i+2 >= len(s) {
				return nil, false
			}
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi < 0 || lo < 0 {
				return nil, false
			}
			c, i = byte(hi<<4|lo), i+2
		}
		if len(dst) == cap(dst) {
			return nil, false
		}
		dst = append(dst, c)
	}
	return dst, true
}

// hasEmptySegment reports whether path, which begins with a slash, has one.
func hasEmptySegment(path string) bool {
	return path[len(path)-1] == '/' || strings.Contains(path, "//")
}
