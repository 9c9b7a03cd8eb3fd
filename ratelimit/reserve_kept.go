package ratelimit

import (
	"context"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
)

// kept is a counter of which something is, or may soon be, in reserve. Times are
// in Unix microseconds of this process's clock.
type kept struct {
	subject *sallyport.Subject // never changed
	charge  sallyport.Charge   // with the windows that the reserve is of, which are replaced and never changed
	tally   []byte             // the counter's name, where it is a tally's: there is no subject then

	left     uint64    // hits in reserve
	outlooks []Outlook // how the windows stand beside it
	counted  uint64    // of a tally: hits used, those in reserve among them
	end      int64     // when the first of the windows ends, by the counters' clock
	since    int64     // when the counters were asked last
	until    int64     // when the first of the windows ends, at the earliest
	lead     int64     // how far this process's clock is ahead of the counters', at the least
	began    int64     // when the last call was made that was to fill the reserve

	wish    uint64        // hits to take ahead the next time, in multiples of a call's
	age     uint64        // tells what was asked before the counter was reset
	asking  int           // calls to the counters that are under way
	filling chan struct{} // closed when the one of them that takes ahead is done; nil: none does
	deaf    bool          // the last of those was not heard: nothing is taken ahead until one is
	used    bool          // since the last sweep
}

// keep returns a counter of which nothing is in reserve. What a request brought is
// copied: its strings may be part of a message that would be held by them.
func keep(of *sallyport.Subject, charge *sallyport.Charge) *kept {
	s := *of
	for i := range sallyport.SubjectKeys {
		field := s.Field(i)
		*field = strings.Clone(*field)
	}
	s.Attributes = strings.Clone(s.Attributes)
	return &kept{subject: &s, charge: sallyport.Charge{Limit: charge.Limit, Windows: slices.Clone(charge.Windows)}}
}

// How long a batch is to last, in microseconds.
const (
	quick = int64(250 * time.Millisecond / time.Microsecond) // one that lasts no longer is too small
	long  = int64(time.Second / time.Microsecond)            // one that lasts so long is too large
)

// live reports whether the windows that k's reserve is of have surely not ended. A
// clock that steps back far would keep it for too long: then it is not.
func (k *kept) live(now int64) bool { return now < k.until && now > k.since-long }

// serves reports whether k's reserve is of these windows.
func (k *kept) serves(now int64, windows []sallyport.Window) bool {
	return k.live(now) && slices.Equal(k.charge.Windows, windows)
}

// show shows j the windows of k, taken from its reserve.
func (k *kept) show(j *Judge, charge *sallyport.Charge) {
	for i := range min(len(k.outlooks), len(charge.Windows)) {
		o := k.outlooks[i]
		o.Left = plus(o.Left, k.left)
		j.See(charge.Limit, &charge.Windows[i], o, true)
	}
}

// wants is how many hits to take ahead for calls of so many: nothing the first
// time, and then about as many as are used between quick and long.
func (k *kept) wants(now int64, windows []sallyport.Window, hits uint64, r *Reserve) uint64 {
	alike := slices.Equal(k.charge.Windows, windows)
	if k.filling != nil || k.deaf || k.live(now) && k.left > 0 && !alike {
		return 0 // windows of another plan, as another key of the same tenant may have
	}
	free := uint64(1) << 63
	for i := range windows {
		left := windows[i].Max
		if alike && i < len(k.outlooks) && k.outlooks[i].Reset+k.lead > now {
			left = k.outlooks[i].Left
		}
		free = min(free, left)
	}
	if free == 0 {
		return 0
	}
	if k.began > 0 {
		switch took := now - k.began; {
		case took < quick:
			k.wish = min(max(1, 2*k.wish), r.batch)
		case took > long:
			k.wish /= 2
		}
	}
	k.began = now
	return min(r.bound(k.wish, hits, free), less(r.batch, k.left))
}

// bound is wish calls' hits, within the batch and the share of what is free.
func (r *Reserve) bound(wish, hits, free uint64) uint64 {
	if hi, lo := bits.Mul64(wish, hits); hi == 0 {
		return min(lo, r.batch, free/100*r.share+free%100*r.share/100)
	}
	return 0
}

// receive notes what the counters have answered, asked at began. It returns what is
// to go back: what k can not keep.
func (k *kept) receive(began time.Time, windows []sallyport.Window, loan *Loan, outlooks []Outlook) (back surplus) {
	now, end := began.UnixMicro(), outlooks[0].Reset
	for i := range outlooks {
		end = min(end, outlooks[i].Reset)
	}
	alike := slices.Equal(k.charge.Windows, windows)
	late := alike && end < k.end
	switch {
	case k.live(now) && (late || k.left > 0 && !alike): // late, or of another plan
		back = surplus{k.subject, sallyport.Charge{Limit: k.charge.Limit}, k.tally, loan.Extra}
		for i := range windows {
			if !late || outlooks[i].Reset > end {
				back.charge.Windows = append(back.charge.Windows, windows[i])
			}
		}
		return back.orNothing()
	case end == k.end && alike && k.asking > 0: // answers may come in another order than the questions
		for i := range outlooks {
			k.outlooks[i].Left = min(k.outlooks[i].Left, outlooks[i].Left)
		}
	case end == k.end && alike:
		copy(k.outlooks, outlooks)
	default:
		back = k.forget(max(now, loan.Now+k.lead)) // it may have ended since the counters were asked
		k.charge.Windows, k.outlooks = slices.Clone(windows), slices.Clone(outlooks)
	}
	k.left += loan.Extra
	k.lead = now - loan.Now
	k.end, k.since, k.until = end, now, end+k.lead
	return back
}

// forget makes k as if the counters had not been asked. What was in reserve is to
// go back to those windows that last beyond then.
func (k *kept) forget(then int64) surplus {
	s := surplus{k.subject, sallyport.Charge{Limit: k.charge.Limit}, k.tally, k.left}
	for i := range min(len(k.outlooks), len(k.charge.Windows)) {
		if k.outlooks[i].Reset+k.lead > then {
			s.charge.Windows = append(s.charge.Windows, k.charge.Windows[i])
		}
	}
	k.left, k.counted, k.end, k.until = 0, 0, 0, 0
	return s.orNothing()
}

// filled ends the call that was to fill the reserve. Where nothing came of it, the
// next begins small.
func (k *kept) filled(well bool) {
	close(k.filling)
	k.filling = nil
	if !well {
		k.wish, k.began = 0, 0
	}
}

// surplus is hits of a counter that are to go back.
type surplus struct {
	subject *sallyport.Subject
	charge  sallyport.Charge
	tally   []byte
	hits    uint64
}

// orNothing is s, or nothing where no window is left that it could go back to.
func (s surplus) orNothing() surplus {
	if len(s.charge.Windows) == 0 {
		return surplus{}
	}
	return s
}

// giveBack returns s to the counters, whatever becomes of the caller. What does not
// arrive lapses with its window.
func (r *Reserve) giveBack(ctx context.Context, now time.Time, s surplus) error {
	ctx = context.WithoutCancel(ctx)
	if s.tally != nil {
		return r.from.Count(ctx, now, []Tally{{Key: s.tally, Window: s.charge.Windows[0], Hits: s.hits, Back: true}})
	}
	return r.from.Refund(ctx, Call{Now: now, Subject: s.subject, Charges: []sallyport.Charge{s.charge}, Hits: s.hits})
}

// settle gives back what is in reserve of the counters of d that have to be asked,
// and reports whether there was any.
func (r *Reserve) settle(ctx context.Context, now time.Time, d *draws) bool {
	some := false
	for i := range d.list {
		one := &d.list[i]
		if one.own || one.kept == nil {
			continue
		}
		s := &r.shards[one.shard]
		s.mu.Lock()
		back := one.kept.forget(now.UnixMicro())
		s.mu.Unlock()
		if back.hits > 0 && r.giveBack(ctx, now, back) == nil {
			some = true
		}
	}
	return some
}

// empty gives back what is in reserve of d's counters, or with back unset drops
// it, along with what is on its way.
func (r *Reserve) empty(ctx context.Context, now time.Time, d *draws, back bool) {
	for i := range d.list {
		one := &d.list[i]
		s := &r.shards[one.shard]
		s.mu.Lock()
		if one.kept = s.kept[string(d.key(i))]; one.kept != nil && !back {
			one.kept.forget(0)
			one.kept.outlooks = nil
			one.kept.age++
		}
		s.mu.Unlock()
	}
	if back {
		r.settle(ctx, now, d)
	}
}

// Force implements Counters: from the reserve, as far as there is one.
func (r *Reserve) Force(ctx context.Context, call Call) error {
	d := r.locate(draws{}, &call)
	rest := call
	rest.Charges = nil
	now := call.Now.UnixMicro()
	for i := range d.list {
		one := &d.list[i]
		s := &r.shards[one.shard]
		s.mu.Lock()
		k := s.kept[string(d.key(i))]
		if k != nil && k.serves(now, one.charge.Windows) && k.left >= call.Hits {
			k.left -= call.Hits
			k.used = true
			one.own, one.kept, one.age, one.end, one.until = true, k, k.age, k.end, k.until
		} else {
			one.kept = k
			rest.Charges = append(rest.Charges, *one.charge)
		}
		s.mu.Unlock()
	}
	if len(rest.Charges) == 0 {
		r.served.Add(1)
		return nil
	}
	r.settle(ctx, call.Now, &d)
	err := r.from.Force(ctx, rest)
	if err != nil {
		r.putBack(ctx, &call, &d)
	}
	return err
}

// Refund implements Counters.
func (r *Reserve) Refund(ctx context.Context, call Call) error {
	d := r.locate(draws{}, &call)
	r.empty(ctx, call.Now, &d, true)
	return r.from.Refund(ctx, call)
}

// Reset implements Counters. What is in reserve in other instances stays there.
func (r *Reserve) Reset(ctx context.Context, call Call) error {
	d := r.locate(draws{}, &call)
	if err := r.from.Reset(ctx, call); err != nil {
		return err
	}
	r.empty(ctx, call.Now, &d, false)
	return nil
}

// Look implements Counters. What other instances have in reserve counts as used.
func (r *Reserve) Look(ctx context.Context, call Call) ([]Standing, error) {
	all, err := r.from.Look(ctx, call)
	if err != nil {
		return nil, err
	}
	at := 0
	for i := range call.Charges {
		one := call
		one.Charges = call.Charges[i : i+1]
		d := r.locate(draws{}, &one)
		left := r.leftOf(d.list[0].shard, d.key(0), call.Now.UnixMicro())
		for range call.Charges[i].Windows {
			s := &all[at]
			s.Used, s.Remaining = less(s.Used, left), min(plus(s.Remaining, left), max(s.Remaining, s.Window.Size()))
			at++
		}
	}
	return all, nil
}

// Sweep gives back what has not been used since the last sweep, and forgets
// counters that nobody asks for.
func (r *Reserve) Sweep(ctx context.Context, now time.Time) {
	r.sweep(ctx, now, func(k *kept) bool {
		idle := !k.used && k.asking == 0
		k.used = false
		return idle
	})
}

// Close gives back all that is in reserve, as far as ctx allows. Nothing else may
// use r any more.
func (r *Reserve) Close(ctx context.Context, now time.Time) {
	r.sweep(ctx, now, func(*kept) bool { return true })
}

// lapse is how long before the end of its window a reserve is not given back any
// more: what arrived later would be given to the next.
const lapse = quick

// sweep gives back what can not be used any more, and all of the counters that are
// over, which it forgets.
func (r *Reserve) sweep(ctx context.Context, now time.Time, over func(*kept) bool) {
	micro := now.UnixMicro()
	var all []surplus
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for key, k := range s.kept {
			gone := over(k)
			if !gone && (k.left == 0 || k.live(micro)) {
				continue
			}
			if back := k.forget(micro + lapse); back.hits > 0 {
				all = append(all, back)
			}
			if gone {
				delete(s.kept, key)
			}
		}
		s.mu.Unlock()
	}
	var wg sync.WaitGroup
	const hands = 16
	for hand := range min(hands, len(all)) {
		wg.Go(func() {
			for i := hand; i < len(all) && ctx.Err() == nil; i += hands {
				_ = r.giveBack(ctx, now, all[i]) // or it lapses
			}
		})
	}
	wg.Wait()
}

// Held returns how many hits are in reserve.
func (r *Reserve) Held(now time.Time) (hits uint64) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for _, k := range s.kept {
			if k.live(now.UnixMicro()) {
				hits += k.left
			}
		}
		s.mu.Unlock()
	}
	return hits
}
