package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit/directory"
)

// foreign is a Server with rules of domains that are not ours, and its clock.
type foreign struct {
	t       testing.TB
	server  *Server
	memory  *Memory
	now     time.Time
	counted []Counted
	why     []sallyport.Reason
}

func (f *foreign) Limited(why sallyport.Reason) { f.why = append(f.why, why) }
func (f *foreign) Counted(c Counted)            { f.counted = append(f.counted, c) }
func (f *foreign) Refused(*sallyport.Decision)  {}

// newForeign serves what the files of a folder say. Its clock stands at the
// start of an hour.
func newForeign(t testing.TB, headers *sallyport.QuotaHeaders, files ...string) *foreign {
	t.Helper()
	f := &foreign{t: t, memory: NewMemory(), now: epoch}
	f.server = NewServer(f.memory, func() time.Time { return f.now }, f)
	f.server.Enforce(&Directories{Set: loadFolder(t, files...), Ready: true, Headers: headers})
	return f
}

func loadFolder(t testing.TB, files ...string) *directory.Set {
	t.Helper()
	folder := t.TempDir()
	for i, text := range files {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.yaml", i)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l := directory.NewLoader(folder).Load()
	if len(l.Faults) > 0 || !l.Ready {
		t.Fatalf("%v", l.Faults)
	}
	return l.Set
}

func (f *foreign) ask(req *rlsv3.RateLimitRequest) *rlsv3.RateLimitResponse {
	f.t.Helper()
	resp, err := f.server.ShouldRateLimit(context.Background(), req)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp
}

// to makes a request for the domain shop.
func to(addend uint32, all ...*ratelimitv3.RateLimitDescriptor) *rlsv3.RateLimitRequest {
	return &rlsv3.RateLimitRequest{Domain: "shop", HitsAddend: addend, Descriptors: all}
}

// of makes a descriptor of keys and values in turn.
func of(entries ...string) *ratelimitv3.RateLimitDescriptor {
	d := &ratelimitv3.RateLimitDescriptor{}
	for i := 0; i+1 < len(entries); i += 2 {
		d.Entries = append(d.Entries, &ratelimitv3.RateLimitDescriptor_Entry{Key: entries[i], Value: entries[i+1]})
	}
	return d
}

func hits(n uint64, d *ratelimitv3.RateLimitDescriptor) *ratelimitv3.RateLimitDescriptor {
	d.HitsAddend = wrapperspb.UInt64(n)
	return d
}

func back(d *ratelimitv3.RateLimitDescriptor) *ratelimitv3.RateLimitDescriptor {
	d.IsNegativeHits = true
	return d
}

// overridden asks for requests in so many units, 0 for what Envoy does not say.
func overridden(requests uint32, unit typev3.RateLimitUnit, multiplier uint32, d *ratelimitv3.RateLimitDescriptor) *ratelimitv3.RateLimitDescriptor {
	d.Limit = &ratelimitv3.RateLimitDescriptor_RateLimitOverride{RequestsPerUnit: requests, Unit: unit}
	if multiplier > 0 {
		d.Limit.UnitMultiplier = wrapperspb.UInt32(multiplier)
	}
	return d
}

// shortly puts an answer in few words: the overall code, then for each
// descriptor its code, limit, what remains, and the seconds until the reset.
func shortly(resp *rlsv3.RateLimitResponse) string {
	var b strings.Builder
	code := func(c rlsv3.RateLimitResponse_Code) string {
		return map[rlsv3.RateLimitResponse_Code]string{rlsv3.RateLimitResponse_OK: "ok", rlsv3.RateLimitResponse_OVER_LIMIT: "over"}[c]
	}
	b.WriteString(code(resp.OverallCode) + ":")
	for _, s := range resp.Statuses {
		b.WriteString(" [" + code(s.Code))
		if l := s.CurrentLimit; l != nil {
			fmt.Fprintf(&b, " %s%d/", l.Name, l.RequestsPerUnit)
			if l.UnitMultiplier != nil {
				fmt.Fprint(&b, l.UnitMultiplier.Value)
			}
			b.WriteString(strings.ToLower(l.Unit.String()))
		}
		fmt.Fprintf(&b, " %d", s.LimitRemaining)
		if s.DurationUntilReset != nil {
			fmt.Fprintf(&b, " %ds", s.DurationUntilReset.Seconds)
		}
		b.WriteString("]")
	}
	return b.String()
}

// step is a request, the time that passes before it, and its answer in short.
type step struct {
	after time.Duration
	req   *rlsv3.RateLimitRequest
	want  string
}

func (f *foreign) steps(all ...step) {
	f.t.Helper()
	for i, s := range all {
		f.now = f.now.Add(s.after)
		if got := shortly(f.ask(s.req)); got != s.want {
			f.t.Errorf("step %d: got\n%s, want\n%s", i, got, s.want)
		}
	}
}

const unmatched = "[ok 0]"

func TestForeignDescriptors(t *testing.T) {
	const a = "domain: shop\ndescriptors:\n"
	for name, c := range map[string]struct {
		rules string
		steps []step
	}{
		"a limit, and when it begins anew": {a + "- {key: a, rate_limit: {unit: minute, requests_per_unit: 2, name: few}}", []step{
			{0, to(0, of("a", "x")), "ok: [ok few2/minute 1 60s]"},
			{1500 * time.Millisecond, to(0, of("a", "x")), "ok: [ok few2/minute 0 59s]"},
			{0, to(0, of("a", "x")), "over: [over few2/minute 0 59s]"},
			{0, to(0, of("a", "y")), "ok: [ok few2/minute 1 59s]"},
			{58 * time.Second, to(0, of("a", "x")), "over: [over few2/minute 0 1s]"},
			{time.Second, to(0, of("a", "x")), "ok: [ok few2/minute 1 60s]"},
		}},
		"every unit": {a + `
- {key: a, value: second, rate_limit: {unit: second, requests_per_unit: 9}}
- {key: a, value: minute, rate_limit: {unit: Minute, requests_per_unit: 9}}
- {key: a, value: hour, rate_limit: {unit: HOUR, requests_per_unit: 9}}
- {key: a, value: day, rate_limit: {unit: day, requests_per_unit: 9}}
- {key: a, value: week, rate_limit: {unit: week, requests_per_unit: 9}}
- {key: a, value: month, rate_limit: {unit: month, requests_per_unit: 9}}
- {key: a, value: year, rate_limit: {unit: year, requests_per_unit: 9}}`, []step{
			{0, to(0, of("a", "second"), of("a", "minute"), of("a", "hour"), of("a", "day"), of("a", "week"), of("a", "month"), of("a", "year")),
				fmt.Sprintf("ok: [ok 9/second 8 1s] [ok 9/minute 8 60s] [ok 9/hour 8 3600s] [ok 9/day 8 %ds] [ok 9/week 8 %ds] [ok 9/month 8 %ds] [ok 9/year 8 %ds]",
					left(86400), left(7*86400), left(30*86400), left(365*86400))},
		}},
		"nested, and only at the depth of the rule": {a + "- key: a\n  descriptors:\n  - key: b\n    value: y\n    rate_limit: {unit: hour, requests_per_unit: 1}", []step{
			{0, to(0, of("a", "x", "b", "y"), of("a", "x"), of("b", "y"), of("a", "x", "b", "z"), of("a", "x", "b", "y", "c", "z")),
				"ok: [ok 1/hour 0 3600s] " + strings.Join(slices.Repeat([]string{unmatched}, 4), " ")},
			{0, to(0, of("a", "x", "b", "y")), "over: [over 1/hour 0 3600s]"},
			{0, to(0, of("a", "z", "b", "y")), "ok: [ok 1/hour 0 3600s]"},
		}},
		"wildcards, in the middle too": {a + "- {key: a, value: /v1/*/orders, rate_limit: {unit: hour, requests_per_unit: 1}}\n- {key: a, value: /v1*, rate_limit: {unit: hour, requests_per_unit: 9}}", []step{
			{0, to(0, of("a", "/v1/7/orders"), of("a", "/v1/7"), of("a", "/v2")), "ok: [ok 1/hour 0 3600s] [ok 9/hour 8 3600s] " + unmatched},
			{0, to(0, of("a", "/v1/8/orders")), "ok: [ok 1/hour 0 3600s]"}, // each value by itself
		}},
		"share_threshold": {a + "- {key: a, value: /v1*, share_threshold: true, rate_limit: {unit: hour, requests_per_unit: 2}}", []step{
			{0, to(0, of("a", "/v1/a")), "ok: [ok 2/hour 1 3600s]"},
			{0, to(0, of("a", "/v1/b")), "ok: [ok 2/hour 0 3600s]"},
			{0, to(0, of("a", "/v1/c")), "over: [over 2/hour 0 3600s]"},
		}},
		"unlimited": {a + "- {key: a, rate_limit: {unlimited: true}}\n- {key: b, rate_limit: {unit: hour, requests_per_unit: 0}}", []step{
			{0, to(9, of("a", "x")), "ok: [ok 4294967295]"},
			{0, to(9, of("a", "x"), of("b", "x")), "over: [ok 4294967295] [over 0/hour 0 3600s]"},
		}},
		"shadow_mode counts and refuses nobody": {a + "- {key: a, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 1}}", []step{
			{0, to(0, of("a", "x")), "ok: [ok 1/hour 0 3600s]"},
			{0, to(0, of("a", "x")), "ok: [ok 1/hour 0 3600s]"},
		}},
		"quota_mode is told and refuses nobody": {a + "- {key: a, quota_mode: true, rate_limit: {unit: hour, requests_per_unit: 1}}\n- {key: b, rate_limit: {unit: hour, requests_per_unit: 1}}", []step{
			{0, to(0, of("a", "x")), "ok: [ok 1/hour 0 3600s]"},
			{0, to(2, of("a", "x"), of("b", "x")), "over: [ok 1/hour 0 3600s] [over 1/hour 0 3600s]"},
		}},
		"replaces": {a + "- {key: a, rate_limit: {unit: hour, requests_per_unit: 1, name: narrow}}\n- {key: b, rate_limit: {unit: hour, requests_per_unit: 9, name: wide, replaces: [{name: narrow}, {name: nobody}]}}\n- {key: c, rate_limit: {unlimited: true, name: narrow}}", []step{
			{0, to(0, of("a", "x"), of("b", "y"), of("c", "z")), "ok: " + unmatched + " [ok wide9/hour 8 3600s] [ok 4294967295]"},
			{0, to(0, of("a", "x")), "ok: [ok narrow1/hour 0 3600s]"}, // not counted before
			{0, to(0, of("b", "y"), of("a", "x")), "ok: [ok wide9/hour 7 3600s] " + unmatched},
		}},
		"the descriptor's hits come before the request's, and 0 is a peek": {a + "- {key: a, rate_limit: {unit: hour, requests_per_unit: 10}}", []step{
			{0, to(3, of("a", "x")), "ok: [ok 10/hour 7 3600s]"},
			{0, to(3, hits(5, of("a", "x"))), "ok: [ok 10/hour 2 3600s]"},
			{0, to(3, hits(0, of("a", "x"))), "ok: [ok 10/hour 2 3600s]"},
			{0, to(2, of("a", "x")), "ok: [ok 10/hour 0 3600s]"},
			{0, to(0, hits(0, of("a", "x"))), "ok: [ok 10/hour 0 3600s]"}, // exactly at the limit
			{0, to(0, of("a", "x")), "over: [over 10/hour 0 3600s]"},
			{0, to(0, hits(0, of("a", "x"))), "over: [over 10/hour 0 3600s]"}, // what refused was counted
			{0, to(0, hits(sallyport.MaxRate, of("a", "y"))), "over: [over 10/hour 0 3600s]"},
		}},
		"all are counted where one refuses": {a + "- {key: a, rate_limit: {unit: hour, requests_per_unit: 0}}\n- {key: b, rate_limit: {unit: hour, requests_per_unit: 3}}", []step{
			{0, to(0, of("a", "x"), of("b", "x")), "over: [over 0/hour 0 3600s] [ok 3/hour 2 3600s]"},
			{0, to(0, of("b", "x"), of("b", "x"), of("b", "x")), "over: [ok 3/hour 1 3600s] [ok 3/hour 0 3600s] [over 3/hour 0 3600s]"},
		}},
		"negative hits give back, and never more than there are": {a + "- {key: a, rate_limit: {unit: hour, requests_per_unit: 3}}", []step{
			{0, to(3, of("a", "x")), "ok: [ok 3/hour 0 3600s]"},
			{0, to(0, back(hits(2, of("a", "x")))), "ok: [ok 3/hour 2 3600s]"},
			{0, to(9, back(of("a", "x"))), "ok: [ok 3/hour 3 3600s]"},
			{0, to(0, of("a", "x")), "ok: [ok 3/hour 2 3600s]"},
			{0, to(0, back(hits(sallyport.MaxRate, of("a", "new")))), "ok: [ok 3/hour 3 3600s]"},
			{0, to(7, of("a", "x")), "over: [over 3/hour 0 3600s]"},
			{0, to(0, back(of("a", "x"))), "over: [over 3/hour 0 3600s]"}, // 7 of 3 are used still
			{time.Hour, to(0, back(of("a", "x"))), "ok: [ok 3/hour 3 3600s]"},
		}},
		"override": {a + "- {key: a, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 9, name: n}}\n- {key: b, rate_limit: {unlimited: true, replaces: [{name: n}]}}", []step{
			{0, to(0, overridden(1, typev3.RateLimitUnit_HOUR, 0, of("a", "x"))), "ok: [ok 1/hour 0 3600s]"},
			{0, to(0, of("a", "x")), "ok: [ok n9/hour 7 3600s]"}, // one counter
			{0, to(0, overridden(1, typev3.RateLimitUnit_HOUR, 1, of("a", "x"))), "over: [over 1/hour 0 3600s]"},
			{0, to(0, overridden(2, typev3.RateLimitUnit_HOUR, 0, of("b", "x"))), "ok: [ok 2/hour 1 3600s]"},
			{0, to(0, overridden(5, typev3.RateLimitUnit_DAY, 0, of("no", "rule", "c", "d"))), fmt.Sprintf("ok: [ok 5/day 4 %ds]", left(86400))},
			{0, to(0, overridden(0, typev3.RateLimitUnit_SECOND, 0, of("a", "z"))), "over: [over 0/second 0 1s]"},
		}},
		"unit_multiplier": {a, []step{
			{90 * time.Second, to(0, overridden(2, typev3.RateLimitUnit_MINUTE, 2, of("a", "x"))), "ok: [ok 2/2minute 1 30s]"},
			{0, to(0, overridden(2, typev3.RateLimitUnit_MINUTE, 3, of("a", "x"))), "ok: [ok 2/3minute 1 90s]"}, // another window
			{0, to(0, overridden(2, typev3.RateLimitUnit_MINUTE, 2, of("a", "x"))), "ok: [ok 2/2minute 0 30s]"},
			{29 * time.Second, to(0, overridden(2, typev3.RateLimitUnit_MINUTE, 2, of("a", "x"))), "over: [over 2/2minute 0 1s]"},
			{time.Second, to(0, overridden(2, typev3.RateLimitUnit_MINUTE, 2, of("a", "x"))), "ok: [ok 2/2minute 1 120s]"},
		}},
		"keys and values are two texts": {a + "- {key: a, rate_limit: {unit: hour, requests_per_unit: 1}}\n- {key: a, value: x, rate_limit: {unit: hour, requests_per_unit: 9}}\n- key: b\n  descriptors: [{key: c, rate_limit: {unit: hour, requests_per_unit: 1}}]", []step{
			{0, to(0, of("a_x", "")), "ok: " + unmatched},
			{0, to(0, of("b", "1_c_2", "c", "3")), "ok: [ok 1/hour 0 3600s]"},
			{0, to(0, of("b", "1", "c", "2_c_3")), "ok: [ok 1/hour 0 3600s]"},
		}},
		"another domain": {a + "- {key: a, rate_limit: {unit: hour, requests_per_unit: 0}}", []step{
			{0, &rlsv3.RateLimitRequest{Domain: "mall", Descriptors: []*ratelimitv3.RateLimitDescriptor{of("a", "x"), overridden(0, typev3.RateLimitUnit_UNKNOWN, 0, of("a", "x"))}}, "ok: " + unmatched + " " + unmatched},
		}},
	} {
		t.Run(name, func(t *testing.T) { newForeign(t, nil, c.rules).steps(c.steps...) })
	}
}

// left is how many seconds at epoch are left of a window of length.
func left(length int64) int64 { return length - epoch.Unix()%length }

func TestForeignHeadersTellTheDescriptorClosestToItsLimit(t *testing.T) {
	const rules = `
domain: shop
descriptors:
- {key: few, rate_limit: {unit: minute, requests_per_unit: 2}}
- {key: many, rate_limit: {unit: hour, requests_per_unit: 9}}
- {key: quota, quota_mode: true, rate_limit: {unit: hour, requests_per_unit: 0}}
- {key: all, rate_limit: {unlimited: true}}
`
	names := &sallyport.QuotaHeaders{Limit: "RateLimit-Limit", Remaining: "RateLimit-Remaining", Reset: "RateLimit-Reset", ResetAs: sallyport.ResetDelta, RetryAfter: true}
	f := newForeign(t, names, rules)
	f.now = f.now.Add(10*time.Second + 500*time.Millisecond)
	for i, c := range []struct {
		req  *rlsv3.RateLimitRequest
		want string
	}{
		{to(0, of("many", ""), of("few", "")), "RateLimit-Limit=2 RateLimit-Remaining=1 RateLimit-Reset=50"},
		{to(0, of("few", ""), of("many", "")), "RateLimit-Limit=2 RateLimit-Remaining=0 RateLimit-Reset=50"},
		{to(0, of("few", ""), of("quota", "")), "RateLimit-Limit=2 RateLimit-Remaining=0 RateLimit-Reset=50 retry-after=50"},
		{to(9, of("few", ""), of("many", "")), "RateLimit-Limit=9 RateLimit-Remaining=0 RateLimit-Reset=3590 retry-after=3590"}, // both refuse: as there, the last
		{to(0, of("many", ""), of("few", "")), "RateLimit-Limit=2 RateLimit-Remaining=0 RateLimit-Reset=50 retry-after=3590"},   // when a retry may pass
		{to(0, of("quota", "")), "RateLimit-Limit=0 RateLimit-Remaining=0 RateLimit-Reset=3590"},
		{to(0, of("all", "")), ""},
		{to(0, of("other", "")), ""},
	} {
		var got []string
		for _, h := range f.ask(c.req).ResponseHeadersToAdd {
			got = append(got, h.Key+"="+h.Value)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%d: got %v, want %v", i, got, c.want)
		}
	}
}

func TestForeignMetadataIsTheAnswersOwn(t *testing.T) {
	const rules = `
domain: shop
descriptors:
- {key: a, rate_limit: {unit: minute, requests_per_unit: 0, name: one}, metadata: {plan: {tiers: [1, two]}, who: a}}
- {key: b, rate_limit: {unlimited: true, replaces: [{name: one}]}, metadata: {who: b, none: ~}}
- {key: c, rate_limit: {unit: minute, requests_per_unit: 0}}
- {key: d, metadata: {who: nobody}}
`
	f := newForeign(t, nil, rules)
	for range 2 { // what is done to the first answer does not show in the second
		for _, c := range []struct {
			req  *rlsv3.RateLimitRequest
			want map[string]any
		}{
			{to(0, of("a", "")), map[string]any{"plan": map[string]any{"tiers": []any{1.0, "two"}}, "who": "a"}},
			{to(0, of("b", "")), map[string]any{"who": "b", "none": nil}},
			{to(0, of("a", ""), of("b", "")), map[string]any{"who": "b", "none": nil}},
			{to(0, of("c", "")), nil},
			{to(0, of("d", "")), nil},
		} {
			resp := f.ask(c.req)
			if got := resp.DynamicMetadata.AsMap(); len(got) != len(c.want) || fmt.Sprint(got) != fmt.Sprint(map[string]any(c.want)) {
				t.Errorf("%v: got %v, want %v", c.req.Descriptors, got, c.want)
			}
			for _, v := range resp.DynamicMetadata.GetFields() {
				if s := v.GetStructValue(); s != nil {
					s.Fields["tiers"].GetListValue().Values[0] = nil
				}
			}
			clear(resp.DynamicMetadata.GetFields())
		}
	}
}

func TestForeignMetrics(t *testing.T) {
	const rules = `
domain: shop
descriptors:
- {key: a, rate_limit: {unit: hour, requests_per_unit: 1}}
- {key: b, detailed_metric: true, rate_limit: {unit: hour, requests_per_unit: 1}}
- {key: c, value: x*, value_to_metric: true, shadow_mode: true, rate_limit: {unit: hour, requests_per_unit: 0}}
- {key: d, rate_limit: {unlimited: true}}
`
	f := newForeign(t, nil, rules)
	f.ask(to(2, of("a", "1"), of("b", "2"), hits(3, of("c", "xy")), of("d", "4"), of("e", "5"), hits(0, of("a", "6")), back(of("a", "7")), overridden(1, typev3.RateLimitUnit_DAY, 0, of("a", "8"))))
	want := []Counted{
		{"shop.a", "", 2, true, false}, {"shop.b", "shop.b_2", 2, true, false}, {"shop.c_x*", "shop.c_xy", 3, true, true}, {"shop.a", "", 0, false, false}, {"shop.override", "", 2, true, false},
	}
	if !slices.Equal(f.counted, want) {
		t.Errorf("got %+v, want %+v", f.counted, want)
	}
	if !slices.Equal(f.why, []sallyport.Reason{sallyport.QuotaExhausted}) {
		t.Errorf("told %v", f.why)
	}
}

// TestBadForeignRequests: each has the answer that is documented, and counts
// nothing, also where only its last descriptor is bad.
func TestBadForeignRequests(t *testing.T) {
	const rules = "domain: shop\ndescriptors:\n- {key: a, rate_limit: {unit: hour, requests_per_unit: 100}}\n"
	many := func(n int) []*ratelimitv3.RateLimitDescriptor {
		return slices.Repeat([]*ratelimitv3.RateLimitDescriptor{of("a", "x")}, n)
	}
	long := of()
	for range mostEntries + 1 {
		long.Entries = append(long.Entries, of("a", "x").Entries...)
	}
	for name, c := range map[string]struct {
		domain string
		all    []*ratelimitv3.RateLimitDescriptor
		want   string // a part of the error; "": the answer is counted
	}{
		"no domain":                   {"", many(1), "domain is empty"},
		"no descriptors":              {"shop", nil, "descriptors are empty"},
		"1,000 descriptors":           {"shop", many(1000), "too many descriptors"},
		"too many entries":            {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), long}, "entries"},
		"2^63 hits":                   {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), hits(1<<63, of("a", "x"))}, "hits_addend is too large"},
		"2^64-1 hits":                 {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), hits(math.MaxUint64, of("a", "x"))}, "hits_addend is too large"},
		"2^63 hits back":              {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), back(hits(1<<63, of("a", "x")))}, "hits_addend is too large"},
		"2^63 hits of an own limit":   {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), overridden(1, typev3.RateLimitUnit_DAY, 0, hits(1<<63, of("a", "x")))}, "hits_addend is too large"},
		"override without a unit":     {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), overridden(1, typev3.RateLimitUnit_UNKNOWN, 0, of("a", "x"))}, "limit override"},
		"override of an unknown unit": {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), overridden(1, 99, 0, of("a", "x"))}, "limit override"},
		"override of a negative unit": {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), overridden(1, -1, 0, of("a", "x"))}, "limit override"},
		"override of a thousand ages": {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), overridden(1, typev3.RateLimitUnit_YEAR, math.MaxUint32, of("a", "x"))}, "limit override"},
		"an empty descriptor":         {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), of()}, ""},
		"an empty entry":              {"shop", []*ratelimitv3.RateLimitDescriptor{of("a", "x"), of("", "")}, ""},
		"the most":                    {"shop", many(mostDescriptors), ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForeign(t, nil, rules)
			req := &rlsv3.RateLimitRequest{Domain: c.domain, Descriptors: c.all}
			resp, err := f.server.ShouldRateLimit(context.Background(), req)
			if c.want == "" {
				if err != nil || len(resp.Statuses) != len(c.all) || resp.OverallCode != rlsv3.RateLimitResponse_OK {
					t.Errorf("got %v, %v", resp, err)
				}
				return
			}
			if grpcstatus.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.want) || resp != nil {
				t.Errorf("got %v, %v", resp, err)
			}
			if !slices.Equal(f.why, []sallyport.Reason{sallyport.RequestMalformed}) {
				t.Errorf("told %v", f.why)
			}
			f.steps(step{0, to(0, of("a", "x")), "ok: [ok 100/hour 99 3600s]"}) // nothing was counted
		})
	}
}

// TestZeroUnitsAreOverrideOfNone: Envoy says 1 by leaving the multiplier out.
func TestZeroUnitsAreOverrideOfNone(t *testing.T) {
	f := newForeign(t, nil, "domain: shop\n")
	d := overridden(1, typev3.RateLimitUnit_DAY, 1, of("a", "x"))
	d.Limit.UnitMultiplier.Value = 0
	if _, err := f.server.ShouldRateLimit(context.Background(), to(0, d)); grpcstatus.Code(err) != codes.InvalidArgument {
		t.Errorf("got %v", err)
	}
}

// TestForeignDomainsBeforeTheFirstGoodLoad: nobody knows what is limited.
func TestForeignDomainsBeforeTheFirstGoodLoad(t *testing.T) {
	f := newForeign(t, nil, "domain: shop\n")
	req := to(0, of("a", "x"))
	f.server.Enforce(&Directories{Set: &directory.Set{}})
	if _, err := f.server.ShouldRateLimit(context.Background(), req); grpcstatus.Code(err) != codes.Unavailable {
		t.Errorf("not ready: got %v", err)
	}
	for name, none := range map[string]*Directories{"zero": {}, "without rules": {Set: &directory.Set{}, Ready: true}} {
		f.server.Enforce(none)
		if got := shortly(f.ask(req)); got != "ok: "+unmatched {
			t.Errorf("%s: got %s", name, got)
		}
	}
}

// lost are counters that cannot be asked.
type lost struct{ *Memory }

func (lost) Count(context.Context, time.Time, []Tally) error { return errors.New("lost") }

func TestForeignDomainsWithoutCounters(t *testing.T) {
	const rules = "domain: shop\ndescriptors:\n- {key: a, rate_limit: {unit: hour, requests_per_unit: 100}}\n- {key: b, rate_limit: {unlimited: true}}\n"
	f := newForeign(t, nil, rules)
	f.server = NewServer(lost{f.memory}, func() time.Time { return f.now }, f)
	for _, closed := range []bool{false, true} {
		f.server.Enforce(&Directories{Set: loadFolder(t, rules), Ready: true, Closed: closed})
		resp, err := f.server.ShouldRateLimit(context.Background(), to(0, of("a", "x"), of("b", "x")))
		if closed && (err != nil || shortly(resp) != "over: [ok 0] [ok 0]") || !closed && grpcstatus.Code(err) != codes.Unavailable {
			t.Errorf("closed %v: got %v, %v", closed, resp, err)
		}
		if got := shortly(f.ask(to(0, of("b", "x"), of("c", "x")))); got != "ok: [ok 4294967295] [ok 0]" { // nothing to count
			t.Errorf("closed %v: got %s", closed, got)
		}
	}
}

// FuzzShouldRateLimit holds the law: any bytes that are a request get either an
// error of the request, or a status for every descriptor, never more remaining
// than the limit, and OVER_LIMIT only where a descriptor is.
func FuzzShouldRateLimit(f *testing.F) {
	const rules = `
domain: shop
descriptors:
- {key: a, value: x*, share_threshold: true, rate_limit: {unit: hour, requests_per_unit: 2, name: n}, metadata: {k: [v]}}
- {key: a, rate_limit: {unit: second, requests_per_unit: 5, replaces: [{name: n}]}}
- {key: b, shadow_mode: true, detailed_metric: true, rate_limit: {unit: week, requests_per_unit: 1}, descriptors: [{key: c, quota_mode: true, rate_limit: {unit: year, requests_per_unit: 1}}]}
- {key: d, rate_limit: {unlimited: true}}
`
	for _, req := range []*rlsv3.RateLimitRequest{
		to(0, of("a", "xy"), of("a", "z"), of("b", "", "c", ""), of("d", "\u00e9"), of()),
		to(math.MaxUint32, hits(math.MaxUint64, of("a", "x")), back(hits(0, of("a", "x"))), overridden(1, 99, math.MaxUint32, of("a", "x"))),
		{Domain: sallyport.Domain, Descriptors: []*ratelimitv3.RateLimitDescriptor{of("api", "orders", "tenant", "t", "credential", "c", "plan", "p", "operation", "o", "limits", "requests=5/60s", "hits", "3")}},
		{Domain: sallyport.Domain, Descriptors: []*ratelimitv3.RateLimitDescriptor{of("api", "orders", "limits", "requests=5/60s+10%,1/day@Mars/X"), of(sallyport.CarrierSID, "s")}},
	} {
		bytes, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes)
	}
	service := newForeign(f, &sallyport.QuotaHeaders{Limit: "L", Remaining: "R", Reset: "S", RetryAfter: true}, rules)
	orders := &sallyport.API{Name: "orders", Limits: []*sallyport.Limit{{Name: "requests", Per: []string{"credential"}}}}
	commit, err := service.server.Prepare(&sallyport.Policy{APIs: []*sallyport.API{orders}})
	if err != nil {
		f.Fatal(err)
	}
	commit()
	f.Fuzz(func(t *testing.T, bytes []byte) {
		var first rlsv3.RateLimitRequest
		if proto.Unmarshal(bytes, &first) != nil {
			return
		}
		for _, domain := range []string{first.Domain, "shop", sallyport.Domain} {
			req := proto.CloneOf(&first)
			req.Domain = domain
			service.counted, service.why = nil, nil
			resp, err := service.server.ShouldRateLimit(context.Background(), req)
			switch {
			case err != nil:
				if grpcstatus.Code(err) != codes.InvalidArgument {
					t.Fatalf("%v: %v", req, err)
				}
			case !proto.Equal(req, func() proto.Message { r := proto.CloneOf(&first); r.Domain = domain; return r }()):
				t.Fatalf("the request was changed: %v", req)
			default:
				lawful(t, req, resp)
			}
		}
	})
}

func lawful(t *testing.T, req *rlsv3.RateLimitRequest, resp *rlsv3.RateLimitResponse) {
	t.Helper()
	over := false
	for _, s := range resp.Statuses {
		over = over || s.Code == rlsv3.RateLimitResponse_OVER_LIMIT
		if l := s.CurrentLimit; l != nil && s.LimitRemaining > l.RequestsPerUnit || s.DurationUntilReset != nil && !s.DurationUntilReset.IsValid() {
			t.Fatalf("%v: %v", req, s)
		}
	}
	if len(resp.Statuses) != len(req.Descriptors) || over != (resp.OverallCode == rlsv3.RateLimitResponse_OVER_LIMIT) || resp.OverallCode == rlsv3.RateLimitResponse_UNKNOWN {
		t.Fatalf("%v: %v", req, resp)
	}
	if _, err := proto.Marshal(resp); err != nil {
		t.Fatalf("%v: %v", req, err)
	}
}
