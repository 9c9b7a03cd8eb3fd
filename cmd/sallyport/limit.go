package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newLimit(s streams, getenv func(string) string) *cobra.Command {
	r := &remote{s: s, getenv: getenv}
	return group("limit", "Limits of tenants and keys of a running server: show, override, lift, reset, refund",
		r.limitShow(), r.limitOverride(), r.limitLift(), r.limitReset(), r.limitRefund())
}

const limitUse = " --api NAME --tenant ID [--key KEY_ID]"

// limitsOf adds the flags that name whose limits are meant.
func limitsOf(c *cobra.Command, of *admin.LimitsOf) {
	tenantFlag(c, &of.API, &of.Tenant)
	c.Flags().StringVar(&of.Key, "key", "", "one of the tenant's keys, by its id")
}

// operationFlag adds --operation.
func operationFlag(c *cobra.Command, of *admin.LimitsOf, hint string) {
	c.Flags().StringVar(&of.Operation, "operation", "", hint)
}

func (r *remote) limitShow() *cobra.Command {
	var of admin.LimitsOf
	c := call[admin.LimitList]{
		use: "show" + limitUse, short: "Show how limits stand; it spends nothing",
		long: "Show how limits stand: what is used of each window, and where the windows come from. It spends nothing.\n" +
			"Limits that are counted per key need --key, those that are counted per operation --operation.\n\n" +
			"  sallyport limit show --api orders --tenant acme\n" +
			"  sallyport limit show --api orders --tenant acme --key key_1 --operation 'GET /v1/orders' --json",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.LimitList, error) {
			return c.Limits(ctx, of)
		},
		text: showLimits,
	}.command(r)
	limitsOf(c, &of)
	operationFlag(c, &of, "only the limits that count this operation, by its name")
	return c
}

func (r *remote) limitOverride() *cobra.Command {
	var of admin.LimitsOf
	c := call[admin.Overrides]{
		use: "override LIMIT WINDOW[,WINDOW] | unlimited" + limitUse, short: "Give a tenant or a key other windows than its plan's",
		args: cobra.ExactArgs(2),
		long: "Give a tenant, or one of its keys, other windows of one limit than its plan's. They hold from the next request.\n\n" +
			"  sallyport limit override requests 600/1m,100000/month --api orders --tenant acme\n" +
			"  sallyport limit override requests unlimited --api orders --tenant acme --key key_1",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.Overrides, error) {
			return c.PutOverride(ctx, admin.NewOverride{API: of.API, Tenant: of.Tenant, Key: of.Key, Limit: args[0], Windows: strings.Split(args[1], ",")})
		},
		text: showOverrides,
	}.command(r)
	limitsOf(c, &of)
	c.ValidArgsFunction = r.completeLimit(&of, "unlimited")
	return c
}

func (r *remote) limitLift() *cobra.Command {
	var of admin.LimitsOf
	c := call[admin.Overrides]{
		use: "lift LIMIT" + limitUse, short: "Lift an override: what the plan says holds again", args: cobra.ExactArgs(1),
		long: "Lift an override: what the plan says holds again, from the next request.\n\n" +
			"  sallyport limit lift requests --api orders --tenant acme",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.Overrides, error) {
			return c.LiftOverride(ctx, of, args[0])
		},
		text: showOverrides,
	}.command(r)
	limitsOf(c, &of)
	c.ValidArgsFunction = r.completeLimit(&of)
	return c
}

func (r *remote) limitReset() *cobra.Command {
	var of admin.LimitsOf
	c := call[admin.SteeredLimits]{
		use: "reset [LIMIT]" + limitUse, short: "Make counters begin anew", args: cobra.MaximumNArgs(1),
		long: "Make counters begin anew. Without a limit's name, all that are the key's alone or, without --key, the tenant's\n" +
			"alone: counters that others share are reset by name only.\n\n" +
			"  sallyport limit reset --api orders --tenant acme --key key_1\n" +
			"  sallyport limit reset requests --api orders --tenant acme",
		do: func(ctx context.Context, c *admin.Client, args []string) (admin.SteeredLimits, error) {
			in := admin.ResetLimits{API: of.API, Tenant: of.Tenant, Key: of.Key, Operation: of.Operation}
			if len(args) == 1 {
				in.Limit = args[0]
			}
			return c.ResetLimits(ctx, in)
		},
		text: showSteered,
	}.command(r)
	limitsOf(c, &of)
	operationFlag(c, &of, "the operation, for limits that are counted per operation")
	c.ValidArgsFunction = r.completeLimit(&of)
	return c
}

func (r *remote) limitRefund() *cobra.Command {
	var of admin.LimitsOf
	c := call[admin.SteeredLimits]{
		use: "refund LIMIT HITS" + limitUse, short: "Give hits back", args: refundArgs,
		long: "Give hits back. No window gets back more than was used of it.\n\n" +
			"  sallyport limit refund requests 20 --api orders --tenant acme --key key_1",
		do: func(ctx context.Context, c *admin.Client, args []string) (out admin.SteeredLimits, err error) {
			hits, err := strconv.ParseUint(args[1], 10, 64)
			if err != nil {
				return out, err
			}
			return c.RefundLimit(ctx, admin.RefundLimit{API: of.API, Tenant: of.Tenant, Key: of.Key, Operation: of.Operation, Limit: args[0], Hits: hits})
		},
		text: showSteered,
	}.command(r)
	limitsOf(c, &of)
	operationFlag(c, &of, "the operation, for limits that are counted per operation")
	c.ValidArgsFunction = r.completeLimit(&of)
	return c
}

func refundArgs(c *cobra.Command, args []string) error {
	if err := cobra.ExactArgs(2)(c, args); err != nil {
		return err
	}
	if n, err := strconv.ParseUint(args[1], 10, 64); err != nil || n == 0 {
		return fmt.Errorf("%q is not a number of hits; write a whole one, such as 20", args[1])
	}
	return nil
}

// completionTime bounds how long a shell waits for the server's names.
const completionTime = 2 * time.Second

// completeLimit offers the names of the limits for the first argument, where
// the flags before it say whose, and others for the second.
func (r *remote) completeLimit(of *admin.LimitsOf, others ...cobra.Completion) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		client, err := r.client()
		switch {
		case len(args) == 1:
			return others, cobra.ShellCompDirectiveNoFileComp
		case len(args) > 1 || err != nil || of.API == "" || of.Tenant == "":
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(c.Context(), completionTime)
		defer cancel()
		list, err := client.Limits(ctx, *of)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []cobra.Completion
		for _, l := range list.Limits {
			if l.Concurrency == nil {
				names = append(names, l.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func showSteered(w io.Writer, s admin.SteeredLimits) {
	row(w, "changed", strings.Join(s.Changed, ", "))
	fmt.Fprintln(w)
	showLimits(w, s.LimitList)
}

func showOverrides(w io.Writer, o admin.Overrides) {
	row(w, "api", o.API)
	row(w, "tenant", o.Tenant)
	if o.Key != "" {
		row(w, "key_id", o.Key)
	}
	limitRows(w, "override ", o.Overrides)
	if len(o.Overrides) == 0 {
		row(w, "overrides", "")
	}
}

func showLimits(w io.Writer, list admin.LimitList) {
	row(w, "LIMIT", "PER", "WINDOW", "USED", "REMAINING", "RESETS IN", "FROM")
	for _, l := range list.Limits {
		limit := func(window, used, remaining, resets string) {
			row(w, l.Name, strings.Join(l.Per, ","), window, used, remaining, resets, remarks(l, list.Plan))
		}
		switch {
		case l.Unlimited:
			limit("unlimited", "", "", "")
		case l.Concurrency != nil:
			used, remaining := "", ""
			if n := l.Concurrency.InFlight; n != nil {
				used, remaining = strconv.Itoa(*n), strconv.Itoa(max(0, int(l.Concurrency.Max)-*n))
			}
			limit(fmt.Sprintf("%d in flight", l.Concurrency.Max), used, remaining, "")
		case len(l.Windows) == 0:
			limit("nothing is allowed", "", "", "")
		}
		for _, window := range l.Windows {
			limit(window.Window, number(window.Used), number(window.Remaining), resetsIn(window, list.At))
		}
	}
}

// remarks says where the windows of l come from, and what else is to be known.
func remarks(l admin.LimitStanding, plan string) string {
	said := []string{limitFrom(l.From, plan)}
	if l.Concurrency != nil {
		said = nil // it is the same for all
	}
	if l.Shadow {
		said = append(said, "in shadow")
	}
	for _, what := range l.Needs {
		said = append(said, "needs --"+what)
	}
	return strings.Join(said, "; ")
}

// limitFrom says in words where windows come from; "" where that is not known.
func limitFrom(from, plan string) string {
	switch from {
	case "plan":
		return "plan " + plan
	case "key_plan":
		return "the key's plan " + plan
	case "tenant_limits":
		return "the tenant's limits"
	case "tenant_override":
		return "the tenant's override"
	case "key_override":
		return "the key's override"
	}
	return from
}

func number(n *uint64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(*n, 10)
}

// resetsIn is how long the server will take to forget what was used of w.
func resetsIn(w admin.WindowStanding, at time.Time) string {
	if w.Reset == nil || w.Used == nil || *w.Used == 0 {
		return ""
	}
	return max(0, w.Reset.Sub(at)).Round(time.Second).String()
}
