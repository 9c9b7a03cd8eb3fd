package ratelimit

import (
	"sync"
	"time"

	"github.com/sallyport/sallyport"
)

// Outlook is how one window of a counter stands at some moment. Times are in Unix
// microseconds of the clock that the counters go by.
type Outlook struct {
	Left  uint64 // hits that would fit
	Reset int64  // when it is as good as unused if nobody spends
	Retry int64  // when the hits asked for would fit
}

// Judge makes the verdict on a take of Hits from what it is shown of each window.
// It is how all counters tell the same of the same. The zero value is a look.
type Judge struct {
	Hits          uint64
	before, after teller
	shadow        string
}

// See considers the window w of limit: as it stands before the take, or, where it
// was taken, afterwards.
func (j *Judge) See(limit *sallyport.Limit, w *sallyport.Window, o Outlook, taken bool) {
	switch {
	case limit.Shadow: // always told as before the take
		if o.Left < j.Hits {
			j.shadow = limit.Name
		}
		return
	case !taken:
		j.before.see(limit.Name, w, o, o.Left < j.Hits)
		o.Left -= min(j.Hits, o.Left)
	}
	j.after.see(limit.Name, w, o, false)
}

// nothing is the window of those who have none.
var nothing = sallyport.Window{Length: time.Hour}

// SeeNone considers a limit that has no windows for its caller: it allows nothing.
// now is in microseconds.
func (j *Judge) SeeNone(limit *sallyport.Limit, now int64) {
	if limit.Shadow {
		return
	}
	_, end := nothing.Period(now/1e6, nil)
	j.before.see(limit.Name, &nothing, Outlook{Reset: end * 1e6, Retry: end * 1e6}, true)
}

// Refuses reports whether a window that j has seen has not as much as is asked for.
func (j *Judge) Refuses() bool { return j.before.refused }

// Verdict returns what came of all that j has seen, at now, in microseconds.
// Looking is never refused.
func (j *Judge) Verdict(now int64) sallyport.Verdict {
	if j.Refuses() {
		v := j.before.verdict(now)
		v.Allowed = j.Hits == 0
		return v
	}
	v := j.after.verdict(now)
	v.Shadow = j.shadow
	return v
}

// teller picks the window that a caller is told of.
type teller struct {
	Outlook
	window  *sallyport.Window
	rule    string
	known   bool
	refused bool
}

// see considers the window w of rule as it stands: after the take on success,
// before it on refusal. Of allowed windows the one with the fewest remaining is
// told, of exhausted ones the one that lets a retry pass last; equals go to the
// later reset.
func (t *teller) see(rule string, w *sallyport.Window, o Outlook, exhausted bool) {
	better := !t.known
	switch {
	case better:
	case exhausted != t.refused:
		better = exhausted
	case exhausted && o.Retry != t.Retry:
		better = o.Retry > t.Retry
	case !exhausted && o.Left != t.Left:
		better = o.Left < t.Left
	default:
		better = o.Reset > t.Reset
	}
	if better {
		t.Outlook, t.window, t.rule, t.known, t.refused = o, w, rule, true, exhausted
	}
}

// verdict returns what t has seen, at now. Waiting RetryAfter is enough if nobody
// else spends.
func (t *teller) verdict(now int64) sallyport.Verdict {
	v := sallyport.Verdict{Known: t.known, Allowed: !t.refused}
	if !t.known {
		return v
	}
	v.Limit, v.Remaining, v.Window, v.Rule = t.window.Size(), t.Left, *t.window, t.rule
	v.Reset = time.Unix((t.Reset+999_999)/1e6, 0) // headers tell whole seconds
	if t.refused {
		v.RetryAfter = wholeSeconds(time.Duration(min(t.Retry-now, century)) * time.Microsecond)
	}
	return v
}

// century is a hundred years, in microseconds.
const century = int64(100 * 365 * 24 * time.Hour / time.Microsecond)

// wholeSeconds rounds d up, to at least one second.
func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// Zones remembers time zones by name. The zero value is ready. Safe for concurrent
// use.
type Zones struct{ known sync.Map } // name → *time.Location

// Of returns the time zone of w: nil is UTC, and so is one that nobody knows.
func (z *Zones) Of(w *sallyport.Window) *time.Location {
	if w.Zone == "" {
		return nil
	}
	if zone, ok := z.known.Load(w.Zone); ok {
		return zone.(*time.Location)
	}
	zone, err := time.LoadLocation(w.Zone)
	if err != nil {
		return nil // not remembered: names come from the configuration, and a wrong one does not load
	}
	z.known.Store(w.Zone, zone)
	return zone
}
