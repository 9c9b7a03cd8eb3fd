package anomaly

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// Store keeps credentials. UpdateCredential returns change's error as it is, and
// then changes nothing; others wrap sallyport.ErrNotFound where the credential is
// not there.
type Store interface {
	UpdateCredential(ctx context.Context, api, tenant, id string, uniqueName bool, change func(*sallyport.Credential) error) (*sallyport.Credential, error)
}

// Forgetter is the memory of what the store holds: when ForgetCredential returns,
// the change is in force.
type Forgetter interface {
	ForgetCredential(id string)
}

// Counts are the metrics of what was done.
type Counts interface {
	Acted(api, rule string, action sallyport.Action)
	// Lost: nothing was done about a crossing, for a reason from a short list.
	Lost(api, rule, why string)
}

// Why a crossing was lost.
const (
	LostQueue = "queue" // too many waited
	LostStore = "store" // the store did not take the change
)

// Actor does what rules ask for when they are crossed. Each is a line in the log,
// at Warn, and a count; a credential that is disabled or revoked keeps the cause
// with its state, which is the record of it: it is shown with the credential until
// the state is another.
type Actor struct {
	store   Store
	changed Forgetter
	counts  Counts
	log     *slog.Logger
	queue   chan Crossing
}

const (
	maxWaiting  = 1024
	tries       = 4
	firstPause  = 250 * time.Millisecond // doubled after each try
	storeTime   = 10 * time.Second       // for one try
	partingTime = 2 * time.Second        // for all that wait at the end
)

// NewActor returns an Actor; Run makes it act.
func NewActor(store Store, changed Forgetter, counts Counts, log *slog.Logger) *Actor {
	return &Actor{store: store, changed: changed, counts: counts, log: log, queue: make(chan Crossing, maxWaiting)}
}

// Take notes that something is to be done about c. It does not block: where too
// much waits already, it says that nothing will be done.
func (a *Actor) Take(c Crossing) {
	select {
	case a.queue <- c:
	default:
		a.counts.Lost(c.API, c.Rule.Name, LostQueue)
		a.log.Error("anomalous use, about which nothing was done: too much waits", c.attrs()...)
	}
}

// Run acts until ctx ends, and then does what waits.
func (a *Actor) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case c := <-a.queue:
			a.act(ctx, c)
		case <-ctx.Done():
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), partingTime)
	defer cancel()
	for {
		select {
		case c := <-a.queue:
			a.act(ctx, c)
		default:
			return
		}
	}
}

// act does about c what its rule says.
func (a *Actor) act(ctx context.Context, c Crossing) {
	if c.Foreign { // whoever made it can end it
		c.Rule.Action = sallyport.ActionAlert
	}
	if c.Rule.Action != sallyport.ActionAlert {
		switch err := a.endPatiently(ctx, c); {
		case errors.Is(err, errEnded), errors.Is(err, errRenewed), errors.Is(err, sallyport.ErrNotFound):
			return // it was done, or undone, by another
		case err != nil:
			a.counts.Lost(c.API, c.Rule.Name, LostStore)
			a.log.Error("anomalous use, about which nothing was done: the store failed", append(c.attrs(), slog.Any("error", err))...)
			return
		}
	}
	a.counts.Acted(c.API, c.Rule.Name, c.Rule.Action)
	a.log.Warn("anomalous use", c.attrs()...)
}

// endPatiently tries again where the store fails, after a pause.
func (a *Actor) endPatiently(ctx context.Context, c Crossing) (err error) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for try := range tries {
		pause.Reset(firstPause << try)
		err = a.end(ctx, c)
		if err == nil || errors.Is(err, errEnded) || errors.Is(err, errRenewed) || errors.Is(err, sallyport.ErrNotFound) || try == tries-1 {
			return err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return err
		}
	}
	return err
}

// Why there is nothing to end.
var (
	errEnded   = errors.New("the credential has ended already")
	errRenewed = errors.New("the credential was given a new beginning")
)

// end disables or revokes the credential of c, as an administrator does: its tokens
// end with it, and when it returns the caches know. They are told also where the
// store failed: it may have made the change all the same.
func (a *Actor) end(ctx context.Context, c Crossing) error {
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	_, err := a.store.UpdateCredential(ctx, c.API, c.Tenant, c.Credential, false, func(credential *sallyport.Credential) error {
		to := sallyport.Disabled
		if c.Rule.Action == sallyport.ActionRevoke {
			to = sallyport.Revoked
		}
		switch {
		case credential.State == sallyport.Revoked, credential.State == to:
			return errEnded
		case credential.State == sallyport.Active && credential.Epoch != c.Epoch:
			return errRenewed
		}
		credential.State, credential.Cause = to, c.cause()
		return nil
	})
	a.changed.ForgetCredential(c.Credential)
	return err
}

// cause says why, for people.
func (c *Crossing) cause() string {
	return fmt.Sprintf("anomaly %s: %d %s in %s", c.Rule.Name, c.Count, c.Rule.Of, c.length())
}

// length is the rule's time as its author writes it.
func (c *Crossing) length() string {
	_, length, _ := strings.Cut(sallyport.Window{Max: 1, Length: c.Rule.In}.String(), "/")
	return length
}

func (c *Crossing) attrs() []any {
	return []any{
		slog.String("api", c.API), slog.String("tenant", c.Tenant), slog.String("credential", c.Credential),
		slog.String("rule", c.Rule.Name), slog.String("measure", c.Rule.Of.String()), slog.Uint64("count", c.Count),
		slog.Uint64("over", c.Rule.Over), slog.String("in", c.length()), slog.String("action", c.Rule.Action.String()),
	}
}
