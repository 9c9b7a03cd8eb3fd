package ratelimit

import (
	"context"
	"errors"
	"maps"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
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
func (s *Server) limitDescriptors(ctx context.Context, c *call, now time.Time) error {
	d := s.directories.Load()
	if d == nil || d.Set == nil {
		return nil
	}
	if !d.Ready {
		s.recorder.Limited(sallyport.Undecided)
		return grpcstatus.Error(codes.Unavailable, "rate limits have not been loaded")
	}
	if err := d.understand(c); err != nil {
		s.recorder.Limited(sallyport.RequestMalformed)
		return grpcstatus.Error(codes.InvalidArgument, err.Error())
	}
	replace(c.asked)
	c.tally()
	if len(c.tallies) > 0 {
		if err := s.counters.Count(ctx, now, c.tallies); err != nil {
			s.recorder.Limited(sallyport.CountersFailed)
			if !d.Closed {
				return grpcstatus.Error(codes.Unavailable, "counters failed") // Envoy's failure_mode_deny decides
			}
			c.reply.code = codeOver
			return nil
		}
	}
	s.answer(c, d, now)
	if c.reply.code == codeOver {
		s.recorder.Limited(sallyport.QuotaExhausted)
	} else {
		s.recorder.Limited(sallyport.Allowed)
	}
	return nil
}

// understand finds the rule of every descriptor of c.
func (d *Directories) understand(c *call) error {
	q := &c.question
	for i := range q.descriptors {
		descriptor, entries := &q.descriptors[i], q.of(&q.descriptors[i])
		one := asked{tally: -1, hits: max(1, uint64(q.hits)), back: descriptor.back}
		if descriptor.told {
			one.hits = descriptor.hits // 0 is a peek
		}
		if one.hits > sallyport.MaxRate {
			return errAddendTooLarge
		}
		from := len(c.names)
		c.names = append(c.names, 0) // no name of our own limits begins so
		switch {
		case !descriptor.overridden:
			if one.rule, c.names = d.Set.Match(q.domain, entries, c.names); one.rule == nil {
				break
			}
			if one.metric = one.rule.Metric; one.rule.PerValue {
				one.detail = string(one.rule.AppendMetric(nil, entries))
			}
		case d.Set.Known(q.domain):
			rule, err := descriptor.override.rule()
			if err != nil {
				return err
			}
			one.rule, c.names = rule, directory.AppendKey(c.names, q.domain, entries)
			one.metric = q.domain + ".override"
		}
		one.name = c.names[from:len(c.names):len(c.names)]
		c.asked = append(c.asked, one)
	}
	return nil
}

func (o *override) rule() (*directory.Rule, error) {
	multiplier := uint32(1)
	if o.told {
		multiplier = uint32(o.multiplier)
	}
	if o.unit <= 0 || int(o.unit) >= len(overrideUnits) {
		return nil, errOverride
	}
	rule, ok := directory.Override(o.requests, overrideUnits[o.unit], multiplier)
	if !ok {
		return nil, errOverride
	}
	return &rule, nil
}

// overrideUnits are the units of envoy.type.v3.RateLimitUnit.
var overrideUnits = [...]directory.Unit{
	1: directory.Second,
	2: directory.Minute,
	3: directory.Hour,
	4: directory.Day,
	5: directory.Month,
	6: directory.Year,
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

// tally lists what is to be counted of what is asked.
func (c *call) tally() {
	for i := range c.asked {
		one := &c.asked[i]
		if one.rule == nil || one.rule.Unlimited {
			continue
		}
		one.tally = len(c.tallies)
		c.tallies = append(c.tallies, Tally{
			Key: one.name, Window: sallyport.Window{Max: uint64(one.rule.Requests), Length: one.rule.Length()}, Hits: one.hits, Back: one.back,
		})
	}
}

// answer says what came of the counting, descriptor by descriptor.
func (s *Server) answer(c *call, d *Directories, now time.Time) {
	closest := sallyport.Verdict{Allowed: true, Remaining: math.MaxUint32}
	var retry time.Duration
	var words map[string]any
	for i := range c.asked {
		one, st := &c.asked[i], &c.reply.statuses[i]
		if one.rule == nil {
			continue
		}
		if len(one.rule.Metadata) > 0 {
			if words == nil {
				words = make(map[string]any)
			}
			maps.Copy(words, one.rule.Metadata)
		}
		if one.tally < 0 {
			st.remaining = math.MaxUint32
			continue
		}
		t := &c.tallies[one.tally]
		over := t.Used > t.Window.Max
		if !one.back {
			s.recorder.Counted(Counted{one.metric, one.detail, one.hits, over, one.rule.Shadow || one.rule.Quota})
		}
		st.limit, st.limited = allowance{name: one.rule.Name, requests: uint32(t.Window.Max)}, true
		st.limit.unit, st.limit.multiplier = asWritten(one.rule)
		st.remaining = uint32(less(t.Window.Max, t.Used))
		st.until, st.resets = time.Duration(max(1, t.Reset.Unix()-now.Unix()))*time.Second, true // counters may have another clock
		refuses := over && !one.rule.Shadow && !one.rule.Quota
		if refuses {
			st.code, c.reply.code = codeOver, codeOver
		}
		if left := uint64(st.remaining); left < closest.Remaining || refuses {
			closest = sallyport.Verdict{Known: true, Allowed: !refuses, Limit: t.Window.Max, Remaining: left, Reset: t.Reset, Window: t.Window}
		}
		if refuses {
			retry = max(retry, wholeSeconds(t.Reset.Sub(now)))
		}
	}
	closest.RetryAfter = retry
	if words != nil {
		c.reply.metadata = encodeStruct(words)
	}
	if d.Headers != nil {
		c.tellClosest(d.Headers, &closest, now)
	}
}

// encodeStruct encodes a google.protobuf.Struct; nil where it cannot be one,
// which the loader does not let happen.
func encodeStruct(words map[string]any) []byte {
	s, err := structpb.NewStruct(words)
	if err != nil {
		return nil
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return nil
	}
	return data
}

// tellClosest tells v in the operator's words.
func (c *call) tellClosest(names *sallyport.QuotaHeaders, v *sallyport.Verdict, now time.Time) {
	list := render.AppendQuota(c.reply.headers, names, v, now, &c.text)
	if names.RetryAfter && v.RetryAfter > 0 {
		list = append(list, sallyport.Header{Name: "retry-after", Value: c.text.Int(int64(v.RetryAfter / time.Second))})
	}
	c.reply.headers = list
}
