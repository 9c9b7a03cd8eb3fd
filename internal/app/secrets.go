package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
)

// knowSecrets learns from the store what it needs to read secrets at all: which
// prefixes have imports without a checksum, and under which peppers secrets are
// kept; peppers says that of those that have a digest.
func (a *App) knowSecrets(ctx context.Context, peppers map[int]int) error {
	unchecked, err := a.store.UncheckedPrefixes(ctx)
	if err != nil {
		return fmt.Errorf("read prefixes of imports: %w", err)
	}
	for _, u := range unchecked {
		a.finder.MarkUnchecked(u[0], u[1])
	}
	kept, err := a.store.OtherPeppers(ctx)
	if err != nil {
		return fmt.Errorf("read pepper versions: %w", err)
	}
	for version, secrets := range peppers {
		kept[version] += secrets
	}
	known := []int{a.hasher.Version()}
	for _, older := range a.hasher.Older() {
		known = append(known, older.Version())
	}
	for _, version := range slices.Sorted(maps.Keys(kept)) {
		switch {
		case !slices.Contains(known, version):
			a.log.Warn("secrets are kept under a pepper that is not configured: they are refused", "pepper_version", version, "secrets", kept[version])
		case version != a.hasher.Version():
			a.log.Info("secrets are kept under an older pepper: they are renewed when they are used", "pepper_version", version, "secrets", kept[version])
		}
	}
	return nil
}

// renewal is a secret that is to be kept under the current pepper.
type renewal struct {
	before, after sallyport.Digest
	pepper        int
}

// maxRenewals wait at a time; further ones come when they are used again.
const maxRenewals = 1024

func (a *App) renew(before, after sallyport.Digest, pepper int) {
	select {
	case a.renewals <- renewal{before, after, pepper}:
	default:
	}
}

// renewSecrets keeps secrets that were found under an older pepper under the
// current one, until ctx ends.
func (a *App) renewSecrets(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-a.renewals:
			a.finder.Expect(r.after)
			err := a.store.RenewSecret(ctx, r.before, r.after, r.pepper)
			a.finder.Known(r.after) // also on an error: it may have been renewed all the same
			switch {
			case err == nil:
			case !errors.Is(err, sallyport.ErrNotFound) && ctx.Err() == nil:
				a.log.Warn("a secret stays under an older pepper", "error", err)
			}
		}
	}
}

const (
	pingEvery   = time.Second
	pingTimeout = time.Second
)

// watchStore tells the finder while the store does not answer, until ctx ends:
// known credentials are served for a configured time then.
func (a *App) watchStore(ctx context.Context) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	down := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := a.now()
		ping, cancel := context.WithTimeout(ctx, pingTimeout)
		err := a.store.Ping(ping)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !down:
			down = true
			a.finder.Down(asked)
			a.log.Error("the store does not answer; known credentials are served from the cache", "error", err)
		case err == nil && down:
			down = false
			a.finder.Down(time.Time{})
			a.log.Info("the store answers again")
		}
	}
}
