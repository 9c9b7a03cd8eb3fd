package redis

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/rueidis"
)

// What the script of slots does, and what comes of it, as the script has them.
const (
	doHold = iota
	doTake
	doWrite
	doDrop
	doSign
	doCount
	doAgain
	doEnd
	doFree
	doQuit
	doRenew

	doApart = 16 // added to the last five: at the note alone
)

const (
	statusGranted = iota
	statusFull
	statusHeld
	statusRefused
)

// reply is what the script of slots answers.
type reply struct {
	status int
	index  int // of the place that was full, from 1; or how many are in it
	places []string
}

// request is the arguments of the script.
func (s *Slots) request(what int, numbers []uint64, member string, more ...string) []string {
	text := appendList(make([]byte, 0, 64), 4+len(numbers))
	text = appendNumber(text, uint64(what))
	now := uint64(0)
	if clock := s.counters.options.clock; clock != nil {
		now = uint64(clock().UnixMicro())
	}
	text = appendNumber(text, now)
	text = appendNumber(text, uint64(s.lease.Microseconds()))
	text = appendNumber(text, uint64(graveFor.Microseconds()))
	for _, n := range numbers {
		text = appendNumber(text, n)
	}
	return append([]string{rueidis.BinaryString(text), member}, more...)
}

// try asks for w once, within the deadline; where onlyAgain, only whether the
// stream holds already.
func (s *Slots) try(ctx context.Context, w *wish, onlyAgain bool) (got reply, f *failure) {
	c := s.counters
	bounded, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	if c.part(w.name).lost.Load() { // without a note, nobody could end what is taken
		return got, &failure{cause: errLost}
	}
	if f = s.settle(ctx, bounded, w.name); f != nil {
		return got, f
	}
	note := []string{w.note}
	switch {
	case onlyAgain && !c.options.Cluster:
		return s.call(ctx, bounded, w.name, note, s.request(doAgain, nil, w.name))
	case onlyAgain:
		if got, f = s.call(ctx, bounded, w.name, note, s.request(doAgain|doApart, nil, w.name)); f == nil {
			s.sign(w, got)
		}
		return got, f
	case !c.options.Cluster:
		return s.call(ctx, bounded, w.name, append(note, w.places...), s.request(doHold, w.numbers, w.name))
	}
	if got, f = s.call(ctx, bounded, w.tag, w.places, s.request(doTake, w.numbers, w.name)); f != nil || got.status != statusGranted {
		return got, f
	}
	if got, f = s.call(ctx, bounded, w.name, note, s.request(doWrite, nil, w.name, w.places...)); f != nil {
		f.sent = true // the places are taken
		return got, f
	}
	if over := without(w.places, got.places); got.status != statusGranted && len(over) > 0 {
		// At once: others would be refused for want of what nobody holds.
		if _, f := s.call(ctx, bounded, w.tag, over, s.request(doDrop, nil, w.name)); f != nil {
			s.send(&errand{what: doDrop, stream: w.stream, tag: w.tag, places: over})
		}
		s.lines.freed(over)
	}
	s.sign(w, got)
	return got, nil
}

// sign renews what a retry in a cluster holds already.
func (s *Slots) sign(w *wish, got reply) {
	if got.status == statusHeld && len(got.places) > 0 {
		s.send(&errand{what: doSign, stream: w.stream, tag: tagOf(got.places[0]), places: got.places})
	}
}

// without returns those of all that are not among others.
func without(all, others []string) (rest []string) {
	for _, one := range all {
		if !slices.Contains(others, one) {
			rest = append(rest, one)
		}
	}
	return rest
}

// call runs the script once. bounded is ctx with the deadline. A failure is
// counted, and may lose the part.
func (s *Slots) call(ctx, bounded context.Context, tag string, keys, args []string) (got reply, f *failure) {
	c := s.counters
	p := c.part(tag)
	if p.lost.Load() {
		return got, &failure{cause: errLost}
	}
	c.calls.Add(1)
	if got, f = s.exec(ctx, bounded, p, keys, args); f != nil {
		s.blame(p, tag, f)
	} else if p.slow.Load() > 0 {
		p.slow.Store(0)
	}
	return got, f
}

// blame counts a failure, which may lose p.
func (s *Slots) blame(p *part, tag string, f *failure) {
	s.counters.failed.Add(1)
	if !f.own && (!f.slow || p.slow.Add(1) >= slowCalls) {
		s.counters.lose(p, tag, f.cause)
	}
}

// exec waits for room and for the answer.
func (s *Slots) exec(ctx, bounded context.Context, p *part, keys, args []string) (got reply, f *failure) {
	c := s.counters
	select {
	case c.room <- struct{}{}:
	default:
		select {
		case c.room <- struct{}{}:
		case <-bounded.Done():
			return got, &failure{cause: bounded.Err(), slow: ctx.Err() == nil, own: ctx.Err() != nil}
		}
	}
	defer func() { <-c.room }()
	l := c.link.Load()
	if l == nil || p.lost.Load() {
		return got, &failure{cause: errLost, own: true}
	}
	got, f = s.read(s.script.Exec(bounded, l.client, keys, args))
	if f != nil && ctx.Err() != nil { // the caller's time was up before ours
		f.own = true
	}
	return got, f
}

var errReply = errors.New("the answer of the slots' script is not of its form")

// read reads what the script answered.
func (s *Slots) read(result rueidis.RedisResult) (got reply, f *failure) {
	list, err := result.ToArray()
	if err != nil {
		return got, failed(err)
	}
	var numbers [3]int64
	if len(list) < len(numbers) {
		return got, &failure{cause: errReply, sent: true, own: true}
	}
	for i := range numbers {
		if numbers[i], err = list[i].AsInt64(); err != nil {
			return got, &failure{cause: errReply, sent: true, own: true}
		}
	}
	got.status, got.index = int(numbers[0]), int(numbers[1])
	if numbers[2] > 0 {
		s.expired.Add(uint64(numbers[2]))
	}
	for i := range list[len(numbers):] {
		place, err := list[len(numbers)+i].ToString()
		if err != nil {
			return got, &failure{cause: errReply, sent: true, own: true}
		}
		got.places = append(got.places, place)
	}
	return got, nil
}

// batch runs the script for each of asks in one go, within one deadline. What
// goes to one server goes in order.
func (s *Slots) batch(asks []slotsAsk) (got []reply, faults []*failure) {
	c := s.counters
	got, faults = make([]reply, len(asks)), make([]*failure, len(asks))
	l := c.link.Load()
	var commands []rueidis.Completed
	var sent []int
	for i := range asks {
		a := &asks[i]
		if l == nil || c.part(a.tag).lost.Load() {
			faults[i] = &failure{cause: errLost}
			continue
		}
		commands = append(commands, l.client.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(a.keys))).Key(a.keys...).Arg(a.args...).Build())
		sent = append(sent, i)
	}
	if len(sent) == 0 {
		return got, faults
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.options.Timeout)
	defer cancel()
	c.calls.Add(uint64(len(sent)))
	var blamed []*part
	for j, result := range l.client.DoMulti(ctx, commands...) {
		i := sent[j]
		a := &asks[i]
		if answer, ok := rueidis.IsRedisErr(result.Error()); ok && answer.IsNoScript() {
			result = s.script.Exec(ctx, l.client, a.keys, a.args)
		}
		got[i], faults[i] = s.read(result)
		p := c.part(a.tag)
		switch {
		case faults[i] == nil:
			p.slow.Store(0)
		case !slices.Contains(blamed, p): // one batch is one call that failed
			s.blame(p, a.tag, faults[i])
			blamed = append(blamed, p)
		}
	}
	return got, faults
}

// slotsAsk is one run of the script within a batch.
type slotsAsk struct {
	tag  string
	keys []string
	args []string
}

// tagOf is what is between the braces of a key.
func tagOf(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	tag, _, _ := strings.Cut(rest, "}")
	return tag
}
