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
		When:        sallyport.When{Category: in.When.Category, Access: access(in.When.Access), Endpoint: in.When.Endpoint, Failed: in.When.Outcome == "failed"},
		Default:     a.windows(field(path, "limit"), in.Limit),
		Concurrency: in.Concurrency,
		Wait:        a.wait(path, in),
		Shadow:      in.Shadow,
	}
	for _, plan := range slices.Sorted(maps.Keys(in.Plans)) {
		if out.Plans == nil {
			out.Plans = map[string]sallyport.Windows{}
		}
		out.Plans[plan] = a.windows(key(field(path, "plans"), plan), in.Plans[plan])
	}
	a.per(field(path, "per"), in.Per)
	a.when(field(path, "when"), in.When)
	out.When.Attributes = a.attributeConditions(field(path, "when.attribute"), in.When.Attribute)
	a.amount(path, in)
	a.planWindows(field(path, "plans"), in)
	a.atEndpoint(path, in)
	a.out.Limits = append(a.out.Limits, out)
}

// per checks whose counter a limit is.
func (a *api) per(path string, per List) {
	if !a.has(path) {
		a.add(path, "does not say for whom is counted", "allowed: "+strings.Join(counted, ", "))
	}
	words := append(slices.Clone(counted), countedAtEndpoint...)
	for i, word := range per {
		if name, ok := strings.CutPrefix(word, sallyport.PerAttribute); ok {
			if !plainName.MatchString(name) {
				a.add(index(path, i), quote(name)+" is not the name of an attribute", "write "+sallyport.PerAttribute+"NAME")
			} else if !slices.Contains(a.out.PerAttributes, name) {
				a.out.PerAttributes = append(a.out.PerAttributes, name)
			}
			continue
		}
		a.oneOf(index(path, i), "counter", word, append(words, sallyport.PerAttribute+"NAME")...)
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

// attributeConditions are in the order of their names.
func (a *api) attributeConditions(path string, in map[string]Values) (conditions []sallyport.AttributeIs) {
	if a.has(path) && len(in) == 0 {
		a.add(path, "names no attribute", "write {NAME: VALUE} or {NAME: [VALUE…]}")
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		at := key(path, name)
		if !plainName.MatchString(name) {
			a.add(at, quote(name)+" is not the name of an attribute", "write letters, digits, . _ and -")
		}
		for i, value := range in[name] {
			if slices.Contains(in[name][:i], value) {
				a.add(index(at, i), "value "+quote(value)+" is written twice", "")
			}
		}
		conditions = append(conditions, sallyport.AttributeIs{Name: name, Values: in[name]})
	}
	return conditions
}

// usualWait lets a client pass that sends its next request with the last
// answer: the slot is free a moment later.
const (
	usualWait = 250 * time.Millisecond
	maxWait   = 500 * time.Millisecond // Envoy waits a second for the whole of a Check
)

// wait returns how long a request waits for a slot.
func (a *api) wait(path string, in *Limit) time.Duration {
	at := field(path, "wait")
	switch {
	case !a.has(at) && in.Concurrency > 0:
		return usualWait
	case a.has(at) && !a.has(field(path, "concurrency")):
		a.add(at, "stands without concurrency", "only a slot can be waited for")
	case time.Duration(in.Wait) > maxWait:
		a.add(at, "is too long", "at most "+maxWait.String())
	}
	return time.Duration(in.Wait)
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

// atEndpoint checks what only a limit of endpoints can say. Those that fail have
// no tenant, and nothing else that a credential would tell.
func (a *api) atEndpoint(path string, in *Limit) {
	proving := len(in.When.Endpoint) > 0 && !slices.ContainsFunc(in.When.Endpoint, func(s string) bool { return !slices.Contains(issuing, s) })
	if a.has(field(path, "when.outcome")) && !proving {
		a.add(field(path, "when.outcome"), "stands without an endpoint that callers prove themselves to", "write when: {endpoint: "+sallyport.ServeToken+", outcome: failed}")
	}
	for i, word := range in.Per {
		at := index(field(path, "per"), i)
		switch {
		case slices.Contains(countedAtEndpoint, word) && !proving:
			a.add(at, "counts by "+word+", which is known at endpoints alone", "write when: {endpoint: "+sallyport.ServeToken+"}")
		case in.When.Outcome == "failed" && !slices.Contains(countedAtEndpoint, word) && word != "api":
			a.add(at, "counts failures by "+quote(word)+", which is not known of who fails", "allowed: address, client, api")
		}
	}
	if proving && in.Concurrency > 0 {
		a.add(field(path, "concurrency"), "is not for endpoints", "write limit: a rate")
	}
}
