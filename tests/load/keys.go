package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// How many keys there are beside how many; and what a Check of one of many may
// cost by that, and a start with them by the SELECT of their digests.
const (
	manyKeys, quickKeys, fewKeys = 1_000_000, 20_000, 1000

	keysOfTenant = 10
	manyBar      = 1.2
	startBar     = 3
)

// missShape is how keys are shown for the first time.
var missShape = shape{call: "Check, first of a key", connections: 1, streams: 32}

// keysPart compares a Check at many keys, all of them cached and each as likely as
// another, with one at few; what an unknown key costs with a known one, a miss with
// a hit, and a start with the SELECT of all digests. It counts the reads of the
// store meanwhile, and tells what the import took.
func keysPart(ctx context.Context, o options, dir string) (found finding, err error) {
	if o.sallyport == "" {
		found.note("keys: needs -sallyport.")
		return found, nil
	}
	digests := filepath.Join(dir, "digests")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", digests, "./cmd/digests").CombinedOutput(); err != nil {
		return found, fmt.Errorf("build the baseline of a start: %w: %s", err, out)
	}
	count := o.many
	if o.quick {
		count = min(count, quickKeys)
	}
	var f fleet
	defer f.stop()
	few, err := f.startFilled(ctx, o, filepath.Join(dir, "few"), fewKeys)
	if err != nil {
		return found, fmt.Errorf("%d keys: %w", fewKeys, err)
	}
	many, err := f.startFilled(ctx, o, filepath.Join(dir, "many"), count)
	if err != nil {
		return found, fmt.Errorf("%d keys: %w", count, err)
	}
	err = compareKeys(ctx, o, &f, digests, few, many, &found)
	return found, err
}

// compareKeys measures two gates that have their keys, and have never been asked.
func compareKeys(ctx context.Context, o options, f *fleet, digests string, few, many *filled, found *finding) error {
	starts, ready, err := f.starts(ctx, digests, many)
	if err != nil {
		return err
	}
	if many.count() == manyKeys { // fewer are lost in what any start costs
		starts.bar = startBar
	} else {
		found.note("The part keys is meant for %d keys (-many), and has %d.", manyKeys, many.count())
	}
	for _, one := range []*filled{few, many} {
		if err := f.add(one.server, one.gate.pid()); err != nil {
			return err
		}
	}
	if err := few.askedTogether(ctx, found); err != nil {
		return err
	}
	misses, err := many.first(ctx)
	if err != nil {
		return err
	}
	heap, err := many.heap(ctx)
	if err != nil {
		return err
	}
	share, err := many.strangers(ctx, f)
	if err != nil {
		return err
	}
	f.servers[1].bar = manyBar
	cached := checkShapes[0]
	cached.call = "Check, cached keys"
	r, err := measure(ctx, f.servers, cached, o.rounds, o.budget/2)
	if err != nil {
		return err
	}
	found.add(r.finding(f.servers))
	hits := r.times[1]
	found.rows = append(found.rows, starts, row{
		measure:  missShape.String() + ", beside a cached one",
		baseline: lowerQuartile(hits), measured: lowerQuartile(misses), spread: [2]float64{spread(hits), spread(misses)},
	})
	found.note("%s.\n%s; it serves %d ms after its start, with none of them in its cache.", few, many, ready.Milliseconds())
	found.note("With all of them cached its live heap is %.0f MiB, %.0f bytes a key, its counters included; a cached credential by itself is BenchmarkFinderMemory.",
		float64(heap)/(1<<20), float64(heap)/float64(many.count()))
	found.note("Of keys that have the form and that nobody issued, %.4f %% reached the store.", 100*share)
	return many.readOnce(ctx, found)
}

// askedTogether shows each key for the first time on several connections at once.
func (k *filled) askedTogether(ctx context.Context, found *finding) error {
	const connections = 8
	together := *k.server
	together.asked = checks(k.keys, true)
	l, err := newLoad(ctx, &together, shape{connections: connections, streams: 32})
	if err != nil {
		return k.server.fault(err)
	}
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()
	if _, err := l.run(connections * k.count()); err != nil {
		return k.server.fault(err)
	}
	reads, err := k.reads(ctx)
	if err != nil {
		return err
	}
	found.hold(reads.found == k.count(), "%d keys, new to the cache, each asked for on %d connections at once: %d reads of the store", k.count(), connections, reads.found)
	return nil
}

// readOnce holds that no key has been read from the store twice by the end.
func (k *filled) readOnce(ctx context.Context, found *finding) error {
	reads, err := k.reads(ctx)
	if err != nil {
		return err
	}
	found.hold(reads.found == k.count(), "%d keys, asked for again and again: %d reads of the store", k.count(), reads.found)
	return nil
}

// first makes one Check with each key, and returns the CPU times of one.
func (k *filled) first(ctx context.Context) ([]time.Duration, error) {
	once := *k.server
	once.asked = checks(k.keys, true)
	return once.each(ctx, k.count())
}
