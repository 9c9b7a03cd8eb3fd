package ratelimit

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
)

// slot is the state of one window of one counter. What start and used mean is
// the algorithm's:
//
//   - Fixed: used hits since the window began at start (Unix seconds);
//   - Sliding: the hits are in marks, and used is their sum;
//   - Bucket: used tokens, of which Max have come back each Length since start
//     (microseconds); the marks hold it to its size in any Length.
type slot struct {
	kind  kind
	start int64
	used  uint64
	marks *marks // nil for Fixed
}

// kind tells the windows of one counter apart. It leaves out how much a window
// allows, so that a plan's new maximum goes on with what was used.
type kind uint64

func kindOf(w *sallyport.Window) kind {
	return kind(w.Length/time.Second) | kind(w.Algorithm)<<40 | kind(w.Calendar)<<48
}

func (k kind) algorithm() sallyport.Algorithm { return sallyport.Algorithm(k >> 40) }
func (k kind) calendar() sallyport.Calendar   { return sallyport.Calendar(k >> 48) }

// longest is the longest that a window of kind k lasts, in seconds.
func (k kind) longest() int64 {
	if k.calendar() != sallyport.NoCalendar {
		return 32 * 86400
	}
	return int64(uint32(k))
}

// moment is a time as windows need it.
type moment struct {
	second int64 // Unix
	micro  int64 // Unix microseconds
}

func at(t time.Time) moment { return moment{t.Unix(), t.UnixMicro()} }

// advance brings s to now and says how it stands for hits more. A clock that
// steps back a little never reopens an older window; one that comes back from
// far ahead does not leave a caller waiting there.
func (s *slot) advance(w *sallyport.Window, now moment, zone *time.Location, hits uint64) Outlook {
	switch w.Algorithm {
	case sallyport.Sliding:
		s.marks.expire(w, now.micro)
		s.used = s.marks.sum()
		left := less(w.Max, s.used)
		return Outlook{left, s.marks.end(w, now.micro), s.marks.fits(w, w.Max, s.used, hits, now.micro)}
	case sallyport.Bucket:
		return s.advanceBucket(w, now.micro, hits)
	}
	start, end := w.Period(now.second, zone)
	if start > s.start || s.start-start >= 2*(end-start) {
		s.start, s.used = start, 0
	} else if start < s.start {
		_, end = w.Period(s.start, zone)
	}
	return Outlook{less(w.Max, s.used), end * 1e6, end * 1e6}
}

// take adds hits to s, which has been advanced to now.
func (s *slot) take(w *sallyport.Window, now moment, hits uint64) {
	if w.Algorithm != sallyport.Fixed {
		if s.marks == nil {
			s.marks = new(marks)
		}
		s.marks.add(w, now.micro, hits)
	}
	s.used = plus(s.used, hits)
	if w.Algorithm == sallyport.Bucket {
		s.owe(w, now.micro)
	}
}

// owe bounds what s owes at now, to which it has been advanced: nobody owes more
// than a bucket, whatever a limit in shadow or a bigger plan has let pass.
func (s *slot) owe(w *sallyport.Window, now int64) {
	back := share(uint64(max(0, now-s.start)), w.Max, uint64(w.Length.Microseconds()))
	s.used = min(s.used, plus(w.Size(), back))
}

// give takes hits back from s, which has been advanced to now.
func (s *slot) give(hits uint64) {
	s.used = less(s.used, hits)
	s.marks.give(hits)
}

// advanceBucket lets the tokens come back that have since s.start. Whole
// Lengths move the start, so that nothing is rounded away and nothing grows.
func (s *slot) advanceBucket(w *sallyport.Window, now int64, hits uint64) Outlook {
	length := w.Length.Microseconds()
	s.marks.expire(w, now)
	elapsed := now - s.start
	switch {
	case s.used == 0, elapsed < -length: // full; or the clock came back from far ahead
		s.start, s.used, elapsed = now, 0, 0
	case elapsed < 0:
		elapsed = 0
	}
	if whole := uint64(elapsed / length); whole > 0 {
		hi, back := bits.Mul64(whole, w.Max)
		if hi > 0 || back >= s.used {
			s.start, s.used, elapsed = now, 0, 0
		} else {
			s.used -= back
			s.start += int64(whole) * length
			elapsed -= int64(whole) * length
		}
	}
	back := share(uint64(elapsed), w.Max, uint64(length))
	if back >= s.used {
		s.start, s.used, back = now, 0, 0
	}
	size := w.Size()
	s.used = min(s.used, plus(size, back)) // as owe has it
	spent, recent := s.used-back, s.marks.sum()
	st := Outlook{Left: min(less(size, spent), less(size, recent))}
	st.Reset = max(s.start+until(s.used, w.Max, length), s.marks.end(w, now))
	st.Retry = s.marks.fits(w, size, recent, hits, now)
	if over := plus(s.used, min(hits, size)); over > size {
		st.Retry = max(st.Retry, s.start+until(over-size, w.Max, length))
	}
	return st
}

// share is elapsed × most ÷ length, rounded down; elapsed is below length.
func share(elapsed, most, length uint64) uint64 {
	hi, lo := bits.Mul64(elapsed, most)
	quotient, _ := bits.Div64(hi%length, lo, length)
	return quotient
}

// until is how many microseconds it takes for tokens to come back, rounded up.
func until(tokens, most uint64, length int64) int64 {
	hi, lo := bits.Mul64(tokens, uint64(length))
	if hi >= most {
		return math.MaxInt64 / 4
	}
	quotient, rest := bits.Div64(hi, lo, most)
	if rest > 0 {
		quotient++
	}
	return int64(min(quotient, math.MaxInt64/4))
}

func less(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

func plus(a, b uint64) uint64 {
	if sum := a + b; sum >= a {
		return sum
	}
	return math.MaxUint64
}

// marks are hits by when they were taken, the oldest first: the memory of a
// window that slides. Hits within one part of grain of the window share a mark,
// which is dated by the last of them: never are more allowed than the window
// says, and a hit is held against its caller for at most that part longer.
type marks struct {
	list  []mark
	total uint64 // of their hits
}

type mark struct {
	at   int64 // microseconds: of its last hit
	hits uint64
}

// grain is into how many parts a sliding window is divided, and so the most
// marks that one needs, but for one.
const grain = 128

func grainOf(w *sallyport.Window) int64 { return max(1, w.Length.Microseconds()/grain) }

// expire drops the marks that are outside of w at now.
func (m *marks) expire(w *sallyport.Window, now int64) {
	if m == nil {
		return
	}
	length, n := w.Length.Microseconds(), len(m.list)
	if n == 0 || m.list[0].at+length > now && m.list[n-1].at <= now+length {
		return
	}
	m.list = slices.DeleteFunc(m.list, func(one mark) bool {
		return one.at+length <= now || one.at > now+length // the clock came back from far ahead
	})
	if len(m.list) < n {
		m.total = 0
		for i := range m.list {
			m.total = plus(m.total, m.list[i].hits)
		}
	}
}

func (m *marks) sum() uint64 {
	if m == nil {
		return 0
	}
	return m.total
}

// add notes hits at now.
func (m *marks) add(w *sallyport.Window, now int64, hits uint64) {
	if hits == 0 {
		return
	}
	m.total = plus(m.total, hits)
	if n := len(m.list); n > 0 {
		last := &m.list[n-1]
		now = max(now, last.at) // a clock that steps back a little
		if g := grainOf(w); last.at/g == now/g {
			last.at, last.hits = now, plus(last.hits, hits)
			return
		}
	}
	m.list = append(m.list, mark{now, hits})
}

// give takes hits back, those taken last first.
func (m *marks) give(hits uint64) {
	if m == nil {
		return
	}
	m.total = less(m.total, hits)
	for hits > 0 && len(m.list) > 0 {
		last := &m.list[len(m.list)-1]
		if last.hits > hits {
			last.hits -= hits
			return
		}
		hits -= last.hits
		m.list = m.list[:len(m.list)-1]
	}
}

// end is when the last mark leaves w; now where there is none.
func (m *marks) end(w *sallyport.Window, now int64) int64 {
	if m == nil || len(m.list) == 0 {
		return now
	}
	return m.list[len(m.list)-1].at + w.Length.Microseconds()
}

// fits is when hits fit beside the marks that are still in w by then, of which
// most may be: used are now.
func (m *marks) fits(w *sallyport.Window, most, used, hits uint64, now int64) int64 {
	when := now
	if m == nil {
		return when
	}
	hits = min(hits, most)
	if plus(used, hits) <= most {
		return when
	}
	for i := 0; i < len(m.list) && plus(used, hits) > most; i++ {
		used -= min(used, m.list[i].hits)
		when = m.list[i].at + w.Length.Microseconds()
	}
	return when
}
