package store

import (
	"fmt"
	"maps"
)

// APIRoles are the roles of an API's configuration, as they are kept. The zero
// value is of an API of which nothing is kept.
type APIRoles struct{ text string }

// NewAPIRoles returns roles as they are to be kept: the scopes of each, by name.
func NewAPIRoles(api string, roles map[string][]string) (APIRoles, error) {
	text, err := encodeLists(roles)
	if err != nil {
		return APIRoles{}, fmt.Errorf("roles of API %q: %w", api, err)
	}
	return APIRoles{text}, nil
}

// Column is where r is kept.
func (r *APIRoles) Column() *string { return &r.text }

// Changed returns the names of the roles that the change from r to after makes,
// takes away or redefines; none where nothing was kept, and so nothing is known.
func (r APIRoles) Changed(after APIRoles) ([]string, error) {
	if r.text == "" || r == after {
		return nil, nil
	}
	return changedRoles(r.text, after.text)
}

// changedRoles returns the names of the roles that are not in both, or not of the
// same set of scopes.
func changedRoles(before, after string) (names []string, err error) {
	was, err := decodeLists(before)
	if err != nil {
		return nil, err
	}
	is, err := decodeLists(after)
	if err != nil {
		return nil, err
	}
	for name, scopes := range was {
		if now, ok := is[name]; !ok || !maps.Equal(setOf(scopes), setOf(now)) {
			names = append(names, name)
		}
	}
	for name := range is {
		if _, ok := was[name]; !ok {
			names = append(names, name)
		}
	}
	return names, nil
}
