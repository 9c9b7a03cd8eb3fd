package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	callersOfDoor = 8
	callerRate    = 25 // requests a second of one caller
	steadyKeys    = 8

	// leastSoak is how long it must take that growth can be told from settling.
	leastSoak = 5 * time.Minute
	mostSoak  = 24 * time.Hour
)

// errSoak says that the gate did not hold.
var errSoak = errors.New("the soak found faults")

// soak has the gate work for o.soak while its configuration, its keys and its
// Redis change, and says what came of it. A wrong answer is an error, and so is
// growth.
func soak(ctx context.Context, o options, stdout, _ io.Writer) error {
	dir, err := os.MkdirTemp("", "sallyport-soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := &pool{dir: dir}
	defer p.stop()
	if err := p.start(ctx, o); err != nil {
		return err
	}
	keys, err := p.prepare(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	span, stop := context.WithTimeout(ctx, o.soak)
	defer stop()
	p.ledger = newLedger(stop)
	seen := p.run(ctx, span.Done(), keys, o.soak)
	lasted := time.Since(begin).Round(time.Second)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.atRest(ctx, keys); err != nil {
		p.ledger.fault("at the end", err)
	}
	return p.report(ctx, o, stdout, seen, lasted)
}

// prepare makes the keys that are good all the time.
func (p *pool) prepare(ctx context.Context) (keys []bearer, err error) {
	tenant := map[string]any{"api": "orders", "id": "t1", "plan": "big"}
	if err := p.gate.admin(ctx, http.MethodPost, "/admin/v1/tenants", tenant, nil); err != nil {
		return nil, err
	}
	for range steadyKeys {
		b, err := p.gate.newKey(ctx, "")
		if err != nil {
			return nil, err
		}
		keys = append(keys, b)
	}
	return keys, nil
}

// run does everything at once until over is closed, and returns what was seen of
// the gate meanwhile.
func (p *pool) run(ctx context.Context, over <-chan struct{}, keys []bearer, length time.Duration) (seen []map[string]float64) {
	var all sync.WaitGroup
	var dead ring
	for _, d := range p.doors {
		for range callersOfDoor {
			all.Go(func() { p.call(ctx, over, d, keys, &dead) })
		}
	}
	all.Go(func() { p.renew(ctx, over) })
	all.Go(func() { p.turnover(ctx, over, &dead) })
	all.Go(func() { p.unsettle(ctx, over) })
	seen = p.watch(ctx, over, min(max(length/120, 500*time.Millisecond), 10*time.Second))
	all.Wait()
	return seen
}

// call is one caller: it asks at its pace, mostly what is good.
func (p *pool) call(ctx context.Context, over <-chan struct{}, d *door, keys []bearer, dead *ring) {
	due := time.NewTicker(time.Second / callerRate)
	defer due.Stop()
	for {
		select {
		case <-over:
			return
		case <-due.C:
		}
		p.ask(ctx, d, anyQuestion(keys[rand.IntN(len(keys))].Secret, dead))
	}
}

// anyQuestion is one with the key, which is good, or with one that is not.
func anyQuestion(key string, dead *ring) question {
	q := question{method: http.MethodGet, path: chainPath, key: key, want: always(passes)}
	switch rand.IntN(16) {
	case 0:
		q.path, q.want = "/v1/odd", inOddAges
	case 1:
		q.method, q.path, q.want = http.MethodPost, "/v1/orders", always(narrow)
	case 2:
		q.path, q.want = "/v1/nowhere", always(nowhere)
	case 3:
		q.key, q.want = anyKey[0], always(unknown)
	case 4, 5:
		if gone := dead.any(); gone != "" {
			q.key, q.want = gone, always(unknown)
		}
	}
	return q
}

// atRest shows that the gate lives, and that nothing is left in it of requests
// that have ended. Some come first: the last Redis may have begun after all
// others, and would know of none.
func (p *pool) atRest(ctx context.Context, keys []bearer) error {
	select {
	case <-p.gate.ended:
		return fmt.Errorf("sallyport has ended: %s", p.gate.errors)
	default:
	}
	for _, d := range p.doors {
		for _, b := range keys {
			p.ask(ctx, d, question{method: http.MethodGet, path: chainPath, key: b.Secret, want: always(passes)})
		}
	}
	err := await(ctx, "no slot is held when nobody asks", func() (bool, error) {
		held, err := p.held(ctx, keys)
		return held == 0, err
	})
	if err != nil {
		return err
	}
	m, err := p.gate.metrics(ctx)
	if expired := m["sallyport_slots_expired_total"]; err == nil && expired > 0 {
		err = fmt.Errorf("%.0f slots were held until their lease ended", expired)
	}
	return err
}

// held is how many requests of keys hold a slot: in Redis, and in the gate, where
// those are that began without Redis.
func (p *pool) held(ctx context.Context, keys []bearer) (n int, err error) {
	m, err := p.gate.metrics(ctx)
	n = int(m["sallyport_slots_held"])
	for _, b := range keys {
		if err != nil {
			break
		}
		var shown struct {
			Limits []struct {
				Concurrency struct {
					InFlight int `json:"in_flight"`
				}
			}
		}
		err = p.gate.admin(ctx, http.MethodGet, "/admin/v1/limits?api=orders&tenant=t1&key="+b.ID, nil, &shown)
		for _, l := range shown.Limits {
			n += l.Concurrency.InFlight
		}
	}
	return n, err
}

// report prints what came of it to stdout and into the file that was asked for.
func (p *pool) report(ctx context.Context, o options, stdout io.Writer, seen []map[string]float64, lasted time.Duration) error {
	var text strings.Builder
	fmt.Fprintln(&text, machine(ctx, o.module, time.Now()))
	fmt.Fprintf(&text, "Soak of %s: up to %d requests a second through Envoy, half paired and half fused.\n", lasted, 2*callersOfDoor*callerRate)
	p.ledger.writeTo(&text)
	var trends []trend
	for _, v := range vitals {
		trends = append(trends, trendOf(v, seen))
	}
	judged := lasted >= leastSoak
	if err := writeTrends(&text, trends, judged); err != nil {
		return err
	}
	if !judged {
		fmt.Fprintf(&text, "Growth is judged from %s on: before, caches fill.\n", leastSoak)
	}
	if _, err := io.WriteString(stdout, text.String()); err != nil {
		return err
	}
	if o.output != "" {
		if err := os.WriteFile(o.output, []byte(text.String()), 0o644); err != nil {
			return err
		}
	}
	grown := slices.ContainsFunc(trends, func(t trend) bool { return !t.flat() })
	if p.ledger.count() > 0 || judged && grown {
		return errSoak
	}
	return nil
}
