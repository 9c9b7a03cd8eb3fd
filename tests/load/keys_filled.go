package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// filled is a gate with many keys.
type filled struct {
	gate   *gate
	server *server
	keys   []string
	store  string // the file

	imported time.Duration // how long that took
}

func (k *filled) count() int { return len(k.keys) }

func (k *filled) String() string {
	return fmt.Sprintf("%d keys of %d tenants: imported in %.1f s, %.0f a second",
		k.count(), tenants(k.count()), k.imported.Seconds(), float64(k.count())/k.imported.Seconds())
}

// startFilled starts a gate and brings n keys in. It knows them as they came: its
// cache is empty.
func (f *fleet) startFilled(ctx context.Context, o options, dir string, n int) (*filled, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	k := &filled{keys: newKeys(n), store: filepath.Join(dir, "sallyport.db")}
	file := filepath.Join(dir, "keys.jsonl")
	err := writeKeys(file, k.keys)
	if err != nil {
		return nil, err
	}
	if k.gate, err = startGate(ctx, o.sallyport, dir, surroundings{}); err != nil {
		return nil, err
	}
	f.started = append(f.started, k.gate.process)
	begin := time.Now()
	if _, err := k.gate.cli(ctx, "key", "import", file, "--api", "orders", "--create-tenants", "--tenant-plan", "big"); err != nil {
		return nil, err
	}
	k.imported = time.Since(begin)
	rand.Shuffle(n, func(i, j int) { k.keys[i], k.keys[j] = k.keys[j], k.keys[i] })
	k.server = &server{name: fmt.Sprintf("%d keys", n), address: k.gate.grpc, asked: fromHalf(k.keys), process: k.gate.process}
	return k, nil
}

// startRounds is how often a start is measured.
const startRounds = 4

// starts compares the CPU time until k serves with that of the SELECT of its
// digests. ready is how long the last start took; that one goes on to serve.
func (f *fleet) starts(ctx context.Context, digests string, k *filled) (r row, ready time.Duration, err error) {
	var selects, starts []time.Duration
	for range startRounds {
		spent, err := k.selectDigests(ctx, digests)
		if err != nil {
			return r, 0, err
		}
		selects = append(selects, spent)
		begin := time.Now()
		if spent, err = f.restart(ctx, k); err != nil {
			return r, 0, err
		}
		starts, ready = append(starts, spent), time.Since(begin)
	}
	return row{
		measure:  fmt.Sprintf("start with %d keys, beside one SELECT of their digests", k.count()),
		baseline: lowerQuartile(selects), measured: lowerQuartile(starts),
		spread: [2]float64{spread(selects), spread(starts)},
	}, ready, nil
}

// restart ends the gate and starts it anew. It returns the CPU time that the gate
// spends until it serves.
func (f *fleet) restart(ctx context.Context, k *filled) (time.Duration, error) {
	k.gate.stop()
	p, err := start(ctx, nil, k.gate.binary, "serve", "-c", k.gate.config)
	if err != nil {
		return 0, err
	}
	f.started = append(f.started, p)
	k.gate.process, k.server.process = p, p
	if err := p.awaitPort(ctx, k.gate.grpc); err != nil {
		return 0, err
	}
	cpu, err := newCPUClock(p.pid())
	if err != nil {
		return 0, err
	}
	return cpu.now()
}

// selectDigests runs the baseline of a start, and returns the CPU time it took.
func (k *filled) selectDigests(ctx context.Context, digests string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, digests, k.store)
	cmd.Env = childEnv()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("the baseline of a start: %w", err)
	}
	var n int
	var spent time.Duration
	if _, err := fmt.Sscan(string(out), &n, &spent); err != nil {
		return 0, fmt.Errorf("the baseline of a start tells %q: %w", out, err)
	}
	if n != k.count() {
		return 0, fmt.Errorf("the baseline of a start finds %d keys and not %d", n, k.count())
	}
	return spent, nil
}

// heap is the live heap of the gate: a heap profile has it collect its garbage.
func (k *filled) heap(ctx context.Context) (bytes float64, err error) {
	if err := k.gate.admin(ctx, http.MethodGet, "/admin/v1/profile?kind=heap", nil, nil); err != nil {
		return 0, err
	}
	m, err := k.gate.metrics(ctx)
	return m["go_memstats_heap_alloc_bytes"], err
}

// storeReads are those of the gate since it began, by what they brought.
type storeReads struct{ found, unknown int }

func (k *filled) reads(ctx context.Context) (storeReads, error) {
	m, err := k.gate.metrics(ctx)
	if err != nil {
		return storeReads{}, err
	}
	const name = "sallyport_store_reads_total"
	if _, ok := m[name]; !ok {
		return storeReads{}, fmt.Errorf("the metrics of sallyport lack %s", name)
	}
	return storeReads{int(m[name+`{outcome="found"}`]), int(m[name+`{outcome="unknown"}`])}, nil
}

// strangerKeys is how many keys that nobody issued are shown.
const strangerKeys = 100_000

// strangers has keys asked for that have the form and that nobody issued, each
// once, and returns the share of them that reached the store. It adds a server to
// f that is asked for them, beside the last.
func (k *filled) strangers(ctx context.Context, f *fleet) (share float64, err error) {
	keys := newKeys(strangerKeys)
	s := &server{
		name: "an unknown key beside a known one", address: k.gate.grpc, process: k.gate.process,
		asked: strangers(keys), beside: len(f.servers) - 1,
	}
	if err := f.add(s, k.gate.pid()); err != nil {
		return 0, err
	}
	before, err := k.reads(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := s.each(ctx, len(keys)); err != nil {
		return 0, err
	}
	after, err := k.reads(ctx)
	return float64(after.unknown-before.unknown) / float64(len(keys)), err
}

// each makes so many calls on one connection, and returns the CPU times of one.
func (s *server) each(ctx context.Context, calls int) (times []time.Duration, err error) {
	l, err := newLoad(ctx, s, missShape)
	if err != nil {
		return nil, s.fault(err)
	}
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()
	for left := calls; left > 0; {
		stretch := min(left, 20_000) // for runTimeout
		spent, err := l.run(stretch)
		if err != nil {
			return nil, s.fault(err)
		}
		times = append(times, spent/time.Duration(stretch))
		left -= stretch
	}
	return times, nil
}

// fromHalf is checks, where the second connection begins in the middle.
func fromHalf(keys []string) func(seed uint64) (exchange, error) {
	return func(seed uint64) (exchange, error) {
		at := int(seed) * len(keys) / 2 % len(keys)
		return newStencil(slices.Concat(keys[at:], keys[:at]), true, seed)
	}
}

func tenants(keys int) int { return (keys + keysOfTenant - 1) / keysOfTenant }

// newKeys returns n keys with the checksum that keys have: the CRC-32 of what is
// before it, in six base62 digits.
func newKeys(n int) []string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	keys := make([]string, n)
	key := []byte("ord_live_")
	for i := range keys {
		key = key[:len("ord_live_")]
		for range 32 {
			key = append(key, digits[rand.IntN(len(digits))])
		}
		sum, check := crc32.ChecksumIEEE(key), [6]byte{}
		for at := range check {
			check[len(check)-1-at] = digits[sum%62]
			sum /= 62
		}
		key = append(key, check[:]...)
		keys[i] = string(key)
	}
	return keys
}

// writeKeys writes an import of keys.
func writeKeys(path string, keys []string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	w := bufio.NewWriter(file)
	for i, key := range keys {
		fmt.Fprintf(w, `{"tenant":"t%d","key":%q,"scopes":["orders:read"]}`+"\n", i/keysOfTenant, key)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Close()
}
