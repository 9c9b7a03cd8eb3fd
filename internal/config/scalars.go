package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

const (
	maxDuration = 100 * 365 * 24 * time.Hour
	maxRate     = 1 << 53 // what JSON can carry
	maxSize     = 1 << 40
)

const durationHint = "write a number with a unit ms, s, m, h, d, w or y, such as 30s or 1h30m"

// units are in the order in which a combination must have them.
var units = []struct {
	name   string
	length time.Duration
}{
	{"y", 365 * 24 * time.Hour},
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
}

func (l *List) decode(d *decoder, n node) {
	if d.isNothing(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		if text := d.text(n); text != "" {
			*l = List{text}
		}
		return
	}
	if len(n.Content) == 0 {
		d.at(n.line, n.path, "is an empty list", "give it an element or leave it out")
	}
	*l = make(List, len(n.Content))
	for i := range n.Content {
		(*l)[i] = d.text(d.element(n, i).resolved())
	}
}

func (d *Duration) parse(text string) (problem, hint string) {
	length, problem := parseDuration(text)
	*d = Duration(length)
	if problem != "" {
		return problem, durationHint
	}
	return "", ""
}

func parseDuration(text string) (total time.Duration, problem string) {
	problem = "duration " + quote(text) + " cannot be read"
	rest := text
	for _, unit := range units {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if after, ok := strings.CutPrefix(rest[digits:], unit.name); !ok || digits == 0 || after != "" && after[0] > '9' {
			continue
		}
		number, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil || number > int64(maxDuration/unit.length) {
			return 0, "duration " + quote(text) + " is too long"
		}
		total += time.Duration(number) * unit.length
		rest = rest[digits+len(unit.name):]
	}
	switch {
	case rest != "" || text == "":
		return 0, problem
	case total == 0:
		return 0, "duration " + quote(text) + " is zero"
	case total > maxDuration:
		return 0, "duration " + quote(text) + " is too long"
	}
	return total, ""
}

func (s *Size) parse(text string) (problem, hint string) {
	digits := strings.TrimRight(text, "KMGiB")
	unit, known := map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[text[len(digits):]]
	number, err := strconv.ParseUint(digits, 10, 63)
	if !known || err != nil || number == 0 || number > uint64(maxSize/unit) {
		return "size " + quote(text) + " cannot be read", "write a number of bytes, or one with KiB, MiB or GiB, such as 256KiB"
	}
	*s = Size(int64(number) * unit)
	return "", ""
}

func (p *Percent) parse(text string) (problem, hint string) {
	digits, ok := strings.CutSuffix(text, "%")
	number, err := strconv.ParseUint(digits, 10, 32)
	if !ok || err != nil || number == 0 || number > 1000 {
		return "percentage " + quote(text) + " cannot be read", "write 1% to 1000%, such as 15%"
	}
	*p = Percent(number)
	return "", ""
}

func (r *Rate) parse(text string) (problem, hint string) {
	const form = "write MAX/WINDOW, such as 60/1m"
	most, window, ok := strings.Cut(text, "/")
	if !ok {
		return "rate " + quote(text) + " cannot be read", form
	}
	limit, err := strconv.ParseUint(most, 10, 64)
	length, bad := parseDuration(window)
	switch {
	case err != nil:
		return "rate " + quote(text) + " does not begin with a whole number", form
	case limit == 0:
		return "rate " + quote(text) + " lets nothing through", "allow at least 1, or do not list the operation"
	case limit > maxRate:
		return "rate " + quote(text) + " is too large", fmt.Sprintf("at most %d, or write unlimited in place of the rate", uint64(maxRate))
	case bad != "":
		return "rate " + quote(text) + ": " + bad, form
	case length%time.Second != 0:
		return "rate " + quote(text) + " has a window that is not whole seconds", form
	case length/time.Second > math.MaxUint32:
		return "rate " + quote(text) + " has a window that is too long", form
	}
	r.Max, r.Window = limit, length
	return "", ""
}
