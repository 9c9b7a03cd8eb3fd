package main

import (
	"bufio"
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How many keys there are beside how many, and what a Check may cost by that.
const (
	manyKeys, quickKeys, fewKeys = 1_000_000, 20_000, 1000

	keysOfTenant = 10
	manyBar      = 1.2
)

// keysPart compares a Check at many keys, all of them cached and each as likely as
// another, with one at few; and tells what the import and the start took.
func keysPart(ctx context.Context, o options, dir string) (found finding, err error) {
	if o.sallyport == "" {
		found.note("keys: needs -sallyport.")
		return found, nil
	}
	many := manyKeys
	if o.quick {
		many = quickKeys
	}
	var f fleet
	defer f.stop()
	for _, n := range []int{fewKeys, many} {
		took, err := f.startFilled(ctx, o, filepath.Join(dir, fmt.Sprint(n)), n)
		if err != nil {
			return found, fmt.Errorf("%d keys: %w", n, err)
		}
		found.notes = append(found.notes, took)
	}
	f.servers[1].bar = manyBar
	shape := checkShapes[0]
	shape.call = "Check, cached keys"
	r, err := measure(ctx, f.servers, shape, o.rounds, o.budget)
	if err != nil {
		return found, err
	}
	found.add(r.finding(f.servers))
	return found, nil
}

// startFilled adds a server that has n keys and has seen each once. It says how
// long it took to get there.
func (f *fleet) startFilled(ctx context.Context, o options, dir string, n int) (note string, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	keys := newKeys(n)
	file := filepath.Join(dir, "keys.jsonl")
	if err := writeKeys(file, keys); err != nil {
		return "", err
	}
	g, err := startGate(ctx, o.sallyport, dir, surroundings{})
	if err != nil {
		return "", err
	}
	f.started = append(f.started, g.process)
	begin := time.Now()
	if _, err := g.cli(ctx, "key", "import", file, "--api", "orders", "--create-tenants", "--tenant-plan", "big"); err != nil {
		return "", err
	}
	imported := time.Since(begin)
	g.stop()
	if g.process, err = start(ctx, nil, g.binary, "serve", "-c", filepath.Join(dir, "sallyport.yaml")); err != nil {
		return "", err
	}
	f.started = append(f.started, g.process)
	if err := g.awaitPort(ctx, g.grpc); err != nil {
		return "", err
	}
	rand.Shuffle(n, func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	s := &server{name: fmt.Sprintf("%d keys", n), address: g.grpc, process: g.process, asked: fromHalf(keys)}
	if err := f.add(s, g.pid()); err != nil {
		return "", err
	}
	ready, err := s.cpu.now()
	if err != nil {
		return "", err
	}
	miss, err := firstChecks(ctx, s, keys)
	return fmt.Sprintf("%d keys of %d tenants: imported in %.1f s, %.0f a second; %.0f ms of CPU to start with them; the first Check of a key %s µs",
		n, tenants(n), imported.Seconds(), float64(n)/imported.Seconds(), ready.Seconds()*1000, micros(miss)), err
}

// firstChecks makes one Check with each of keys, and returns the CPU time of one.
func firstChecks(ctx context.Context, s *server, keys []string) (time.Duration, error) {
	once := *s
	once.asked = checks(keys, true)
	l, err := newLoad(ctx, &once, shape{connections: 1, streams: 32})
	if err != nil {
		return 0, err
	}
	defer l.close()
	defer context.AfterFunc(ctx, l.close)()
	var sum time.Duration
	for left := len(keys); left > 0; {
		calls := min(left, 20_000) // for runTimeout
		spent, err := l.run(calls)
		if err != nil {
			return 0, s.fault(err)
		}
		sum += spent
		left -= calls
	}
	return sum / time.Duration(len(keys)), nil
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
