package demo

import (
	"context"
	"fmt"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/admin"
)

// API is one guarded API as the demo shows it.
type API struct {
	URL     string   `json:"url"`
	Hosts   []string `json:"hosts"`
	Tenants []Tenant `json:"tenants"`
}

// Tenant is a seeded tenant with its keys.
type Tenant struct {
	ID   string `json:"id"`
	Plan string `json:"plan"`
	Keys []Key  `json:"keys"`
}

// Key is a seeded key with its secret: the demo is there to show them.
type Key struct {
	KeyID       string   `json:"key_id"`
	Key         string   `json:"key"`
	Permissions []string `json:"permissions"`
	State       string   `json:"state"`
}

// What a tenant gets whose plan leaves the windows to it: enough for load.
var ownWindows = []string{"10000000/1m", "1000000000/1h"}

// seed makes one tenant of every plan of api, each with a key for everything
// and two for the least that reads.
func seed(ctx context.Context, c *admin.Client, api *sallyport.API) (tenants []Tenant, err error) {
	plans := api.Plans
	if len(plans) == 0 {
		plans = []string{""}
	}
	for _, plan := range plans {
		t := Tenant{ID: "org_" + plan, Plan: plan}
		if plan == "" {
			t.ID = "org_default"
		}
		in := admin.NewTenant{API: api.Name, ID: t.ID, Plan: plan, Name: "Demo " + plan, Limits: map[string][]string{}}
		for _, l := range api.Limits {
			if l.Plans[plan].FromTenant {
				in.Limits[l.Name] = ownWindows
			}
		}
		if _, err := c.CreateTenant(ctx, in); err != nil {
			return nil, fmt.Errorf("seed tenant %s: %w", t.ID, err)
		}
		for _, scopes := range [][]string{everything(api), leastRead(api), leastRead(api)} {
			made, err := c.CreateKey(ctx, admin.NewKey{API: api.Name, Tenant: t.ID, Name: "demo key", Scopes: scopes})
			if err != nil {
				return nil, fmt.Errorf("seed key of %s: %w", t.ID, err)
			}
			t.Keys = append(t.Keys, Key{KeyID: made.KeyID, Key: made.Secret.Reveal(), Permissions: made.Scopes, State: made.State})
		}
		tenants = append(tenants, t)
	}
	return tenants, nil
}

// everything is the scope that grants all, else all scopes.
func everything(api *sallyport.API) (scopes []string) {
	for _, s := range api.Scopes {
		if s.GrantsAll {
			return []string{s.Name}
		}
		scopes = append(scopes, s.Name)
	}
	return scopes
}

// leastRead is the scope of the first operation that reads.
func leastRead(api *sallyport.API) []string {
	if op := firstRead(api); op != nil {
		return op.Scopes[:1]
	}
	return nil
}

// firstRead is the first operation without parameters that reads and asks for a
// scope: what there is to try.
func firstRead(api *sallyport.API) *sallyport.Operation {
	for _, op := range api.Operations {
		if op.Method == "GET" && op.Access == sallyport.Read && len(op.Scopes) > 0 && op.Answer == nil && op.Serve == "" && !hasParameter(op.Path) {
			return op
		}
	}
	return nil
}
