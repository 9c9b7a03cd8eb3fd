package ratelimit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/envoyproxy/ratelimit/src/config"
	"github.com/envoyproxy/ratelimit/src/stats"
	"github.com/envoyproxy/ratelimit/src/utils"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/ratelimit/directory"
	"github.com/sallyport/sallyport/ratelimit/redis"
)

// rulesFile is a file of rules as it is drawn; what is JSON is YAML.
type rulesFile struct {
	Domain      string      `json:"domain"`
	Descriptors []ruleDrawn `json:"descriptors"`
}

type ruleDrawn struct {
	Key         string         `json:"key"`
	Value       string         `json:"value,omitempty"`
	Limit       map[string]any `json:"rate_limit,omitempty"`
	Shadow      bool           `json:"shadow_mode,omitempty"`
	Quota       bool           `json:"quota_mode,omitempty"`
	Detailed    bool           `json:"detailed_metric,omitempty"`
	ToMetric    bool           `json:"value_to_metric,omitempty"`
	Share       bool           `json:"share_threshold,omitempty"`
	Descriptors []ruleDrawn    `json:"descriptors,omitempty"`
}

// Keys and values are few, so that requests meet rules and one another's
// counters; none has an underscore, which envoyproxy/ratelimit confuses (see
// Differences on purpose of package directory).
var (
	drawnKeys   = rapid.SampledFrom([]string{"a", "b", "c"})
	ruleValues  = rapid.SampledFrom([]string{"", "", "x", "xy", "*", "x*", "y*"})
	sentValues  = rapid.SampledFrom([]string{"", "x", "xy", "xz", "y", "z", "x*"})
	limitNames  = []string{"one", "two", "three"}
	seldom      = rapid.Map(rapid.IntRange(0, 3), func(n int) bool { return n == 0 })
	manyHits    = rapid.OneOf(rapid.Uint64Range(0, 4), rapid.Uint64Range(0, 4), rapid.Uint64Range(1<<32-2, 1<<32+2), rapid.Just(uint64(sallyport.MaxRate)))
	manyAllowed = rapid.OneOf(rapid.Uint32Range(0, 6), rapid.Uint32Range(0, 6), rapid.SampledFrom([]uint32{math.MaxUint32 - 1, math.MaxUint32}))
)

func drawRules(t *rapid.T, units []string, depth int) (all []ruleDrawn) {
	for range rapid.IntRange(1, 5).Draw(t, "rules") {
		r := ruleDrawn{
			Key: drawnKeys.Draw(t, "key"), Value: ruleValues.Draw(t, "value"), Shadow: seldom.Draw(t, "shadow"), Quota: seldom.Draw(t, "quota"),
			Detailed: seldom.Draw(t, "detailed"), ToMetric: seldom.Draw(t, "to metric"),
		}
		if slices.ContainsFunc(all, func(o ruleDrawn) bool { return o.Key == r.Key && o.Value == r.Value }) {
			continue
		}
		r.Share = strings.HasSuffix(r.Value, "*") && rapid.Bool().Draw(t, "share")
		if rapid.IntRange(0, 4).Draw(t, "limited") > 0 {
			r.Limit = drawLimit(t, units)
		}
		if depth < 3 && seldom.Draw(t, "nested") {
			r.Descriptors = drawRules(t, units, depth+1)
		}
		all = append(all, r)
	}
	return all
}

func drawLimit(t *rapid.T, units []string) map[string]any {
	limit := map[string]any{"unlimited": true}
	if !seldom.Draw(t, "unlimited") {
		limit = map[string]any{"unit": rapid.SampledFrom(units).Draw(t, "unit"), "requests_per_unit": manyAllowed.Draw(t, "requests")}
	}
	name := rapid.SampledFrom(append([]string{""}, limitNames...)).Draw(t, "name")
	limit["name"] = name
	if seldom.Draw(t, "replaces") {
		limit["replaces"] = []map[string]string{{"name": rapid.SampledFrom(slices.DeleteFunc(slices.Clone(limitNames), func(n string) bool { return n == name })).Draw(t, "replaced")}}
	}
	return limit
}

func drawRequest(t *rapid.T, units []typev3.RateLimitUnit) *rlsv3.RateLimitRequest {
	req := &rlsv3.RateLimitRequest{Domain: rapid.SampledFrom([]string{"shop", "shop", "shop", "mall"}).Draw(t, "domain"), HitsAddend: rapid.Uint32Range(0, 3).Draw(t, "addend")}
	for range rapid.IntRange(1, 4).Draw(t, "descriptors") {
		d := &ratelimitv3.RateLimitDescriptor{}
		for range rapid.SampledFrom([]int{1, 1, 1, 2, 2, 3, 0}).Draw(t, "entries") {
			d.Entries = append(d.Entries, &ratelimitv3.RateLimitDescriptor_Entry{Key: drawnKeys.Draw(t, "key"), Value: sentValues.Draw(t, "value")})
		}
		if seldom.Draw(t, "own hits") {
			d.HitsAddend = wrapperspb.UInt64(manyHits.Draw(t, "hits"))
		}
		if seldom.Draw(t, "override") {
			d.Limit = &ratelimitv3.RateLimitDescriptor_RateLimitOverride{RequestsPerUnit: manyAllowed.Draw(t, "requests"), Unit: rapid.SampledFrom(units).Draw(t, "unit")}
		}
		req.Descriptors = append(req.Descriptors, d)
	}
	return req
}

// reference is what envoyproxy/ratelimit makes of a sequence of requests: the
// rule of each descriptor is its own GetLimit's. Its limiter, and the service
// over it, need modules that nothing else here does, so they are said again,
// over counters in a map.
type reference struct {
	config config.RateLimitConfig
	counts map[string]uint64
	units  map[string]rlsv3.RateLimitResponse_RateLimit_Unit // of counts
	now    time.Time
}

func newReference(text []byte) *reference {
	root := config.ConfigFileContentToYaml("file.yaml", string(text))
	return &reference{
		config: config.NewRateLimitConfigImpl([]config.RateLimitConfigToLoad{{Name: "file.yaml", ConfigYaml: root}}, names{}, false),
		counts: map[string]uint64{}, units: map[string]rlsv3.RateLimitResponse_RateLimit_Unit{},
	}
}

// names gives rules a name and no counters.
type names struct{ stats.Manager }

func (names) NewStats(key string) stats.RateLimitStats { return stats.RateLimitStats{Key: key} }

// UnixNow makes r its own clock.
func (r *reference) UnixNow() int64 { return r.now.Unix() }

// limits are the rules of req's descriptors, after what replaces what.
func (r *reference) limits(req *rlsv3.RateLimitRequest) (limits []*config.RateLimit, unlimited []bool) {
	limits, unlimited = make([]*config.RateLimit, len(req.Descriptors)), make([]bool, len(req.Descriptors))
	if req.Domain != "shop" {
		return limits, unlimited // GetLimit counts whom it does not know
	}
	var replaced []string
	for i, d := range req.Descriptors {
		if limits[i] = r.config.GetLimit(context.Background(), req.Domain, d); limits[i] == nil {
			continue
		}
		replaced = append(replaced, limits[i].Replaces...)
		if unlimited[i] = limits[i].Unlimited; unlimited[i] {
			limits[i] = nil
		}
	}
	for i, l := range limits {
		if l != nil && l.Name != "" && slices.Contains(replaced, l.Name) {
			limits[i] = nil
		}
	}
	return limits, unlimited
}

// counter is the name that the limiter gives the counter of d.
func (r *reference) counter(domain string, d *ratelimitv3.RateLimitDescriptor, l *config.RateLimit) string {
	name := domain + "_"
	for i, e := range d.Entries {
		value := e.Value
		if i < len(l.ShareThresholdKeyPattern) && l.ShareThresholdKeyPattern[i] != "" {
			value = l.ShareThresholdKeyPattern[i]
		}
		name += e.Key + "_" + value + "_"
	}
	length := utils.UnitToDivider(l.Limit.Unit)
	return fmt.Sprint(name, r.UnixNow()/length*length)
}

// confuses reports whether req would have windows of two lengths in one counter,
// as theirs have that begin at the same second.
func (r *reference) confuses(req *rlsv3.RateLimitRequest) bool {
	limits, _ := r.limits(req)
	for i, l := range limits {
		if l == nil {
			continue
		}
		name := r.counter(req.Domain, req.Descriptors[i], l)
		if unit, known := r.units[name]; known && unit != l.Limit.Unit {
			return true
		}
		r.units[name] = l.Limit.Unit
	}
	return false
}

// answer is the service's, with its headers.
func (r *reference) answer(req *rlsv3.RateLimitRequest) *rlsv3.RateLimitResponse {
	limits, unlimited := r.limits(req)
	hits := utils.GetHitsAddends(req)
	resp := &rlsv3.RateLimitResponse{OverallCode: rlsv3.RateLimitResponse_OK}
	var closest *rlsv3.RateLimitResponse_DescriptorStatus
	fewest := uint32(math.MaxUint32)
	for i, l := range limits {
		s := &rlsv3.RateLimitResponse_DescriptorStatus{Code: rlsv3.RateLimitResponse_OK}
		resp.Statuses = append(resp.Statuses, s)
		if unlimited[i] {
			s.LimitRemaining = math.MaxUint32
		}
		if l == nil {
			continue
		}
		name := r.counter(req.Domain, req.Descriptors[i], l)
		r.counts[name] += hits[i]
		s.CurrentLimit, s.DurationUntilReset = l.Limit, utils.CalculateReset(&l.Limit.Unit, r)
		over := r.counts[name] > uint64(l.Limit.RequestsPerUnit)
		if !over {
			s.LimitRemaining = l.Limit.RequestsPerUnit - uint32(r.counts[name])
		}
		if s.LimitRemaining < fewest {
			closest, fewest = s, s.LimitRemaining
		}
		if over && !l.ShadowMode && !l.QuotaMode {
			s.Code, resp.OverallCode = rlsv3.RateLimitResponse_OVER_LIMIT, rlsv3.RateLimitResponse_OVER_LIMIT
			closest, fewest = s, 0
		}
	}
	if closest != nil {
		resp.ResponseHeadersToAdd = told(closest)
	}
	return resp
}

// told are the headers that tell s.
func told(s *rlsv3.RateLimitResponse_DescriptorStatus) []*corev3.HeaderValue {
	return []*corev3.HeaderValue{
		{Key: "RateLimit-Limit", Value: fmt.Sprint(s.CurrentLimit.RequestsPerUnit)},
		{Key: "RateLimit-Remaining", Value: fmt.Sprint(s.LimitRemaining)},
		{Key: "RateLimit-Reset", Value: fmt.Sprint(s.DurationUntilReset.Seconds)},
	}
}

// ours is our service over counters, whose clock is driven along.
type ours struct {
	*ratelimit.Server
	now time.Time
}

type silent struct{}

func (silent) Limited(sallyport.Reason)    {}
func (silent) Counted(ratelimit.Counted)   {}
func (silent) Refused(*sallyport.Decision) {}

func newOurs(t *rapid.T, folder string, text []byte, counters ratelimit.Counters) *ours {
	if err := os.WriteFile(filepath.Join(folder, "file.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	l := directory.NewLoader(folder).Load()
	if len(l.Faults) > 0 {
		t.Fatalf("%v\n%s", l.Faults, text)
	}
	o := &ours{}
	o.Server = ratelimit.NewServer(counters, func() time.Time { return o.now }, silent{})
	o.Enforce(&ratelimit.Directories{Set: l.Set, Ready: true, Headers: &sallyport.QuotaHeaders{
		Limit: "RateLimit-Limit", Remaining: "RateLimit-Remaining", Reset: "RateLimit-Reset", ResetAs: sallyport.ResetDelta,
	}})
	return o
}

// same holds our answer against theirs, of which a quota that is used up leaves
// out when it resets.
func same(ours, theirs *rlsv3.RateLimitResponse) bool {
	theirs = proto.CloneOf(theirs)
	for i, s := range theirs.Statuses {
		if s.CurrentLimit != nil && s.DurationUntilReset == nil && i < len(ours.Statuses) && s.LimitRemaining == 0 {
			s.DurationUntilReset = ours.Statuses[i].DurationUntilReset
		}
	}
	return proto.Equal(ours, theirs)
}

// TestDescriptorsAreLimitedAsEnvoysRateLimitDoes: random rules, random requests,
// time that moves; every answer is theirs, word for word.
func TestDescriptorsAreLimitedAsEnvoysRateLimitDoes(t *testing.T) {
	t.Parallel()
	var seen tallies
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		text := drawFile(t, []string{"second", "minute", "Hour", "DAY", "week", "month", "year"})
		theirs, ours := newReference(text), newOurs(t, folder, text, ratelimit.NewMemory())
		now := time.Unix(1_700_000_000, 0)
		for range 20 {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, 700 * time.Millisecond, time.Second, 40 * time.Second, time.Hour, 20 * 24 * time.Hour}).Draw(t, "later"))
			theirs.now, ours.now = now, now
			req := drawRequest(t, overrideUnits[:])
			if theirs.confuses(req) {
				continue
			}
			seen.equal(t, req, text, ours, theirs.answer(req))
		}
	})
	seen.enough(t)
}

// TestDescriptorsInRedisAreLimitedAsEnvoysRateLimitDoes: the same over counters
// that instances share. Their clock is Redis's own, so time stands still as far
// as windows of a day and more can tell.
func TestDescriptorsInRedisAreLimitedAsEnvoysRateLimitDoes(t *testing.T) {
	t.Parallel() // it waits for Redis
	server := testenv.StartRedis(t)
	if until := 24*time.Hour - time.Duration(time.Now().Unix()%86400)*time.Second; until < 3*time.Minute {
		t.Skip("a day is about to end")
	}
	counters, err := redis.Open(t.Context(), redis.Options{Addresses: []string{server.Addr}, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(counters.Close)
	var seen tallies
	folder := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		server.Do("FLUSHALL")
		text := drawFile(t, []string{"day", "week", "month", "year"})
		theirs, ours := newReference(text), newOurs(t, folder, text, counters)
		for range 20 {
			ours.now = time.Now()
			theirs.now = ours.now
			req := drawRequest(t, overrideUnits[3:])
			if theirs.confuses(req) {
				continue
			}
			seen.equal(t, req, text, ours, theirs.answer(req))
		}
	})
	seen.enough(t)
}

var overrideUnits = [...]typev3.RateLimitUnit{
	typev3.RateLimitUnit_SECOND, typev3.RateLimitUnit_MINUTE, typev3.RateLimitUnit_HOUR, typev3.RateLimitUnit_DAY, typev3.RateLimitUnit_MONTH, typev3.RateLimitUnit_YEAR,
}

func drawFile(t *rapid.T, units []string) []byte {
	text, err := json.Marshal(rulesFile{"shop", drawRules(t, units, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// tallies say what was met among what was drawn.
type tallies struct{ limited, over, spared, unlimited, overridden, peeked int }

func (n *tallies) equal(t *rapid.T, req *rlsv3.RateLimitRequest, text []byte, ours *ours, theirs *rlsv3.RateLimitResponse) {
	t.Helper()
	resp, err := ours.ShouldRateLimit(context.Background(), req)
	if err != nil || !same(resp, theirs) {
		t.Fatalf("at %v\n%v:\ngot  %v, %v\nwant %v\n%s", ours.now, req, resp, err, theirs, text)
	}
	for i, s := range resp.Statuses {
		switch {
		case s.Code == rlsv3.RateLimitResponse_OVER_LIMIT:
			n.over++
		case s.CurrentLimit == nil && s.LimitRemaining > 0:
			n.unlimited++
		case s.CurrentLimit != nil && s.LimitRemaining == 0:
			n.spared++
		case s.CurrentLimit != nil:
			n.limited++
		}
		if d := req.Descriptors[i]; s.CurrentLimit != nil {
			n.overridden += one(d.Limit != nil)
			n.peeked += one(d.HitsAddend != nil && d.HitsAddend.Value == 0)
		}
	}
}

func (n *tallies) enough(t *testing.T) {
	t.Helper()
	t.Logf("%+v", *n)
	least := 10
	if testing.Short() { // a fifth is drawn
		least = 1
	}
	if min(n.limited, n.over, n.spared, n.unlimited, n.overridden, n.peeked) < least {
		t.Errorf("what was drawn met too little: %+v", *n)
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
