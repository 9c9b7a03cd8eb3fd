package extauthz

import "github.com/sallyport/sallyport"

// permits reports whether c has one of the scopes in granted. It is judged by
// the roles as they are now: a role is a name, and what it permits stands in
// the policy or with the tenant. A token has no more than was granted it.
func (a *apiRules) permits(c *sallyport.Credential, granted []string) bool {
	if c.Token != nil && c.Token.Granted != nil && !holdsOne(c.Token.Granted, granted) {
		return false
	}
	if c.User == nil {
		return holdsOne(c.Scopes, granted) || a.rolesHold(c.Tenant, c.Roles, granted)
	}
	return a.rolesHold(c.Tenant, c.User.Roles, granted) && (len(c.Scopes) == 0 || holdsOne(c.Scopes, granted))
}

func (a *apiRules) rolesHold(t *sallyport.Tenant, roles, granted []string) bool {
	for _, name := range roles {
		if holdsOne(a.RoleScopes(t, name), granted) {
			return true
		}
	}
	return false
}
