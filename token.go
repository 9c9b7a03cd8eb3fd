package sallyport

import "time"

// OwnTokens are the access tokens that the gate itself issues for an API.
type OwnTokens struct {
	Algorithm string        // EdDSA, ES256, RS256 or HS256
	Lifetime  time.Duration // of an access token
	Grant     time.Duration // of a grant, and so of its refresh tokens
	Rotate    time.Duration // a signing key is replaced after so long
	URL       string        // the issuer; "": the URL by which a client reached it
	Audience  string
	Login     *Login // where users sign in; nil: on a page of ours, by their passwords
}

// Login is an OpenID provider at which users sign in.
type Login struct {
	Issuer string
	Client string // as which we ask
	Secret SecretPlace
	Scopes []string
	Claim  string // of the ID token, which says the login of one of our users
	CA     string // file of the certificates that its own is checked with; "": the system's
}

// Issuer is somebody else whose tokens an API accepts: JWTs that its keys verify,
// or opaque ones that it is asked about.
type Issuer struct {
	URL        string // the iss claim
	Keys       string // https URL or file of its JWK set; "" where it is asked
	Audience   []string
	Algorithms []string      // of JWTs; none: the usual ones
	Leeway     time.Duration // by which its clock and ours may differ
	CA         string        // file of the certificates that its own is checked with; "": the system's
	Introspect *Introspect   // nil: its tokens are JWTs
	Claims     Claims
}

// Introspect is where an issuer is asked about tokens (RFC 7662), and as whom.
type Introspect struct {
	URL    string
	Client string
	Secret SecretPlace
	InBody bool          // the secret is sent in the form, and not by HTTP Basic
	Keep   time.Duration // an answer is remembered no longer than that, or than the token lives
}

// SecretPlace says where a secret is read from: a file, or a variable of the
// environment. It never holds one.
type SecretPlace struct{ File, Env string }

// Claims says what an outside issuer's claims mean here.
type Claims struct {
	Tenant      string            // the claim that names the tenant
	FixedTenant string            // or the one tenant of all its tokens
	User        string            // the claim that names who acts
	Scopes      string            // the claim that lists scopes
	ScopeMap    map[string]string // from theirs to ours; what is not in it permits nothing. Empty: they are ours
	Plan        string            // the claim that names a plan; "": the tenant's
	PlanMap     map[string]string
}

// The endpoints that the gate serves, besides ServeKeys.
const (
	ServeToken      = "oauth2_token"
	ServeAuthorize  = "oauth2_authorize"
	ServeCallback   = "oauth2_callback" // where the OpenID provider sends users back to
	ServeRevoke     = "oauth2_revoke"
	ServeIntrospect = "oauth2_introspect"
	ServeMetadata   = "oauth2_metadata"
	ServeJWKS       = "jwks"
	ServeExchange   = "key_exchange"
)

// The grant types that clients may use (RFC 6749).
const (
	GrantClientCredentials = "client_credentials"
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
)
