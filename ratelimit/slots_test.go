package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
)

const patience = 20 * time.Millisecond

func inFlight(n uint32, wait time.Duration) *sallyport.Limit {
	return &sallyport.Limit{Name: "in-flight", Per: []string{"credential", "operation"}, Concurrency: n, Wait: wait}
}

func ofTenant(n uint32, wait time.Duration) *sallyport.Limit {
	return &sallyport.Limit{Name: "of-tenant", Per: []string{"tenant"}, Concurrency: n, Wait: wait}
}

func key(name string) *sallyport.Subject {
	return &sallyport.Subject{API: "orders", Tenant: "t1", Credential: name, Operation: "GET /v1/orders"}
}

// hall is Slots with what tests ask of them all the time.
type hall struct {
	*Slots
	t   testing.TB
	now time.Time // frozen unless the test moves it; not used in a bubble
}

func newHall(t testing.TB) *hall {
	h := &hall{t: t, now: time.Unix(1_800_000_000, 0)}
	h.Slots = NewSlots(func() time.Time { return h.now })
	return h
}

// hold wants the slots to be granted or refused.
func (h *hall) hold(want bool, sid string, s *sallyport.Subject, limits ...*sallyport.Limit) {
	h.t.Helper()
	full, err := h.Hold(context.Background(), h.now, sid, s, limits)
	if err != nil || (full == nil) != want {
		h.t.Errorf("%s: granted is %v (error %v), want %v", sid, full == nil, err, want)
	}
}

func (h *hall) held(want int) {
	h.t.Helper()
	if got := h.Held(); got != want {
		h.t.Errorf("%d streams hold slots, want %d", got, want)
	}
}

// H4.
func TestTheSixthIsRefusedUntilOneEnds(t *testing.T) {
	h, five := newHall(t), inFlight(5, 0)
	for i := range 5 {
		h.hold(true, fmt.Sprint("s", i), key("k1"), five)
	}
	h.hold(false, "s5", key("k1"), five)
	h.hold(true, "other", key("k2"), five)
	if got := h.InFlight(five, key("k1")); got != 5 {
		t.Errorf("in flight: got %d, want 5", got)
	}
	h.End("s3")
	h.hold(true, "s6", key("k1"), five)
	h.hold(false, "s7", key("k1"), five)
}

func TestAllSlotsOrNone(t *testing.T) {
	h, one, two := newHall(t), inFlight(1, 0), ofTenant(2, 0)
	h.hold(true, "a", key("k1"), one, two)
	h.hold(false, "b", key("k1"), two, one)
	if got := h.InFlight(two, key("k1")); got != 1 {
		t.Errorf("the refused one left %d in flight, want 1", got)
	}
	h.hold(true, "c", key("k2"), one, two)
	if full, _ := h.Hold(t.Context(), h.now, "d", key("k3"), []*sallyport.Limit{one, two}); full != two {
		t.Errorf("full: got %v, want the tenant's", full)
	}
	h.End("a")
	h.End("c")
	h.held(0)
}

func TestARetryHoldsWhatItHeld(t *testing.T) {
	h, one := newHall(t), inFlight(1, 0)
	for range 1 + forgiven {
		h.hold(true, "a", key("k1"), one)
	}
	h.hold(false, "a", key("k1"), one) // no proxy tries as often
	h.End("a")
	h.held(0)
	h.hold(false, "a", key("k1"), one) // a try that was still on its way
	h.hold(true, "b", key("k1"), one)
}

func TestAnEndMayComeBeforeItsHold(t *testing.T) {
	h, one := newHall(t), inFlight(1, 0)
	h.End("a")
	h.End("a")
	h.hold(false, "a", key("k1"), one)
	h.held(0)
	h.now = h.now.Add(2 * graveFor)
	h.hold(true, "a", key("k1"), one) // nobody remembers, and it may be another's
}

func TestFreeIsAtOnceAndForgotten(t *testing.T) {
	h, one := newHall(t), inFlight(1, 0)
	h.Free("nobody")
	h.hold(true, "a", key("k1"), one)
	h.Free("a")
	h.Free("a")
	h.held(0)
	h.hold(true, "a", key("k1"), one)
}

func TestASlotWithoutASignEndsAfterItsTime(t *testing.T) {
	h, two := newHall(t), inFlight(2, 0)
	h.hold(true, "crashed", key("k1"), two)
	h.hold(true, "streaming", key("k1"), two)
	for range 6 {
		h.hold(false, "c", key("k1"), two)
		h.now = h.now.Add(leaseFor / 6)
		h.Renew("streaming", h.now)
		h.Renew("nobody", h.now)
	}
	h.hold(true, "c", key("k1"), two)
	h.hold(false, "d", key("k1"), two)
	if got := h.Expired(); got != 1 {
		t.Errorf("expired: got %d, want 1", got)
	}
	h.now = h.now.Add(leaseFor)
	h.held(0)
}

func TestWithoutASidNothingIsHeld(t *testing.T) {
	h, one := newHall(t), inFlight(1, 0)
	if _, err := h.Hold(t.Context(), h.now, "", key("k1"), []*sallyport.Limit{one}); err == nil {
		t.Error("a slot was held that nothing could release")
	}
	h.End("")
	h.Free("")
	h.Renew("", h.now)
	h.hold(true, "a", key("k1"))
	h.held(0)
}

func TestAShadowCountsAndRefusesNobody(t *testing.T) {
	h, one, shadow := newHall(t), inFlight(2, 0), ofTenant(1, 0)
	shadow.Shadow = true
	h.hold(true, "a", key("k1"), one, shadow)
	h.hold(true, "b", key("k1"), one, shadow)
	h.hold(false, "c", key("k1"), one, shadow)
	if got := h.InFlight(shadow, key("k1")); got != 2 {
		t.Errorf("in the shadow: got %d, want 2", got)
	}
}

func TestIdlePlacesAreSwept(t *testing.T) {
	h, one, tenant := newHall(t), inFlight(1, 0), ofTenant(1<<30, 0)
	h.hold(true, "stays", key("stays"), one)
	for i := range 20 * firstSweep {
		sid := fmt.Sprint(i)
		h.hold(true, sid, key(sid), one, tenant)
		h.End(sid)
	}
	if n := len(h.places); n > 2*firstSweep {
		t.Errorf("%d places are kept of two that matter", n)
	}
	h.hold(false, "b", key("stays"), one)
}

func TestGravesAreBounded(t *testing.T) {
	h := newHall(t)
	for i := range 3 * mostGraves {
		h.End(fmt.Sprint(i))
	}
	if n := len(h.ended.young) + len(h.ended.old); n > 2*mostGraves {
		t.Errorf("%d are remembered, want at most %d", n, 2*mostGraves)
	}
	h.hold(false, fmt.Sprint(3*mostGraves-1), key("k1"), inFlight(1, 0))
}

func TestStreamIDsTellSidsApart(t *testing.T) {
	seen := map[streamID]string{}
	for n := range 100 {
		for _, sid := range []string{strings.Repeat("a", n), strings.Repeat("a", n) + "\x00", strings.Repeat("a", n) + "b"} {
			if other, taken := seen[streamOf(sid)]; taken && other != sid {
				t.Errorf("%q and %q are one stream", sid, other)
			}
			seen[streamOf(sid)] = sid
		}
	}
}

// wish is a Hold that may wait.
type wish struct {
	done   chan struct{}
	full   *sallyport.Limit
	cancel context.CancelFunc
}

// wants starts a Hold, inside a bubble, and returns when it waits or is done.
func wants(l *Slots, sid string, s *sallyport.Subject, limits ...*sallyport.Limit) *wish {
	w := &wish{done: make(chan struct{})}
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(w.done)
		w.full, _ = l.Hold(ctx, time.Now(), sid, s, limits)
	}()
	synctest.Wait()
	return w
}

// outcome is "waits", "granted" or "refused".
func (w *wish) outcome() string {
	synctest.Wait()
	select {
	case <-w.done:
	default:
		return "waits"
	}
	if w.full != nil {
		return "refused"
	}
	return "granted"
}

func (w *wish) want(t *testing.T, name, want string) {
	t.Helper()
	if got := w.outcome(); got != want {
		t.Errorf("%s: got %s, want %s", name, got, want)
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, one := NewSlots(time.Now), inFlight(1, patience)
		a, b, c := wants(l, "a", key("k1"), one), wants(l, "b", key("k1"), one), wants(l, "c", key("k1"), one)
		a.want(t, "a", "granted")
		b.want(t, "b", "waits")
		l.End("a")
		b.want(t, "b", "granted")
		c.want(t, "c", "waits")
		l.Free("b")
		c.want(t, "c", "granted")
		l.End("c")
		nothingIsLeft(t, l)
	})
}

func TestPatienceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, one, shadow := NewSlots(time.Now), inFlight(1, patience), ofTenant(1, time.Hour)
		shadow.Shadow = true // which is never full, so that nobody waits for it
		wants(l, "a", key("k1"), one, shadow)
		began, b := time.Now(), wants(l, "b", key("k1"), one, shadow)
		<-b.done
		if took := time.Since(began); took != patience || b.full != one {
			t.Errorf("refused with %v after %v, want after %v", b.full, took, patience)
		}
		l.End("a")
		nothingIsLeft(t, l)
	})
}

func TestWhoLeavesPassesTheSlotOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, one := NewSlots(time.Now), inFlight(1, patience)
		wants(l, "a", key("k1"), one)
		b, c, d := wants(l, "b", key("k1"), one), wants(l, "c", key("k1"), one), wants(l, "d", key("k1"), one)
		b.cancel()
		b.want(t, "b, whose client has gone", "refused")
		l.End("c")
		c.want(t, "c, whose stream has ended", "refused")
		l.mu.Lock() // so that d is granted and leaves at once
		l.releaseLocked(l.leases[streamOf("a")])
		d.cancel()
		l.mu.Unlock()
		d.want(t, "d, granted as it left", "refused")
		e := wants(l, "e", key("k1"), one)
		e.want(t, "e", "granted")
		l.End("e")
		nothingIsLeft(t, l)
	})
}

func TestARetryJoinsItsFirstTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, one := NewSlots(time.Now), inFlight(1, patience)
		wants(l, "a", key("k1"), one)
		first, second := wants(l, "b", key("k1"), one), wants(l, "b", key("k1"), one)
		first.cancel()
		first.want(t, "the first try", "refused")
		l.End("a")
		second.want(t, "the second", "granted")
		if got := l.InFlight(one, key("k1")); got != 1 {
			t.Errorf("in flight: got %d, want 1", got)
		}
		l.End("b")
		nothingIsLeft(t, l)
	})
}

func TestAFloodOfWaitersIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, one := NewSlots(time.Now), inFlight(1, patience)
		wants(l, "a", key("k1"), one)
		for i := range most(one) {
			wants(l, fmt.Sprint(i), key("k1"), one).want(t, "within the bound", "waits")
		}
		wants(l, "z", key("k1"), one).want(t, "beyond the bound", "refused")
		time.Sleep(2 * patience)
		l.End("a")
		nothingIsLeft(t, l)
	})
}

// One that waits for two limits takes neither before it can have both, and does
// not keep others from the one that is free.
func TestWaitersHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, one, two := NewSlots(time.Now), inFlight(1, patience), ofTenant(2, patience)
		wants(l, "a", key("k1"), one, two)
		both := wants(l, "both", key("k1"), one, two)
		both.want(t, "both", "waits")
		wants(l, "b", key("k2"), one, two).want(t, "b", "granted")
		l.End("a")
		both.want(t, "both", "granted")
		c := wants(l, "c", key("k3"), one, two)
		wants(l, "d", key("k1"), one, two).want(t, "d", "waits")
		l.End("b")
		c.want(t, "c", "granted")
		l.End("both")
		l.End("c")
		l.End("d")
		nothingIsLeft(t, l)
	})
}

// A caller that starts the next request when the answer to one has come is
// never refused, though the proxy's word of the end comes later.
func TestNeverAboveIsNeverRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, five := NewSlots(time.Now), inFlight(5, patience)
		var callers, proxy sync.WaitGroup
		for caller := range 5 {
			callers.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(caller)))
				for i := range 2000 {
					sid := fmt.Sprint(caller, "-", i)
					if full, err := l.Hold(t.Context(), time.Now(), sid, key("k1"), []*sallyport.Limit{five}); full != nil || err != nil {
						t.Errorf("%s was refused (error %v)", sid, err)
						return
					}
					time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
					late := time.Duration(r.IntN(int(patience)))
					proxy.Go(func() { time.Sleep(late); l.End(sid) })
				}
			})
		}
		callers.Wait()
		proxy.Wait()
		nothingIsLeft(t, l)
	})
}

// nothingIsLeft wants l to be as new, but for idle places.
func nothingIsLeft(t *testing.T, l *Slots) {
	t.Helper()
	synctest.Wait()
	l.checkEmpty(t)
}

func (l *Slots) checkEmpty(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.leases) > 0 || len(l.waiters) > 0 || l.ring.next != &l.ring || l.ring.prev != &l.ring {
		t.Errorf("%d leases and %d waiters are left", len(l.leases), len(l.waiters))
	}
	for k, p := range l.places {
		if p.used != 0 || p.wanted != 0 || p.queued != 0 || p.first != nil || p.last != nil {
			t.Errorf("%q: %+v is left", k, p)
		}
	}
}

// model is what Slots without patience are, the slow way.
type model struct {
	held  map[string]*holding
	ended map[string]time.Time
}

type holding struct {
	s       *sallyport.Subject
	limits  []*sallyport.Limit
	sign    time.Time
	retries int
}

func (m *model) used(limit *sallyport.Limit, s *sallyport.Subject) (n int) {
	for _, h := range m.held {
		for _, l := range h.limits {
			if string(AppendKey(nil, l, h.s)) == string(AppendKey(nil, limit, s)) {
				n++
			}
		}
	}
	return n
}

func (m *model) hold(now time.Time, sid string, s *sallyport.Subject, limits []*sallyport.Limit) bool {
	if h := m.held[sid]; h != nil {
		if h.retries++; h.retries > forgiven {
			h.retries = forgiven
			return false
		}
		h.sign = now
		return true
	}
	if _, ok := m.ended[sid]; ok {
		return false
	}
	for _, l := range limits {
		if m.used(l, s) >= int(l.Concurrency) {
			return false
		}
	}
	m.held[sid] = &holding{s: s, limits: limits, sign: now}
	return true
}

func (m *model) end(now time.Time, sid string) {
	if h := m.held[sid]; h == nil || h.retries > 0 {
		m.ended[sid] = now
	}
	delete(m.held, sid)
}

// Whatever is held, freed, ended and renewed: Slots answer as the model does.
func TestSlotsKeepTheLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		l := NewSlots(func() time.Time { return now })
		m := &model{held: map[string]*holding{}, ended: map[string]time.Time{}}
		limits := []*sallyport.Limit{inFlight(2, 0), ofTenant(3, 0)}
		sids := rapid.StringMatching(`s[0-7]`)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if got := l.Held(); got != len(m.held) {
					t.Fatalf("held: got %d, want %d", got, len(m.held))
				}
			},
			"hold": func(t *rapid.T) {
				sid, s := sids.Draw(t, "sid"), key(rapid.SampledFrom([]string{"k1", "k2"}).Draw(t, "key"))
				some := limits[rapid.IntRange(0, 1).Draw(t, "from"):]
				full, err := l.Hold(context.Background(), now, sid, s, some)
				if want := m.hold(now, sid, s, some); err != nil || (full == nil) != want {
					t.Fatalf("hold: granted is %v (error %v), want %v", full == nil, err, want)
				}
				for _, limit := range some {
					if got, want := l.InFlight(limit, s), m.used(limit, s); got != want || got > int(limit.Concurrency) {
						t.Fatalf("%s: in flight %d, want %d", limit.Name, got, want)
					}
				}
			},
			"end":  func(t *rapid.T) { sid := sids.Draw(t, "sid"); l.End(sid); m.end(now, sid) },
			"free": func(t *rapid.T) { sid := sids.Draw(t, "sid"); l.Free(sid); delete(m.held, sid) },
			"renew": func(t *rapid.T) {
				sid := sids.Draw(t, "sid")
				if l.Renew(sid, now); m.held[sid] != nil {
					m.held[sid].sign = now
				}
			},
			"pass": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds")) * time.Second)
				for sid, h := range m.held {
					if now.Sub(h.sign) >= leaseFor {
						delete(m.held, sid)
					}
				}
				if rapid.Bool().Draw(t, "long") { // graves are remembered for graveFor to twice as long: be beyond
					now = now.Add(2 * graveFor)
					for sid, h := range m.held {
						if now.Sub(h.sign) >= leaseFor {
							delete(m.held, sid)
						}
					}
				}
				m.forget(now, l)
			},
		})
	})
}

// forget takes the word of l for streams that it may but need not remember.
func (m *model) forget(now time.Time, l *Slots) {
	for sid, at := range m.ended {
		l.mu.Lock()
		remembered := l.ended.hold(streamOf(sid), now.Sub(l.base))
		l.mu.Unlock()
		if !remembered && now.Sub(at) >= graveFor {
			delete(m.ended, sid)
		}
		if remembered && now.Sub(at) >= 2*graveFor {
			panic("a stream is remembered for too long")
		}
	}
}

// Many callers at once, whose streams end before, while and after they wait,
// and who leave whenever they like: never more than the limit, and nothing is
// left.
func TestSlotsUnderStress(t *testing.T) {
	l, few, many := NewSlots(time.Now), inFlight(3, 2*time.Millisecond), ofTenant(7, 2*time.Millisecond)
	var inside [4]atomic.Int32 // by key; the last is the tenant's
	var all sync.WaitGroup
	var granted atomic.Int32
	for caller := range 32 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(7, uint64(caller)))
			for i := range 300 {
				sid, k := fmt.Sprint(caller, "-", i), r.IntN(3)
				ctx, cancel := context.WithCancel(t.Context())
				var proxy sync.WaitGroup
				early := r.IntN(3) == 0
				if early {
					proxy.Go(func() {
						if r := rand.IntN(3); r > 0 {
							spin(rand.IntN(2000))
							cancel()
						}
						l.End(sid)
					})
				}
				full, err := l.Hold(ctx, time.Now(), sid, key(fmt.Sprint(k)), []*sallyport.Limit{few, many})
				if err != nil {
					t.Error(err)
				}
				if full == nil && !early { // of the others, the proxy has given the slot back by now
					granted.Add(1)
					if inside[k].Add(1) > 3 || inside[3].Add(1) > 7 {
						t.Error("more are in flight than may be")
					}
					spin(r.IntN(2000))
					inside[3].Add(-1)
					inside[k].Add(-1)
				}
				proxy.Wait()
				if r.IntN(2) == 0 {
					l.Free(sid)
				}
				l.End(sid)
				cancel()
			}
		})
	}
	all.Wait()
	l.checkEmpty(t)
	if granted.Load() == 0 {
		t.Error("nobody was granted anything")
	}
}

// spin passes some time without a clock.
func spin(n int) {
	for range n {
		_ = rand.Uint64()
	}
}

func TestHoldAllocatesNothing(t *testing.T) {
	h, limits := newHall(t), []*sallyport.Limit{inFlight(5, patience), ofTenant(50, patience)}
	s, sid := key("k1"), "0b0e3f6c-5a1c-4a53-9c1e-5a0d3c1b2a3f"
	if n := testing.AllocsPerRun(1000, func() {
		if full, err := h.Hold(t.Context(), h.now, sid, s, limits); full != nil || err != nil {
			t.Error("refused")
		}
		h.End(sid)
	}); n > 0 {
		t.Errorf("a Hold and its End allocate %v times", n)
	}
}

func BenchmarkHold(b *testing.B) {
	h, limits := newHall(b), []*sallyport.Limit{inFlight(5, patience)}
	s, sid := key("k1"), "0b0e3f6c-5a1c-4a53-9c1e-5a0d3c1b2a3f"
	b.ReportAllocs()
	for b.Loop() {
		h.Hold(context.Background(), h.now, sid, s, limits)
		h.End(sid)
	}
}

func BenchmarkHoldParallel(b *testing.B) {
	h, limits := newHall(b), []*sallyport.Limit{inFlight(5, patience)}
	var callers atomic.Int32
	b.RunParallel(func(pb *testing.PB) {
		n := callers.Add(1)
		s := key(fmt.Sprint("k", n))
		sid := fmt.Sprintf("0b0e3f6c-5a1c-4a53-9c1e-%012d", n)
		for pb.Next() {
			h.Hold(context.Background(), h.now, sid, s, limits)
			h.End(sid)
		}
	})
}
