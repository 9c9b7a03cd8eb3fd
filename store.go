package sallyport

import "time"

// CredentialFilter selects credentials in a listing. Empty fields match all;
// After is the ID of the last one seen, and Limit is how many come at most.
type CredentialFilter struct {
	API    string
	Tenant string
	User   string // its ID
	Client string // its ID: the grants of it
	Kind   string
	Name   string // the whole of it
	State  State
	After  string
	Limit  int
}

// UserFilter selects users in a listing, of one tenant of one API: both are
// required. StateUnknown matches all; After is the ID of the last one seen, and
// Limit is how many come at most.
type UserFilter struct {
	API    string
	Tenant string
	State  State
	After  string
	Limit  int
}

// NewCredential is a credential to be kept, with the digest of its secret, made
// under the pepper of that version. Of its tenant and its user only the IDs
// count (and their API and tenant, which must be its own).
type NewCredential struct {
	Credential
	Digest     Digest
	Pepper     int
	UniqueName bool // refuse it, with ErrConflict, where another credential of the tenant in the same API that is not revoked has the same name
}

// Imported says what became of one credential of an import.
type Imported struct {
	ID      string
	Existed bool // the secret was known already, as that of credential ID, and nothing was written
}

// Roll is a new secret for a credential: its digest, made under the pepper of
// that version, and how long the old ones are good beside it.
type Roll struct {
	Digest Digest
	Pepper int
	Now    time.Time
	OldEnd time.Time // the old secrets end then, if not earlier; at once where that is not after Now
}

// AdminToken is a token for the admin API as the store knows it; the secret
// itself is not in it.
type AdminToken struct {
	ID        string
	Name      string
	Role      string
	API       string // where; "" is every API
	Tenant    string // whose; "" is an administrator of all
	State     State
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// GrantSecret is what a client exchanges for the tokens of a grant: an
// authorization code, or a refresh token. Each is good once.
type GrantSecret struct {
	Digest    Digest
	Pepper    int
	Kind      string // GrantCode or GrantRefresh
	ExpiresAt time.Time
	Redirect  string // of a code: the redirect_uri that it was asked for with
	Challenge string // of a code: the S256 code_challenge (RFC 7636); "": none was sent
}

// Kinds of GrantSecret.
const (
	GrantCode    = "code"
	GrantRefresh = "refresh"
)

// SigningKey is a key by which an API's tokens are signed, as it is kept.
type SigningKey struct {
	ID        string // the kid
	API       string
	Algorithm string // EdDSA, ES256, RS256 or HS256
	Sealed    []byte // the private key, encrypted under a key that is not in the store
	Pepper    int    // the version of what it is encrypted under
	CreatedAt time.Time
	SignsFrom time.Time // it is published before, so that whoever caches the set knows it
	EndsAt    time.Time // nothing that it signed is good any more; zero: it is in use
}

// Sender is whoever signs webhooks to an API: what it sends counts as its
// tenant's.
type Sender struct {
	ID      string // as the configuration or the path names it
	API     string
	Tenant  *Tenant
	Name    string
	State   State
	Secrets []SealedSecret // the newest first; several while they are rolled

	CreatedAt time.Time
}

// SealedSecret is a secret that has to be read again, encrypted.
type SealedSecret struct {
	Sealed    []byte
	Pepper    int
	ExpiresAt time.Time // zero: never
}
