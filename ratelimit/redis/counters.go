package redis

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// do asks what a says.
func (c *Counters) do(ctx context.Context, a *ask) (got answer, f *failure) {
	text, f := c.run(ctx, a.tag, a.keys, a.numbers)
	if f != nil {
		return got, f
	}
	got, err := readAnswer(text, a.windows())
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

// Count implements ratelimit.Counters: one call, in a cluster one for each slot
// that the tallies are in, at the same time. Where one fails, others may have
// counted.
func (c *Counters) Count(ctx context.Context, now time.Time, tallies []ratelimit.Tally) error {
	if len(tallies) == 0 {
		return nil
	}
	keys, tags := make([]string, len(tallies)), make([]string, len(tallies))
	groups := make(map[int][]int, 1)
	for i := range tallies {
		keys[i], tags[i] = c.tallyKey(&tallies[i])
		group := 0
		if c.options.Cluster {
			group = slot(tags[i])
		}
		groups[group] = append(groups[group], i)
	}
	if len(groups) == 1 {
		for _, group := range groups {
			return c.countGroup(ctx, now, tallies, group, keys, tags[group[0]])
		}
	}
	faults := make(chan error, len(groups))
	for _, group := range groups {
		go func() { faults <- c.countGroup(ctx, now, tallies, group, keys, tags[group[0]]) }()
	}
	var all []error
	for range groups {
		all = append(all, <-faults)
	}
	return errors.Join(all...)
}

// countGroup counts the tallies of group, which share a slot. Two of one name are
// counted one after the other.
func (c *Counters) countGroup(ctx context.Context, now time.Time, tallies []ratelimit.Tally, group []int, keys []string, tag string) error {
	for len(group) > 0 {
		var round, later []int
		taken := make(map[string]bool, len(group))
		for _, i := range group {
			if taken[keys[i]] {
				later = append(later, i)
			} else {
				taken[keys[i]] = true
				round = append(round, i)
			}
		}
		if err := c.countRound(ctx, now, tallies, round, keys, tag); err != nil {
			return err
		}
		group = later
	}
	return nil
}

func (c *Counters) countRound(ctx context.Context, now time.Time, tallies []ratelimit.Tally, round []int, keys []string, tag string) error {
	length, plain := 5, true
	var own []string
	for _, i := range round {
		length += 3 + numbersOf(&tallies[i].Window)
		plain = plain && isPlain(&tallies[i].Window)
		own = append(own, keys[i])
	}
	numbers := appendList(make([]byte, 0, 32+6*length), length)
	numbers = c.appendHead(numbers, modeCount, 0, false, plain)
	for _, i := range round {
		t := &tallies[i]
		numbers = appendNumber(numbers, flag(t.Back))
		numbers = appendNumber(numbers, min(t.Hits, most))
		numbers = appendNumber(numbers, 1)
		numbers = c.appendWindow(numbers, &t.Window, now)
	}
	text, f := c.run(ctx, tag, own, numbers)
	if f == nil {
		got, err := readAnswer(text, len(round))
		if err != nil {
			return &failure{cause: err, sent: true, own: true}
		}
		for j, i := range round {
			t := &tallies[i]
			t.Used, t.Reset, t.At = got.standings[j].Left, time.UnixMicro(got.standings[j].Reset), time.UnixMicro(got.now)
		}
		return nil
	}
	for _, i := range round {
		if err := c.countAlone(ctx, now, &tallies[i], c.part(tag), f); err != nil {
			return err
		}
	}
	return nil
}
