package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

func (r *remote) keyImport() *cobra.Command {
	var in admin.ImportKey
	var sums, stop, create bool
	var plan string
	c := call[importedKeys]{
		use: "import [FILE] --api NAME --tenant ID", short: "Bring in keys that exist elsewhere, from a file or standard input",
		long: "Bring in keys that exist elsewhere, from a file or standard input: one key on a single line, or keys as JSON,\n" +
			"one on a line, with the fields of the admin API; flags say what a line does not.\n\n" +
			"A line that cannot be brought in is told with its number, and the others go on (--stop: up to it). The exit\n" +
			"code is 1 then. A key that is there already stays as it is, so what was cut off or mended is sent again, whole.\n" +
			"On a terminal the progress is shown; with --json it is told on standard error, as a JSON object each second.\n\n" +
			"  sallyport key import --api orders --tenant acme --scopes read-only <key.txt\n" +
			"  sallyport key import keys.jsonl --api orders --create-tenants --tenant-plan free\n" +
			"  sallyport key import --api orders <<'END'\n" +
			"  {\"tenant\": \"acme\", \"key\": \"ord_live_…\", \"key_id\": \"k-17\", \"scopes\": [\"orders:read\"]}\n" +
			"  {\"tenant\": \"acme\", \"sha256\": \"9f86d0…\", \"last4\": \"x7Qa\", \"prefix\": \"ord_live_\"}\n" +
			"  END",
		args: cobra.MaximumNArgs(1),
		do: func(ctx context.Context, c *admin.Client, args []string) (importedKeys, error) {
			from, name := r.s.in, ""
			if len(args) > 0 && args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return importedKeys{}, err
				}
				defer file.Close()
				from, name = file, args[0]
			}
			i := importer{
				send: c.ImportKeys, flags: in, sums: sums, stop: stop, lines: newLineReader(from, name),
				show: newProgress(r.s.err, r.json, restOf(from), time.Now),
			}
			if create {
				i.tenants = &admin.ImportTenants{Plan: plan}
			}
			return i.done, i.all(ctx, &i.done)
		},
		text: showImported,
	}.command(r)
	newKeyFlags(c, &in.NewKey)
	f := c.Flags()
	f.Lookup("api").Usage = "the API, where a line names none"
	f.Lookup("tenant").Usage = "the tenant, where a line names none"
	f.BoolVar(&sums, "sha256", false, "the single line is the key's SHA-256, as hex digits")
	f.StringVar(&in.Last4, "last4", "", "the key's last four characters, for display, with --sha256")
	f.StringVar(&in.KeyID, "key-id", "", "the id that the single key has already; default a new one")
	f.BoolVar(&create, "create-tenants", false, "make the tenants that are not there; default: their keys are refused")
	f.StringVar(&plan, "tenant-plan", "", "the plan of tenants that are made, with --create-tenants")
	f.BoolVar(&stop, "stop", false, "stop at the first line that cannot be brought in")
	return c
}

// importedKeys says what became of an import. Keys are told where there are no
// more than go into one batch.
type importedKeys struct {
	Imported int                 `json:"imported"`
	Existed  int                 `json:"existed"`
	Refused  int                 `json:"refused,omitempty"`
	Keys     []admin.ImportedKey `json:"keys,omitempty"`
}

func showImported(w io.Writer, done importedKeys) {
	row(w, "imported", strconv.Itoa(done.Imported))
	row(w, "existed", strconv.Itoa(done.Existed))
	if done.Refused > 0 {
		row(w, "refused", strconv.Itoa(done.Refused))
	}
	if len(done.Keys) == 1 {
		row(w, "key_id", done.Keys[0].KeyID)
	}
}

// all reads the lines to their end.
func (i *importer) all(ctx context.Context, done *importedKeys) error {
	defer func() { *done = i.done }()
	err := i.each(ctx)
	i.show.end()
	sent := fmt.Sprintf("%d of %s", i.done.Imported+i.done.Existed, count(i.seen, "key"))
	switch {
	case err != nil && i.sent > 0:
		return incomplete{fmt.Errorf("%w\nAll up to %s is done; what is there already stays as it is: send it all again to go on", err, i.lines.at(i.sent))}
	case err != nil:
		return err
	case i.done.Refused > 0:
		return incomplete{fmt.Errorf("%s brought in; mend what is told above, and send it all or that alone again", sent)}
	}
	return nil
}

func (i *importer) each(ctx context.Context) error {
	plain := false // whether the first line was no JSON
	for {
		if ctx.Err() != nil {
			return errStopped
		}
		text, err := i.lines.next()
		switch {
		case errors.Is(err, io.EOF) && i.seen == 0:
			return errors.New("there is no key in it")
		case errors.Is(err, io.EOF):
			return i.flush(ctx)
		case errors.Is(err, bufio.ErrTooLong):
			i.seen++
			if err := i.refuse(i.lines.n, fmt.Sprintf("is longer than %d bytes", batchBytes)); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		i.seen++
		isJSON := strings.HasPrefix(text, "{")
		if plain = plain || !isJSON && i.seen == 1; plain && i.seen > 1 {
			return fmt.Errorf("%s: more than one line, and not all of them JSON; write one key, or JSON such as {\"key\": \"…\"} on each line", i.lines.at(i.lines.n))
		}
		if err := i.line(ctx, text, isJSON); err != nil {
			return err
		}
	}
}

var errStopped = errors.New("interrupted")

// line reads one line into the batch.
func (i *importer) line(ctx context.Context, text string, isJSON bool) error {
	key, fault := i.read(text, isJSON)
	if fault != "" {
		return i.refuse(i.lines.n, fault)
	}
	return i.add(ctx, i.lines.n, key)
}

// read returns the key that a line is, or says what is wrong with it.
func (i *importer) read(text string, isJSON bool) (key admin.ImportKey, fault string) {
	key = i.flags
	key.Scopes, key.Roles, key.AllowedIPs = slices.Clone(key.Scopes), slices.Clone(key.Roles), slices.Clone(key.AllowedIPs)
	key.Attributes = maps.Clone(key.Attributes)
	switch {
	case isJSON:
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&key); err != nil {
			return key, jsonFault(err)
		}
		if d.More() {
			return key, "holds more than one JSON object"
		}
	case i.seen > 1:
		return key, "is not JSON"
	case i.sums:
		key.SHA256, _, _ = strings.Cut(text, " ") // sha256sum writes a name behind it
	default:
		key.Secret = admin.Shown(text)
	}
	return key, ""
}

// jsonFault says what is wrong with a line of JSON, and repeats none of it: a
// key may stand in it.
func jsonFault(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("is not JSON, by what stands at character %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("has a value of the wrong type in field %s", kind.Field[strings.LastIndexByte(kind.Field, '.')+1:])
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "is not JSON: it ends too early"
	}
	return "has a field that a key does not have; see /admin/docs, ImportKey"
}
