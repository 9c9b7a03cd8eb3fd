package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

func (a *api) limits() {
	path := a.sub("limits")
	var names []string
	for i := range a.in.Limits {
		names = append(names, a.in.Limits[i].Name)
		a.limit(index(path, i), &a.in.Limits[i])
	}
	a.distinct(path, "name", names)
}

func (a *api) limit(path string, in *Limit) {
	a.required(path, "name", "its name", "write lower-case letters, digits and -")
	if in.Name != "" && !limitName.MatchString(in.Name) {
		a.add(field(path, "name"), "name "+quote(in.Name)+" is not one", "write lower-case letters, digits and -, beginning with a letter")
	}
	out := &sallyport.Limit{
		Name:        in.Name,
		Per:         slices.Clone(in.Per),
		When:        sallyport.When{Category: in.When.Category, Access: access(in.When.Access), Endpoint: in.When.Endpoint},
		Default:     windows(in.Limit),
		Concurrency: in.Concurrency,
	}
	for plan, w := range in.Plans {
		if out.Plans == nil {
			out.Plans = map[string]sallyport.Windows{}
		}
		out.Plans[plan] = windows(w)
	}
	a.per(field(path, "per"), in.Per)
	a.when(field(path, "when"), in.When)
	a.amount(path, in)
	a.planWindows(field(path, "plans"), in)
	a.distinctWindows(field(path, "limit"), in.Limit)
	before := len(a.absent)
	a.limitAbsent(path, in)
	out.Absent = len(a.absent) > before
	a.out.Limits = append(a.out.Limits, out)
}

func windows(in Windows) sallyport.Windows {
	out := sallyport.Windows{FromTenant: in.FromTenant, Unlimited: in.Unlimited}
	for _, w := range in.List {
		out.List = append(out.List, sallyport.Window{Max: w.Rate.Max, Length: w.Rate.Window, Burst: uint32(w.Burst)})
	}
	return out
}

// per checks whose counter a limit is.
func (a *api) per(path string, per List) {
	if !a.has(path) {
		a.add(path, "does not say for whom is counted", "allowed: "+strings.Join(counted, ", "))
	}
	words := append(slices.Clone(counted), countedLater...)
	for i, word := range per {
		if name, ok := strings.CutPrefix(word, "attribute "); ok {
			if !plainName.MatchString(name) {
				a.add(index(path, i), quote(name)+" is not the name of an attribute", "write attribute NAME")
			}
			continue
		}
		a.oneOf(index(path, i), "counter", word, append(words, "attribute NAME")...)
	}
	a.distinct(path, "counter", per)
}

func (a *api) when(path string, in When) {
	if a.whole(a.sub("categories")) {
		for i, category := range in.Category {
			a.known(index(field(path, "category"), i), "category", category, a.in.Categories)
		}
	}
	a.oneOf(field(path, "access"), "access", in.Access, "read", "write")
	a.oneOf(field(path, "outcome"), "outcome", in.Outcome, "failed", "passed")
	var mounted []string
	for _, e := range a.in.Endpoints {
		if e.Serve != "" {
			mounted = append(mounted, e.Serve)
		}
	}
	for i, name := range in.Endpoint {
		at := index(field(path, "endpoint"), i)
		if a.oneOf(at, "endpoint", name, served...) && a.whole(a.sub("endpoints")) && name != "" && !slices.Contains(mounted, name) {
			a.add(at, "endpoint "+name+" is not listed under endpoints", "the limit would count nothing")
		}
	}
	if len(in.Endpoint) > 0 && len(in.Category) > 0 {
		a.add(path, "asks for an endpoint and a category", "endpoints have no category: the limit would count nothing")
	}
}

// amount checks that a limit says how much in exactly one way.
func (a *api) amount(path string, in *Limit) {
	var given []string
	for _, name := range []string{"limit", "plans", "concurrency"} {
		if a.has(field(path, name)) {
			given = append(given, name)
		}
	}
	const hint = "write one of limit, plans and concurrency"
	switch {
	case len(given) == 0:
		a.add(path, "does not say how much", hint)
	case len(given) > 1:
		a.add(path, "says how much in more than one way: "+strings.Join(given, ", "), hint)
	case given[0] == "concurrency" && in.Concurrency == 0:
		a.add(field(path, "concurrency"), "is zero, which lets nothing through", "write how many may be in flight")
	}
}

// planWindows checks that each plan has its windows: one without would be let
// through by no one's decision, or refused by no one's.
func (a *api) planWindows(path string, in *Limit) {
	if !a.has(path) {
		return
	}
	for _, plan := range slices.Sorted(maps.Keys(in.Plans)) {
		at := key(path, plan)
		if !plainName.MatchString(plan) {
			a.add(at, "plan "+quote(plan)+" is not a name", "write letters, digits, . _ and -")
			continue
		}
		a.knownPlan(at, plan)
		a.distinctWindows(at, in.Plans[plan])
	}
	if !a.whole(a.sub("plans")) || !a.whole(path) || !a.has(a.sub("plans")) && !a.whole(a.sub("limits")) {
		return
	}
	for _, plan := range a.plans {
		if _, ok := in.Plans[plan]; !ok && plan != "" {
			a.add(path, "plan "+quote(plan)+" has no windows", "give it a rate, or write unlimited or tenant")
		}
	}
	if len(a.plans) == 0 {
		a.add(path, "lists no plan", "give each plan a rate, or write unlimited or tenant")
	}
}

func (a *api) distinctWindows(path string, in Windows) {
	seen := map[time.Duration]bool{}
	for i, w := range in.List {
		if seen[w.Rate.Window] && w.Rate.Window > 0 {
			a.add(index(path, i), "has the same length as a window before it", "keep the smaller one")
		}
		seen[w.Rate.Window] = true
	}
}

// limitAbsent notes what of a limit is not served yet. One that counts
// endpoints alone counts what is refused anyway.
func (a *api) limitAbsent(path string, in *Limit) {
	if len(in.When.Endpoint) > 0 {
		a.notice(path, "limits that count endpoints count nothing in this version: endpoints are refused")
		return
	}
	if a.has(field(path, "concurrency")) {
		a.notServed(field(path, "concurrency"), "limits of concurrency are not served by this version")
	}
	if in.When.Outcome != "" {
		a.notServed(field(path, "when.outcome"), "limits by outcome are not served by this version")
	}
	for i, word := range in.Per {
		if slices.Contains(countedLater, word) || strings.HasPrefix(word, "attribute ") {
			a.notServed(index(field(path, "per"), i), "limits per "+word+" are not served by this version")
		}
	}
	if at := a.burst(path, in); at != "" {
		a.notServed(at, "limits with burst are not served by this version")
	}
}

// burst returns where a limit first asks for one.
func (a *api) burst(path string, in *Limit) (first string) {
	find := func(path string, w Windows) {
		for i := range w.List {
			for _, at := range []string{field(path, "burst"), field(index(path, i), "burst")} {
				if a.has(at) && (first == "" || a.line(at) < a.line(first)) {
					first = at
				}
			}
		}
	}
	find(field(path, "limit"), in.Limit)
	for _, plan := range slices.Sorted(maps.Keys(in.Plans)) {
		find(key(field(path, "plans"), plan), in.Plans[plan])
	}
	return first
}
