package redis

import (
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// answer is what the script says.
type answer struct {
	status    uint64
	now       int64
	standings []ratelimit.Outlook // of the ask's charges' windows, in order
}

// readAnswer reads an answer with so many standings.
func readAnswer(text string, windows int) (a answer, err error) {
	r := reader{text: text}
	n := r.list()
	if r.fault || n != 2+3*windows {
		return a, errAnswer
	}
	a.status, a.now = r.number(), int64(r.number())
	a.standings = make([]ratelimit.Outlook, windows)
	for i := range a.standings {
		a.standings[i] = ratelimit.Outlook{Left: r.number(), Reset: int64(r.number()), Retry: int64(r.number())}
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

// judge makes a verdict for hits of what the script answered to a.
func (a *ask) judge(got answer, hits uint64) sallyport.Verdict {
	if got.status == repeated {
		hits = 0
	}
	j := ratelimit.Judge{Hits: hits}
	at := 0
	for _, charge := range a.charges {
		if len(charge.Windows) == 0 {
			j.SeeNone(charge.Limit, got.now)
		}
		for i := range charge.Windows {
			j.See(charge.Limit, &charge.Windows[i], got.standings[at], got.status == charged)
			at++
		}
	}
	return j.Verdict(got.now)
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
				Limit: charge.Limit, Window: w, Used: size - min(size, s.Left), Remaining: s.Left, Reset: time.UnixMicro(s.Reset),
			})
		}
	}
	return all
}
