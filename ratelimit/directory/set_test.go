package directory

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// some holds one rule of each kind.
const some = `
domain: shop
descriptors:
- key: path
  value: /v1/*
  share_threshold: true
  rate_limit: {unit: minute, requests_per_unit: 100}
- key: path
  value: "*.png"
  rate_limit: {unlimited: true}
- key: path
  value: /v2/*/orders
  rate_limit: {unit: hour, requests_per_unit: 5}
- key: path
  rate_limit: {unit: second, requests_per_unit: 10}
- key: tenant
  value_to_metric: true
  descriptors:
  - key: user
    detailed_metric: false
    rate_limit: {unit: day, requests_per_unit: 1000, name: users}
    metadata: {plan: basic, burst: [1, 2.5, true, ~, {deep: x}], on: true}
  - key: user
    value: root
- key: plan
  rate_limit: {unit: MONTH, requests_per_unit: 0}
  descriptors:
  - key: tier
    rate_limit: {unit: Year, requests_per_unit: 1}
`

func TestMatch(t *testing.T) {
	set := setOf(t, some)
	for _, c := range []struct {
		domain  string
		entries []Entry
		metric  string // of the rule; "" for none
	}{
		{"shop", []Entry{{"path", "/v1/a"}}, "shop.path_/v1/*"},
		{"shop", []Entry{{"path", "/v1/"}}, "shop.path_/v1/*"},
		{"shop", []Entry{{"path", "/v1/a.png"}}, "shop.path_/v1/*"}, // the first of the file
		{"shop", []Entry{{"path", "/v2/a.png"}}, "shop.path_*.png"},
		{"shop", []Entry{{"path", "/v2/7/orders"}}, "shop.path_/v2/*/orders"},
		{"shop", []Entry{{"path", "/v2//orders"}}, "shop.path_/v2/*/orders"},
		{"shop", []Entry{{"path", "/v2/orders"}}, "shop.path"}, // one slash cannot be both
		{"shop", []Entry{{"path", ""}}, "shop.path"},
		{"shop", []Entry{{"path_/v1/", "x"}}, ""}, // a key is a key and no part of a value
		{"shop", []Entry{{"user", "x"}}, ""},
		{"shop", []Entry{{"tenant", "t"}}, ""}, // not limited by itself
		{"shop", []Entry{{"tenant", "t"}, {"user", "x"}}, "shop.tenant.user"},
		{"shop", []Entry{{"tenant", "t"}, {"user", "root"}}, ""}, // matched, and not limited
		{"shop", []Entry{{"tenant", "t"}, {"user", "x"}, {"path", "y"}}, ""},
		{"shop", []Entry{{"plan", "p"}}, "shop.plan"},
		{"shop", []Entry{{"plan", "p"}, {"tier", "q"}}, "shop.plan.tier"},
		{"shop", nil, ""},
		{"mall", []Entry{{"path", "/v1/a"}}, ""},
	} {
		rule, key := set.Match(c.domain, c.entries, []byte("before"))
		if got := metricOf(rule); got != c.metric {
			t.Errorf("%s %v: got %q, want %q", c.domain, c.entries, got, c.metric)
		}
		if rest, ok := strings.CutPrefix(string(key), "before"); !ok || (rest == "") != (c.metric == "") {
			t.Errorf("%s %v: got the key %q", c.domain, c.entries, key)
		}
	}
}

func metricOf(r *Rule) string {
	if r == nil {
		return ""
	}
	return r.Metric
}

func TestRulesAreAsTheFileHasThem(t *testing.T) {
	set := setOf(t, some, "domain: empty\ndescriptors:\n")
	if !set.Known("shop") || !set.Known("empty") || set.Known("mall") || (&Set{}).Known("shop") {
		t.Error("the wrong domains are known")
	}
	var got []string
	for name, r := range set.Rules() {
		got = append(got, fmt.Sprintf("%s:%d %s %s %d per %v %q %v %v %v", r.File, r.Line, name, r.Metric, r.Requests, r.Length(), r.Name, r.Unlimited, r.PerValue, r.Metadata))
	}
	want := []string{
		`file.yaml:7 shop shop.path_/v1/* 100 per 1m0s "" false false map[]`,
		`file.yaml:10 shop shop.path_*.png 0 per 0s "" true false map[]`,
		`file.yaml:13 shop shop.path_/v2/*/orders 5 per 1h0m0s "" false false map[]`,
		`file.yaml:15 shop shop.path 10 per 1s "" false false map[]`,
		`file.yaml:21 shop shop.tenant.user 1000 per 24h0m0s "users" false true map[burst:[1 2.5 true <nil> map[deep:x]] on:true plan:basic]`,
		`file.yaml:26 shop shop.plan 0 per 720h0m0s "" false false map[]`,
		`file.yaml:29 shop shop.plan.tier 1 per 8760h0m0s "" false false map[]`,
	}
	if diff := slices.Compare(got, want); diff != 0 {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for range set.Rules() {
		break
	}
}

func TestOnlyWhatSharesHasOneCounter(t *testing.T) {
	set := setOf(t, some)
	counter := func(entries ...Entry) string {
		_, key := set.Match("shop", entries, nil)
		return string(key)
	}
	if a, b := counter(Entry{"path", "/v1/a"}), counter(Entry{"path", "/v1/b"}); a != b || a == "" {
		t.Errorf("a shared wildcard has the counters %q and %q", a, b)
	}
	if a, b := counter(Entry{"path", "/v2/a/orders"}), counter(Entry{"path", "/v2/b/orders"}); a == b {
		t.Errorf("a wildcard that is not shared has one counter %q", a)
	}
	// In envoyproxy/ratelimit these are one counter.
	a, b := AppendKey(nil, "d", []Entry{{"a", "x"}, {"b", "1"}}), AppendKey(nil, "d", []Entry{{"a", "x_b_1"}})
	if string(a) == string(b) {
		t.Errorf("two descriptors have one counter %q", a)
	}
}

func TestNoTwoDescriptorsHaveOneKey(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("a_\x00\x01.")), 0, 4, -1)
	entry := rapid.Custom(func(t *rapid.T) Entry { return Entry{text.Draw(t, "key"), text.Draw(t, "value")} })
	one := rapid.Custom(func(t *rapid.T) []Entry { return rapid.SliceOfN(entry, 0, 3).Draw(t, "entries") })
	rapid.Check(t, func(t *rapid.T) {
		d, e, a, b := text.Draw(t, "domain"), text.Draw(t, "other domain"), one.Draw(t, "one"), one.Draw(t, "other")
		same := d == e && slices.Equal(a, b)
		if got := string(AppendKey(nil, d, a)) == string(AppendKey(nil, e, b)); got != same {
			t.Fatalf("%q %q and %q %q: one key: %v", d, a, e, b, got)
		}
	})
}

// TestWildcardsAreThoseOfTheFirstLineThatMatches compares with the naive loop,
// over stars anywhere.
func TestWildcardsAreThoseOfTheFirstLineThatMatches(t *testing.T) {
	text := rapid.StringOfN(rapid.SampledFrom([]rune("ab")), 0, 5, -1)
	pattern := rapid.Map(rapid.StringOfN(rapid.SampledFrom([]rune("ab**")), 0, 5, -1), func(s string) string {
		if !strings.Contains(s, "*") {
			return s + "*"
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		var w wildcards
		var nodes []*node
		for i, p := range rapid.SliceOfNDistinct(pattern, 1, 6, rapid.ID).Draw(t, "patterns") {
			n := &node{value: p, parts: strings.Split(p, "*"), order: i}
			nodes = append(nodes, n)
			w.add(n)
		}
		naive := func(value string) *node {
			for _, n := range nodes {
				expr := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(n.value), `\*`, ".*") + "$"
				if regexp.MustCompile(expr).MatchString(value) {
					return n
				}
			}
			return nil
		}
		value := text.Draw(t, "value")
		if got, want := w.first(value), naive(value); got != want {
			t.Fatalf("%q: got %v, want %v", value, got, want)
		}
		// What the strict pass calls unreachable, no value reaches: not even
		// one that has a new letter for each star.
		for _, n := range nodes {
			if got, want := w.first(n.value) == n, naive(strings.ReplaceAll(n.value, "*", "c")) == n; got != want {
				t.Fatalf("%q is reachable: got %v, want %v", n.value, got, want)
			}
		}
	})
}

func TestOverride(t *testing.T) {
	for _, c := range []struct {
		unit       Unit
		multiplier uint32
		length     string // "": refused
	}{
		{Second, 1, "1s"}, {Minute, 5, "5m0s"}, {Year, 100, "876000h0m0s"},
		{NoUnit, 1, ""}, {Unit(99), 1, ""}, {Second, 0, ""}, {Year, 101, ""}, {Year, 1<<32 - 1, ""},
	} {
		r, ok := Override(7, c.unit, c.multiplier)
		if ok != (c.length != "") || ok && (r.Length().String() != c.length || r.Requests != 7) {
			t.Errorf("%v times %d: got %v, %v, want %q", c.unit, c.multiplier, r.Length(), ok, c.length)
		}
	}
}

func TestUnitsAreReadInAnyCase(t *testing.T) {
	for u := Second; u <= Year; u++ {
		for _, name := range []string{u.String(), strings.ToUpper(u.String()), strings.ToUpper(u.String()[:1]) + u.String()[1:]} {
			if got, ok := ParseUnit(name); !ok || got != u {
				t.Errorf("%q: got %v, %v", name, got, ok)
			}
		}
	}
	for _, name := range []string{"", "unknown", "UNKNOWN", "seconds"} {
		if got, ok := ParseUnit(name); ok || got != NoUnit {
			t.Errorf("%q: got %v, %v", name, got, ok)
		}
	}
	if Unit(99).String() != "" || Unit(99).Length() != 0 {
		t.Error("a unit that does not exist has a name or a length")
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	set := setOf(t, some)
	dst := make([]byte, 0, 256)
	for _, entries := range [][]Entry{
		{{"path", "/v1/a"}},
		{{"path", "/v2/7/orders"}},
		{{"tenant", "t"}, {"user", "x"}},
		{{"nothing", "x"}},
	} {
		var rule *Rule
		if n := testing.AllocsPerRun(100, func() { rule, _ = set.Match("shop", entries, dst) }); n != 0 {
			t.Errorf("%v: %v allocations", entries, n)
		}
		if rule == nil {
			continue
		}
		if n := testing.AllocsPerRun(100, func() { rule.AppendMetric(dst, entries) }); n != 0 {
			t.Errorf("metric of %v: %v allocations", entries, n)
		}
	}
}

// benchmarkMatch matches in a domain of about rules rules: exact values,
// wildcards and what is nested, all of one key.
func benchmarkMatch(b *testing.B, rules int) {
	var text strings.Builder
	text.WriteString("domain: shop\ndescriptors:\n")
	for i := range rules / 3 {
		fmt.Fprintf(&text, "- {key: path, value: /exact/%d, rate_limit: {unit: second, requests_per_unit: 1}}\n", i)
		fmt.Fprintf(&text, "- {key: path, value: /wild/%d/*, rate_limit: {unit: second, requests_per_unit: 1}}\n", i)
		fmt.Fprintf(&text, "- {key: tenant, value: t%d, descriptors: [{key: user, rate_limit: {unit: second, requests_per_unit: 1}}]}\n", i)
	}
	set := setOf(b, text.String())
	last := rules/3 - 1
	asked := [][]Entry{
		{{"path", fmt.Sprintf("/exact/%d", last)}},
		{{"path", fmt.Sprintf("/wild/%d/orders/17", last)}},
		{{"tenant", fmt.Sprintf("t%d", last)}, {"user", "somebody"}},
	}
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if rule, _ := set.Match("shop", asked[i%len(asked)], dst); rule == nil {
			b.Fatal(asked[i%len(asked)])
		}
		i++
	}
}

func BenchmarkMatch10(b *testing.B)    { benchmarkMatch(b, 10) }
func BenchmarkMatch1000(b *testing.B)  { benchmarkMatch(b, 1000) }
func BenchmarkMatch10000(b *testing.B) { benchmarkMatch(b, 10000) }
