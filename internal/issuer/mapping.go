package issuer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport"
)

const (
	maxName   = 256 // bytes of what is passed on in a header
	maxScopes = 256
)

// Identity is what claims come to here.
type Identity struct {
	Tenant  string
	Subject string    // who acts; "": the client itself. A client is never passed off as a subject
	Client  string    // "": the issuer does not say
	Scopes  []string  // ours, each once; none where the claims have none
	Plan    string    // "": the tenant's
	Expires time.Time // zero: the issuer did not say
	ID      string    // the jti; "": it has none
}

// Mapping makes claims into an Identity. It is immutable.
type Mapping struct {
	fixed              string // the tenant of all
	tenant, user, plan Path
	userNeeded         bool   // a token without user is refused
	scopes             []Path // the first that is there counts
	scopeMap, planMap  map[string]string
}

// NewMapping reads what an issuer's claims mean. Its errors are for operators,
// and come all at once. The paths of claims are as ParsePath has them.
//
// Where c names no claim, the user is sub, and a token without one acts as its
// client; where c names one it must be there, or whoever gets a token without it
// would pass for the client. The scopes are scope, or where there is none scp.
func NewMapping(c sallyport.Claims) (*Mapping, error) {
	m := &Mapping{
		fixed: c.FixedTenant, user: top(claimSubject), scopes: []Path{top("scope"), top("scp")},
		userNeeded: c.User != "", scopeMap: maps.Clone(c.ScopeMap), planMap: maps.Clone(c.PlanMap),
	}
	var faults []error
	read := func(of, text string, to *Path) {
		if text == "" {
			return
		}
		p, err := ParsePath(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("the claim of the %s: %w", of, err))
		}
		*to = p
	}
	read("tenant", c.Tenant, &m.tenant)
	read("user", c.User, &m.user)
	read("plan", c.Plan, &m.plan)
	if c.Scopes != "" {
		m.scopes = m.scopes[:1]
		read("scopes", c.Scopes, &m.scopes[0])
	}
	switch {
	case c.Tenant == "" && c.FixedTenant == "":
		faults = append(faults, errors.New("neither a claim of the tenant nor a fixed tenant is named"))
	case c.Tenant != "" && c.FixedTenant != "":
		faults = append(faults, errors.New("both a claim of the tenant and a fixed tenant are named"))
	case c.FixedTenant != "" && !Carriable(c.FixedTenant):
		faults = append(faults, fmt.Errorf("tenant %q cannot be carried by a header", c.FixedTenant))
	}
	for _, theirs := range slices.Sorted(maps.Keys(c.ScopeMap)) {
		if ours := c.ScopeMap[theirs]; !isScope(ours) {
			faults = append(faults, fmt.Errorf("scope %q, for %q, cannot be a scope", ours, theirs))
		}
	}
	for _, theirs := range slices.Sorted(maps.Keys(c.PlanMap)) {
		if ours := c.PlanMap[theirs]; !Carriable(ours) {
			faults = append(faults, fmt.Errorf("plan %q, for %q, cannot be carried by a header", ours, theirs))
		}
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("claims of an issuer: %w", errors.Join(faults...))
	}
	return m, nil
}

// Map returns what c comes to. Its error wraps ErrUnmapped: who it is for, or who
// acts, is not said, or is said in a form that a header cannot carry, so that
// the upstream might read another name.
func (m *Mapping) Map(c Claims) (Identity, error) {
	i := Identity{Tenant: m.fixed, Expires: c.Expires}
	var errs [6]error
	if i.Tenant == "" {
		i.Tenant, errs[0] = c.carried("tenant", m.tenant)
	}
	i.Subject, errs[1] = c.carried("user", m.user)
	i.Client, errs[2] = c.carried("client", top(claimClient), top(claimAuthorized))
	i.ID, errs[3] = c.carried("id", top(claimID))
	i.Scopes, errs[4] = m.scopesOf(c)
	i.Plan, errs[5] = m.planOf(c)
	switch err := cmp.Or(errs[:]...); {
	case err != nil:
		return Identity{}, err
	case i.Tenant == "":
		return Identity{}, unmapped("the claim of the tenant is not there")
	case i.Subject == "" && (m.userNeeded || i.Client == ""):
		return Identity{}, unmapped("the claim of the user is not there")
	}
	return i, nil
}

// carried returns the first claim of from that is there and not empty, which is
// passed on as the name of an of; "" where none is.
func (c Claims) carried(of string, from ...Path) (string, error) {
	for _, p := range from {
		if !c.has(p) {
			continue
		}
		text, ok := c.Text(p)
		if !ok || text != "" && !Carriable(text) {
			return "", unmapped("the claim of the " + of + " is no text that a header can carry")
		}
		if text != "" {
			return text, nil
		}
	}
	return "", nil
}

// scopesOf returns our scopes. What is not in the table permits nothing, nor does
// what cannot be a scope: one with a space in it would be two further on.
func (m *Mapping) scopesOf(c Claims) ([]string, error) {
	at := slices.IndexFunc(m.scopes, c.has)
	if at < 0 {
		return nil, nil
	}
	theirs, ok := c.List(m.scopes[at])
	if !ok || len(theirs) > maxScopes {
		return nil, unmapped("the claim of the scopes is neither text nor a list of texts, or too long")
	}
	var ours []string
	for _, s := range theirs {
		if len(m.scopeMap) > 0 {
			s = m.scopeMap[s]
		}
		if isScope(s) && !slices.Contains(ours, s) {
			ours = append(ours, s)
		}
	}
	return ours, nil
}

// planOf returns our plan. One that is not in the table is none, which leaves the
// tenant's.
func (m *Mapping) planOf(c Claims) (string, error) {
	if len(m.planMap) == 0 {
		return c.carried("plan", m.plan)
	}
	if !c.has(m.plan) {
		return "", nil
	}
	theirs, ok := c.Text(m.plan)
	if !ok {
		return "", unmapped("the claim of the plan is no text")
	}
	return m.planMap[theirs], nil
}

// Carriable reports whether a header carries text as it is: it is short, has no
// control characters nor others that do not show, no spaces that would be cut
// off, and no character that stands for one that could not be read.
func Carriable(text string) bool {
	if text == "" || len(text) > maxName || text != strings.TrimSpace(text) || !utf8.ValidString(text) {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}

// isScope reports whether text is a scope (RFC 6749 §3.3) that a header carries.
func isScope(text string) bool {
	return text != "" && len(text) <= maxName && !strings.ContainsFunc(text, func(r rune) bool {
		return r <= ' ' || r > '~' || r == '"' || r == '\\'
	})
}
