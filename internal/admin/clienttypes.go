package admin

import "time"

// OAuthClient is an OAuth client as it is shown, without its secret.
type OAuthClient struct {
	ClientID     string     `json:"client_id"`
	API          string     `json:"api"`
	Tenant       string     `json:"tenant"`
	User         string     `json:"user" doc:"The service account that it acts as by itself; empty: it has rights of its own"`
	Name         string     `json:"name"`
	Public       bool       `json:"public" doc:"It has no secret, and must use PKCE"`
	Grants       []string   `json:"grants" nullable:"false" doc:"The grant types that it may use"`
	RedirectURIs []string   `json:"redirect_uris" nullable:"false" doc:"Where users may be sent back to, character by character"`
	Scopes       []string   `json:"scopes" nullable:"false" doc:"With a user or for its users: the only ones of theirs that it gets; none: all of them"`
	Roles        []string   `json:"roles" nullable:"false"`
	Prefix       string     `json:"prefix" doc:"Of its secret"`
	Last4        string     `json:"last4"`
	Masked       string     `json:"masked"`
	State        string     `json:"state" enum:"active,disabled,revoked"`
	Cause        string     `json:"cause,omitempty" doc:"Why it is in its state, where something else than an administrator's wish put it there"`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    *time.Time `json:"expires_at" doc:"null: never"`
	Expired      bool       `json:"expired"`
	AllowedIPs   []string   `json:"allowed_ips" nullable:"false" doc:"The only networks it and its tokens are good from; empty: any"`
}

// CreatedClient is a new client: the one answer that holds its secret.
type CreatedClient struct {
	Secret Shown `json:"client_secret,omitempty" doc:"The whole secret. It is shown this once; a public client has none"`
	OAuthClient
}

// NewOAuthClient asks for a client.
type NewOAuthClient struct {
	API          string   `json:"api" minLength:"1" doc:"One of the configuration's APIs"`
	Tenant       string   `json:"tenant" minLength:"1" maxLength:"128"`
	User         string   `json:"user,omitempty" maxLength:"128" doc:"The service account that it acts as by itself"`
	Name         string   `json:"name,omitempty" maxLength:"200" doc:"What users see who are asked to consent"`
	Public       bool     `json:"public,omitempty"`
	Grants       []string `json:"grants,omitempty" maxItems:"8" doc:"Default: those of the API's token endpoint that it can use"`
	RedirectURIs []string `json:"redirect_uris,omitempty" maxItems:"32"`
	Scopes       []string `json:"scopes,omitempty" maxItems:"256" doc:"Scopes or presets of the API"`
	Roles        []string `json:"roles,omitempty" maxItems:"64" doc:"Roles of the API or the tenant; one that acts as a user has that user's"`
	ExpiresAt    string   `json:"expires_at,omitempty" doc:"As for a key"`
	AllowedIPs   []string `json:"allowed_ips,omitempty" maxItems:"256" doc:"CIDRs or addresses"`
}

// OAuthClientChange asks for changes; what is not sent stays. To disable a client,
// or to change its roles, ends its tokens.
type OAuthClientChange struct {
	Name         Optional[string]   `json:"name,omitzero" maxLength:"200"`
	Grants       Optional[[]string] `json:"grants,omitzero" maxItems:"8" doc:"All of them, in place of those before"`
	RedirectURIs Optional[[]string] `json:"redirect_uris,omitzero" maxItems:"32" doc:"All of them, in place of those before; null or [] lifts them"`
	Scopes       Optional[[]string] `json:"scopes,omitzero" maxItems:"256" doc:"All of its scopes, in place of those before"`
	Roles        Optional[[]string] `json:"roles,omitzero" maxItems:"64" doc:"All of its roles, in place of those before"`
	ExpiresAt    Optional[string]   `json:"expires_at,omitzero" doc:"As for a new key; null or never lifts it"`
	AllowedIPs   Optional[[]string] `json:"allowed_ips,omitzero" maxItems:"256" doc:"All of its networks, in place of those before; null or [] lifts them"`
	State        Optional[string]   `json:"state,omitzero" doc:"active or disabled"`
}

// OAuthClientList is one page of clients, the newest first.
type OAuthClientList struct {
	Clients []OAuthClient `json:"clients" nullable:"false"`
	Next    string        `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// RolledClient is a client with its new secret: the one answer that holds it.
type RolledClient struct {
	Secret    Shown     `json:"client_secret" doc:"The whole secret. It is shown this once"`
	OldEndsAt time.Time `json:"old_ends_at" doc:"When the secrets before end, at the latest"`
	OAuthClient
}
