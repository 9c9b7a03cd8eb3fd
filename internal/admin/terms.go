package admin

import (
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sallyport/sallyport"
)

// This file says what of their quotas is not a tenant's own to change: whoever
// has an admin token of one tenant must not get more by it than was agreed.

// notItsOwn refuses those fields of what stands at location that were sent;
// nothing where none was.
func notItsOwn(location string, sent map[string]bool) error {
	var f faults
	for _, field := range slices.Sorted(maps.Keys(sent)) {
		if sent[field] {
			f.at(location+"."+field, "is not for an admin token of one tenant to change")
		}
	}
	return f.forbid()
}

// forbid is the answer to a tenant that would change what f names.
func (f faults) forbid() error {
	if len(f) == 0 {
		return nil
	}
	return huma.Error403Forbidden("this is not for an admin token of one tenant", f...)
}

// mayMakeKey refuses new keys that would get more than their tenant, or than the
// key that makes them: by plans, overrides and attributes that limits look at.
// location is where in stands, who whom the key is for.
func mayMakeKey(by caller, location string, api *sallyport.API, in NewKey, who owner) error {
	if by.tenant == "" {
		return nil
	}
	if err := notItsOwn(location, map[string]bool{"plan": in.Plan != "", "overrides": len(in.Overrides) > 0}); err != nil {
		return err
	}
	if err := keepsCounted(by, location, api, by.handsOn(api), in.Attributes); err != nil {
		return err
	}
	return isCounted(by, location, api, who)
}

// mayMakeUser refuses new users of t who would be counted otherwise than others.
func mayMakeUser(by caller, api *sallyport.API, t *sallyport.Tenant, attributes map[string]string) error {
	if err := keepsCounted(by, "body", api, nil, attributes); err != nil {
		return err
	}
	return isCounted(by, "body", api, owner{tenant: t})
}

// handsOn returns the attributes of a key that c makes which limits of api look
// at: where c is a key itself, its own. What its tenant has, they both have.
func (c caller) handsOn(api *sallyport.API) map[string]string {
	if c.credential == nil || api == nil {
		return nil
	}
	own := make(map[string]string)
	for _, name := range countedAttributes(api) {
		if value, ok := c.credential.Attributes[name]; ok {
			own[name] = value
		}
	}
	return own
}

// isCounted refuses to a tenant's administrator somebody new whom limits of api
// would pass over: for want of an attribute, which such an administrator does not
// give, of the user and of the tenant that it would come from. Whether the
// tenant's others have it for themselves does not matter: one more without would
// be the way round. One that is there and empty is the operator's word that they
// need not be counted. A key that makes another is the measure of it.
func isCounted(by caller, location string, api *sallyport.API, from owner) error {
	if by.tenant == "" || by.credential != nil || api == nil || from.tenant == nil {
		return nil
	}
	var f faults
	for _, name := range countedAttributes(api) {
		_, has := from.tenant.Attributes[name]
		if !has && from.user != nil {
			_, has = from.user.Attributes[name]
		}
		if !has && slices.ContainsFunc(api.Limits, func(l *sallyport.Limit) bool { return passesOver(l, name) }) {
			f.at(location+".attributes."+name, "is missing, and limits of %s depend on it; ask an operator to give it to the tenant", api.Name)
		}
	}
	return f.forbid()
}

// passesOver reports whether l does not count whoever has no attribute called
// name.
func passesOver(l *sallyport.Limit, name string) bool {
	return slices.Contains(l.Per, sallyport.PerAttribute+name) ||
		slices.ContainsFunc(l.When.Attributes, func(is sallyport.AttributeIs) bool { return is.Name == name && !slices.Contains(is.Values, "") })
}

// mayChangeKey refuses what is not the tenant's own to change.
func mayChangeKey(by caller, in KeyChange) error {
	if by.tenant == "" {
		return nil
	}
	return notItsOwn("body", map[string]bool{"plan": in.Plan.Sent, "overrides": in.Overrides.Sent})
}

// keepsCounted refuses a tenant's change of attributes that api's limits look
// at: another value would be another counter, or no limit at all. Also one that
// is there and empty is another, because it hides the one of the user or the
// tenant. location is where the attributes' owner stands.
func keepsCounted(by caller, location string, api *sallyport.API, before, after map[string]string) error {
	if by.tenant == "" || api == nil {
		return nil
	}
	var f faults
	for _, name := range countedAttributes(api) {
		was, had := before[name]
		if is, has := after[name]; has != had || is != was {
			f.at(location+".attributes."+name, "is not for an admin token of one tenant to change: limits of %s depend on it", api.Name)
		}
	}
	return f.forbid()
}

// countedAttributes lists the attributes that limits of api count by or ask for.
func countedAttributes(api *sallyport.API) (names []string) {
	for _, l := range api.Limits {
		for _, per := range l.Per {
			if name, ok := strings.CutPrefix(per, sallyport.PerAttribute); ok {
				names = append(names, name)
			}
		}
		for _, is := range l.When.Attributes {
			names = append(names, is.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
