package redis

import (
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// standing is a window as the script says that it stands; times in microseconds
// of the server's clock.
type standing struct {
	left         uint64
	reset, retry int64
}

// answer is what the script says.
type answer struct {
	status    uint64
	now       int64
	standings []standing // of the ask's charges' windows, in order
}

// readAnswer reads an answer with so many standings.
func readAnswer(text string, windows int) (a answer, err error) {
	r := reader{text: text}
	n := r.list()
	if r.fault || n != 2+3*windows {
		return a, errAnswer
	}
	a.status, a.now = r.number(), int64(r.number())
	a.standings = make([]standing, windows)
	for i := range a.standings {
		a.standings[i] = standing{r.number(), int64(r.number()), int64(r.number())}
	}
	if r.fault {
		return a, errAnswer
	}
	return a, nil
}

func (a *ask) windows() (n int) {
	for _, charge := range a.charges {
		n += len(charge.Windows)
	}
	return n
}

// teller picks the window that a caller is told of, as ratelimit.Memory does: of
// allowed windows the one with the fewest remaining, of exhausted ones the one
// that lets a retry pass last; equals go to the later reset.
type teller struct {
	standing
	window  *sallyport.Window
	rule    string
	known   bool
	refused bool
}

func (t *teller) see(rule string, w *sallyport.Window, s standing, exhausted bool) {
	better := !t.known
	switch {
	case better:
	case exhausted != t.refused:
		better = exhausted
	case exhausted && s.retry != t.retry:
		better = s.retry > t.retry
	case !exhausted && s.left != t.left:
		better = s.left < t.left
	default:
		better = s.reset > t.reset
	}
	if better {
		t.standing, t.window, t.rule, t.known, t.refused = s, w, rule, true, exhausted
	}
}

// verdict is what t has seen, at the server's now.
func (t *teller) verdict(now int64) sallyport.Verdict {
	v := sallyport.Verdict{Known: t.known, Allowed: !t.refused}
	if !t.known {
		return v
	}
	v.Limit, v.Remaining, v.Window, v.Rule = t.window.Size(), t.left, *t.window, t.rule
	v.Reset = time.Unix((t.reset+999_999)/1_000_000, 0) // headers tell whole seconds
	if t.refused {
		const never = 100 * 365 * 24 * int64(time.Hour/time.Microsecond)
		wait := time.Duration(min(t.retry-now, never)) * time.Microsecond
		v.RetryAfter = max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
	}
	return v
}

// nothing is the window of those who have none.
var nothing = sallyport.Window{Length: time.Hour}

// judge makes a verdict for hits of what the script answered to a.
func (a *ask) judge(got answer, hits uint64) sallyport.Verdict {
	var before, after teller
	shadow := ""
	if got.status == repeated {
		hits = 0
	}
	at := 0
	for _, charge := range a.charges {
		limit := charge.Limit
		if len(charge.Windows) == 0 && !limit.Shadow {
			_, end := nothing.Period(got.now/1_000_000, nil)
			before.see(limit.Name, &nothing, standing{0, end * 1_000_000, end * 1_000_000}, true)
		}
		for i := range charge.Windows {
			w, s := &charge.Windows[i], got.standings[at]
			at++
			switch {
			case limit.Shadow:
				if s.left < hits {
					shadow = limit.Name
				}
			case got.status == charged: // told as it is afterwards
				after.see(limit.Name, w, s, false)
			default:
				before.see(limit.Name, w, s, s.left < hits)
				s.left -= min(hits, s.left)
				after.see(limit.Name, w, s, false)
			}
		}
	}
	if before.refused {
		v := before.verdict(got.now)
		v.Allowed = hits == 0 // looking is never refused
		return v
	}
	v := after.verdict(got.now)
	v.Shadow = shadow
	return v
}

// nobody reports whether a charge of a allows nothing at all, so that the call is
// refused whatever the script says.
func (a *ask) nobody() bool {
	for _, charge := range a.charges {
		if len(charge.Windows) == 0 && !charge.Limit.Shadow {
			return true
		}
	}
	return false
}

// stand makes what Look returns of what the script answered.
func (a *ask) stand(got answer) (all []ratelimit.Standing) {
	at := 0
	for _, charge := range a.charges {
		for i := range charge.Windows {
			w, s := charge.Windows[i], got.standings[at]
			at++
			size := w.Size()
			all = append(all, ratelimit.Standing{
				Limit: charge.Limit, Window: w, Used: size - min(size, s.left), Remaining: s.left, Reset: time.UnixMicro(s.reset),
			})
		}
	}
	return all
}
