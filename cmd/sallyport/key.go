package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newKey(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("key", "Keys of a running server: create, list, show, update, disable, enable, revoke",
		r.keyCreate(), r.keyList(), r.keyShow(), r.keyUpdate(),
		r.keyState("disable", "Refuse a key until it is enabled", "disabled"), r.keyState("enable", "Let a disabled key in again", "active"),
		r.keyRevoke())
}

func (r *remote) keyCreate() *cobra.Command {
	var in admin.NewKey
	var quiet bool
	c := &cobra.Command{
		Use:   "create --api NAME --tenant ID",
		Short: "Make a key and show its secret, this once",
		Long: "Make a key and show its secret, this once: the server keeps only a hash of it.\n\n" +
			"  KEY=$(sallyport key create -q --api orders --tenant acme --scopes orders:read)",
		Args: cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			k, err := client.CreateKey(ctx, in)
			if err != nil {
				return err
			}
			if quiet {
				_, err := fmt.Fprintln(r.s.out, k.Secret.Reveal())
				return err
			}
			return r.print(k, func(w io.Writer) {
				row(w, "key", k.Secret.Reveal()+"  (shown this once)")
				showKey(w, k.Key)
			})
		}),
	}
	f := c.Flags()
	f.StringVar(&in.API, "api", "", "the API (required)")
	f.StringVar(&in.Tenant, "tenant", "", "the tenant (required)")
	f.StringVar(&in.Name, "name", "", "a label for people")
	f.StringSliceVar(&in.Scopes, "scopes", nil, "scopes or presets, separated by commas")
	f.StringVar(&in.ExpiresAt, "expires", "", "a length from now (90d, 1y), a date or time; default never")
	f.StringArrayVar(&in.AllowedIPs, "ip", nil, "a CIDR or address that it is good from; more than one may be given")
	f.StringVar(&in.Prefix, "prefix", "", "one of the API's prefixes; default the first")
	f.StringVar(&in.Environment, "environment", "", "another way to choose the prefix")
	f.BoolVarP(&quiet, "quiet", "q", false, "print the secret and nothing else")
	required(c, "api", "tenant")
	r.flags(c)
	c.MarkFlagsMutuallyExclusive("quiet", "json")
	return c
}

func (r *remote) keyList() *cobra.Command {
	var api, tenant, state string
	c := &cobra.Command{
		Use:   "list",
		Short: "List keys, the newest first",
		Args:  cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			all := []admin.Key{}
			for after := ""; ; {
				page, err := client.Keys(ctx, api, tenant, state, after)
				if err != nil {
					return err
				}
				all = append(all, page.Keys...)
				if after = page.Next; after == "" {
					break
				}
			}
			return r.print(all, func(w io.Writer) {
				row(w, "KEY ID", "API", "TENANT", "MASKED", "STATE", "EXPIRES", "SCOPES", "NAME")
				for _, k := range all {
					row(w, k.KeyID, k.API, k.Tenant, k.Masked, k.State, expires(k.ExpiresAt), strings.Join(k.Scopes, ","), k.Name)
				}
			})
		}),
	}
	c.Flags().StringVar(&api, "api", "", "only of this API")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	c.Flags().StringVar(&state, "state", "", "only active, disabled or revoked ones")
	complete(c, "state", "active", "disabled", "revoked")
	r.flags(c)
	return c
}

// one makes a command on one key.
func (r *remote) one(use, short string, do func(ctx context.Context, c *admin.Client, id string) (admin.Key, error)) *cobra.Command {
	c := &cobra.Command{
		Use:   use + " KEY_ID",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: runs(func(ctx context.Context, args []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			k, err := do(ctx, client, args[0])
			if err != nil {
				return err
			}
			return r.print(k, func(w io.Writer) { showKey(w, k) })
		}),
	}
	r.flags(c)
	return c
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
	var name, expiry string
	var scopes, ips []string
	var c *cobra.Command
	c = r.one("update", "Change a key's label, scopes, expiry or networks", func(ctx context.Context, client *admin.Client, id string) (admin.Key, error) {
		var in admin.KeyChange
		if c.Flags().Changed("name") {
			in.Name = admin.Some(name)
		}
		if c.Flags().Changed("scopes") {
			in.Scopes = admin.Some(scopes)
		}
		if c.Flags().Changed("expires") {
			in.ExpiresAt = admin.Some(expiry)
		}
		if c.Flags().Changed("ip") {
			in.AllowedIPs = admin.Some(slices.DeleteFunc(ips, func(ip string) bool { return ip == "" }))
		}
		return client.ChangeKey(ctx, id, in)
	})
	f := c.Flags()
	f.StringVar(&name, "name", "", "a label for people")
	f.StringSliceVar(&scopes, "scopes", nil, "all of its scopes, in place of those before")
	f.StringVar(&expiry, "expires", "", "a length from now (90d, 1y), a date or time, or never")
	f.StringSliceVar(&ips, "ip", nil, "all of its networks, in place of those before; empty lifts them")
	return c
}

func showKey(w io.Writer, k admin.Key) {
	row(w, "key_id", k.KeyID)
	row(w, "api", k.API)
	row(w, "tenant", k.Tenant)
	row(w, "name", k.Name)
	row(w, "scopes", strings.Join(k.Scopes, " "))
	row(w, "environment", k.Environment)
	row(w, "masked", k.Masked)
	row(w, "state", k.State)
	row(w, "created", stamp(&k.CreatedAt))
	row(w, "expires", expires(k.ExpiresAt))
	row(w, "networks", strings.Join(k.AllowedIPs, " "))
}

func expires(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return stamp(t)
}

func stamp(t *time.Time) string { return t.UTC().Format(time.RFC3339) }
