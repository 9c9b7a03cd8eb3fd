package ratelimit

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/sallyport/sallyport"
)

// Counters keep what was taken. An error of any method means that the counters
// could not be asked, and that nothing is known to have changed. Safe for
// concurrent use.
type Counters interface {
	// Take takes call.Hits from every window of every charge of call, all or
	// none, and says what is left; hits of 0 only look. A call whose SID was
	// charged a moment ago is a proxy's retry: it is answered like a peek and
	// charged no second time. Charges of limits in shadow are taken as far as
	// they go, and refuse nothing.
	Take(ctx context.Context, call Call) (sallyport.Verdict, error)

	// Force takes call.Hits from every window of call whether they fit or not:
	// what has happened already is charged afterwards.
	Force(ctx context.Context, call Call) error

	// Refund gives call.Hits back to every window of call that has them; none
	// has less than nothing used.
	Refund(ctx context.Context, call Call) error

	// Reset makes every counter of call begin anew.
	Reset(ctx context.Context, call Call) error

	// Look says how every window of every charge of call stands, in order.
	Look(ctx context.Context, call Call) ([]Standing, error)

	// Count counts each tally by itself, whether it fits or not, and fills in
	// what came of it: the semantics of envoyproxy/ratelimit.
	Count(ctx context.Context, now time.Time, tallies []Tally) error
}

// Call is one request to the counters.
type Call struct {
	Now     time.Time
	SID     string // Envoy's id of the stream, the same for its retries; "" where unknown
	Subject *sallyport.Subject
	Charges []sallyport.Charge
	Hits    uint64
	Dry     bool // of Take: say what would come of it, and take nothing
}

// Standing is one window of a counter as it stands.
type Standing struct {
	Limit     *sallyport.Limit
	Window    sallyport.Window
	Used      uint64
	Remaining uint64
	Reset     time.Time // when it is as good as unused, if nobody spends; now where it is already
}

// Tally is hits on one fixed window under a name of the caller's making.
type Tally struct {
	Key    []byte // names the counter; the caller sees to it that no two are alike by accident
	Window sallyport.Window
	Hits   uint64 // 0 only looks
	Back   bool   // gives the hits back, as far as there are any

	Used  uint64    // out: after the count
	Reset time.Time // out: when the window ends
	At    time.Time // out: when that was, by the clock of the counters; zero where they could not be asked
}

// AppendKey appends the name of the counter that limit has for s. Every part
// carries its length, so no two subjects share a counter by accident. Principals
// are named by their tenants, and are counted within them.
func AppendKey(dst []byte, limit *sallyport.Limit, s *sallyport.Subject) []byte {
	dst = appendPart(dst, s.API)
	dst = appendPart(dst, limit.Name)
	for _, per := range limit.Per {
		if per == sallyport.PrincipalKey {
			dst = appendPart(dst, s.Tenant)
		}
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

// Foresee says what Take would, and takes nothing.
func (l Limiter) Foresee(ctx context.Context, now time.Time, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error) {
	return l.Counters.Take(ctx, Call{Now: now, Subject: s, Charges: charges, Hits: hits, Dry: true})
}
