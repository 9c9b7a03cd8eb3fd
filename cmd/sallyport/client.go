package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/apikey"
)

const defaultURL = "http://127.0.0.1:9192"

// remote is what the commands on a running server have in common.
type remote struct {
	s      streams
	getenv func(string) string
	json   bool
}

var errNoToken = errors.New("SALLYPORT_TOKEN is not set: it is the admin token, which the server showed at its first start")

func (r *remote) client() (*admin.Client, error) {
	token := r.getenv("SALLYPORT_TOKEN")
	if token == "" {
		return nil, errNoToken
	}
	url := r.getenv("SALLYPORT_URL")
	if url == "" {
		url = defaultURL
	}
	return admin.NewClient(url, apikey.NewSecret(token)), nil
}

// call is a command that calls a running server and prints the answer.
type call[T any] struct {
	use, short, long string
	args             cobra.PositionalArgs // nil: none
	do               func(ctx context.Context, c *admin.Client, args []string) (T, error)
	text             func(w io.Writer, answer T)
	secret           func(answer T) admin.Shown // what -q prints alone; nil: there is no -q
}

// incomplete is the error of a call that did a part of what was asked: its answer
// is printed all the same.
type incomplete struct{ error }

func (i incomplete) Unwrap() error { return i.error }

func (a call[T]) command(r *remote) *cobra.Command {
	var quiet bool
	c := &cobra.Command{
		Use: a.use, Short: a.short, Long: a.long, Args: a.args,
		RunE: runs(func(ctx context.Context, args []string) error {
			client, err := r.client()
			if err != nil {
				return err
			}
			answer, err := a.do(ctx, client, args)
			var half incomplete
			switch {
			case err != nil && !errors.As(err, &half):
				return err
			case quiet:
				_, err := fmt.Fprintln(r.s.out, a.secret(answer).Reveal())
				return err
			}
			return errors.Join(r.print(answer, func(w io.Writer) { a.text(w, answer) }), err)
		}),
	}
	if c.Args == nil {
		c.Args = cobra.NoArgs
	}
	c.Flags().BoolVar(&r.json, "json", false, "print JSON")
	if a.secret != nil {
		c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print the secret and nothing else")
		c.MarkFlagsMutuallyExclusive("quiet", "json")
	}
	return c
}

// pages gathers a list that comes in pages: of each it gets what is on it and
// where the next begins, "" on the last.
func pages[T any](page func(after string) (list []T, next string, err error)) ([]T, error) {
	all := []T{}
	for after := ""; ; {
		list, next, err := page(after)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if after = next; after == "" {
			return all, nil
		}
	}
}

// print writes v as JSON, or as the lines of text.
func (r *remote) print(v any, text func(w io.Writer)) error {
	if r.json {
		return json.NewEncoder(r.s.out).Encode(v)
	}
	w := tabwriter.NewWriter(r.s.out, 0, 0, 2, ' ', 0)
	text(w)
	return w.Flush()
}

// row writes cells as one line of a table; an empty cell is a dash.
func row(w io.Writer, cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// attributeRows writes a row for each attribute.
func attributeRows(w io.Writer, attributes map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		row(w, "attribute "+name, attributes[name])
	}
}

func expires(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return stamp(t)
}

func stamp(t *time.Time) string { return t.UTC().Format(time.RFC3339) }

// standing is a state, and whether its time is over.
func standing(state string, expired bool) string {
	if expired {
		return state + ", expired"
	}
	return state
}

func required(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		_ = c.MarkFlagRequired(f) // the flag exists: its name is a constant beside it
	}
}

// changed is a field of a change: sent where its flag was given.
func changed[T any](c *cobra.Command, flag string, v T) (field admin.Optional[T]) {
	if c.Flags().Changed(flag) {
		field = admin.Some(v)
	}
	return field
}

// withoutEmpty is a list whose flag may be given empty, to lift all.
func withoutEmpty(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

// pairs is a flag of the form NAME=VALUE, which may be given more than once;
// empty, it is none.
type pairs map[string]string

func (p *pairs) Type() string   { return "NAME=VALUE" }
func (p *pairs) String() string { return "" }

func (p *pairs) Set(s string) error {
	if *p == nil {
		*p = pairs{}
	}
	name, value, ok := strings.Cut(s, "=")
	switch {
	case s == "":
		return nil
	case !ok || name == "":
		return errors.New("want NAME=VALUE")
	}
	(*p)[name] = value
	return nil
}

// attributeFlag adds --attribute.
func attributeFlag(c *cobra.Command, to *pairs, hint string) {
	c.Flags().Var(to, "attribute", hint)
}

const (
	newAttributes = "a free fact about it; more than one may be given"
	allAttributes = "all of its attributes, in place of those before; empty lifts them"
)

var states = []string{"active", "disabled", "revoked"}
