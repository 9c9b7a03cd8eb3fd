package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"
)

// patience is how long the gate may take to do what it does by itself: see that
// its file has changed, or that Redis is back. On a machine that rests it takes
// about one second.
const patience = 10 * time.Second

// pause waits for d, and returns false at once where over is closed before.
func pause(over <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-over:
		return false
	case <-t.C:
		return true
	}
}

// await asks until done, for as long as patience lasts.
func await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		switch ok, err := done(); {
		case err != nil:
			return fmt.Errorf("%s: %w", what, err)
		case ok:
			return nil
		}
		if !pause(ctx.Done(), 20*time.Millisecond) {
			return fmt.Errorf("%s: not after %s", what, patience)
		}
	}
}

// renewals are the ways to put a configuration in force.
var renewals = []struct {
	name string
	ask  func(ctx context.Context, g *gate) error // nil: the gate sees it by itself
	sure bool                                     // it is in force when the call returns
}{
	{"reload by call", func(ctx context.Context, g *gate) error {
		return g.admin(ctx, http.MethodPost, "/admin/v1/reload", nil, nil)
	}, true},
	{"reload by signal", func(_ context.Context, g *gate) error { return g.cmd.Process.Signal(syscall.SIGHUP) }, false},
	{"reload by file", nil, false},
}

// renew puts one configuration after another in force, now and then one with a
// fault, until over is closed.
func (p *pool) renew(ctx context.Context, over <-chan struct{}) {
	for i := 0; pause(over, time.Second+rand.N(2*time.Second)); i++ {
		if err := p.renewOnce(ctx, i); err != nil {
			p.ledger.fault("reload", err)
		}
	}
}

func (p *pool) renewOnce(ctx context.Context, turn int) error {
	how := renewals[turn%len(renewals)]
	if turn%4 == 3 {
		if err := p.offerFaulty(ctx); err != nil {
			return err
		}
	}
	age := p.ages.begin()
	if err := p.write(age, ""); err != nil {
		return err
	}
	if how.ask != nil {
		if err := how.ask(ctx, p.gate); err != nil {
			return fmt.Errorf("%s: %w", how.name, err)
		}
	}
	if !how.sure {
		if err := await(ctx, how.name, func() (bool, error) { return p.inForce(ctx, age) }); err != nil {
			return err
		}
	}
	p.ages.settle()
	p.ledger.event(how.name)
	return nil
}

// offerFaulty has the gate read a configuration with a fault, which it must not
// take: answers tell that the one before stays in force.
func (p *pool) offerFaulty(ctx context.Context) error {
	least, _ := p.ages.now()
	if err := p.write(least+1, "\nnonsense: true\n"); err != nil {
		return err
	}
	err := p.gate.admin(ctx, http.MethodPost, "/admin/v1/reload", nil, nil)
	if !isRefused(err, http.StatusUnprocessableEntity) {
		return fmt.Errorf("a configuration with a fault: got %v, want a refusal", err)
	}
	p.ledger.event("reload refused for a fault")
	return nil
}

// inForce reports whether a stranger is refused by the configuration of that age.
func (p *pool) inForce(ctx context.Context, age int) (bool, error) {
	got, err := p.send(ctx, p.doors[0], question{method: http.MethodGet, path: chainPath, key: anyKey[0]})
	return got.age == age, err
}

// unsettle kills Redis again and again and starts it anew, with nothing in it,
// until over is closed.
func (p *pool) unsettle(ctx context.Context, over <-chan struct{}) {
	for pause(over, time.Second+rand.N(3*time.Second)) {
		if err := p.restartRedis(ctx); err != nil {
			p.ledger.fault("Redis", err)
		}
	}
}

// restartRedis leaves the gate without Redis for a moment, and returns when it
// uses the new one.
func (p *pool) restartRedis(ctx context.Context) error {
	p.calm.Lock()
	defer p.calm.Unlock()
	p.restarts.Add(1)
	p.redis.cmd.Process.Kill() // it may have ended already
	<-p.redis.ended
	pause(ctx.Done(), rand.N(time.Second))
	if err := p.startRedis(ctx); err != nil {
		return err
	}
	begin := time.Now()
	if err := await(ctx, "the gate uses Redis again", func() (bool, error) {
		m, err := p.gate.metrics(ctx)
		return m["sallyport_counters_lost"] == 0, err
	}); err != nil {
		return err
	}
	p.ledger.joined(time.Since(begin))
	p.ledger.event("restart of Redis")
	return nil
}
