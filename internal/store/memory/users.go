package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func (s *Store) CreateUser(ctx context.Context, u sallyport.User) error {
	r, err := store.NewUserRow(&u)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		if _, err := t.user(r.API, r.Tenant, r.ID); err == nil {
			return fmt.Errorf("create %s: %w", r, sallyport.ErrConflict)
		}
		if _, err := t.tenant(r.API, r.Tenant); err != nil {
			return fmt.Errorf("create %s: %w", r, err)
		}
		if err := t.checkLogin(r); err != nil {
			return fmt.Errorf("create %s: %w", r, err)
		}
		t.users[[3]string{r.API, r.Tenant, r.ID}] = r
		return nil
	})
}

func (t *tables) user(api, tenant, id string) (store.UserRow, error) {
	r, ok := t.users[[3]string{api, tenant, id}]
	if !ok {
		return r, fmt.Errorf("%s: %w", store.UserRow{API: api, Tenant: tenant, ID: id}, sallyport.ErrNotFound)
	}
	return r, nil
}

// usersOf returns all users of a tenant in the order of their ids.
func (t *tables) usersOf(api, tenant string) (list []store.UserRow) {
	for _, r := range t.users {
		if r.API == api && r.Tenant == tenant {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b store.UserRow) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (s *Store) User(ctx context.Context, api, tenant, id string) (*sallyport.User, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.UserRow, error) { return t.user(api, tenant, id) }))
}

func (s *Store) UserByLogin(ctx context.Context, api, login string) (*sallyport.User, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.UserRow, error) {
		for _, r := range t.users {
			if r.API == api && r.Login == login && login != "" {
				return r, nil
			}
		}
		return store.UserRow{}, fmt.Errorf("user by login: %w", sallyport.ErrNotFound)
	}))
}

func (t *tables) checkLogin(r store.UserRow) error {
	for _, other := range t.users {
		if r.Login != "" && other.API == r.API && other.Login == r.Login && (other.Tenant != r.Tenant || other.ID != r.ID) {
			return fmt.Errorf("its login: %w", sallyport.ErrConflict)
		}
	}
	return nil
}

func (s *Store) Users(ctx context.Context, f sallyport.UserFilter) ([]*sallyport.User, error) {
	if err := store.CheckUserFilter(f); err != nil {
		return nil, err
	}
	return store.Values(read(ctx, s, func(t *tables) ([]store.UserRow, error) {
		list := slices.DeleteFunc(t.usersOf(f.API, f.Tenant), func(r store.UserRow) bool {
			return r.ID <= f.After || f.State != sallyport.StateUnknown && f.State.String() != r.State
		})
		return list[:min(len(list), store.Limit(f.Limit))], nil
	}))
}

func (s *Store) UpdateUser(ctx context.Context, api, tenant, id string, change func(*sallyport.User) error) (*sallyport.User, int, error) {
	c, err := write(ctx, s, func(t *tables) (c changed[store.UserRow], err error) {
		before, err := t.user(api, tenant, id)
		if err != nil {
			return c, err
		}
		if c.row, err = before.Change(change); err != nil {
			return c, err
		}
		if err := t.checkLogin(c.row); err != nil {
			return c, fmt.Errorf("update %s: %w", before, err)
		}
		t.users[[3]string{api, tenant, id}] = c.row
		ends, err := before.EndsTokens(c.row)
		if ends {
			c.ended = t.endTokens(api, tenant, id)
		}
		return c, err
	})
	u, err := store.Value(c.row, err)
	return u, c.ended, err
}

// endTokens revokes the personal access tokens and grants of these users of a
// tenant, and returns how many were not revoked before.
func (t *tables) endTokens(api, tenant string, users ...string) (ended int) {
	return t.end(store.CauseUser, func(c store.CredentialRow) bool {
		return c.API == api && c.Tenant == tenant && c.User != "" && slices.Contains(users, c.User) && c.EndsWithUser()
	})
}

// end revokes the credentials that are meant, and returns how many were not
// revoked before.
func (t *tables) end(cause string, meant func(store.CredentialRow) bool) (ended int) {
	for i, c := range t.credentials {
		if meant(c) && c.State != sallyport.Revoked.String() {
			t.credentials[i] = c.Ended(cause)
			ended++
		}
	}
	return ended
}

// growHolders adds one to the epochs of a tenant's credentials that hold one of
// these roles themselves.
func (t *tables) growHolders(api, tenant string, roles []string) error {
	for i, c := range t.credentials {
		if c.API != api || c.Tenant != tenant || c.State == sallyport.Revoked.String() {
			continue
		}
		holds, err := c.Holds(roles)
		if err != nil {
			return err
		}
		if holds {
			t.credentials[i].Epoch++
		}
	}
	return nil
}
