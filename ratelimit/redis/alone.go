package redis

import (
	"context"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// alone is what an instance counts by itself while Redis is lost.
type alone struct {
	share  uint32            // percent of each limit
	limits *ratelimit.Memory // what is allowed alone
	owed   *ratelimit.Memory // what Redis has not been told of
}

func newAlone(share uint32) *alone {
	return &alone{share: share, limits: ratelimit.NewMemory(), owed: ratelimit.NewMemory()}
}

// refusal is the error of OnLossClosed.
type refusal struct{ *failure }

// Closed reports that the request is to be refused, whatever its API says of
// failures.
func (refusal) Closed() bool { return true }

func (r refusal) Unwrap() error { return r.failure }

// lossError is what a call fails with where nothing is answered alone.
func (c *Counters) lossError(f *failure) error {
	if c.options.OnLoss == OnLossClosed {
		return refusal{f}
	}
	return f
}

// takeAlone answers a take that Redis failed.
func (c *Counters) takeAlone(ctx context.Context, call *ratelimit.Call, p *part, f *failure) (sallyport.Verdict, error) {
	c.unheard.Add(1)
	switch c.options.OnLoss {
	case OnLossOpen:
		return sallyport.Verdict{Allowed: true}, nil
	case OnLossLocal:
	default:
		return sallyport.Verdict{}, c.lossError(f)
	}
	p.joining.RLock()
	defer p.joining.RUnlock()
	v, err := c.alone.limits.Take(ctx, c.alone.shareOf(call))
	if err == nil && v.Allowed && call.Hits > 0 && !call.Dry && c.owes(p, f) {
		c.oweCall(ctx, p, call, false)
	}
	return v, err
}

// owes reports whether what is taken alone is to be added to Redis later: where
// Redis may have done it, it would count twice, and where p is not lost, nobody
// comes to carry it.
func (c *Counters) owes(p *part, f *failure) bool { return !f.sent && p.lost.Load() }

// oweCall notes call's hits as owed. Owed counters are in shadow: they refuse
// nothing, and forgive a sid as those before them did.
func (c *Counters) oweCall(ctx context.Context, p *part, call *ratelimit.Call, force bool) {
	own := *call
	own.Charges = make([]sallyport.Charge, len(call.Charges))
	for i, charge := range call.Charges {
		own.Charges[i] = sallyport.Charge{Limit: shadowOf(charge.Limit), Windows: charge.Windows}
		if !p.debts.owe(string(ratelimit.AppendKey(nil, charge.Limit, call.Subject)), func() debtor {
			return debtor{subject: *call.Subject, charge: sallyport.Charge{Limit: own.Charges[i].Limit, Windows: slices.Clone(charge.Windows)}}
		}) {
			c.dropped.Add(1)
		}
	}
	if force {
		c.alone.owed.Force(ctx, own)
	} else {
		c.alone.owed.Take(ctx, own)
	}
}

func shadowOf(l *sallyport.Limit) *sallyport.Limit {
	return &sallyport.Limit{Name: l.Name, Per: l.Per, Shadow: true}
}

// shareOf is call with the share of its windows that holds alone.
func (a *alone) shareOf(call *ratelimit.Call) ratelimit.Call {
	own := *call
	if a.share == 100 {
		return own
	}
	own.Charges = make([]sallyport.Charge, len(call.Charges))
	for i, charge := range call.Charges {
		own.Charges[i] = sallyport.Charge{Limit: charge.Limit, Windows: make([]sallyport.Window, len(charge.Windows))}
		for j, w := range charge.Windows {
			if w.Max > 0 {
				w.Max = max(1, percent(w.Max, a.share))
			}
			own.Charges[i].Windows[j] = w
		}
	}
	return own
}

// percent is n × p ÷ 100, rounded down; p is at most 100.
func percent(n uint64, p uint32) uint64 {
	hi, lo := bits.Mul64(n, uint64(p))
	quotient, _ := bits.Div64(hi, lo, 100)
	return quotient
}

// changeAlone does alone what Redis failed to do.
func (c *Counters) changeAlone(ctx context.Context, mode int, call *ratelimit.Call, p *part, f *failure) error {
	c.unheard.Add(1)
	switch {
	case mode == modeReset:
		return f
	case c.options.OnLoss == OnLossOpen:
		return nil
	case c.options.OnLoss != OnLossLocal:
		return c.lossError(f)
	}
	p.joining.RLock()
	defer p.joining.RUnlock()
	if mode == modeRefund {
		c.alone.owed.Refund(ctx, *call)
		return c.alone.limits.Refund(ctx, c.alone.shareOf(call))
	}
	if c.owes(p, f) {
		c.oweCall(ctx, p, call, true)
	}
	return c.alone.limits.Force(ctx, c.alone.shareOf(call))
}

func (c *Counters) lookAlone(ctx context.Context, call *ratelimit.Call, f *failure) ([]ratelimit.Standing, error) {
	c.unheard.Add(1)
	if c.options.OnLoss != OnLossLocal {
		return nil, c.lossError(f)
	}
	return c.alone.limits.Look(ctx, c.alone.shareOf(call))
}

// countAlone counts a tally that Redis did not. What is used is told so that the
// caller, who knows the limit, refuses at the share of it.
func (c *Counters) countAlone(ctx context.Context, now time.Time, t *ratelimit.Tally, p *part, f *failure) error {
	c.unheard.Add(1)
	switch c.options.OnLoss {
	case OnLossOpen:
		_, end := t.Window.Period(now.Unix(), c.zones.Of(&t.Window))
		t.Used, t.Reset = 0, time.Unix(end, 0)
		return nil
	case OnLossLocal:
	default:
		return c.lossError(f)
	}
	p.joining.RLock()
	defer p.joining.RUnlock()
	one := []ratelimit.Tally{*t}
	if c.owes(p, f) && t.Hits > 0 {
		if !p.debts.owe(tallyDebt+string(t.Key), func() debtor {
			return debtor{tally: &ratelimit.Tally{Key: append([]byte(nil), t.Key...), Window: t.Window}}
		}) {
			c.dropped.Add(1)
		}
		c.alone.owed.Count(ctx, now, one)
	}
	if err := c.alone.limits.Count(ctx, now, one); err != nil {
		return err
	}
	t.Used, t.Reset = one[0].Used, one[0].Reset
	if hi, lo := bits.Mul64(t.Used, 100); hi == 0 {
		t.Used = (lo + uint64(c.alone.share) - 1) / uint64(c.alone.share)
	}
	return nil
}

// debts are the counters of which something may be owed.
type debts struct {
	mu    sync.Mutex
	known map[string]debtor // guarded by mu
	most  int
}

// debtor is a counter of a subject, or a tally.
type debtor struct {
	subject sallyport.Subject
	charge  sallyport.Charge
	tally   *ratelimit.Tally
}

// tallyDebt begins the names of tallies, as no counter's name does.
const tallyDebt = "\x00tally"

// Bounds of how many are remembered, in each part.
const (
	mostDebtors        = 50_000
	mostClusterDebtors = 2_000
)

// owe notes a debtor, and reports false where there are too many.
func (d *debts) owe(name string, who func() debtor) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, known := d.known[name]; known {
		return true
	}
	if len(d.known) >= d.most {
		return false
	}
	if d.known == nil {
		d.known = make(map[string]debtor)
	}
	d.known[name] = who()
	return true
}

// all empties d and returns what was in it.
func (d *debts) all() map[string]debtor {
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.known
	d.known = nil
	return known
}

// bill is one call that adds to Redis what a debtor owes in one window.
type bill struct {
	name string
	who  debtor
	keys []string
	text string
	hits uint64
	paid func() // takes the hits off what is owed
}

// Bounds of how much is carried in one go.
const (
	billsAtOnce = 128
	carryFor    = 500 * time.Millisecond
)

// carry adds what p owes to Redis, and reports whether all of it, or as much as
// time allowed, has arrived. What Redis may have received is not sent again.
func (c *Counters) carry(ctx context.Context, l *link, p *part) bool {
	if c.alone == nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, carryFor)
	defer cancel()
	var bills []bill
	for name, who := range p.debts.all() {
		bills = append(bills, c.bills(name, who)...)
	}
	for len(bills) > 0 && ctx.Err() == nil {
		now := bills[:min(billsAtOnce, len(bills))]
		if !c.pay(ctx, l, p, now) {
			for _, b := range bills {
				p.debts.owe(b.name, func() debtor { return b.who })
			}
			return false
		}
		bills = bills[len(now):]
	}
	for _, b := range bills {
		p.debts.owe(b.name, func() debtor { return b.who })
	}
	return true
}

// bills are what who owes now; what it owed in windows that have ended is nothing.
func (c *Counters) bills(name string, who debtor) (all []bill) {
	ctx, now := context.Background(), c.now()
	if who.tally != nil {
		one := []ratelimit.Tally{*who.tally}
		c.alone.owed.Count(ctx, now, one)
		if one[0].Used == 0 {
			return nil
		}
		hits := one[0].Used
		g := c.groupsOf(one)[0]
		numbers := c.appendOther(who.tally, hits, now)
		if g.plain {
			numbers = appendTallyHead(nil, 1)
			numbers = appendTally(numbers, who.tally, hits)
		}
		return []bill{{name, who, g.keys, string(numbers), hits, func() {
			back := []ratelimit.Tally{{Key: who.tally.Key, Window: who.tally.Window, Hits: hits, Back: true}}
			c.alone.owed.Count(ctx, c.now(), back)
		}}}
	}
	call := ratelimit.Call{Now: now, Subject: &who.subject, Charges: []sallyport.Charge{who.charge}}
	standings, _ := c.alone.owed.Look(ctx, call)
	for i, s := range standings {
		if s.Used == 0 {
			continue
		}
		one := call
		one.Hits = s.Used
		one.Charges = []sallyport.Charge{{Limit: who.charge.Limit, Windows: who.charge.Windows[i : i+1]}}
		a := c.ask(modeForce, &one, one.Hits)
		all = append(all, bill{name, who, a.keys, string(a.numbers), s.Used, func() {
			one.Now = c.now()
			c.alone.owed.Refund(ctx, one)
		}})
	}
	return all
}

// pay sends bills, and reports whether all went well. The probe before it has
// brought the script.
func (c *Counters) pay(ctx context.Context, l *link, p *part, bills []bill) bool {
	var sends []rueidis.Completed
	for _, b := range bills {
		sends = append(sends, l.client.B().Evalsha().Sha1(c.sha).Numkeys(int64(len(b.keys))).Key(b.keys...).Arg(b.text).Build())
	}
	well := true
	for i, result := range l.client.DoMulti(ctx, sends...) {
		err := result.Error()
		switch {
		case err == nil:
			c.carried.Add(bills[i].hits)
			bills[i].paid()
		case failed(err).sent:
			c.dropped.Add(1)
			bills[i].paid()
			well = false
		default:
			well = false
		}
	}
	return well
}
