package redis

import (
	"slices"
	"sync"
	"testing"
	"time"
)

// pulse notes how late this machine wakes who waits. What is held to a deadline is
// held to it beside that: a busy machine is no fault of ours.
type pulse struct {
	mu    sync.Mutex
	beats []beat // guarded by mu: the latest, in order
}

type beat struct {
	at   time.Time
	late time.Duration
}

const (
	beatEvery = 10 * time.Millisecond
	mostBeats = 2000

	// wakings is how often a call waits for somebody to be woken: its own goroutine
	// and the connection's, some times each, and the server.
	wakings = 8
)

// machine is that of the tests; it beats from TestMain on.
var machine pulse

// run beats for as long as the process lives.
func (p *pulse) run() {
	for last := time.Now(); ; {
		time.Sleep(beatEvery)
		now := time.Now()
		p.note(beat{now, now.Sub(last) - beatEvery})
		last = now
	}
}

func (p *pulse) note(b beat) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.beats = append(p.beats, b)
	p.beats = p.beats[max(0, len(p.beats)-mostBeats):]
}

// since is how much longer than it should what began then may have taken by now.
func (p *pulse) since(began time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	worst := time.Duration(0)
	if n := len(p.beats); n > 0 { // a beat that is overdue is late already
		worst = time.Since(p.beats[n-1].at) - beatEvery
	}
	for _, b := range slices.Backward(p.beats) {
		if b.at.Before(began) {
			break
		}
		worst = max(worst, b.late)
	}
	return wakings * max(0, worst)
}

// late reports whether what began then has taken longer than most, and than a
// machine as busy as this explains.
func late(began time.Time, most time.Duration) (took time.Duration, over bool) {
	took = time.Since(began)
	return took, took > most && took > most+machine.since(began)
}

func TestPulse(t *testing.T) {
	var p pulse
	now := time.Now()
	p.note(beat{now.Add(-30 * time.Millisecond), time.Second})
	p.note(beat{now.Add(-20 * time.Millisecond), 3 * time.Millisecond})
	p.note(beat{now.Add(time.Hour), 2 * time.Millisecond}) // none is overdue
	for began, want := range map[time.Duration]time.Duration{10: 2, 25: 3, 40: 1000} {
		if got := p.since(now.Add(-began * time.Millisecond)); got != wakings*want*time.Millisecond {
			t.Errorf("since %d ms ago: %v, want %d times %d ms", began, got, wakings, want)
		}
	}
}
