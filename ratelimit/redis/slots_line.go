package redis

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport"
)

// firstPause and lastPause bound how long the first in line waits before it asks
// Redis again: longer each time.
const (
	firstPause = 2 * time.Millisecond
	lastPause  = 10 * time.Millisecond
)

// mostWaiting is how many may stand in one line: a flood beyond is refused at
// once, so that it does not pile up here.
func mostWaiting(l *sallyport.Limit) int { return 4*int(l.Concurrency) + 16 }

// lines are those who wait for a place through this instance, by the place's key,
// in order of arrival. Who waits holds nothing, so that waiters cannot wait for
// each other.
type lines struct {
	mu sync.Mutex
	of map[string][]*waiter // guarded by mu; none is empty
}

// waiter is one Hold that stands in a line.
type waiter struct {
	at   int           // which of the wish's places
	wake chan struct{} // told to the first in line when something may be free
}

func (w *waiter) rouse() {
	select {
	case w.wake <- struct{}{}:
	default: // it is told already
	}
}

// busy returns the first of w's places that others wait for.
func (q *lines) busy(w *wish) (at int, busy bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, place := range w.places {
		if w.numbers[i] > 0 && len(q.of[place]) > 0 {
			return i, true
		}
	}
	return 0, false
}

// enter lets w stand in line for its place at; nil where that is too long.
func (q *lines) enter(w *wish, at int) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.of[w.places[at]]
	if len(line) >= mostWaiting(w.limits[at]) {
		return nil
	}
	one := &waiter{at, make(chan struct{}, 1)}
	q.of[w.places[at]] = append(line, one)
	return one
}

// leave takes one out of its line. A next who becomes the first is woken.
func (q *lines) leave(w *wish, one *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	place := w.places[one.at]
	line := q.of[place]
	at := slices.Index(line, one)
	if line = slices.Delete(line, at, at+1); len(line) == 0 {
		delete(q.of, place)
		return
	}
	if q.of[place] = line; at == 0 {
		line[0].rouse()
	}
}

func (q *lines) first(w *wish, one *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.of[w.places[one.at]][0] == one
}

// freed wakes those who stand first in the lines for places.
func (q *lines) freed(places []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, place := range places {
		if line := q.of[place]; len(line) > 0 {
			line[0].rouse()
		}
	}
}

func (q *lines) waiting() (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, line := range q.of {
		n += len(line)
	}
	return n
}

// await waits in line until w is granted, for as long as patience and ctx last.
func (s *Slots) await(ctx context.Context, w *wish, one *waiter) (full *sallyport.Limit, f *failure) {
	end := time.NewTimer(w.wait)
	defer end.Stop()
	poll := time.NewTimer(firstPause)
	defer poll.Stop()
	pause := firstPause
	defer func() { s.lines.leave(w, one) }()
	for {
		select {
		case <-one.wake:
			pause = firstPause
		case <-poll.C:
			pause = min(pause+pause/2, lastPause)
		case <-end.C:
			return w.limits[one.at], nil
		case <-ctx.Done():
			return w.limits[one.at], nil
		}
		poll.Reset(pause)
		if !s.lines.first(w, one) {
			continue
		}
		got, f := s.try(ctx, w, false)
		switch {
		case f != nil:
			return nil, f
		case got.status == statusRefused:
			return w.limits[0], nil
		case got.status != statusFull:
			return s.granted(ctx, w)
		case got.index-1 == one.at:
			continue
		}
		next := s.lines.enter(w, got.index-1)
		if next == nil {
			return w.limits[got.index-1], nil
		}
		s.lines.leave(w, one)
		one = next
	}
}
