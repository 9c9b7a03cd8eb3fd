package oauth

import (
	"testing"
	"time"
)

func TestLengthsOfTimeInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * 24 * time.Hour: "30 days", 25 * time.Hour: "2 days", 24 * time.Hour: "1 day", 23 * time.Hour: "23 hours", 90 * time.Minute: "2 hours",
		time.Hour: "1 hour", 59*time.Minute + time.Second: "60 minutes", time.Minute: "1 minute", time.Second: "1 minute",
	} {
		if got := inWords(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
