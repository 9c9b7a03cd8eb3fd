package sallyport

import (
	"fmt"
	"net/netip"
	"time"
)

// State is where a credential or tenant stands in its life. The zero value is
// not active.
type State uint8

const (
	StateUnknown State = iota
	Active
	Disabled
	Revoked // final: nothing makes it active again
)

// String returns the state's name in the store, the admin API and the CLI.
func (s State) String() string {
	switch s {
	case Active:
		return "active"
	case Disabled:
		return "disabled"
	case Revoked:
		return "revoked"
	}
	return "unknown"
}

// ParseState is the inverse of String; anything else is StateUnknown, false.
func ParseState(s string) (State, bool) {
	switch s {
	case "active":
		return Active, true
	case "disabled":
		return Disabled, true
	case "revoked":
		return Revoked, true
	}
	return StateUnknown, false
}

// Access says what an operation does, and what a credential may do at most.
type Access uint8

const (
	// AccessUnset on an operation means what its method says; on a
	// credential it means no restriction of its own.
	AccessUnset Access = iota
	Read
	Write
)

// String returns "read", "write" or "".
func (a Access) String() string {
	switch a {
	case Read:
		return "read"
	case Write:
		return "write"
	}
	return ""
}

// Digest is a credential's secret at rest: HMAC-SHA-256 under the pepper over
// the secret's SHA-256. It is what the store indexes and the cache confirms.
type Digest [32]byte

// Tenant is one customer of one API: the wall that no scope crosses.
type Tenant struct {
	ID         string
	API        string
	Name       string
	Plan       string
	State      State
	Limits     map[string][]Window // windows of its own, by the limit's name, where the plan says `tenant`
	Overrides  map[string]Windows  // in place of what the plan says, by the limit's name
	Roles      map[string][]string // roles of its own: the scopes of each, where the API lets tenants make roles
	Attributes map[string]string
	Epoch      uint64 // see Credential.Epochs

	CreatedAt time.Time
}

// User is a person or a service account of a tenant: who personal access tokens
// and grants act for, with what the roles permit.
type User struct {
	ID         string
	API        string
	Tenant     string
	Service    bool // a service account, not a person
	Name       string
	Roles      []string // names of the API's or the tenant's roles
	Off        []string // categories that are switched off for it
	State      State
	Attributes map[string]string
	Login      string       // by which it signs in, once in an API; "": it does not
	Password   PasswordHash // "": it has none
	Epoch      uint64       // see Credential.Epochs

	CreatedAt time.Time
}

// PasswordHash is what is kept of a password: Argon2id in the PHC string format.
// It prints as "<secret>": guesses could be tried against it.
type PasswordHash string

func (PasswordHash) String() string               { return "<secret>" }
func (PasswordHash) GoString() string             { return "<secret>" }
func (PasswordHash) Format(w fmt.State, _ rune)   { w.Write([]byte("<secret>")) }
func (PasswordHash) MarshalText() ([]byte, error) { return []byte("<secret>"), nil }

// Kinds of credentials.
const (
	KindKey    = "key"    // its own principal, with scopes and roles of its own
	KindPAT    = "pat"    // a personal access token: acts for its user, with the user's rights
	KindClient = "client" // an OAuth client: its secret is good for tokens alone
	KindGrant  = "grant"  // what a user granted a client: the parent of that client's tokens
	KindToken  = "token"  // an access token: acts as its parent, while that lives. Kept nowhere
)

// Credential is a key, client or grant, or a token made from one, as the gate
// knows it; the secret itself is not in it. Values are immutable once loaded:
// the cache hands the same pointer to many requests.
//
// What it may do: with a user, what the user's roles permit, and where it has
// scopes no more than those; without one, its scopes and what its roles permit.
// A token may do no more than was granted it.
type Credential struct {
	ID          string
	API         string
	Tenant      *Tenant
	User        *User // whom it acts for; nil: nobody
	Kind        string
	Name        string
	Principal   string // the user or service account it acts for; a plain key is its own principal
	Environment string
	Access      Access // Read: only operations that read, whatever the scopes
	Sandbox     bool   // only operations that have a mock, answered with it
	Scopes      []string
	Roles       []string // names of the API's or the tenant's roles
	State       State
	Prefix      string // the registered prefix, for display: Prefix + "•••••" + Last4
	Last4       string // "" where the secret was imported by its digest alone
	Unchecked   bool   // imported with a secret that may have no checksum
	AllowedIPs  []netip.Prefix
	Networks    Networks // AllowedIPs, compiled by whoever loads a credential
	Attributes  map[string]string
	Plan        string             // in place of the tenant's; "": the tenant's
	Overrides   map[string]Windows // in place of what the tenant gets, by the limit's name
	Client      *Client            // of a client and a grant
	Token       *Token             // of a token
	Epoch       uint64             // see Epochs
	Cause       string             // why it is in its state, where something else than an administrator's wish put it there
	CreatedAt   time.Time
	ExpiresAt   time.Time // zero: never
}

// Client is what makes a credential an OAuth client (RFC 6749 §2), or says of a
// grant whose it is.
type Client struct {
	ID        string   // of a grant: its client's; of a client: ""
	Public    bool     // it has no secret, and must use PKCE
	Grants    []string // the grant types that it may use
	Redirects []string // where users may be sent back to, character by character
}

// Token is what an access token says beyond the credential that it was made from.
type Token struct {
	ID      string   // the jti claim, or what stands for it
	Parent  string   // the id of the credential that it was made from; "": an outside issuer's
	Client  string   // the id of the client of that grant; "": none
	Granted []string // it may do no more than these scopes permit; nil: all that its parent may
}

// Epochs counts what ended the tokens of c: they carry the number of their
// making, and are good while it is the same. It grows when c is disabled, revoked
// or rolled or its roles change, when its user's roles or state do, and when its
// tenant is suspended.
func (c *Credential) Epochs() uint64 {
	n := c.Epoch + c.Tenant.Epoch
	if c.User != nil {
		n += c.User.Epoch
	}
	return n
}

// PlanName is the plan that c is on: its own, or its tenant's.
func (c *Credential) PlanName() string {
	if c.Plan != "" {
		return c.Plan
	}
	return c.Tenant.Plan
}

// Expired reports whether c had expired at now: the end itself is outside.
func (c *Credential) Expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
}

// Attribute returns a free fact about c, its user or its tenant: whoever is
// nearest to the caller and has one of that name says it.
func (c *Credential) Attribute(name string) string {
	if v, ok := c.Attributes[name]; ok {
		return v
	}
	if c.User != nil {
		if v, ok := c.User.Attributes[name]; ok {
			return v
		}
	}
	return c.Tenant.Attributes[name]
}
