package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func newReload(s streams, getenv func(string) string) *cobra.Command {
	return call[admin.Reloaded]{
		use: "reload", short: "Make a running server read its configuration again",
		long: "Make a running server read its configuration again. One with faults changes nothing: they are printed, and\n" +
			"the exit code is 1.",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.Reloaded, error) {
			return c.Reload(ctx)
		},
		text: func(w io.Writer, in admin.Reloaded) {
			row(w, "apis", strings.Join(in.APIs, " "))
			row(w, "loaded", stamp(&in.LoadedAt))
		},
	}.command(&remote{s: s, getenv: getenv})
}

var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

const explainLong = "Say how a running server would decide a request, and why. It spends no quota.\n\n" +
	"A credential may stand in -H, but then it stands in the shell's history too: -H @- reads headers from standard\n" +
	"input, one on a line, and --key-id names a key without its secret.\n\n"

func newExplain(s streams, getenv func(string) string) *cobra.Command {
	var keyID string
	c := (&remote{s: s, getenv: getenv}).explain("explain METHOD URL", 2, func(in *admin.ExplainRequest, args []string) {
		in.Method, in.URL, in.KeyID = args[0], args[1], keyID
	})
	c.Long = explainLong +
		"  sallyport explain GET https://api.example.com/v1/orders --key-id key_1\n" +
		"  echo \"Authorization: Bearer $KEY\" | sallyport explain GET https://api.example.com/v1/orders -H @-\n" +
		"  sallyport explain POST https://api.example.com/hooks/shop -H \"X-Signature: $SIGNATURE\" --body body.json"
	c.Flags().StringVar(&keyID, "key-id", "", "decide as if this key had been sent")
	c.ValidArgsFunction = completeMethod(0)
	return c
}

func (r *remote) keyExplain() *cobra.Command {
	c := r.explain("explain KEY_ID METHOD URL", 3, func(in *admin.ExplainRequest, args []string) {
		in.KeyID, in.Method, in.URL = args[0], args[1], args[2]
	})
	c.Long = explainLong + "  sallyport key explain key_1 GET https://api.example.com/v1/orders"
	c.ValidArgsFunction = completeMethod(1)
	return c
}

// completeMethod offers methods for one argument.
func completeMethod(at int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == at {
			return methods, cobra.ShellCompDirectiveNoFileComp
		}
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
}

// explain makes a command of n arguments, which read puts into the request.
func (r *remote) explain(use string, n int, read func(in *admin.ExplainRequest, args []string)) *cobra.Command {
	var in admin.ExplainRequest
	var headers []string
	var body string
	c := call[admin.Explanation]{
		use: use, short: "Say how a request would be decided, and why", args: cobra.ExactArgs(n),
		do: func(ctx context.Context, c *admin.Client, args []string) (e admin.Explanation, err error) {
			read(&in, args)
			if in.Headers, err = readHeaders(headers, r.s.in); err != nil {
				return e, err
			}
			if body != "" {
				if in.Body, err = os.ReadFile(body); err != nil {
					return e, fmt.Errorf("read the body: %w", err)
				}
			}
			return c.Explain(ctx, in)
		},
		text: showExplanation,
	}.command(r)
	c.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header, Name: value; @- reads them from standard input, as is best for credentials")
	c.Flags().StringVar(&body, "body", "", "the file that holds the body, which a webhook signs")
	c.Flags().StringVar(&in.Source, "source", "", "the caller's address")
	return c
}

// readHeaders puts what stands in from in the place of @-.
func readHeaders(given []string, from io.Reader) (headers []string, err error) {
	for _, h := range given {
		if h != "@-" {
			headers = append(headers, h)
			continue
		}
		lines := bufio.NewScanner(from)
		for lines.Scan() {
			if line := strings.TrimSpace(lines.Text()); line != "" {
				headers = append(headers, line)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read headers from standard input: %w", err)
		}
	}
	return headers, nil
}

func showExplanation(w io.Writer, e admin.Explanation) {
	outcome := e.Outcome
	if e.Status != 0 && e.Outcome != "allowed" {
		outcome = fmt.Sprintf("%s with %d", outcome, e.Status)
	}
	row(w, "outcome", outcome)
	row(w, "why", e.Why)
	row(w, "reason", e.Reason)
	for _, line := range []struct{ name, text string }{
		{"api", e.API}, {"operation", e.Operation}, {"chain", e.Chain}, {"key_id", e.Credential}, {"tenant", e.Tenant}, {"plan", e.Plan},
		{"principal", e.Principal}, {"requires", strings.Join(e.Requires, " or ")}, {"holds", strings.Join(e.Holds, " ")}, {"missing", e.Missing},
	} {
		if line.text != "" {
			row(w, line.name, line.text)
		}
	}
	if e.Shadow {
		row(w, "shadow", "yes: nothing is refused")
	}
	for _, l := range e.Limits {
		text := strings.Join(l.Windows, ", ")
		if !l.Reset.IsZero() {
			text += fmt.Sprintf(": %d of %d left until %s", l.Remaining, l.Limit, l.Reset.UTC().Format(time.RFC3339))
		}
		if from := limitFrom(l.From, e.Plan); from != "" {
			text += fmt.Sprintf(" (per %s, from %s)", strings.Join(l.Per, " and "), from)
		}
		if l.Shadow {
			text += ", in shadow: it refuses nothing"
		}
		row(w, "limit "+l.Name, text)
	}
	for _, h := range e.Headers {
		row(w, "header", h)
	}
	if e.Body != "" {
		row(w, "body", e.Body)
	}
}
