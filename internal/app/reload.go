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
	"github.com/sallyport/sallyport/envoy/xds"
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
	if faults := slices.Concat(a.fixed(c), a.untoldEnvoys(c), c.Absent); len(faults) > 0 {
		return admin.Faults(faults)
	}
	var told *xds.Resources
	if a.envoys != nil {
		var err error
		if told, err = a.envoys.prepare(c.Policy); err != nil {
			return err
		}
	}
	if err := a.enforce(c.Policy); err != nil {
		return err
	}
	if told != nil { // after: what Envoy asks about, Check has to know
		if err := a.envoys.server.Set(told); err != nil {
			return err
		}
	}
	for _, n := range c.Notices {
		a.log.Warn("configuration", "notice", n.String())
	}
	return nil
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

// untold says what of c Envoy would have to tell in its access log, where the
// Envoy that runs may have none that does.
//
// Without it a slot is held until its lease ends, so that the first limit of
// concurrency would refuse callers for half a minute at a time, however few of
// their requests are in flight; and costs that answers tell would not be counted.
// A warning in a log is no answer to that.
//
// Two things tell that Envoy has it. One is the configuration that this process
// was started with, since that is when operators set both up. The other, where
// that one asked for nothing, is a stream of the access log: an Envoy that opened
// one was configured for what is to come. Where the start did ask for something, a
// stream shows no more than that. No stream shows nothing at all, as Envoy opens
// it with its first entry and may have had none to write: who has configured Envoy
// by hand is therefore refused too, and restarts this server, as the fault says. A
// start takes the file as it is.
func (a *App) untold(c *config.Config) (faults []sallyport.Fault) {
	had := newsFor(a.config.Policy)
	if len(had) == 0 && a.streams.Opened() {
		return nil
	}
	for _, n := range newsFor(c.Policy) {
		if !slices.ContainsFunc(had, n.same) {
			faults = append(faults, sallyport.Fault{
				File: c.File, Path: n.path, Text: n.text + ", and the Envoy that runs may not have been configured to tell it",
				Hint: "generate Envoy's configuration from this file, restart Envoy with it, and then restart this server",
			})
		}
	}
	return faults
}

// news is what a part of the configuration needs to hear through Envoy's access
// log.
type news struct {
	api    string // where the API is behind people's own Envoys; "" is the one whose configuration is generated
	header string // of answers, which tells a cost; "": that requests have ended
	path   string
	text   string
}

func (n news) same(as news) bool { return n.api == as.api && n.header == as.header }

// newsFor lists the news that p needs, each once: with the first that needs it.
func newsFor(p *sallyport.Policy) (all []news) {
	add := func(api *sallyport.API, n news) {
		if len(api.Hosts) == 0 {
			n.api = api.Name
		}
		if !slices.ContainsFunc(all, n.same) {
			all = append(all, n)
		}
	}
	for _, api := range p.APIs {
		at := "apis." + api.Name
		for i, l := range api.Limits {
			if l.Concurrency > 0 {
				add(api, news{path: fmt.Sprintf("%s.limits[%d].concurrency", at, i),
					text: fmt.Sprintf("limit %q holds slots until Envoy's access log tells that requests have ended", l.Name)})
			}
		}
		for _, op := range api.Operations {
			if h := op.Cost.Response; h != "" {
				add(api, news{header: h, path: at + ".operations",
					text: fmt.Sprintf("operation %q counts what Envoy's access log tells of the header %s of answers", op.Name, h)})
			}
		}
	}
	return all
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
	if err := a.keepKeys(p); err != nil {
		return err
	}
	providers, err := a.newProviders(p)
	if err != nil {
		return err
	}
	tokens, abandon, err := a.tokens.Prepare(p)
	if err != nil {
		return err
	}
	if err := a.keepRoles(p); err != nil {
		abandon()
		return err
	}
	a.checks.Know(p)
	if a.redis != nil {
		a.redis.Know(p)
		a.sharedSlots.Know(p)
	}
	limits() // first: what a Check names, the rate limit service has to know
	a.providers.Store(&providers)
	tokens() // before checks, which makes known tokens be verified anew
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
