package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/testenv"
)

// G9: Redis down or hung: within the deadline, what OnLoss says; and all is well
// again by itself.
func TestSlotsSurviveFaults(t *testing.T) {
	for _, f := range faults {
		for name, onLoss := range map[string]OnLoss{"fail": OnLossFail, "local": OnLossLocal, "open": OnLossOpen, "closed": OnLossClosed} {
			if f.name == "restarted" {
				continue // which may be back already
			}
			t.Run(f.name+"/"+name, func(t *testing.T) { slotsSurvive(t, f, onLoss) })
		}
	}
}

func slotsSurvive(t *testing.T, f fault, onLoss OnLoss) {
	quiet(t)
	server := testenv.StartRedis(t, arguments...)
	h := newHall(t, Options{
		Addresses: []string{server.Addr}, Timeout: short, OnLoss: onLoss, Share: 50, Username: "gate", Password: apikey.NewSecret("secret"),
	}, leaseFor)
	four := inFlight(4, 0)
	h.hold(true, "before-0", caller("k1"), four)
	h.hold(true, "before-1", caller("k1"), four)
	f.lose(t, server)
	granted, failures := 0, 0
	var sids []string
	try := func() {
		sid := fmt.Sprint("lost-", len(sids))
		sids = append(sids, sid)
		began := time.Now()
		full, err := h.Hold(ctx, time.Now(), sid, caller("k1"), []*sallyport.Limit{four})
		if took, over := late(began, short+slack); over {
			t.Errorf("a Hold took %v", took)
		}
		var closed interface{ Closed() bool }
		switch {
		case err != nil:
			if failures++; errors.As(err, &closed) != (onLoss == OnLossClosed) {
				t.Errorf("%v: says that it is closed: %v", err, onLoss != OnLossClosed)
			}
		case full == nil:
			granted++
		case full != four:
			t.Errorf("full is %v, which nobody asked for", full)
		}
	}
	for range slowCalls + 5 {
		try()
	}
	want := map[OnLoss]int{OnLossLocal: 2, OnLossOpen: len(sids)}[onLoss]
	if fails := onLoss == OnLossFail || onLoss == OnLossClosed; granted != want || failures > 0 != fails {
		t.Errorf("of %d, %d were granted and %d failed, want %d granted", len(sids), granted, failures, want)
	}
	h.End("before-0") // which Redis is told of when it is back
	h.Renew("before-1", time.Now())
	f.mend(t, server)
	joined(t, h.counters)
	h.idle()
	for _, sid := range sids {
		h.End(sid)
	}
	h.idle()
	left := 1
	if f.forgetful {
		left = 0
	}
	h.inFlight(left, four, caller("k1"))
	h.end("before-1")
	h.inFlight(0, four, caller("k1"))
	for i := range 5 {
		h.hold(i < 4, fmt.Sprint("after-", i), caller("k1"), four)
	}
}

// Under load, with Redis hung, killed and back: no more are in flight than the
// limit and what may be held alone, every call returns in time, and nothing is
// left.
func TestSlotsSurviveFaultsUnderLoad(t *testing.T) {
	quiet(t)
	server := testenv.StartRedis(t, arguments...)
	h := newHall(t, Options{Addresses: []string{server.Addr}, Timeout: short, OnLoss: OnLossLocal, Share: 50}, leaseFor)
	four := inFlight(4, 10*time.Millisecond)
	var inside, held atomic.Int32
	load, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for one := range 16 {
		all.Go(func() {
			for i := 0; load.Err() == nil; i++ {
				sid := fmt.Sprint(one, "-", i)
				began := time.Now()
				full, err := h.Hold(ctx, time.Now(), sid, caller("k1"), []*sallyport.Limit{four})
				if took, over := late(began, short+2*four.Wait+slack); over {
					t.Errorf("a Hold took %v", took)
				}
				if err != nil {
					t.Error(err)
				}
				if full == nil {
					held.Add(1)
					if n := inside.Add(1); n > 4+4+2 { // of a Redis that forgot all, again, and alone
						t.Errorf("%d are in flight", n)
					}
					inside.Add(-1)
				}
				h.End(sid)
			}
		})
	}
	for i, f := range []fault{named("hung"), named("killed"), named("loading"), named("hung")} {
		so := held.Load()
		testenv.Await(t, "some to hold", func() bool { return held.Load() > so+20 })
		f.lose(t, server)
		testenv.Await(t, fmt.Sprint("loss ", i), func() bool { s := h.counters.State(); return !s.Joined() })
		f.mend(t, server)
		joined(t, h.counters)
	}
	stop()
	all.Wait()
	h.idle()
	h.inFlight(0, four, caller("k1"))
	if s := h.State(); s.Dropped != 0 || s.Local != 0 {
		t.Errorf("left: %+v", s)
	}
}

// What cannot be told is bounded, and whoever reads the proxy's log does not wait.
func TestUntoldEndsAreBounded(t *testing.T) {
	t.Parallel()
	quiet(t)
	server := testenv.StartRedis(t)
	h := newHall(t, Options{Addresses: []string{server.Addr}, Timeout: 3 * short}, leaseFor)
	one := inFlight(1, 0)
	h.hold(true, "a", caller("k1"), one)
	server.Stop()
	for range mostErrands + 100 {
		began := time.Now()
		h.End("a")
		if took, over := late(began, slack); over {
			t.Errorf("the reader waited for %v", took)
		}
	}
	if s := h.State(); s.Dropped < 100-batchSize || s.Untold > mostErrands {
		t.Errorf("%+v, want at most %d untold", s, mostErrands)
	}
	testenv.Await(t, "the loss", func() bool { s := h.counters.State(); return !s.Joined() })
	server.Cont()
	joined(t, h.counters)
	h.idle()
	h.inFlight(0, one, caller("k1"))
}
