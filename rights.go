package sallyport

import "slices"

// RoleScopes returns what the role called name permits tenant's users and keys:
// a role of the API's own, or where it lets tenants make roles one of the
// tenant's. A role that is gone permits nothing.
func (a *API) RoleScopes(t *Tenant, name string) []string {
	if scopes, ok := a.Roles[name]; ok || !a.TenantRoles {
		return scopes
	}
	return t.Roles[name]
}

// HasScope reports whether the API has a scope called name.
func (a *API) HasScope(name string) bool {
	return slices.ContainsFunc(a.Scopes, func(s Scope) bool { return s.Name == name })
}

// Holds reports whether who has the scopes held has the scope wanted: by its
// name, or by one that grants it.
func (a *API) Holds(held []string, wanted string) bool {
	if slices.Contains(held, wanted) {
		return true
	}
	for i := range a.Scopes {
		s := &a.Scopes[i]
		if (s.GrantsAll || slices.Contains(s.Grants, wanted)) && slices.Contains(held, s.Name) {
			return true
		}
	}
	return false
}

// Rights returns what c may do, each scope once. memory is used, and grown,
// unless the scopes of c are the whole answer.
func (a *API) Rights(memory *[]string, c *Credential) []string {
	roles := c.Roles
	if c.User != nil {
		roles = c.User.Roles
	}
	granted := c.Token != nil && c.Token.Granted != nil
	if c.User == nil && len(roles) == 0 && !granted {
		return c.Scopes
	}
	all := (*memory)[:0]
	for _, name := range roles {
		for _, s := range a.RoleScopes(c.Tenant, name) {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	switch {
	case c.User == nil:
		for _, s := range c.Scopes {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	case len(c.Scopes) > 0:
		all = a.narrow(all, c.Scopes)
	}
	if granted {
		all = a.narrow(all, c.Token.Granted)
	}
	*memory = all
	return all
}

// narrow returns what both permit: the scopes of either that the other holds, too.
// It uses the memory of held.
func (a *API) narrow(held, to []string) []string {
	n := len(held)
	both := held
	for _, s := range to {
		if a.Holds(held[:n], s) && !slices.Contains(both[n:], s) {
			both = append(both, s)
		}
	}
	for _, s := range both[:n] {
		if a.Holds(to, s) && !slices.Contains(both[n:], s) {
			both = append(both, s)
		}
	}
	return both[:copy(both, both[n:])]
}

// Narrow returns what permits no more than held and no more than to, each scope
// once, in memory of its own.
func (a *API) Narrow(held, to []string) []string { return a.narrow(slices.Clone(held), to) }
