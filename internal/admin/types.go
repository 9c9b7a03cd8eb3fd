package admin

import "time"

// Tenant is a tenant as it is shown.
type Tenant struct {
	API        string              `json:"api" doc:"The API it is a customer of"`
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Plan       string              `json:"plan"`
	State      string              `json:"state" enum:"active,disabled,revoked"`
	Limits     map[string][]string `json:"limits" nullable:"false" doc:"Windows of its own by the limit's name, such as {\"requests\": [\"60/1m\", \"1000/1h\"]}"`
	Overrides  map[string][]string `json:"overrides" nullable:"false" doc:"What it gets in place of what its plan says, by the limit's name: windows, or unlimited alone"`
	Attributes map[string]string   `json:"attributes" nullable:"false"`
	CreatedAt  time.Time           `json:"created_at"`
}

// NewTenant asks for a tenant.
type NewTenant struct {
	API        string              `json:"api" minLength:"1" doc:"One of the configuration's APIs"`
	ID         string              `json:"id" minLength:"1" maxLength:"128" doc:"Letters, digits and ._:@-, beginning with a letter or digit"`
	Name       string              `json:"name,omitempty" maxLength:"200"`
	Plan       string              `json:"plan,omitempty" doc:"One of the API's plans; required where it has any"`
	Limits     map[string][]string `json:"limits,omitempty" doc:"Windows of its own by the limit's name; required for the limits that the plan leaves to the tenant"`
	Overrides  map[string][]string `json:"overrides,omitempty" doc:"What it gets in place of what its plan says, by the limit's name: windows, or unlimited alone"`
	Attributes map[string]string   `json:"attributes,omitempty" doc:"Free facts: at most 32 names of letters, digits, . _ and -, with values of at most 256 characters"`
}

// TenantChange asks for changes; what is not sent stays.
type TenantChange struct {
	Name       Optional[string]              `json:"name,omitzero" maxLength:"200"`
	Plan       Optional[string]              `json:"plan,omitzero"`
	State      Optional[string]              `json:"state,omitzero" doc:"active or disabled"`
	Limits     Optional[map[string][]string] `json:"limits,omitzero" doc:"All of its own windows, in place of those before; null or {} lifts them"`
	Overrides  Optional[map[string][]string] `json:"overrides,omitzero" doc:"All of them, in place of those before; null or {} lifts them"`
	Attributes Optional[map[string]string]   `json:"attributes,omitzero" doc:"All of them, in place of those before; null or {} lifts them"`
}

// TenantList is one page of tenants.
type TenantList struct {
	Tenants []Tenant `json:"tenants" nullable:"false"`
	Next    string   `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// User is a person or service account of a tenant as it is shown.
type User struct {
	API                string            `json:"api"`
	Tenant             string            `json:"tenant"`
	ID                 string            `json:"id"`
	Name               string            `json:"name"`
	ServiceAccount     bool              `json:"service_account"`
	Roles              []string          `json:"roles" nullable:"false"`
	DisabledCategories []string          `json:"disabled_categories" nullable:"false" doc:"Categories of operations that are switched off for it"`
	Attributes         map[string]string `json:"attributes" nullable:"false"`
	Login              string            `json:"login" doc:"By which it signs in where clients ask for its consent; empty: it does not"`
	HasPassword        bool              `json:"has_password"`
	State              string            `json:"state" enum:"active,disabled,revoked"`
	CreatedAt          time.Time         `json:"created_at"`
}

// ChangedUser is a user after a change, and what else the change did.
type ChangedUser struct {
	User
	TokensRevoked int `json:"tokens_revoked" doc:"How many of its personal access tokens this ended, for good"`
}

// NewUser asks for a user.
type NewUser struct {
	API                string            `json:"api" minLength:"1" doc:"One of the configuration's APIs"`
	Tenant             string            `json:"tenant" minLength:"1" maxLength:"128"`
	ID                 string            `json:"id" minLength:"1" maxLength:"128" doc:"Letters, digits and ._:@-, beginning with a letter or digit"`
	Name               string            `json:"name,omitempty" maxLength:"200"`
	ServiceAccount     bool              `json:"service_account,omitempty"`
	Roles              []string          `json:"roles,omitempty" maxItems:"64" doc:"Roles of the API or the tenant"`
	DisabledCategories []string          `json:"disabled_categories,omitempty" maxItems:"256" doc:"Categories of the API that are switched off for it"`
	Attributes         map[string]string `json:"attributes,omitempty" doc:"As for a tenant"`
	Login              string            `json:"login,omitempty" maxLength:"320" doc:"By which it signs in, such as an e-mail address: one user of the API has it"`
	Password           Shown             `json:"password,omitempty" doc:"At least 12 characters; only a hash of it is kept"`
}

// UserChange asks for changes; what is not sent stays. A disabled user, and one
// whose roles change, loses its personal access tokens for good.
type UserChange struct {
	Name               Optional[string]            `json:"name,omitzero" maxLength:"200"`
	Roles              Optional[[]string]          `json:"roles,omitzero" maxItems:"64" doc:"All of its roles, in place of those before"`
	DisabledCategories Optional[[]string]          `json:"disabled_categories,omitzero" maxItems:"256" doc:"All of them, in place of those before; null or [] lifts them"`
	Attributes         Optional[map[string]string] `json:"attributes,omitzero" doc:"All of them, in place of those before; null or {} lifts them"`
	Login              Optional[string]            `json:"login,omitzero" maxLength:"320" doc:"As for a new user; null lifts it"`
	Password           Optional[Shown]             `json:"password,omitzero" doc:"As for a new user; null lifts it. Whoever has signed in has to do it again"`
	State              Optional[string]            `json:"state,omitzero" doc:"active or disabled"`
}

// UserList is one page of users, by id.
type UserList struct {
	Users []User `json:"users" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// Role is a set of scopes with a name.
type Role struct {
	Name    string   `json:"name"`
	Builtin bool     `json:"builtin" doc:"The configuration's; others are the tenant's own"`
	Scopes  []string `json:"scopes" nullable:"false"`
}

// NewRole says what a tenant's own role permits.
type NewRole struct {
	Scopes []string `json:"scopes" nullable:"false" maxItems:"256" doc:"Scopes or presets of the API, which are spelled out"`
}

// ChangedRole is a role after a change, and what else the change did.
type ChangedRole struct {
	Role
	TokensRevoked int `json:"tokens_revoked" doc:"How many personal access tokens this ended, for good: those of users who have the role"`
}

// DeletedRole says what else a deletion did.
type DeletedRole struct {
	TokensRevoked int `json:"tokens_revoked" doc:"As for a change"`
}

// RoleList is all roles of an API, and of a tenant where one was named.
type RoleList struct {
	Roles []Role `json:"roles" nullable:"false"`
}

// Token is an admin token as it is shown, without its secret.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      string     `json:"role" enum:"admin,operator,viewer"`
	API       string     `json:"api" doc:"The only API it is for; empty: any"`
	Tenant    string     `json:"tenant" doc:"The only tenant it is for; empty: any"`
	State     string     `json:"state" enum:"active,disabled,revoked"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null: never"`
	Expired   bool       `json:"expired"`
}

// CreatedToken is a new admin token: the one answer that holds its secret.
type CreatedToken struct {
	Secret Shown `json:"token" doc:"The whole token. It is shown this once"`
	Token
}

// NewToken asks for an admin token.
type NewToken struct {
	Name      string `json:"name" minLength:"1" maxLength:"200"`
	Role      string `json:"role" enum:"admin,operator,viewer" doc:"viewer reads; operator also changes; admin also makes admin tokens and reloads"`
	API       string `json:"api,omitempty" doc:"The only API it is for"`
	Tenant    string `json:"tenant,omitempty" maxLength:"128" doc:"The only tenant of the API it is for"`
	ExpiresAt string `json:"expires_at,omitempty" doc:"As for a key"`
}

// TokenList is all admin tokens that the caller's own reaches.
type TokenList struct {
	Tokens []Token `json:"tokens" nullable:"false"`
}

// Status says what is running.
type Status struct {
	Version       string      `json:"version"`
	StartedAt     time.Time   `json:"started_at"`
	UptimeSeconds int64       `json:"uptime_seconds"`
	Chain         string      `json:"chain"`
	APIs          []APIStatus `json:"apis" nullable:"false"`
	Peppers       map[int]int `json:"peppers,omitempty" doc:"How many secrets are kept under each version of the pepper; for tokens that reach everything"`
}

// APIStatus is one API of the policy in force.
type APIStatus struct {
	Name       string   `json:"name"`
	Hosts      []string `json:"hosts" nullable:"false"`
	Plans      []string `json:"plans" nullable:"false"`
	Scopes     []string `json:"scopes" nullable:"false"`
	Prefixes   []string `json:"prefixes" nullable:"false"`
	Operations int      `json:"operations" doc:"How many operations it lists"`
	Limits     int      `json:"limits" doc:"How many limits it has"`
}

// Reloaded says which configuration is in force from now on.
type Reloaded struct {
	APIs     []string  `json:"apis" nullable:"false"`
	LoadedAt time.Time `json:"loaded_at"`
}
