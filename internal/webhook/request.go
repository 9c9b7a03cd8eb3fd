package webhook

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// Signed is what a request says of its signature, and what that is about.
type Signed struct {
	MAC MAC
	Message
}

// headerPartial is by what Envoy says that it shows a part of the body only.
const headerPartial = "x-envoy-auth-partial-body"

// Read reads the signature of req at now, and makes sure that the whole body is
// there. Anything but Allowed refuses, and nothing of Signed may be used then.
//
// It judges what anybody can know. The order is that of the cost.
func Read(w *sallyport.Webhook, req *sallyport.Request, now time.Time) (s Signed, why sallyport.Reason) {
	text, lines := req.Header(w.Header)
	switch {
	case lines == 0:
		return s, sallyport.SignatureMissing
	case lines > 1:
		return s, sallyport.SignatureMalformed
	}
	var ok bool
	if s.MAC, ok = Parse(w, text); !ok {
		return s, sallyport.SignatureMalformed
	}
	if w.Timestamp.Header != "" {
		stamp, why := readTimestamp(&w.Timestamp, req, now)
		if why != sallyport.Allowed {
			return s, why
		}
		if w.Timestamp.Signed {
			s.Stamp = stamp
		}
	}
	s.Body = req.Body
	return s, whole(w, req)
}

func readTimestamp(t *sallyport.WebhookTimestamp, req *sallyport.Request, now time.Time) (string, sallyport.Reason) {
	stamp, lines := req.Header(t.Header)
	stamp = strings.Trim(stamp, " \t")
	switch at, ok := ParseTime(stamp); {
	case lines == 0:
		return "", sallyport.SignatureMissing
	case lines > 1, !ok:
		return "", sallyport.SignatureMalformed
	case at.Before(now.Add(-t.Tolerance)), at.After(now.Add(t.Tolerance)):
		return "", sallyport.SignatureExpired
	}
	return stamp, sallyport.Allowed
}

// maxDigits of a timestamp reach to the year 33658.
const maxDigits = 12

// ParseTime reads a timestamp: Unix seconds in decimal digits.
func ParseTime(text string) (time.Time, bool) {
	if text == "" || len(text) > maxDigits {
		return time.Time{}, false
	}
	seconds := int64(0)
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return time.Time{}, false
		}
		seconds = 10*seconds + int64(text[i]-'0')
	}
	return time.Unix(seconds, 0), true
}

// whole says whether req.Body is all of the body, and no longer than w allows.
//
// A proxy that is not told to show bodies leaves them out without a word, also
// those of which no length is known. So nothing counts as an empty body only
// where the request says by its length that it is one: else a signature over
// nothing would be good for any body.
func whole(w *sallyport.Webhook, req *sallyport.Request) sallyport.Reason {
	length, said := declared(req)
	length = max(length, req.Size)
	switch shown := int64(len(req.Body)); {
	case shown > w.MaxBody, length > w.MaxBody, cut(req):
		return sallyport.BodyTooLarge
	case shown == 0 && (!said || length > 0):
		return sallyport.BodyUnsent
	case shown < length:
		return sallyport.BodyTooLarge
	}
	return sallyport.Allowed
}

// declared is the length that req says its body has, and whether it says one.
// What cannot be read is longer than anything: no proxy should let it pass.
func declared(req *sallyport.Request) (length int64, said bool) {
	value, lines := req.Header("content-length")
	if lines == 0 {
		return 0, false
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if lines > 1 || err != nil {
		return math.MaxInt64, true
	}
	return int64(n), true
}

// cut reports whether the proxy says that it shows a part of the body.
func cut(req *sallyport.Request) bool {
	for i := range req.Headers {
		if req.Headers[i].Name == headerPartial && req.Headers[i].Value != "false" {
			return true
		}
	}
	return false
}
