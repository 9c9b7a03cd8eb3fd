package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// bearer is a key as the soak knows it.
type bearer struct {
	ID     string `json:"key_id"`
	Secret string `json:"key"`
	old    string // its secret before it was rolled; "" for none
}

// step is one change of a key, and what its holder gets from the moment on when
// the change has been answered.
type step struct {
	name   string
	change func(ctx context.Context, g *gate, b *bearer) error
	now    outcome // with its secret
	before outcome // with the one before, where it was rolled
}

const keysPath = "/admin/v1/keys"

// roll gives a key a new secret; the one before is good for so long.
func roll(grace string) func(ctx context.Context, g *gate, b *bearer) error {
	return func(ctx context.Context, g *gate, b *bearer) error {
		b.old = b.Secret
		return g.admin(ctx, http.MethodPost, keysPath+"/"+b.ID+"/roll", map[string]any{"grace": grace}, b)
	}
}

// change makes a change of what a key is.
func change(in map[string]any) func(ctx context.Context, g *gate, b *bearer) error {
	return func(ctx context.Context, g *gate, b *bearer) error {
		return g.admin(ctx, http.MethodPatch, keysPath+"/"+b.ID, in, nil)
	}
}

func revoke(ctx context.Context, g *gate, b *bearer) error {
	return g.admin(ctx, http.MethodPost, keysPath+"/"+b.ID+"/revoke", nil, nil)
}

// theEnd comes after all lives.
var theEnd = step{"revoked", revoke, unknown, unknown}

// lives are what becomes of keys, each of which passes when it begins.
var lives = [][]step{
	{},
	{{"rolled at once", roll("0"), passes, unknown}},
	{{"rolled with grace", roll("1h"), passes, passes}},
	{
		{"disabled", change(map[string]any{"state": "disabled"}), unknown, unknown},
		{"enabled", change(map[string]any{"state": "active"}), passes, unknown},
	},
	{
		{"narrowed", change(map[string]any{"scopes": []string{"orders:write"}}), narrow, unknown},
		{"widened", change(map[string]any{"scopes": []string{"orders:read"}}), passes, unknown},
	},
}

// newKey makes a key that may read, with a plan of its own where one is named.
func (g *gate) newKey(ctx context.Context, plan string) (b bearer, err error) {
	err = g.admin(ctx, http.MethodPost, keysPath, map[string]any{
		"api": "orders", "tenant": "t1", "scopes": []string{"orders:read"}, "plan": plan,
	}, &b)
	return b, err
}

// ring keeps the last secrets that are good no more. Safe for concurrent use.
type ring struct {
	mu   sync.Mutex // guards both
	all  []string
	next int
}

const mostDead = 1000

func (r *ring) add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range secrets {
		switch {
		case s == "":
		case len(r.all) < mostDead:
			r.all = append(r.all, s)
		default:
			r.all[r.next] = s
			r.next = (r.next + 1) % mostDead
		}
	}
}

// any returns one of them, or "".
func (r *ring) any() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		return ""
	}
	return r.all[rand.IntN(len(r.all))]
}

// turnover lets one key after another live and end, until over is closed.
func (p *pool) turnover(ctx context.Context, over <-chan struct{}, dead *ring) {
	for i := 0; pause(over, 200*time.Millisecond); i++ {
		var err error
		switch turn := i % (len(lives) + 2); turn {
		case len(lives):
			err = p.spend(ctx)
		case len(lives) + 1:
			err = p.spendAnyhow(ctx, over)
		default:
			err = p.live(ctx, lives[turn], dead)
		}
		if err != nil {
			p.ledger.fault("keys", err)
		}
	}
}

// live takes a key through its life.
func (p *pool) live(ctx context.Context, steps []step, dead *ring) error {
	b, err := p.gate.newKey(ctx, "big")
	if err != nil {
		return err
	}
	p.ledger.event("key made")
	p.show(ctx, &b, passes, unknown)
	for _, s := range append(slices.Clone(steps), theEnd) {
		if err := s.change(ctx, p.gate, &b); err != nil {
			return fmt.Errorf("a key is to be %s: %w", s.name, err)
		}
		p.ledger.event("key " + s.name)
		p.show(ctx, &b, s.now, s.before)
	}
	dead.add(b.Secret, b.old)
	return nil
}

// show uses both secrets of b through all doors.
func (p *pool) show(ctx context.Context, b *bearer, now, before outcome) {
	for _, d := range p.doors {
		p.ask(ctx, d, question{method: http.MethodGet, path: chainPath, key: b.Secret, want: always(now)})
		if b.old != "" {
			p.ask(ctx, d, question{method: http.MethodGet, path: chainPath, key: b.old, want: always(before)})
		}
	}
}

// spend uses up the quota of a new key, and more, through the doors in turn.
// Where Redis is there all the while, the quota passes and nothing after it.
func (p *pool) spend(ctx context.Context) error {
	p.calm.RLock()
	defer p.calm.RUnlock()
	b, err := p.gate.newKey(ctx, "small")
	if err != nil {
		return err
	}
	p.ledger.event("quota spent")
	for i := range 2 * smallQuota {
		want := passes
		if i >= smallQuota {
			want = exhausted
		}
		p.ask(ctx, p.doors[i%len(p.doors)], question{method: http.MethodGet, path: chainPath, key: b.Secret, want: always(want)})
	}
	return nil
}

// spendAnyhow does the same at leisure, whatever becomes of Redis meanwhile.
func (p *pool) spendAnyhow(ctx context.Context, over <-chan struct{}) error {
	b, err := p.gate.newKey(ctx, "small")
	if err != nil {
		return err
	}
	before, passed := p.restarts.Load(), uint64(0)
	if p.calm.TryRLock() {
		p.calm.RUnlock()
	} else if before > 0 {
		before-- // it is away now
	}
	for i := range 4 * smallQuota {
		q := question{method: http.MethodGet, path: chainPath, key: b.Secret, want: always(passes), or: exhausted}
		o, right := p.ask(ctx, p.doors[i%len(p.doors)], q)
		if !right || !pause(over, 30*time.Millisecond) {
			return nil
		}
		if o == passes {
			passed++
		}
	}
	least, most := mayPass(p.restarts.Load() - before)
	p.ledger.event("quota spent whatever becomes of Redis")
	if passed < least || passed > most {
		return fmt.Errorf("a quota of %d let %d pass, want %d to %d", smallQuota, passed, least, most)
	}
	return nil
}

// mayPass is how many requests of a small quota may pass within its window while
// a Redis without memory is restarted so often: the quota in each Redis, and
// between two of them in the gate.
func mayPass(restarts uint64) (least, most uint64) {
	return smallQuota, smallQuota * (1 + 2*restarts)
}
