package redis

import (
	"context"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// do asks what a says.
func (c *Counters) do(ctx context.Context, a *ask) (got answer, f *failure) {
	said, f := c.run(ctx, a.tag, request{keys: a.keys, numbers: a.numbers})
	if f != nil {
		return got, f
	}
	got, err := readAnswer(said.text, a.windows())
	if err != nil {
		return got, &failure{cause: err, sent: true, own: true}
	}
	return got, nil
}

// Take implements ratelimit.Counters. call.Now tells the calendar's periods and
// nothing else: the server's clock rules.
func (c *Counters) Take(ctx context.Context, call ratelimit.Call) (sallyport.Verdict, error) {
	loan, err := c.Lend(ctx, call, 0)
	return loan.Verdict, err
}

// Lend implements ratelimit.Lender, with a second call to the script where what was
// to be taken ahead is not there.
func (c *Counters) Lend(ctx context.Context, call ratelimit.Call, extra uint64) (ratelimit.Loan, error) {
	if len(call.Charges) == 0 {
		return ratelimit.Loan{Verdict: sallyport.Verdict{Allowed: true}}, nil
	}
	mode := modeTake
	if call.Hits == 0 || call.Dry {
		mode, extra = modeLook, 0
	}
	a := c.ask(mode, &call, call.Hits+extra)
	if mode == modeTake && a.nobody() {
		extra, a = 0, c.ask(modeLook, &call, call.Hits)
	}
	got, f := c.do(ctx, &a)
	if f == nil && extra > 0 && got.status != charged {
		extra = 0
		if got.status == refused {
			a = c.ask(mode, &call, call.Hits)
			got, f = c.do(ctx, &a)
		}
	}
	if f != nil {
		v, err := c.takeAlone(ctx, &call, c.part(a.tag), f)
		return ratelimit.Loan{Verdict: v}, err
	}
	return ratelimit.Loan{Verdict: a.judge(got, min(call.Hits, most+2)), Extra: extra, Now: got.now, Outlooks: got.standings}, nil
}

// Force implements ratelimit.Counters.
func (c *Counters) Force(ctx context.Context, call ratelimit.Call) error {
	return c.change(ctx, modeForce, &call)
}

// Refund implements ratelimit.Counters. While alone, only what was taken alone is
// given back.
func (c *Counters) Refund(ctx context.Context, call ratelimit.Call) error {
	return c.change(ctx, modeRefund, &call)
}

// Reset implements ratelimit.Counters. While Redis does not answer it fails,
// whatever OnLoss says: who asks for it is to know that nothing was reset.
func (c *Counters) Reset(ctx context.Context, call ratelimit.Call) error {
	return c.change(ctx, modeReset, &call)
}

func (c *Counters) change(ctx context.Context, mode int, call *ratelimit.Call) error {
	if len(call.Charges) == 0 || call.Hits == 0 && mode != modeReset {
		return nil
	}
	a := c.ask(mode, call, call.Hits)
	if _, f := c.do(ctx, &a); f != nil {
		return c.changeAlone(ctx, mode, call, c.part(a.tag), f)
	}
	return nil
}

// Look implements ratelimit.Counters, with one call for each charge.
func (c *Counters) Look(ctx context.Context, call ratelimit.Call) (all []ratelimit.Standing, err error) {
	for i := range call.Charges {
		one := call
		one.Charges = call.Charges[i : i+1]
		a := c.ask(modeLook, &one, 0)
		got, f := c.do(ctx, &a)
		if f != nil {
			return c.lookAlone(ctx, &call, f)
		}
		all = append(all, a.stand(got)...)
	}
	return all, nil
}
