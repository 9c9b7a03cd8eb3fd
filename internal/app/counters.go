package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/telemetry"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/redis"
)

// sweepEvery is how often counters in this process that cannot matter any more
// are forgotten.
const sweepEvery = time.Minute

// openCounters opens what the configuration counts with.
func (a *App) openCounters(ctx context.Context, c *config.Config) error {
	if len(c.Counters.Redis) > 0 {
		return a.openRedis(ctx, &c.Counters)
	}
	memory := ratelimit.NewMemory()
	a.counters, a.memory = memory, memory
	path := c.CountersFile()
	if path == "" {
		return nil
	}
	journal, lost, err := ratelimit.OpenJournal(path, memory, a.now())
	if err != nil {
		return err
	}
	if lost != nil {
		a.log.Error("counters were not all read; what is missing counts from nothing", "file", path, "error", lost)
	}
	if a.journal = journal; journal.Waiting() {
		a.log.Info("counters are another process's until it ends; what it has counted is added then", "file", path)
	}
	return nil
}

// keepCounters keeps the counters of this process until ctx ends.
func (a *App) keepCounters(ctx context.Context) {
	if a.journal != nil {
		a.background.Go(func() {
			a.journal.Run(ctx, a.now, func(err error) { a.log.Error("counters are not kept", "error", err) })
		})
	}
	switch {
	case a.reserve != nil:
		every(ctx, giveBackEvery, a.sweepReserve)
	case a.memory != nil:
		every(ctx, sweepEvery, func() { a.memory.Sweep(a.now()) })
	}
}

// every does something again and again until ctx ends.
func every(ctx context.Context, pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			do()
		}
	}
}

// closeCounters keeps what was counted last.
func (a *App) closeCounters() {
	if a.sharedSlots != nil {
		a.sharedSlots.Close()
	}
	if a.reserve != nil {
		a.closeReserve()
	}
	if a.redis != nil {
		a.redis.Close()
	}
	if a.journal != nil {
		if err := a.journal.Close(a.now()); err != nil {
			a.log.Error("close counters", "error", err)
		}
	}
}

// slots are leases, and how many are held.
type slots interface {
	ratelimit.Leases
	InFlight(limit *sallyport.Limit, s *sallyport.Subject) int
}

var _ extauthz.Slots = slots(nil)

// openSlots opens the slots of limits of concurrency: where instances share
// counters, they share these too.
func (a *App) openSlots(registry *prometheus.Registry) {
	if a.redis == nil {
		own := ratelimit.NewSlots(a.now)
		a.slots = own
		registry.MustRegister(telemetry.Slots{Held: own.Held, Expired: own.Expired})
		return
	}
	a.sharedSlots = redis.NewSlots(a.redis)
	a.slots = a.sharedSlots
	registry.MustRegister(telemetry.Slots{
		Held: func() int { return a.sharedSlots.State().Local }, Expired: func() uint64 { return a.sharedSlots.State().Expired },
	})
}

// maxCosts of answers wait at a time to be taken.
const maxCosts = 4096

// owe notes what an answer told that its request counts for. The access log's
// reader does not wait for the counters: it has slots to release.
func (a *App) owe(_ context.Context, s ratelimit.Spent) {
	select {
	case a.costs <- s:
	default:
		a.log.Warn("the cost of an answer was not counted: too many wait")
	}
}

// spend takes what answers have told until no more can come.
func (a *App) spend() {
	for s := range a.costs {
		a.limits.Spend(context.Background(), s)
	}
}

// limitsAsSeen shows administrators the counters.
type limitsAsSeen struct {
	counters ratelimit.Counters
	slots    slots
	now      func() time.Time
}

var _ admin.Limits = limitsAsSeen{}

func (l limitsAsSeen) call(s *sallyport.Subject, charges []sallyport.Charge, hits uint64) ratelimit.Call {
	return ratelimit.Call{Now: l.now(), Subject: s, Charges: charges, Hits: hits}
}

func (l limitsAsSeen) Look(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge) ([]admin.Standing, error) {
	seen, err := l.counters.Look(ctx, l.call(s, charges, 0))
	if err != nil {
		return nil, fmt.Errorf("look at counters: %w", err)
	}
	all := make([]admin.Standing, len(seen))
	for i, one := range seen {
		all[i] = admin.Standing(one)
	}
	return all, nil
}

func (l limitsAsSeen) Reset(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge) error {
	return l.counters.Reset(ctx, l.call(s, charges, 0))
}

func (l limitsAsSeen) Refund(ctx context.Context, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) error {
	return l.counters.Refund(ctx, l.call(s, charges, hits))
}

func (l limitsAsSeen) InFlight(s *sallyport.Subject, limit *sallyport.Limit) int {
	return l.slots.InFlight(limit, s)
}
