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

	Places  []Place
	Keys    []KeyForm
	Tokens  *OwnTokens // nil: the gate issues none
	Issuers []Issuer

	RequestIDPrefix string        // of request ids that the gate makes
	TrustedHops     uint32        // proxies in front of Envoy whose X-Forwarded-For entries count
	Grace           time.Duration // known credentials are served so long while the store is down; 0: as long as they are cached

	Scopes      []Scope
	Presets     map[string][]string
	Roles       map[string][]string // the scopes of each
	TenantRoles bool                // tenants may make roles of their own
	Attributes  []AttributeUse
	Categories  []string
	Plans       []string
	Operations  []*Operation

	Limits        []*Limit
	PerAttributes []string // attributes that limits count by
	Headers       QuotaHeaders
	Errors        [kindCount]Response // by Kind
	OnFailure     OnFailure
	Anomalies     []Anomaly
	Media         Media
	CORS          CORS
	Shadow        bool // decide, count and mark, but refuse nothing
}

// AttributeUse makes a fact about the caller known to others.
type AttributeUse struct {
	Name     string
	Header   string // to the upstream, in lower case: set or removed, never the client's own; "" for none
	Metadata bool   // among the dynamic metadata
}

// CORS says which scripts of other origins may call (the Fetch standard's CORS
// protocol). The zero value allows none and answers no preflight.
type CORS struct {
	Origins     []string // scheme://host[:port]; the host may begin with "*."; "*" is any origin
	Methods     []string
	Headers     []string // of requests; "*" allows whatever is asked for
	Expose      []string // of responses, besides the quota's own
	Credentials bool
	MaxAge      time.Duration
}

// Media switches the checks of content negotiation on: the media type that
// Accept must not exclude (406), and that a body must be declared as (415).
type Media struct{ Accept, Content string }

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

// Operation returns the operation called name, or nil.
func (a *API) Operation(name string) *Operation {
	for _, op := range a.Operations {
		if op.Name == name {
			return op
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
	UniqueLabel bool          // no other key of the tenant that is not revoked has the same
	Role        bool          // a role is required
	MinScopes   int
	Expiry      []string // the choices of expiry; empty: any
	Exchange    bool     // good only for a token, not on the API itself
	LegacyBody  bool     // imported secrets of other shapes are accepted under this prefix
}

// Scope is one permission. GrantsAll gives every listed operation; Grants are
// the scopes that it gives besides itself, spelled out.
type Scope struct {
	Name      string
	Means     string // to a user who is asked to grant it; "" where nobody has said
	GrantsAll bool
	Grants    []string
}

// Operation is one method and path template, and what it asks of a caller.
type Operation struct {
	Name     string // "GET /v1/devices/{id}" unless the configuration names it
	Method   string
	Path     string   // template: literal segments, {name} for one segment, {name...} last for the rest
	Hosts    []string // the only hosts it is served on; empty: all of the API's
	Scopes   []string // any one of them is enough; empty: any valid credential
	Granted  []string // every scope whose holder may: Scopes, and those that grant one of them
	Weight   uint64   // hits that a request counts for; never 0 in a compiled policy
	Cost     Cost     // where a request or its answer says how many hits it counts for
	Access   Access   // never AccessUnset in a compiled policy
	Category string
	Tenant   TenantParameter
	Answer   *Answer           // answered by the gate itself
	Sandbox  *Answer           // the mock for sandbox credentials
	Webhook  *Webhook          // its sender signs it; nil: it takes a credential
	Serve    string            // an endpoint of ours, mounted on the API's path: "oauth2_token", "api_keys", …
	Fields   map[string]string // names that the endpoint's JSON uses, by ours
	Field    string            // of ServeExchange: the member of the body that holds the key
	Grants   []string          // of ServeToken: the grant types that it takes
	Plans    []string          // of endpoints: whose tenants may use them; empty: any
	Public   bool              // no credential is asked for (endpoints that take their own)
	Shadow   bool              // as API.Shadow, for this operation

	// Absent says what the operation needs that no engine does yet: it is
	// refused with 503 until one does. Empty for all that works.
	Absent string
}

// ServeKeys is the endpoint by which a tenant manages its own keys, and
// KeyFields are our names of what its JSON holds: an API may have others.
const ServeKeys = "api_keys"

// KeyFields are the fields of a key in self-service.
var KeyFields = [...]string{"id", "secret", "label", "scopes", "expires", "addresses"}

// Cost reads the hits of one request from headers. The zero value reads none.
type Cost struct {
	Request  string // header of the request, in lower case: a whole number, the operation's weight where there is none
	Response string // header of the upstream's answer, in lower case: what it tells beyond the hits already taken is taken when the request has ended
	Max      uint64 // hits that one header may tell; more counts as Max. Never 0 where a header is named
}

// TenantParameter is where a request names a tenant; it must be the caller's.
type TenantParameter struct{ Path, Query, Header string }

// Answer is a response that the gate makes itself on success.
type Answer struct {
	Status int
	Body   string // JSON with ${…} placeholders (package render)
	Token  string // the same for callers with a token; "": Body
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
