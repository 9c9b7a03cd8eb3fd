package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/store"
)

func (s *Store) CreateSender(ctx context.Context, w sallyport.Sender) error {
	r, err := store.NewSenderRow(&w)
	if err != nil {
		return err
	}
	return do(ctx, s, func(t *tables) error {
		at := [2]string{r.API, r.ID}
		if _, ok := t.senders[at]; ok {
			return fmt.Errorf("create %s: %w", r, sallyport.ErrConflict)
		}
		if _, err := t.tenant(r.API, r.Tenant); err != nil {
			return fmt.Errorf("create %s: %w", r, err)
		}
		t.senders[at] = r
		return nil
	})
}

func (t *tables) sender(api, tenant, id string) (f store.FoundSender, err error) {
	r, ok := t.senders[[2]string{api, id}]
	if !ok || tenant != "" && tenant != r.Tenant {
		return f, fmt.Errorf("%s: %w", store.SenderRow{API: api, ID: id}, sallyport.ErrNotFound)
	}
	f.Sender = r
	f.Tenant, err = t.tenant(r.API, r.Tenant)
	return f, err
}

func (s *Store) Sender(ctx context.Context, api, id string) (*sallyport.Sender, error) {
	return store.Value(read(ctx, s, func(t *tables) (store.FoundSender, error) { return t.sender(api, "", id) }))
}

func (s *Store) Senders(ctx context.Context, api, tenant, after string, limit int) ([]*sallyport.Sender, error) {
	return store.Values(read(ctx, s, func(t *tables) (list []store.FoundSender, _ error) {
		for _, r := range t.senders {
			if r.API == api && r.ID > after && (tenant == "" || tenant == r.Tenant) {
				list = append(list, store.FoundSender{Sender: r, Tenant: t.tenants[[2]string{r.API, r.Tenant}]})
			}
		}
		slices.SortFunc(list, func(a, b store.FoundSender) int { return cmp.Compare(a.Sender.ID, b.Sender.ID) })
		return list[:min(len(list), store.Limit(limit))], nil
	}))
}

func (s *Store) UpdateSender(ctx context.Context, api, tenant, id string, change func(*sallyport.Sender) error) (*sallyport.Sender, error) {
	return store.Value(write(ctx, s, func(t *tables) (store.FoundSender, error) {
		f, err := t.sender(api, tenant, id)
		if err == nil {
			f, err = f.Change(change)
		}
		if err == nil {
			t.senders[[2]string{api, id}] = f.Sender
		}
		return f, err
	}))
}
