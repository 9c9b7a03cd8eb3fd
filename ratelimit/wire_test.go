package ratelimit

import (
	"context"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// paired is what Envoy asks in the paired chain.
func paired() *rlsv3.RateLimitRequest {
	return &rlsv3.RateLimitRequest{Domain: sallyport.Domain, Descriptors: []*ratelimitv3.RateLimitDescriptor{
		of("api", "orders", "tenant", "acme", "credential", "key_1", "plan", "big", "operation", "GET /v1/orders", "limits", "requests=60/60s,1000/3600s"),
		of(sallyport.CarrierRequestID, "7f0c", sallyport.CarrierSID, "9a1e"),
	}}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	msg, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// naiveQuestion is what decode is to read, by way of the generated types.
func naiveQuestion(req *rlsv3.RateLimitRequest) (q question) {
	q.domain, q.hits = req.GetDomain(), req.GetHitsAddend()
	for _, from := range req.GetDescriptors() {
		d := descriptor{first: len(q.entries), back: from.GetIsNegativeHits(), told: from.HitsAddend != nil, hits: from.GetHitsAddend().GetValue()}
		for _, e := range from.GetEntries() {
			q.entries = append(q.entries, directory.Entry{Key: e.GetKey(), Value: e.GetValue()})
		}
		if o := from.Limit; o != nil {
			d.overridden = true
			d.override = override{requests: o.RequestsPerUnit, unit: int32(o.Unit), told: o.UnitMultiplier != nil, multiplier: uint64(o.GetUnitMultiplier().GetValue())}
		}
		d.end = len(q.entries)
		q.descriptors = append(q.descriptors, d)
	}
	return q
}

// checkDecode holds the law: decode errs where proto.Unmarshal errs, or where
// there is more than may be, and else reads what the generated message holds.
func checkDecode(t *testing.T, msg []byte) {
	t.Helper()
	var req rlsv3.RateLimitRequest
	want := proto.Unmarshal(msg, &req)
	var got question
	got.domain, got.entries = "left over", []directory.Entry{{Key: "left over"}}
	given := slices.Clone(msg)
	err := got.decode(msg)
	many := len(req.Descriptors) > mostDescriptors || slices.ContainsFunc(req.Descriptors, func(d *ratelimitv3.RateLimitDescriptor) bool { return len(d.Entries) > mostEntries })
	if (err != nil) != (want != nil || many) {
		t.Fatalf("%x: got %v, want %v", msg, err, want)
	}
	if err != nil {
		return
	}
	if !slices.Equal(msg, given) {
		t.Fatal("decode wrote into the message")
	}
	clear(msg) // it is grpc's to use again
	naive := naiveQuestion(&req)
	for i := range got.descriptors { // 32 bits of it count
		got.descriptors[i].override.multiplier = uint64(uint32(got.descriptors[i].override.multiplier))
	}
	got.text = ""
	if got.domain != naive.domain || got.hits != naive.hits || !slices.Equal(got.descriptors, naive.descriptors) || !slices.Equal(got.entries, naive.entries) {
		t.Errorf("%x:\ngot  %+v\nwant %+v", given, got, naive)
	}
}

// strange are messages that protobuf has an opinion on.
func strange(t testing.TB) (all [][]byte) {
	whole := marshal(t, paired())
	rich := marshal(t, to(7, hits(math.MaxUint64, back(of("a", "x"))), overridden(5, typev3.RateLimitUnit_YEAR, 3, hits(0, of()))))
	half := marshal(t, &ratelimitv3.RateLimitDescriptor{Limit: &ratelimitv3.RateLimitDescriptor_RateLimitOverride{UnitMultiplier: wrapperspb.UInt32(2)}})
	all = [][]byte{
		nil, whole, rich, whole[:len(whole)/2], append(slices.Clone(whole), rich...),
		{0x0a, 1, 0xff},                      // a domain that is not UTF-8
		{0x12, 5, 0x0a, 3, 0x0a, 1, 0xff},    // a key that is not
		{0x12, 5, 0x0a, 3, 0x12, 1, 0xff},    // a value that is not
		{0x22, 1, 0xff},                      // an unknown field may be anything
		{0x08, 1},                            // a domain that is a number is unknown too
		{0x1a, 0},                            // as are hits that are bytes
		{0x1b, 0x08, 1, 0x1c},                // or a group
		{0x1b, 0x08, 1},                      // a group without an end
		{0x1c},                               // an end without a group
		{0x00, 0},                            // field 0
		{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f}, // longer than the message
		{0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, // 64 bits of hits
		{0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2}, // and one more
		{0x12, 2, 0x20, 2}, // a truth of 2
		append([]byte{0x12, byte(2 * len(half))}, append(slices.Clone(half), half...)...), // a limit in two parts
		{0x12, 6, 0x12, 2, 0x1a, 0, 0x12, 0},                                              // a multiplier without a number
	}
	many := &rlsv3.RateLimitRequest{}
	for range mostDescriptors {
		many.Descriptors = append(many.Descriptors, of())
	}
	all = append(all, marshal(t, many))
	many.Descriptors = append(many.Descriptors, of())
	all = append(all, marshal(t, many), marshal(t, to(0, of(make([]string, 2*mostEntries)...))), marshal(t, to(0, of(make([]string, 2*mostEntries+2)...))))
	return all
}

func TestAQuestionIsReadAsProtobufReadsIt(t *testing.T) {
	for _, msg := range strange(t) {
		checkDecode(t, slices.Clone(msg))
	}
}

func FuzzDecodeRateLimit(f *testing.F) {
	for _, msg := range strange(f) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) { checkDecode(t, slices.Clone(msg)) })
}

// naiveResponse is what a reply is to be on the wire.
func naiveResponse(r *reply) *rlsv3.RateLimitResponse {
	clean := func(s string) string {
		var b strings.Builder
		for len(s) > 0 {
			r, n := utf8.DecodeRuneInString(s)
			if s = s[n:]; r == utf8.RuneError && n == 1 {
				r = '?'
			}
			b.WriteRune(r)
		}
		return b.String()
	}
	resp := &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_Code(r.code), RawBody: []byte(r.body)}
	for _, s := range r.statuses {
		to := &rlsv3.RateLimitResponse_DescriptorStatus{Code: rlsv3.RateLimitResponse_Code(s.code), LimitRemaining: s.remaining}
		if s.limited {
			to.CurrentLimit = &rlsv3.RateLimitResponse_RateLimit{Name: clean(s.limit.name), RequestsPerUnit: s.limit.requests, Unit: rlsv3.RateLimitResponse_RateLimit_Unit(s.limit.unit)}
			if s.limit.multiplier > 0 {
				to.CurrentLimit.UnitMultiplier = wrapperspb.UInt32(s.limit.multiplier)
			}
		}
		if s.resets {
			to.DurationUntilReset = durationpb.New(s.until)
		}
		resp.Statuses = append(resp.Statuses, to)
	}
	for _, h := range r.headers {
		resp.ResponseHeadersToAdd = append(resp.ResponseHeadersToAdd, &corev3.HeaderValue{Key: clean(h.Name), Value: clean(h.Value)})
	}
	for _, w := range r.words {
		if resp.DynamicMetadata == nil {
			resp.DynamicMetadata = &structpb.Struct{Fields: make(map[string]*structpb.Value)}
		}
		resp.DynamicMetadata.Fields[clean(w.Name)] = structpb.NewStringValue(clean(w.Value))
	}
	return resp
}

func checkEncode(t *testing.T, r *reply) {
	t.Helper()
	var got rlsv3.RateLimitResponse
	if err := proto.Unmarshal(r.append(nil), &got); err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	if want := naiveResponse(r); !proto.Equal(&got, want) {
		t.Errorf("got  %v\nwant %v", &got, want)
	}
}

func TestAReplyIsWrittenAsProtobufWritesIt(t *testing.T) {
	limited := status{code: codeOver, limited: true, limit: allowance{"requests", 60, unitMinute, 15}, resets: true, until: 1500 * time.Millisecond, remaining: math.MaxUint32}
	for name, r := range map[string]reply{
		"nothing": {},
		"allowed": {code: codeOK, statuses: []status{{code: codeOK}, {code: codeOK}}},
		"refused": {
			code: codeOver, statuses: []status{limited, {code: codeOK}}, body: `{"error":1}`,
			headers: []sallyport.Header{{Name: "retry-after", Value: "1"}, {}},
			words:   []sallyport.Header{{Name: "rule", Value: "requests"}, {Name: "reason", Value: ""}},
		},
		"no UTF-8":      {headers: []sallyport.Header{{Name: "a\xff", Value: "\xfe"}}, words: []sallyport.Header{{Name: "\xff", Value: "\xff"}}, body: "\xff"},
		"an empty name": {statuses: []status{{limited: true, resets: true}}},
		"in the past":   {statuses: []status{{resets: true, until: -1500 * time.Millisecond}, {resets: true, until: math.MinInt64}, {resets: true, until: -1}}},
	} {
		t.Run(name, func(t *testing.T) { checkEncode(t, &r) })
	}
}

func FuzzRateLimitReply(f *testing.F) {
	f.Add(uint8(2), true, "requests", uint32(60), uint8(2), uint32(1), uint32(9), int64(-1), "retry-after", "1", "{}")
	f.Fuzz(func(t *testing.T, overall uint8, limited bool, name string, requests uint32, u uint8, multiplier, remaining uint32, until int64, header, value, body string) {
		if strings.ContainsFunc(name+header+value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return // see package wire
		}
		checkEncode(t, &reply{
			code: code(overall & 3), body: body, headers: []sallyport.Header{{Name: header, Value: value}}, words: []sallyport.Header{{Name: header, Value: value}},
			statuses: []status{{code: code(overall & 3), limited: limited, limit: allowance{name, requests, unit(u & 7), multiplier}, remaining: remaining, resets: until != 0, until: time.Duration(until)}},
		})
	})
}

func TestUnitsAreEnvoys(t *testing.T) {
	for ours, theirs := range map[unit]rlsv3.RateLimitResponse_RateLimit_Unit{
		unitUnknown: rlsv3.RateLimitResponse_RateLimit_UNKNOWN, unitSecond: rlsv3.RateLimitResponse_RateLimit_SECOND,
		unitMinute: rlsv3.RateLimitResponse_RateLimit_MINUTE, unitHour: rlsv3.RateLimitResponse_RateLimit_HOUR,
		unitDay: rlsv3.RateLimitResponse_RateLimit_DAY, unitWeek: rlsv3.RateLimitResponse_RateLimit_WEEK,
		unitMonth: rlsv3.RateLimitResponse_RateLimit_MONTH, unitYear: rlsv3.RateLimitResponse_RateLimit_YEAR,
	} {
		if int32(ours) != int32(theirs) {
			t.Errorf("%v is %d, ours %d", theirs, theirs, ours)
		}
	}
	for _, name := range typev3.RateLimitUnit_name {
		theirs := typev3.RateLimitUnit(typev3.RateLimitUnit_value[name])
		if theirs == typev3.RateLimitUnit_UNKNOWN {
			continue
		}
		rule, err := (&override{unit: int32(theirs)}).rule()
		if err != nil || !strings.EqualFold(rule.Unit.String(), name) {
			t.Errorf("%s: got %v, %v", name, rule, err)
		}
	}
	if codeOK != code(rlsv3.RateLimitResponse_OK) || codeOver != code(rlsv3.RateLimitResponse_OVER_LIMIT) {
		t.Error("codes are not Envoy's")
	}
}

// TestAMalformedMessageIsTheCallersFault: and nothing is counted.
func TestAMalformedMessageIsTheCallersFault(t *testing.T) {
	f := newForeign(t, nil, "domain: shop\n")
	for _, msg := range [][]byte{{0x0a, 0xff}, {0x0a, 1, 0xff}, {0x12, 5, 0x0a, 3, 0x0a, 1, 0xff}} {
		f.why = nil
		resp, err := f.server.ask(context.Background(), msg)
		if resp != nil || grpcstatus.Code(err) != codes.InvalidArgument || !slices.Equal(f.why, []sallyport.Reason{sallyport.RequestMalformed}) {
			t.Errorf("%x: got %v, %v, told %v", msg, resp, err, f.why)
		}
	}
}

// TestTooMuchIsRefused: and takes nothing; nor does what nobody waits for.
func TestTooMuchIsRefused(t *testing.T) {
	s := serveOrders(t)
	told := new(foreign)
	s.recorder = told
	over := true
	s.RefuseWhile(func() bool { return over })
	if _, err := s.ShouldRateLimit(t.Context(), paired()); grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := handleShouldRateLimit(s, ctx, nil, nil); grpcstatus.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(told.why, []sallyport.Reason{sallyport.Overloaded, sallyport.Overloaded}) {
		t.Errorf("the recorder was told %v", told.why)
	}
	over = false
	resp, err := s.ShouldRateLimit(t.Context(), paired())
	if err != nil || resp.Statuses[0].LimitRemaining != 59 {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestAReleasedCallHoldsNothing(t *testing.T) {
	s := serveOrders(t)
	c := newCall()
	c.Read(marshal(t, paired()))
	if err := s.limit(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	c.Append(nil)
	c.Release()
	if c.question.text != "" || c.question.domain != "" || c.demand.subject != (sallyport.Subject{}) || c.demand.sid != "" || c.reply.code != 0 || c.demand.api != nil {
		t.Error("a released call is not empty")
	}
	for _, e := range c.question.entries[:cap(c.question.entries)] {
		if e != (directory.Entry{}) {
			t.Errorf("an entry of the last request is still there: %v", e.Key)
		}
	}
	for _, h := range c.reply.headers[:cap(c.reply.headers)] {
		if h != (sallyport.Header{}) {
			t.Errorf("a header of the last answer is still there: %v", h.Name)
		}
	}
	if got := c.String(); got != "rate limit" || reflect.TypeOf(c).Kind() != reflect.Pointer {
		t.Errorf("got %q", got)
	}
}

// serveOrders serves an API with a limit that is never reached.
func serveOrders(t testing.TB) *Server {
	t.Helper()
	orders := &sallyport.API{
		Name: "orders", Limits: []*sallyport.Limit{{Name: "requests", Per: []string{"credential"}}},
		Headers: sallyport.QuotaHeaders{Limit: "X-RateLimit-Limit", Remaining: "X-RateLimit-Remaining", Reset: "X-RateLimit-Reset"},
	}
	s := NewServer(NewMemory(), func() time.Time { return epoch }, silent{})
	commit, err := s.Prepare(&sallyport.Policy{APIs: []*sallyport.API{orders}})
	if err != nil {
		t.Fatal(err)
	}
	commit()
	return s
}

type silent struct{}

func (silent) Limited(sallyport.Reason)    {}
func (silent) Counted(Counted)             {}
func (silent) Refused(*sallyport.Decision) {}

// rounds are calls from bytes to bytes, of our own domain and of another.
func rounds(t testing.TB) map[string]func() {
	t.Helper()
	own := serveOrders(t)
	own.now = func() time.Time { return epoch }
	wide := paired()
	wide.Descriptors[0].Entries[5].Value = "requests=1000000000/60s,1000000000/3600s"
	wide.Descriptors[1].Entries = wide.Descriptors[1].Entries[:1]
	other := newForeign(t, nil, "domain: shop\ndescriptors:\n- {key: a, rate_limit: {unit: hour, requests_per_unit: 4000000000}}\n")
	other.server.recorder = silent{}
	var dst []byte
	round := func(s *Server, req proto.Message) func() {
		msg := marshal(t, req)
		return func() {
			c := newCall()
			c.Read(msg)
			if err := s.limit(context.Background(), c); err != nil || c.reply.code != codeOK {
				t.Fatal(c.reply.code, err)
			}
			dst = c.Append(dst[:0])
			c.Release()
		}
	}
	return map[string]func(){"own": round(own, wide), "other": round(other.server, to(0, of("a", "x")))}
}

// TestACallCostsOneAllocation: the copy of its message.
func TestACallCostsOneAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector drops what a pool holds")
	}
	for name, round := range rounds(t) {
		round()
		if got := testing.AllocsPerRun(200, round); got > 1 {
			t.Errorf("%s: %v allocations, want 1", name, got)
		}
	}
}

// BenchmarkDecideRateLimit is a call without gRPC.
func BenchmarkDecideRateLimit(b *testing.B) {
	for name, round := range rounds(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				round()
			}
		})
	}
}
