package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

const (
	day       = 24 * time.Hour
	maxLength = 100 * 365 * day // from now to the furthest end that can be asked for
)

// formatLength writes d as the lengths of windows are written, such as 90d.
func formatLength(d time.Duration) string {
	_, length, _ := strings.Cut(sallyport.Window{Max: 1, Length: d}.String(), "/")
	return length
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
	if length, err := sallyport.ParseLength(s); err == nil {
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
