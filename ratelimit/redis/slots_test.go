package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

func inFlight(n uint32, wait time.Duration) *sallyport.Limit {
	return &sallyport.Limit{Name: "in-flight", Per: []string{"credential", "operation"}, Concurrency: n, Wait: wait}
}

func ofTenant(n uint32, wait time.Duration) *sallyport.Limit {
	return &sallyport.Limit{Name: "of-tenant", Per: []string{"tenant"}, Concurrency: n, Wait: wait}
}

func caller(name string) *sallyport.Subject {
	return &sallyport.Subject{API: "orders", Tenant: "t1", Credential: name, Operation: "GET /v1/orders"}
}

// ever is a patience that no test sees the end of.
const ever = 10 * time.Second

// hall is Slots of one instance with what tests ask of them all the time.
type hall struct {
	*Slots
	t testing.TB
}

func newHall(t testing.TB, o Options, lease time.Duration) *hall {
	t.Helper()
	h := &hall{newSlots(open(t, o), lease), t}
	t.Cleanup(h.Close)
	return h
}

// onEach runs body with a Redis, and with a cluster.
func onEach(t *testing.T, body func(t *testing.T, o Options)) {
	for name, cluster := range map[string]bool{"alone": false, "cluster": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			quiet(t)
			body(t, somewhere(t, cluster))
		})
	}
}

// twins are two instances that share a Redis, or a cluster.
func twins(t *testing.T, body func(t *testing.T, a, b *hall)) {
	onEach(t, func(t *testing.T, o Options) { body(t, newHall(t, o, leaseFor), newHall(t, o, leaseFor)) })
}

// hold wants the slots to be granted or refused.
func (h *hall) hold(want bool, sid string, s *sallyport.Subject, limits ...*sallyport.Limit) {
	h.t.Helper()
	full, err := h.Hold(ctx, time.Now(), sid, s, limits)
	if err != nil || (full == nil) != want {
		h.t.Errorf("%s: granted is %v (error %v), want %v", sid, full == nil, err, want)
	}
}

// end ends sid and returns when Redis knows.
func (h *hall) end(sid string) { h.End(sid); h.told(sid) }

func (h *hall) told(sid string) {
	h.t.Helper()
	if f := h.settle(ctx, ctx, h.stream(sid).name); f != nil {
		h.t.Error(f)
	}
}

func (h *hall) idle() {
	h.t.Helper()
	for left := h.State().Untold; left > 0; left = h.State().Untold { // of many, a busy machine tells some
		testenv.Await(h.t, "Redis to be told", func() bool { return h.State().Untold < left })
	}
}

func (h *hall) inFlight(want int, l *sallyport.Limit, s *sallyport.Subject) {
	h.t.Helper()
	if got := h.InFlight(l, s); got != want {
		h.t.Errorf("%s: %d are in flight, want %d", l.Name, got, want)
	}
}

// H4, by two instances: held through one, ended through the other.
func TestTheSixthOfAllInstancesIsRefused(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		five := inFlight(5, 0)
		for i := range 5 {
			[]*hall{a, b}[i%2].hold(true, fmt.Sprint("s", i), caller("k1"), five)
		}
		a.hold(false, "s5", caller("k1"), five)
		b.hold(false, "s6", caller("k1"), five)
		b.hold(true, "other", caller("k2"), five)
		a.inFlight(5, five, caller("k1"))
		b.end("s0")
		a.hold(true, "s7", caller("k1"), five)
		b.hold(false, "s8", caller("k1"), five)
		a.Free("s1")
		a.told("s1")
		b.hold(true, "s1", caller("k1"), five)
		b.inFlight(5, five, caller("k1"))
	})
}

func TestSharedSlotsAreAllOrNone(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		one, two, shadow := inFlight(1, 0), ofTenant(2, 0), &sallyport.Limit{Name: "shadow", Concurrency: 1, Shadow: true}
		a.hold(true, "a", caller("k1"), one, two, shadow, two)
		b.hold(false, "b", caller("k1"), two, one, shadow)
		a.inFlight(1, two, caller("k1"))
		b.hold(true, "c", caller("k2"), one, two, shadow)
		if full, _ := a.Hold(ctx, time.Now(), "d", caller("k3"), []*sallyport.Limit{one, two}); full != two {
			t.Errorf("full: got %v, want the tenant's", full)
		}
		a.inFlight(2, shadow, caller("k1"))
		b.end("a")
		b.end("c")
		a.inFlight(0, two, caller("k1"))
		a.inFlight(0, shadow, caller("k1"))
		a.hold(true, "e", caller("k3")) // of no limits
		if _, err := a.Hold(ctx, time.Now(), "", caller("k3"), []*sallyport.Limit{one}); err == nil {
			t.Error("a slot was held that nothing could release")
		}
	})
}

func TestASharedRetryHoldsWhatItHeld(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		one := inFlight(1, 0)
		for i := range 4 {
			[]*hall{a, b}[i%2].hold(true, "a", caller("k1"), one)
		}
		b.hold(false, "a", caller("k1"), one) // no proxy tries as often
		b.inFlight(1, one, caller("k1"))
		a.hold(false, "b", caller("k1"), one)
		b.end("a")
		a.hold(false, "a", caller("k1"), one) // a try that was still on its way
		a.hold(true, "b", caller("k1"), one)
	})
}

func TestASharedEndMayComeBeforeItsHold(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		one := inFlight(1, 0)
		b.end("a")
		a.hold(false, "a", caller("k1"), one)
		a.idle()
		a.inFlight(0, one, caller("k1"))
		// Between the two steps of a Hold in a cluster.
		w := b.wish("c", caller("k1"), []*sallyport.Limit{one})
		if got, f := b.call(ctx, ctx, w.tag, w.places, b.request(doTake, w.numbers, w.name)); f != nil || got.status != statusGranted {
			t.Fatal(got, f)
		}
		a.end("c")
		b.hold(false, "c", caller("k1"), one)
		b.idle()
		if b.counters.options.Cluster {
			b.inFlight(0, one, caller("k1"))
		}
		b.Renew("nobody", time.Now())
		b.Free("nobody")
		b.End("")
		b.idle()
	})
}

// What one sid asks for changes while it holds: it holds what it held.
func TestARetryForOtherSlotsHoldsTheOld(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		one, two := inFlight(1, 0), ofTenant(2, 0)
		a.hold(true, "a", caller("k1"), one)
		b.hold(true, "a", caller("k1"), one, two)
		b.idle()
		b.inFlight(0, two, caller("k1"))
		a.end("a")
		a.inFlight(0, one, caller("k1"))
	})
}

// The law: two instances by turns answer as one does in its own memory.
func TestSharedSlotsEqualThoseInMemory(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		clock, runs := newClock(), 0
		o.clock = clock.now
		a, b := newHall(t, o, leaseFor), newHall(t, o, leaseFor)
		rapid.Check(t, func(t *rapid.T) {
			runs++
			law := ratelimit.NewSlots(clock.now)
			limits := []*sallyport.Limit{inFlight(2, 0), ofTenant(3, 0)}
			lives := map[string]int{}
			for range rapid.IntRange(1, 40).Draw(t, "steps") {
				h := rapid.SampledFrom([]*hall{a, b}).Draw(t, "instance")
				name := rapid.StringMatching(`s[0-5]`).Draw(t, "sid")
				sid := fmt.Sprint(name, "-", lives[name], "-", runs)
				s := caller(fmt.Sprint("k", name[1]/2%2)) // who asks, and for what, does not change with a retry
				s.API = fmt.Sprint("run-", runs)
				some := limits[name[1]%2:]
				hold := func() {
					full, err := h.Hold(ctx, clock.now(), sid, s, some)
					if want, _ := law.Hold(ctx, clock.now(), sid, s, some); err != nil || (full == nil) != (want == nil) {
						t.Fatalf("hold of %s: full is %v (error %v), want %v", sid, full, err, want)
					}
				}
				switch rapid.SampledFrom([]string{"hold", "hold", "hold", "end", "free", "renew", "pass"}).Draw(t, "what") {
				case "hold":
					hold()
				case "end": // twice, since here all that have ended are remembered
					h.End(sid)
					law.End(sid)
					law.End(sid)
					h.told(sid)
					hold()
					lives[name]++
				case "free":
					h.Free(sid)
					law.Free(sid)
				case "renew":
					h.Renew(sid, clock.now())
					law.Renew(sid, clock.now())
				case "pass":
					clock.Set(clock.now().Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second))
				}
				h.told(sid)
				for _, l := range limits {
					if got, want := h.InFlight(l, s), law.InFlight(l, s); got != want {
						t.Fatalf("%s: %d in flight, want %d", l.Name, got, want)
					}
				}
			}
		})
	})
}

// Never more than the limit, whoever asks where, and nothing is left: 64 callers
// at two instances, whose streams end early, late, twice and through either.
func TestSharedSlotsUnderStress(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		few, many := inFlight(3, 5*time.Millisecond), ofTenant(7, 5*time.Millisecond)
		var inside [4]atomic.Int32 // by key; the last is the tenant's
		var granted, refusals atomic.Int32
		var all sync.WaitGroup
		for one := range 64 {
			all.Go(func() {
				r := rand.New(rand.NewPCG(7, uint64(one)))
				either := func() *hall { return []*hall{a, b}[r.IntN(2)] }
				for i := range 60 {
					sid, k := fmt.Sprint(one, "-", i), r.IntN(3)
					ctx, cancel := context.WithCancel(ctx)
					early := r.IntN(4) == 0
					var proxy sync.WaitGroup
					if early {
						h, leaves := either(), r.IntN(2) == 0
						proxy.Go(func() {
							if leaves {
								cancel()
							}
							h.End(sid)
						})
					}
					full, err := either().Hold(ctx, time.Now(), sid, caller(fmt.Sprint(k)), []*sallyport.Limit{few, many})
					switch {
					case early:
					case err != nil:
						t.Error(err)
					case full != nil:
						refusals.Add(1)
					default:
						granted.Add(1)
						if inside[k].Add(1) > 3 || inside[3].Add(1) > 7 {
							t.Error("more are in flight than may be")
						}
						for range r.IntN(2000) {
							_ = rand.Uint64()
						}
						inside[3].Add(-1)
						inside[k].Add(-1)
					}
					proxy.Wait()
					either().End(sid)
					if r.IntN(3) == 0 {
						either().End(sid)
					}
					cancel()
				}
			})
		}
		all.Wait()
		a.idle()
		b.idle()
		for k := range 3 {
			a.inFlight(0, few, caller(fmt.Sprint(k)))
		}
		a.inFlight(0, many, caller("0"))
		if granted.Load() == 0 || refusals.Load() == 0 {
			t.Errorf("%d granted and %d refused: one of both was not tried", granted.Load(), refusals.Load())
		}
		for _, h := range []*hall{a, b} {
			if s := h.State(); s.Waiting != 0 || s.Dropped != 0 || s.Expired != 0 {
				t.Errorf("left: %+v", s)
			}
		}
	})
}

// wanted is a Hold that may wait.
type wanted struct {
	done   chan struct{}
	full   *sallyport.Limit
	err    error
	cancel context.CancelFunc
}

// wants starts a Hold and returns when it stands in line, the last of waiting.
func (h *hall) wants(waiting int, sid string, s *sallyport.Subject, limits ...*sallyport.Limit) *wanted {
	h.t.Helper()
	w := &wanted{done: make(chan struct{})}
	var own context.Context
	own, w.cancel = context.WithCancel(ctx)
	h.t.Cleanup(w.cancel)
	go func() {
		defer close(w.done)
		w.full, w.err = h.Hold(own, time.Now(), sid, s, limits)
	}()
	testenv.Await(h.t, sid+" to stand in line", func() bool { return h.State().Waiting == waiting })
	return w
}

func (w *wanted) want(t *testing.T, granted bool) {
	t.Helper()
	<-w.done
	if w.err != nil || (w.full == nil) != granted {
		t.Errorf("granted is %v (error %v), want %v", w.full == nil, w.err, granted)
	}
}

func TestSharedWaitersAreServed(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		one := inFlight(1, ever)
		a.hold(true, "a", caller("k1"), one)
		second := a.wants(1, "b", caller("k1"), one)
		third := a.wants(2, "c", caller("k1"), one)
		gone := a.wants(3, "d", caller("k1"), one)
		a.hold(true, "a", caller("k1"), one) // a retry does not wait behind others
		gone.cancel()
		gone.want(t, false)
		a.End("a") // through the instance where they wait
		second.want(t, true)
		select {
		case <-third.done:
			t.Error("the third did not wait for its turn")
		default:
		}
		b.End("b") // through the other
		third.want(t, true)
		last := b.wants(1, "e", caller("k1"), one)
		a.End("e") // who has ended while it waits
		last.want(t, false)
		a.end("c")
		a.idle()
		b.inFlight(0, one, caller("k1"))
	})
}

func TestSharedPatienceEnds(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		one, two := inFlight(1, 30*time.Millisecond), ofTenant(1, 0)
		a.hold(true, "a", caller("k1"), one)
		began := time.Now()
		b.hold(false, "b", caller("k1"), one)
		if took, over := late(began, one.Wait+slack); took < one.Wait || over {
			t.Errorf("refused after %v, want %v", took, one.Wait)
		}
		// One that waits for two goes on waiting where the other is full.
		one = inFlight(1, ever)
		a.hold(true, "t", caller("k2"), two)
		both := b.wants(1, "c", caller("k1"), one, two)
		a.end("a")
		b.end("t")
		both.want(t, true)
		line := inFlight(1, ever)
		var all []*wanted
		for i := range mostWaiting(line) {
			all = append(all, a.wants(i+1, fmt.Sprint("w", i), caller("k1"), line))
		}
		a.hold(false, "z", caller("k1"), line)
		for _, w := range all {
			w.cancel()
			w.want(t, false)
		}
	})
}

// A caller that starts the next request when the answer to one has come is never
// refused, though the proxy's word of the end comes later and elsewhere.
func TestNeverAboveIsNeverRefusedByOneInstance(t *testing.T) {
	twins(t, func(t *testing.T, a, b *hall) {
		five := inFlight(5, 2*time.Second) // the machine may be busy; what is proved is that nobody starves
		var callers, proxy sync.WaitGroup
		for one := range 5 {
			callers.Go(func() {
				for i := range 200 {
					sid := fmt.Sprint(one, "-", i)
					a.hold(true, sid, caller("k1"), five)
					proxy.Go(func() { []*hall{a, b}[i%2].End(sid) })
				}
			})
		}
		callers.Wait()
		proxy.Wait()
		a.idle()
		b.idle()
		a.inFlight(0, five, caller("k1"))
	})
}

// An instance and its proxy are killed: what they held is free when it has been
// without a sign for a lease; what others renew stays.
func TestSlotsOfAKilledInstanceEndWithTheirLeases(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	two := inFlight(2, 0)
	if addr := os.Getenv("SALLYPORT_TEST_SLOTS"); addr != "" {
		h := newHall(t, Options{Addresses: []string{addr}, Timeout: lenient}, lease)
		h.hold(true, "crashed", caller("k1"), two)
		h.hold(true, "streaming", caller("k1"), two)
		fmt.Println("held")
		select {} // until killed
	}
	server := testenv.StartRedis(t)
	h := newHall(t, Options{Addresses: []string{server.Addr}, Timeout: lenient}, lease)
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "SALLYPORT_TEST_SLOTS="+server.Addr)
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer child.Process.Kill()
	if _, err := out.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	child.Process.Kill()
	h.hold(false, "c", caller("k1"), two)
	testenv.Await(t, "the lease of the crashed to end", func() bool {
		h.Renew("streaming", time.Now())
		return h.InFlight(two, caller("k1")) == 1
	})
	if got := h.State().Expired; got != 1 {
		t.Errorf("expired: got %d, want 1", got)
	}
	h.hold(true, "c", caller("k1"), two)
	h.hold(false, "d", caller("k1"), two)
	testenv.Await(t, "all keys to expire", func() bool { return server.Do("DBSIZE") == "0" })
}

// Limits of concurrency decide which keys share a slot, so that no counter is
// split.
func TestSlotTagsFollowThePolicy(t *testing.T) {
	s := &Slots{counters: &Counters{options: Options{Cluster: true}}}
	apart := func() bool {
		return s.tag(&sallyport.Subject{API: "orders", Tenant: "a"}) != s.tag(&sallyport.Subject{API: "orders", Tenant: "b"})
	}
	if apart() {
		t.Error("an API that is not known is spread")
	}
	for _, one := range []struct {
		per   []string
		apart bool
	}{{[]string{"tenant"}, true}, {[]string{"credential", "operation"}, true}, {[]string{"operation"}, false}, {nil, false}} {
		l := &sallyport.Limit{Name: "l", Per: one.per, Concurrency: 1}
		s.Know(&sallyport.Policy{APIs: []*sallyport.API{{Name: "orders", Limits: []*sallyport.Limit{{Name: "rate"}, l}}}})
		if apart() != one.apart {
			t.Errorf("per %v: spread by tenant: %v", one.per, apart())
		}
	}
}

// BenchmarkHold says what a Hold and its End cost the server, beside what they
// cost in all.
func BenchmarkHold(b *testing.B) {
	for _, names := range []int{1, 2} {
		b.Run(fmt.Sprint("limits=", names), func(b *testing.B) {
			server := testenv.StartRedis(b)
			h := newHall(b, Options{Addresses: []string{server.Addr}, Timeout: lenient}, leaseFor)
			limits := []*sallyport.Limit{inFlight(1000, 0), ofTenant(1000, 0)}[:names]
			before := cpu(b, server)
			var n atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			for range 64 {
				all.Go(func() {
					for range b.N/64 + 1 {
						i := n.Add(1)
						sid := fmt.Sprintf("0b0e3f6c-5a1c-4a53-9c1e-%012d", i)
						if full, err := h.Hold(ctx, time.Now(), sid, caller(fmt.Sprint(i%100)), limits); full != nil || err != nil {
							b.Error(full, err)
						}
						h.End(sid)
					}
				})
			}
			all.Wait()
			h.idle()
			b.StopTimer()
			b.ReportMetric((cpu(b, server)-before)*1e6/float64(n.Load()), "redis-µs/op")
		})
	}
}
