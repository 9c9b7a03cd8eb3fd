package directory

import (
	"encoding/binary"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Set is what the files say. It never changes, so any number of goroutines may
// ask it. The zero Set knows no domain.
type Set struct {
	domains map[string]*domain
}

// Entry is one key and value of a descriptor as Envoy sends it.
type Entry struct{ Key, Value string }

// Known reports whether a file describes domain.
func (s *Set) Known(domain string) bool { return s.domains[domain] != nil }

// Match returns the rule for a descriptor in domain, and nil where none applies:
// the domain is unknown, nothing matches, the descriptor is longer or shorter
// than what matches, or what matches has no limit.
//
// With a rule comes the name of its counter, appended to dst: the domain, then
// each entry's key and value, each after its length, so that no two lists of
// entries have one name. Where a wildcard shares its threshold, its pattern
// stands in for the value. Match does not allocate if dst has room.
func (s *Set) Match(domain string, entries []Entry, dst []byte) (rule *Rule, key []byte) {
	d := s.domains[domain]
	if d == nil || len(entries) == 0 {
		return nil, dst
	}
	at := d.top
	var n *node
	for i := range entries {
		if n = at.find(entries[i].Key, entries[i].Value); n == nil {
			return nil, dst
		}
		at = n.below
	}
	if n.rule == nil {
		return nil, dst
	}
	return n.rule, n.rule.appendKey(dst, entries)
}

func (r *Rule) appendKey(dst []byte, entries []Entry) []byte {
	dst = appendPart(dst, r.domain)
	for i, n := range r.path {
		dst = appendPart(dst, n.key)
		value := entries[i].Value
		if n.share {
			value = n.value
		}
		dst = appendPart(dst, value)
	}
	return dst
}

// AppendKey appends the name that a descriptor's counter has where nothing is
// shared, which is also that of an Override.
func AppendKey(dst []byte, domain string, entries []Entry) []byte {
	dst = appendPart(dst, domain)
	for i := range entries {
		dst = appendPart(appendPart(dst, entries[i].Key), entries[i].Value)
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Domains returns the names of the domains, sorted.
func (s *Set) Domains() []string { return slices.Sorted(maps.Keys(s.domains)) }

// Rules yields the rules with their domains, in the order of Domains and then
// of the file.
func (s *Set) Rules() iter.Seq2[string, *Rule] {
	return func(yield func(string, *Rule) bool) {
		for _, name := range s.Domains() {
			for _, r := range s.domains[name].rules {
				if !yield(name, r) {
					return
				}
			}
		}
	}
}

// domain is what one file says.
type domain struct {
	name  string
	top   level
	rules []*Rule
}

// level is a list of descriptors by key.
type level map[string]*choice

// choice are the descriptors of one key at one level.
type choice struct {
	values    map[string]*node // wildcards, too, by their pattern
	wildcards wildcards
	bare      *node // without a value: any that nothing else matches
}

// node is one descriptor.
type node struct {
	key, value string
	parts      []string // what stands between the stars of a wildcard; nil: none
	order      int      // in its list
	share      bool
	toMetric   bool
	rule       *Rule // nil: not limited
	below      level // nil: nothing nested
	line       int
}

// shares reports whether value is one of many that count as n's pattern. The
// pattern itself, sent as a value, counts as the pattern too, but is no wildcard
// match.
func (n *node) shares(value string) bool { return n.share && value != n.value }

// find returns the descriptor for key and value: that of the value, else the
// first wildcard of the file that matches, else the one without a value.
func (l level) find(key, value string) *node {
	c := l[key]
	if c == nil {
		return nil
	}
	if n := c.values[value]; n != nil {
		return n
	}
	if n := c.wildcards.first(value); n != nil {
		return n
	}
	return c.bare
}

// add puts n into l. It returns the descriptor of the same key and value that
// is there already, if any; then n stays out.
func (l level) add(n *node) (earlier *node) {
	c := l[n.key]
	if c == nil {
		c = &choice{}
		l[n.key] = c
	}
	if n.value == "" {
		if c.bare != nil {
			return c.bare
		}
		c.bare = n
		return nil
	}
	if earlier = c.values[n.value]; earlier != nil {
		return earlier
	}
	if c.values == nil {
		c.values = make(map[string]*node)
	}
	c.values[n.value] = n
	if n.parts != nil {
		c.wildcards.add(n)
	}
	return nil
}

// wildcards finds patterns by what stands before their first star, so that only
// those are tried that begin like the value. Many patterns with one beginning
// are tried one by one.
type wildcards struct {
	lengths []int // of beginnings, ascending
	begin   map[string][]*node
}

func (w *wildcards) add(n *node) {
	if w.begin == nil {
		w.begin = make(map[string][]*node)
	}
	w.begin[n.parts[0]] = append(w.begin[n.parts[0]], n)
	if at, have := slices.BinarySearch(w.lengths, len(n.parts[0])); !have {
		w.lengths = slices.Insert(w.lengths, at, len(n.parts[0]))
	}
}

// first returns the pattern that matches value and comes first in the file.
func (w *wildcards) first(value string) (best *node) {
	for _, length := range w.lengths {
		if length > len(value) {
			break
		}
		for _, n := range w.begin[value[:length]] {
			if best != nil && best.order < n.order {
				break
			}
			if matches(n.parts[1:], value[length:]) {
				best = n
				break
			}
		}
	}
	return best
}

// matches reports whether rest, which follows the first star of a pattern, holds
// parts in their order, the last of them at its end.
func matches(parts []string, rest string) bool {
	last := len(parts) - 1
	for _, part := range parts[:last] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
