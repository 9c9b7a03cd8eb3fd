package render

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Vars is everything that a template may name. ${message} of a JSON template
// is the rendered text of a message template, which the caller puts in Message.
type Vars struct {
	Code, Message, Type                                 string
	RequestID, API, Tenant, Credential, Principal, Plan string
	Environment, MissingScope, Operation, Decision      string
	Scopes                                              []string
	Now, ExpiresAt                                      time.Time
	RetryAfter                                          int64 // seconds
	Limit, Remaining                                    uint64
	Reset                                               int64
}

// name is one placeholder of the list below; the zero value is none.
type name uint8

const (
	nameNone name = iota
	nameCode
	nameMessage
	nameType
	nameRequestID
	nameAPI
	nameTenant
	nameCredential
	namePrincipal
	namePlan
	nameEnvironment
	nameMissingScope
	nameOperation
	nameDecision
	nameScopes
	nameNow
	nameExpiresAt
	nameRetryAfter
	nameLimit
	nameRemaining
	nameReset
)

var names = map[string]name{
	"code":          nameCode,
	"message":       nameMessage,
	"type":          nameType,
	"request_id":    nameRequestID,
	"api":           nameAPI,
	"tenant":        nameTenant,
	"credential":    nameCredential,
	"principal":     namePrincipal,
	"plan":          namePlan,
	"environment":   nameEnvironment,
	"missing_scope": nameMissingScope,
	"operation":     nameOperation,
	"decision":      nameDecision,
	"scopes":        nameScopes,
	"now":           nameNow,
	"expires_at":    nameExpiresAt,
	"retry_after":   nameRetryAfter,
	"limit":         nameLimit,
	"remaining":     nameRemaining,
	"reset":         nameReset,
}

// Placeholders lists the names that a template may use, sorted.
func Placeholders() []string { return placeholders(func(name) bool { return true }) }

func placeholders(allowed func(name) bool) []string {
	var all []string
	for text, n := range names {
		if allowed(n) {
			all = append(all, text)
		}
	}
	slices.Sort(all)
	return all
}

func (n name) numeric() bool { return n >= nameRetryAfter }

// empty reports whether n has nothing to tell.
func (v *Vars) empty(n name) bool {
	switch n {
	case nameScopes:
		return len(v.Scopes) == 0
	case nameNow, nameExpiresAt:
		return v.time(n).IsZero()
	case nameRetryAfter:
		return v.RetryAfter == 0
	case nameReset:
		return v.Reset == 0
	case nameLimit:
		return v.Limit == 0
	case nameRemaining:
		return v.Remaining == 0
	}
	return v.text(n) == ""
}

// appendText appends n as text. With escaped it may stand in a JSON string.
func (v *Vars) appendText(dst []byte, n name, escaped bool) []byte {
	switch n {
	case nameScopes:
		for i, s := range v.Scopes {
			if i > 0 {
				dst = append(dst, ' ')
			}
			dst = appendString(dst, s, escaped)
		}
		return dst
	case nameNow, nameExpiresAt:
		if t := v.time(n); !t.IsZero() {
			dst = t.UTC().AppendFormat(dst, time.RFC3339)
		}
		return dst
	}
	if n.numeric() {
		return v.appendNumber(dst, n)
	}
	return appendString(dst, v.text(n), escaped)
}

func (v *Vars) appendNumber(dst []byte, n name) []byte {
	switch n {
	case nameRetryAfter:
		return strconv.AppendInt(dst, v.RetryAfter, 10)
	case nameReset:
		return strconv.AppendInt(dst, v.Reset, 10)
	case nameLimit:
		return strconv.AppendUint(dst, v.Limit, 10)
	}
	return strconv.AppendUint(dst, v.Remaining, 10)
}

// appendList appends the scopes as a JSON array.
func (v *Vars) appendList(dst []byte) []byte {
	dst = append(dst, '[')
	for i, s := range v.Scopes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = appendString(dst, s, true)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}

func (v *Vars) time(n name) time.Time {
	if n == nameNow {
		return v.Now
	}
	return v.ExpiresAt
}

func (v *Vars) text(n name) string {
	switch n {
	case nameCode:
		return v.Code
	case nameMessage:
		return v.Message
	case nameType:
		return v.Type
	case nameRequestID:
		return v.RequestID
	case nameAPI:
		return v.API
	case nameTenant:
		return v.Tenant
	case nameCredential:
		return v.Credential
	case namePrincipal:
		return v.Principal
	case namePlan:
		return v.Plan
	case nameEnvironment:
		return v.Environment
	case nameMissingScope:
		return v.MissingScope
	case nameOperation:
		return v.Operation
	case nameDecision:
		return v.Decision
	}
	return ""
}

// hint lists what is allowed, for an error.
func hint(all []string) string { return "known are " + strings.Join(all, ", ") }
