package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
)

// Reload reads the configuration again and puts its policy in force: all of it,
// or where anything is wrong nothing, and the error, which is admin.Faults, says what. Requests in
// flight go on under the policy that they began with. Reloads come one after
// the other.
func (a *App) Reload(context.Context) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	err := a.reload()
	a.reloads.Record(err == nil, a.now())
	if err != nil {
		a.log.Error("the configuration was not loaded; the one before stays in force", "error", err)
		return err
	}
	a.log.Info("configuration loaded", "apis", len(a.policy.Load().APIs))
	return nil
}

func (a *App) reload() error {
	if a.read == nil {
		return errors.New("this server's configuration cannot change while it runs")
	}
	c, faults := a.read()
	if len(faults) > 0 {
		return admin.Faults(faults)
	}
	if faults := append(a.fixed(c), c.Absent...); len(faults) > 0 {
		return admin.Faults(faults)
	}
	before := needsAccessLog(a.policy.Load())
	if err := a.enforce(c.Policy); err != nil {
		return err
	}
	if !before && needsAccessLog(c.Policy) {
		a.log.Warn("limits now need Envoy's access log: generate its configuration again, or slots are free after half a minute only and what answers cost is not counted")
	}
	for _, n := range c.Notices {
		a.log.Warn("configuration", "notice", n.String())
	}
	return nil
}

// needsAccessLog reports whether p has limits that rest on the proxy's access log.
func needsAccessLog(p *sallyport.Policy) bool {
	for _, api := range p.APIs {
		if slices.ContainsFunc(api.Limits, func(l *sallyport.Limit) bool { return l.Concurrency > 0 }) ||
			slices.ContainsFunc(api.Operations, func(op *sallyport.Operation) bool { return op.Cost.Response != "" }) {
			return true
		}
	}
	return false
}

// fixed says what of c differs from what only a start can set.
func (a *App) fixed(c *config.Config) (faults []sallyport.Fault) {
	for _, f := range []struct {
		path      string
		was, made any
	}{
		{"listen", a.config.Listen, c.Listen},
		{"store", a.config.Store, c.Store},
		{"counters", a.config.Counters, c.Counters},
		{"ratelimit", a.config.RateLimit, c.RateLimit},
		{"pepper", a.config.Peppers, c.Peppers},
		{"admin", a.config.Admin, c.Admin},
		{"cache", a.config.Cache, c.Cache},
		{"log", a.config.Log, c.Log},
	} {
		if !reflect.DeepEqual(f.was, f.made) {
			faults = append(faults, sallyport.Fault{
				File: c.File, Path: f.path, Text: "differs from what the server was started with", Hint: "restart it, or change this back",
			})
		}
	}
	return faults
}

// enforce puts p in force everywhere, or nowhere.
func (a *App) enforce(p *sallyport.Policy) error {
	limits, err := a.limits.Prepare(p)
	if err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	checks, err := a.authorizer.Prepare(p)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	a.checks.Know(p)
	if a.redis != nil {
		a.redis.Know(p)
		a.sharedSlots.Know(p)
	}
	limits() // first: what a Check names, the rate limit service has to know
	checks()
	a.policy.Store(p)
	return nil
}

// watchEvery is how often the file is looked at.
const watchEvery = 500 * time.Millisecond

// Watch reloads whenever what stands in the file at path changes, until ctx
// ends. It looks at the content, so it does not matter how the file was
// written or replaced; a change counts once two looks in a row agree, so that a
// file which is being written is not taken half.
func (a *App) Watch(ctx context.Context, path string) {
	loaded := a.config.Sum
	seen := loaded
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now, err := fingerprint(path)
		if err != nil || now == loaded {
			continue // a file that is gone for a moment is being replaced
		}
		if now != seen {
			seen = now
			continue
		}
		loaded = now
		// Its error was logged and counted.
		_ = a.Reload(ctx)
	}
}

func fingerprint(path string) ([32]byte, error) {
	text, err := os.ReadFile(path)
	return sha256.Sum256(text), err
}
