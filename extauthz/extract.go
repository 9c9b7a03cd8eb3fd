package extauthz

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport"
)

// extract returns the one secret that req carries in the places of the API.
// The same secret in two places is one; anything that is not plainly one
// secret in its place is refused.
func (a *apiRules) extract(req *sallyport.Request) (secret string, why sallyport.Reason) {
	for i := range a.Places {
		found, why := readPlace(&a.Places[i], req, a.Places)
		switch {
		case why == sallyport.CredentialMissing:
			continue
		case why != sallyport.Allowed:
			return "", why
		case secret != "" && secret != found:
			return "", sallyport.CredentialConflicting
		}
		secret = found
	}
	if secret == "" {
		return "", sallyport.CredentialMissing
	}
	if a.carriesKey(req.Path) || strings.Contains(req.Path, secret) || req.Query != "" && a.queryCarriesKey(req.Query, secret) || a.carriesCopy(req, secret) {
		return "", sallyport.CredentialMisplaced
	}
	return secret, sallyport.Allowed
}

// carriesCopy reports whether secret stands also in a header where it is not
// read, and so would reach the upstream.
func (a *apiRules) carriesCopy(req *sallyport.Request, secret string) bool {
	for i := range req.Headers {
		h := &req.Headers[i]
		if len(h.Value) >= len(secret) && h.Name != "" && h.Name[0] != ':' && !a.reads(h.Name) && strings.Contains(h.Value, secret) && !a.removes(h.Name) {
			return true
		}
	}
	return false
}

// removes reports whether the upstream does not get the header called name in
// any case.
func (a *apiRules) removes(name string) bool {
	return overrides(name) || a.readsQuery() && slices.Contains(tellsQuery[:], name)
}

// tellsQuery are headers in which browsers and proxies repeat the query of a
// request, and so its key where that stands there.
var tellsQuery = [...]string{"referer", "x-forwarded-uri"}

// queryCarriesKey reports whether a key of the API, or secret, stands in query,
// as it is or encoded, outside of the parameters that are read and then removed.
func (a *apiRules) queryCarriesKey(query, secret string) bool {
	carries := func(s string) bool { return a.carriesKey(s) || strings.Contains(s, secret) }
	if !a.readsQuery() {
		return carries(query) || strings.Contains(query, "%") && carries(decoded(query))
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, _, _ := strings.Cut(pair, "=")
		if !a.readsParameter(key) && carries(decoded(pair)) {
			return true
		}
	}
	return false
}

// decoded returns s with every percent-encoded byte in its place, and all else,
// what is broken too, as it is: some servers read it so.
func decoded(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(c))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// readsParameter reports whether a credential is read from the query parameter
// called name.
func (a *apiRules) readsParameter(name string) bool {
	for i := range a.Places {
		if a.Places[i].Query != "" && a.Places[i].Query == name {
			return true
		}
	}
	return false
}

// reads reports whether a credential is read from the header called name.
func (a *apiRules) reads(name string) bool {
	for i := range a.Places {
		if a.Places[i].Header == name {
			return true
		}
	}
	return false
}

// readPlace returns the secret that stands in p, one of the places all.
func readPlace(p *sallyport.Place, req *sallyport.Request, all []sallyport.Place) (string, sallyport.Reason) {
	if p.Query != "" {
		return readQuery(req.Query, p.Query)
	}
	value, lines := req.Header(p.Header)
	switch {
	case lines == 0:
		return "", sallyport.CredentialMissing
	case lines > 1:
		return "", sallyport.CredentialRepeated
	}
	value = strings.Trim(value, " \t")
	if p.Scheme == "" {
		if value == "" {
			return "", sallyport.CredentialMalformed
		}
		return value, sallyport.Allowed
	}
	secret, ok := cutScheme(value, p.Scheme)
	if !ok {
		return "", otherScheme(value, p, all)
	}
	return secret, sallyport.Allowed
}

// cutScheme returns what follows the word scheme and its spaces (RFC 9110
// §11.4); the word's case does not matter.
func cutScheme(value, scheme string) (rest string, ok bool) {
	if len(value) <= len(scheme) || value[len(scheme)] != ' ' || !strings.EqualFold(value[:len(scheme)], scheme) {
		return "", false
	}
	rest = strings.TrimLeft(value[len(scheme):], " ")
	return rest, rest != ""
}

// otherScheme says what it means that the header of p has another scheme: it is
// for another place of the same header to read, or a credential in the wrong
// place.
func otherScheme(value string, p *sallyport.Place, all []sallyport.Place) sallyport.Reason {
	for i := range all {
		if q := &all[i]; q != p && q.Header == p.Header && q.Scheme != p.Scheme {
			if q.Scheme == "" {
				return sallyport.CredentialMissing
			}
			if _, ok := cutScheme(value, q.Scheme); ok {
				return sallyport.CredentialMissing
			}
		}
	}
	return sallyport.CredentialMisplaced
}

// readQuery returns the value of the query parameter called name. Its name has
// to stand there as it is: by it, Envoy removes the parameter.
func readQuery(query, name string) (secret string, why sallyport.Reason) {
	why = sallyport.CredentialMissing
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		key, value, _ := strings.Cut(pair, "=")
		if unescape(key) != name {
			continue
		}
		if key != name {
			return "", sallyport.CredentialMisplaced
		}
		if why != sallyport.CredentialMissing {
			return "", sallyport.CredentialRepeated
		}
		if secret, why = unescape(value), sallyport.Allowed; secret == "" {
			return "", sallyport.CredentialMalformed
		}
	}
	return secret, why
}

// unescape returns s decoded as a query component; what does not decode stays
// as it is and so matches nothing.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}

func (a *apiRules) readsQuery() bool {
	for i := range a.Places {
		if a.Places[i].Query != "" {
			return true
		}
	}
	return false
}

// carriesKey reports whether a key of the API stands in s, a part of the URL:
// it would reach the upstream and every log on the way.
func (a *apiRules) carriesKey(s string) bool {
	for i := range a.Keys {
		prefix := a.Keys[i].Prefix
		for rest := s; ; {
			at := strings.Index(rest, prefix)
			if at < 0 {
				break
			}
			rest = rest[at+len(prefix):]
			if len(rest) >= keyBody && consists(rest[:keyBody], letterOrDigit) {
				return true
			}
		}
	}
	return false
}

// keyBody is how many characters follow the prefix of a generated key.
const keyBody = 38

// kinds of characters, by their byte.
const (
	letterOrDigit = 1 << iota
	inHeaderName  // beside those: what a name under the gate's prefix may hold
	inRequestID   // beside those: what a sane request id may hold
	inList        // beside those: what a list of header names may hold
)

var characters = func() (c [256]uint8) {
	for b := range 256 {
		if b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' {
			c[b] = letterOrDigit | inHeaderName | inRequestID | inList
		}
	}
	for kind, more := range map[uint8]string{inHeaderName: "-_", inRequestID: "-_.:/+=", inList: "-_, "} {
		for _, b := range []byte(more) {
			c[b] |= kind
		}
	}
	return c
}()

// consists reports whether all of s are characters of kind.
func consists(s string, kind uint8) bool {
	for i := range len(s) {
		if characters[s[i]]&kind == 0 {
			return false
		}
	}
	return true
}

// looksLikeKey reports whether s holds one of the API's prefixes and enough
// behind it for a key, also an imported one.
func (a *apiRules) looksLikeKey(s string) bool {
	const shortest = 8
	for i := range a.Keys {
		prefix := a.Keys[i].Prefix
		if at := strings.Index(s, prefix); at >= 0 && len(s)-at-len(prefix) >= shortest {
			return true
		}
	}
	return false
}

// requestID returns the id that req carries where it is a sane one, else "".
func requestID(req *sallyport.Request) string {
	id, _ := req.Header("x-request-id")
	if len(id) > 128 || !consists(id, inRequestID) {
		return ""
	}
	return id
}
