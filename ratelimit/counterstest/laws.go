package counterstest

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
)

// laws hold for any sequence of calls.
func laws() []promise {
	return []promise{
		{"a random sequence is answered as a list of all takes would answer it", func(t *testing.T, tr *trial) {
			run := 0
			rapid.Check(t, func(rt *rapid.T) {
				run++
				sequence(rt, &trial{test: rt, counters: tr.counters, options: tr.options, now: epoch}, fmt.Sprint("run-", run))
			})
		}},
	}
}

// drawWindows draws windows of which no two are the same.
func drawWindows(t *rapid.T) (all []sallyport.Window) {
	for range rapid.IntRange(1, 4).Draw(t, "windows") {
		most := rapid.IntRange(1, 12).Draw(t, "max")
		length := rapid.IntRange(1, 100).Draw(t, "length")
		form := rapid.SampledFrom([]string{"/LENGTH", "/LENGTH sliding", "/LENGTH+0%", "/LENGTH+40%", "/day", "/month@Europe/Berlin"}).Draw(t, "form")
		text := fmt.Sprint(most) + strings.ReplaceAll(form, "LENGTH", fmt.Sprintf("%ds", length))
		w := window(text)
		if !slices.ContainsFunc(all, func(v sallyport.Window) bool { return v.Same(&w) }) {
			all = append(all, w)
		}
	}
	return all
}

func sequence(t *rapid.T, tr *trial, name string) {
	windows := drawWindows(t)
	oracle := list{}
	c := []sallyport.Charge{{Limit: &sallyport.Limit{Name: name}, Windows: windows}}
	tr.at(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "start")) * time.Second)
	for range rapid.IntRange(1, 40).Draw(t, "takes") {
		tr.set(tr.now.Add(time.Duration(rapid.Int64Range(0, 30_000_000).Draw(t, "wait")) * time.Microsecond))
		hits := uint64(rapid.IntRange(1, 3).Draw(t, "hits"))
		v := tr.take(c, hits)
		fits, surely := oracle.fits(windows, tr.now, hits)
		switch {
		case v.Allowed && !fits:
			t.Fatalf("%v: allowed %d at %v after %v", windows, hits, tr.now, oracle)
		case !v.Allowed && surely:
			t.Fatalf("%v: refused %d at %v after %v: %+v", windows, hits, tr.now, oracle, v)
		case v.Allowed:
			oracle = append(oracle, taken{tr.now, hits})
		default:
			enough(t, tr, c, hits, v)
		}
		if v.Window.Algorithm == sallyport.Fixed {
			_, end := v.Window.Period(tr.now.Unix(), zoneOf(v.Window))
			if used := oracle.since(v.Window, tr.now); v.Allowed && (v.Remaining != v.Limit-used || v.Reset.Unix() != end) {
				t.Fatalf("%v: told %+v, of which %d are used", windows, v, used)
			}
		}
	}
}

// enough holds what a refusal v tells to wait against what comes of waiting.
// Time goes on to then, since it must not go back.
func enough(t *rapid.T, tr *trial, c []sallyport.Charge, hits uint64, v sallyport.Verdict) {
	if slices.ContainsFunc(c[0].Windows, func(w sallyport.Window) bool { return w.Size() < hits }) {
		return // never
	}
	now := tr.now
	if v.RetryAfter > time.Second {
		tr.set(now.Add(v.RetryAfter - time.Second - time.Microsecond))
		if tr.foresee(c, hits).Allowed {
			t.Fatalf("%v: told to wait %v, which is more than a second too long", c[0].Windows, v.RetryAfter)
		}
	}
	tr.set(now.Add(v.RetryAfter))
	if later := tr.foresee(c, hits); !later.Allowed {
		t.Fatalf("%v: waited %v as told, and got %+v", c[0].Windows, v.RetryAfter, later)
	}
}

func zoneOf(w sallyport.Window) *time.Location {
	zone, err := time.LoadLocation(w.Zone) // "" is UTC
	if err != nil {
		panic(err) // the test wrote it
	}
	return zone
}

// list is all that was taken, in order: the definition that others are held
// against.
type list []taken

type taken struct {
	at   time.Time
	hits uint64
}

// fits reports whether hits more may be allowed now, and whether they must be:
// between the two is what a window that slides may hold against a caller for
// being divided into parts.
func (l list) fits(windows []sallyport.Window, now time.Time, hits uint64) (may, must bool) {
	may, must = true, true
	for i := range windows {
		w := &windows[i]
		switch w.Algorithm {
		case sallyport.Fixed:
			fit := l.since(*w, now)+hits <= w.Max
			may, must = may && fit, must && fit
		case sallyport.Bucket:
			fit := l.level(w, now)+hits <= w.Size()
			may, must = may && fit, must && fit
			fallthrough
		case sallyport.Sliding:
			may = may && l.within(now, w.Length)+hits <= w.Size()
			must = must && l.within(now, w.Length+w.Length/100)+hits <= w.Size()
		}
	}
	return may, must
}

// since sums what was taken in the window of w that now is in.
func (l list) since(w sallyport.Window, now time.Time) (sum uint64) {
	start, _ := w.Period(now.Unix(), zoneOf(w))
	for _, t := range l {
		if t.at.Unix() >= start {
			sum += t.hits
		}
	}
	return sum
}

// within sums what was taken less than length ago.
func (l list) within(now time.Time, length time.Duration) (sum uint64) {
	for _, t := range l {
		if t.at.Add(length).After(now) {
			sum += t.hits
		}
	}
	return sum
}

// level is how many tokens a bucket lacks, rounded up: each take adds its hits,
// and Max a Length come back, down to nothing.
func (l list) level(w *sallyport.Window, now time.Time) uint64 {
	lacks, at := new(big.Int), epoch // in tokens × microseconds of Length
	length, most := big.NewInt(w.Length.Microseconds()), new(big.Int).SetUint64(w.Max)
	refill := func(until time.Time) {
		back := new(big.Int).Mul(big.NewInt(until.Sub(at).Microseconds()), most)
		if lacks.Sub(lacks, back).Sign() < 0 {
			lacks.SetUint64(0)
		}
		at = until
	}
	for _, t := range l {
		refill(t.at)
		lacks.Add(lacks, new(big.Int).Mul(new(big.Int).SetUint64(t.hits), length))
	}
	refill(now)
	tokens, rest := new(big.Int).QuoRem(lacks, length, new(big.Int))
	if rest.Sign() > 0 {
		return tokens.Uint64() + 1
	}
	return tokens.Uint64()
}
