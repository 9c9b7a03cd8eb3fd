package ratelimit

import (
	"context"
	"errors"
	"maps"
	"math"
	"time"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/render"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// Directories are the rules of domains other than ours: those of people's own
// Envoys, in envoyproxy/ratelimit's YAML. The zero value has none.
type Directories struct {
	Set     *directory.Set
	Ready   bool                    // false: a file was never good, so that nobody knows what is limited
	Headers *sallyport.QuotaHeaders // that tell the descriptor closest to its limit; nil: none
	Closed  bool                    // counters that cannot be asked refuse
}

// Enforce puts d in force for the domains that it knows.
func (s *Server) Enforce(d *Directories) { s.directories.Store(d) }

var errOverride = errors.New("limit override has a unit that is none, or is longer than a hundred years")

// asked is one descriptor, its rule and its hits.
type asked struct {
	rule  *directory.Rule
	name  []byte // of the counter
	hits  uint64
	back  bool
	tally int // in the list of those that are counted; -1: it is not

	metric, detail string
}

// limitDescriptors answers for a domain that is not ours, as envoyproxy/ratelimit
// does: every descriptor by itself, and all of them counted, also where one
// refuses.
func (s *Server) limitDescriptors(ctx context.Context, req *rlsv3.RateLimitRequest, now time.Time) (*rlsv3.RateLimitResponse, error) {
	d := s.directories.Load()
	if d == nil || d.Set == nil {
		return allow(req), nil
	}
	if !d.Ready {
		s.recorder.Limited(sallyport.Undecided)
		return nil, status.Error(codes.Unavailable, "rate limits have not been loaded")
	}
	list, err := d.understand(req)
	if err != nil {
		s.recorder.Limited(sallyport.RequestMalformed)
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	replace(list)
	tallies := tallied(list)
	if len(tallies) > 0 {
		if err := s.counters.Count(ctx, now, tallies); err != nil {
			s.recorder.Limited(sallyport.CountersFailed)
			if !d.Closed {
				return nil, status.Error(codes.Unavailable, "counters failed") // Envoy's failure_mode_deny decides
			}
			resp := allow(req)
			resp.OverallCode = rlsv3.RateLimitResponse_OVER_LIMIT
			return resp, nil
		}
	}
	resp := s.answer(list, tallies, d, now)
	if resp.OverallCode == rlsv3.RateLimitResponse_OVER_LIMIT {
		s.recorder.Limited(sallyport.QuotaExhausted)
	} else {
		s.recorder.Limited(sallyport.Allowed)
	}
	return resp, nil
}

// understand finds the rule of every descriptor of req.
func (d *Directories) understand(req *rlsv3.RateLimitRequest) ([]asked, error) {
	list := make([]asked, 0, len(req.Descriptors))
	var entries []directory.Entry
	var names []byte
	for _, descriptor := range req.Descriptors {
		if len(descriptor.GetEntries()) > mostEntries {
			return nil, errManyEntries
		}
		entries = entries[:0]
		for _, e := range descriptor.GetEntries() {
			entries = append(entries, directory.Entry{Key: e.GetKey(), Value: e.GetValue()})
		}
		one := asked{tally: -1, hits: max(1, uint64(req.GetHitsAddend())), back: descriptor.GetIsNegativeHits()}
		if h := descriptor.GetHitsAddend(); h != nil {
			one.hits = h.GetValue() // 0 is a peek
		}
		if one.hits > sallyport.MaxRate {
			return nil, errAddendTooLarge
		}
		from := len(names)
		names = append(names, 0) // no name of our own limits begins so
		switch override := descriptor.GetLimit(); {
		case override == nil:
			if one.rule, names = d.Set.Match(req.Domain, entries, names); one.rule == nil {
				break
			}
			if one.metric = one.rule.Metric; one.rule.PerValue {
				one.detail = string(one.rule.AppendMetric(nil, entries))
			}
		case d.Set.Known(req.Domain):
			rule, err := overrideRule(override)
			if err != nil {
				return nil, err
			}
			one.rule, names = rule, directory.AppendKey(names, req.Domain, entries)
			one.metric = req.Domain + ".override"
		}
		one.name = names[from:len(names):len(names)]
		list = append(list, one)
	}
	return list, nil
}

func overrideRule(o *ratelimitv3.RateLimitDescriptor_RateLimitOverride) (*directory.Rule, error) {
	multiplier := uint32(1)
	if m := o.GetUnitMultiplier(); m != nil {
		multiplier = m.GetValue()
	}
	unit, ok := units[o.GetUnit()]
	if !ok {
		return nil, errOverride
	}
	rule, ok := directory.Override(o.GetRequestsPerUnit(), unit, multiplier)
	if !ok {
		return nil, errOverride
	}
	return &rule, nil
}

// units are Envoy's units in an override.
var units = map[typev3.RateLimitUnit]directory.Unit{
	typev3.RateLimitUnit_SECOND: directory.Second,
	typev3.RateLimitUnit_MINUTE: directory.Minute,
	typev3.RateLimitUnit_HOUR:   directory.Hour,
	typev3.RateLimitUnit_DAY:    directory.Day,
	typev3.RateLimitUnit_MONTH:  directory.Month,
	typev3.RateLimitUnit_YEAR:   directory.Year,
}

// replace drops the rules that others of the same request stand in for.
func replace(list []asked) {
	var gone map[string]bool
	for _, one := range list {
		if one.rule == nil {
			continue
		}
		for _, name := range one.rule.Replaces {
			if gone == nil {
				gone = make(map[string]bool)
			}
			gone[name] = true
		}
	}
	for i := range list {
		if r := list[i].rule; r != nil && !r.Unlimited && gone[r.Name] && r.Name != "" {
			list[i].rule = nil
		}
	}
}

// tallied returns what is to be counted of list.
func tallied(list []asked) []Tally {
	tallies := make([]Tally, 0, len(list))
	for i := range list {
		one := &list[i]
		if one.rule == nil || one.rule.Unlimited {
			continue
		}
		one.tally = len(tallies)
		tallies = append(tallies, Tally{
			Key: one.name, Window: sallyport.Window{Max: uint64(one.rule.Requests), Length: one.rule.Length()}, Hits: one.hits, Back: one.back,
		})
	}
	return tallies
}

// answer says what came of the counting, descriptor by descriptor.
func (s *Server) answer(list []asked, tallies []Tally, d *Directories, now time.Time) *rlsv3.RateLimitResponse {
	resp := &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK}
	closest := sallyport.Verdict{Allowed: true, Remaining: math.MaxUint32}
	var retry time.Duration
	words := map[string]any{}
	for i := range list {
		one := &list[i]
		st := &rlsv3.RateLimitResponse_DescriptorStatus{Code: rlsv3.RateLimitResponse_OK}
		resp.Statuses = append(resp.Statuses, st)
		if one.rule == nil {
			continue
		}
		maps.Copy(words, one.rule.Metadata)
		if one.tally < 0 {
			st.LimitRemaining = math.MaxUint32
			continue
		}
		t := &tallies[one.tally]
		over := t.Used > t.Window.Max
		if !one.back {
			s.recorder.Counted(Counted{one.metric, one.detail, one.hits, over, one.rule.Shadow || one.rule.Quota})
		}
		st.CurrentLimit = currentLimit(one.rule.Name, t.Window.Max, &t.Window)
		st.CurrentLimit.Unit, st.CurrentLimit.UnitMultiplier = asWritten(one.rule)
		st.LimitRemaining = uint32(less(t.Window.Max, t.Used))
		st.DurationUntilReset = durationpb.New(time.Duration(max(1, t.Reset.Unix()-now.Unix())) * time.Second) // counters may have another clock
		refuses := over && !one.rule.Shadow && !one.rule.Quota
		if refuses {
			st.Code, resp.OverallCode = rlsv3.RateLimitResponse_OVER_LIMIT, rlsv3.RateLimitResponse_OVER_LIMIT
		}
		if left := uint64(st.LimitRemaining); left < closest.Remaining || refuses {
			closest = sallyport.Verdict{Known: true, Allowed: !refuses, Limit: t.Window.Max, Remaining: left, Reset: t.Reset, Window: t.Window}
		}
		if refuses {
			retry = max(retry, wholeSeconds(t.Reset.Sub(now)))
		}
	}
	closest.RetryAfter = retry
	if len(words) > 0 {
		resp.DynamicMetadata, _ = structpb.NewStruct(words) // the loader holds that it can be one
	}
	if d.Headers != nil {
		resp.ResponseHeadersToAdd = headers(quotaHeaders(d.Headers, &closest, now))
	}
	return resp
}

// quotaHeaders tells v in the operator's words.
func quotaHeaders(names *sallyport.QuotaHeaders, v *sallyport.Verdict, now time.Time) []sallyport.Header {
	var text render.Text
	list := render.AppendQuota(nil, names, v, now, &text)
	if names.RetryAfter && v.RetryAfter > 0 {
		list = append(list, sallyport.Header{Name: "retry-after", Value: text.Int(int64(v.RetryAfter / time.Second))})
	}
	return list
}
