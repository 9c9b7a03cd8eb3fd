package admin

import "time"

// LimitList says how the limits of a tenant, or of one of its keys, stand.
type LimitList struct {
	API    string          `json:"api"`
	Tenant string          `json:"tenant"`
	Key    string          `json:"key,omitempty" doc:"The id of the key, where one was named"`
	Plan   string          `json:"plan" doc:"The key's own, or the tenant's"`
	At     time.Time       `json:"at" doc:"When it was so"`
	Limits []LimitStanding `json:"limits" nullable:"false" doc:"In the configuration's order"`
}

// LimitStanding is one limit as it holds and as it stands for somebody.
type LimitStanding struct {
	Name        string               `json:"name"`
	Per         []string             `json:"per" nullable:"false" doc:"Whose counter it is"`
	When        *LimitCondition      `json:"when,omitempty" doc:"Which requests it counts; absent: all"`
	From        string               `json:"from" enum:"default,plan,key_plan,tenant_limits,tenant_override,key_override" doc:"Where the windows come from"`
	Shadow      bool                 `json:"shadow,omitempty" doc:"It counts, and refuses nothing"`
	Unlimited   bool                 `json:"unlimited,omitempty" doc:"It does not count this caller"`
	Needs       []string             `json:"needs,omitempty" doc:"What must be named for its counter to be found: key, operation"`
	Windows     []WindowStanding     `json:"windows" nullable:"false" doc:"None where it is neither unlimited nor about requests in flight: nothing is allowed"`
	Concurrency *ConcurrencyStanding `json:"concurrency,omitempty"`
}

// LimitCondition narrows a limit to some requests; what is absent is any.
type LimitCondition struct {
	Category   []string            `json:"category,omitempty"`
	Access     string              `json:"access,omitempty"`
	Endpoint   []string            `json:"endpoint,omitempty"`
	Attributes map[string][]string `json:"attributes,omitempty" doc:"Values of the caller's attributes, one of which it must have; an empty one is a caller without"`
}

// WindowStanding is one window of a counter. What is null is not known for want
// of what the limit needs.
type WindowStanding struct {
	Window    string     `json:"window" doc:"Such as 60/1m"`
	Limit     uint64     `json:"limit" doc:"How many hits it allows at once when nothing is used"`
	Used      *uint64    `json:"used"`
	Remaining *uint64    `json:"remaining"`
	Reset     *time.Time `json:"reset" doc:"When it is as good as unused if nobody spends"`
}

// ConcurrencyStanding is a limit of requests in flight.
type ConcurrencyStanding struct {
	Max      uint32 `json:"max"`
	InFlight *int   `json:"in_flight" doc:"On the instance that was asked; null: not known"`
}

// ResetLimits asks for counters to begin anew.
type ResetLimits struct {
	API       string `json:"api" minLength:"1"`
	Tenant    string `json:"tenant" minLength:"1" maxLength:"128"`
	Key       string `json:"key,omitempty" maxLength:"128" doc:"The id of one of the tenant's keys"`
	Limit     string `json:"limit,omitempty" doc:"Default: all whose counter is that of the key alone or, without a key, of the tenant alone"`
	Operation string `json:"operation,omitempty" doc:"For limits that are counted per operation"`
}

// RefundLimit asks for hits to be given back.
type RefundLimit struct {
	API       string `json:"api" minLength:"1"`
	Tenant    string `json:"tenant" minLength:"1" maxLength:"128"`
	Key       string `json:"key,omitempty" maxLength:"128" doc:"The id of one of the tenant's keys"`
	Limit     string `json:"limit" minLength:"1"`
	Operation string `json:"operation,omitempty" doc:"For limits that are counted per operation"`
	Hits      uint64 `json:"hits" minimum:"1" maximum:"9007199254740992" doc:"No window gets back more than was used of it"`
}

// SteeredLimits says which counters a call has changed, and how all limits
// stand then.
type SteeredLimits struct {
	Changed []string `json:"changed" nullable:"false" doc:"The limits whose counters were changed"`
	LimitList
}

// NewOverride asks for windows in place of what a plan says.
type NewOverride struct {
	API     string   `json:"api" minLength:"1"`
	Tenant  string   `json:"tenant" minLength:"1" maxLength:"128"`
	Key     string   `json:"key,omitempty" maxLength:"128" doc:"The id of one of the tenant's keys, for which alone it is; default: for the tenant and all its keys"`
	Limit   string   `json:"limit" minLength:"1"`
	Windows []string `json:"windows" nullable:"false" doc:"Windows, or unlimited alone"`
}

// Overrides are all those of one tenant, or of one key.
type Overrides struct {
	API       string              `json:"api"`
	Tenant    string              `json:"tenant"`
	Key       string              `json:"key,omitempty"`
	Overrides map[string][]string `json:"overrides" nullable:"false" doc:"By the limit's name"`
}

// LimitsOf names whose limits are meant; Key and Operation may be "".
type LimitsOf struct {
	API, Tenant, Key, Operation string
}
