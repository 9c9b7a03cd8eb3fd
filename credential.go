package sallyport

import (
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
	ID     string
	API    string
	Name   string
	Plan   string
	State  State
	Limits map[string][]Window // windows of its own, by the limit's name, where the plan says `tenant`

	CreatedAt time.Time
}

// Credential is a key (later also a token's parent or a client) as the gate
// knows it; the secret itself is not in it. Values are immutable once loaded:
// the cache hands the same pointer to many requests.
type Credential struct {
	ID          string
	API         string
	Tenant      *Tenant
	Kind        string // "key", "pat"
	Name        string
	Principal   string // the user or service account it acts for; a plain key is its own principal
	Environment string
	Access      Access // Read: only operations that read, whatever the scopes
	Sandbox     bool   // only operations that have a mock, answered with it
	Scopes      []string
	State       State
	Prefix      string // the registered prefix, for display: Prefix + "•••••" + Last4
	Last4       string // "" where the secret was imported by its digest alone
	AllowedIPs  []netip.Prefix
	CreatedAt   time.Time
	ExpiresAt   time.Time // zero: never
}

// Expired reports whether c had expired at now: the end itself is outside.
func (c *Credential) Expired(now time.Time) bool {
	return !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt)
}
