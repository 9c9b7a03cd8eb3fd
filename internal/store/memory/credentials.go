package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func (s *Store) CreateCredential(ctx context.Context, n sallyport.NewCredential) error {
	r, err := store.NewCreation(&n)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		if err := t.insert(r); err != nil {
			return fmt.Errorf("create %s: %w", r, err)
		}
		return nil
	})
}

func (s *Store) ImportCredentials(ctx context.Context, list []sallyport.NewCredential) ([]sallyport.Imported, error) {
	rows, err := store.NewCreations(list)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return write(ctx, s, func(t *tables) ([]sallyport.Imported, error) {
		all := make([]sallyport.Imported, len(rows))
		var refused store.Refusals
		for i, r := range rows {
			var err error
			if known, ok := t.secrets[r.Digest]; ok { // never of what has no digest
				all[i], err = r.Known(t.credentials[t.at(known.credential)])
			} else {
				all[i], err = sallyport.Imported{ID: r.ID}, t.insert(r)
			}
			if err != nil && !refused.Add(i, fmt.Errorf("%s: %w", r, err)) {
				break
			}
		}
		if err := refused.Err(); err != nil {
			return nil, fmt.Errorf("import: %w", err)
		}
		return all, nil
	})
}

func (t *tables) insert(r store.Creation) error {
	if r.User != "" {
		u, err := t.user(r.API, r.Tenant, r.User)
		if err == nil {
			err = u.Takes(r.CredentialRow)
		}
		if err != nil {
			return err
		}
	}
	if r.UniqueName {
		if err := t.checkName(r.CredentialRow); err != nil {
			return err
		}
	}
	if _, ok := t.secrets[r.Digest]; ok || t.at(r.ID) >= 0 {
		return sallyport.ErrConflict
	}
	if _, err := t.tenant(r.API, r.Tenant); err != nil {
		return err
	}
	t.credentials = append(t.credentials, r.CredentialRow)
	if r.HasSecret() {
		t.secrets[r.Digest] = secret{credential: r.ID, pepper: r.Pepper}
	}
	return nil
}

func (t *tables) checkName(r store.CredentialRow) error {
	for _, c := range t.credentials {
		if c.ID != r.ID && c.API == r.API && c.Tenant == r.Tenant && c.Name == r.Name && c.State != sallyport.Revoked.String() {
			return fmt.Errorf("its name: %w", sallyport.ErrConflict)
		}
	}
	return nil
}

// at returns where a credential is; -1 where there is none.
func (t *tables) at(id string) int {
	return slices.IndexFunc(t.credentials, func(c store.CredentialRow) bool { return c.ID == id })
}

// find returns a credential and where it is.
func (t *tables) find(api, tenant, id string) (f store.Found, at int, err error) {
	at = t.at(id)
	if at < 0 || !owned(sallyport.CredentialFilter{API: api, Tenant: tenant}, t.credentials[at]) {
		return f, at, fmt.Errorf("%s: %w", store.CredentialRow{ID: id}, sallyport.ErrNotFound)
	}
	return t.found(t.credentials[at]), at, nil
}

func (t *tables) found(r store.CredentialRow) store.Found {
	return store.Found{Credential: r, Tenant: t.tenants[[2]string{r.API, r.Tenant}], User: t.users[[3]string{r.API, r.Tenant, r.User}]}
}

func (s *Store) Credential(ctx context.Context, api, tenant, id string) (*sallyport.Credential, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.Found, error) {
		f, _, err := t.find(api, tenant, id)
		return f, err
	}))
}

func (s *Store) Credentials(ctx context.Context, f sallyport.CredentialFilter) ([]*sallyport.Credential, error) {
	return store.Values(read(ctx, s, func(t *tables) (list []store.Found, _ error) {
		older := t.credentials
		if f.After != "" {
			at := t.at(f.After)
			if at < 0 || !owned(f, older[at]) {
				return nil, fmt.Errorf("list credentials: %w", sallyport.ErrNotFound)
			}
			older = older[:at]
		}
		for _, r := range slices.Backward(older) {
			if owned(f, r) && selects(f, r) && len(list) < store.Limit(f.Limit) {
				list = append(list, t.found(r))
			}
		}
		return list, nil
	}))
}

// owned reports whether f selects r by what never changes.
func owned(f sallyport.CredentialFilter, r store.CredentialRow) bool {
	return (f.API == "" || f.API == r.API) && (f.Tenant == "" || f.Tenant == r.Tenant) && (f.User == "" || f.User == r.User) &&
		(f.Client == "" || f.Client == r.ClientID)
}

func selects(f sallyport.CredentialFilter, r store.CredentialRow) bool {
	return (f.Kind == "" || f.Kind == r.Kind) && (f.Name == "" || f.Name == r.Name) &&
		(f.State == sallyport.StateUnknown || f.State.String() == r.State)
}

func (s *Store) UpdateCredential(ctx context.Context, api, tenant, id string, uniqueName bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error) {
	return store.Value(write(ctx, s, func(t *tables) (store.Found, error) {
		before, at, err := t.find(api, tenant, id)
		if err != nil {
			return before, err
		}
		after, err := before.Change(change)
		if err != nil {
			return after, err
		}
		if uniqueName && after.Credential.Name != before.Credential.Name {
			if err := t.checkName(after.Credential); err != nil {
				return after, fmt.Errorf("update %s: %w", after.Credential, err)
			}
		}
		t.credentials[at] = after.Credential
		t.follow(before, after)
		return after, nil
	}))
}

// follow does what comes with the change of a credential.
func (t *tables) follow(before, after store.Found) {
	id := after.Credential.ID
	if after.Secretless() {
		maps.DeleteFunc(t.secrets, func(_ sallyport.Digest, s secret) bool { return s.credential == id })
	}
	if before.Credential.EndsGrants(after.Credential) {
		t.end(store.CauseClient, func(c store.CredentialRow) bool { return c.ClientID == id })
	}
}

func (s *Store) RollCredential(ctx context.Context, api, tenant, id string, roll func(*sallyport.Credential) (sallyport.Roll, error)) (*sallyport.Credential, error) {
	return store.Value(write(ctx, s, func(t *tables) (after store.Rolled, err error) {
		before, at, err := t.find(api, tenant, id)
		if err != nil {
			return after, err
		}
		if after, err = before.Roll(roll); err != nil {
			return after, err
		}
		if _, ok := t.secrets[after.Digest]; ok {
			return after, fmt.Errorf("update %s: %w", after.Credential, sallyport.ErrConflict)
		}
		for d, old := range maps.Clone(t.secrets) {
			switch {
			case old.credential != id:
			case old.end.Valid && old.end.V <= after.Now.V:
				delete(t.secrets, d)
			case !old.end.Valid || old.end.V > after.OldEnd.V:
				old.end = after.OldEnd
				t.secrets[d] = old
			}
		}
		t.secrets[after.Digest] = secret{credential: id, pepper: after.Pepper}
		t.credentials[at] = after.Credential
		return after, nil
	}))
}

func (s *Store) RenewSecret(ctx context.Context, before, after sallyport.Digest, pepper int) error {
	if err := store.CheckDigest(after); err != nil {
		return fmt.Errorf("renew secret: %w", err)
	}
	return do(ctx, s, func(t *tables) error {
		old, ok := t.secrets[before]
		if !ok {
			return fmt.Errorf("renew secret: %w", sallyport.ErrNotFound)
		}
		renewed := secret{credential: old.credential, pepper: pepper, end: old.end}
		if other, ok := t.secrets[after]; ok && before != after {
			if other.credential != old.credential {
				return fmt.Errorf("renew secret: %w", sallyport.ErrConflict)
			}
			renewed = other
		}
		delete(t.secrets, before)
		t.secrets[after] = renewed
		return nil
	})
}

func (s *Store) Peppers(ctx context.Context) (map[int]int, error) {
	return read(ctx, s, func(t *tables) (map[int]int, error) {
		counts, err := t.otherPeppers()
		if err != nil {
			return nil, err
		}
		for _, kept := range t.secrets {
			counts[kept.pepper]++
		}
		return counts, nil
	})
}

func (s *Store) OtherPeppers(ctx context.Context) (map[int]int, error) {
	return read(ctx, s, (*tables).otherPeppers)
}

func (t *tables) otherPeppers() (map[int]int, error) {
	counts := map[int]int{}
	for _, kept := range t.grantSecrets {
		if !kept.Spent {
			counts[kept.Pepper]++
		}
	}
	for _, key := range t.signingKeys {
		counts[key.Pepper]++
	}
	for _, r := range t.senders {
		peppers, err := r.Peppers()
		if err != nil {
			return nil, err
		}
		for _, version := range peppers {
			counts[version]++
		}
	}
	return counts, nil
}

func (s *Store) UncheckedPrefixes(ctx context.Context) ([][2]string, error) {
	return read(ctx, s, func(t *tables) (list [][2]string, _ error) {
		for _, c := range t.credentials {
			if p := [2]string{c.API, c.Prefix}; c.Unchecked && c.State != sallyport.Revoked.String() && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
		slices.SortFunc(list, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
		return list, nil
	})
}

func (s *Store) ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.Found, error) {
		kept, ok := t.secrets[d]
		if !ok {
			return store.Found{}, fmt.Errorf("credential by digest: %w", sallyport.ErrNotFound)
		}
		f, _, err := t.find("", "", kept.credential)
		f.End = kept.end
		return f, err
	}))
}

func (s *Store) Digests(ctx context.Context, yield func(d sallyport.Digest, pepper int) error) error {
	all, err := read(ctx, s, func(t *tables) (map[sallyport.Digest]secret, error) { return maps.Clone(t.secrets), nil })
	if err != nil {
		return err
	}
	for d, kept := range all {
		if err := yield(d, kept.pepper); err != nil {
			return err
		}
	}
	return nil
}
