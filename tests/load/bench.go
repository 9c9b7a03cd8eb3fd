package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// shape is one way to lay load on a server, and what is to be reached with it.
type shape struct {
	call                 string
	connections, streams int
	calls                int     // of one round
	bar                  float64 // the highest ratio that is good enough
}

// checkShapes are those that the design names.
var checkShapes = []shape{
	{call: "Check", connections: 2, streams: 16, calls: 40_000, bar: 0.65},
	{call: "Check", connections: 1, streams: 1, calls: 15_000, bar: 0.85},
}

func (s shape) String() string {
	return fmt.Sprintf("%s, c=%d m=%d", s.call, s.connections, s.streams)
}

// server is one of those that are compared.
type server struct {
	name    string
	address string
	cpu     cpuClocks
	process *process // nil where someone else started it
	asked   func(seed uint64) (exchange, error)
	barred  bool // the shape's bar is for it

	beside int     // the place of the server that it is compared with; 0: the baseline
	bar    float64 // its own, in place of the shape's; 0: none
}

// fault says at which server err happened, and what that wrote last.
func (s *server) fault(err error) error {
	if s.process == nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return fmt.Errorf("%s: %w\nits standard error: %s", s.name, err, s.process.errors)
}

// result is what was measured of one shape.
type result struct {
	shape shape
	calls int               // of one round
	times [][]time.Duration // CPU of one call by server and round
	store []time.Duration   // CPU of one call by server: of that, what it keeps its counters in; 0: nothing apart
	wait  float64           // how long servers stood in line for a core, by their CPU
}

// busy is the wait above which a result is doubtful. A server that stands in
// line pays for Go's background thread by the second and not by the call, and
// meets cold caches: that is the same for all, so ratios lean towards 1.
const busy = 0.2

// runTimeout bounds one stretch of load: a server that takes longer hangs.
const runTimeout = 60 * time.Second

// measure puts load of one shape on all servers in turn. Rounds are shorter
// than the shape says where the machine is so slow that all of them would take
// much longer than budget.
func measure(ctx context.Context, servers []*server, s shape, rounds int, budget time.Duration) (result, error) {
	r := result{shape: s, calls: s.calls, times: make([][]time.Duration, len(servers))}
	loads := make([]*load, len(servers))
	for i, server := range servers {
		l, err := newLoad(ctx, server, s)
		if err != nil {
			return r, server.fault(err)
		}
		defer l.close()
		defer context.AfterFunc(ctx, l.close)()
		loads[i] = l
		pace, err := l.warmUp(s.calls / 10)
		if err != nil {
			return r, server.fault(errors.Join(ctx.Err(), err))
		}
		share := budget / time.Duration(rounds*len(servers))
		r.calls = min(r.calls, max(int(share/pace), 1000))
	}
	queuedBefore := queuedAll(servers)
	stores, err := storesOf(servers)
	if err != nil {
		return r, err
	}
	var spent time.Duration
	for range rounds {
		sums, err := round(loads, r.calls)
		if err != nil {
			return r, errors.Join(ctx.Err(), err)
		}
		for i, sum := range sums {
			r.times[i] = append(r.times[i], sum/time.Duration(r.calls))
			spent += sum
		}
	}
	after, err := storesOf(servers)
	if err != nil {
		return r, err
	}
	for i := range servers {
		r.store = append(r.store, (after[i]-stores[i])/time.Duration(rounds*(r.calls+roundSlices*warmUp)))
	}
	r.wait = float64(queuedAll(servers)-queuedBefore) / float64(max(spent, 1))
	return r, nil
}

// storesOf reads the clocks of what the servers keep their counters in.
func storesOf(servers []*server) (all []time.Duration, err error) {
	for _, s := range servers {
		spent, err := s.cpu[min(1, len(s.cpu)):].now()
		if err != nil {
			return nil, err
		}
		all = append(all, spent)
	}
	return all, nil
}

func queuedAll(servers []*server) (sum time.Duration) {
	for _, s := range servers {
		if s.beside == 0 { // else it is a process that was counted
			sum += s.cpu.queued()
		}
	}
	return sum
}

// A round is so many slices, each after so many calls that nobody measures.
const roundSlices, warmUp = 8, 200

// round makes calls to every server and returns the CPU time that each spent.
func round(loads []*load, calls int) ([]time.Duration, error) {
	sums := make([]time.Duration, len(loads))
	err := inTurn(roundSlices, len(loads), func(slice, i int) error {
		l := loads[i]
		if _, err := l.run(warmUp); err != nil {
			return l.server.fault(err)
		}
		spent, err := l.run(calls*(slice+1)/roundSlices - calls*slice/roundSlices)
		if err != nil {
			return l.server.fault(err)
		}
		sums[i] += spent
		return nil
	})
	return sums, err
}

// inTurn calls do with each of n in each of some slices of a round. They take
// turns within the round too, so that what else runs on the machine for some
// hundred milliseconds meets all of them, and every other time the other way
// about, so that none always comes after the same one.
func inTurn(slices, n int, do func(slice, i int) error) error {
	for slice := range slices {
		for i := range n {
			if slice%2 == 1 {
				i = n - 1 - i
			}
			if err := do(slice, i); err != nil {
				return err
			}
		}
	}
	return nil
}

// load is the connections to one server.
type load struct {
	server *server
	conns  []*conn
}

func newLoad(ctx context.Context, server *server, s shape) (*load, error) {
	l := &load{server: server}
	for i := range s.connections {
		x, err := server.asked(uint64(i))
		if err != nil {
			return nil, err
		}
		c, err := dial(ctx, server.address, s.streams, x)
		if err != nil {
			l.close()
			return nil, err
		}
		l.conns = append(l.conns, c)
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.conns {
		c.close()
	}
}

// warmUp fills the server's caches and pools and returns the time that a call
// takes.
func (l *load) warmUp(calls int) (pace time.Duration, err error) {
	begin := time.Now()
	_, err = l.run(calls)
	return max(time.Since(begin)/time.Duration(calls), 1), err
}

// run makes calls over all connections and returns the CPU time that the
// server spent meanwhile.
func (l *load) run(calls int) (time.Duration, error) {
	var budget atomic.Int64
	budget.Store(int64(calls))
	deadline := time.Now().Add(runTimeout)
	answered := l.answers()
	before, err := l.server.cpu.now()
	if err != nil {
		return 0, err
	}
	faults := make([]error, len(l.conns))
	var group sync.WaitGroup
	for i, c := range l.conns {
		group.Go(func() { faults[i] = c.run(&budget, deadline) })
	}
	group.Wait()
	after, err := l.server.cpu.now()
	if err := errors.Join(append(faults, err)...); err != nil {
		return 0, err
	}
	if got := l.answers() - answered; got != uint64(calls) {
		return 0, fmt.Errorf("%d calls and %d good answers", calls, got)
	}
	return after - before, nil
}

func (l *load) answers() (n uint64) {
	for _, c := range l.conns {
		n += c.answers
	}
	return n
}

// finding is r in lines of the table, and what casts doubt on them.
func (r result) finding(servers []*server) finding {
	f := finding{rows: r.rows(servers)}
	for i, s := range servers {
		shares := func(o *server) bool { return o != s && o.address == s.address }
		if r.store[i] > 0 && !slices.ContainsFunc(servers, shares) {
			f.note("%s, %s: Redis spent %s µs of it", r.shape, s.name, micros(r.store[i]))
		}
	}
	f.note("%s: %d calls a round; the servers waited %.0f %% of their CPU time for a core", r.shape, r.calls, 100*r.wait)
	if r.wait > busy {
		f.note("  The machine was busy with other things: ratios lean towards 1. Measure again when it rests.")
	}
	return f
}

// rows compares every server with the first, the baseline, or with the one beside
// which it stands.
func (r result) rows(servers []*server) []row {
	var rows []row
	for i, server := range servers[1:] {
		base := r.times[server.beside]
		one := row{
			measure:  r.shape.String(),
			server:   server.name,
			baseline: lowerQuartile(base),
			measured: lowerQuartile(r.times[i+1]),
			spread:   [2]float64{spread(base), spread(r.times[i+1])},
			bar:      server.bar,
		}
		if server.barred {
			one.bar = r.shape.bar
		}
		rows = append(rows, one)
	}
	return rows
}

// dump shows a message as hex and text, for the error that ends a run.
func dump(message []byte) string {
	const most, width = 1024, 32
	var b strings.Builder
	fmt.Fprintf(&b, "%d bytes", len(message))
	for i := 0; i < min(len(message), most); i += width {
		line := message[i:min(i+width, len(message))]
		fmt.Fprintf(&b, "\n%04x  %-*x  %s", i, 2*width, line, printable(line))
	}
	return b.String()
}

func printable(line []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, string(line))
}
