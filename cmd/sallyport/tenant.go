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

func required(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		_ = c.MarkFlagRequired(f) // the flag exists: its name is a constant beside it
	}
}

func (r *remote) tenantCreate() *cobra.Command {
	var in admin.NewTenant
	var limits []string
	c := &cobra.Command{
		Use:   "create --api NAME --id ID [--plan P]",
		Short: "Make a tenant",
		Args:  cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			if in.Limits, err = parseLimits(limits); err != nil {
				return err
			}
			t, err := client.CreateTenant(ctx, in)
			if err != nil {
				return err
			}
			return r.print(t, func(w io.Writer) { showTenant(w, t) })
		}),
	}
	tenantFlags(c, &in.API, &in.ID)
	c.Flags().StringVar(&in.Plan, "plan", "", "the plan; required where the API has any")
	c.Flags().StringVar(&in.Name, "name", "", "a name for people")
	c.Flags().StringArrayVar(&limits, "limit", nil, "windows of its own, where the plan leaves them to the tenant: NAME=60/1m,1000/1h")
	r.flags(c)
	return c
}

// parseLimits reads NAME=WINDOW,WINDOW.
func parseLimits(texts []string) (map[string][]string, error) {
	limits := make(map[string][]string)
	for _, text := range texts {
		name, windows, ok := strings.Cut(text, "=")
		if !ok {
			return nil, fmt.Errorf("--limit %q: want NAME=60/1m,1000/1h", text)
		}
		limits[name] = strings.Split(windows, ",")
	}
	return limits, nil
}

func (r *remote) tenantList() *cobra.Command {
	var api string
	c := &cobra.Command{
		Use:   "list --api NAME",
		Short: "List tenants",
		Args:  cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			all := []admin.Tenant{}
			for after := ""; ; {
				page, err := client.Tenants(ctx, api, after)
				if err != nil {
					return err
				}
				all = append(all, page.Tenants...)
				if after = page.Next; after == "" {
					break
				}
			}
			return r.print(all, func(w io.Writer) {
				row(w, "ID", "PLAN", "STATE", "NAME")
				for _, t := range all {
					row(w, t.ID, t.Plan, t.State, t.Name)
				}
			})
		}),
	}
	c.Flags().StringVar(&api, "api", "", "the API (required)")
	required(c, "api")
	r.flags(c)
	return c
}

func (r *remote) tenantShow() *cobra.Command {
	var api, id string
	c := &cobra.Command{
		Use:   "show --api NAME --id ID",
		Short: "Show a tenant",
		Args:  cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			t, err := client.Tenant(ctx, api, id)
			if err != nil {
				return err
			}
			return r.print(t, func(w io.Writer) { showTenant(w, t) })
		}),
	}
	tenantFlags(c, &api, &id)
	r.flags(c)
	return c
}

func (r *remote) tenantUpdate() *cobra.Command {
	var api, id, plan, name string
	var limits []string
	c := &cobra.Command{
		Use:   "update --api NAME --id ID",
		Short: "Change a tenant's plan, name or windows",
		Args:  cobra.NoArgs,
	}
	c.RunE = runs(func(ctx context.Context, _ []string) error {
		var in admin.TenantChange
		if c.Flags().Changed("plan") {
			in.Plan = admin.Some(plan)
		}
		if c.Flags().Changed("name") {
			in.Name = admin.Some(name)
		}
		if c.Flags().Changed("limit") {
			own, err := parseLimits(limits)
			if err != nil {
				return err
			}
			in.Limits = admin.Some(own)
		}
		return r.changeTenant(ctx, api, id, in)
	})
	tenantFlags(c, &api, &id)
	c.Flags().StringVar(&plan, "plan", "", "the plan")
	c.Flags().StringVar(&name, "name", "", "a name for people")
	c.Flags().StringArrayVar(&limits, "limit", nil, "windows of its own, in place of all before: NAME=60/1m,1000/1h")
	r.flags(c)
	return c
}

func (r *remote) tenantState(use, short, state string) *cobra.Command {
	var api, id string
	c := &cobra.Command{
		Use:   use + " --api NAME --id ID",
		Short: short,
		Args:  cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			return r.changeTenant(ctx, api, id, admin.TenantChange{State: admin.Some(state)})
		}),
	}
	tenantFlags(c, &api, &id)
	r.flags(c)
	return c
}

func (r *remote) changeTenant(ctx context.Context, api, id string, in admin.TenantChange) error {
	client, err := r.client()
	if err != nil {
		return err
	}
	t, err := client.ChangeTenant(ctx, api, id, in)
	if err != nil {
		return err
	}
	return r.print(t, func(w io.Writer) { showTenant(w, t) })
}

func showTenant(w io.Writer, t admin.Tenant) {
	row(w, "api", t.API)
	row(w, "id", t.ID)
	row(w, "name", t.Name)
	row(w, "plan", t.Plan)
	row(w, "state", t.State)
	for _, name := range slices.Sorted(maps.Keys(t.Limits)) {
		row(w, "limit "+name, strings.Join(t.Limits[name], ","))
	}
	row(w, "created", stamp(&t.CreatedAt))
}
