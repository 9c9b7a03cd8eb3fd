package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
)

// What is sent at once, at most.
const (
	batchKeys  = 500
	batchBytes = 512 << 10
)

func (r *remote) keyImport() *cobra.Command {
	var in admin.ImportKey
	var sums bool
	c := call[admin.ImportedKeys]{
		use: "import --api NAME --tenant ID", short: "Bring in keys that exist elsewhere, from standard input",
		long: "Bring in keys that exist elsewhere, from standard input: one key on a single line, or keys as JSON, one on a\n" +
			"line, with the fields of the admin API; flags say what a line does not. It may be sent again: a key that is\n" +
			"there already stays as it is.\n\n" +
			"  sallyport key import --api orders --tenant acme --scopes read-only <key.txt\n" +
			"  sallyport key import --api orders <<'END'\n" +
			"  {\"tenant\": \"acme\", \"key\": \"ord_live_…\", \"key_id\": \"k-17\", \"scopes\": [\"orders:read\"]}\n" +
			"  {\"tenant\": \"acme\", \"sha256\": \"9f86d0…\", \"last4\": \"x7Qa\", \"prefix\": \"ord_live_\"}\n" +
			"  END",
		do: func(ctx context.Context, c *admin.Client, _ []string) (admin.ImportedKeys, error) {
			i := importer{send: c.ImportKeys, flags: in, sums: sums, progress: r.s.err, done: admin.ImportedKeys{Keys: []admin.ImportedKey{}}}
			err := i.all(ctx, r.s.in)
			return i.done, err
		},
		text: func(w io.Writer, done admin.ImportedKeys) {
			row(w, "imported", strconv.Itoa(done.Imported))
			row(w, "existed", strconv.Itoa(done.Existed))
			if len(done.Keys) == 1 {
				row(w, "key_id", done.Keys[0].KeyID)
			}
		},
	}.command(r)
	newKeyFlags(c, &in.NewKey)
	c.Flags().Lookup("api").Usage = "the API, where a line names none"
	c.Flags().Lookup("tenant").Usage = "the tenant, where a line names none"
	c.Flags().BoolVar(&sums, "sha256", false, "the single line is the key's SHA-256, as hex digits")
	c.Flags().StringVar(&in.Last4, "last4", "", "the key's last four characters, for display, with --sha256")
	c.Flags().StringVar(&in.KeyID, "key-id", "", "the id that the single key has already; default a new one")
	return c
}

// importer reads keys and sends them in batches.
type importer struct {
	send     func(context.Context, []admin.ImportKey) (admin.ImportedKeys, error)
	flags    admin.ImportKey // what a line does not say
	sums     bool
	progress io.Writer

	keys  []admin.ImportKey
	lines []int // where each of keys stands
	bytes int
	done  admin.ImportedKeys
}

// all reads from to its end.
func (i *importer) all(ctx context.Context, from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, batchBytes)
	seen, plain := 0, false // lines that are not empty; whether the first was no JSON
	n := 0
	for lines.Scan() {
		n++
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		seen++
		isJSON := strings.HasPrefix(text, "{")
		if plain = plain || !isJSON; plain && seen > 1 {
			return fmt.Errorf("line %d: more than one line, and not all of them JSON; write one key, or JSON such as {\"key\": \"…\"} on each line", n)
		}
		key, err := i.read(n, text, isJSON)
		if err == nil {
			err = i.add(ctx, n, key)
		}
		if err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d is longer than %d bytes", n+1, batchBytes)
	case err != nil:
		return fmt.Errorf("read standard input: %w", err)
	case seen == 0:
		return errors.New("standard input holds no key")
	}
	return i.flush(ctx)
}

// add puts the key of line n into the batch, which it sends first if it is full.
func (i *importer) add(ctx context.Context, n int, key admin.ImportKey) error {
	text, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("line %d: %w", n, err)
	}
	if len(i.keys) == batchKeys || i.bytes+len(text) > batchBytes {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	i.keys, i.lines, i.bytes = append(i.keys, key), append(i.lines, n), i.bytes+len(text)
	return nil
}

// read returns the key of line n.
func (i *importer) read(n int, text string, isJSON bool) (admin.ImportKey, error) {
	key := i.flags
	key.Scopes, key.Roles, key.AllowedIPs = slices.Clone(key.Scopes), slices.Clone(key.Roles), slices.Clone(key.AllowedIPs)
	key.Attributes = maps.Clone(key.Attributes)
	switch {
	case isJSON:
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&key); err != nil {
			return key, fmt.Errorf("line %d %s", n, jsonFault(err))
		}
		if d.More() {
			return key, fmt.Errorf("line %d holds more than one JSON object", n)
		}
	case i.sums:
		key.SHA256, _, _ = strings.Cut(text, " ") // sha256sum writes a name behind it
	default:
		key.Secret = admin.Shown(text)
	}
	return key, nil
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

// flush sends what has been read.
func (i *importer) flush(ctx context.Context) error {
	if len(i.keys) == 0 {
		return nil
	}
	done, err := i.send(ctx, i.keys)
	if err != nil {
		return i.locate(err)
	}
	i.done.Imported += done.Imported
	i.done.Existed += done.Existed
	i.done.Keys = append(i.done.Keys, done.Keys...)
	fmt.Fprintf(i.progress, "%s up to line %d: %d new, %d there already\n",
		count(len(i.done.Keys), "key"), i.lines[len(i.lines)-1], i.done.Imported, i.done.Existed)
	i.keys, i.lines, i.bytes = i.keys[:0], i.lines[:0], 0
	return nil
}

var atKey = regexp.MustCompile(`^body\.keys\[(\d+)\]\.?(.*)$`)

// locate puts lines in the place of the positions in a batch.
func (i *importer) locate(err error) error {
	var refused *admin.Refused
	if !errors.As(err, &refused) {
		return err
	}
	for j, e := range refused.Errors {
		match := atKey.FindStringSubmatch(e.Location)
		if match == nil {
			continue
		}
		if at, err := strconv.Atoi(match[1]); err == nil && at < len(i.lines) {
			refused.Errors[j].Location = strings.TrimSuffix(fmt.Sprintf("line %d: %s", i.lines[at], match[2]), " ")
		}
	}
	return refused
}
