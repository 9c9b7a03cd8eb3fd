package extauthz

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// unlimited takes the limits of the policy away.
func (h *hooks) unlimited() {
	h.policy.APIs[0].Limits = nil
	h.enforce()
}

// V9: each signature is good once, at all operations that say so.
func TestAWebhookIsGoodOnce(t *testing.T) {
	h := newHooks(t)
	h.unlimited()
	h.drawer.put(h.newSender("twin", "s3cret"))
	upper := post("/hooks/once", "s3cret", "{}", h.stamp())
	upper.Headers[len(upper.Headers)-1].Value = "\t" + upper.Headers[len(upper.Headers)-1].Value
	for _, c := range []struct {
		name string
		req  sallyport.Request
		want sallyport.Reason
	}{
		{"the first", post("/hooks/once", "s3cret", "{}", h.stamp()), sallyport.Allowed},
		{"the same", post("/hooks/once", "s3cret", "{}", h.stamp()), sallyport.SignatureReplayed},
		{"the same in other words", upper, sallyport.SignatureReplayed},
		{"the same elsewhere", post("/hooks/once/acme", "s3cret", "{}", h.stamp()), sallyport.SignatureReplayed},
		{"where it may come again", post("/hooks/timed", "s3cret", "{}", h.stamp()), sallyport.Allowed},
		{"and again", post("/hooks/timed", "s3cret", "{}", h.stamp()), sallyport.Allowed},
		{"another body", post("/hooks/once", "s3cret", "[]", h.stamp()), sallyport.Allowed},
		{"another time", post("/hooks/once", "s3cret", "{}", strconv.FormatInt(noon.Unix()+1, 10)), sallyport.Allowed},
		{"another sender with that secret", post("/hooks/once/twin", "s3cret", "{}", h.stamp()), sallyport.Allowed},
		{"who cannot sign", post("/hooks/once", "wrong", "()", h.stamp()), sallyport.SignatureWrong},
		{"who can, after that", post("/hooks/once", "s3cret", "()", h.stamp()), sallyport.Allowed},
	} {
		if d := h.decide(c.req); d.Reason != c.want {
			t.Errorf("%s: got %v, want %v", c.name, d.Reason, c.want)
		}
	}
}

// refilled remembers signatures and has quota again.
type refilled struct{ Limiter }

func (r refilled) of(charges []sallyport.Charge) Limiter {
	if charges[0].Limit == &good {
		return r.Limiter
	}
	return ratelimit.Limiter{Counters: ratelimit.NewMemory()}
}

func (r refilled) Take(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error) {
	return r.of(charges).Take(ctx, now, sid, s, charges, hits)
}

func (r refilled) Foresee(ctx context.Context, now time.Time, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error) {
	return r.of(charges).Foresee(ctx, now, s, charges, hits)
}

// What came at the first moment of its tolerance is refused until the last, and
// then it is too old.
func TestNoGapBetweenOnceAndTooLate(t *testing.T) {
	h := newHooks(t)
	h.unlimited()
	stamp := h.stamp()
	h.clock = noon.Add(-5 * time.Minute)
	if d := h.decide(post("/hooks/once", "s3cret", "{}", stamp)); d.Reason != sallyport.Allowed {
		t.Fatalf("got %v", d.Reason)
	}
	for at := -5 * time.Minute; at <= 6*time.Minute; at += 5 * time.Second {
		h.clock = noon.Add(at)
		want := sallyport.SignatureReplayed
		if at > 5*time.Minute {
			want = sallyport.SignatureExpired
		}
		if d := h.decide(post("/hooks/once", "s3cret", "{}", stamp)); d.Reason != want {
			t.Fatalf("at %v: got %v, want %v", at, d.Reason, want)
		}
	}
}

// A webhook that the quota refuses may come again, on both chains; and one that
// came before costs its sender nothing.
func TestWhatTheQuotaRefusesMayComeAgain(t *testing.T) {
	for _, chain := range []sallyport.Chain{sallyport.Fused, sallyport.Paired} {
		h := newHooks(t)
		h.policy.Chain = chain
		h.enforce()
		ask := func(n int) sallyport.Reason {
			d := h.decide(post("/hooks/once", "s3cret", strconv.Itoa(n), h.stamp()))
			if chain == sallyport.Paired && d.Reason == sallyport.Allowed { // then Envoy asks the rate limit service
				v, err := h.limiter.Take(t.Context(), h.clock, "", &d.Subject, d.Charges, d.Hits)
				if err != nil {
					t.Fatal(err)
				}
				if !v.Allowed {
					return sallyport.QuotaExhausted
				}
			}
			return d.Reason
		}
		for n, want := range []sallyport.Reason{sallyport.Allowed, sallyport.Allowed} {
			if got := ask(n); got != want {
				t.Errorf("%v: webhook %d: got %v", chain, n, got)
			}
			if got := ask(n); got != sallyport.SignatureReplayed {
				t.Errorf("%v: webhook %d again: got %v", chain, n, got)
			}
		}
		for n, want := range map[int]sallyport.Reason{2: sallyport.Allowed} {
			if got := ask(n); got != want {
				t.Errorf("%v: the third, after two that were replayed: got %v", chain, got)
			}
		}
		if got := ask(3); got != sallyport.QuotaExhausted {
			t.Errorf("%v: the fourth: got %v", chain, got)
		}
		h.limiter = refilled{h.limiter}
		if got := ask(3); got != sallyport.Allowed {
			t.Errorf("%v: the fourth, once there is quota: got %v", chain, got)
		}
		if got := ask(3); got != sallyport.SignatureReplayed {
			t.Errorf("%v: the fourth again: got %v", chain, got)
		}
	}
}

// A proxy's retry is no replay, and of many at once one passes.
func TestRetriesAndRaces(t *testing.T) {
	h := newHooks(t)
	h.unlimited()
	retried := with(post("/hooks/once", "s3cret", "{}", h.stamp()), sallyport.SIDHeader, "stream-1")
	for range 2 {
		if d := h.decide(retried); d.Reason != sallyport.Allowed {
			t.Errorf("a retry: got %v", d.Reason)
		}
	}
	if d := h.decide(with(post("/hooks/once", "s3cret", "{}", h.stamp()), sallyport.SIDHeader, "stream-2")); d.Reason != sallyport.SignatureReplayed {
		t.Errorf("another stream: got %v", d.Reason)
	}
	h.counters = nil // it keeps notes, for one at a time
	h.limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
	var passed atomic.Int64
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if d := h.decide(with(post("/hooks/once", "s3cret", "race", h.stamp()), sallyport.SIDHeader, "s"+strconv.Itoa(i))); d.Reason == sallyport.Allowed {
				passed.Add(1)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 {
		t.Errorf("%d of 16 at once passed", passed.Load())
	}
}

// Who cannot be asked whether it came before lets nothing pass, whatever the API
// says of quotas.
func TestReplaysWhileTheCountersAreDown(t *testing.T) {
	h := newHooks(t)
	h.policy.APIs[0].OnFailure.QuotaOpen = true
	h.enforce()
	h.counters.err = errors.New("no route to host")
	if d := h.decide(post("/hooks/once", "s3cret", "{}", h.stamp())); d.Reason != sallyport.CountersFailed {
		t.Errorf("got %v", d.Reason)
	}
	if d := h.decide(post("/hooks/timed", "s3cret", "{}", h.stamp())); d.Reason != sallyport.Allowed {
		t.Errorf("where nobody needs to know: got %v", d.Reason)
	}
	h.counters.err = nil
	if d := h.decide(post("/hooks/once", "s3cret", "{}", h.stamp())); d.Reason != sallyport.Allowed {
		t.Errorf("when they are back: got %v", d.Reason)
	}
}

// To explain a webhook is not to receive it.
func TestAnExplainedWebhookMayStillCome(t *testing.T) {
	h := newHooks(t)
	req := post("/hooks/once", "s3cret", "{}", h.stamp())
	for range 2 {
		if e := h.Explain(t.Context(), &req, nil); e.Decision.Reason != sallyport.Allowed {
			t.Errorf("explained: got %v", e.Decision.Reason)
		}
	}
	if d := h.decide(req); d.Reason != sallyport.Allowed {
		t.Errorf("got %v", d.Reason)
	}
	if e := h.Explain(t.Context(), &req, nil); e.Decision.Reason != sallyport.SignatureReplayed {
		t.Errorf("explained afterwards: got %v", e.Decision.Reason)
	}
	key := credential("key_1", sallyport.Active)
	unsigned := without(req, "x-signature")
	if e := h.Explain(t.Context(), &unsigned, key); e.Decision.Reason != sallyport.SignatureMissing {
		t.Errorf("with a key in place of a signature: got %v", e.Decision.Reason)
	}
}
