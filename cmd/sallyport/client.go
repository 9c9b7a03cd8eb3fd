package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/apikey"
)

const defaultURL = "http://127.0.0.1:9192"

// remote is a command on a running server.
type remote struct {
	s      streams
	getenv func(string) string
	json   bool
}

// flags adds what all of them have.
func (r *remote) flags(c *cobra.Command) {
	c.Flags().BoolVar(&r.json, "json", false, "print JSON")
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
