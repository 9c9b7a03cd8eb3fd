package sallyport

import "time"

// Policy is a whole configuration, validated and compiled: immutable, shared
// by all requests, replaced as one. The zero value lists nothing.
type Policy struct {
	Chain Chain
	APIs  []*API
}

// API returns the API called name, or nil.
func (p *Policy) API(name string) *API {
	for _, a := range p.APIs {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// API is one guarded API: where its credentials are read, what they may do,
// how often, and how it answers.
type API struct {
	Name     string
	Hosts    []string // lower case, without port and trailing dot
	Upstream string   // URL, for generated Envoy configuration

	Places []Place
	Keys   []KeyForm

	Scopes     []Scope
	Presets    map[string][]string
	Roles      map[string][]string
	Categories []string
	Plans      []string
	Operations []*Operation

	Limits    []*Limit
	Headers   QuotaHeaders
	Errors    [kindCount]Response // by Kind
	OnFailure OnFailure

	// Absent says what the configuration asks of this API as a whole that
	// no engine does yet; while it is not empty the API cannot be served.
	Absent []string
}

// Response returns how the API answers refusals of kind k.
func (a *API) Response(k Kind) *Response {
	if k >= kindCount {
		k = KindUnavailable
	}
	return &a.Errors[k]
}

// Limit returns the limit called name, or nil.
func (a *API) Limit(name string) *Limit {
	for _, l := range a.Limits {
		if l.Name == name {
			return l
		}
	}
	return nil
}

// KeyForm returns the form registered under prefix, or nil.
func (a *API) KeyForm(prefix string) *KeyForm {
	for i := range a.Keys {
		if a.Keys[i].Prefix == prefix {
			return &a.Keys[i]
		}
	}
	return nil
}

// Place is where a credential may stand in a request.
type Place struct {
	Header string // lower case; "" where it is a query parameter
	Scheme string // for a header: the word before the secret (RFC 9110 §11.1), matched without case
	Query  string
}

// KeyForm is one registered prefix and what it says about the keys under it.
type KeyForm struct {
	Prefix      string
	Kind        string // "key" unless the configuration says else
	Environment string
	Access      Access
	Sandbox     bool
	MinAge      time.Duration // shortest life that may be asked for; 0: any
	MaxAge      time.Duration // longest; 0: unbounded
	Label       bool          // a label (name) is required
	MinScopes   int
	Expiry      []string // the choices of expiry; empty: any
	// LegacyBody accepts imported secrets of other shapes under this prefix.
	LegacyBody bool
}

// Scope is one permission. Grants names what else it gives: "all" for every
// listed operation.
type Scope struct {
	Name      string
	GrantsAll bool
}

// Operation is one method and path template, and what it asks of a caller.
type Operation struct {
	Name     string // "GET /v1/devices/{id}" unless the configuration names it
	Method   string
	Path     string   // template: literal segments, {name} for one segment, {name...} last for the rest
	Scopes   []string // any one of them is enough; empty: any valid credential
	Access   Access   // never AccessUnset in a compiled policy
	Category string
	Tenant   TenantParameter
	Answer   *Answer // answered by the gate itself
	Sandbox  *Answer // the mock for sandbox credentials
	Serve    string  // an endpoint of ours, mounted on the API's path: "oauth2_token", "api_keys", …
	Public   bool    // no credential is asked for (endpoints that take their own)

	// Absent says what the operation needs that no engine does yet: it is
	// refused with 503 until one does. Empty for all that works.
	Absent string
}

// TenantParameter is where a request names a tenant; it must be the caller's.
type TenantParameter struct{ Path, Query, Header string }

// Answer is a response that the gate makes itself on success.
type Answer struct {
	Status int
	Body   string // JSON with ${…} placeholders (package render)
}

// Response is how a refusal looks.
type Response struct {
	Status          int
	Code            string
	Message         string // may hold ${…} placeholders
	Type            string
	WWWAuthenticate string
	Body            string // JSON with ${…} placeholders (package render)
}

// QuotaHeaders are the names under which an API tells its quota; "" leaves one
// out.
type QuotaHeaders struct {
	Limit, Remaining, Reset string
	ResetAs                 ResetForm
	RetryAfter              bool
}

// ResetForm is how the reset header tells time.
type ResetForm uint8

const (
	ResetUnix  ResetForm = iota // seconds since the Unix epoch
	ResetDelta                  // seconds from now
)

// OnFailure says what happens to requests while a part of the gate fails. The
// zero value refuses.
type OnFailure struct {
	QuotaOpen bool // counters down: let requests pass unlimited
}
