package ratelimit

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/sallyport/sallyport"
)

// Counters keep what was taken.
//
// Take takes hits from every window of every charge of call, all or none, and
// says what is left; hits of 0 only look. A call whose SID was charged a moment
// ago is a proxy's retry: it is answered like a peek and charged no second
// time. An error means that the counters could not be asked, and that nothing
// is known to have been taken. Safe for concurrent use.
type Counters interface {
	Take(ctx context.Context, call Call) (sallyport.Verdict, error)
}

// Call is one request to the counters.
type Call struct {
	Now     time.Time
	SID     string // Envoy's id of the stream, the same for its retries; "" where unknown
	Subject *sallyport.Subject
	Charges []sallyport.Charge
	Hits    uint64
}

// appendKey appends the name of the counter that limit has for s. Every part
// carries its length, so no two subjects share a counter by accident.
func appendKey(dst []byte, limit *sallyport.Limit, s *sallyport.Subject) []byte {
	dst = appendPart(dst, s.API)
	dst = appendPart(dst, limit.Name)
	for _, per := range limit.Per {
		dst = appendPart(dst, s.Value(per))
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// Limiter lends Counters to a caller that has no use for this room's types.
type Limiter struct{ Counters }

// Take takes hits for s from every window of charges, or from none.
func (l Limiter) Take(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error) {
	return l.Counters.Take(ctx, Call{Now: now, SID: sid, Subject: s, Charges: charges, Hits: hits})
}
