package directory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	common "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	kinds "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"github.com/envoyproxy/ratelimit/src/config"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// written is a descriptor as a file has it.
type written struct {
	Key         string         `yaml:"key"`
	Value       string         `yaml:"value,omitempty"`
	RateLimit   *writtenLimit  `yaml:"rate_limit,omitempty"`
	Shadow      bool           `yaml:"shadow_mode,omitempty"`
	Quota       bool           `yaml:"quota_mode,omitempty"`
	Detailed    bool           `yaml:"detailed_metric,omitempty"`
	ToMetric    bool           `yaml:"value_to_metric,omitempty"`
	Share       bool           `yaml:"share_threshold,omitempty"`
	Descriptors []written      `yaml:"descriptors,omitempty"`
	Metadata    map[string]any `yaml:"metadata,omitempty"`
}

type writtenLimit struct {
	Unit      string        `yaml:"unit,omitempty"`
	Requests  uint32        `yaml:"requests_per_unit"`
	Unlimited bool          `yaml:"unlimited,omitempty"`
	Name      string        `yaml:"name,omitempty"`
	Replaces  []writtenName `yaml:"replaces,omitempty"`
}

type writtenName struct {
	Name string `yaml:"name"`
}

type writtenFile struct {
	Domain      string    `yaml:"domain"`
	Descriptors []written `yaml:"descriptors"`
}

// Keys have no underscore: there, envoyproxy/ratelimit confuses keys with values
// (see Differences on purpose). Values begin like one another, so that exact
// values, wildcards and bare keys compete.
var (
	someKeys   = rapid.SampledFrom([]string{"a", "b", "c"})
	someValues = rapid.SampledFrom([]string{"", "", "x", "xy", "xyz", "yx", "x_y", "*", "x*", "xy*", "xyz*", "y*", "x_*"})
	sentValues = rapid.SampledFrom([]string{"", "x", "xy", "xyz", "xyzz", "yx", "yxx", "x_y", "x_", "z", "*", "x*", "xy*"})
	someUnits  = rapid.SampledFrom([]string{"second", "MINUTE", "Hour", "day", "week", "month", "year"})
	someNames  = []string{"one", "two", "three"}
	rarely     = rapid.Map(rapid.IntRange(0, 3), func(n int) bool { return n == 0 })
)

func drawDescriptors(t *rapid.T, depth int) (all []written) {
	for range rapid.IntRange(0, 6).Draw(t, "descriptors") {
		d := written{
			Key: someKeys.Draw(t, "key"), Value: someValues.Draw(t, "value"),
			Shadow: rarely.Draw(t, "shadow"), Quota: rarely.Draw(t, "quota"),
			Detailed: rarely.Draw(t, "detailed"), ToMetric: rarely.Draw(t, "to metric"),
		}
		d.Share = strings.HasSuffix(d.Value, "*") && rapid.Bool().Draw(t, "share")
		if rapid.IntRange(0, 3).Draw(t, "limited") > 0 {
			d.RateLimit = drawLimit(t)
		}
		if depth < 3 && rapid.IntRange(0, 2).Draw(t, "nested") > 0 {
			d.Descriptors = drawDescriptors(t, depth+1)
		}
		all = append(all, d)
	}
	return once(all)
}

func drawLimit(t *rapid.T) *writtenLimit {
	l := &writtenLimit{Requests: rapid.Uint32().Draw(t, "requests"), Unlimited: rarely.Draw(t, "unlimited")}
	if !l.Unlimited {
		l.Unit = someUnits.Draw(t, "unit")
	}
	if rarely.Draw(t, "named") {
		l.Name = rapid.SampledFrom(someNames).Draw(t, "name")
	}
	if rarely.Draw(t, "replaces") {
		for _, name := range someNames {
			if name != l.Name && rapid.Bool().Draw(t, "replaced") {
				l.Replaces = append(l.Replaces, writtenName{name})
			}
		}
	}
	return l
}

// once leaves out what stands there twice, which both sides refuse.
func once(all []written) (kept []written) {
	for _, d := range all {
		if !slices.ContainsFunc(kept, func(k written) bool { return k.Key == d.Key && k.Value == d.Value }) {
			kept = append(kept, d)
		}
	}
	return kept
}

func drawFile(t *rapid.T) []byte {
	file := writtenFile{Domain: "shop", Descriptors: drawDescriptors(t, 1)}
	for _, name := range someNames {
		file.Descriptors = append(file.Descriptors, written{Key: "named", Value: name, RateLimit: &writtenLimit{Unit: "day", Requests: 1, Name: name}})
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func drawEntries(t *rapid.T) (entries []Entry) {
	for range rapid.IntRange(1, 4).Draw(t, "entries") {
		entries = append(entries, Entry{someKeys.Draw(t, "key"), sentValues.Draw(t, "value")})
	}
	return entries
}

// oracle is envoyproxy/ratelimit's own reading of a file.
func oracle(t interface{ Fatalf(string, ...any) }, text []byte) config.RateLimitConfig {
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("envoyproxy/ratelimit refuses: %v\n%s", p, text)
		}
	}()
	root := config.ConfigFileContentToYaml("file.yaml", string(text))
	return config.NewRateLimitConfigImpl([]config.RateLimitConfigToLoad{{Name: "file.yaml", ConfigYaml: root}}, noStats{}, false)
}

func descriptor(entries []Entry) *common.RateLimitDescriptor {
	d := &common.RateLimitDescriptor{}
	for _, e := range entries {
		d.Entries = append(d.Entries, &common.RateLimitDescriptor_Entry{Key: e.Key, Value: e.Value})
	}
	return d
}

// setOf reads texts, each of which is a file without a fault.
func setOf(t interface{ Fatalf(string, ...any) }, texts ...string) *Set {
	s := &Set{domains: map[string]*domain{}}
	for _, text := range texts {
		got := read("file.yaml", []byte(text))
		if len(got.faults) > 0 {
			t.Fatalf("%v\n%s", got.faults, text)
		}
		s.domains[got.name] = got.domain
	}
	return s
}

// limit is what an answer depends on, of either side.
type limit struct {
	Requests                                 uint32
	Unit                                     string
	Unlimited, Shadow, Quota, DetailedMetric bool
	Name, Metric, Counter                    string
	Replaces                                 string
}

// theirs puts what GetLimit returned in our words.
func theirs(domain string, got *config.RateLimit, entries []Entry) limit {
	unit := strings.ToLower(got.Limit.Unit.String())
	if unit == "unknown" {
		unit = ""
	}
	key := appendPart(nil, domain)
	for i, e := range entries {
		value := e.Value
		if i < len(got.ShareThresholdKeyPattern) && got.ShareThresholdKeyPattern[i] != "" {
			value = got.ShareThresholdKeyPattern[i]
		}
		key = appendPart(appendPart(key, e.Key), value)
	}
	return limit{
		Requests: got.Limit.RequestsPerUnit, Unit: unit, Unlimited: got.Unlimited, Shadow: got.ShadowMode,
		Quota: got.QuotaMode, DetailedMetric: got.DetailedMetric, Name: got.Name, Metric: got.Stats.Key,
		Counter: string(key), Replaces: fmt.Sprint(got.Replaces),
	}
}

func ours(got *Rule, key []byte, entries []Entry) limit {
	return limit{
		Requests: got.Requests, Unit: got.Unit.String(), Unlimited: got.Unlimited, Shadow: got.Shadow,
		Quota: got.Quota, DetailedMetric: got.DetailedMetric, Name: got.Name, Metric: string(got.AppendMetric(nil, entries)),
		Counter: string(key), Replaces: fmt.Sprint(got.Replaces),
	}
}

func TestMatchIsWhatEnvoysRateLimitMatches(t *testing.T) {
	var matched, shared, perValue, deep int
	rapid.Check(t, func(t *rapid.T) {
		text := drawFile(t)
		set, reference := setOf(t, string(text)), oracle(t, text)
		for range 20 {
			entries := drawEntries(t)
			want := reference.GetLimit(context.Background(), "shop", descriptor(entries))
			got, key := set.Match("shop", entries, nil)
			if (got == nil) != (want == nil) {
				t.Fatalf("%v: got %v, want %v\n%s", entries, got, want, text)
			}
			if got == nil {
				continue
			}
			if got, want := ours(got, key, entries), theirs("shop", want, entries); got != want {
				t.Fatalf("%v:\ngot  %+v\nwant %+v\n%s", entries, got, want, text)
			}
			if !got.PerValue && string(got.AppendMetric(nil, entries)) != got.Metric {
				t.Fatalf("%v: metric depends on values, and PerValue is not set\n%s", entries, text)
			}
			matched++
			shared += count(want.ShareThresholdKeyPattern != nil)
			perValue += count(got.PerValue)
			deep += count(len(entries) > 1)
		}
	})
	if matched < 100 || shared < 10 || perValue < 10 || deep < 10 {
		t.Errorf("of what was drawn, %d matched, %d by a shared wildcard, %d with values in their metric, %d with several entries", matched, shared, perValue, deep)
	}
}

// TestTheWildcardItselfIsSent: a pattern as a value is the pattern's own rule
// and, to the names of metrics, no wildcard match.
func TestTheWildcardItselfIsSent(t *testing.T) {
	const text = `
domain: shop
descriptors:
- key: a
  value: x*
  share_threshold: true
  value_to_metric: true
  descriptors:
  - {key: b, detailed_metric: true, rate_limit: {unit: day, requests_per_unit: 1}}
  - {key: c, rate_limit: {unit: day, requests_per_unit: 2}}
`
	set, reference := setOf(t, text), oracle(t, []byte(text))
	for _, value := range []string{"x*", "xy", "x"} {
		for _, key := range []string{"b", "c"} {
			for _, second := range []string{"", "v"} {
				entries := []Entry{{"a", value}, {key, second}}
				rule, counter := set.Match("shop", entries, nil)
				got := ours(rule, counter, entries)
				if want := theirs("shop", reference.GetLimit(context.Background(), "shop", descriptor(entries)), entries); got != want {
					t.Errorf("%v:\ngot  %+v\nwant %+v", entries, got, want)
				}
			}
		}
	}
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestOverrideIsEnvoysRateLimits(t *testing.T) {
	const text = "domain: shop\ndescriptors:\n- {key: a, shadow_mode: true, quota_mode: true, rate_limit: {unit: day, requests_per_unit: 1, name: n}}\n"
	reference := oracle(t, []byte(text))
	rapid.Check(t, func(t *rapid.T) {
		entries, requests := drawEntries(t), rapid.Uint32().Draw(t, "requests")
		d := descriptor(entries)
		d.Limit = &common.RateLimitDescriptor_RateLimitOverride{RequestsPerUnit: requests, Unit: kinds.RateLimitUnit_MONTH}
		got, ok := Override(requests, Month, 1)
		want := theirs("shop", reference.GetLimit(context.Background(), "shop", d), entries)
		want.Metric = "" // a name for every value
		if got := ours(&got, AppendKey(nil, "shop", entries), entries); !ok || got != want {
			t.Fatalf("%v:\ngot  %+v\nwant %+v", entries, got, want)
		}
	})
}

// TestScalarsAreReadAsTheyReadThem: two libraries of YAML, of two versions of
// YAML. Of what is odd we may refuse more, and read nothing otherwise.
func TestScalarsAreReadAsTheyReadThem(t *testing.T) {
	odd := rapid.OneOf(
		rapid.StringOfN(rapid.SampledFrom([]rune("0123456789_+-.xobeEinfNa~:T")), 1, 6, -1),
		rapid.SampledFrom([]string{"", "~", "null", "NULL", "y", "Y", "yes", "on", "Off", "n", "No", "true", "FALSE", "<<", "=", "0o17", "017", "0x1F", "0b11", "-0b1",
			"1_000", "_1", "1e3", ".inf", "-.INF", ".NaN", "2026-01-02", "2026-01-02T03:04:05Z", "12:30:45", "9223372036854775808", "18446744073709551616", "''", `""`, `"5"`, "'yes'", "!!str 5", "!!int '5'", "! 5", "!!bool yes", `"\u2028"`, "|\n  x", ">-\n  x\n  y"}),
	)
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		text := "domain: shop\ndescriptors:\n- key: a\n  value: " + odd.Draw(t, "value") +
			"\n  shadow_mode: " + rapid.OneOf(odd, rapid.Just("true")).Draw(t, "switch") +
			"\n  rate_limit:\n    unit: day\n    requests_per_unit: " + rapid.OneOf(odd, rapid.Just("7")).Draw(t, "number") + "\n"
		got := read("file.yaml", []byte(text))
		// Our library does not tell the tag !, which theirs keeps.
		if strings.Contains(lines(got.faults), "refuses it") && !strings.Contains(text, ": ! ") {
			t.Fatalf("only they find the fault: %v\n%s", got.faults, text)
		}
		if got.domain == nil {
			return
		}
		accepted++
		sameRules(t, got.domain, []byte(text))
	})
	if accepted < 5 {
		t.Errorf("%d texts are accepted", accepted)
	}
}
