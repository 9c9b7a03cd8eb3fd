package admin

import "time"

// Key is a key as it is shown, without its secret.
type Key struct {
	KeyID       string              `json:"key_id"`
	API         string              `json:"api"`
	Tenant      string              `json:"tenant"`
	Kind        string              `json:"kind" doc:"key, pat for a personal access token, client for an OAuth client, grant for what a user granted one"`
	User        string              `json:"user" doc:"Whom it acts for, where it is a personal access token"`
	Principal   string              `json:"principal" doc:"Who it is to the upstream: the user, or the key itself"`
	Name        string              `json:"name"`
	Scopes      []string            `json:"scopes" nullable:"false" doc:"Of a personal access token: the only ones of its user's that it has; none: all of them"`
	Roles       []string            `json:"roles" nullable:"false"`
	Environment string              `json:"environment"`
	Prefix      string              `json:"prefix"`
	Last4       string              `json:"last4"`
	Masked      string              `json:"masked"`
	State       string              `json:"state" enum:"active,disabled,revoked"`
	Cause       string              `json:"cause,omitempty" doc:"Why it is in its state, where something else than an administrator's wish put it there"`
	CreatedAt   time.Time           `json:"created_at"`
	ExpiresAt   *time.Time          `json:"expires_at" doc:"null: never"`
	Expired     bool                `json:"expired"`
	AllowedIPs  []string            `json:"allowed_ips" nullable:"false" doc:"The only networks it is good from; empty: any"`
	Plan        string              `json:"plan" doc:"In place of its tenant's; empty: its tenant's"`
	Overrides   map[string][]string `json:"overrides" nullable:"false" doc:"What it gets in place of what its tenant gets, by the limit's name: windows, or unlimited alone"`
	Attributes  map[string]string   `json:"attributes" nullable:"false"`
}

// CreatedKey is a new key: the one answer that holds its secret.
type CreatedKey struct {
	Secret Shown `json:"key" doc:"The whole key. It is shown this once"`
	Key
}

// NewKey asks for a key.
type NewKey struct {
	API         string              `json:"api" minLength:"1" doc:"One of the configuration's APIs"`
	Tenant      string              `json:"tenant" minLength:"1" maxLength:"128"`
	User        string              `json:"user,omitempty" maxLength:"128" doc:"Whom it acts for: required for personal access tokens, and only for those"`
	Name        string              `json:"name,omitempty" maxLength:"200"`
	Scopes      []string            `json:"scopes,omitempty" maxItems:"256" doc:"Scopes or presets of the API"`
	Roles       []string            `json:"roles,omitempty" maxItems:"64" doc:"Roles of the API or the tenant; a personal access token has its user's"`
	Prefix      string              `json:"prefix,omitempty" doc:"One of the API's key prefixes; default: the first"`
	Environment string              `json:"environment,omitempty" doc:"Another way to choose the prefix"`
	ExpiresAt   string              `json:"expires_at,omitempty" doc:"A length from now (90d, 1y), a date (2027-01-31, its first moment in UTC), an RFC 3339 time, or never"`
	AllowedIPs  []string            `json:"allowed_ips,omitempty" maxItems:"256" doc:"CIDRs or addresses"`
	Plan        string              `json:"plan,omitempty" doc:"One of the API's plans, in place of the tenant's"`
	Overrides   map[string][]string `json:"overrides,omitempty" doc:"What it gets in place of what its tenant gets, by the limit's name: windows, or unlimited alone"`
	Attributes  map[string]string   `json:"attributes,omitempty" doc:"As for a tenant"`
}

// KeyChange asks for changes; what is not sent stays.
type KeyChange struct {
	Name       Optional[string]              `json:"name,omitzero" maxLength:"200"`
	Scopes     Optional[[]string]            `json:"scopes,omitzero" maxItems:"256" doc:"All of its scopes, in place of those before"`
	Roles      Optional[[]string]            `json:"roles,omitzero" maxItems:"64" doc:"All of its roles, in place of those before"`
	ExpiresAt  Optional[string]              `json:"expires_at,omitzero" doc:"As for a new key; null or never lifts it"`
	AllowedIPs Optional[[]string]            `json:"allowed_ips,omitzero" maxItems:"256" doc:"All of its networks, in place of those before; null or [] lifts them"`
	Plan       Optional[string]              `json:"plan,omitzero" doc:"One of the API's plans; null lifts it, and the tenant's holds again"`
	Overrides  Optional[map[string][]string] `json:"overrides,omitzero" doc:"All of them, in place of those before; null or {} lifts them"`
	Attributes Optional[map[string]string]   `json:"attributes,omitzero" doc:"All of them, in place of those before; null or {} lifts them"`
	State      Optional[string]              `json:"state,omitzero" doc:"active or disabled"`
}

// KeyFilter selects keys in a listing; empty fields match all.
type KeyFilter struct {
	API, Tenant, User, Kind, Name, State string
}

// KeyList is one page of keys, the newest first.
type KeyList struct {
	Keys []Key  `json:"keys" nullable:"false"`
	Next string `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// RollKey asks for a new secret.
type RollKey struct {
	Grace string `json:"grace,omitempty" doc:"How long the secrets before stay good, such as 24h, which is the default; 0 ends them at once"`
}

// RolledKey is a key with its new secret: the one answer that holds it.
type RolledKey struct {
	Secret    Shown     `json:"key" doc:"The whole key. It is shown this once"`
	OldEndsAt time.Time `json:"old_ends_at" doc:"When the secrets before end, at the latest"`
	Key
}

// ImportKey is a key that exists elsewhere: all that a new key may say, and its
// secret or a digest of it.
type ImportKey struct {
	NewKey
	Secret Shown  `json:"key,omitempty" doc:"The whole key as its holder sends it, with a registered prefix; this or sha256"`
	SHA256 string `json:"sha256,omitempty" doc:"The SHA-256 of the whole key, 64 hex digits"`
	Last4  string `json:"last4,omitempty" doc:"The last four characters of the key, for display; with sha256 only"`
	KeyID  string `json:"key_id,omitempty" doc:"The id it has already: at most 64 letters, digits, _ and -; default: a new one"`
}

// MaxImport is how many keys one import may ask for.
const MaxImport = 1000

// ImportKeys asks for keys, all or none of them.
type ImportKeys struct {
	Keys       []ImportKey    `json:"keys" nullable:"false" minItems:"1" maxItems:"1000"`
	NewTenants *ImportTenants `json:"new_tenants,omitempty" doc:"Make the tenants that are not there. Without it, their keys are refused"`
}

// ImportTenants says what tenants are like that an import makes.
type ImportTenants struct {
	Plan string `json:"plan,omitempty" doc:"One of the API's plans; required where it has any"`
}

// ImportedKey says which key one of an import is.
type ImportedKey struct {
	KeyID   string `json:"key_id"`
	Existed bool   `json:"existed" doc:"It was there already, and stays as it is"`
}

// ImportedKeys says what became of an import, in its order.
type ImportedKeys struct {
	Imported int           `json:"imported"`
	Existed  int           `json:"existed"`
	Keys     []ImportedKey `json:"keys" nullable:"false"`
}
