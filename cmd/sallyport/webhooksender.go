package main

import (
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newSender(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("sender", "Who signs webhooks: create, list, show, update, roll, settle, disable, enable, revoke",
		r.senderCreate(), r.senderList(), r.senderShow(), r.senderUpdate(), r.senderRoll(), r.senderSettle(),
		r.senderState("disable", "Refuse a sender until it is enabled", "disabled"),
		r.senderState("enable", "Let a disabled sender in again", "active"), r.senderRevoke())
}

// senderName are the flags that name one sender.
type senderName struct{ api, id string }

func (n *senderName) flags(c *cobra.Command) {
	c.Flags().StringVar(&n.api, "api", "", "the API (required)")
	c.Flags().StringVar(&n.id, "id", "", "the sender, as the configuration or the path names it (required)")
	required(c, "api", "id")
}

const senderUse = " --api NAME --id ID"

// given reads the secret that x says where to find; "" where it says nothing.
func (r *remote) given(x *secretSource) (admin.Shown, error) {
	if !x.given() {
		return "", nil
	}
	text, err := x.read(r.s.in, r.getenv)
	return admin.Shown(text), err
}

func (r *remote) senderCreate() *cobra.Command {
	var in admin.NewSender
	var name senderName
	var source secretSource
	c := call[admin.CreatedSender]{
		use:   "create --tenant ID" + senderUse,
		short: "Register a sender, with a secret of its own or one that is made",
		long: "Register a sender of webhooks, which count as its tenant's requests. Its id is the one that an operation of the\n" +
			"configuration names, or what stands in the path in its place. A secret that is made is shown this once; one that\n" +
			"the sender dictates is read from a file, the environment or standard input, and not shown.\n\n" +
			"  sallyport webhook sender create --api orders --tenant acme --id shop\n" +
			"  sallyport webhook sender create --api orders --tenant acme --id github --secret-file secret",
		do: func(ctx context.Context, c *admin.Client, _ []string) (_ admin.CreatedSender, err error) {
			in.API, in.ID = name.api, name.id
			if in.Secret, err = r.given(&source); err != nil {
				return admin.CreatedSender{}, err
			}
			return c.CreateSender(ctx, in)
		},
		text: func(w io.Writer, made admin.CreatedSender) {
			showMade(w, made.Secret)
			showSender(w, made.Sender)
		},
		secret: func(made admin.CreatedSender) admin.Shown { return made.Secret },
	}.command(r)
	name.flags(c)
	c.Flags().StringVar(&in.Tenant, "tenant", "", "the tenant (required)")
	required(c, "tenant")
	c.Flags().StringVar(&in.Name, "name", "", "a name for people")
	source.flags(c)
	return c
}

func (r *remote) senderList() *cobra.Command {
	var api, tenant string
	c := call[[]admin.Sender]{
		use: "list --api NAME", short: "List the senders of an API, by id",
		do: func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Sender, error) {
			return pages(func(after string) ([]admin.Sender, string, error) {
				page, err := c.Senders(ctx, api, tenant, after)
				return page.Senders, page.Next, err
			})
		},
		text: func(w io.Writer, all []admin.Sender) {
			row(w, "ID", "TENANT", "STATE", "SECRETS", "NAME")
			for _, one := range all {
				row(w, one.ID, one.Tenant, one.State, strconv.Itoa(len(one.Secrets)), one.Name)
			}
		},
	}.command(r)
	c.Flags().StringVar(&api, "api", "", "the API (required)")
	required(c, "api")
	c.Flags().StringVar(&tenant, "tenant", "", "only of this tenant")
	return c
}

// oneSender makes a command on one sender.
func (r *remote) oneSender(use, short string, do func(ctx context.Context, c *admin.Client, api, id string) (admin.Sender, error)) *cobra.Command {
	var name senderName
	c := call[admin.Sender]{
		use: use + senderUse, short: short,
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.Sender, error) {
			return do(ctx, c, name.api, name.id)
		},
		text: showSender,
	}.command(r)
	name.flags(c)
	return c
}

func (r *remote) senderShow() *cobra.Command {
	return r.oneSender("show", "Show a sender, without its secrets", func(ctx context.Context, c *admin.Client, api, id string) (admin.Sender, error) {
		return c.Sender(ctx, api, id)
	})
}

func (r *remote) senderState(use, short, state string) *cobra.Command {
	return r.oneSender(use, short, func(ctx context.Context, c *admin.Client, api, id string) (admin.Sender, error) {
		return c.ChangeSender(ctx, api, id, admin.SenderChange{State: admin.Some(state)})
	})
}

func (r *remote) senderUpdate() *cobra.Command {
	var name string
	c := r.oneSender("update", "Change a sender's name", func(ctx context.Context, c *admin.Client, api, id string) (admin.Sender, error) {
		return c.ChangeSender(ctx, api, id, admin.SenderChange{Name: admin.Some(name)})
	})
	c.Flags().StringVar(&name, "name", "", "a name for people (required)")
	required(c, "name")
	return c
}

func (r *remote) senderSettle() *cobra.Command {
	return r.oneSender("settle", "End all secrets of a sender but the newest, now", func(ctx context.Context, c *admin.Client, api, id string) (admin.Sender, error) {
		return c.SettleSender(ctx, api, id)
	})
}

func (r *remote) senderRevoke() *cobra.Command {
	return r.oneSender("revoke", "End a sender for good; its id is not free again", func(ctx context.Context, c *admin.Client, api, id string) (admin.Sender, error) {
		return c.RevokeSender(ctx, api, id)
	})
}

func (r *remote) senderRoll() *cobra.Command {
	var in admin.RollSender
	var name senderName
	var source secretSource
	c := call[admin.RolledSender]{
		use: "roll" + senderUse, short: "Give a sender a new secret, one that it dictates or one that is made",
		long: "Give a sender a new secret. The secrets before stay good for a while, so that it can be replaced where it is used;\n" +
			"settle ends them earlier.\n\n" +
			"  sallyport webhook sender roll --api orders --id shop --grace 1h",
		do: func(ctx context.Context, c *admin.Client, _ []string) (_ admin.RolledSender, err error) {
			if in.Secret, err = r.given(&source); err != nil {
				return admin.RolledSender{}, err
			}
			return c.RollSender(ctx, name.api, name.id, in)
		},
		text: func(w io.Writer, rolled admin.RolledSender) {
			showMade(w, rolled.Secret)
			row(w, "old end", stamp(&rolled.OldEndsAt))
			showSender(w, rolled.Sender)
		},
		secret: func(rolled admin.RolledSender) admin.Shown { return rolled.Secret },
	}.command(r)
	name.flags(c)
	c.Flags().StringVar(&in.Grace, "grace", "", "how long the secrets before stay good; 0 ends them at once (default 24h)")
	source.flags(c)
	return c
}

// showMade shows a secret that was made; one that was given is known already.
func showMade(w io.Writer, secret admin.Shown) {
	if secret != "" {
		row(w, "secret", secret.Reveal()+"  (shown this once)")
	}
}

func showSender(w io.Writer, s admin.Sender) {
	row(w, "api", s.API)
	row(w, "tenant", s.Tenant)
	row(w, "id", s.ID)
	row(w, "name", s.Name)
	row(w, "state", s.State)
	for i, secret := range s.Secrets {
		row(w, "secret "+strconv.Itoa(i+1)+" ends", expires(secret.ExpiresAt))
	}
	row(w, "created", stamp(&s.CreatedAt))
}
