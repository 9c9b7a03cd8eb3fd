package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Tenant is a tenant as it is shown.
type Tenant struct {
	API       string              `json:"api" doc:"The API it is a customer of"`
	ID        string              `json:"id"`
	Name      string              `json:"name"`
	Plan      string              `json:"plan"`
	State     string              `json:"state" enum:"active,disabled,revoked"`
	Limits    map[string][]string `json:"limits" nullable:"false" doc:"Windows of its own by the limit's name, such as {\"requests\": [\"60/1m\", \"1000/1h\"]}"`
	CreatedAt time.Time           `json:"created_at"`
}

// NewTenant asks for a tenant.
type NewTenant struct {
	API    string              `json:"api" minLength:"1" doc:"One of the configuration's APIs"`
	ID     string              `json:"id" minLength:"1" maxLength:"128" doc:"Letters, digits and ._:@-, beginning with a letter or digit"`
	Name   string              `json:"name,omitempty" maxLength:"200"`
	Plan   string              `json:"plan,omitempty" doc:"One of the API's plans; required where it has any"`
	Limits map[string][]string `json:"limits,omitempty" doc:"Windows of its own by the limit's name; required for the limits that the plan leaves to the tenant"`
}

// TenantChange asks for changes; what is not sent stays.
type TenantChange struct {
	Name   Optional[string]              `json:"name,omitzero" maxLength:"200"`
	Plan   Optional[string]              `json:"plan,omitzero"`
	State  Optional[string]              `json:"state,omitzero" doc:"active or disabled"`
	Limits Optional[map[string][]string] `json:"limits,omitzero" doc:"All of its own windows, in place of those before; null or {} lifts them"`
}

// TenantList is one page of tenants.
type TenantList struct {
	Tenants []Tenant `json:"tenants" nullable:"false"`
	Next    string   `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// Key is a key as it is shown, without its secret.
type Key struct {
	KeyID       string     `json:"key_id"`
	API         string     `json:"api"`
	Tenant      string     `json:"tenant"`
	Name        string     `json:"name"`
	Scopes      []string   `json:"scopes" nullable:"false"`
	Environment string     `json:"environment"`
	Prefix      string     `json:"prefix"`
	Last4       string     `json:"last4"`
	Masked      string     `json:"masked"`
	State       string     `json:"state" enum:"active,disabled,revoked"`
	CreatedAt   time.Time  `json:"created_at"`
	ExpiresAt   *time.Time `json:"expires_at" doc:"null: never"`
	AllowedIPs  []string   `json:"allowed_ips" nullable:"false" doc:"The only networks it is good from; empty: any"`
}

// CreatedKey is a new key: the one answer that holds its secret.
type CreatedKey struct {
	Secret Shown `json:"key" doc:"The whole key. It is shown this once"`
	Key
}

// NewKey asks for a key.
type NewKey struct {
	API         string   `json:"api" minLength:"1" doc:"One of the configuration's APIs"`
	Tenant      string   `json:"tenant" minLength:"1" maxLength:"128"`
	Name        string   `json:"name,omitempty" maxLength:"200"`
	Scopes      []string `json:"scopes,omitempty" maxItems:"256" doc:"Scopes or presets of the API"`
	Prefix      string   `json:"prefix,omitempty" doc:"One of the API's key prefixes; default: the first"`
	Environment string   `json:"environment,omitempty" doc:"Another way to choose the prefix"`
	ExpiresAt   string   `json:"expires_at,omitempty" doc:"A length from now (90d, 1y), a date (2027-01-31, its first moment in UTC), an RFC 3339 time, or never"`
	AllowedIPs  []string `json:"allowed_ips,omitempty" maxItems:"256" doc:"CIDRs or addresses"`
}

// KeyChange asks for changes; what is not sent stays.
type KeyChange struct {
	Name       Optional[string]   `json:"name,omitzero" maxLength:"200"`
	Scopes     Optional[[]string] `json:"scopes,omitzero" maxItems:"256" doc:"All of its scopes, in place of those before"`
	ExpiresAt  Optional[string]   `json:"expires_at,omitzero" doc:"As for a new key; null or never lifts it"`
	AllowedIPs Optional[[]string] `json:"allowed_ips,omitzero" maxItems:"256" doc:"All of its networks, in place of those before; null or [] lifts them"`
	State      Optional[string]   `json:"state,omitzero" doc:"active or disabled"`
}

// KeyList is one page of keys, the newest first.
type KeyList struct {
	Keys []Key  `json:"keys" nullable:"false"`
	Next string `json:"next,omitempty" doc:"Send it as after for the next page; absent on the last"`
}

// Status says what is running.
type Status struct {
	Version       string      `json:"version"`
	StartedAt     time.Time   `json:"started_at"`
	UptimeSeconds int64       `json:"uptime_seconds"`
	Chain         string      `json:"chain"`
	APIs          []APIStatus `json:"apis" nullable:"false"`
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

// Shown is a secret in the one answer that shows it: JSON has the text, every
// other way to print it hides it.
type Shown string

// Reveal returns the text.
func (s Shown) Reveal() string { return string(s) }

func (Shown) String() string             { return "<secret>" }
func (Shown) GoString() string           { return "<secret>" }
func (Shown) Format(w fmt.State, _ rune) { io.WriteString(w, "<secret>") }
func (Shown) LogValue() slog.Value       { return slog.StringValue("<secret>") }

// Optional is a field of a change: not sent (the zero value), sent as null, or
// sent with a value.
type Optional[T any] struct {
	Sent  bool
	Value *T // nil: null
}

// Some is a field that is sent with v.
func Some[T any](v T) Optional[T] { return Optional[T]{true, &v} }

// Null is a field that is sent as null.
func Null[T any]() Optional[T] { return Optional[T]{Sent: true} }

// IsZero reports whether the field is not sent; it is what omitzero asks.
func (o Optional[T]) IsZero() bool { return !o.Sent }

// MarshalJSON writes the value or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// UnmarshalJSON is called only for a field that was sent.
func (o *Optional[T]) UnmarshalJSON(text []byte) error {
	o.Sent, o.Value = true, nil
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil
	}
	return json.Unmarshal(text, &o.Value)
}

// Schema describes the field for OpenAPI: a T, or null.
func (Optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	return s
}
