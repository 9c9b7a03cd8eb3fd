package extauthz

import (
	"context"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
)

// Explanation is a decision about a request that was not sent, and what it
// rests on.
type Explanation struct {
	Decision sallyport.Decision
	Status   int // of the answer; 0: the request goes on to the upstream
	Headers  []sallyport.Header
	Body     string
	Holds    []string // what the caller may do
	Limits   []ExplainedLimit
}

// ExplainedLimit is a limit that counts the request, and what is left of it.
type ExplainedLimit struct {
	sallyport.Charge
	Verdict sallyport.Verdict
}

// Explain decides about req as Decide does, and spends nothing. as, where it is
// not nil, is whoever asks, whatever credential req carries.
func (a *Authorizer) Explain(ctx context.Context, req *sallyport.Request, as *sallyport.Credential) Explanation {
	dry := &Authorizer{hasher: a.hasher, finder: a.finder, limiter: looker{a.limiter}, now: a.now, as: as, senders: a.senders, tokens: a.tokens}
	rules := a.rules.Load()
	c := newCall()
	defer c.Release()
	c.Request = *req
	c.Request.Headers = slices.Clone(req.Headers)
	dry.decide(ctx, rules, &c.Request, &c.Decision)
	e := Explanation{}
	for i, charge := range c.Decision.Charges {
		verdict, err := a.limiter.Take(ctx, c.Decision.At, "", &c.Decision.Subject, c.Decision.Charges[i:i+1], 0)
		if err == nil {
			e.Limits = append(e.Limits, ExplainedLimit{charge, verdict})
		}
	}
	if c.Decision.Reason == sallyport.Allowed && c.Decision.Credential != nil && !c.Decision.Shadow() {
		dry.foresee(ctx, &c.Decision)
	}
	rules.answer(c)
	e.Decision = c.Decision
	if e.Decision.Credential == &c.Decision.Found {
		e.Decision.Credential = &e.Decision.Found // c's goes with c
	}
	e.Decision.Charges = slices.Clone(c.Decision.Charges)
	e.Status, e.Body = c.reply.Status, string(c.reply.Body)
	for _, h := range append(c.reply.Response, c.reply.Beside...) {
		e.Headers = append(e.Headers, sallyport.Header{Name: h.Name, Value: clone(h.Value)})
	}
	for _, s := range c.scopes {
		e.Holds = append(e.Holds, clone(s))
	}
	e.Decision.RequestID, e.Decision.Address = clone(c.Decision.RequestID), clone(c.Decision.Address)
	return e
}

// foresee says whether the rate limit service would refuse what goes on to it.
func (a *Authorizer) foresee(ctx context.Context, d *sallyport.Decision) {
	if d.Chain != sallyport.Paired || len(d.Charges) == 0 {
		return
	}
	verdict, err := a.limiter.Foresee(ctx, d.At, &d.Subject, d.Charges, d.Hits)
	if err == nil && !verdict.Allowed {
		d.Verdict, d.Reason = verdict, sallyport.QuotaExhausted
	}
}

// clone copies text out of memory that is used again.
func clone(s string) string { return string([]byte(s)) }

// looker says what a Take would say, and takes nothing.
type looker struct{ Limiter }

func (l looker) Take(ctx context.Context, now time.Time, _ string, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error) {
	return l.Foresee(ctx, now, s, charges, hits)
}
