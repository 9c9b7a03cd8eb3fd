package sallyport

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Window is one allowance: Max hits in each Length, or in each period of the
// calendar. A Window with neither allows nothing and does not load from
// configuration.
type Window struct {
	Max       uint64        // at least 1
	Length    time.Duration // whole seconds; 0 where Calendar says it
	Calendar  Calendar
	Zone      string // of Calendar: an IANA time zone; "" is UTC
	Algorithm Algorithm
	Burst     uint32 // percent above Max that a rested caller may take at once; of Bucket alone
}

// Algorithm is how a window counts.
type Algorithm uint8

const (
	// Fixed windows follow one another, aligned to the Unix epoch or to the
	// calendar; each begins with nothing used.
	Fixed Algorithm = iota
	// Sliding never allows more than Max in any Length, wherever it begins.
	Sliding
	// Bucket holds Size tokens when rested and refills Max a Length; besides,
	// it never allows more than Size in any Length. Over many it allows Max in
	// each and Size once: who wants less writes a Sliding window beside it.
	Bucket
)

// Calendar is a period of the calendar, which is not always of one length.
type Calendar uint8

const (
	NoCalendar Calendar = iota
	Day                 // from midnight
	Week                // from Monday's midnight (ISO 8601)
	Month               // from the first day's midnight
)

var calendars = [...]string{Day: "day", Week: "week", Month: "month"}

// String returns "day", "week", "month" or "".
func (c Calendar) String() string {
	if int(c) >= len(calendars) {
		return ""
	}
	return calendars[c]
}

// Bounds of what a window may be, wherever it is written.
const (
	MaxRate  = 1 << 53 // hits: what JSON can carry
	MaxBurst = 1000    // percent

	maxLength = 100 * 365 * 24 * time.Hour
)

// Size returns how many hits w allows at once when nothing is used: Max, and
// what the burst adds, rounded down.
func (w *Window) Size() uint64 {
	if w.Burst == 0 {
		return w.Max
	}
	hi, lo := bits.Mul64(w.Max, uint64(w.Burst))
	if hi > 0 {
		return math.MaxUint64
	}
	return w.Max + min(lo/100, math.MaxUint64-w.Max)
}

// Period returns the bounds, in Unix seconds, of the fixed window or the period
// of the calendar that second is in; zone is where w.Zone is, nil for UTC.
func (w *Window) Period(second int64, zone *time.Location) (start, end int64) {
	if w.Calendar == NoCalendar {
		length := max(1, int64(w.Length/time.Second))
		start = second - second%length
		return start, start + length
	}
	if zone == nil {
		zone = time.UTC
	}
	year, month, day := time.Unix(second, 0).In(zone).Date()
	days, months := 1, 0
	switch w.Calendar {
	case Week:
		// Days since Monday, which Go counts from Sunday.
		day -= (int(time.Date(year, month, day, 12, 0, 0, 0, zone).Weekday()) + 6) % 7
		days = 7
	case Month:
		day, days, months = 1, 0, 1
	}
	return midnight(year, month, day, zone), midnight(year, month+time.Month(months), day+days, zone)
}

// midnight is the first second of a day. Where clocks go forward at midnight,
// the day begins with the change.
func midnight(year int, month time.Month, day int, zone *time.Location) int64 {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if t.Day() != time.Date(year, month, day, 12, 0, 0, 0, zone).Day() {
		_, t = t.ZoneBounds()
	}
	return t.Unix()
}

// Same reports whether w and v are one window whose allowance may differ, so
// that what was used of the one counts for the other.
func (w *Window) Same(v *Window) bool {
	return w.Length == v.Length && w.Calendar == v.Calendar && w.Algorithm == v.Algorithm
}

// units are those in which lengths are written, the longest first; those that
// are not printed can be read.
var units = [...]struct {
	name    string
	length  time.Duration
	printed bool
}{
	{"y", 365 * 24 * time.Hour, false},
	{"w", 7 * 24 * time.Hour, false},
	{"d", 24 * time.Hour, true},
	{"h", time.Hour, true},
	{"m", time.Minute, true},
	{"s", time.Second, true},
}

// ParseLength reads whole numbers of y (365 days), w, d, h, m and s, the longest
// unit first, such as 90d or 1h30m.
func ParseLength(s string) (total time.Duration, err error) {
	rest := s
	for _, u := range units {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || !strings.HasPrefix(rest[digits:], u.name) {
			continue
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || n > int64(maxLength/u.length) {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total += time.Duration(n) * u.length
		rest = rest[digits+len(u.name):]
	}
	switch {
	case rest != "" || s == "":
		return 0, fmt.Errorf("%q is not a length such as 30s, 5m, 1h30m or 90d", s)
	case total == 0:
		return 0, fmt.Errorf("%q is zero", s)
	case total > maxLength:
		return 0, fmt.Errorf("%q is too long", s)
	}
	return total, nil
}

// WindowForm says how a window is written, for hints.
const WindowForm = "write MAX/LENGTH, such as 60/1m or 1000/1h; with a burst 60/1m+15%; sliding as 60/1m sliding; by the calendar 1000/day, 1000/week or 1000/month, in a time zone 1000/month@Europe/Berlin"

// String writes w as operators do, which ParseWindow reads: 60/1m, 60/1m+15%,
// "60/1m sliding", 1000/month@Europe/Berlin.
func (w Window) String() string {
	for _, u := range units {
		if u.printed && w.Length >= u.length && w.Length%u.length == 0 {
			return string(w.append(nil, u.length, u.name))
		}
	}
	return string(w.append(nil, time.Second, "s"))
}

// append writes w with its length in unit.
func (w *Window) append(dst []byte, unit time.Duration, name string) []byte {
	dst = strconv.AppendUint(dst, w.Max, 10)
	dst = append(dst, '/')
	if w.Calendar != NoCalendar {
		dst = append(dst, w.Calendar.String()...)
		if w.Zone != "" {
			dst = append(append(dst, '@'), w.Zone...)
		}
		return dst
	}
	dst = strconv.AppendInt(dst, int64(w.Length/unit), 10)
	dst = append(dst, name...)
	switch w.Algorithm {
	case Bucket:
		dst = append(dst, '+')
		dst = strconv.AppendUint(dst, uint64(w.Burst), 10)
		dst = append(dst, '%')
	case Sliding:
		dst = append(dst, sliding...)
	}
	return dst
}

const sliding = " sliding"

// ParseWindow reads what String writes. Whether the time zone exists is not
// looked at.
func ParseWindow(s string) (w Window, err error) {
	most, rest, ok := strings.Cut(s, "/")
	if !ok {
		return w, fmt.Errorf("%q is not a window", s)
	}
	if w.Max, err = strconv.ParseUint(most, 10, 64); err != nil || most[0] == '+' {
		return w, fmt.Errorf("%q does not begin with a whole number", s)
	}
	switch {
	case w.Max == 0:
		return w, fmt.Errorf("%q lets nothing through", s)
	case w.Max > MaxRate:
		return w, fmt.Errorf("%q is more than %d", s, uint64(MaxRate))
	}
	if calendar, zone, zoned := strings.Cut(rest, "@"); isCalendar(calendar) {
		w.Calendar, w.Zone = parseCalendar(calendar), zone
		if zoned && !plainZone(zone) {
			return w, fmt.Errorf("%q does not name a time zone", s)
		}
		return w, nil
	}
	length, burst, bursts := strings.Cut(rest, "+")
	if bursts {
		w.Algorithm = Bucket
		digits, ok := strings.CutSuffix(burst, "%")
		percent, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || percent > MaxBurst {
			return w, fmt.Errorf("%q has a burst that is not 0%% to %d%%", s, MaxBurst)
		}
		w.Burst = uint32(percent)
	} else if length, ok = strings.CutSuffix(length, sliding); ok {
		w.Algorithm = Sliding
	}
	if w.Length, err = ParseLength(length); err != nil {
		return w, err
	}
	if w.Length/time.Second > math.MaxUint32 {
		return w, fmt.Errorf("%q is too long", s)
	}
	return w, nil
}

func isCalendar(s string) bool { return parseCalendar(s) != NoCalendar }

func parseCalendar(s string) Calendar {
	for c, name := range calendars {
		if name == s && s != "" {
			return Calendar(c)
		}
	}
	return NoCalendar
}

// plainZone reports whether s can be the name of a time zone: what travels
// among other text must not end it.
func plainZone(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '/', c == '_', c == '-', c == '+':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}

var errCharges = errors.New("limits are not of the form name=max/seconds")

// parseTravelling reads a window as AppendLimits writes it. It is ParseWindow
// for a text that we made ourselves a moment ago: without errors to read, and
// with little to do for the usual form.
func parseTravelling(s string) (w Window, ok bool) {
	most, rest, ok := strings.Cut(s, "/")
	if !ok {
		return w, false
	}
	if seconds, usual := strings.CutSuffix(rest, "s"); usual {
		if n, err := strconv.ParseUint(seconds, 10, 32); err == nil && n > 0 {
			w.Length = time.Duration(n) * time.Second
			w.Max, err = strconv.ParseUint(most, 10, 64)
			return w, err == nil
		}
	}
	w, err := ParseWindow(s)
	return w, err == nil
}
