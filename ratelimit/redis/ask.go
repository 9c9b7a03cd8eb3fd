package redis

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// Modes and statuses, as the script has them.
const (
	modeLook = iota
	modeTake
	modeForce
	modeRefund
	modeReset
	modeCount
	modeProbe
	modeTally
)

const (
	refused = iota
	charged
	looked
	repeated // a retry: answered as if it had only looked
)

// Algorithms as the script has them: Fixed, Sliding and Bucket, and beside them
// the calendar.
const calendar = 3

// ask is one call to the script.
type ask struct {
	tag     string
	keys    []string
	numbers []byte
	charges []*sallyport.Charge // those that the script answers for, in order; each counter once
}

// ask makes a call's request to the script. hits are as many as the script keeps.
func (c *Counters) ask(mode int, call *ratelimit.Call, hits uint64) ask {
	a := ask{tag: c.tag(call.Subject)}
	names := make([]digest, 0, 8)
	var text [256]byte
	count, plain := headNumbers, true
	for i := range call.Charges {
		charge := &call.Charges[i]
		name := digest(sha256.Sum256(ratelimit.AppendKey(text[:0], charge.Limit, call.Subject)))
		if slices.Contains(names, name) {
			continue // a counter that is named twice is taken from once
		}
		names = append(names, name)
		a.charges = append(a.charges, charge)
		count += 3
		for j := range charge.Windows {
			count += numbersOf(&charge.Windows[j])
			plain = plain && isPlain(&charge.Windows[j])
		}
	}
	remember := mode == modeTake && call.SID != ""
	keys := len(names)
	if remember {
		keys++
	}
	a.keys = make([]string, 0, keys)
	if remember {
		a.keys = append(a.keys, c.key(a.tag, sidKey, sidName(call.SID, names)))
	}
	a.numbers = appendList(make([]byte, 0, 32+6*count), count)
	a.numbers = c.appendHead(a.numbers, mode, hits, keys, remember, plain)
	for i, charge := range a.charges {
		a.keys = append(a.keys, c.key(a.tag, counterKey, &names[i]))
		a.numbers = appendNumber(a.numbers, flag(charge.Limit.Shadow))
		a.numbers = appendNumber(a.numbers, 0)
		a.numbers = appendNumber(a.numbers, uint64(len(charge.Windows)))
		for j := range charge.Windows {
			a.numbers = c.appendWindow(a.numbers, &charge.Windows[j], call.Now)
		}
	}
	return a
}

// numbersOf is how many numbers tell w.
func numbersOf(w *sallyport.Window) int {
	if w.Calendar != sallyport.NoCalendar {
		return 9
	}
	return 5
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// headNumbers is how many numbers each request begins with.
const headNumbers = 6

// appendHead appends what each request begins with.
func (c *Counters) appendHead(dst []byte, mode int, hits uint64, keys int, remember, plain bool) []byte {
	dst = appendNumber(dst, uint64(mode))
	dst = appendNumber(dst, uint64(keys))
	dst = appendNumber(dst, min(hits, most+2)) // more than any window has left
	now := uint64(0)
	if c.options.clock != nil {
		now = uint64(c.options.clock().UnixMicro())
	}
	dst = appendNumber(dst, now)
	dst = appendNumber(dst, flag(remember))
	return appendNumber(dst, flag(plain))
}

// isPlain reports whether w is of the kind that the script has a short way for.
func isPlain(w *sallyport.Window) bool {
	return w.Algorithm == sallyport.Fixed && w.Calendar == sallyport.NoCalendar
}

// appendWindow appends w. The script knows no time zones: it is told the
// calendar's periods around now, and its own clock says which of them it is.
func (c *Counters) appendWindow(dst []byte, w *sallyport.Window, now time.Time) []byte {
	seconds := uint64(w.Length / time.Second)
	dst = appendNumber(dst, seconds|uint64(w.Algorithm)<<40|uint64(w.Calendar)<<48)
	algorithm, length := uint64(w.Algorithm), max(1, seconds)
	switch {
	case w.Calendar != sallyport.NoCalendar:
		algorithm = calendar
	case w.Algorithm != sallyport.Fixed:
		length = uint64(w.Length.Microseconds())
	}
	dst = appendNumber(dst, algorithm)
	dst = appendNumber(dst, length)
	dst = appendNumber(dst, min(w.Max, most))
	dst = appendNumber(dst, min(w.Size(), most))
	if algorithm != calendar {
		return dst
	}
	zone := c.zones.Of(w)
	start, end := w.Period(now.Unix(), zone)
	before, _ := w.Period(start-1, zone)
	_, after := w.Period(end, zone)
	for _, bound := range [...]int64{before, start, end, after} {
		dst = appendNumber(dst, uint64(max(0, bound)))
	}
	return dst
}

// sidName names the memory of a sid on counters, whatever their order.
func sidName(sid string, names []digest) *digest {
	var all digest
	for i := range names {
		for j := range all {
			all[j] ^= names[i][j]
		}
	}
	d := digest(sha256.Sum256(append(appendPart(make([]byte, 0, 128), sid), all[:]...)))
	return &d
}
