package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// What the part overload does: so much more than can be answered comes for so
// long, and then so much less.
const (
	floodFactor = 3.0
	restFactor  = 0.5

	floodTime, quickFloodTime       = 10 * time.Second, 3 * time.Second
	capacityTime, quickCapacityTime = 4 * time.Second, 2 * time.Second
)

// prompt is how long Envoy waits for ext_authz where nobody tells it otherwise.
const prompt = 200 * time.Millisecond

// What is to be reached: right answers while too much comes, beside those that
// there can be; right answers so soon after; and what a call that is in flight
// may take of memory.
const (
	goodputBar   = 0.5
	recoveredBar = 0.99
	callMemory   = 5 * 20 << 10 // 20 KB, and four times that of garbage until it is collected
)

// overloadResult is what was measured.
type overloadResult struct {
	capacity float64 // right answers a second
	check    time.Duration
	long     time.Duration
	flood    *tally
	spent    time.Duration // CPU while too much came
	rest     []restResult
	before   vitalSigns
	after    vitalSigns
	peak     float64 // MiB
	inFlight float64 // that the server allows a connection
}

// restResult is what came of the calls of a while after the flood.
type restResult struct {
	name string
	*tally
}

// vitalSigns are what the gate holds on to.
type vitalSigns struct{ resident, heap, goroutines float64 } // MiB, MiB

// overloadPart shows what becomes of the gate when more comes than it can answer.
func overloadPart(ctx context.Context, o options, dir string) (found finding, err error) {
	if o.sallyport == "" {
		found.note("overload: needs -sallyport.")
		return found, nil
	}
	socket := filepath.Join(dir, "gate.sock")
	g, err := startGate(ctx, o.sallyport, dir, surroundings{socket: socket})
	if err != nil {
		return found, err
	}
	defer g.stop()
	keys, err := g.makeKeys(ctx, o.keyCount)
	if err != nil {
		return found, err
	}
	r, err := measureOverload(ctx, g, socket, keys, o)
	if err != nil {
		return found, fmt.Errorf("%w\nits standard error: %s", errors.Join(ctx.Err(), err), g.errors)
	}
	return r.finding(), nil
}

func measureOverload(ctx context.Context, g *gate, socket string, keys []string, o options) (r overloadResult, err error) {
	clock, err := newCPUClocks(g.pid())
	if err != nil {
		return r, err
	}
	closed := &server{name: "sallyport", address: socket, cpu: clock, process: g.process, asked: checks(keys, true)}
	r.long = floodTime
	search := capacityTime
	if o.quick {
		r.long, search = quickFloodTime, quickCapacityTime
	}
	if r.capacity, r.check, err = capacityOf(ctx, closed, search); err != nil {
		return r, err
	}
	f, err := newFlood(ctx, socket, keys, newKeys(len(keys)))
	if err != nil {
		return r, err
	}
	defer f.close()
	defer context.AfterFunc(ctx, f.interrupt)()
	if r.before, err = g.signs(ctx); err != nil {
		return r, err
	}
	gathered := make(chan error, 1)
	go func() { gathered <- g.profileFlood(ctx, o.profile, r.long) }()
	err = errors.Join(r.pour(ctx, f, clock), <-gathered)
	if err != nil {
		return r, err
	}
	if r.peak, err = peakResident(g.pid()); err != nil {
		return r, err
	}
	r.after, err = g.signs(ctx)
	return r, err
}

// profileFlood has the gate tell where its time goes while too much comes for so
// long, into a file of the folder; "" is none.
func (g *gate) profileFlood(ctx context.Context, folder string, long time.Duration) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	_, err := g.cli(ctx, "profile", "cpu", "--seconds", fmt.Sprintf("%.0f", long.Seconds()), "-o", filepath.Join(folder, "cpu-overload.pprof"))
	return err
}

// capacityOf is how many calls a second the server answers when each of those who
// ask waits for the answer before asking again, and what one costs it.
func capacityOf(ctx context.Context, s *server, long time.Duration) (perSecond float64, each time.Duration, err error) {
	const stretch = 2000
	l, err := newLoad(ctx, s, shape{connections: floodLanes, streams: 128 / floodLanes})
	if err != nil {
		return 0, 0, s.fault(err)
	}
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()
	if _, err := l.warmUp(2 * stretch); err != nil {
		return 0, 0, s.fault(err)
	}
	var took, costs []time.Duration
	for begin := time.Now(); time.Since(begin) < long; {
		from := time.Now()
		spent, err := l.run(stretch)
		if err != nil {
			return 0, 0, s.fault(err)
		}
		took = append(took, time.Since(from)/stretch)
		costs = append(costs, spent/stretch)
	}
	return float64(time.Second) / float64(quantile(took, 0.5)), quantile(costs, 0.5), nil
}

// pour has too much come, and then half of what can be answered.
func (r *overloadResult) pour(ctx context.Context, f *flood, clock cpuClocks) error {
	before, err := clock.now()
	if err != nil {
		return err
	}
	phase, err := f.pour(ctx, floodFactor*r.capacity, r.long)
	if err != nil {
		return err
	}
	after, err := clock.now()
	if err != nil {
		return err
	}
	r.spent = after - before
	rests := []struct {
		name string
		long time.Duration
	}{{"the first 0.1 s", 100 * time.Millisecond}, {"the rest of the first second", 900 * time.Millisecond}, {"two seconds more", 2 * time.Second}}
	var phases []int
	for _, rest := range rests {
		p, err := f.pour(ctx, restFactor*r.capacity, rest.long)
		if err != nil {
			return err
		}
		phases = append(phases, p)
	}
	if err := f.settle(); err != nil {
		return err
	}
	r.flood = f.tally(phase)
	for i, p := range phases {
		r.rest = append(r.rest, restResult{rests[i].name, f.tally(p)})
	}
	r.inFlight = float64(f.lanes[0].most)
	return nil
}

// signs has the gate collect its garbage first, which a heap profile does.
func (g *gate) signs(ctx context.Context) (v vitalSigns, err error) {
	if err := g.admin(ctx, http.MethodGet, "/admin/v1/profile?kind=heap", nil, nil); err != nil {
		return v, err
	}
	m, err := g.metrics(ctx)
	if err != nil {
		return v, err
	}
	return vitalSigns{
		resident:   m["process_resident_memory_bytes"] / (1 << 20),
		heap:       m["go_memstats_heap_alloc_bytes"] / (1 << 20),
		goroutines: m["go_goroutines"],
	}, nil
}

// peakResident is the most that a process has ever had in memory, in MiB.
func peakResident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	return parsePeak(text)
}

func parsePeak(status []byte) (float64, error) {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("status: no VmHWM")
}

func (r *overloadResult) goodput() float64 {
	return float64(r.flood.calls[right]) / r.long.Seconds() / r.capacity
}

// mayReside is the memory that the gate may take, in MiB: what it had, and so much
// for each call that it lets a connection have in flight: those beyond are to wait unread.
func (r *overloadResult) mayReside() float64 {
	return r.before.resident + r.inFlight*callMemory/(1<<20)
}

// refusal is what a call cost that was not answered rightly, if a right answer
// cost what it did before: that cannot be seen apart, and not at all where the few
// there were cost less than right answers vary.
func (r *overloadResult) refusal() string {
	all, others := r.flood.calls[right], r.flood.calls[tooMuch]+r.flood.calls[late]
	if others*10 <= all {
		return "few"
	}
	return micros((r.spent - time.Duration(all)*r.check) / time.Duration(others))
}

// overloadLine is a line of the table.
type overloadLine struct {
	measure, found, bar string
	missed              bool
}

func (r *overloadResult) lines() []overloadLine {
	percent := func(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }
	lines := []overloadLine{
		{measure: "capacity: right answers a second, each asked for after the one before", found: fmt.Sprintf("%.0f", r.capacity)},
		{
			measure: fmt.Sprintf("at %.0f times as many calls: right answers ÷ capacity", floodFactor), found: fmt.Sprintf("%.2f", r.goodput()),
			bar: fmt.Sprintf("≥ %.2f", goodputBar), missed: !(r.goodput() >= goodputBar),
		},
		{measure: fmt.Sprintf("of that within %s, Envoy's default patience", prompt), found: fmt.Sprintf("%.2f", r.goodput()*r.flood.within(right, prompt))},
		{measure: "of those calls: answered rightly", found: percent(r.flood.share(right))},
		{measure: "refused with 503, too much to do", found: percent(r.flood.share(tooMuch))},
		{measure: fmt.Sprintf("late: no answer within %s", floodDeadline), found: percent(r.flood.share(late))},
		{measure: fmt.Sprintf("not made: %d were on their way", floodLanes*min(laneInFlight, int(r.inFlight))), found: percent(r.flood.share(unsent))},
		{measure: "p50, p99 of right answers, ms", found: millis(r.flood.quantile(right, 0.5)) + ", " + millis(r.flood.quantile(right, 0.99))},
		{measure: "p50, p99 of refusals, ms", found: millis(r.flood.quantile(tooMuch, 0.5)) + ", " + millis(r.flood.quantile(tooMuch, 0.99))},
		{measure: "CPU µs of a Check at capacity", found: micros(r.check)},
		{measure: "CPU µs of a call refused or late, if a right answer cost that", found: r.refusal()},
		{
			measure: "resident memory, MiB: highest ever", found: fmt.Sprintf("%.0f", r.peak),
			bar: fmt.Sprintf("≤ %.0f", r.mayReside()), missed: !(r.peak <= r.mayReside()),
		},
		{measure: "resident memory, MiB: before, some seconds after", found: fmt.Sprintf("%.0f, %.0f", r.before.resident, r.after.resident)},
	}
	for i, rest := range r.rest {
		l := overloadLine{measure: "then at half of capacity, right answers: " + rest.name, found: percent(rest.share(right))}
		if i > 0 {
			l.bar, l.missed = "≥ "+percent(recoveredBar), !(rest.share(right) >= recoveredBar)
		}
		lines = append(lines, l)
	}
	for _, v := range []struct {
		trend
		unit string
	}{
		{trend{vitals[0], r.before.heap, r.after.heap}, "live heap, MiB"},
		{trend{vitals[2], r.before.goroutines, r.after.goroutines}, "goroutines"},
	} {
		lines = append(lines, overloadLine{
			measure: v.unit + ": before, after", found: fmt.Sprintf("%.0f, %.0f", v.first, v.last),
			bar: fmt.Sprintf("≤ %.0f", v.first*(1+growth)+v.slack), missed: !v.flat(),
		})
	}
	return lines
}

// finding makes a table of its own of r.
func (r *overloadResult) finding() (f finding) {
	var text strings.Builder
	fmt.Fprintf(&text, "\nOverload: for %s, %.0f times as many Checks come as sallyport can answer, by %d connections to a Unix socket; then half as many as it can.\n", r.long, floodFactor, floodLanes)
	fmt.Fprintf(&text, "They come at a pace that does not depend on answers; each is given up after %s, and times count from when it was due. One key in %d is unknown, and must get 401.\n", floodDeadline, strangerEvery)
	fmt.Fprintln(&text, "sallyport has one core. The clients have the other, where there are two, and the kernel's part of the way is on both: shares tell how it does, not how fast it is.")
	t := tabwriter.NewWriter(&text, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| overload\t| found\t| bar\t| ok?\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|")
	for _, l := range r.lines() {
		bar, ok := "-", "-"
		if l.bar != "" {
			bar, ok = l.bar, "yes"
			if l.missed {
				ok, f.missed = "NO", true
			}
		}
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %s\t|\n", l.measure, l.found, bar, ok)
	}
	t.Flush() // a strings.Builder does not fail
	f.notes = strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	return f
}
