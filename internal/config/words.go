package config

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport/sallyport"
)

// The words that a configuration may use, and the shapes of names.

var (
	methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	served  = []string{
		endpointKeys, sallyport.ServeAuthorize, sallyport.ServeCallback, sallyport.ServeToken, sallyport.ServeRevoke, sallyport.ServeIntrospect,
		sallyport.ServeMetadata, sallyport.ServeJWKS, sallyport.ServeExchange,
	}
	grants    = []string{sallyport.GrantAuthorizationCode, sallyport.GrantRefreshToken, sallyport.GrantClientCredentials}
	keyFields = sallyport.KeyFields[:]

	// Whom a limit can count for, besides "attribute NAME"; those of the second
	// list where it counts an endpoint that its callers prove themselves to.
	counted           = []string{"credential", "tenant", "principal", "operation", "plan", "api"}
	countedAtEndpoint = []string{"address", "client"}

	algorithms = []string{"EdDSA", "ES256", "RS256", "HS256"}
)

// endpointKeys is the endpoint by which a tenant manages its own keys.
const endpointKeys = sallyport.ServeKeys

var (
	apiName     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	limitName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	keyPrefix   = regexp.MustCompile(`^[A-Za-z0-9_-]{2,32}$`)
	idPrefix    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)
	scopeName   = regexp.MustCompile(`^[A-Za-z0-9:*._/-]{1,100}$`)
	plainName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	headerName  = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")
	queryName   = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,100}$`)
	mediaType   = regexp.MustCompile(`^[a-z0-9.+-]+/[a-z0-9.+-]+$`)
	headerValue = regexp.MustCompile(`^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$`)
)

// ownPaths are what the server's plain HTTP serves besides APIs' endpoints.
var ownPaths = []string{"admin", "healthz", "metrics", "readyz"}

// isLabel reports whether s can be shown in one line: a role, a preset, the
// name of an operation.
func isLabel(s string) bool {
	return s != "" && len(s) <= 200 && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// ours are the headers that the gate itself writes to the upstream.
const ours = "x-sallyport-"

// reservedHeaders carry the message itself; the gate neither reads a
// credential from them nor writes a quota into them.
var reservedHeaders = []string{"host", "connection", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "keep-alive", "proxy-connection"}

func headerProblem(name string) (problem, hint string) {
	lower := strings.ToLower(name)
	switch {
	case !headerName.MatchString(name):
		return "header " + quote(name) + " is not a header name", "write a name such as X-API-Key"
	case strings.HasPrefix(strings.ReplaceAll(lower, "_", "-"), ours):
		return "header " + quote(name) + " is one of the gate's own", "names that begin with " + ours + " are removed from requests"
	case slices.Contains(reservedHeaders, lower):
		return "header " + quote(name) + " belongs to HTTP itself", "choose another"
	}
	return "", ""
}

// oneOf says that got is not one of the words, unless it is or is not given.
func (f *faults) oneOf(path, what, got string, words ...string) bool {
	if got == "" || slices.Contains(words, got) {
		return true
	}
	if f.full() {
		return false
	}
	hint, _ := allowed(got, words)
	f.add(path, "unknown "+what+" "+quote(got), hint)
	return false
}

// distinct says which of names are written twice.
func (f *faults) distinct(path, what string, names []string) {
	first := map[string]int{}
	for i, name := range names {
		if _, twice := first[name]; twice && name != "" {
			f.add(index(path, i), what+" "+quote(name)+" is written twice", "")
			continue
		}
		first[name] = i
	}
}
