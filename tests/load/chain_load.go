package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// traffic is the clients of one case, and the clocks of who serves them.
type traffic struct {
	way
	address     string
	callers     []caller
	connections []io.Closer
	envoy       *process
	gate        *process // nil: nobody is asked
	clocks      struct{ envoy, gate cpuClocks }
}

// inFlight is how many requests are on the way to an Envoy at a time, and
// http2Connections on how many connections they are if by HTTP/2.
const (
	inFlight         = 16
	http2Connections = 2
)

// newTraffic connects the clients of w to an Envoy at address.
func newTraffic(ctx context.Context, w way, address string, keys []string) (*traffic, error) {
	if err := checkLoopback(address); err != nil {
		return nil, err
	}
	t := &traffic{way: w, address: address}
	for i := range inFlight {
		c, err := t.dial(ctx, address, i, keyring{keys, i % len(keys)})
		if err != nil {
			t.close()
			return nil, err
		}
		t.callers = append(t.callers, c)
	}
	return t, nil
}

func (t *traffic) dial(ctx context.Context, address string, i int, keys keyring) (caller, error) {
	if !t.http2 {
		l, err := dialLine(ctx, address, keys, t.quota())
		if err != nil {
			return nil, err
		}
		t.connections = append(t.connections, l.socket)
		return l, nil
	}
	if i < http2Connections {
		conn, err := dialHTTP2(ctx, address)
		if err != nil {
			return nil, err
		}
		t.connections = append(t.connections, conn)
		return newStream(ctx, conn, keys, t.quota())
	}
	return newStream(ctx, t.callers[i-http2Connections].(*stream).conn, keys, t.quota())
}

func (t *traffic) close() {
	for _, c := range t.connections {
		c.Close()
	}
}

// fault says in which case err happened, and what its servers wrote last.
func (t *traffic) fault(err error) error {
	err = fmt.Errorf("%s: %w\nEnvoy's standard error: %s", t.way, err, lastWords(t.envoy))
	if t.gate != nil {
		err = fmt.Errorf("%w\nthat of who is asked: %s", err, lastWords(t.gate))
	}
	return err
}

// lastWords is what p wrote last, and says where that was the end of it.
func lastWords(p *process) string {
	select {
	case <-p.ended:
		return "it has ended: " + p.errors.String()
	default:
		return p.errors.String()
	}
}

// cost is the CPU time that Envoy and the one whom it asks spend, and how long
// they stand in line for a core.
type cost struct{ envoy, gate, queued time.Duration }

func (t *traffic) now() (c cost, err error) {
	if c.envoy, err = t.clocks.envoy.now(); err != nil {
		return c, err
	}
	c.queued = t.clocks.envoy.queued() + t.clocks.gate.queued()
	c.gate, err = t.clocks.gate.now()
	return c, err
}

// guarded runs do, and breaks the connections if that takes too long.
func (t *traffic) guarded(do func() error) error {
	var late atomic.Bool
	watch := time.AfterFunc(runTimeout, func() {
		late.Store(true)
		t.close()
	})
	defer watch.Stop()
	err := do()
	if late.Load() {
		err = errors.Join(fmt.Errorf("no end after %s", runTimeout), err)
	}
	if err != nil {
		return t.fault(err)
	}
	return nil
}

// run makes calls in a closed loop and returns what they cost together.
func (t *traffic) run(calls int) (spent cost, err error) {
	before, err := t.now()
	if err != nil {
		return spent, t.fault(err)
	}
	if err := t.guarded(func() error { return closedLoop(t.callers, calls) }); err != nil {
		return spent, err
	}
	after, err := t.now()
	if err != nil {
		return spent, t.fault(err)
	}
	return cost{after.envoy - before.envoy, after.gate - before.gate, after.queued - before.queued}, nil
}

// paced makes the calls of an open loop and returns how long each took.
func (t *traffic) paced(p pace, wait func(time.Time) error) (took []time.Duration, err error) {
	err = t.guarded(func() (err error) {
		took, err = openLoop(t.callers, p, time.Now(), wait)
		return err
	})
	return took, err
}

// closedLoop has callers make calls together, each the next one as soon as it
// has its answer, and ends with the first fault.
func closedLoop(callers []caller, calls int) error {
	var begun atomic.Int64
	var failed atomic.Bool
	return each(callers, func(c caller) error {
		for begun.Add(1) <= int64(calls) && !failed.Load() {
			if err := c.call(); err != nil {
				failed.Store(true)
				return err
			}
		}
		return nil
	})
}

// each runs do for all callers at once, waits for all of them and returns a
// fault of one: where Envoy ends, all have the same.
func each(callers []caller, do func(caller) error) error {
	faults := make([]error, len(callers))
	var group sync.WaitGroup
	for i, c := range callers {
		group.Go(func() { faults[i] = do(c) })
	}
	group.Wait()
	for _, fault := range faults {
		if fault != nil {
			return fault
		}
	}
	return nil
}

// pace says when the calls of an open loop are due.
type pace struct {
	every  time.Duration
	calls  int
	settle int // so many more come first, and are not told of
}

// openLoop has callers make calls that are due at fixed times from begin on,
// whether or not those before have been answered, and returns how long after
// it was due each was answered. Where all callers are busy a call goes out late,
// and the delay counts: a server that stalls owes it to all who came meanwhile.
func openLoop(callers []caller, p pace, begin time.Time, wait func(time.Time) error) ([]time.Duration, error) {
	due := make(chan int, p.settle+p.calls) // never full: the pace does not depend on answers
	took := make([]time.Duration, p.settle+p.calls)
	at := func(i int) time.Time { return begin.Add(time.Duration(i) * p.every) }
	var failed atomic.Bool
	var group sync.WaitGroup
	var fault error
	group.Go(func() {
		defer close(due)
		for i := range took {
			if failed.Load() {
				return
			}
			if fault = wait(at(i)); fault != nil {
				return
			}
			due <- i
		}
	})
	err := each(callers, func(c caller) error {
		for i := range due {
			if failed.Load() {
				return nil
			}
			if err := c.call(); err != nil {
				failed.Store(true)
				return err
			}
			took[i] = time.Since(at(i))
		}
		return nil
	})
	group.Wait()
	return took[p.settle:], errors.Join(fault, err)
}
