package memory

import (
	"context"
	"maps"
	"slices"

	"github.com/sallyport/sallyport/internal/store"
)

func (s *Store) KeepRoles(ctx context.Context, api string, roles map[string][]string) (tenants []string, ended int, err error) {
	r, err := store.NewAPIRoles(api, roles)
	if err != nil {
		return nil, 0, err
	}
	err = do(ctx, s, func(t *tables) error {
		changed, err := t.roles[api].Changed(r)
		if err != nil {
			return err
		}
		t.roles[api] = r
		tenants, err = t.tenantsOfHolders(api, changed)
		for _, tenant := range tenants {
			its, err := t.endHolders(api, tenant, changed)
			if err != nil {
				return err
			}
			ended += its
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return tenants, ended, nil
}

// tenantsOfHolders returns where holders of one of roles are, themselves or by
// their users.
func (t *tables) tenantsOfHolders(api string, roles []string) ([]string, error) {
	found := map[string]bool{}
	for _, u := range t.users {
		its, err := store.Holders([]store.UserRow{u}, roles)
		if err != nil {
			return nil, err
		}
		if u.API == api && len(its) > 0 {
			found[u.Tenant] = true
		}
	}
	for _, c := range t.credentials {
		holds, err := c.Holds(roles)
		if err != nil {
			return nil, err
		}
		if c.API == api && holds && c.State != "revoked" {
			found[c.Tenant] = true
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// endHolders ends what rests on the holders of these roles in a tenant, and returns
// how many credentials were not revoked before.
func (t *tables) endHolders(api, tenant string, roles []string) (ended int, err error) {
	holders, err := store.Holders(t.usersOf(api, tenant), roles)
	if err != nil {
		return 0, err
	}
	for _, holder := range holders {
		at := [3]string{api, tenant, holder}
		u := t.users[at]
		u.Epoch++
		t.users[at] = u
	}
	ended = t.endTokens(api, tenant, holders...)
	return ended, t.growHolders(api, tenant, roles)
}
