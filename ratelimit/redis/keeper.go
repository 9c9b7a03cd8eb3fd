package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// part is a range of slots that is lost and joined as one: all of them, or in a
// cluster a small range, so that a lost master takes few others with it.
type part struct {
	lost  atomic.Bool
	slow  atomic.Int32           // calls in a row that got no answer in time
	probe atomic.Pointer[string] // a tag in the range: that of the call that lost it

	// joining is held for writing when lost becomes false, and for reading while
	// a call is answered alone, so that none is noted as owed too late.
	joining sync.RWMutex
	debts   debts
}

// Bounds of how loss is told and mended.
const (
	slowCalls    = 3 // in a row are a loss
	clusterParts = 64
	probeEvery   = 100 * time.Millisecond
	patience     = 5 // probes of a cluster that is wholly lost, before it is connected to anew
)

// newParts returns the parts, all of them lost.
func newParts(cluster bool) []*part {
	n, debtors := 1, mostDebtors
	if cluster {
		n, debtors = clusterParts, mostClusterDebtors
	}
	parts := make([]*part, n)
	for found, i := 0, 0; found < n; i++ {
		tag := strconv.Itoa(i)
		if at := partOf(tag, n); parts[at] == nil {
			parts[at] = &part{debts: debts{most: debtors}}
			parts[at].probe.Store(&tag)
			parts[at].lost.Store(true)
			found++
		}
	}
	return parts
}

func partOf(tag string, parts int) int { return slot(tag) * parts / slotCount }

func (c *Counters) part(tag string) *part {
	if len(c.parts) == 1 {
		return c.parts[0]
	}
	return c.parts[partOf(tag, len(c.parts))]
}

var errLost = errors.New("not connected")

// run has the script do r. A failure is counted, and may lose the part.
func (c *Counters) run(ctx context.Context, tag string, r request) (response, *failure) {
	p := c.part(tag)
	if p.lost.Load() {
		return response{}, &failure{cause: errLost}
	}
	c.calls.Add(1)
	said, f := c.send(ctx, p, r)
	if f == nil {
		if p.slow.Load() > 0 {
			p.slow.Store(0)
		}
		return said, nil
	}
	c.failed.Add(1)
	if !f.own && (!f.slow || p.slow.Add(1) >= slowCalls) {
		c.lose(p, tag, f.cause)
	}
	return response{}, f
}

// send waits for its turn and for the answer, together no longer than the timeout
// of silence.
func (c *Counters) send(ctx context.Context, p *part, r request) (said response, f *failure) {
	if c.options.Cluster { // one call's keys are in one slot
		return c.sendAlone(ctx, p, r)
	}
	if w, only := c.gathered.join(r); !only {
		return w.await(ctx, &c.gathered)
	}
	defer func() { // also when it panics: others wait
		c.gathered.share(f)
		if batch := c.gathered.take(mostCalls); batch != nil {
			go c.sendGathered(p, batch)
		}
	}()
	return c.sendAlone(ctx, p, r)
}

// sendAlone sends r as a call of its own.
func (c *Counters) sendAlone(ctx context.Context, p *part, r request) (response, *failure) {
	answers, f := c.exec(ctx, p, r.keys, []string{r.argument()})
	if f != nil {
		return response{}, f
	}
	text, err := answers[0].ToString()
	return response{text: text}, failedWithin(ctx, err)
}

// exec calls the script, and returns an answer to each of arguments.
func (c *Counters) exec(ctx context.Context, p *part, keys, arguments []string) ([]rueidis.RedisMessage, *failure) {
	bounded, cancel := c.patient(ctx)
	defer cancel()
	select {
	case c.room <- struct{}{}:
	default:
		select {
		case c.room <- struct{}{}:
		case <-bounded.Done():
			return nil, &failure{cause: context.DeadlineExceeded, slow: ctx.Err() == nil, own: ctx.Err() != nil}
		}
	}
	defer func() { <-c.room }()
	l := c.link.Load()
	if l == nil || p.lost.Load() {
		return nil, &failure{cause: errLost, own: true}
	}
	result := c.script.Exec(bounded, l.client, keys, arguments)
	if len(arguments) == 1 {
		one, err := result.ToMessage()
		return []rueidis.RedisMessage{one}, failedWithin(ctx, err)
	}
	all, err := result.ToArray()
	if err == nil && len(all) != len(arguments) {
		return nil, &failure{cause: errAnswer, sent: true, own: true}
	}
	return all, failedWithin(ctx, err)
}

// failedWithin says what err means, nil of nil, of a call that patient has bounded
// within ctx.
func failedWithin(ctx context.Context, err error) *failure {
	if err == nil {
		return nil
	}
	f := failed(err)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil { // by patient
		f = &failure{cause: context.DeadlineExceeded, sent: true, slow: true}
	}
	if ctx.Err() != nil { // the caller's time was up before ours
		f.own = true
	}
	return f
}

// mostTimeouts is how many timeouts a call waits at most.
const mostTimeouts = 20

// patient returns a context that ends when Redis has been silent for the timeout.
// It is prolonged while answers to others come, or lie there unread. And once where
// this process itself was late to look, by a quarter of the timeout, or has asked
// nothing yet: then it is the machine that is busy, and nothing is known of Redis.
func (c *Counters) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	timeout := c.options.Timeout
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, mostTimeouts*timeout)
	due := began.Add(timeout)
	var timer *time.Timer
	late := false
	var mu sync.Mutex // guards timer, until it is set
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(timeout, func() {
		mu.Lock()
		defer mu.Unlock()
		if bounded.Err() != nil {
			return
		}
		now := time.Now()
		more := time.Duration(0)
		busy := now.Sub(due) > timeout/4
		if l := c.link.Load(); l != nil {
			if !c.options.Cluster { // where others answer, one may be silent
				more = timeout - now.Sub(time.Unix(0, l.heard.Load()))
			}
			unheard, unasked := l.ours()
			if unheard {
				more = max(more, timeout/4)
			}
			busy = busy || unasked
		}
		if busy && !late {
			late, more = true, max(more, timeout)
		}
		if more <= 0 {
			cancel()
			return
		}
		due = now.Add(more)
		timer.Reset(more)
	})
	return bounded, func() {
		timer.Stop()
		cancel()
	}
}

// lose notes that Redis does not answer for p.
func (c *Counters) lose(p *part, tag string, cause error) {
	if !p.lost.CompareAndSwap(false, true) {
		return
	}
	c.losses.Add(1)
	p.probe.Store(&tag)
	c.note(cause)
	select {
	case c.changed <- struct{}{}:
	default: // the keeper has not looked since the last one
	}
}

// note remembers since when the counters are as they are, and why.
func (c *Counters) note(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cause != nil {
		c.cause = cause
	}
	c.since = time.Now()
}

// keep joins what is lost, until ctx ends. It closes first after the first try.
func (c *Counters) keep(ctx context.Context, first chan<- struct{}) {
	defer close(c.ended)
	defer c.drop()
	told, tries := -1, 0
	for {
		if tries++; c.lostParts() == 0 {
			tries = 0
		} else {
			c.mend(ctx, tries)
		}
		if first != nil {
			close(first)
			first = nil
		}
		if lost := c.lostParts(); lost != told {
			told = lost
			if c.options.Changed != nil {
				c.options.Changed(c.State())
			}
		}
		var again <-chan time.Time
		if c.lostParts() > 0 {
			again = time.After(probeEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-again:
		case <-c.changed:
			tries = 0
		}
	}
}

func (c *Counters) lostParts() (n int) {
	for _, p := range c.parts {
		if p.lost.Load() {
			n++
		}
	}
	return n
}

// mend tries once to join every part that is lost. Where nothing is left of the
// connection it begins anew: at a hung server, rueidis would go on waiting.
func (c *Counters) mend(ctx context.Context, tries int) {
	l := c.link.Load()
	if l != nil && (len(c.parts) == 1 || c.lostParts() == len(c.parts) && tries%patience == 0) {
		c.drop()
		l = nil
	}
	if l == nil {
		fresh, err := c.options.open()
		if err != nil {
			c.blame(err)
			return
		}
		l = fresh
	} else {
		l.cut(time.Now().Add(-c.options.Timeout))
	}
	var wg sync.WaitGroup
	var joined atomic.Int32
	for _, p := range c.parts {
		if p.lost.Load() {
			wg.Go(func() {
				if c.answers(ctx, l, p) && c.carry(ctx, l, p) {
					joined.Add(1)
					c.join(ctx, l, p)
				}
			})
		}
	}
	wg.Wait()
	if joined.Load() > 0 {
		c.note(nil)
	} else if c.link.Load() != l { // a link that serves nothing
		l.close()
	}
}

// blame notes why the counters cannot be joined, where that is news.
func (c *Counters) blame(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cause = err
}

// answers reports whether Redis serves a call that writes in p's range.
func (c *Counters) answers(ctx context.Context, l *link, p *part) bool {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	numbers := c.appendHead(appendList(nil, headNumbers), modeProbe, 0, 1, false, false)
	key := c.options.Prefix + "{" + *p.probe.Load() + "}" + string(rune(probeKey))
	err := c.script.Exec(ctx, l.client, []string{key}, []string{rueidis.BinaryString(numbers)}).Error()
	if err != nil {
		c.blame(err)
	}
	return err == nil
}

// join lets calls in p's range go to Redis again, and then adds what was taken
// alone since most of it was carried.
func (c *Counters) join(ctx context.Context, l *link, p *part) {
	p.joining.Lock()
	c.link.Store(l)
	p.slow.Store(0)
	p.lost.Store(false)
	p.joining.Unlock()
	c.carry(ctx, l, p)
}

// drop ends the link, so that calls that still wait on it fail at once.
func (c *Counters) drop() {
	if l := c.link.Swap(nil); l != nil {
		l.cut(time.Time{})
		c.links.Go(l.close)
	}
}
