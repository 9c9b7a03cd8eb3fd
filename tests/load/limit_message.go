package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// subjectMark stands in the encoded message for who is counted, and has the
// length of what replaces it: as many digits after its first letter.
const subjectMark = "s99999"

// mostSubjects is how many differ in the digits of subjectMark.
const mostSubjects = 100_000

// limitAsk is a kind of RateLimitRequest.
type limitAsk struct {
	request  *rlsv3.RateLimitRequest
	subjects int // how many subjects ask in turn
	counted  int // the first so many descriptors must come back with their limit; 0: none
}

// asked makes the exchanges of a.
func (a limitAsk) asked() func(seed uint64) (exchange, error) {
	return func(seed uint64) (exchange, error) { return newLimitStencil(a, seed) }
}

// ofEmpty is a, asked of a server that says OK and nothing else.
func (a limitAsk) ofEmpty() limitAsk {
	a.counted = 0
	return a
}

// limitStencil is one encoded RateLimitRequest with a gRPC length prefix, and
// where in it the fields stand that are patched for each request. It belongs to
// one connection.
type limitStencil struct {
	stencil
	subjects []int // offsets of all that say who is counted
	ask      limitAsk
	person   int
}

func newLimitStencil(a limitAsk, seed uint64) (*limitStencil, error) {
	if a.subjects < 1 || a.subjects > mostSubjects {
		return nil, fmt.Errorf("%d subjects: want 1 to %d", a.subjects, mostSubjects)
	}
	message, err := proto.Marshal(a.request)
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	t := &limitStencil{ask: a}
	t.bytes = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	t.ids = rand.NewPCG(rand.Uint64(), seed)
	t.person = rand.IntN(a.subjects) // so that connections do not walk in step
	t.sid = bytes.Index(t.bytes, []byte(sidMark))
	t.requestID = bytes.Index(t.bytes, []byte(requestIDMark))
	for from := 0; ; {
		at := bytes.Index(t.bytes[from:], []byte(subjectMark))
		if at < 0 {
			return t, nil
		}
		t.subjects = append(t.subjects, from+at+1)
		from += at + len(subjectMark)
	}
}

func (*limitStencil) path() string {
	return "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
}

// next returns the next request. It is valid until the following call.
func (t *limitStencil) next() []byte {
	if t.sid >= 0 {
		t.putUUID(t.sid)
	}
	if t.requestID >= 0 {
		t.putUUID(t.requestID)
	}
	if t.person++; t.person >= t.ask.subjects {
		t.person = 0
	}
	for _, at := range t.subjects {
		n := t.person
		for i := len(subjectMark) - 2; i >= 0; i-- {
			t.bytes[at+i] = byte('0' + n%10)
			n /= 10
		}
	}
	return t.bytes
}

func (*limitStencil) quick(message []byte) error {
	code, err := overallCode(message)
	if err == nil && code != rlsv3.RateLimitResponse_OK {
		err = errNotOK
	}
	return err
}

func (t *limitStencil) full(message []byte) error { return fullLimitCheck(message, t.ask.counted) }

var errNoCode = errors.New("the answer does not say whether it is over the limit")

// overallCode reads what a RateLimitResponse says on the whole. It walks the top
// level only and allocates nothing.
func overallCode(message []byte) (code rlsv3.RateLimitResponse_Code, err error) {
	const fieldOverallCode = 1
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return 0, errNoCode
		}
		message = message[n:]
		if number == fieldOverallCode && kind == protowire.VarintType {
			value, m := protowire.ConsumeVarint(message)
			if m < 0 {
				return 0, errNoCode
			}
			code, message = rlsv3.RateLimitResponse_Code(value), message[m:]
			continue
		}
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return 0, errNoCode
		}
		message = message[n:]
	}
	if code == rlsv3.RateLimitResponse_UNKNOWN {
		return 0, errNoCode
	}
	return code, nil
}

// fullLimitCheck decodes message with the generated types. The first counted
// descriptors must tell their limit.
func fullLimitCheck(message []byte, counted int) error {
	var r rlsv3.RateLimitResponse
	if err := proto.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	if r.GetOverallCode() != rlsv3.RateLimitResponse_OK {
		return errNotOK
	}
	if len(r.GetStatuses()) < counted {
		return fmt.Errorf("the answer tells of %d descriptors, want %d or more", len(r.GetStatuses()), counted)
	}
	for i, s := range r.GetStatuses()[:counted] {
		if s.GetCode() != rlsv3.RateLimitResponse_OK || s.GetCurrentLimit().GetRequestsPerUnit() == 0 {
			return fmt.Errorf("descriptor %d of the answer has no limit that it was counted against", i)
		}
	}
	return nil
}

// pairedAsk is what Envoy 1.40 sends under a generated configuration of the
// paired chain: who calls in the words of Check, and the carrier. hits_addend is
// not sent: a request counts as its operation does.
func pairedAsk() limitAsk {
	return limitAsk{subjects: 1000, counted: 1, request: &rlsv3.RateLimitRequest{
		Domain: "sallyport",
		Descriptors: []*ratelimitv3.RateLimitDescriptor{
			descriptor("api", "orders", "tenant", "t1", "credential", "key_01jd8q2m7v"+subjectMark, "plan", "big",
				"operation", "GET /v1/orders/{id}", "limits", "requests=10000000/60s,1000000000/3600s"),
			descriptor("sallyport_sid", sidMark, "sallyport_request_id", requestIDMark),
		},
	}}
}

// ruleAsk asks by the last descriptors of the rules of a domain.
func ruleAsk(rules, descriptors int) limitAsk {
	a := limitAsk{subjects: 100, counted: descriptors, request: &rlsv3.RateLimitRequest{Domain: ruleDomain(rules)}}
	for i := range descriptors {
		a.request.Descriptors = append(a.request.Descriptors, descriptor("route", routeName(rules-1-i), "subject", subjectMark))
	}
	return a
}

// onceAsk asks by a rule that allows one request an hour.
func onceAsk(rules int) limitAsk {
	return limitAsk{subjects: 1, request: &rlsv3.RateLimitRequest{
		Domain: ruleDomain(rules), Descriptors: []*ratelimitv3.RateLimitDescriptor{descriptor("once", "only")},
	}}
}

// descriptor makes one of keys and values in turn.
func descriptor(words ...string) *ratelimitv3.RateLimitDescriptor {
	d := new(ratelimitv3.RateLimitDescriptor)
	for i := 0; i+1 < len(words); i += 2 {
		d.Entries = append(d.Entries, &ratelimitv3.RateLimitDescriptor_Entry{Key: words[i], Value: words[i+1]})
	}
	return d
}
