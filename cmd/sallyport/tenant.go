package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newTenant(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("tenant", "Tenants of a running server: create, list, show, update, disable, enable",
		r.tenantCreate(), r.tenantList(), r.tenantShow(), r.tenantUpdate(),
		r.tenantState("disable", "Refuse all keys of a tenant", "disabled"), r.tenantState("enable", "Let a disabled tenant in again", "active"))
}

// tenantFlags name one tenant.
func tenantFlags(c *cobra.Command, api, id *string) {
	c.Flags().StringVar(api, "api", "", "the API (required)")
	c.Flags().StringVar(id, "id", "", "the tenant (required)")
	required(c, "api", "id")
}

// oneTenant makes a command on one tenant, named by its flags.
func (r *remote) oneTenant(use, short string, do func(ctx context.Context, c *admin.Client, api, id string) (admin.Tenant, error)) *cobra.Command {
	var api, id string
	c := call[admin.Tenant]{
		use: use + " --api NAME --id ID", short: short,
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.Tenant, error) {
			return do(ctx, c, api, id)
		},
		text: showTenant,
	}.command(r)
	tenantFlags(c, &api, &id)
	return c
}

func (r *remote) tenantCreate() *cobra.Command {
	var in admin.NewTenant
	var limits, overrides []string
	c := call[admin.Tenant]{
		use: "create --api NAME --id ID [--plan P]", short: "Make a tenant",
		long: "Make a tenant.\n\n" +
			"  sallyport tenant create --api orders --id acme --plan free\n" +
			"  sallyport tenant create --api orders --id acme --plan free --override requests=600/1m,100000/month",
		do: func(ctx context.Context, c *admin.Client, _ []string) (t admin.Tenant, err error) {
			if in.Limits, err = parseLimits("limit", limits); err != nil {
				return t, err
			}
			if in.Overrides, err = parseLimits("override", overrides); err != nil {
				return t, err
			}
			return c.CreateTenant(ctx, in)
		},
		text: showTenant,
	}.command(r)
	tenantFlags(c, &in.API, &in.ID)
	c.Flags().StringVar(&in.Plan, "plan", "", "the plan; required where the API has any")
	c.Flags().StringVar(&in.Name, "name", "", "a name for people")
	c.Flags().StringArrayVar(&limits, "limit", nil, "windows of its own, where the plan leaves them to the tenant: NAME=60/1m,1000/1h")
	overrideFlag(c, &overrides, "windows in place of what the plan says: NAME=60/1m,1000/1h or NAME=unlimited; more than one may be given")
	attributeFlag(c, (*pairs)(&in.Attributes), newAttributes)
	return c
}

// parseLimits reads NAME=WINDOW,WINDOW; an empty text is none.
func parseLimits(flag string, texts []string) (map[string][]string, error) {
	limits := make(map[string][]string)
	for _, text := range withoutEmpty(texts) {
		name, windows, ok := strings.Cut(text, "=")
		if _, twice := limits[name]; !ok || twice {
			return nil, fmt.Errorf("--%s %q: want NAME=60/1m,1000/1h, each name once", flag, text)
		}
		limits[name] = strings.Split(windows, ",")
	}
	return limits, nil
}

// overrideFlag adds --override.
func overrideFlag(c *cobra.Command, to *[]string, hint string) {
	c.Flags().StringArrayVar(to, "override", nil, hint)
}

const allOverrides = "all of its overrides, in place of those before; empty lifts them: NAME=60/1m,1000/1h or NAME=unlimited"

func (r *remote) tenantList() *cobra.Command {
	var api string
	c := call[[]admin.Tenant]{
		use: "list --api NAME", short: "List tenants",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Tenant, error) {
			return pages(func(after string) ([]admin.Tenant, string, error) {
				page, err := c.Tenants(ctx, api, after)
				return page.Tenants, page.Next, err
			})
		},
		text: func(w io.Writer, all []admin.Tenant) {
			row(w, "ID", "PLAN", "STATE", "NAME")
			for _, t := range all {
				row(w, t.ID, t.Plan, t.State, t.Name)
			}
		},
	}.command(r)
	c.Flags().StringVar(&api, "api", "", "the API (required)")
	required(c, "api")
	return c
}

func (r *remote) tenantShow() *cobra.Command {
	return r.oneTenant("show", "Show a tenant", func(ctx context.Context, c *admin.Client, api, id string) (admin.Tenant, error) {
		return c.Tenant(ctx, api, id)
	})
}

func (r *remote) tenantUpdate() *cobra.Command {
	var plan, name string
	var limits, overrides []string
	var attributes pairs
	var c *cobra.Command
	c = r.oneTenant("update", "Change a tenant's plan, name, windows, overrides or attributes", func(ctx context.Context, client *admin.Client, api, id string) (t admin.Tenant, err error) {
		own, err := parseLimits("limit", limits)
		if err != nil {
			return t, err
		}
		instead, err := parseLimits("override", overrides)
		if err != nil {
			return t, err
		}
		return client.ChangeTenant(ctx, api, id, admin.TenantChange{
			Plan:       changed(c, "plan", plan),
			Name:       changed(c, "name", name),
			Limits:     changed(c, "limit", own),
			Overrides:  changed(c, "override", instead),
			Attributes: changed(c, "attribute", map[string]string(attributes)),
		})
	})
	c.Flags().StringVar(&plan, "plan", "", "the plan")
	c.Flags().StringVar(&name, "name", "", "a name for people")
	c.Flags().StringArrayVar(&limits, "limit", nil, "windows of its own, in place of all before: NAME=60/1m,1000/1h")
	overrideFlag(c, &overrides, allOverrides)
	attributeFlag(c, &attributes, allAttributes)
	return c
}

func (r *remote) tenantState(use, short, state string) *cobra.Command {
	return r.oneTenant(use, short, func(ctx context.Context, c *admin.Client, api, id string) (admin.Tenant, error) {
		return c.ChangeTenant(ctx, api, id, admin.TenantChange{State: admin.Some(state)})
	})
}

func showTenant(w io.Writer, t admin.Tenant) {
	row(w, "api", t.API)
	row(w, "id", t.ID)
	row(w, "name", t.Name)
	row(w, "plan", t.Plan)
	row(w, "state", t.State)
	limitRows(w, "limit ", t.Limits)
	limitRows(w, "override ", t.Overrides)
	attributeRows(w, t.Attributes)
	row(w, "created", stamp(&t.CreatedAt))
}

// limitRows writes a row for each limit of somebody's own.
func limitRows(w io.Writer, what string, limits map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		row(w, what+name, strings.Join(limits[name], ","))
	}
}
