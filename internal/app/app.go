package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/accept"
	"github.com/sallyport/sallyport/internal/anomaly"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/oauth"
	"github.com/sallyport/sallyport/internal/store/sqlite"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/redis"
)

// Options is what a server needs besides its configuration.
type Options struct {
	Config  *config.Config
	Reload  func() (*config.Config, []sallyport.Fault) // reads the configuration again; nil: it cannot change
	XDS     *envoy.Options                             // what Envoys are told that ask us for their configuration; nil: nobody may ask
	Version string
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// App is a server that is bound and ready to run.
type App struct {
	log        *slog.Logger
	now        func() time.Time
	config     *config.Config // as the server was started with
	read       func() (*config.Config, []sallyport.Fault)
	reloading  sync.Mutex
	policy     atomic.Pointer[sallyport.Policy]
	authorizer *extauthz.Authorizer
	keyring    *oauth.Keyring
	tokens     *accept.Tokens
	providers  atomic.Pointer[providers]
	oauth      *oauth.Server
	limits     *ratelimit.Server
	counters   ratelimit.Counters
	memory     *ratelimit.Memory  // the same, where they are in this process
	journal    *ratelimit.Journal // of memory; nil where it is not kept
	redis      *redis.Counters    // the same, where instances share them
	reserve    *ratelimit.Reserve // of redis; nil: none is kept

	sharedSlots *redis.Slots // slots, where instances share them
	slots       slots
	streams     *ratelimit.AccessLog
	costs       chan ratelimit.Spent

	directories      *directories // nil: none are configured
	directoriesReady atomic.Bool
	envoys           *envoys // nil: they are not configured by us
	watch            *anomaly.Watch
	anomalies        *anomaly.Actor
	checks           *telemetry.Checks
	reloads          *telemetry.Reloads
	store            *sqlite.Store
	hasher           *apikey.Hasher
	renewals         chan renewal
	background       sync.WaitGroup
	finder           *extauthz.Finder
	reads            *telemetry.StoreReads // of finder
	senders          *extauthz.Senders
	grpc             *grpc.Server
	health           *health.Server
	http             *http.Server
	listeners        []net.Listener // of grpc
	httpListen       net.Listener
	adminToken       apikey.Secret
	tokenMade        bool
}

// drain is how long requests in flight are waited for at the end.
const drain = time.Second

// New opens the store, compiles the policy and binds the listeners. On an error
// nothing stays open.
func New(ctx context.Context, o Options) (_ *App, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &App{
		log: o.Log, now: o.Now, config: o.Config, read: o.Reload, reads: new(telemetry.StoreReads),
		renewals: make(chan renewal, maxRenewals), costs: make(chan ratelimit.Spent, maxCosts),
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()

	if a.hasher, err = newHasher(o.Config.Peppers); err != nil {
		return nil, err
	}
	if a.store, err = openStore(ctx, o.Config.Store); err != nil {
		return nil, err
	}
	var peppers map[int]int
	if a.finder, peppers, err = a.newFinder(ctx, o.Config.Cache); err != nil {
		return nil, err
	}
	if err := a.resealSenders(ctx, o.Config.Policy); err != nil {
		return nil, err
	}
	if err := a.knowSecrets(ctx, peppers); err != nil {
		return nil, err
	}
	a.checks, a.reloads = new(telemetry.Checks), new(telemetry.Reloads)
	if err := a.openCounters(ctx, o.Config); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	a.openSlots(registry)
	a.authorizer = extauthz.New(a.hasher, a.finder, ratelimit.Limiter{Counters: a.counters}, a.slots, o.Now)
	a.openOAuth()
	if a.senders, err = extauthz.NewSenders(a.store, a.finder, a.hasher); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	a.authorizer.AcceptWebhooks(a.senders)
	rules := new(telemetry.Rules)
	a.openAnomalies(registry)
	record := recorders{a.checks, shadowRecorder{rules}, a.watch}
	var log *telemetry.Log
	if l := o.Config.Log; l.Decisions != "none" && l.Rate > 0 {
		log = telemetry.NewLog(o.Log, l.Decisions == "all", int(l.Rate))
		record = append(record, log)
		registry.MustRegister(log)
	}
	a.limits = ratelimit.NewServer(a.counters, o.Now, limitRecorder{a.checks, log, rules, a.watch})
	a.streams = ratelimit.NewAccessLog(a.slots, o.Now, a.owe)
	if err := a.enforce(o.Config.Policy); err != nil {
		return nil, err
	}
	a.openDirectories(o.Config)
	if err := a.openXDS(o); err != nil {
		return nil, err
	}
	a.newGRPC(extauthz.NewServer(a.authorizer, record))
	if a.redis != nil {
		registry.MustRegister(telemetry.Counters(a.redisState))
	}
	registry.MustRegister(telemetry.AccessLog(a.streams.Malformed))
	if a.envoys != nil {
		registry.MustRegister(telemetry.XDS{Told: a.envoys.server})
	}
	registry.MustRegister(a.checks, a.reloads, a.reads, rules, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := a.newHTTP(ctx, o, registry); err != nil {
		return nil, err
	}
	if err := a.listen(o.Config.Listen); err != nil {
		return nil, err
	}
	return a, nil
}

// recorders are told one after the other.
type recorders []extauthz.Recorder

func (r recorders) Record(d *sallyport.Decision, took time.Duration) {
	for _, one := range r {
		one.Record(d, took)
	}
}

// shadowRecorder counts what limits in shadow would have refused in a Check.
type shadowRecorder struct{ rules *telemetry.Rules }

func (r shadowRecorder) Record(d *sallyport.Decision, _ time.Duration) {
	if d.Over != "" {
		r.rules.Record(d.Subject.API+"."+d.Over, "", max(1, d.Hits), true, true)
	}
}

// limitRecorder counts what the rate limit service answers, and logs and watches
// what it refuses; what passes, Check has told.
type limitRecorder struct {
	*telemetry.Checks
	log   *telemetry.Log // nil: none
	rules *telemetry.Rules
	watch *anomaly.Watch
}

func (r limitRecorder) Counted(c ratelimit.Counted) {
	r.rules.Record(c.Rule, c.Detail, c.Hits, c.Over, c.Shadow)
}

func (r limitRecorder) Refused(d *sallyport.Decision) {
	r.watch.Refused(d)
	if r.log != nil {
		r.log.Record(d, 0)
	}
}

// countedReads is the store as a Finder asks it.
type countedReads struct {
	store *sqlite.Store
	reads *telemetry.StoreReads
}

func (c countedReads) ByDigest(ctx context.Context, d sallyport.Digest) (*sallyport.Credential, error) {
	found, err := c.store.ByDigest(ctx, d)
	c.reads.Record(err)
	return found, err
}

// newFinder makes the credential cache over the store, with complete knowledge
// of the store's digests, and says how many of them are kept under each version of
// the pepper.
func (a *App) newFinder(ctx context.Context, c config.Cache) (*extauthz.Finder, map[int]int, error) {
	count, err := a.store.CountDigests(ctx)
	if err != nil {
		return nil, nil, err
	}
	filter := extauthz.NewFilter(2*count + 1<<16) // and as many that are made while it runs
	peppers := map[int]int{}
	err = a.store.Digests(ctx, func(d sallyport.Digest, pepper int) error {
		filter.Add(d)
		peppers[pepper]++
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	finder, err := extauthz.NewFinder(countedReads{a.store, a.reads}, extauthz.FinderOptions{
		Credentials: c.Credentials, Timeout: time.Duration(c.Timeout), Filter: filter, Renew: a.renew,
	})
	return finder, peppers, err
}

// Run serves until ctx ends or a listener fails, then drains. It returns nil
// where ctx ended it.
func (a *App) Run(ctx context.Context) error {
	failed := make(chan error, len(a.listeners)+1)
	for _, l := range a.listeners {
		go func() { failed <- a.grpc.Serve(pausing{l}) }()
	}
	go func() { failed <- a.http.Serve(a.httpListen) }()
	a.serving()
	watching, stop := context.WithCancel(context.Background())
	a.background.Go(func() { a.watchStore(watching) })
	a.background.Go(func() { a.renewSecrets(watching) })
	a.background.Go(func() { a.keepCounters(watching) })
	a.background.Go(a.spend)
	a.background.Go(func() { a.keepTokens(watching) })
	a.background.Go(func() { a.anomalies.Run(watching) })
	a.background.Go(func() { every(watching, forgetEvery, func() { a.watch.Sweep(a.now()) }) })
	if a.directories != nil {
		a.background.Go(func() { a.watchDirectories(watching) })
	}

	var err error
	ended := 0
	select {
	case <-ctx.Done():
	case err = <-failed:
		ended++
		err = fmt.Errorf("serve: %w", err)
	}
	a.stop()
	close(a.costs) // the access log, which alone writes there, has ended
	stop()
	a.background.Wait()
	for ; ended <= len(a.listeners); ended++ {
		<-failed
	}
	a.close()
	return err
}

// stop refuses new work, waits for what is in flight, and then ends it.
func (a *App) stop() {
	a.health.Shutdown()
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	a.streams.Close() // its streams never end by themselves
	if a.envoys != nil {
		a.envoys.server.Close() // nor do these
	}
	done := make(chan struct{})
	go func() {
		a.grpc.GracefulStop()
		close(done)
	}()
	if err := a.http.Shutdown(ctx); err != nil {
		a.http.Close()
	}
	select {
	case <-done:
	case <-ctx.Done():
		a.grpc.Stop()
		<-done
	}
}

// close releases what New opened. Listeners that were served are closed
// already, which is no error.
func (a *App) close() {
	if a.grpc != nil {
		a.grpc.Stop() // its workers run from its making on
	}
	for _, l := range append(a.listeners, a.httpListen) {
		if l != nil {
			l.Close()
		}
	}
	if a.tokens != nil {
		a.tokens.Close()
	}
	if a.senders != nil {
		a.senders.Close()
	}
	if a.finder != nil {
		a.finder.Close()
	}
	a.closeCounters()
	if a.store != nil {
		if err := a.store.Close(); err != nil {
			a.log.Error("close store", "error", err)
		}
	}
}

// GRPC returns the addresses that Envoy may ask: unix:///path or host:port.
func (a *App) GRPC() []string {
	var all []string
	for _, l := range a.listeners {
		all = append(all, address(l))
	}
	return all
}

// HTTP returns the address of the admin API, metrics and health.
func (a *App) HTTP() string { return address(a.httpListen) }

// AdminToken returns the token that New made because there was none, for its
// one showing.
func (a *App) AdminToken() (token apikey.Secret, made bool) { return a.adminToken, a.tokenMade }
