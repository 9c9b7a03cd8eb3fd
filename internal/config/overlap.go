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
	byMethod := map[string]*crossings{}
	told := map[[2]string]bool{}
	for _, r := range a.routes {
		known := byMethod[r.Method]
		if known == nil {
			known = &crossings{}
			byMethod[r.Method] = known
		}
		segments := strings.Split(r.template.String(), "/")[1:]
		known.visit(segments, func(id int) bool {
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
		known.add(segments, r.index)
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

// crossings finds the templates that may share paths with one, so that not
// every pair need be compared: of a template's literal segments it takes the
// one that fewest others can match, which is nearly always a handful.
type crossings struct {
	places []place // by position of a segment
	all    []int
}

// place lists templates by what they have at one position.
type place struct {
	literals   map[string][]int
	parameters []int
	rests      []int // those whose rest begins here
}

func isParameter(segment string) bool { return strings.HasPrefix(segment, "{") }
func isRest(segment string) bool      { return strings.HasSuffix(segment, "...}") }

func (c *crossings) add(segments []string, id int) {
	c.all = append(c.all, id)
	for len(c.places) < len(segments) {
		c.places = append(c.places, place{literals: map[string][]int{}})
	}
	for i, s := range segments {
		p := &c.places[i]
		switch {
		case isRest(s):
			p.rests = append(p.rests, id)
		case isParameter(s):
			p.parameters = append(p.parameters, id)
		default:
			p.literals[s] = append(p.literals[s], id)
		}
	}
}

// visit calls f for the templates that may share paths with the one of
// segments, until it returns false.
func (c *crossings) visit(segments []string, f func(id int) bool) {
	best, fewest := -1, len(c.all)
	rests := 0
	for i, s := range segments[:min(len(segments), len(c.places))] {
		p := &c.places[i]
		rests += len(p.rests)
		if n := len(p.literals[s]) + len(p.parameters) + rests; !isParameter(s) && n < fewest {
			best, fewest = i, n
		}
	}
	lists := [][]int{c.all}
	if best >= 0 {
		lists = [][]int{c.places[best].literals[segments[best]], c.places[best].parameters}
		for _, p := range c.places[:best+1] {
			lists = append(lists, p.rests)
		}
	}
	for _, list := range lists {
		for _, id := range list {
			if !f(id) {
				return
			}
		}
	}
}
