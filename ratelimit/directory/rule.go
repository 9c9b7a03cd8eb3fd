package directory

import (
	"strings"
	"time"
)

// Unit is what a rule counts requests per.
type Unit uint8

const (
	NoUnit Unit = iota // of what is unlimited; no rule that limits has it
	Second
	Minute
	Hour
	Day
	Week  // from Thursday's midnight, as the Unix epoch began
	Month // of 30 days
	Year  // of 365 days
)

const day = 24 * time.Hour

var units = [...]struct {
	name   string
	length time.Duration
}{
	{"", 0},
	{"second", time.Second},
	{"minute", time.Minute},
	{"hour", time.Hour},
	{"day", day},
	{"week", 7 * day},
	{"month", 30 * day},
	{"year", 365 * day},
}

// String returns the unit as files name it, "" for none.
func (u Unit) String() string {
	if int(u) >= len(units) {
		return ""
	}
	return units[u].name
}

// Length returns how long u lasts; 0 for no unit.
func (u Unit) Length() time.Duration {
	if int(u) >= len(units) {
		return 0
	}
	return units[u].length
}

// ParseUnit reads the name of a unit, in upper or lower case.
func ParseUnit(s string) (Unit, bool) {
	// Not EqualFold, which takes more letters for one than they do.
	upper := strings.ToUpper(s)
	for u := Second; int(u) < len(units); u++ {
		if upper == strings.ToUpper(units[u].name) {
			return u, true
		}
	}
	return NoUnit, false
}

func unitNames() string {
	names := make([]string, 0, len(units)-1)
	for _, u := range units[Second:] {
		names = append(names, u.name)
	}
	return strings.Join(names, ", ")
}

// Rule is a limit as a file has it. It belongs to its Set and to everybody who
// matched it: nobody may change it, nor what its slices and maps hold.
type Rule struct {
	Name       string // as configured, for Replaces; "" for none
	Requests   uint32 // 0 lets nothing through
	Unit       Unit   // NoUnit where Unlimited
	Multiplier uint32 // how many units a window lasts: 1, save in an Override
	Unlimited  bool

	Replaces []string // names of rules that do not count where this one matched too
	Shadow   bool     // counts, and refuses nobody
	Quota    bool     // is told to Envoy, and refuses nobody by itself

	DetailedMetric bool
	ValueToMetric  bool
	ShareThreshold bool // one counter for all that its wildcard matches

	// Metadata is what the answer carries to Envoy: nil, bool, float64, string,
	// []any and map[string]any, as a google.protobuf.Struct holds them.
	Metadata map[string]any

	// Metric names the rule as the file does: the domain, then each key, with
	// _ and the value where the file gives one. There are as many names as
	// rules. PerValue says that AppendMetric may tell more.
	Metric   string
	PerValue bool

	File string // where it is written
	Line int

	domain string
	path   []*node
}

// Length returns how long one of the rule's windows lasts; 0 where it is
// unlimited.
func (r *Rule) Length() time.Duration { return r.Unit.Length() * time.Duration(r.Multiplier) }

// AppendMetric appends the name that envoyproxy/ratelimit gives the counters of
// a request that r was matched for, not sanitized. Where r.PerValue is set, that
// is a name for every value that clients send: whoever keeps series by it must
// bound how many, and use Metric for the others.
func (r *Rule) AppendMetric(dst []byte, entries []Entry) []byte {
	if !r.PerValue || len(entries) != len(r.path) {
		return append(dst, r.Metric...)
	}
	shared := r.shared(entries)
	dst = append(dst, r.domain...)
	for i, n := range r.path {
		dst = append(append(dst, '.'), n.key...)
		value := n.value
		switch {
		case n.shares(entries[i].Value):
		case r.DetailedMetric:
			if value = entries[i].Value; value == "" && !shared {
				dst = append(dst, '_') // theirs, too, is the key and an empty value here
			}
		case n.toMetric:
			value = entries[i].Value
		}
		if value != "" {
			dst = append(append(dst, '_'), value...)
		}
	}
	return dst
}

// shared reports whether an entry was matched by a wildcard that shares.
func (r *Rule) shared(entries []Entry) bool {
	for i, n := range r.path {
		if n.shares(entries[i].Value) {
			return true
		}
	}
	return false
}

// longest is the longest window that an Override may ask for.
const longest = 100 * 365 * day

// Override returns the rule that Envoy sends along with a descriptor in place of
// the file's: multiplier units long, 1 where Envoy says none. It holds only in a
// domain that is known, replaces nothing, and is never unlimited, shadow or
// quota; its counter is that of AppendKey. It has no Metric: a name of its own
// for every descriptor would be one for every client. ok is false for a unit
// that is none and for a length beyond a hundred years.
func Override(requests uint32, unit Unit, multiplier uint32) (r Rule, ok bool) {
	length := unit.Length()
	if length == 0 || multiplier == 0 || time.Duration(multiplier) > longest/length {
		return Rule{}, false
	}
	return Rule{Requests: requests, Unit: unit, Multiplier: multiplier}, true
}
