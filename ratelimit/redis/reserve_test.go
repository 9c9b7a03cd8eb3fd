package redis

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/counterstest"
)

func TestConformanceOfAReserve(t *testing.T) {
	server, time := testenv.StartRedis(t), newClock()
	prefixes := 0
	fresh := func(t *testing.T) ratelimit.Counters {
		prefixes++
		c := open(t, Options{Addresses: []string{server.Addr}, clock: time.now, Timeout: lenient, Prefix: fmt.Sprintf("test-%d:", prefixes)})
		return ratelimit.NewReserve(c, ratelimit.ReserveOptions{Batch: 50, Share: 50})
	}
	counterstest.Run(t, fresh, counterstest.Options{Clock: time, Most: most})
}

// pair is two instances that share a Redis, each with a reserve.
type pair struct {
	clock    *clock
	counters [2]*Counters
	reserves [2]*ratelimit.Reserve
}

const batch = 20

func newPair(t testing.TB, server *testenv.RedisServer) *pair {
	p := &pair{clock: newClock()}
	for i := range p.reserves {
		p.counters[i] = open(t, Options{Addresses: []string{server.Addr}, clock: p.clock.now, Timeout: lenient})
	}
	p.renew()
	return p
}

// renew begins with nothing in reserve.
func (p *pair) renew() {
	for i := range p.reserves {
		p.reserves[i] = ratelimit.NewReserve(p.counters[i], ratelimit.ReserveOptions{Batch: batch, Share: 10})
	}
}

func (p *pair) take(t interface{ Fatal(...any) }, i int, now time.Time, charges []sallyport.Charge, hits uint64) bool {
	v, err := p.reserves[i].Take(ctx, ratelimit.Call{Now: now, Subject: someone, Charges: charges, Hits: hits})
	if err != nil {
		t.Fatal(err)
	}
	return v.Allowed
}

// used is what Redis has counted in the first window of charges.
func (p *pair) used(t interface{ Fatal(...any) }, charges []sallyport.Charge) uint64 {
	all, err := p.counters[0].Look(ctx, ratelimit.Call{Now: p.clock.now(), Subject: someone, Charges: charges})
	if err != nil {
		t.Fatal(err)
	}
	return all[0].Used
}

var someone = &sallyport.Subject{API: "orders", Tenant: "acme", Credential: "k1", Principal: "k1"}

func windows(t interface{ Fatal(...any) }, texts ...string) []sallyport.Charge {
	c := sallyport.Charge{Limit: &sallyport.Limit{Name: "requests", Per: []string{"credential"}}}
	for _, text := range texts {
		w, err := sallyport.ParseWindow(text)
		if err != nil {
			t.Fatal(err)
		}
		c.Windows = append(c.Windows, w)
	}
	return []sallyport.Charge{c}
}

// 64 callers of two instances are allowed a limit and no more, mostly without
// Redis; what an instance held back is the other's once it has gone back.
func TestAReserveNeverAllowsMore(t *testing.T) {
	p := newPair(t, testenv.StartRedis(t))
	hour := windows(t, "1000/1h")
	var allowed atomic.Int64
	crowd := func(asks int) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for range asks {
					if p.take(t, i%2, epoch, hour, 1) {
						allowed.Add(1)
					}
				}
			})
		}
		wg.Wait()
	}
	crowd(14) // 896
	if calls := p.counters[0].State().Calls + p.counters[1].State().Calls; allowed.Load() != 896 || calls > 896/2 {
		t.Errorf("%d of 896 allowed, with %d calls to Redis; want all, with less than half as many", allowed.Load(), calls)
	}
	crowd(14)
	if n := allowed.Load(); n > 1000 || n < 1000-2*batch {
		t.Errorf("%d allowed, want 1000 less two batches at most", n)
	}
	for range 2 { // what was not used since the last one goes back
		p.reserves[0].Sweep(ctx, epoch)
		p.reserves[1].Sweep(ctx, epoch)
	}
	crowd(14)
	if n := allowed.Load(); n != 1000 {
		t.Errorf("%d allowed, want 1000", n)
	}
}

func TestAnInstanceThatDiesLosesABatchAtMost(t *testing.T) {
	p := newPair(t, testenv.StartRedis(t))
	hour, allowed := windows(t, "1000/1h"), 0
	for i := range 1200 {
		who := 0
		if i > 300 {
			who = 1 // the first is never heard of again
		}
		if p.take(t, who, epoch, hour, 1) {
			allowed++
		}
	}
	if held := p.reserves[0].Held(epoch); held == 0 || held > batch || allowed != 1000-int(held) {
		t.Errorf("%d allowed and %d lost with the instance, want 1000 together, and %d lost at most", allowed, held, batch)
	}
}

// TestLawOfAReserve: whatever is asked when and where, no window of Redis' clock
// allows more than its maximum, also where the instances' clocks are wrong; and
// when all reserves have gone back, Redis has counted what was allowed.
func TestLawOfAReserve(t *testing.T) {
	server := testenv.StartRedis(t)
	p := newPair(t, server)
	rapid.Check(t, func(t *rapid.T) {
		server.Do("FLUSHALL")
		p.renew()
		const short, long = 10, 3600 // seconds
		skew := time.Duration(rapid.IntRange(-5000, 5000).Draw(t, "skew in ms")) * time.Millisecond
		charges := windows(t, "30/10s", "200/1h")
		inShort, inLong := map[int64]uint64{}, map[int64]uint64{}
		now := epoch
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 40, 300, 2600, 10_000, 900_000}).Draw(t, "wait in ms")) * time.Millisecond)
			p.clock.Set(now)
			who, hits := rapid.IntRange(0, 1).Draw(t, "instance"), uint64(rapid.IntRange(0, 4).Draw(t, "hits"))
			if hits == 0 {
				p.reserves[who].Sweep(ctx, now.Add(skew))
			} else if p.take(t, who, now.Add(skew), charges, hits) {
				inShort[now.Unix()/short] += hits
				inLong[now.Unix()/long] += hits
			}
		}
		for second, n := range inShort {
			if n > 30 {
				t.Fatalf("%d hits in the ten seconds %d", n, second)
			}
		}
		for hour, n := range inLong {
			if n > 200 {
				t.Fatalf("%d hits in the hour %d", n, hour)
			}
		}
		if now.Unix()%long > long-10 {
			return // too late for anything to go back
		}
		p.reserves[0].Close(ctx, now.Add(skew))
		p.reserves[1].Close(ctx, now.Add(skew))
		hour := windows(t, "200/1h")
		if used := p.used(t, hour); used != inLong[now.Unix()/long] {
			t.Fatalf("Redis has counted %d this hour, want the %d that were allowed", used, inLong[now.Unix()/long])
		}
	})
}

// While Redis is lost, what is in reserve is served, and no more.
func TestAReserveOutlivesRedis(t *testing.T) {
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	r := ratelimit.NewReserve(c, ratelimit.ReserveOptions{Batch: batch, Share: 10})
	now, hour := time.Now(), windows(t, "1000000/month")
	take := func() error {
		_, err := r.Take(ctx, ratelimit.Call{Now: now, Subject: someone, Charges: hour, Hits: 1})
		return err
	}
	for r.Held(now) < 5 {
		if err := take(); err != nil {
			t.Fatal(err)
		}
	}
	server.Kill()
	for held := r.Held(now); held > 0; held-- {
		if err := take(); err != nil {
			t.Fatalf("with %d in reserve: %v", held, err)
		}
	}
	if take() == nil {
		t.Error("allowed with nothing in reserve and no Redis")
	}
}

// Every tally of two instances has a place of its own: as many are within the
// maximum as it says.
func TestTalliesFromAReserve(t *testing.T) {
	p := newPair(t, testenv.StartRedis(t))
	tally := ratelimit.Tally{Key: []byte("\x00a tally"), Window: windows(t, "500/1h")[0].Windows[0]}
	var within, counted atomic.Int64
	count := func(i int, hits uint64, back bool) uint64 {
		one := []ratelimit.Tally{tally}
		one[0].Hits, one[0].Back = hits, back
		if err := p.reserves[i].Count(ctx, epoch, one); err != nil {
			t.Error(err)
		}
		return one[0].Used
	}
	crowd := func(asks int) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				for range asks {
					if count(i%2, 1, false) <= 500 {
						within.Add(1)
					}
					counted.Add(1)
				}
			})
		}
		wg.Wait()
	}
	crowd(7) // 448
	if calls := p.counters[0].State().Calls + p.counters[1].State().Calls; within.Load() != 448 || calls > 448/2 {
		t.Errorf("%d of 448 within the maximum, with %d calls to Redis; want all, with less than half as many", within.Load(), calls)
	}
	crowd(13)
	if n := within.Load(); n > 500 || n < 500-2*batch {
		t.Errorf("%d within the maximum, want 500 less two batches at most", n)
	}
	for range 50 { // and back: what is given back can be had again
		hits := uint64(1 + rand.IntN(3))
		count(rand.IntN(2), hits, true)
		counted.Add(-int64(hits))
	}
	p.reserves[0].Close(ctx, epoch)
	p.reserves[1].Close(ctx, epoch)
	one := []ratelimit.Tally{tally}
	if err := p.counters[0].Count(ctx, epoch, one); err != nil || one[0].Used != uint64(counted.Load()) {
		t.Errorf("%d counted (%v), want %d", one[0].Used, err, counted.Load())
	}
}
