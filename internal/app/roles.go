package app

import (
	"context"

	"github.com/sallyport/sallyport"
)

// keepRoles notes what the roles of p permit, and ends the tokens of whoever holds
// one that permitted something else when it was noted last, be that before a start.
// It is for just before p is in force: no token of before must meet roles that it
// was not made under.
//
// It has no deadline. What a write that was given up has done would be known to
// nobody, and the caches would go on without it.
func (a *App) keepRoles(p *sallyport.Policy) error {
	for _, api := range p.APIs {
		tenants, ended, err := a.store.KeepRoles(context.Background(), api.Name, api.Roles)
		if err != nil {
			return err
		}
		for _, tenant := range tenants {
			a.finder.ForgetTenant(api.Name, tenant)
		}
		if len(tenants) > 0 {
			a.log.Info("roles mean something else: the tokens of their holders have ended", "api", api.Name, "tenants", len(tenants), "revoked", ended)
		}
	}
	return nil
}
