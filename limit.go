package sallyport

import (
	"slices"
	"strings"
	"time"
)

// Limit is one rule of an API's configuration.
type Limit struct {
	Name        string
	Per         []string           // whose counter: SubjectKeys, and "attribute NAME", in order
	When        When               // which requests it counts
	Plans       map[string]Windows // by the caller's plan
	Default     Windows            // where Plans is empty
	Concurrency uint32             // at most so many in flight; 0: not a rule about concurrency
	Wait        time.Duration      // of Concurrency: how long a request waits for a slot before it is refused
	Shadow      bool               // counts and says what it would have refused, and refuses nothing
}

// When narrows a limit to some requests. Empty fields match all.
type When struct {
	Category   []string
	Access     Access
	Endpoint   []string // endpoints by what they serve
	Failed     bool     // of those, the requests whose caller did not prove who it is; else those whose did
	Attributes []AttributeIs
}

// AttributeIs holds for callers of whom the attribute Name is one of Values;
// "" is a caller without.
type AttributeIs struct {
	Name   string
	Values []string
}

// Windows is what a plan, a tenant or a credential gets under a limit. The zero
// value allows nothing.
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

	// Address and Client are who calls an endpoint: known there alone, and do not
	// travel.
	Address, Client string

	// Attributes are those facts about the caller that limits count by, as
	// AppendAttributes writes them; "" for none.
	Attributes string
}

// SubjectKeys are the metadata keys, and so the descriptor's entries, in order;
// LimitsKey follows them.
var SubjectKeys = [...]string{"api", "tenant", "credential", PrincipalKey, "plan", "operation", AttributesKey}

// PrincipalKey is left out where the principal is the credential itself,
// AttributesKey where no limit counts by one.
const (
	PrincipalKey  = "principal"
	AttributesKey = "attributes"
)

// PerAttribute is what Limit.Per holds before an attribute's name.
const PerAttribute = "attribute "

// LimitsKey is the metadata key and descriptor entry that carries the resolved
// windows, and HitsKey the one that carries how many hits a request counts for,
// left out where that is the operation's weight. The carrier's keys make the second descriptor, which no rule
// matches: a rate limit request has no headers, so the request id and the sid
// travel in it.
const (
	LimitsKey = "limits"
	HitsKey   = "hits"
)

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
	case 5:
		return &s.Operation
	default:
		return &s.Attributes
	}
}

// Value returns the field named key, one of SubjectKeys or of Limit.Per, or "".
func (s *Subject) Value(key string) string {
	if name, ok := strings.CutPrefix(key, PerAttribute); ok {
		return attributeOf(s.Attributes, name)
	}
	for i, k := range SubjectKeys {
		if k == key {
			return *s.Field(i)
		}
	}
	switch key {
	case "address":
		return s.Address
	case "client":
		return s.Client
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
	RetryAfter time.Duration // on refusal: when a retry passes if nobody else spends; whole seconds
	Rule       string        // the name of the limit told
	Window     Window        // the window told
	Shadow     string        // the name of a limit in shadow that would have refused; "" for none
}

// AppendLimits writes charges as the text that travels in the LimitsKey
// metadata, such as "requests=60/60s,1000/3600s;writes=20/60s+15%". Unlike
// Window.String it writes every length in seconds.
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
			dst = w.append(dst, time.Second, "s")
		}
	}
	return dst
}

// ParseLimits reads what AppendLimits wrote, appending to dst; windows are
// kept in *windows so that a caller can reuse both. find returns the rule of a
// name, nil where the policy no longer has it: such a charge is left out.
func ParseLimits(dst []Charge, windows *[]Window, s string, find func(name string) *Limit) ([]Charge, error) {
	for s != "" {
		var one string
		one, s, _ = strings.Cut(s, ";")
		name, list, _ := strings.Cut(one, "=") // without windows nothing is allowed
		if name == "" {
			return dst, errCharges
		}
		first := len(*windows)
		for list != "" {
			var w string
			w, list, _ = strings.Cut(list, ",")
			window, ok := parseTravelling(w)
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

// AppendCharges appends the limits that count a request for operation by c. op
// is nil for what is not listed: only limits without conditions on operations
// count that. A limit that is unlimited for c is left out, as is one per an
// attribute that c has not; one without windows for the plan stays in with
// none, and so allows nothing. Limits of concurrency are left out: see
// AppendSlots.
func (a *API) AppendCharges(dst []Charge, op *Operation, c *Credential) []Charge {
	for _, l := range a.Limits {
		if l.Concurrency == 0 && l.When.counts(op) && l.counts(c) {
			if w, _ := l.windows(c); !w.Unlimited {
				dst = append(dst, Charge{Limit: l, Windows: w.List})
			}
		}
	}
	return dst
}

// AppendEndpointCharges appends the limits that count a request for op, an
// endpoint of the gate's own, by name: of c, who proved to be its caller, or where
// c is nil those of the callers who did not.
func (a *API) AppendEndpointCharges(dst []Charge, op *Operation, c *Credential) []Charge {
	for _, l := range a.Limits {
		w := l.When
		w.Failed = false
		if l.When.Failed != (c == nil) || len(w.Endpoint) == 0 || !w.counts(op) || l.Concurrency > 0 {
			continue
		}
		windows := l.Default
		if c != nil {
			if !l.counts(c) {
				continue
			}
			windows, _ = l.windows(c)
		}
		if !windows.Unlimited {
			dst = append(dst, Charge{Limit: l, Windows: windows.List})
		}
	}
	return dst
}

// AppendSlots appends the limits of concurrency that hold for a request for
// operation by c.
func (a *API) AppendSlots(dst []*Limit, op *Operation, c *Credential) []*Limit {
	for _, l := range a.Limits {
		if l.Concurrency > 0 && l.When.counts(op) && l.counts(c) {
			dst = append(dst, l)
		}
	}
	return dst
}

// windows returns what holds for c under l: its own override, its tenant's, or
// what its plan gets; and where that comes from.
func (l *Limit) windows(c *Credential) (w Windows, from Source) {
	if own, ok := c.Overrides[l.Name]; ok {
		return own, SourceKeyOverride
	}
	if own, ok := c.Tenant.Overrides[l.Name]; ok {
		return own, SourceTenantOverride
	}
	w, from = l.Default, SourceDefault
	if len(l.Plans) > 0 {
		w, from = l.Plans[c.PlanName()], SourcePlan
		if c.Plan != "" {
			from = SourceKeyPlan
		}
	}
	if w.FromTenant {
		return Windows{List: c.Tenant.Limits[l.Name]}, SourceTenantLimits
	}
	return w, from
}

// counts reports whether l counts callers such as c.
func (l *Limit) counts(c *Credential) bool {
	for _, is := range l.When.Attributes {
		if !slices.Contains(is.Values, c.Attribute(is.Name)) {
			return false
		}
	}
	for _, per := range l.Per {
		if name, ok := strings.CutPrefix(per, PerAttribute); ok && c.Attribute(name) == "" {
			return false
		}
	}
	return true
}

func (w *When) counts(op *Operation) bool {
	if w.Failed {
		return false // see AppendEndpointCharges
	}
	if op == nil {
		return len(w.Category) == 0 && w.Access == AccessUnset && len(w.Endpoint) == 0
	}
	return (len(w.Category) == 0 || slices.Contains(w.Category, op.Category)) &&
		(w.Access == AccessUnset || w.Access == op.Access) &&
		(len(w.Endpoint) == 0 || op.Serve != "" && slices.Contains(w.Endpoint, op.Serve))
}

// AppendAttributes writes what c has of the attributes that a's limits count
// by, as they travel: name=value pairs between semicolons, with %, ; and =
// written as % and two hexadecimal digits.
func (a *API) AppendAttributes(dst []byte, c *Credential) []byte {
	first := len(dst)
	for _, name := range a.PerAttributes {
		value := c.Attribute(name)
		if value == "" {
			continue
		}
		if len(dst) > first {
			dst = append(dst, ';')
		}
		dst = append(append(dst, name...), '=')
		for i := range len(value) {
			switch b := value[i]; b {
			case '%', ';', '=':
				const digits = "0123456789ABCDEF"
				dst = append(dst, '%', digits[b>>4], digits[b&15])
			default:
				dst = append(dst, b)
			}
		}
	}
	return dst
}

// attributeOf finds name in what AppendAttributes wrote. The value stays as it
// travels: it is compared with itself alone.
func attributeOf(s, name string) string {
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, ";")
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value
		}
	}
	return ""
}
