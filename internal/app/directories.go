package app

import (
	"context"
	"slices"
	"time"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// directories are folders of rate limits that are looked at again and again.
type directories struct {
	loader *directory.Loader
	poll   time.Duration
	closed bool
	names  *sallyport.QuotaHeaders
	told   []sallyport.Fault // that have been logged
	ready  bool
}

// openDirectories reads the folders for the first time. Faults keep the server
// from being ready, and not from running: the files may be mended.
func (a *App) openDirectories(c *config.Config) {
	if len(c.RateLimit.Directories) == 0 {
		return
	}
	a.directories = &directories{
		loader: directory.NewLoader(c.RateLimit.Directories...),
		poll:   time.Duration(c.RateLimit.Poll), closed: c.Counters.OnLoss == "closed", names: c.RateLimit.Tell,
	}
	a.loadDirectories()
}

// loadDirectories puts in force what the folders say now, if that has changed.
func (a *App) loadDirectories() {
	d := a.directories
	set, changed, ready, faults := d.loader.Load()
	if changed || ready != d.ready || d.told == nil {
		d.ready = ready
		a.limits.Enforce(&ratelimit.Directories{Set: set, Ready: ready, Headers: d.names, Closed: d.closed})
		a.log.Info("rate limit files loaded", "domains", len(set.Domains()), "faults", len(faults), "ready", ready)
	}
	if !slices.Equal(faults, d.told) {
		for _, f := range faults {
			a.log.Error("a rate limit file is kept out", "fault", f.String())
		}
		a.reloads.Record(len(faults) == 0, a.now())
	}
	d.told = append([]sallyport.Fault{}, faults...)
	if a.directoriesReady.Swap(ready) != ready && a.health != nil {
		a.serving()
	}
}

// serving tells health checks whether the server may be asked.
func (a *App) serving() {
	status := healthv1.HealthCheckResponse_SERVING
	if a.directories != nil && !a.directoriesReady.Load() {
		status = healthv1.HealthCheckResponse_NOT_SERVING
	}
	a.health.SetServingStatus("", status)
}

// watchDirectories looks at the folders until ctx ends.
func (a *App) watchDirectories(ctx context.Context) {
	tick := time.NewTicker(a.directories.poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.loadDirectories()
		}
	}
}
