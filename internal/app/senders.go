package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/seal"
	"github.com/sallyport/sallyport/internal/webhook"
)

// resealSenders seals under the current pepper what is sealed under an older one of
// the senders of p, so that the older one can be taken away: their secrets are not
// renewed by use, and only a start changes peppers.
func (a *App) resealSenders(ctx context.Context, p *sallyport.Policy) error {
	if len(a.hasher.Older()) == 0 {
		return nil
	}
	for _, api := range p.APIs {
		for after := ""; ; {
			page, err := a.store.Senders(ctx, api.Name, "", after, 0)
			if err != nil {
				return fmt.Errorf("read senders: %w", err)
			}
			if len(page) == 0 {
				break
			}
			for _, w := range page {
				if err := a.resealSender(ctx, w); err != nil {
					return err
				}
			}
			after = page[len(page)-1].ID
		}
	}
	return nil
}

func (a *App) resealSender(ctx context.Context, w *sallyport.Sender) error {
	old := func(s sallyport.SealedSecret) bool { return s.Pepper != a.hasher.Version() }
	if !slices.ContainsFunc(w.Secrets, old) {
		return nil
	}
	_, err := a.store.UpdateSender(ctx, w.API, "", w.ID, func(w *sallyport.Sender) error {
		for i, s := range w.Secrets {
			if old(s) {
				w.Secrets[i] = a.resealed(webhook.SealName(w.API, w.ID), s)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("seal the secrets of sender %q of %s: %w", w.ID, w.API, err)
	}
	return nil
}

// resealed is s under the current pepper; one that no pepper opens stays as it is.
func (a *App) resealed(name string, s sallyport.SealedSecret) sallyport.SealedSecret {
	sealer := seal.Under(a.hasher)
	if secret, err := sealer.Open(name, s.Sealed); err == nil {
		s.Sealed, s.Pepper = sealer.Seal(name, secret), a.hasher.Version()
	}
	return s
}
