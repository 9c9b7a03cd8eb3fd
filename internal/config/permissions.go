package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport"
)

const maxScopes = 1000 // of one API

// permissions compiles scopes, what they grant, presets, roles and categories.
func (a *api) permissions() {
	a.scopes = map[string]int{}
	path := a.sub("scopes")
	var names []string
	for i, in := range a.in.Scopes {
		at := index(path, i)
		names = append(names, in.Name)
		switch {
		case in.Name == "" && !a.has(field(at, "name")):
			a.add(at, "names no scope", "write a name, or {name: NAME, grants: …}")
		case in.Name != "" && !scopeName.MatchString(in.Name):
			a.add(at, "scope "+quote(in.Name)+" is not a name", "write letters, digits and : * . _ / -")
		}
		if in.Means != "" && !isLabel(in.Means) {
			a.add(field(at, "means"), "is not a line of text", "write it in one line of printable characters")
		}
		if _, twice := a.scopes[in.Name]; !twice {
			a.scopes[in.Name] = i
		}
		a.out.Scopes = append(a.out.Scopes, sallyport.Scope{Name: in.Name, Means: in.Means, GrantsAll: slices.Contains(in.Grants, "all")})
	}
	if len(names) > maxScopes {
		a.add(path, "lists too many scopes", fmt.Sprintf("at most %d", maxScopes))
		return
	}
	a.distinct(path, "scope", names)
	for i, in := range a.in.Scopes {
		a.direct(field(index(path, i), "grants"), in, &a.out.Scopes[i])
	}
	a.closeGrants()
	a.out.Presets = a.bundles("presets", a.in.Presets)
	for name := range a.out.Presets {
		if _, taken := a.scopes[name]; taken {
			a.add(key(a.sub("presets"), name), "has the name of a scope", "choose another name")
		}
	}
	a.out.Roles = a.bundles("roles", a.in.Roles)
	a.out.TenantRoles = a.in.TenantRoles
	a.categories()
}

func (a *api) categories() {
	path := a.sub("categories")
	a.distinct(path, "category", a.in.Categories)
	for i, c := range a.in.Categories {
		if c != "" && !isLabel(c) {
			a.add(index(path, i), "category "+quote(c)+" is not a name", "write it in one line of printable characters")
		}
	}
	a.out.Categories = slices.Clone(a.in.Categories)
}

// direct expands what a scope grants besides itself.
func (a *api) direct(path string, in Scope, out *sallyport.Scope) {
	for i, pattern := range in.Grants {
		if pattern == "" || pattern == "all" {
			continue
		}
		found := false
		for _, other := range a.out.Scopes {
			if other.Name != in.Name && matches(pattern, other.Name) {
				out.Grants = append(out.Grants, other.Name)
				found = true
			}
		}
		if !found {
			a.noMatch(index(path, i), pattern, in.Name)
		}
	}
}

// closeGrants lets a scope grant what those that it grants do: whoever holds
// it may hand them on, so it would be worth as much in any case.
func (a *api) closeGrants() {
	for i := range a.out.Scopes {
		s := &a.out.Scopes[i]
		seen := map[string]bool{s.Name: true}
		var reached []string
		reach := func(names []string) {
			for _, name := range names {
				if !seen[name] {
					seen[name] = true
					reached = append(reached, name)
				}
			}
		}
		reach(s.Grants)
		for j := 0; j < len(reached); j++ {
			next := a.out.Scopes[a.scopes[reached[j]]]
			s.GrantsAll = s.GrantsAll || next.GrantsAll
			reach(next.Grants)
		}
		slices.Sort(reached)
		s.Grants = reached
	}
}

// bundles expands presets or roles. A name that is a scope means that scope.
func (a *api) bundles(what string, in map[string]List) map[string][]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string][]string, len(in))
	for _, name := range slices.Sorted(maps.Keys(in)) {
		path := key(a.sub(what), name)
		if !isLabel(name) {
			a.add(path, "is not a name", "write it in one line of printable characters")
		}
		for i, pattern := range in[name] {
			out[name] = append(out[name], a.expand(index(path, i), pattern)...)
		}
		slices.Sort(out[name])
		out[name] = slices.Compact(out[name])
	}
	return out
}

func (a *api) expand(path, pattern string) (names []string) {
	if _, ok := a.scopes[pattern]; ok || pattern == "" {
		return []string{pattern}
	}
	for _, s := range a.out.Scopes {
		if matches(pattern, s.Name) {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		a.noMatch(path, pattern, "")
	}
	return names
}

// noMatch says that pattern matches no scope but self, which does not count.
func (a *api) noMatch(path, pattern, self string) {
	if !a.whole(a.sub("scopes")) {
		return
	}
	others := slices.DeleteFunc(a.scopeNames(), func(name string) bool { return name == self })
	hint, _ := allowed(pattern, others)
	a.add(path, quote(pattern)+" matches no scope", hint)
}

func (a *api) scopeNames() []string { return slices.Sorted(maps.Keys(a.scopes)) }

// matches reports whether pattern matches name: a * stands for any characters
// within one of the segments that colons divide.
func matches(pattern, name string) bool {
	p, n := strings.Split(pattern, ":"), strings.Split(name, ":")
	return slices.EqualFunc(p, n, matchesSegment)
}

func matchesSegment(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(text, parts[0])
	if len(parts) == 1 {
		return ok && rest == ""
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return ok && strings.HasSuffix(rest, last)
}

// granted returns every scope whose holder has one of names, in the order of
// the file.
func (a *api) granted(names []string) []string {
	if a.holders == nil {
		a.findHolders()
	}
	if len(names) == 1 {
		return a.holders[names[0]]
	}
	is := map[string]bool{}
	for _, name := range names {
		for _, holder := range a.holders[name] {
			is[holder] = true
		}
	}
	var all []string
	for _, s := range a.out.Scopes {
		if is[s.Name] {
			all = append(all, s.Name)
		}
	}
	return all
}

func (a *api) findHolders() {
	a.holders = map[string][]string{}
	for _, s := range a.out.Scopes {
		has := append([]string{s.Name}, s.Grants...)
		if s.GrantsAll {
			has = a.scopeNames()
		}
		for _, name := range has {
			a.holders[name] = append(a.holders[name], s.Name)
		}
	}
}
