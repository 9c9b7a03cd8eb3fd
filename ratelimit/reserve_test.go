package ratelimit

import (
	"context"
	"errors"
	"sync"
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

// dear are counters of a clock of their own, whose answers a test may spoil.
type dear struct {
	*Memory
	mu    sync.Mutex
	clock time.Time
	asked func(call Call) error // before the counters, if any
	lost  bool                  // no answer arrives
}

func (d *dear) Lend(ctx context.Context, call Call, extra uint64) (loan Loan, err error) {
	if d.asked != nil {
		if err := d.asked(call); err != nil {
			return loan, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	call.Now = d.clock
	more := call
	more.Hits += extra
	if loan.Verdict, _ = d.Take(ctx, more); loan.Allowed {
		loan.Extra = extra
	} else if extra > 0 {
		loan.Verdict, _ = d.Take(ctx, call)
	}
	all, _ := d.Look(ctx, call)
	for _, s := range all {
		loan.Outlooks = append(loan.Outlooks, Outlook{Left: s.Remaining, Reset: s.Reset.UnixMicro(), Retry: s.Reset.UnixMicro()})
	}
	loan.Now = d.clock.UnixMicro()
	if d.lost {
		return Loan{}, errors.New("the answer is lost")
	}
	return loan, nil
}

func (d *dear) Refund(ctx context.Context, call Call) error {
	call.Now = d.clock
	return d.Memory.Refund(ctx, call)
}

func (d *dear) used(t *testing.T, c sallyport.Charge) uint64 {
	t.Helper()
	all, err := d.Look(context.Background(), Call{Now: d.clock, Subject: reserving, Charges: []sallyport.Charge{c}})
	if err != nil {
		t.Fatal(err)
	}
	return all[len(all)-1].Used
}

var reserving = &sallyport.Subject{API: "orders", Tenant: "acme", Credential: "k1", Principal: "k1"}

// noon is far from the end of any window.
var noon = time.Unix(1_700_000_000-1_700_000_000%86400+43200+60, 0)

func newReserving() (*Reserve, *dear) {
	d := &dear{Memory: NewMemory(), clock: noon}
	return NewReserve(d, ReserveOptions{Batch: 100, Share: 100}), d
}

func limitOf(name string, windows ...sallyport.Window) sallyport.Charge {
	return sallyport.Charge{Limit: &sallyport.Limit{Name: name, Per: []string{"credential"}}, Windows: windows}
}

func (r *Reserve) spend(t *testing.T, hits uint64, charges ...sallyport.Charge) bool {
	t.Helper()
	v, err := r.Take(context.Background(), Call{Now: noon, Subject: reserving, Charges: charges, Hits: hits})
	if err != nil {
		t.Fatal(err)
	}
	return v.Allowed
}

// filledTo takes one by one until so much is in reserve of c alone, and returns
// what it took.
func (r *Reserve) filledTo(t *testing.T, n uint64, c sallyport.Charge) (taken uint64) {
	t.Helper()
	for before := r.Held(noon); r.Held(noon) < before+n; taken++ {
		if !r.spend(t, 1, c) {
			t.Fatal("refused")
		}
	}
	return taken
}

// Answers that are lost, and the counters' own panics, cost little and leave
// nobody waiting.
func TestAReserveThatIsNotAnswered(t *testing.T) {
	r, d := newReserving()
	c := limitOf("a", sallyport.Window{Max: 1000, Length: time.Hour})
	r.filledTo(t, 40, c)
	call := Call{Now: noon, Subject: reserving, Charges: []sallyport.Charge{c}, Hits: r.Held(noon) + 1}
	before := d.used(t, c)
	d.lost = true
	for range 3 {
		if _, err := r.Take(context.Background(), call); err == nil {
			t.Fatal("no error")
		}
	}
	if lost := d.used(t, c) - before - 3*call.Hits; lost > 100 {
		t.Errorf("%d lost with three answers, want a batch at most", lost)
	}
	d.lost = false
	d.asked = func(Call) error { panic("spoilt") }
	func() {
		defer func() { _ = recover() }()
		_, _ = r.Take(context.Background(), call)
	}()
	d.asked = nil
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := r.Take(ctx, call); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

// A call that is asked before a window ends and answered after it leaves to the
// longer window what the reserve had.
func TestAReserveAcrossTheEndOfAWindow(t *testing.T) {
	r, d := newReserving()
	c := limitOf("a", sallyport.Window{Max: 10_000, Length: time.Minute}, sallyport.Window{Max: 100_000, Length: time.Hour})
	taken := r.filledTo(t, 20, c)
	hits := r.Held(noon) + 1
	d.clock = noon.Add(time.Minute)
	r.spend(t, hits, c)
	r.Close(context.Background(), d.clock)
	if used := d.used(t, c); used != taken+hits {
		t.Errorf("%d counted in the hour, want %d", used, taken+hits)
	}
}

// What a call drew and did not need goes back, but not across a reset, and never
// makes more than a batch of a reserve.
func TestWhatIsDrawnGoesBack(t *testing.T) {
	r, d := newReserving()
	a, b := limitOf("a", sallyport.Window{Max: 1000, Length: time.Hour}), limitOf("b", sallyport.Window{Max: 1, Length: time.Hour})
	r.spend(t, 1, b) // all there is
	var meanwhile func()
	d.asked = func(call Call) error {
		if call.Charges[0].Limit == b.Limit && meanwhile != nil {
			do := meanwhile
			meanwhile = nil
			do()
		}
		return nil
	}
	taken := r.filledTo(t, 60, a)
	meanwhile = func() { taken += r.filledTo(t, 60, a) }
	if r.spend(t, r.Held(noon), a, b) || r.Held(noon) > 100 {
		t.Errorf("%d held, want a batch at most", r.Held(noon))
	}
	meanwhile = func() {
		if err := r.Reset(context.Background(), Call{Now: noon, Subject: reserving, Charges: []sallyport.Charge{a}}); err != nil {
			t.Error(err)
		}
		taken = r.filledTo(t, 10, a)
	}
	r.spend(t, r.Held(noon), a, b)
	for r.spend(t, 1, a) {
		taken++
	}
	if taken != 1000 {
		t.Errorf("%d allowed after a reset, want 1000", taken)
	}
}
