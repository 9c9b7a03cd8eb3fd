package counterstest

import (
	"context"
	"sync"
	"testing"

	"github.com/sallyport/sallyport/ratelimit"
)

// lender lends from counters in this process.
type lender struct {
	*ratelimit.Memory
	mu sync.Mutex
}

func (l *lender) Lend(ctx context.Context, call ratelimit.Call, extra uint64) (loan ratelimit.Loan, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, _ := l.Look(ctx, call)
	if extra > 0 {
		more := call
		more.Hits += extra
		loan.Verdict, _ = l.Take(ctx, more)
	}
	if !loan.Allowed {
		extra = 0
		loan.Verdict, _ = l.Take(ctx, call)
	}
	after, _ := l.Look(ctx, call)
	loan.Now = call.Now.UnixMicro()
	charged := false
	for i, s := range after {
		charged = charged || s.Used > before[i].Used
		o := ratelimit.Outlook{Left: s.Remaining, Reset: s.Reset.UnixMicro(), Retry: s.Reset.UnixMicro()}
		if loan.RetryAfter > 0 {
			o.Retry = call.Now.Add(loan.RetryAfter).UnixMicro()
		}
		if s.Limit.Shadow {
			o.Left = before[i].Remaining
		}
		loan.Outlooks = append(loan.Outlooks, o)
	}
	if charged { // and not a retry
		loan.Extra = extra
	}
	return loan, nil
}

func TestReserve(t *testing.T) {
	for name, o := range map[string]ratelimit.ReserveOptions{
		"of nothing": {}, "of few": {Batch: 3, Share: 10}, "of many": {Batch: 1000, Share: 100},
	} {
		t.Run(name, func(t *testing.T) {
			Run(t, func(*testing.T) ratelimit.Counters {
				return ratelimit.NewReserve(&lender{Memory: ratelimit.NewMemory()}, o)
			}, Options{})
		})
	}
}
