package config

import (
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// api compiles one API.
type api struct {
	*faults
	path string // of it in the file
	in   *API
	out  *sallyport.API

	scopes  map[string]int      // place in out.Scopes, by name
	holders map[string][]string // the scopes that satisfy a scope
	plans   []string            // all that exist
	routes  []compiled
}

func compileAPI(f *faults, name string, in *API) *sallyport.API {
	a := &api{faults: f, path: key("apis", name), in: in, out: &sallyport.API{Name: name}}
	if !apiName.MatchString(name) {
		a.add(a.path, "is not the name of an API", "write lower-case letters, digits and -, beginning with a letter")
	}
	a.general()
	a.attributes()
	a.cors()
	a.credentials()
	a.permissions()
	a.tiers()
	a.tokens()
	a.operations()
	a.limits()
	a.headers()
	a.errors()
	a.anomalies()
	return a.out
}

// sub returns the path of what stands in the API.
func (a *api) sub(name string) string { return field(a.path, name) }

func (a *api) general() {
	in, out := a.in, a.out
	out.Upstream, out.TrustedHops = in.Upstream, in.TrustedHops
	out.RequestIDPrefix = in.RequestID.Prefix
	out.Shadow = a.mode(a.sub("mode"), in.Mode)
	out.Media = sallyport.Media{Accept: in.Media.Accept, Content: in.Media.Content}
	out.Grace = time.Duration(in.OnFailure.Grace)
	out.OnFailure.QuotaOpen = in.OnFailure.Quota == "open"

	out.Hosts = a.hosts(a.sub("hosts"), in.Hosts)
	if !a.has(a.sub("hosts")) {
		a.add(a.sub("hosts"), "no host is listed", "requests find the API by its host")
	}
	if in.Upstream != "" {
		if problem := upstreamProblem(in.Upstream); problem != "" {
			a.add(a.sub("upstream"), problem, "write http://HOST:PORT or https://HOST:PORT")
		}
	}
	if in.TrustedHops > 100 {
		a.add(a.sub("trusted_hops"), "is out of range", "0 to 100")
	}
	if p := in.RequestID.Prefix; p != "" && !idPrefix.MatchString(p) {
		a.add(a.sub("request_id.prefix"), "prefix "+quote(p)+" is not one", "write up to 32 letters, digits, _ and -")
	}
	for _, m := range [][2]string{{"media.accept", in.Media.Accept}, {"media.content", in.Media.Content}} {
		if m[1] != "" && !mediaType.MatchString(m[1]) {
			a.add(a.sub(m[0]), quote(m[1])+" is not a media type", "write one such as application/json")
		}
	}
	a.oneOf(a.sub("on_failure.credentials"), "choice", in.OnFailure.Credentials, "closed")
	a.oneOf(a.sub("on_failure.quota"), "choice", in.OnFailure.Quota, "closed", "open")
}

// mode reports whether a mode is shadow.
func (a *api) mode(path, mode string) bool {
	a.oneOf(path, "mode", mode, "enforce", "shadow")
	return mode == "shadow"
}

// hosts checks a list of hosts and returns it.
func (a *api) hosts(path string, list List) []string {
	for i, host := range list {
		if host == "" {
			continue
		}
		if problem, hint := hostProblem(host); problem != "" {
			a.add(index(path, i), problem, hint)
		}
	}
	a.distinct(path, "host", list)
	return slices.Clone(list)
}

// tiers finds the plans: those listed, or those that the limits name.
func (a *api) tiers() {
	path := a.sub("plans")
	a.distinct(path, "plan", a.in.Plans)
	a.plans = slices.Clone(a.in.Plans)
	if !a.has(path) {
		for _, l := range a.in.Limits {
			for plan := range l.Plans {
				a.plans = append(a.plans, plan)
			}
		}
		slices.Sort(a.plans)
		a.plans = slices.Compact(a.plans)
	}
	for i, plan := range a.in.Plans {
		if plan != "" && !plainName.MatchString(plan) {
			a.add(index(path, i), "plan "+quote(plan)+" is not a name", "write letters, digits, . _ and -")
		}
	}
	a.out.Plans = a.plans
}

// knownPlan says so where plan is none of the API's.
func (a *api) knownPlan(path, plan string) {
	if a.whole(a.sub("plans")) && (a.has(a.sub("plans")) || a.whole(a.sub("limits"))) {
		a.known(path, "plan", plan, a.plans)
	}
}

// known says so where name is none of all.
func (a *api) known(path, what, name string, all []string) {
	if name == "" || slices.Contains(all, name) || a.full() {
		return
	}
	hint, _ := allowed(name, all)
	if hint == "" {
		hint = "none is defined"
	}
	a.add(path, "unknown "+what+" "+quote(name), hint)
}

func (a *api) headers() { a.out.Headers = quotaHeaders(a.faults, a.sub("headers"), a.in.Headers) }

// quotaHeaders compiles the headers at path.
func quotaHeaders(a *faults, path string, in QuotaHeaders) sallyport.QuotaHeaders {
	out := sallyport.QuotaHeaders{Limit: in.Limit, Remaining: in.Remaining, Reset: in.Reset.Name, RetryAfter: in.RetryAfter != ""}
	seen := map[string]bool{}
	for _, h := range [][2]string{{"limit", in.Limit}, {"remaining", in.Remaining}, {"reset", in.Reset.Name}} {
		at, name := field(path, h[0]), h[1]
		if name == "" {
			continue
		}
		if problem, hint := headerProblem(name); problem != "" {
			a.add(at, problem, hint)
		} else if seen[strings.ToLower(name)] {
			a.add(at, "header "+quote(name)+" tells two things", "give each a header of its own")
		}
		seen[strings.ToLower(name)] = true
	}
	reset := field(path, "reset")
	if a.has(reset) && in.Reset.Name == "" && !a.has(field(reset, "name")) {
		a.add(reset, "names no header", "write {name: HEADER, as: unix}")
	}
	a.oneOf(field(reset, "as"), "form", in.Reset.As, "unix", "delta")
	if in.Reset.As == "delta" {
		out.ResetAs = sallyport.ResetDelta
	}
	a.oneOf(field(path, "retry_after"), "unit", in.RetryAfter, "seconds")
	return out
}

// required says so where a field was not written.
func (a *api) required(path, name, what, hint string) {
	if !a.has(field(path, name)) {
		a.add(field(path, name), "does not say "+what, hint)
	}
}
