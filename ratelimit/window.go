package ratelimit

import (
	"time"

	"github.com/sallyport/sallyport"
)

// slot is the state of one window of one counter: how many were taken since
// start. Lengths tell windows of one counter apart, so a plan's new maximum
// goes on with what was used.
type slot struct {
	length int64 // seconds
	start  int64 // seconds since the Unix epoch
	used   uint64
}

// at returns s as it stands at the time now (seconds): a window that has ended
// starts anew, aligned to the epoch. A clock that steps back never reopens an
// older window.
func (s slot) at(now int64) slot {
	start := now - now%s.length
	if start > s.start {
		s.start, s.used = start, 0
	}
	return s
}

// remaining returns how many more s allows under the maximum most.
func (s slot) remaining(most uint64) uint64 {
	if s.used >= most {
		return 0
	}
	return most - s.used
}

// teller picks the window that a caller is told of.
type teller struct {
	told    slot
	window  sallyport.Window
	rule    string
	known   bool
	refused bool
}

// see considers the window w of rule in state s, which is after the take on
// success and before it on refusal. Of allowed windows the one with the fewest
// remaining is told, of exhausted ones the one that resets last; equals go to
// the later reset.
func (t *teller) see(rule string, w sallyport.Window, s slot, exhausted bool) {
	better := !t.known
	switch {
	case better:
	case exhausted != t.refused:
		better = exhausted
	case exhausted:
		better = s.end() > t.told.end()
	default:
		left, least := s.remaining(w.Max), t.told.remaining(t.window.Max)
		better = left < least || left == least && s.end() > t.told.end()
	}
	if better {
		t.told, t.window, t.rule, t.known, t.refused = s, w, rule, true, exhausted
	}
}

func (s slot) end() int64 { return s.start + s.length }

// verdict returns what t has seen, at the time now. Waiting RetryAfter is
// enough if nobody else spends: every exhausted window has reset by then.
func (t *teller) verdict(now time.Time) sallyport.Verdict {
	v := sallyport.Verdict{Known: t.known, Allowed: !t.refused}
	if !t.known {
		return v
	}
	v.Limit, v.Remaining = t.window.Max, t.told.remaining(t.window.Max)
	v.Reset, v.Length, v.Rule = time.Unix(t.told.end(), 0), t.window.Length, t.rule
	if t.refused {
		v.RetryAfter = wholeSeconds(v.Reset.Sub(now))
	}
	return v
}

// wholeSeconds rounds d up, to at least one second.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}
