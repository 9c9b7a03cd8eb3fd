package ratelimit

import (
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/wire"
)

// code is RateLimitResponse.Code.
type code uint8

const (
	codeOK   code = 1
	codeOver code = 2
)

// reply is what goes back to Envoy about one request, an
// envoy.service.ratelimit.v3.RateLimitResponse. Text is written clean, see
// package wire.
type reply struct {
	code     code
	statuses []status           // one for each descriptor, in order
	headers  []sallyport.Header // to the client
	body     string             // of a refusal
	words    []sallyport.Header // dynamic metadata: strings
	metadata []byte             // dynamic metadata too: an encoded Struct
}

// status is what came of one descriptor.
type status struct {
	code      code
	limited   bool // limit says by what
	limit     allowance
	remaining uint32
	resets    bool // in so long as until says
	until     time.Duration
}

// allowance is RateLimitResponse.RateLimit: what Envoy's own headers tell.
type allowance struct {
	name       string
	requests   uint32
	unit       unit
	multiplier uint32 // how many units; 0 is written as none
}

// unit is RateLimitResponse.RateLimit.Unit.
type unit uint8

const (
	unitUnknown unit = iota
	unitSecond
	unitMinute
	unitHour
	unitDay
	unitMonth
	unitYear
	unitWeek
)

// reset empties r and keeps its memory, but nothing of what stood in it.
func (r *reply) reset() {
	clear(r.statuses)
	clear(r.headers)
	clear(r.words)
	*r = reply{statuses: r.statuses[:0], headers: r.headers[:0], words: r.words[:0]}
}

// Field numbers of RateLimitResponse and of the messages in it.
const (
	fieldOverallCode, fieldStatuses, fieldHeaders, fieldRawBody, fieldMetadata = 1, 2, 3, 5, 6

	fieldCode, fieldCurrentLimit, fieldRemaining, fieldUntilReset = 1, 2, 3, 4 // DescriptorStatus
	fieldRequests, fieldUnit, fieldName, fieldMultiplier          = 1, 2, 3, 4 // RateLimit
	fieldSeconds, fieldNanos                                      = 1, 2       // google.protobuf.Duration
	fieldWrapped                                                  = 1          // google.protobuf.UInt32Value
)

// append adds r as a RateLimitResponse to dst.
func (r *reply) append(dst []byte) []byte {
	var at int
	dst = wire.AppendNumber(dst, fieldOverallCode, uint64(r.code))
	for i := range r.statuses {
		dst, at = wire.Open(dst, fieldStatuses)
		dst = wire.Close(r.statuses[i].append(dst), at)
	}
	for i := range r.headers {
		dst, at = wire.Open(dst, fieldHeaders)
		dst = wire.Close(wire.AppendHeader(dst, &r.headers[i]), at)
	}
	if r.body != "" {
		dst, at = wire.Open(dst, fieldRawBody)
		dst = wire.Close(append(dst, r.body...), at)
	}
	if len(r.metadata)+len(r.words) == 0 {
		return dst
	}
	dst, at = wire.Open(dst, fieldMetadata)
	dst = append(dst, r.metadata...)
	for i := range r.words {
		dst = wire.AppendString(dst, r.words[i].Name, r.words[i].Value)
	}
	return wire.Close(dst, at)
}

func (s *status) append(dst []byte) []byte {
	var at int
	dst = wire.AppendNumber(dst, fieldCode, uint64(s.code))
	if s.limited {
		dst, at = wire.Open(dst, fieldCurrentLimit)
		dst = wire.Close(s.limit.append(dst), at)
	}
	dst = wire.AppendNumber(dst, fieldRemaining, uint64(s.remaining))
	if s.resets {
		dst, at = wire.Open(dst, fieldUntilReset)
		dst = wire.Close(appendDuration(dst, s.until), at)
	}
	return dst
}

func (l *allowance) append(dst []byte) []byte {
	dst = wire.AppendNumber(dst, fieldRequests, uint64(l.requests))
	dst = wire.AppendNumber(dst, fieldUnit, uint64(l.unit))
	if l.name != "" {
		dst = wire.AppendText(dst, fieldName, l.name)
	}
	if l.multiplier > 0 {
		var at int
		dst, at = wire.Open(dst, fieldMultiplier)
		dst = wire.Close(wire.AppendNumber(dst, fieldWrapped, uint64(l.multiplier)), at)
	}
	return dst
}

// appendDuration adds the fields of a google.protobuf.Duration. Both have d's
// sign, and negative numbers are written as 64 bits of two's complement.
func appendDuration(dst []byte, d time.Duration) []byte {
	dst = wire.AppendNumber(dst, fieldSeconds, uint64(int64(d/time.Second)))
	return wire.AppendNumber(dst, fieldNanos, uint64(int64(d%time.Second)))
}
