package issuer

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims is what an issuer stands for. It is immutable.
type Claims struct {
	Expires time.Time // zero: an answer that did not say
	values  map[string]any
}

// Text returns the claim that p leads to, as text: text itself, a whole number
// as it stands, true or false. Anything else is not ok, as is a claim that is
// not there.
func (c Claims) Text(p Path) (text string, ok bool) {
	value, _ := p.in(c.values)
	return scalar(value)
}

// List returns the claim that p leads to as a list: the items of a list, each of
// which must be as Text has it, or the words of a text (RFC 6749 §3.3 writes
// scopes so). Anything else is not ok, as is a claim that is not there.
func (c Claims) List(p Path) (items []string, ok bool) {
	value, _ := p.in(c.values)
	switch v := value.(type) {
	case string:
		return strings.Fields(v), true
	case []any:
		items = make([]string, len(v))
		for i := range v {
			if items[i], ok = scalar(v[i]); !ok {
				return nil, false
			}
		}
		return items, true
	}
	return nil, false
}

// has reports whether the claim is there at all; null counts as absent.
func (c Claims) has(p Path) bool {
	value, ok := p.in(c.values)
	return ok && value != nil
}

func scalar(value any) (text string, ok bool) {
	switch v := value.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		// 7, 7.0 and 0.7e1 are one number and would be three names.
		if n, err := strconv.ParseInt(v.String(), 10, 64); err == nil && (n != 0 || v == "0") {
			return v.String(), true
		}
	}
	return "", false
}

// The claims of RFC 7519 §4.1, RFC 9068 and RFC 7662 that are read here, and azp,
// which is how OpenID Connect names the client.
const (
	claimIssuer     = "iss"
	claimAudience   = "aud"
	claimSubject    = "sub"
	claimClient     = "client_id"
	claimAuthorized = "azp"
	claimExpires    = "exp"
	claimNotBefore  = "nbf"
	claimIssued     = "iat"
	claimID         = "jti"
	claimBound      = "cnf"
)

// period is what claims say of time. Zero times were not said.
type period struct{ expires, notBefore, issued time.Time }

// readPeriod reads exp, nbf and iat.
func readPeriod(claims map[string]any) (p period, why string) {
	for _, at := range []struct {
		name string
		to   *time.Time
	}{{claimExpires, &p.expires}, {claimNotBefore, &p.notBefore}, {claimIssued, &p.issued}} {
		value, there := claims[at.name]
		if !there {
			continue
		}
		var ok bool
		if *at.to, ok = numericDate(value); !ok {
			return period{}, at.name + " is not a time"
		}
	}
	return p, ""
}

// begun says why what has period p is not good yet at now; "" where it is.
func (p period) begun(now time.Time, leeway time.Duration) (why string) {
	switch soon := now.Add(leeway); {
	case p.notBefore.After(soon):
		return "nbf is in the future"
	case p.issued.After(soon):
		return "iat is in the future"
	}
	return ""
}

// expired reports whether p had ended at now: the end itself is outside.
func (p period) expired(now time.Time, leeway time.Duration) bool {
	return !p.expires.IsZero() && !now.Before(p.expires.Add(leeway))
}

// latest is the end of the year 9999, the last that times have a text for.
const latest = 253402300799

// numericDate reads seconds since 1970 (RFC 7519 §2), whole or not: parts of a
// second are dropped. A time before 1970 or after 9999 is a fault of whoever
// wrote it, and never means "for ever".
func numericDate(value any) (time.Time, bool) {
	number, ok := value.(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || seconds < 1 || seconds > latest {
		return time.Time{}, false
	}
	return time.Unix(int64(math.Floor(seconds)), 0).UTC(), true
}

// audienceOf returns whom claims are for: one text, or a list of them.
func audienceOf(claims map[string]any) (audience []string, ok bool) {
	switch v := claims[claimAudience].(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, item := range v {
			text, isText := item.(string)
			if !isText {
				return nil, false
			}
			audience = append(audience, text)
		}
		return audience, true
	}
	return nil, false
}

// forUs says why claims are not for one of wanted; "" where they are.
func forUs(claims map[string]any, wanted []string) (why string) {
	audience, ok := audienceOf(claims)
	if !ok {
		return "aud is not there, or neither text nor a list of texts"
	}
	if !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(wanted, a) }) {
		return "aud names others"
	}
	return ""
}

// named says why nobody can be held to claims; "" where a user or a client can.
func named(claims map[string]any) (why string) {
	someone := false
	for _, name := range []string{claimSubject, claimClient, claimAuthorized} {
		text, ok := textOf(claims, name)
		if !ok {
			return name + " is not text"
		}
		someone = someone || text != ""
	}
	if !someone {
		return "neither sub nor client_id nor azp says whose it is"
	}
	return ""
}

// bound says why claims ask for more than the token itself; "" where they do not.
func bound(claims map[string]any) (why string) {
	if _, there := claims[claimBound]; there {
		return "cnf asks for a proof of possession"
	}
	return ""
}
