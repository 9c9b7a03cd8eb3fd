package ratelimit

import (
	"bytes"
	"context"
	"hash/maphash"
	"time"

	"github.com/sallyport/sallyport"
)

// Count implements Counters. A tally from the reserve has a place among all hits
// that was counted for it when the reserve was filled, so that as many are within a
// maximum as it says.
func (r *Reserve) Count(ctx context.Context, now time.Time, tallies []Tally) error {
	asked := make([]*askedTally, 0, len(tallies))
	for i := range tallies {
		t := &tallies[i]
		done, filling := r.drawTally(now.UnixMicro(), t)
		for range waits {
			if filling == nil {
				break
			}
			select {
			case <-filling:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			done, filling = r.drawTally(now.UnixMicro(), t)
		}
		if !done {
			asked = append(asked, &askedTally{tally: t})
		}
	}
	if len(asked) == 0 {
		r.served.Add(1)
		return nil
	}
	rest := make([]Tally, len(asked)) // nobody waits any more from here: others may wait for this call
	concluded := 0
	defer func() {
		for i, a := range asked[concluded:] { // a panic must not leave others waiting
			r.concludeTally(ctx, now, a, &rest[concluded+i], errUnheard)
		}
	}()
	for i, a := range asked {
		r.prepareTally(ctx, now, a)
		rest[i] = *a.tally
		if rest[i].Hits += a.extra; a.extra > 0 {
			ctx = context.WithoutCancel(ctx) // what is taken for others must not be lost with one caller
		}
	}
	err := r.from.Count(ctx, now, rest)
	for i, a := range asked {
		concluded++
		r.concludeTally(ctx, now, a, &rest[i], err)
	}
	return err
}

// drawTally counts t from the reserve, or gives it back to the reserve, and reports
// whether it could; if not, it says when the reserve is filled, where it is being.
func (r *Reserve) drawTally(now int64, t *Tally) (done bool, filling <-chan struct{}) {
	s := r.shardOf(t.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kept[string(t.Key)]
	switch {
	case k == nil || t.Hits == 0:
		return false, nil
	case !k.live(now) || k.charge.Windows[0] != t.Window:
	case !t.Back && k.left >= t.Hits:
		k.left -= t.Hits
		done = true
	case t.Back && t.Hits <= r.batch && k.left+t.Hits <= min(r.batch, k.counted):
		k.left += t.Hits
		done = true
	}
	if !done && !t.Back {
		return false, k.filling
	}
	if done {
		k.used = true
		t.Used, t.Reset = k.counted-k.left, time.UnixMicro(k.end)
	}
	return done, nil
}

func (r *Reserve) shardOf(key []byte) *reserveShard {
	return &r.shards[maphash.Bytes(r.seed, key)%shardCount]
}

// askedTally is a tally that the counters have to be asked for.
type askedTally struct {
	tally *Tally
	kept  *kept
	age   uint64
	extra uint64
}

// prepareTally notes that the counters are asked for a's tally. What is in reserve
// goes back first, where it is of use no more or hits come back.
func (r *Reserve) prepareTally(ctx context.Context, now time.Time, a *askedTally) {
	t, s, micro := a.tally, r.shardOf(a.tally.Key), now.UnixMicro()
	s.mu.Lock()
	k := s.kept[string(t.Key)]
	if k == nil {
		k = &kept{tally: bytes.Clone(t.Key), charge: sallyport.Charge{Windows: []sallyport.Window{t.Window}}}
		s.kept[string(k.tally)] = k
	}
	a.kept, a.age = k, k.age
	k.asking++
	k.used = true
	var back surplus
	switch {
	case t.Back:
		back = k.forget(micro)
	case t.Hits > 0 && t.Window.Algorithm == sallyport.Fixed:
		if extra := k.wants(micro, []sallyport.Window{t.Window}, t.Hits, r); extra >= t.Hits {
			a.extra, k.filling = extra, make(chan struct{})
		} else if k.filling == nil && k.charge.Windows[0] == t.Window {
			back = k.forget(micro) // or t would be told the places that are in reserve
		}
	}
	s.mu.Unlock()
	if back.hits > 0 {
		_ = r.giveBack(ctx, now, back) // where the counters are lost, the next call says so
	}
}

// concludeTally notes what the counters have made of t, and tells it. Counters that
// were not heard have counted what was to be taken ahead as if it were used.
func (r *Reserve) concludeTally(ctx context.Context, now time.Time, a *askedTally, t *Tally, err error) {
	if a.kept == nil {
		return // it was not prepared
	}
	s, k := r.shardOf(a.tally.Key), a.kept
	var back surplus
	s.mu.Lock()
	k.asking--
	heard := err == nil && !t.At.IsZero()
	k.deaf = !heard
	left := a.extra
	if heard && a.age == k.age && !t.Back {
		loan := Loan{Extra: a.extra, Now: t.At.UnixMicro()}
		loan.Outlooks = []Outlook{{Left: less(t.Window.Max, t.Used), Reset: t.Reset.UnixMicro()}}
		back = k.receive(now, []sallyport.Window{t.Window}, &loan, loan.Outlooks)
		switch {
		case k.end != t.Reset.UnixMicro() || k.charge.Windows[0] != t.Window:
		case a.extra > 0: // the last places are the reserve's
			k.counted, left = t.Used, k.left
		case t.Hits == 0:
			left = k.left
		case k.left == 0 && k.filling == nil:
			k.counted = max(k.counted, t.Used)
		}
	}
	if a.extra > 0 {
		k.filled(heard)
	}
	s.mu.Unlock()
	a.tally.Used, a.tally.Reset, a.tally.At = less(t.Used, left), t.Reset, t.At
	switch {
	case back.hits > 0:
		_ = r.giveBack(ctx, now, back) // or it lapses
	case err == nil && !heard && a.extra > 0:
		r.tellAlone(ctx, now, a)
	}
}

// tellAlone takes back what counters that could not be asked have counted ahead,
// which may be of more weight there, and tells what is left without.
func (r *Reserve) tellAlone(ctx context.Context, now time.Time, a *askedTally) {
	one := []Tally{{Key: a.kept.tally, Window: a.tally.Window, Hits: a.extra, Back: true}}
	if r.from.Count(ctx, now, one) != nil {
		return
	}
	one[0].Hits, one[0].Back = 0, false
	if r.from.Count(ctx, now, one) == nil {
		a.tally.Used, a.tally.Reset = one[0].Used, one[0].Reset
	}
}
