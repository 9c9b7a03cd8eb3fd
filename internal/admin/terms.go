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

// mayMakeKey refuses new keys that would get more than their tenant: plans,
// overrides and attributes that limits look at. location is where in stands.
func mayMakeKey(by caller, location string, api *sallyport.API, in NewKey) error {
	if by.tenant == "" {
		return nil
	}
	if err := notItsOwn(location, map[string]bool{"plan": in.Plan != "", "overrides": len(in.Overrides) > 0}); err != nil {
		return err
	}
	return keepsCounted(by, location, api, nil, in.Attributes)
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
