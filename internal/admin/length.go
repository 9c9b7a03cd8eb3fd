package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

const (
	day       = 24 * time.Hour
	maxLength = 100 * 365 * day

	maxRate    = 1 << 53 // what JSON can carry
	maxBurst   = 1000    // percent
	maxWindows = 8       // of one limit
)

// units are those in which lengths are written. Windows are printed in the
// largest of the printed ones that fits.
var units = []struct {
	name    string
	length  time.Duration
	printed bool
}{
	{"y", 365 * day, false},
	{"w", 7 * day, false},
	{"d", day, true},
	{"h", time.Hour, true},
	{"m", time.Minute, true},
	{"s", time.Second, true},
}

// parseLength reads a whole number and a unit, such as 90d.
func parseLength(s string) (time.Duration, bool) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n <= 0 || n > int64(maxLength/u.length) {
			return 0, false
		}
		return time.Duration(n) * u.length, true
	}
	return 0, false
}

func formatLength(d time.Duration) string {
	for _, u := range units {
		if u.printed && d >= u.length && d%u.length == 0 {
			return strconv.FormatInt(int64(d/u.length), 10) + u.name
		}
	}
	return d.String()
}

const windowForm = `a window is MAX/LENGTH, such as 60/1m or 1000/1h, or with a burst 60/1m+15%`

// parseWindow reads what FormatWindow writes.
func parseWindow(s string) (w sallyport.Window, err error) {
	most, rest, _ := strings.Cut(s, "/")
	length, burst, bursts := strings.Cut(rest, "+")
	var ok bool
	if w.Length, ok = parseLength(length); !ok || w.Length/time.Second > math.MaxUint32 {
		return w, fmt.Errorf("%s cannot be read: %s", quote(s), windowForm)
	}
	if w.Max, err = strconv.ParseUint(most, 10, 64); err != nil || w.Max == 0 || w.Max > maxRate || most[0] == '+' {
		return w, fmt.Errorf("%s allows no number from 1 to %d: %s", quote(s), uint64(maxRate), windowForm)
	}
	if bursts {
		digits, ok := strings.CutSuffix(burst, "%")
		percent, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || percent == 0 || percent > maxBurst {
			return w, fmt.Errorf("%s has a burst that is not 1%% to %d%%: %s", quote(s), maxBurst, windowForm)
		}
		w.Burst = uint32(percent)
	}
	return w, nil
}

// FormatWindow writes a window as operators do, such as 60/1m or 60/1m+15%.
func FormatWindow(w sallyport.Window) string {
	s := strconv.FormatUint(w.Max, 10) + "/" + formatLength(w.Length)
	if w.Burst > 0 {
		s += "+" + strconv.FormatUint(uint64(w.Burst), 10) + "%"
	}
	return s
}

const (
	never    = "never"
	onDate   = "date" // the choice among a form's expiries that allows any time
	expForm  = "write a length from now such as 90d or 1y, a date such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z"
	dateForm = "2006-01-02"
)

// expiry is an end as it was asked for. The zero value is never.
type expiry struct {
	at     time.Time
	length time.Duration // from now; 0 where a date or time was named
}

// parseExpiry reads an end: a length from now, a date (its first moment in
// UTC), a time, or never.
func parseExpiry(s string, now time.Time) (e expiry, err error) {
	if s == "" || s == never {
		return e, nil
	}
	if length, ok := parseLength(s); ok {
		return expiry{now.Add(length), length}, nil
	}
	if e.at, err = time.Parse(dateForm, s); err != nil {
		if e.at, err = time.Parse(time.RFC3339, s); err != nil {
			return e, fmt.Errorf("cannot be read: %s", expForm)
		}
	}
	e.at = e.at.UTC().Truncate(time.Second)
	switch {
	case !e.at.After(now):
		return e, fmt.Errorf("is in the past: %s", expForm)
	case e.at.After(now.Add(maxLength)):
		return e, fmt.Errorf("is too far away; write %s for no end", never)
	}
	return e, nil
}
