package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
)

const (
	maxSize = 1 << 40
	maxWord = 120 // characters of a window or duration; the longest time zones leave room to spare
)

const durationHint = "write a number with a unit ms, s, m, h, d, w or y, such as 30s or 1h30m"

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

// parseDuration reads what sallyport.ParseLength does, and milliseconds behind it.
func parseDuration(text string) (total time.Duration, problem string) {
	whole := text
	if before, ok := strings.CutSuffix(text, "ms"); ok {
		whole = strings.TrimRight(before, "0123456789")
		number, err := strconv.ParseInt(before[len(whole):], 10, 32)
		switch {
		case err != nil:
			return 0, "duration " + quote(text) + " cannot be read"
		case whole == "" && number == 0:
			return 0, "duration " + quote(text) + " is zero"
		}
		if total = time.Duration(number) * time.Millisecond; whole == "" {
			return total, ""
		}
	}
	length, err := sallyport.ParseLength(whole)
	switch {
	case err != nil && len(text) <= maxWord:
		return 0, "duration " + err.Error()
	case err != nil:
		return 0, "duration " + quote(text) + " cannot be read"
	}
	return length + total, ""
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
	if !ok || err != nil || number > sallyport.MaxBurst {
		return "percentage " + quote(text) + " cannot be read", fmt.Sprintf("write 0%% to %d%%, such as 15%%", sallyport.MaxBurst)
	}
	*p = Percent(number)
	return "", ""
}

// meantLengths are lengths of windows as other programs write them.
var meantLengths = map[string]string{
	"second": "1s", "minute": "1m", "hour": "1h", "m": "1m", "h": "1h", "d": "1d", "day": "day", "week": "week", "month": "month",
}

func (r *Rate) parse(text string) (problem, hint string) {
	if len(text) > maxWord {
		return quote(text) + " is too long for a window", sallyport.WindowForm
	}
	w, err := sallyport.ParseWindow(text)
	*r = Rate(w)
	if err == nil {
		return "", ""
	}
	problem, hint = err.Error(), sallyport.WindowForm
	most, length, _ := strings.Cut(text, "/")
	meant := most + "/" + meantLengths[strings.ToLower(strings.TrimSuffix(length, "s"))]
	if _, err := sallyport.ParseWindow(meant); err == nil {
		hint = "did you mean " + meant + "? " + hint
	}
	switch n, err := strconv.ParseUint(most, 10, 64); {
	case errors.Is(err, strconv.ErrRange), err == nil && n > sallyport.MaxRate:
		hint = "write unlimited in place of the window"
	case err == nil && n == 0:
		hint = "allow at least 1, or do not list the operation"
	}
	return problem, hint
}
