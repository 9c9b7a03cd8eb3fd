package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport"
)

// This file says what a key may be, given the policy. It is pure.

// list writes the allowed values into a message.
func list(values []string) string {
	if len(values) == 0 {
		return "there is none"
	}
	return "use one of " + strings.Join(values, ", ")
}

func apiNames(p *sallyport.Policy) []string {
	names := make([]string, len(p.APIs))
	for i, a := range p.APIs {
		names[i] = a.Name
	}
	return names
}

// checkAPI returns the API called name; nil and a fault where there is none.
func checkAPI(f *faults, p *sallyport.Policy, name string) *sallyport.API {
	api := p.API(name)
	if api == nil {
		f.at("body.api", "%s is not an API of the configuration; %s", quote(name), list(apiNames(p)))
	}
	return api
}

// owner is whom a new key is for, as the store knows them; nil: it does not.
type owner struct {
	tenant *sallyport.Tenant
	user   *sallyport.User
}

// newCredential returns the credential of form that in asks for, without its
// id.
func newCredential(f *faults, api *sallyport.API, form *sallyport.KeyForm, in NewKey, who owner, now time.Time) sallyport.Credential {
	checkTenant(f, api, who.tenant)
	checkName(f, form, in.Name)
	return sallyport.Credential{
		API: api.Name, Tenant: who.tenant, User: checkUser(f, form, in.User, who), Kind: kindOf(form), Name: in.Name, State: sallyport.Active,
		Environment: form.Environment, Access: form.Access, Sandbox: form.Sandbox, Prefix: form.Prefix,
		Scopes:     checkKeyScopes(f, api, form, in.Scopes),
		Roles:      checkKeyRoles(f, api, form, who.tenant, in.Roles),
		AllowedIPs: checkAddresses(f, in.AllowedIPs),
		Plan:       checkKeyPlan(f, api, who.tenant, in.Plan),
		Overrides:  checkOverrides(f, api, in.Overrides),
		Attributes: checkAttributes(f, in.Attributes),
		CreatedAt:  now,
		ExpiresAt:  checkExpiry(f, form, in.ExpiresAt, now, now),
	}
}

// identify gives c its id.
func identify(c *sallyport.Credential, id string) {
	c.ID, c.Principal = id, id
	if c.User != nil {
		c.Principal = c.User.ID
	}
}

// chooseForm returns the form of key that is asked for by prefix, environment
// or both; by neither, the first.
func chooseForm(f *faults, api *sallyport.API, prefix, environment string) *sallyport.KeyForm {
	var prefixes, environments []string
	for i := range api.Keys {
		form := &api.Keys[i]
		if form.Kind == sallyport.KindClient {
			continue // those are registered at /clients
		}
		if (prefix == "" || prefix == form.Prefix) && (environment == "" || environment == form.Environment) {
			return form
		}
		prefixes = append(prefixes, form.Prefix)
		if form.Environment != "" && !slices.Contains(environments, form.Environment) {
			environments = append(environments, form.Environment)
		}
	}
	switch {
	case len(prefixes) == 0 && prefix == "" && environment == "":
		f.at("body.api", "%s has no keys in the configuration", quote(api.Name))
	case prefix != "" && (api.KeyForm(prefix) == nil || api.KeyForm(prefix).Kind == sallyport.KindClient):
		// Not repeated: a whole key may have been pasted.
		f.at("body.prefix", "is not a key prefix of %s; %s", api.Name, list(prefixes))
	case prefix != "":
		f.at("body.environment", "keys of prefix %s are for %s", prefix, quote(api.KeyForm(prefix).Environment))
	default:
		f.at("body.environment", "%s is not an environment of %s; %s", quote(environment), api.Name, list(environments))
	}
	return nil
}

func kindOf(form *sallyport.KeyForm) string { return cmp.Or(form.Kind, sallyport.KindKey) }

// checkUser returns whom a key acts for: a personal access token for an active
// user, a client for a service account if it likes, all others for nobody.
func checkUser(f *faults, form *sallyport.KeyForm, asked string, who owner) *sallyport.User {
	const at = "body.user"
	pat, client := kindOf(form) == sallyport.KindPAT, kindOf(form) == sallyport.KindClient
	switch {
	case client && asked == "":
	case !pat && !client && asked != "":
		f.at(at, "is for personal access tokens, and keys of prefix %s are none", form.Prefix)
	case !pat && !client:
	case asked == "":
		f.at(at, "is required: credentials of prefix %s are personal access tokens", form.Prefix)
	case who.tenant == nil: // a fault of its own
	case who.user == nil:
		f.at(at, "the tenant has no such user; create it first")
	case who.user.State != sallyport.Active:
		f.at(at, "is %s; enable it first", who.user.State)
	case client && !who.user.Service:
		f.at(at, "is a person: a client acts by itself as a service account, and for people when they sign in")
	default:
		return who.user
	}
	return nil
}

// checkKeyRoles returns the roles of a key; a personal access token has none of
// its own.
func checkKeyRoles(f *faults, api *sallyport.API, form *sallyport.KeyForm, t *sallyport.Tenant, roles []string) []string {
	switch {
	case kindOf(form) == sallyport.KindPAT && len(roles) > 0:
		f.at("body.roles", "are not for credentials of prefix %s: a personal access token has its user's", form.Prefix)
		return nil
	case form.Role && len(roles) == 0:
		f.at("body.roles", "keys of prefix %s need one; %s", form.Prefix, list(roleNames(api, t)))
	}
	return checkRoles(f, api, t, roles)
}

func checkName(f *faults, form *sallyport.KeyForm, name string) {
	if form.Label && strings.TrimSpace(name) == "" {
		f.at("body.name", "is required for keys of prefix %s", form.Prefix)
	}
	checkText(f, "body.name", name)
	if utf8.RuneCountInString(name) > maxName {
		f.at("body.name", "has more than %d characters", maxName)
	}
}

// checkKeyPlan returns the plan of a key of t; "" is the tenant's, which needs
// no look.
func checkKeyPlan(f *faults, api *sallyport.API, t *sallyport.Tenant, plan string) string {
	const at = "body.plan"
	if plan != "" && !slices.Contains(api.Plans, plan) {
		f.at(at, "%s is not a plan of %s; %s", quote(plan), api.Name, list(api.Plans))
		return ""
	}
	for _, l := range api.Limits {
		if plan != "" && t != nil && l.Plans[plan].FromTenant && len(t.Limits[l.Name]) == 0 {
			f.at(at, "plan %s leaves limit %s to the tenant, which has no windows for it; give it some first", quote(plan), l.Name)
		}
	}
	return plan
}

const maxName = 200

func checkText(f *faults, location, s string) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		f.at(location, "holds a control character; use letters, digits, spaces and punctuation")
	}
}

// checkScopes returns scopes with presets spelled out, each once.
func checkScopes(f *faults, api *sallyport.API, scopes []string) []string {
	known := scopeNames(api)
	var chosen []string
	for i, scope := range scopes {
		preset, isPreset := api.Presets[scope]
		switch {
		case isPreset:
			chosen = append(chosen, preset...)
		case slices.Contains(known, scope):
			chosen = append(chosen, scope)
		default:
			f.at(fmt.Sprintf("body.scopes[%d]", i), "%s is not a scope of %s; %s", quote(scope), api.Name, list(known))
		}
	}
	return unique(chosen)
}

// scopeNames lists the scopes of api, and then its presets, which have other
// names.
func scopeNames(api *sallyport.API) []string {
	names := make([]string, 0, len(api.Scopes)+len(api.Presets))
	for _, s := range api.Scopes {
		names = append(names, s.Name)
	}
	return append(names, slices.Sorted(maps.Keys(api.Presets))...)
}

// checkKeyScopes returns the scopes of a key.
func checkKeyScopes(f *faults, api *sallyport.API, form *sallyport.KeyForm, scopes []string) []string {
	before := len(*f)
	chosen := checkScopes(f, api, scopes)
	if len(chosen) < form.MinScopes && len(*f) == before {
		f.at("body.scopes", "keys of prefix %s need at least %d; %s", form.Prefix, form.MinScopes, list(scopeNames(api)))
	}
	return chosen
}

// unique returns list without repetitions, in its order.
func unique[T comparable](list []T) []T {
	seen := make(map[T]bool, len(list))
	return slices.DeleteFunc(list, func(v T) bool {
		again := seen[v]
		seen[v] = true
		return again
	})
}

// checkAddresses returns the networks, each once.
func checkAddresses(f *faults, addresses []string) []netip.Prefix {
	var networks []netip.Prefix
	for i, s := range addresses {
		network, err := parseNetwork(s)
		if err != nil {
			f.at(fmt.Sprintf("body.allowed_ips[%d]", i), "%v", err)
			continue
		}
		networks = append(networks, network)
	}
	return unique(networks)
}

const networkForm = "write an address such as 192.0.2.7, or a network such as 192.0.2.0/24 or 2001:db8::/32"

// parseNetwork reads an address or CIDR. What is IPv4 in IPv6's clothes
// becomes IPv4, which is how callers' addresses are compared.
func parseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%s has a zone: %s", quote(s), networkForm)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s is neither an address nor a CIDR: %s", quote(s), networkForm)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%s has bits behind its prefix; write %s, or the address alone", quote(s), p.Masked())
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, fmt.Errorf("%s is wider than all of IPv4; write 0.0.0.0/0 or an IPv6 network", quote(s))
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, nil
}

func formatNetwork(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// checkExpiry returns the end that is asked for, for a key that was made at
// created.
func checkExpiry(f *faults, form *sallyport.KeyForm, asked string, created, now time.Time) time.Time {
	e, err := parseExpiry(asked, now)
	if err == nil {
		err = expiryFits(form, e, created)
	}
	if err != nil {
		f.at("body.expires_at", "%v", err)
	}
	return e.at
}

// expiryFits checks an end against what form allows. Ages count from when the
// key was made, or one could be kept alive for good, a year at a time.
func expiryFits(form *sallyport.KeyForm, e expiry, created time.Time) error {
	switch age := e.at.Sub(created); {
	case e.at.IsZero() && len(form.Expiry) > 0:
		return fmt.Errorf("is required for keys of prefix %s; %s", form.Prefix, list(form.Expiry))
	case e.at.IsZero() && form.MaxAge > 0:
		return fmt.Errorf("is required for keys of prefix %s, which live at most %s", form.Prefix, formatLength(form.MaxAge))
	case e.at.IsZero():
		return nil
	case form.MaxAge > 0 && age > form.MaxAge:
		return fmt.Errorf("is too late: keys of prefix %s live at most %s", form.Prefix, formatLength(form.MaxAge))
	case age < form.MinAge:
		return fmt.Errorf("is too early: keys of prefix %s live at least %s", form.Prefix, formatLength(form.MinAge))
	}
	if len(form.Expiry) == 0 || slices.ContainsFunc(form.Expiry, e.is) {
		return nil
	}
	return fmt.Errorf("is not among the choices for keys of prefix %s; %s", form.Prefix, list(form.Expiry))
}

// is reports whether e is what choice allows: a length, or any date.
func (e expiry) is(choice string) bool {
	if choice == onDate {
		return e.length == 0
	}
	length, err := sallyport.ParseLength(choice)
	return err == nil && e.length == length
}

// changeCredential applies in to c, or says what is wrong with it.
func changeCredential(p *sallyport.Policy, c *sallyport.Credential, in KeyChange, now time.Time) error {
	if c.State == sallyport.Revoked {
		return sallyport.ErrFinal
	}
	var f faults
	changeState(&f, &c.State, in.State, "; to revoke a key, POST to its /revoke")
	if in.AllowedIPs.Sent {
		c.AllowedIPs = checkAddresses(&f, value(in.AllowedIPs))
	}
	if in.Attributes.Sent {
		c.Attributes = checkAttributes(&f, value(in.Attributes))
	}
	if !in.Name.Sent && !in.Scopes.Sent && !in.Roles.Sent && !in.ExpiresAt.Sent && !in.Plan.Sent && !in.Overrides.Sent {
		return f.err() // what needs no policy is possible when the API has gone from it
	}
	api := p.API(c.API)
	if api == nil || api.KeyForm(c.Prefix) == nil {
		f.at("body", "API %s or its key prefix is no longer in the configuration; only state, allowed_ips and attributes can change", c.API)
		return f.err()
	}
	form := api.KeyForm(c.Prefix)
	if in.Name.Sent {
		c.Name = value(in.Name)
		checkName(&f, form, c.Name)
	}
	if in.Scopes.Sent {
		c.Scopes = checkKeyScopes(&f, api, form, value(in.Scopes))
	}
	if in.Roles.Sent {
		c.Roles = checkKeyRoles(&f, api, form, c.Tenant, value(in.Roles))
	}
	if in.ExpiresAt.Sent {
		c.ExpiresAt = checkExpiry(&f, form, value(in.ExpiresAt), c.CreatedAt, now)
	}
	if in.Plan.Sent {
		c.Plan = checkKeyPlan(&f, api, c.Tenant, value(in.Plan))
	}
	if in.Overrides.Sent {
		c.Overrides = checkOverrides(&f, api, value(in.Overrides))
	}
	return f.err()
}

// changeState sets state to what is asked for, if anything.
func changeState(f *faults, state *sallyport.State, asked Optional[string], hint string) {
	if !asked.Sent {
		return
	}
	switch s, _ := sallyport.ParseState(value(asked)); s {
	case sallyport.Active, sallyport.Disabled:
		*state = s
	default:
		f.at("body.state", "use active or disabled%s", hint)
	}
}
