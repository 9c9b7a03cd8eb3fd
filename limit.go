package sallyport

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Window is one allowance: Max requests in each Length. Windows of a fixed
// length are aligned to the Unix epoch.
//
// Max is what configuration promises; a Window with a zero Length allows
// nothing and does not load from configuration.
type Window struct {
	Max    uint64
	Length time.Duration // whole seconds
	Burst  uint32        // percent above Max that a rested caller may take at once; 0: a plain fixed window
}

// Limit is one rule of an API's configuration.
type Limit struct {
	Name        string
	Per         []string           // whose counter: names of Subject's fields, in order
	When        When               // which requests it counts
	Plans       map[string]Windows // by the tenant's plan
	Default     Windows            // where Plans is empty
	Concurrency uint32             // at most so many in flight; 0: not a rule about concurrency
	Absent      bool               // asks for what no engine does yet: a server must not start with it
}

// When narrows a limit to some requests. Empty fields match all.
type When struct {
	Category []string
	Access   Access
	Endpoint []string // endpoints by what they serve
}

// Windows is what a plan gets under a limit. The zero value allows nothing.
type Windows struct {
	List       []Window
	FromTenant bool // the tenant's own, from the store
	Unlimited  bool
}

// Subject is who a request counts for, in words that travel: Check writes them
// as dynamic metadata, Envoy's ratelimit filter makes them a descriptor, and
// the rate limit service reads them back. SubjectKeys and Field are the one
// place that says which and in what order.
type Subject struct {
	API, Tenant, Credential, Principal, Plan, Operation string
}

// SubjectKeys are the metadata keys, and so the descriptor's entries, in order;
// LimitsKey follows them.
var SubjectKeys = [...]string{"api", "tenant", "credential", PrincipalKey, "plan", "operation"}

// PrincipalKey is left out where the principal is the credential itself.
const PrincipalKey = "principal"

// LimitsKey is the metadata key and last descriptor entry that carries the
// resolved windows; CarrierKeys make the second descriptor, which no rule
// matches: a rate limit request has no headers, so the request id and the sid
// travel in it.
const LimitsKey = "limits"

// The carrier descriptor's entries.
const (
	CarrierRequestID = "sallyport_request_id"
	CarrierSID       = "sallyport_sid"
)

// Domain is the rate limit domain of generated configuration.
const Domain = "sallyport"

// Field returns the value of the i-th SubjectKeys.
func (s *Subject) Field(i int) *string {
	switch i {
	case 0:
		return &s.API
	case 1:
		return &s.Tenant
	case 2:
		return &s.Credential
	case 3:
		return &s.Principal
	case 4:
		return &s.Plan
	default:
		return &s.Operation
	}
}

// Value returns the field named key, one of SubjectKeys, or "".
func (s *Subject) Value(key string) string {
	for i, k := range SubjectKeys {
		if k == key {
			return *s.Field(i)
		}
	}
	return ""
}

// Charge is one limit as it applies to one request: the rule that names the
// counter and the windows that hold for this caller.
type Charge struct {
	Limit   *Limit
	Windows []Window
}

// Verdict is the answer to a take or a peek. Limit, Remaining and Reset tell
// the window that the caller should know of: the one with the fewest remaining
// (of equals the one that resets later), or on refusal the exhausted one that
// resets last.
type Verdict struct {
	Known      bool // false: no window applied, so there is nothing to tell
	Allowed    bool
	Limit      uint64
	Remaining  uint64
	Reset      time.Time
	Length     time.Duration // of the window told
	RetryAfter time.Duration // on refusal: when a retry passes if nobody else spends; whole seconds
	Rule       string        // the name of the limit told
}

// AppendLimits writes charges as the text that travels in the LimitsKey
// metadata, such as "requests=60/60s,1000/3600s;writes=20/60s+15%".
func AppendLimits(dst []byte, charges []Charge) []byte {
	for i, c := range charges {
		if i > 0 {
			dst = append(dst, ';')
		}
		dst = append(dst, c.Limit.Name...)
		for j, w := range c.Windows {
			if j == 0 {
				dst = append(dst, '=')
			} else {
				dst = append(dst, ',')
			}
			dst = strconv.AppendUint(dst, w.Max, 10)
			dst = append(dst, '/')
			dst = strconv.AppendInt(dst, int64(w.Length/time.Second), 10)
			dst = append(dst, 's')
			if w.Burst > 0 {
				dst = append(dst, '+')
				dst = strconv.AppendUint(dst, uint64(w.Burst), 10)
				dst = append(dst, '%')
			}
		}
	}
	return dst
}

var errCharges = errors.New("limits are not of the form name=max/seconds")

// ParseLimits reads what AppendLimits wrote, appending to dst; windows are
// kept in *windows so that a caller can reuse both. find returns the rule of a
// name, nil where the policy no longer has it: such a charge is left out.
func ParseLimits(dst []Charge, windows *[]Window, s string, find func(name string) *Limit) ([]Charge, error) {
	for s != "" {
		var one string
		one, s, _ = strings.Cut(s, ";")
		name, list, ok := strings.Cut(one, "=")
		if !ok {
			return dst, errCharges
		}
		first := len(*windows)
		for list != "" {
			var w string
			w, list, _ = strings.Cut(list, ",")
			window, ok := parseWindow(w)
			if !ok {
				return dst, errCharges
			}
			*windows = append(*windows, window)
		}
		if limit := find(name); limit != nil {
			dst = append(dst, Charge{Limit: limit, Windows: (*windows)[first:len(*windows):len(*windows)]})
		}
	}
	return dst, nil
}

func parseWindow(s string) (w Window, ok bool) {
	most, rest, ok := strings.Cut(s, "/")
	if !ok {
		return w, false
	}
	seconds, burst, bursts := strings.Cut(rest, "s+")
	if !bursts {
		seconds, ok = strings.CutSuffix(rest, "s")
	} else if burst, ok = strings.CutSuffix(burst, "%"); ok {
		var percent uint64
		percent, err := strconv.ParseUint(burst, 10, 32)
		if err != nil {
			return w, false
		}
		w.Burst = uint32(percent)
	}
	if !ok {
		return w, false
	}
	var err error
	if w.Max, err = strconv.ParseUint(most, 10, 64); err != nil {
		return w, false
	}
	n, err := strconv.ParseUint(seconds, 10, 32)
	if err != nil || n == 0 {
		return w, false
	}
	w.Length = time.Duration(n) * time.Second
	return w, true
}

// AppendCharges appends the limits that count a request for operation by a
// caller of tenant, with the windows that hold for that tenant. op is nil for
// what is not listed: only limits without conditions count that. A limit whose
// plan is unlimited is left out; one without windows for the plan stays in with
// none, and so allows nothing.
func (a *API) AppendCharges(dst []Charge, op *Operation, t *Tenant) []Charge {
	for _, l := range a.Limits {
		if l.When.counts(op) {
			if w := l.windows(t); !w.Unlimited {
				dst = append(dst, Charge{Limit: l, Windows: w.List})
			}
		}
	}
	return dst
}

// windows returns what holds for t under l.
func (l *Limit) windows(t *Tenant) Windows {
	w := l.Default
	if len(l.Plans) > 0 {
		w = l.Plans[t.Plan]
	}
	if w.FromTenant {
		w = Windows{List: t.Limits[l.Name]}
	}
	return w
}

func (w *When) counts(op *Operation) bool {
	if op == nil {
		return len(w.Category) == 0 && w.Access == AccessUnset && len(w.Endpoint) == 0
	}
	return (len(w.Category) == 0 || slices.Contains(w.Category, op.Category)) &&
		(w.Access == AccessUnset || w.Access == op.Access) &&
		(len(w.Endpoint) == 0 || op.Serve != "" && slices.Contains(w.Endpoint, op.Serve))
}
