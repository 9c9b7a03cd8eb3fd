package ratelimit

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport"
)

// Lender are Counters that are dear to ask, from which hits can be taken ahead of
// their need.
type Lender interface {
	Counters

	// Lend is Take, of charges no two of which name one counter. Where call is
	// charged it takes extra hits besides, where all of them are there, and says
	// how every window stands afterwards.
	Lend(ctx context.Context, call Call, extra uint64) (Loan, error)
}

// Loan is what came of Lend.
type Loan struct {
	sallyport.Verdict
	Extra    uint64    // taken beyond the call's hits: as many as were asked for, or none
	Now      int64     // Unix microseconds of the clock that the counters go by
	Outlooks []Outlook // of every window of the call, in order; nil where the counters could not be asked
}

// Reserve answers for counters that several instances share, mostly without asking
// them: it takes a batch of hits ahead of its need, and serves from it. Safe for
// concurrent use.
//
// Nobody is allowed more than the counters allow: what is in reserve has been
// taken from them, and lapses with the first of its windows that ends (the others
// get it back). Rather, an instance may refuse what another one still has in
// reserve. That is bounded: in each instance a counter's reserve is at most Batch,
// is filled by at most Share percent of what was left, and grows with the pace of
// the counter's callers; it goes back when it is not used for a second or two, when
// the counters refuse, and at Close. What an instance had that dies, or whose
// answer was lost, is lost until the windows end. What callers are told to have
// left is as of the last time that the counters were asked.
//
// Only fixed windows, the calendar's among them, are taken ahead: a counter that
// has others, or is in shadow, is asked each time. What is refused is asked each
// time too.
//
// It goes wrong by one batch for each instance where a counter is reset or refunded
// by another instance, where a clock, the counters' or this machine's, jumps, and
// where a reserve that is given back arrives after its window has ended. A proxy's
// retry that comes to another instance, or whose first try was never answered, may
// be charged again where a part was served from a reserve.
type Reserve struct {
	from   Lender
	batch  uint64
	share  uint64
	seed   maphash.Seed
	shards [shardCount]reserveShard

	// A retry waits until its first try is decided, and is answered as that was.
	recent recent
	trying [1024]chan struct{} // by id; full while one is tried

	served atomic.Uint64
}

// ReserveOptions bound how much is taken ahead. The zero value takes nothing.
type ReserveOptions struct {
	Batch uint64 // hits at most, of one counter
	Share uint32 // percent at most of what is left in a counter
}

// NewReserve returns a reserve that is empty. Whoever made it calls Sweep about
// once a second, and Close before it closes from.
func NewReserve(from Lender, o ReserveOptions) *Reserve {
	r := &Reserve{from: from, batch: o.Batch, share: uint64(min(o.Share, 100)), seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].kept = make(map[string]*kept)
	}
	for i := range r.trying {
		r.trying[i] = make(chan struct{}, 1)
	}
	r.recent.init()
	return r
}

// Served is how many calls were answered without asking the counters.
func (r *Reserve) Served() uint64 { return r.served.Load() }

// draw is one charge of a call: which counter, and what came of the reserve.
type draw struct {
	charge   *sallyport.Charge
	from, to int // the counter's name in the text of its draws
	shard    uint32
	kept     *kept  // nil: nothing is taken ahead of this counter
	own      bool   // served from the reserve
	end      int64  // of kept then
	until    int64  // of kept then
	age      uint64 // of kept, when it served or its counter was asked
	lends    bool   // by this call, of which there is one at a time
}

// draws are the charges of a call, each counter once.
type draws struct {
	list []draw
	text []byte
	id   uint64 // tells these counters from others
}

func (d *draws) key(i int) []byte { return d.text[d.list[i].from:d.list[i].to] }

func (r *Reserve) locate(d draws, call *Call) draws {
	for i := range call.Charges {
		from := len(d.text)
		d.text = AppendKey(d.text, call.Charges[i].Limit, call.Subject)
		hash := maphash.Bytes(r.seed, d.text[from:])
		one := draw{charge: &call.Charges[i], from: from, to: len(d.text), shard: uint32(hash % shardCount)}
		if slices.ContainsFunc(d.list, func(o draw) bool { return string(d.text[o.from:o.to]) == string(d.text[from:]) }) {
			continue // a counter that is named twice is taken from once
		}
		d.id ^= hash
		d.list = append(d.list, one)
	}
	return d
}

// Take implements Counters.
func (r *Reserve) Take(ctx context.Context, call Call) (sallyport.Verdict, error) {
	var few [4]draw
	var text [256]byte
	d := r.locate(draws{list: few[:0], text: text[:0]}, &call)
	if call.Hits == 0 || call.Dry || len(d.list) == 0 {
		return r.look(ctx, &call, &d)
	}
	if call.SID == "" {
		return r.take(ctx, &call, &d)
	}
	id := maphash.String(r.seed, call.SID) ^ d.id
	first := r.trying[id%uint64(len(r.trying))]
	select {
	case first <- struct{}{}:
	case <-ctx.Done():
		return sallyport.Verdict{}, context.Cause(ctx)
	}
	defer func() { <-first }()
	seen := r.recent.lock(id, call.Now)
	charged, again := seen.charged(), seen.known()
	seen.unlock()
	switch {
	case charged:
		call.Hits = 0
		return r.look(ctx, &call, &d)
	case again:
		call.SID = "" // forgiven here as often as is right
	}
	v, err := r.take(ctx, &call, &d)
	if err == nil && v.Allowed {
		seen = r.recent.lock(id, call.Now)
		seen.remember()
		seen.unlock()
	}
	return v, err
}

// waits is how often a call waits for others that fill the reserve, before it asks
// the counters itself.
const waits = 4

// take serves call from the reserve, and asks the counters for what is not there.
func (r *Reserve) take(ctx context.Context, call *Call, d *draws) (sallyport.Verdict, error) {
	j, now := Judge{Hits: call.Hits}, call.Now.UnixMicro()
	missing, filling := r.draw(&j, call, d)
	for range waits {
		if filling == nil {
			break
		}
		select {
		case <-filling:
		case <-ctx.Done():
			r.putBack(ctx, call, d)
			return sallyport.Verdict{}, context.Cause(ctx)
		}
		missing, filling = r.draw(&j, call, d)
	}
	if missing == 0 {
		r.served.Add(1)
		return j.Verdict(now), nil
	}
	v, err := r.ask(ctx, call, d)
	if err != nil || !v.Allowed {
		r.putBack(ctx, call, d)
	}
	return v, err
}

// draw takes from the reserve what is not drawn yet of d, and shows it to j. It
// returns how many counters are missing, and of one whose reserve is being filled
// when that is done; nil where there is none.
func (r *Reserve) draw(j *Judge, call *Call, d *draws) (missing int, filling <-chan struct{}) {
	now := call.Now.UnixMicro()
	for i := range d.list {
		one := &d.list[i]
		if one.own {
			continue
		}
		s := &r.shards[one.shard]
		s.mu.Lock()
		k := s.kept[string(d.key(i))]
		switch {
		case k != nil && k.serves(now, one.charge.Windows) && k.left >= call.Hits:
			k.left -= call.Hits
			k.used = true
			one.own, one.kept, one.age, one.end, one.until = true, k, k.age, k.end, k.until
			k.show(j, one.charge)
		case k != nil && k.filling != nil:
			missing, filling = missing+1, k.filling
		default:
			missing++
		}
		s.mu.Unlock()
	}
	return missing, filling
}

// putBack returns to the reserve what was drawn from it, and to the counters what
// it has no place for.
func (r *Reserve) putBack(ctx context.Context, call *Call, d *draws) {
	for i := range d.list {
		one := &d.list[i]
		if !one.own {
			continue
		}
		k, s := one.kept, &r.shards[one.shard]
		s.mu.Lock()
		valid := k.age == one.age // or the counter has been reset
		kept := valid && k.end == one.end && plus(k.left, call.Hits) <= r.batch
		if kept {
			k.left += call.Hits
		}
		s.mu.Unlock()
		if valid && !kept && call.Now.UnixMicro() < one.until {
			_ = r.giveBack(ctx, call.Now, surplus{subject: call.Subject, charge: *one.charge, hits: call.Hits})
		}
	}
}

// ask takes from the counters what the reserve does not have, and fills it.
func (r *Reserve) ask(ctx context.Context, call *Call, d *draws) (sallyport.Verdict, error) {
	rest := *call
	rest.Charges = nil
	for i := range d.list {
		if !d.list[i].own {
			rest.Charges = append(rest.Charges, *d.list[i].charge)
		}
	}
	extra := r.prepare(ctx, call, d)
	concluded := false
	defer func() {
		if !concluded { // a panic must not leave others waiting
			r.conclude(ctx, call, d, &Loan{}, errUnheard)
		}
	}()
	if extra > 0 {
		ctx = context.WithoutCancel(ctx) // what is taken for others must not be lost with one caller
	}
	loan, err := r.from.Lend(ctx, rest, extra)
	if err == nil && !loan.Allowed && r.settle(ctx, call.Now, d) {
		loan, err = r.from.Lend(ctx, rest, 0) // what came back may be enough
	}
	concluded = true
	r.conclude(ctx, call, d, &loan, err)
	switch {
	case err != nil:
		return sallyport.Verdict{}, err
	case !loan.Allowed || len(loan.Outlooks) == 0:
		return loan.Verdict, nil
	}
	j, at := Judge{Hits: call.Hits}, 0
	for i := range d.list {
		one := &d.list[i]
		s := &r.shards[one.shard]
		s.mu.Lock()
		left := uint64(0)
		if one.kept != nil {
			left = one.kept.left
		}
		if one.own {
			one.kept.show(&j, one.charge)
		} else {
			for k := range one.charge.Windows {
				w, o := &one.charge.Windows[k], loan.Outlooks[at]
				o.Left = min(plus(o.Left, left), w.Size())
				j.See(one.charge.Limit, w, o, true)
				at++
			}
		}
		s.mu.Unlock()
	}
	v := j.Verdict(loan.Now)
	v.Shadow = loan.Shadow
	return v, nil
}

// prepare notes that the counters of d are asked, and returns how many hits to take
// ahead: as many from each, since they are taken all or none.
func (r *Reserve) prepare(ctx context.Context, call *Call, d *draws) uint64 {
	var lapsed []surplus
	extra, now := r.batch, call.Now.UnixMicro()
	for i := range d.list {
		one := &d.list[i]
		if one.own {
			continue
		}
		if !ahead(one.charge) {
			extra = 0
			continue
		}
		s := &r.shards[one.shard]
		s.mu.Lock()
		k := s.kept[string(d.key(i))]
		if k == nil {
			k = keep(call.Subject, one.charge)
			s.kept[string(d.key(i))] = k
		}
		if !k.live(now) && k.left > 0 {
			if back := k.forget(now); back.hits > 0 {
				lapsed = append(lapsed, back)
			}
		}
		extra = min(extra, k.wants(now, one.charge.Windows, call.Hits, r))
		one.kept, one.age = k, k.age
		k.asking++
		k.used = true
		s.mu.Unlock()
	}
	for _, s := range lapsed { // longer windows of the same counters go on
		_ = r.giveBack(ctx, call.Now, s) // where the counters are lost, Lend says so
	}
	if extra < call.Hits {
		return 0 // not worth it
	}
	for i := range d.list {
		one := &d.list[i]
		if one.own || one.kept == nil {
			continue
		}
		s := &r.shards[one.shard]
		s.mu.Lock()
		if one.kept.filling != nil {
			extra = 0 // somebody else was quicker
		} else {
			one.kept.filling, one.lends = make(chan struct{}), true
		}
		s.mu.Unlock()
	}
	return extra
}

// errUnheard is of a call whose answer nobody knows.
var errUnheard = errors.New("the counters were not heard")

// conclude notes what the counters have answered.
func (r *Reserve) conclude(ctx context.Context, call *Call, d *draws, loan *Loan, err error) {
	at := 0
	for i := range d.list {
		one := &d.list[i]
		if one.own {
			continue
		}
		from := at
		at += len(one.charge.Windows)
		if one.kept == nil {
			continue
		}
		k, s := one.kept, &r.shards[one.shard]
		var back surplus
		s.mu.Lock()
		k.asking--
		heard := err == nil && len(loan.Outlooks) > 0
		k.deaf = !heard
		if heard && one.age == k.age {
			back = k.receive(call.Now, one.charge.Windows, loan, loan.Outlooks[from:at])
		}
		if one.lends {
			k.filled(heard && loan.Allowed)
		}
		s.mu.Unlock()
		if back.hits > 0 {
			_ = r.giveBack(ctx, call.Now, back) // or it lapses
		}
	}
}

// look says how call stands, and takes nothing.
func (r *Reserve) look(ctx context.Context, call *Call, d *draws) (sallyport.Verdict, error) {
	distinct := *call
	distinct.Charges = make([]sallyport.Charge, len(d.list))
	for i := range d.list {
		distinct.Charges[i] = *d.list[i].charge
	}
	loan, err := r.from.Lend(ctx, distinct, 0)
	if err != nil || len(loan.Outlooks) == 0 {
		return loan.Verdict, err
	}
	j, now, at := Judge{Hits: call.Hits}, call.Now.UnixMicro(), 0
	for i := range d.list {
		one := &d.list[i]
		if len(one.charge.Windows) == 0 {
			j.SeeNone(one.charge.Limit, loan.Now)
		}
		left := r.leftOf(one.shard, d.key(i), now)
		for k := range one.charge.Windows {
			w, o := &one.charge.Windows[k], loan.Outlooks[at]
			o.Left = min(plus(o.Left, left), max(o.Left, w.Size()))
			j.See(one.charge.Limit, w, o, false)
			at++
		}
	}
	return j.Verdict(loan.Now), nil
}

// leftOf is what is in reserve of a counter.
func (r *Reserve) leftOf(shard uint32, key []byte, now int64) uint64 {
	s := &r.shards[shard]
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.kept[string(key)]; k != nil && k.live(now) {
		return k.left
	}
	return 0
}

var _ Counters = (*Reserve)(nil)

// reserveShard is some of the counters that something was taken of.
type reserveShard struct {
	mu   sync.Mutex
	kept map[string]*kept // guarded by mu, and so is what it holds
	_    [48]byte         // shards do not share cache lines
}

// ahead reports whether hits of charge's counter can be taken ahead.
func ahead(charge *sallyport.Charge) bool {
	return !charge.Limit.Shadow && len(charge.Windows) > 0 &&
		!slices.ContainsFunc(charge.Windows, func(w sallyport.Window) bool { return w.Algorithm != sallyport.Fixed })
}
