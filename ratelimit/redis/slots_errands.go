package redis

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of what is still to be told to Redis. All batches at once are as many
// calls to rueidis as there are desks, which its queue has room for beside
// mostCalls.
const (
	deskCount   = 4
	mostErrands = 1 << 15 // at each desk: some 5 MB
	batchSize   = 64
	errandPause = probeEvery // before what Redis failed is told again
)

// errand is one thing to tell Redis about a stream.
type errand struct {
	what int // doEnd, doFree, doQuit, doRenew, or doDrop and doSign of places alone
	stream
	tag    string // of places
	places []string
	since  time.Time
}

// desk is a goroutine and what it is to tell, of those streams that fall to it.
type desk struct {
	slots *Slots

	mu      sync.Mutex
	todo    []*errand           // guarded by mu
	streams map[string]*pending // guarded by mu: those with an errand untold, by name
	count   int                 // guarded by mu: errands untold
	closed  bool                // guarded by mu

	wake  chan struct{} // holds one: there is something to do
	stop  chan struct{}
	ended chan struct{}
}

// pending is how many errands of one stream are untold.
type pending struct {
	count int
	told  chan struct{} // closed when there are none any more; nil while nobody waits for that
}

func (s *Slots) newDesk() *desk {
	d := &desk{
		slots: s, streams: make(map[string]*pending),
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go d.work()
	return d
}

// desk returns the desk that a stream falls to: names are hashes, and of base64.
func (s *Slots) desk(name string) *desk { return s.desks[int(name[0])%len(s.desks)] }

// send leaves e to be told to Redis, or drops it where too much is untold.
func (s *Slots) send(e *errand) {
	e.since = time.Now()
	d := s.desk(e.name)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.count >= mostErrands {
		s.dropped.Add(1)
		return
	}
	p := d.streams[e.name]
	if p == nil {
		p = &pending{}
		d.streams[e.name] = p
	}
	p.count++
	d.count++
	d.todo = append(d.todo, e)
	d.rouse()
}

func (d *desk) rouse() {
	select {
	case d.wake <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// settle waits until Redis has been told what was to be told of the stream.
func (s *Slots) settle(ctx, bounded context.Context, name string) *failure {
	d := s.desk(name)
	d.mu.Lock()
	p := d.streams[name]
	if p == nil {
		d.mu.Unlock()
		return nil
	}
	if p.told == nil {
		p.told = make(chan struct{})
	}
	told := p.told
	d.mu.Unlock()
	select {
	case <-told:
		return nil
	case <-bounded.Done():
		return &failure{cause: bounded.Err(), own: true}
	}
}

func (d *desk) untold() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// close ends the desk once it has told what it can.
func (d *desk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		close(d.stop)
	}
}

// work tells errands until the desk is closed. What Redis fails to hear is told
// again after a while; the order of a stream's errands does not matter then, since
// an end is final and a Hold waits for all of them.
func (d *desk) work() {
	defer close(d.ended)
	var failed []*errand
	var again <-chan time.Time
	closing := false
	for !closing {
		select {
		case <-d.wake:
			failed = append(failed, d.tell(d.take())...)
		case <-again:
			again, failed = nil, d.tellAgain(failed)
		case <-d.stop:
			failed = d.tellAgain(append(failed, d.tellAll()...))
			closing = true
		}
		if len(failed) > 0 && again == nil {
			again = time.After(errandPause)
		}
	}
	for _, e := range failed {
		d.done(e, false)
	}
}

// tellAll tells all that has come, and returns what is to be told again.
func (d *desk) tellAll() (again []*errand) {
	for batch := d.take(); len(batch) > 0; batch = d.take() {
		again = append(again, d.tell(batch)...)
	}
	return again
}

// tellAgain does so for what Redis failed to hear.
func (d *desk) tellAgain(failed []*errand) (again []*errand) {
	for batch := range slices.Chunk(failed, batchSize) {
		again = append(again, d.tell(batch)...)
	}
	return again
}

// take takes the next batch.
func (d *desk) take() []*errand {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := min(batchSize, len(d.todo))
	batch := d.todo[:n:n]
	if d.todo = d.todo[n:]; len(d.todo) == 0 {
		d.todo = nil
	} else {
		d.rouse()
	}
	return batch
}

// done notes that nothing more is to be told of e.
func (d *desk) done(e *errand, told bool) {
	if !told {
		d.slots.dropped.Add(1)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count--
	p := d.streams[e.name]
	if p.count--; p.count == 0 {
		delete(d.streams, e.name)
		if p.told != nil {
			close(p.told)
		}
	}
}

// tell tells Redis a batch, and returns what is to be told again.
func (d *desk) tell(batch []*errand) (again []*errand) {
	s := d.slots
	cluster := s.counters.options.Cluster
	var notes, places []*errand
	var asks []slotsAsk
	for _, e := range batch {
		what := e.what
		switch {
		case what == doDrop || what == doSign:
			places = append(places, e)
			continue
		case s.counters.part(e.name).lost.Load():
			if d.keep(e, &failure{cause: errLost}) {
				again = append(again, e)
			}
			continue
		}
		if cluster {
			what |= doApart
		}
		notes = append(notes, e)
		asks = append(asks, slotsAsk{e.name, []string{e.note}, s.request(what, nil, e.name)})
	}
	got, faults := s.batch(asks)
	for i, e := range notes {
		switch {
		case faults[i] != nil:
			if d.keep(e, faults[i]) {
				again = append(again, e)
			}
		case cluster && e.further(got[i]):
			places = append(places, e)
		default:
			if e.what != doRenew {
				s.lines.freed(got[i].places)
			}
			d.done(e, true)
		}
	}
	return append(again, d.tellPlaces(places)...)
}

// further makes e what is left to be told to its places, of what the note said,
// and reports whether there is anything.
func (e *errand) further(got reply) bool {
	switch {
	case e.what == doQuit && got.status == statusHeld: // the proxy has tried again
		e.places = without(e.places, got.places)
	case len(got.places) > 0:
		e.tag, e.places = tagOf(got.places[0]), append(got.places, without(e.places, got.places)...)
	}
	if e.what == doRenew {
		e.what = doSign
	} else {
		e.what = doDrop
	}
	return len(e.places) > 0
}

// tellPlaces tells the second half in a cluster.
func (d *desk) tellPlaces(all []*errand) (again []*errand) {
	s := d.slots
	asks := make([]slotsAsk, len(all))
	for i, e := range all {
		asks[i] = slotsAsk{e.tag, e.places, s.request(e.what, nil, e.name)}
	}
	_, faults := s.batch(asks)
	for i, e := range all {
		switch {
		case faults[i] == nil:
			if e.what == doDrop {
				s.lines.freed(e.places)
			}
			d.done(e, true)
		case d.keep(e, faults[i]):
			again = append(again, e)
		}
	}
	return again
}

// keep reports whether e, which f kept from being told, is worth telling later:
// not where Redis heard it and cannot serve it, nor once the lease has ended.
func (d *desk) keep(e *errand, f *failure) bool {
	if f.own || e.what == doRenew || e.what == doSign || time.Since(e.since) >= d.slots.lease {
		d.done(e, false)
		return false
	}
	return true
}
