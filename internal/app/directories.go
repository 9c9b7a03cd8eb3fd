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

	// What was loaded and told the last time.
	ready   bool
	faults  []sallyport.Fault
	notices []sallyport.Fault
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
	a.loadDirectories(true)
}

// loadDirectories puts in force what the folders say now, if that has changed or
// it is the first time, and tells what is new of faults and notices.
func (a *App) loadDirectories(first bool) {
	d := a.directories
	l := d.loader.Load()
	if first || l.Changed || l.Ready != d.ready {
		a.limits.Enforce(&ratelimit.Directories{Set: l.Set, Ready: l.Ready, Headers: d.names, Closed: d.closed})
		a.log.Info("rate limit files loaded", "domains", len(l.Set.Domains()), "faults", len(l.Faults), "ready", l.Ready)
	}
	differ := !slices.Equal(l.Faults, d.faults)
	if differ {
		for _, f := range l.Faults {
			a.log.Error("a rate limit file is kept out", "fault", f.String())
		}
	}
	if differ || l.Changed && !first {
		a.reloads.Record(len(l.Faults) == 0, a.now())
	}
	if !slices.Equal(l.Notices, d.notices) {
		for _, n := range l.Notices {
			a.log.Warn("rate limit file", "notice", n.String())
		}
	}
	d.ready, d.faults, d.notices = l.Ready, l.Faults, l.Notices
	if a.directoriesReady.Swap(l.Ready) != l.Ready && a.health != nil {
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
	every(ctx, a.directories.poll, func() { a.loadDirectories(false) })
}
