package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/internal/pattern"
)

// overlaps says which operations of one method collide: those that match the
// same paths, and those that share some while neither is the narrower one. Two
// templates are told once, however many methods they stand under.
func (a *api) overlaps() {
	trees := map[string]*branch{}
	told := map[[2]string]bool{}
	for _, r := range a.routes {
		tree := trees[r.Method]
		if tree == nil {
			tree = &branch{}
			trees[r.Method] = tree
		}
		segments := strings.Split(r.template.String(), "/")[1:]
		tree.visit(segments, func(id int) bool {
			other := a.routes[id]
			rel := relation(r, other)
			if rel != pattern.Equal && rel != pattern.Ambiguous {
				return true
			}
			if pair := [2]string{r.path, other.path}; !told[pair] {
				told[pair] = true
				a.collide(r, other, rel)
			}
			return false
		})
		tree.insert(segments, r.index)
	}
}

// collide says that two operations do, and where they stand.
func (a *api) collide(r, other compiled, rel pattern.Rel) {
	one, two, line := r.Method+" "+r.Path, other.Method+" "+other.Path, a.line(other.path)
	if rel == pattern.Equal {
		a.add(r.path, fmt.Sprintf("%s matches the same paths as %s on line %d", one, two, line), "list it once")
		return
	}
	a.add(r.path, fmt.Sprintf("%s and %s on line %d share paths, and neither is the narrower one", one, two, line), "tell them apart by a literal segment")
}

// relation compares what two operations of one API match.
func relation(r, other compiled) pattern.Rel {
	if r.Method != other.Method || !shareHost(r.Hosts, other.Hosts) {
		return pattern.Disjoint
	}
	return pattern.Relation(r.template, other.template)
}

// shareHost compares hosts of operations of one API; none means all.
func shareHost(a, b []string) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	return slices.ContainsFunc(a, func(host string) bool { return slices.Contains(b, host) })
}

// branch is a tree of templates by segment. It finds those that may overlap
// with one, so that not every pair need be compared.
type branch struct {
	literals  map[string]*branch
	inOrder   []*branch // the same
	parameter *branch
	ends      []int // templates that end here
	rests     []int // templates whose rest begins here
}

func isParameter(segment string) bool { return strings.HasPrefix(segment, "{") }
func isRest(segment string) bool      { return strings.HasSuffix(segment, "...}") }

func (b *branch) insert(segments []string, id int) {
	for _, s := range segments {
		switch {
		case isRest(s):
			b.rests = append(b.rests, id)
			return
		case isParameter(s):
			if b.parameter == nil {
				b.parameter = &branch{}
			}
			b = b.parameter
		default:
			if b.literals == nil {
				b.literals = map[string]*branch{}
			}
			if b.literals[s] == nil {
				b.literals[s] = &branch{}
				b.inOrder = append(b.inOrder, b.literals[s])
			}
			b = b.literals[s]
		}
	}
	b.ends = append(b.ends, id)
}

// visit calls f for the templates that may share paths with the one of
// segments, until it returns false.
func (b *branch) visit(segments []string, f func(id int) bool) bool {
	if b == nil {
		return true
	}
	if !each(b.rests, f) {
		return false
	}
	if len(segments) == 0 {
		return each(b.ends, f)
	}
	s, rest := segments[0], segments[1:]
	if !isParameter(s) {
		return b.literals[s].visit(rest, f) && b.parameter.visit(rest, f)
	}
	if isRest(s) {
		if !each(b.ends, f) {
			return false
		}
		rest = segments // it goes on for as long as the others do
	}
	for _, child := range b.inOrder {
		if !child.visit(rest, f) {
			return false
		}
	}
	return b.parameter.visit(rest, f)
}

func each(ids []int, f func(int) bool) bool {
	for _, id := range ids {
		if !f(id) {
			return false
		}
	}
	return true
}
