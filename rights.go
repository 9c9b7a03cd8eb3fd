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
	if c.User == nil && len(roles) == 0 {
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
	switch ofUser := len(all); {
	case c.User == nil:
		for _, s := range c.Scopes {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	case len(c.Scopes) > 0: // those of its own narrow the user's: what both have
		for _, s := range c.Scopes {
			if a.Holds(all[:ofUser], s) {
				all = append(all, s)
			}
		}
		for _, s := range all[:ofUser] {
			if a.Holds(c.Scopes, s) && !slices.Contains(all[ofUser:], s) {
				all = append(all, s)
			}
		}
		all = all[ofUser:]
	}
	*memory = all
	return all
}
