package ratelimit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/render"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// Server is Envoy's RateLimitService over Counters. Safe for concurrent use; a
// policy may be put in force while it serves.
type Server struct {
	rlsv3.UnimplementedRateLimitServiceServer

	counters Counters
	now      func() time.Time
	recorder Recorder
	rules    atomic.Pointer[rules]

	directories atomic.Pointer[Directories]
}

// rules is a policy as this room needs it.
type rules struct {
	apis map[string]*apiRules
}

type apiRules struct {
	*sallyport.API
	answers    *render.Answers
	operations map[string]*sallyport.Operation
	limits     map[string]*sallyport.Limit
}

// Recorder is told the outcome of every call, and of a refusal whose it was. It
// must not keep a Decision that it is told, and must not block.
type Recorder interface {
	Limited(why sallyport.Reason)
	Counted(c Counted)
	Refused(d *sallyport.Decision)
}

// Counted is what came of one descriptor of a domain that is not ours, and of a
// limit in shadow that would have refused.
type Counted struct {
	Rule   string // the rule's name among metrics: there are as many as rules
	Detail string // a name that tells more, of which there may be as many as clients; "" for none
	Hits   uint64
	Over   bool
	Shadow bool // it refuses nobody
}

// NewServer returns a server that knows no API until a policy is put in force.
func NewServer(counters Counters, now func() time.Time, recorder Recorder) *Server {
	s := &Server{counters: counters, now: now, recorder: recorder}
	s.rules.Store(&rules{})
	return s
}

// Prepare compiles p; commit then puts it in force.
func (s *Server) Prepare(p *sallyport.Policy) (commit func(), err error) {
	r := &rules{apis: make(map[string]*apiRules)}
	for _, api := range p.APIs {
		answers, err := render.NewAnswers(api)
		if err != nil {
			return nil, err
		}
		a := &apiRules{API: api, answers: answers, operations: make(map[string]*sallyport.Operation), limits: make(map[string]*sallyport.Limit)}
		for _, op := range api.Operations {
			a.operations[op.Name] = op
		}
		for _, l := range api.Limits {
			a.limits[l.Name] = l
		}
		r.apis[api.Name] = a
	}
	return func() { s.rules.Store(r) }, nil
}

// demand is a RateLimitRequest understood.
type demand struct {
	api       *apiRules
	subject   sallyport.Subject
	charges   []sallyport.Charge
	hits      uint64
	requestID string
	sid       string
	foreign   bool // the domain is not ours
}

// ShouldRateLimit takes what the request's descriptor names, and says what is
// left in the API's own headers, or refuses in its own shape. A malformed
// request is InvalidArgument. Counters that cannot be asked are Unavailable,
// which Envoy's filter turns into the API's 503, or are passed over where the
// API says so.
func (s *Server) ShouldRateLimit(ctx context.Context, req *rlsv3.RateLimitRequest) (_ *rlsv3.RateLimitResponse, err error) {
	now := s.now()
	var d demand
	defer func() {
		if p := recover(); p != nil {
			slog.Error("rate limit: panic", "panic", p)
			s.record(&d, sallyport.Panicked, now)
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	d, err = s.rules.Load().understand(req)
	if err != nil {
		s.record(&d, sallyport.RequestMalformed, now)
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if d.foreign {
		return s.limitDescriptors(ctx, req, now)
	}
	if len(d.charges) == 0 {
		return allow(req), nil
	}
	verdict, err := s.counters.Take(ctx, Call{Now: now, SID: d.sid, Subject: &d.subject, Charges: d.charges, Hits: d.hits})
	switch {
	case err != nil && d.api.OnFailure.QuotaOpen && !sallyport.RefusesAnyway(err):
		s.record(&d, sallyport.CountersFailed, now)
		return allow(req), nil
	case err != nil:
		s.record(&d, sallyport.CountersFailed, now)
		return nil, status.Error(codes.Unavailable, "counters failed")
	case !verdict.Allowed:
		s.record(&d, sallyport.QuotaExhausted, now)
		return d.refuse(req, &verdict, now), nil
	}
	if verdict.Shadow != "" {
		s.recorder.Counted(Counted{Rule: d.subject.API + "." + verdict.Shadow, Hits: d.hits, Over: true, Shadow: true})
	}
	s.record(&d, sallyport.Allowed, now)
	return d.grant(req, &verdict, now), nil
}

// record says what came of d. Only a refusal is worth the memory of telling more
// than why.
func (s *Server) record(d *demand, why sallyport.Reason, now time.Time) {
	s.recorder.Limited(why)
	if !why.Refuses() {
		return
	}
	refused := &sallyport.Decision{At: now, Reason: why, Chain: sallyport.Paired, Subject: d.subject, RequestID: d.requestID}
	if d.api != nil {
		refused.API = d.api.API
	}
	s.recorder.Refused(refused)
}

// allow is the answer where nothing is limited.
func allow(req *rlsv3.RateLimitRequest) *rlsv3.RateLimitResponse {
	resp := &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK}
	for range req.GetDescriptors() {
		resp.Statuses = append(resp.Statuses, &rlsv3.RateLimitResponse_DescriptorStatus{Code: rlsv3.RateLimitResponse_OK})
	}
	return resp
}

func (d *demand) grant(req *rlsv3.RateLimitRequest, v *sallyport.Verdict, now time.Time) *rlsv3.RateLimitResponse {
	resp := allow(req)
	d.tell(req, resp, v, now)
	if v.Shadow != "" {
		resp.DynamicMetadata = metadata(map[string]string{"shadow": v.Shadow})
	}
	var text render.Text
	resp.ResponseHeadersToAdd = headers(render.AppendQuota(nil, &d.api.Headers, v, now, &text))
	return resp
}

func (d *demand) refuse(req *rlsv3.RateLimitRequest, v *sallyport.Verdict, now time.Time) *rlsv3.RateLimitResponse {
	resp := allow(req)
	resp.OverallCode = rlsv3.RateLimitResponse_OVER_LIMIT
	d.tell(req, resp, v, now)
	var text render.Text
	vars := render.Vars{
		RequestID: d.requestID, API: d.subject.API, Tenant: d.subject.Tenant, Credential: d.subject.Credential,
		Principal: d.subject.Principal, Plan: d.subject.Plan, Operation: d.subject.Operation,
		Limit: v.Limit, Remaining: v.Remaining, Reset: v.Reset.Unix(), Now: now,
	}
	r := d.api.answers.Refuse(sallyport.KindRateLimited, &vars, v, now, nil, &text)
	resp.ResponseHeadersToAdd = headers(r.Headers)
	resp.RawBody = []byte(r.Body)
	resp.DynamicMetadata = metadata(map[string]string{"rule": v.Rule, "window": v.Window.String(), "reason": sallyport.QuotaExhausted.String()})
	return resp
}

// metadata is what access logs and other filters may know of the answer, under
// envoy.filters.http.ratelimit.
func metadata(words map[string]string) *structpb.Struct {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(words))}
	for key, word := range words {
		s.Fields[key] = structpb.NewStringValue(word)
	}
	return s
}

// tell fills the status of the descriptor that was limited, so that Envoy's
// own headers and statistics work too.
func (d *demand) tell(req *rlsv3.RateLimitRequest, resp *rlsv3.RateLimitResponse, v *sallyport.Verdict, now time.Time) {
	for i, descriptor := range req.GetDescriptors() {
		if !isSubject(descriptor) {
			continue
		}
		st := resp.Statuses[i]
		st.Code = resp.OverallCode
		st.LimitRemaining = uint32(min(v.Remaining, 1<<32-1))
		st.DurationUntilReset = durationpb.New(v.Reset.Sub(now))
		st.CurrentLimit = currentLimit(v.Rule, v.Limit, &v.Window)
	}
}

// currentLimit says what allowance a window is, in Envoy's units: a length that
// is none of them is so many of the largest that fits.
func currentLimit(name string, most uint64, w *sallyport.Window) *rlsv3.RateLimitResponse_RateLimit {
	l := &rlsv3.RateLimitResponse_RateLimit{Name: name, RequestsPerUnit: uint32(min(most, 1<<32-1))}
	switch w.Calendar {
	case sallyport.Day:
		l.Unit = rlsv3.RateLimitResponse_RateLimit_DAY
	case sallyport.Week:
		l.Unit = rlsv3.RateLimitResponse_RateLimit_WEEK
	case sallyport.Month:
		l.Unit = rlsv3.RateLimitResponse_RateLimit_MONTH
	}
	for _, u := range envoyUnits {
		if n := w.Length / u.length; l.Unit == rlsv3.RateLimitResponse_RateLimit_UNKNOWN && n > 0 && w.Length%u.length == 0 {
			l.Unit = u.unit
			if n > 1 {
				l.UnitMultiplier = wrapperspb.UInt32(uint32(n))
			}
		}
	}
	return l
}

// envoyUnits are Envoy's units of one length, the longest first.
var envoyUnits = [...]struct {
	unit   rlsv3.RateLimitResponse_RateLimit_Unit
	length time.Duration
}{
	{rlsv3.RateLimitResponse_RateLimit_DAY, 24 * time.Hour},
	{rlsv3.RateLimitResponse_RateLimit_HOUR, time.Hour},
	{rlsv3.RateLimitResponse_RateLimit_MINUTE, time.Minute},
	{rlsv3.RateLimitResponse_RateLimit_SECOND, time.Second},
}

// asWritten is the unit of a rule, and how many of it, as its author has them.
func asWritten(r *directory.Rule) (rlsv3.RateLimitResponse_RateLimit_Unit, *wrapperspb.UInt32Value) {
	unit := [...]rlsv3.RateLimitResponse_RateLimit_Unit{
		directory.Second: rlsv3.RateLimitResponse_RateLimit_SECOND,
		directory.Minute: rlsv3.RateLimitResponse_RateLimit_MINUTE,
		directory.Hour:   rlsv3.RateLimitResponse_RateLimit_HOUR,
		directory.Day:    rlsv3.RateLimitResponse_RateLimit_DAY,
		directory.Week:   rlsv3.RateLimitResponse_RateLimit_WEEK,
		directory.Month:  rlsv3.RateLimitResponse_RateLimit_MONTH,
		directory.Year:   rlsv3.RateLimitResponse_RateLimit_YEAR,
	}[r.Unit]
	if r.Multiplier > 1 {
		return unit, wrapperspb.UInt32(r.Multiplier)
	}
	return unit, nil
}

func headers(list []sallyport.Header) []*corev3.HeaderValue {
	out := make([]*corev3.HeaderValue, len(list))
	for i, h := range list {
		out[i] = &corev3.HeaderValue{Key: h.Name, Value: h.Value}
	}
	return out
}

func isSubject(d *ratelimitv3.RateLimitDescriptor) bool {
	return len(d.GetEntries()) > 0 && d.Entries[0].GetKey() == sallyport.SubjectKeys[0]
}
