package ratelimit

import (
	"context"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
)

// plenty lends whatever is asked for, from counters that have no end.
type plenty struct{ *Memory }

func (p plenty) Lend(_ context.Context, call Call, extra uint64) (Loan, error) {
	loan := Loan{Verdict: sallyport.Verdict{Known: true, Allowed: true}, Extra: extra, Now: call.Now.UnixMicro()}
	for _, c := range call.Charges {
		for i := range c.Windows {
			_, end := c.Windows[i].Period(call.Now.Unix(), nil)
			loan.Outlooks = append(loan.Outlooks, Outlook{Left: 1 << 40, Reset: end * 1e6, Retry: end * 1e6})
		}
	}
	return loan, nil
}

func fromReserve() (*Reserve, Call) {
	r := NewReserve(plenty{NewMemory()}, ReserveOptions{Batch: 1 << 30, Share: 100})
	limit := &sallyport.Limit{Name: "requests", Per: []string{"credential"}}
	call := Call{
		Now: time.Unix(1_700_000_000-1_700_000_000%3600+60, 0), SID: "a sid", Subject: &sallyport.Subject{API: "orders", Tenant: "acme", Credential: "k1", Principal: "k1"}, Hits: 1,
		Charges: []sallyport.Charge{{Limit: limit, Windows: []sallyport.Window{{Max: 1 << 50, Length: time.Hour}, {Max: 1 << 50, Length: 24 * time.Hour}}}},
	}
	one := call
	one.SID = ""
	for r.Held(call.Now) < 1<<10 {
		r.Take(context.Background(), one)
	}
	return r, call
}

func TestATakeFromTheReserveAllocatesNothing(t *testing.T) {
	r, call := fromReserve()
	sids := [...]string{"a", "b", "c", "d", "e"}
	i := 0
	if n := testing.AllocsPerRun(100, func() {
		call.SID = sids[i%len(sids)]
		call.Now = call.Now.Add(recentFor / time.Duration(len(sids))) // none is a retry
		if i++; i%50 == 0 {
			call.Now = call.Now.Add(-50 * recentFor / time.Duration(len(sids)))
		}
		r.Take(context.Background(), call)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTakeFromTheReserve(b *testing.B) {
	r, call := fromReserve()
	call.SID = ""
	b.ReportAllocs()
	for b.Loop() {
		r.Take(context.Background(), call)
	}
}
