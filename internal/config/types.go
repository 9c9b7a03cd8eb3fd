package config

import (
	"time"

	"github.com/sallyport/sallyport"
)

// File is sallyport.yaml as it is written. Every field is optional unless its
// comment says else; Defaults fills what an operator need not think about.
type File struct {
	Listen    Listen         `yaml:"listen"`
	Store     string         `yaml:"store"`     // sqlite:///PATH; required
	Counters  Counters       `yaml:"counters"`  // memory (default), redis://…, or a mapping
	RateLimit RateLimit      `yaml:"ratelimit"` // rules in envoyproxy/ratelimit's own files, besides the APIs'
	Pepper    Peppers        `yaml:"pepper"`    // required: {file: PATH} or {env: NAME}, or a list of them while peppers rotate
	Admin     Admin          `yaml:"admin"`
	Chain     string         `yaml:"chain"` // paired (default) or fused; the route's context extension wins
	Cache     Cache          `yaml:"cache"`
	Log       Log            `yaml:"log"`
	APIs      map[string]API `yaml:"apis"` // required, at least one
}

// Listen says where the server is reached: TCP "host:port" or "unix:///path".
type Listen struct {
	GRPC List   `yaml:"grpc"` // default unix:///run/sallyport/sallyport.sock and 127.0.0.1:9191
	HTTP string `yaml:"http"` // default 127.0.0.1:9192

	// InFlight is how many calls may be in flight at once before more are
	// refused; default 4096 for each core.
	InFlight uint32 `yaml:"in_flight"`
}

// Counters says where it is counted what was taken: in this process (Memory), or
// in the Redis at the addresses, which instances share. The fields of the other
// kind are zero.
type Counters struct {
	Memory bool   `yaml:"memory"`
	File   string `yaml:"file"` // of Memory: where they outlive the process; see Config.CountersFile

	Redis    List     `yaml:"redis"` // written as URLs or HOST:PORT; read as HOST:PORT or unix:///PATH
	Database uint32   `yaml:"-"`     // from the URL
	Mode     string   `yaml:"mode"`  // single (default), cluster or sentinel
	Master   string   `yaml:"master"`
	Username string   `yaml:"username"`
	Password Secret   `yaml:"password"` // the zero value: none
	TLS      TLS      `yaml:"tls"`
	Prefix   string   `yaml:"prefix"`  // of keys; default sallyport:
	Timeout  Duration `yaml:"timeout"` // of silence, that a call waits for; default 100ms
	OnLoss   string   `yaml:"on_loss"` // local, open or closed; default: each API's on_failure.quota
	Share    Percent  `yaml:"share"`   // of each limit that one instance allows by itself, with on_loss: local; default 100%
	Lease    Lease    `yaml:"lease"`
}

// TLS says how a server proves itself to us, and we to it.
type TLS struct {
	On          bool   `yaml:"-"`           // rediss:// was written, or tls
	CA          string `yaml:"ca"`          // file of certificates; default: the system's
	Certificate string `yaml:"certificate"` // file of our own
	Key         string `yaml:"key"`         // file of its key
	ServerName  string `yaml:"server_name"` // default: the host's
}

// Lease takes quota from shared counters ahead of its need, so that most calls are
// answered without asking them; see ratelimit.Reserve for what that bounds. The zero
// value takes none.
type Lease struct {
	Batch uint64  `yaml:"batch"` // hits of one counter at most; default 100
	Share Percent `yaml:"share"` // of what is left in a counter at most; default 10%
}

// RateLimit names folders of rules in envoyproxy/ratelimit's own YAML.
type RateLimit struct {
	Directories List     `yaml:"directories"`
	Poll        Duration `yaml:"poll"` // how often they are looked at; default 1s

	// Headers tell clients of the descriptor that is closest to its limit;
	// default: none. The usual names there are RateLimit-Limit,
	// RateLimit-Remaining and RateLimit-Reset, as: delta.
	Headers QuotaHeaders `yaml:"headers"`

	Tell *sallyport.QuotaHeaders `yaml:"-"` // Headers, compiled; nil for none
}

// Secret says where a secret is read from. It never holds one.
type Secret struct {
	File string `yaml:"file"`
	Env  string `yaml:"env"`
}

// Peppers are one pepper, or several, the current one first: secrets that are
// kept under an older one are renewed when they are used.
type Peppers []Pepper

// Pepper is the key under which secrets are hashed. Version numbers them in the
// order in which they came; it is required where there are several, else 1.
type Pepper struct {
	Version uint32 `yaml:"version"`
	Secret  `yaml:",inline"`
}

// Admin configures the admin API. Without a token here the server makes one
// at its first start and prints it once.
type Admin struct {
	Token Secret `yaml:"token"`
}

// Log says what the server writes to standard error.
type Log struct {
	Format    string `yaml:"format"`    // text (default) or json
	Decisions string `yaml:"decisions"` // refused (default), all or none
	Rate      uint32 `yaml:"rate"`      // decisions a second at most; default 100
}

// Cache sizes the credential cache.
type Cache struct {
	Credentials int      `yaml:"credentials"` // how many at most; default 1,000,000
	Timeout     Duration `yaml:"timeout"`     // how long a Check waits for the store; default 250ms
}

// API is one guarded API.
type API struct {
	Hosts       List              `yaml:"hosts"`    // required
	Upstream    string            `yaml:"upstream"` // http(s)://host:port, for generated Envoy configuration
	TrustedHops uint32            `yaml:"trusted_hops"`
	RequestID   RequestID         `yaml:"request_id"`
	Credentials Credentials       `yaml:"credentials"` // required
	Scopes      []Scope           `yaml:"scopes"`
	Presets     map[string]List   `yaml:"presets"`
	Roles       map[string]List   `yaml:"roles"`
	TenantRoles bool              `yaml:"tenant_roles"`
	Categories  List              `yaml:"categories"`
	Plans       List              `yaml:"plans"`      // default: those that the limits name
	Mode        string            `yaml:"mode"`       // enforce (default) or shadow: decide and mark, refuse nothing
	Attributes  []Attribute       `yaml:"attributes"` // free facts about callers that others get to know
	CORS        CORS              `yaml:"cors"`       // which scripts of other origins may call; default none
	Media       Media             `yaml:"media"`
	Tenant      TenantParameter   `yaml:"tenant"` // where any operation may name a tenant
	Answers     map[string]Answer `yaml:"answers"`
	Operations  []Operation       `yaml:"operations"`
	Endpoints   []Endpoint        `yaml:"endpoints"`
	Limits      []Limit           `yaml:"limits"`
	Headers     QuotaHeaders      `yaml:"headers"`
	Anomalies   []Anomaly         `yaml:"anomalies"`
	Errors      Errors            `yaml:"errors"`
	OnFailure   OnFailure         `yaml:"on_failure"`
}

// Attribute makes a fact about a caller (on its credential, user or tenant, in
// this order) known to the upstream, or to the filters and logs behind.
type Attribute struct {
	Name     string `yaml:"name"` // required
	Header   string `yaml:"header"`
	Metadata bool   `yaml:"metadata"`
}

// CORS is what browsers are told about scripts of other origins.
type CORS struct {
	Origins     List     `yaml:"origins"` // https://app.example.com, https://*.example.com, or *
	Methods     List     `yaml:"methods"` // default: those of the operations
	Headers     List     `yaml:"headers"` // that requests may carry; "*": any. Default: where a credential may stand, and Content-Type
	Expose      List     `yaml:"expose"`  // that scripts may read, besides the quota's own
	Credentials bool     `yaml:"credentials"`
	MaxAge      Duration `yaml:"max_age"`
}

// RequestID shapes the request ids that the gate makes itself.
type RequestID struct {
	Prefix string `yaml:"prefix"`
}

// Credentials says where credentials are read and what they look like.
type Credentials struct {
	Read   []Place    `yaml:"read"` // required
	Keys   []KeyForm  `yaml:"keys"`
	Tokens []TokenUse `yaml:"tokens"`
}

// Place is {header: NAME}, {header: NAME, scheme: WORD} or {query: NAME}.
type Place struct {
	Header string `yaml:"header"`
	Scheme string `yaml:"scheme"`
	Query  string `yaml:"query"`
}

// KeyForm is a registered prefix and the rules for keys under it.
type KeyForm struct {
	Prefix      string  `yaml:"prefix"` // required
	Kind        string  `yaml:"kind"`   // key (default), pat, or client for the secrets of OAuth clients
	Environment string  `yaml:"environment"`
	Access      string  `yaml:"access"` // read, or absent for no restriction
	Sandbox     bool    `yaml:"sandbox"`
	Use         string  `yaml:"use"` // api (default), or exchange: only for a token
	Age         Age     `yaml:"age"`
	Require     Require `yaml:"require"`
	Expiry      List    `yaml:"expiry"` // choices: durations such as 30d, 1y, and "date"
	Legacy      bool    `yaml:"legacy"` // imported keys of other shapes are accepted
}

// Age bounds how long a key may live.
type Age struct {
	Min Duration `yaml:"min"`
	Max Duration `yaml:"max"`
}

// Require says what must be given when a key is made.
type Require struct {
	Label       bool `yaml:"label"`
	UniqueLabel bool `yaml:"unique_label"` // among the tenant's keys that are not revoked
	Role        bool `yaml:"role"`
	Scopes      int  `yaml:"scopes"`
}

// TokenUse accepts tokens of an issuer: of "self", which is this server and issues
// them by its endpoints, or of the one at an https URL, whose keys are known or who
// is asked.
type TokenUse struct {
	Issuer   string `yaml:"issuer"`   // required
	Audience List   `yaml:"audience"` // who the tokens are for: one of them. Of self: one; default https:// and the API's first host

	// Of self.
	Algorithm string   `yaml:"algorithm"` // EdDSA (default), ES256, RS256 or HS256
	Lifetime  Duration `yaml:"lifetime"`  // of an access token; default 1h
	Grant     Duration `yaml:"grant"`     // of a user's grant, and so of its refresh tokens; default 30d
	Rotate    Duration `yaml:"rotate"`    // age at which a signing key is replaced; default 90d
	URL       string   `yaml:"url"`       // what the tokens call their issuer; default the URL by which a client came
	Login     *Login   `yaml:"login"`     // where users sign in; default on a page of ours, by their passwords

	// Of others.
	JWKS          string         `yaml:"jwks"`          // https URL or file of its public keys (RFC 7517), for tokens that are JWTs
	Introspection *Introspection `yaml:"introspection"` // in place of jwks, for tokens that say nothing themselves
	Algorithms    List           `yaml:"algorithms"`    // of JWTs; default EdDSA, ES256, PS256 and RS256
	Leeway        Duration       `yaml:"leeway"`        // by which its clock and ours may differ; default 30s
	CA            string         `yaml:"ca"`            // file of certificates that its own is checked with; default: the system's
	Claims        Claims         `yaml:"claims"`        // required: what its claims mean here
}

// Login has users sign in at an OpenID provider. Who signs in there is the user
// whose login the claim says.
type Login struct {
	Issuer string `yaml:"issuer"` // required; https
	Client string `yaml:"client"` // required; as which we ask
	Secret Secret `yaml:"secret"` // required
	Scopes List   `yaml:"scopes"` // default openid, and email or profile where the claim needs it
	Claim  string `yaml:"claim"`  // default sub; of email only an address that the provider has verified counts
	CA     string `yaml:"ca"`     // file of certificates that its own is checked with; default: the system's
}

// Introspection is where an issuer is asked about its tokens (RFC 7662), and as
// whom.
type Introspection struct {
	URL      string   `yaml:"url"`       // required, https
	Client   string   `yaml:"client"`    // required
	Secret   Secret   `yaml:"secret"`    // required
	SecretIn string   `yaml:"secret_in"` // header (default: HTTP Basic) or body
	Keep     Duration `yaml:"keep"`      // how long an answer is remembered at most; default 1m
}

// Claims says what an issuer's claims mean here. A claim within another is
// written realm_access.roles.
type Claims struct {
	Tenant      string            `yaml:"tenant"`       // the claim that names the tenant
	FixedTenant string            `yaml:"fixed_tenant"` // or the one that all its tokens belong to
	User        string            `yaml:"user"`         // who acts; default sub, or the client where there is none
	Scopes      string            `yaml:"scopes"`       // default scope, or scp where there is none
	ScopeMap    map[string]string `yaml:"scope_map"`    // from theirs to ours; what is not in it permits nothing. Default: they are ours
	Plan        string            `yaml:"plan"`         // default: the tenant's plan
	PlanMap     map[string]string `yaml:"plan_map"`     // from theirs to ours; one that is not in it is the tenant's
}

// Scope is written as a plain name, or {name: N, grants: all | [PATTERN…], means: TEXT}.
type Scope struct {
	Name   string `yaml:"name"`
	Means  string `yaml:"means"` // for users who are asked to grant it, such as "See your orders"
	Grants List   `yaml:"grants"`
}

// Media switches the checks of Accept and Content-Type on.
type Media struct {
	Accept  string `yaml:"accept"`
	Content string `yaml:"content"`
}

// TenantParameter is where a request names a tenant: path parameter, query
// parameter or header.
type TenantParameter struct {
	Path   string `yaml:"path"`
	Query  string `yaml:"query"`
	Header string `yaml:"header"`
}

// Answer is a response of the gate's own, or the name of one under answers.
type Answer struct {
	Ref    string `yaml:"-"`      // set where only a name was written
	Status int    `yaml:"status"` // default 200
	Body   Body   `yaml:"body"`
	Token  Body   `yaml:"token"` // the body for callers with a token; default: the same
}

// Routes is how an operation or endpoint is written: {GET: PATH}, {GET: [PATH…]}
// or {methods: [M…], paths: [P…]}.
type Routes struct {
	GET     List `yaml:"GET"`
	HEAD    List `yaml:"HEAD"`
	POST    List `yaml:"POST"`
	PUT     List `yaml:"PUT"`
	PATCH   List `yaml:"PATCH"`
	DELETE  List `yaml:"DELETE"`
	OPTIONS List `yaml:"OPTIONS"`
	Methods List `yaml:"methods"`
	Paths   List `yaml:"paths"`
	Hosts   List `yaml:"hosts"` // default: the API's
}

// Operation is one or more routes of the API and what they ask of a caller.
type Operation struct {
	Routes   `yaml:",inline"`
	Name     string          `yaml:"name"`     // default: method and path
	Scope    List            `yaml:"scope"`    // any one of them; none: any valid credential
	Access   string          `yaml:"access"`   // read or write; default by method
	Category string          `yaml:"category"` // one of categories
	Mode     string          `yaml:"mode"`     // default: the API's
	Tenant   TenantParameter `yaml:"tenant"`
	Weight   Weight          `yaml:"weight"` // default 1
	Answer   *Answer         `yaml:"answer"`
	Sandbox  *Answer         `yaml:"sandbox"`
	Webhook  *Webhook        `yaml:"webhook"`
}

// Weight is how many hits a request counts for: a number, or a mapping that names
// headers which tell it.
type Weight struct {
	Default  uint64 `yaml:"default"`  // where no header tells; default 1
	Request  string `yaml:"request"`  // header of the request
	Response string `yaml:"response"` // header of the upstream's answer
	Max      uint64 `yaml:"max"`      // that a header may tell; default 1000

	mapped bool // written as a mapping
}

// Webhook makes an operation one that is signed by its sender instead of
// carrying a credential.
type Webhook struct {
	Header    string            `yaml:"header"`   // required; carries the signature
	Sender    string            `yaml:"sender"`   // required; a name, or a parameter of the path such as {sender}
	Encoding  string            `yaml:"encoding"` // of the signature: hex (default) or base64
	Prefix    string            `yaml:"prefix"`   // before the signature, such as sha256=
	MaxBody   Size              `yaml:"max_body"` // default 1MiB
	Timestamp *WebhookTimestamp `yaml:"timestamp"`
	Replay    string            `yaml:"replay"` // allow (default) or refuse: each signature is good once
}

// WebhookTimestamp is where a sender says when it signed, in Unix seconds.
type WebhookTimestamp struct {
	Header    string   `yaml:"header"`    // required
	Tolerance Duration `yaml:"tolerance"` // how far from now it may be, either way; default 5m
	Signed    bool     `yaml:"signed"`    // default true: what is signed is the timestamp, a dot and the body
}

// Endpoint is served by the gate on a path of the API.
type Endpoint struct {
	Routes `yaml:",inline"`
	Serve  string            `yaml:"serve"` // required: one of the closed list `served`
	Scope  List              `yaml:"scope"`
	Grants List              `yaml:"grants"`
	Field  string            `yaml:"field"`
	Fields map[string]string `yaml:"fields"`
	Plans  List              `yaml:"plans"`
}

// Limit is one rule: how often, counted for whom.
type Limit struct {
	Name        string             `yaml:"name"` // required
	Per         List               `yaml:"per"`  // required
	When        When               `yaml:"when"`
	Limit       Windows            `yaml:"limit"`
	Plans       map[string]Windows `yaml:"plans"`
	Concurrency uint32             `yaml:"concurrency"`
	Wait        Duration           `yaml:"wait"`   // of concurrency: for a slot, before it is refused; default 250ms
	Shadow      bool               `yaml:"shadow"` // count and say what it would refuse, refuse nothing
}

// When narrows a limit.
type When struct {
	Category  List              `yaml:"category"`
	Access    string            `yaml:"access"`
	Endpoint  List              `yaml:"endpoint"`
	Outcome   string            `yaml:"outcome"`
	Attribute map[string]Values `yaml:"attribute"` // by the attribute's name
}

// Values is one value of an attribute or a list of them; "" is none.
type Values []string

// Windows is "tenant", "unlimited", one window or a list of them; a window is
// what sallyport.ParseWindow reads, or a mapping.
type Windows struct {
	FromTenant bool
	Unlimited  bool
	List       []Window
}

// Window is one allowance. As a mapping, {rate: 60/1m, burst: 15%}, it says apart
// what stands in one text otherwise.
type Window struct {
	Rate      Rate    `yaml:"rate"`
	Burst     Percent `yaml:"burst"`
	Algorithm string  `yaml:"algorithm"` // fixed, sliding or bucket; default bucket with a burst, else fixed
	Zone      string  `yaml:"zone"`      // of a period of the calendar; default UTC
}

// QuotaHeaders names the headers that tell a caller its quota.
type QuotaHeaders struct {
	Limit      string      `yaml:"limit"`
	Remaining  string      `yaml:"remaining"`
	Reset      ResetHeader `yaml:"reset"`
	RetryAfter string      `yaml:"retry_after"` // seconds
}

// ResetHeader is a name, or {name: N, as: unix | delta}.
type ResetHeader struct {
	Name string `yaml:"name"`
	As   string `yaml:"as"`
}

// Anomaly is a rule over how a credential is used.
type Anomaly struct {
	Name   string   `yaml:"name"`
	Of     string   `yaml:"of"` // networks, refusals or requests
	Over   uint64   `yaml:"over"`
	In     Duration `yaml:"in"`
	Action string   `yaml:"action"` // alert, disable or revoke
}

// Errors is how refusals look: a template and a default type for all, and one
// entry a kind (the names are those of sallyport.Kinds).
type Errors struct {
	Template Body
	Type     string
	Kinds    map[string]ErrorShape
}

// ErrorShape overrides how one kind of refusal looks.
type ErrorShape struct {
	Status          int    `yaml:"status"`
	Code            string `yaml:"code"`
	Message         string `yaml:"message"`
	Type            string `yaml:"type"`
	WWWAuthenticate string `yaml:"www_authenticate"`
	Template        Body   `yaml:"template"`
}

// OnFailure says what happens while a part of the gate fails: open or closed.
type OnFailure struct {
	Credentials string   `yaml:"credentials"` // closed, the only value
	Quota       string   `yaml:"quota"`       // closed (default) or open
	Grace       Duration `yaml:"grace"`       // known credentials are served so long while the store is down
}

// Scalars with a form of their own.
type (
	// List is one string or a list of them.
	List []string
	// Body is a YAML value as JSON text, its keys in the order written.
	Body string
	// Duration is 250ms, 30s, 5m, 1h, 7d, 2w or 1y (365 days), or several,
	// the longest unit first: 1h30m. It is never zero or negative.
	Duration time.Duration
	// Size is a number of bytes: 65536, 256KiB, 1MiB.
	Size int64
	// Percent is written 15%.
	Percent uint32
	// Rate is a window as sallyport.ParseWindow reads it, such as 60/1m.
	Rate sallyport.Window
)
