package main

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/admin"
)

func newKey(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("key", "Keys of a running server: create, list, show, update, roll, import, disable, enable, revoke, explain",
		r.keyCreate(), r.keyList(), r.keyShow(), r.keyUpdate(), r.keyRoll(), r.keyImport(),
		r.keyState("disable", "Refuse a key until it is enabled", "disabled"), r.keyState("enable", "Let a disabled key in again", "active"),
		r.keyRevoke(), r.keyExplain())
}

func (r *remote) keyCreate() *cobra.Command {
	var in admin.NewKey
	var overrides []string
	c := call[admin.CreatedKey]{
		use:   "create --api NAME --tenant ID",
		short: "Make a key and show its secret, this once",
		long: "Make a key and show its secret, this once: the server keeps only a hash of it.\n\n" +
			"  KEY=$(sallyport key create -q --api orders --tenant acme --scopes orders:read)",
		do: func(ctx context.Context, c *admin.Client, _ []string) (k admin.CreatedKey, err error) {
			if in.Overrides, err = parseLimits("override", overrides); err != nil {
				return k, err
			}
			return c.CreateKey(ctx, in)
		},
		text: func(w io.Writer, k admin.CreatedKey) {
			row(w, "key", k.Secret.Reveal()+"  (shown this once)")
			showKey(w, k.Key)
		},
		secret: func(k admin.CreatedKey) admin.Shown { return k.Secret },
	}.command(r)
	newKeyFlags(c, &in)
	overrideFlag(c, &overrides, "windows in place of what the tenant gets: NAME=60/1m,1000/1h or NAME=unlimited; more than one may be given")
	required(c, "api", "tenant")
	return c
}

// newKeyFlags are what a new key may say.
func newKeyFlags(c *cobra.Command, in *admin.NewKey) {
	f := c.Flags()
	f.StringVar(&in.API, "api", "", "the API (required)")
	f.StringVar(&in.Tenant, "tenant", "", "the tenant (required)")
	f.StringVar(&in.User, "user", "", "whom it acts for, for prefixes of personal access tokens")
	f.StringVar(&in.Name, "name", "", "a label for people")
	f.StringSliceVar(&in.Scopes, "scopes", nil, "scopes or presets, separated by commas")
	f.StringArrayVar(&in.Roles, "role", nil, "a role of the API or the tenant; more than one may be given")
	f.StringVar(&in.ExpiresAt, "expires", "", "a length from now (90d, 1y), a date or time; default never")
	f.StringArrayVar(&in.AllowedIPs, "ip", nil, "a CIDR or address that it is good from; more than one may be given")
	f.StringVar(&in.Prefix, "prefix", "", "one of the API's prefixes; default the first")
	f.StringVar(&in.Environment, "environment", "", "another way to choose the prefix")
	f.StringVar(&in.Plan, "plan", "", "one of the API's plans, in place of the tenant's")
	attributeFlag(c, (*pairs)(&in.Attributes), newAttributes)
}

func (r *remote) keyList() *cobra.Command {
	var filter admin.KeyFilter
	c := call[[]admin.Key]{
		use:   "list",
		short: "List keys, the newest first",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Key, error) {
			return pages(func(after string) ([]admin.Key, string, error) {
				page, err := c.Keys(ctx, filter, after)
				return page.Keys, page.Next, err
			})
		},
		text: func(w io.Writer, all []admin.Key) {
			row(w, "KEY ID", "API", "TENANT", "MASKED", "STATE", "EXPIRES", "SCOPES", "NAME")
			for _, k := range all {
				row(w, k.KeyID, k.API, k.Tenant, k.Masked, standing(k.State, k.Expired), expires(k.ExpiresAt), strings.Join(k.Scopes, ","), k.Name)
			}
		},
	}.command(r)
	f := c.Flags()
	f.StringVar(&filter.API, "api", "", "only of this API")
	f.StringVar(&filter.Tenant, "tenant", "", "only of this tenant")
	f.StringVar(&filter.User, "user", "", "only those that act for this user")
	f.StringVar(&filter.Kind, "kind", "", "only of this kind: key, pat (personal access tokens), client or grant")
	f.StringVar(&filter.Name, "name", "", "only of this name")
	f.StringVar(&filter.State, "state", "", "only active, disabled or revoked ones")
	complete(c, "kind", sallyport.KindKey, sallyport.KindPAT, sallyport.KindClient, sallyport.KindGrant)
	complete(c, "state", states...)
	return c
}

// one makes a command on one key.
func (r *remote) one(use, short string, do func(ctx context.Context, c *admin.Client, id string) (admin.Key, error)) *cobra.Command {
	return call[admin.Key]{
		use: use + " KEY_ID", short: short, args: cobra.ExactArgs(1),
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.Key, error) {
			return do(ctx, c, args[0])
		},
		text: showKey,
	}.command(r)
}

func (r *remote) keyShow() *cobra.Command {
	return r.one("show", "Show a key, without its secret", func(ctx context.Context, c *admin.Client, id string) (admin.Key, error) {
		return c.Key(ctx, id)
	})
}

func (r *remote) keyRevoke() *cobra.Command {
	return r.one("revoke", "End a key for good", func(ctx context.Context, c *admin.Client, id string) (admin.Key, error) {
		return c.RevokeKey(ctx, id)
	})
}

func (r *remote) keyState(use, short, state string) *cobra.Command {
	return r.one(use, short, func(ctx context.Context, c *admin.Client, id string) (admin.Key, error) {
		return c.ChangeKey(ctx, id, admin.KeyChange{State: admin.Some(state)})
	})
}

func (r *remote) keyUpdate() *cobra.Command {
	var name, expiry, plan string
	var scopes, roles, ips, overrides []string
	var attributes pairs
	var c *cobra.Command
	c = r.one("update", "Change a key's label, scopes, roles, expiry, networks, plan, overrides or attributes", func(ctx context.Context, client *admin.Client, id string) (admin.Key, error) {
		own, err := parseLimits("override", overrides)
		if err != nil {
			return admin.Key{}, err
		}
		return client.ChangeKey(ctx, id, admin.KeyChange{
			Name:       changed(c, "name", name),
			Scopes:     changed(c, "scopes", scopes),
			Roles:      changed(c, "role", withoutEmpty(roles)),
			ExpiresAt:  changed(c, "expires", expiry),
			AllowedIPs: changed(c, "ip", withoutEmpty(ips)),
			Plan:       changed(c, "plan", plan),
			Overrides:  changed(c, "override", own),
			Attributes: changed(c, "attribute", map[string]string(attributes)),
		})
	})
	f := c.Flags()
	f.StringVar(&name, "name", "", "a label for people")
	f.StringSliceVar(&scopes, "scopes", nil, "all of its scopes, in place of those before")
	f.StringArrayVar(&roles, "role", nil, "all of its roles, in place of those before; empty lifts them")
	f.StringVar(&expiry, "expires", "", "a length from now (90d, 1y), a date or time, or never")
	f.StringSliceVar(&ips, "ip", nil, "all of its networks, in place of those before; empty lifts them")
	f.StringVar(&plan, "plan", "", "a plan of its own; empty lifts it, and the tenant's holds again")
	overrideFlag(c, &overrides, allOverrides)
	attributeFlag(c, &attributes, allAttributes)
	return c
}

func (r *remote) keyRoll() *cobra.Command {
	var in admin.RollKey
	c := call[admin.RolledKey]{
		use: "roll KEY_ID", short: "Give a key a new secret and show it, this once", args: cobra.ExactArgs(1),
		long: "Give a key a new secret and show it, this once. The one before stays good for a while, so that it can be\n" +
			"replaced where it is used; its id, scopes and all else stay.",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.RolledKey, error) {
			return c.RollKey(ctx, args[0], in)
		},
		text: func(w io.Writer, k admin.RolledKey) {
			row(w, "key", k.Secret.Reveal()+"  (shown this once)")
			row(w, "old ends", stamp(&k.OldEndsAt))
			showKey(w, k.Key)
		},
		secret: func(k admin.RolledKey) admin.Shown { return k.Secret },
	}.command(r)
	c.Flags().StringVar(&in.Grace, "grace", "", "how long the secret before stays good; 0 ends it at once (default 24h)")
	return c
}

func showKey(w io.Writer, k admin.Key) {
	row(w, "key_id", k.KeyID)
	row(w, "api", k.API)
	row(w, "tenant", k.Tenant)
	row(w, "kind", k.Kind)
	if k.User != "" {
		row(w, "user", k.User)
	}
	row(w, "name", k.Name)
	row(w, "scopes", strings.Join(k.Scopes, " "))
	row(w, "roles", strings.Join(k.Roles, ", "))
	row(w, "environment", k.Environment)
	row(w, "masked", k.Masked)
	row(w, "state", standing(k.State, k.Expired))
	if k.Cause != "" {
		row(w, "cause", k.Cause)
	}
	row(w, "created", stamp(&k.CreatedAt))
	row(w, "expires", expires(k.ExpiresAt))
	row(w, "networks", strings.Join(k.AllowedIPs, " "))
	if k.Plan != "" {
		row(w, "plan", k.Plan)
	}
	limitRows(w, "override ", k.Overrides)
	attributeRows(w, k.Attributes)
}
