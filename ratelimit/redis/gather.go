package redis

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"github.com/redis/rueidis"
)

// request is what the script is asked in one go.
type request struct {
	keys    []string
	numbers []byte
	tallies bool // numbers are those of tallies, one for each key, without a head
}

// argument is what the script reads of r.
func (r *request) argument() string {
	if !r.tallies {
		return rueidis.BinaryString(r.numbers)
	}
	head := appendTallyHead(make([]byte, 0, 8+len(r.numbers)), len(r.keys))
	return rueidis.BinaryString(append(head, r.numbers...))
}

// response is what the script says to a request.
type response struct {
	text   string
	others int // of tallies: how many of others come first
}

// gathering is what waits while a request is under way: all of it goes to Redis
// together, as one call to the script, as soon as the answer is there. So the more
// ask at the same time, the less each costs both sides; who asks alone waits for
// nobody. The zero value is empty.
type gathering struct {
	mu      sync.Mutex
	busy    bool      // guarded by mu: a call is under way, and who made it looks here when it ends
	waiting []*queued // guarded by mu
}

// queued is a request that waits for its turn and its answer.
type queued struct {
	request
	done    chan struct{} // closed when said and failure are set
	said    response
	failure *failure
	ended   bool // of who ends it

	left, sent bool // guarded by gathering.mu
}

// join reports whether r is the only request, which is the caller's to send; if
// not, it is in the gathering.
func (g *gathering) join(r request) (w *queued, only bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.busy {
		g.busy = true
		return nil, true
	}
	w = &queued{request: r, done: make(chan struct{})}
	g.waiting = append(g.waiting, w)
	return w, false
}

// take takes out what is sent next. Where it is nothing, nobody has to look any
// more.
func (g *gathering) take(most int) (batch []*queued) {
	g.mu.Lock()
	defer g.mu.Unlock()
	taken := 0
	for _, w := range g.waiting {
		if len(batch) == most {
			break
		}
		if taken++; !w.left {
			w.sent = true
			batch = append(batch, w)
		}
	}
	g.waiting = slices.Delete(g.waiting, 0, taken)
	g.busy = len(batch) > 0
	return batch
}

// share fails what waits where f says that Redis is silent or away: it has been for
// them too.
func (g *gathering) share(f *failure) {
	if f == nil || f.own {
		return
	}
	unsent := *f
	unsent.sent = false
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, w := range g.waiting {
		w.end(response{}, &unsent)
	}
	g.waiting = nil
}

// await waits for w's answer as long as ctx lasts.
func (w *queued) await(ctx context.Context, g *gathering) (response, *failure) {
	select {
	case <-w.done:
		return w.said, w.failure
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w.left = true
	return response{}, &failure{cause: ctx.Err(), sent: w.sent, own: true}
}

// end tells who waits for w how it ended.
func (w *queued) end(said response, f *failure) {
	w.said, w.failure, w.ended = said, f, true
	close(w.done)
}

// sendGathered sends batch, and then what has gathered meanwhile, until that is
// nothing.
func (c *Counters) sendGathered(p *part, batch []*queued) {
	for ; batch != nil; batch = c.gathered.take(mostCalls) {
		c.gathered.share(c.sendBatch(p, batch))
	}
}

var errPanicked = errors.New("internal error")

// sendBatch sends batch as one call, with all its tallies as one request, and ends
// all in it. The failure is that of the call.
func (c *Counters) sendBatch(p *part, batch []*queued) (f *failure) {
	ctx := context.Background() // of many callers, of whom any may leave
	defer func() {
		if fault := recover(); fault != nil { // in no caller's goroutine: it would end the process
			slog.Error("counters in Redis: panic", "panic", fault)
			f = &failure{cause: errPanicked, sent: true, own: true}
			for _, w := range batch {
				if !w.ended {
					w.end(response{}, f)
				}
			}
		}
	}()
	slices.SortStableFunc(batch, func(a, b *queued) int { return cmp.Compare(flag(b.tallies), flag(a.tallies)) })
	tallies := 0 // how many of batch come first and share an argument and an answer
	var shared request
	for ; tallies < len(batch) && batch[tallies].tallies; tallies++ {
		batch[tallies].said.others = len(shared.keys)
		shared.add(&batch[tallies].request)
	}
	keys := shared.keys
	var arguments []string
	if tallies > 0 {
		arguments = append(arguments, shared.argument())
	}
	for _, w := range batch[tallies:] {
		keys, arguments = append(keys, w.keys...), append(arguments, w.argument())
	}
	var answers []rueidis.RedisMessage
	answers, f = c.exec(ctx, p, keys, arguments)
	for i, w := range batch {
		if f != nil {
			w.end(response{}, f)
			continue
		}
		text, err := answers[max(0, i-max(0, tallies-1))].ToString()
		w.end(response{text, w.said.others}, failedWithin(ctx, err))
	}
	return f
}

// add adds the tallies of other.
func (r *request) add(other *request) {
	r.keys, r.numbers, r.tallies = append(r.keys, other.keys...), append(r.numbers, other.numbers...), true
}
