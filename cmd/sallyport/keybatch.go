package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/internal/admin"
)

// What is sent at once, at most: one transaction of the server, in which nobody
// else can write.
const (
	batchKeys  = admin.MaxImport
	batchBytes = 512 << 10
)

// importer reads keys and sends them in batches.
type importer struct {
	send    func(context.Context, admin.ImportKeys) (admin.ImportedKeys, error)
	flags   admin.ImportKey // what a line does not say
	sums    bool
	stop    bool                 // at the first fault
	tenants *admin.ImportTenants // nil: none are made
	lines   *lineReader
	show    *progress

	keys  []admin.ImportKey
	at    []int // the lines where they stand
	bytes int
	seen  int // keys so far
	sent  int // the line up to which all is done
	done  importedKeys
	many  bool // too many for each to be told
}

// add puts the key of line n into the batch, which it sends first if it is full.
func (i *importer) add(ctx context.Context, n int, key admin.ImportKey) error {
	text, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("%s: %w", i.lines.at(n), err)
	}
	if len(i.keys) == batchKeys || i.bytes+len(text) > batchBytes {
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	i.keys, i.at, i.bytes = append(i.keys, key), append(i.at, n), i.bytes+len(text)
	return nil
}

// flush sends what has been read, and then again without what the server says it
// cannot keep: each time there is less of it.
func (i *importer) flush(ctx context.Context) error {
	last := i.lines.n
	if len(i.at) > 0 {
		last = i.at[len(i.at)-1]
	}
	for len(i.keys) > 0 {
		done, err := i.send(ctx, admin.ImportKeys{Keys: i.keys, NewTenants: i.tenants})
		if err == nil {
			err = i.count(done)
			i.keys = i.keys[:0]
		} else {
			err = i.drop(ctx, err)
		}
		if err != nil {
			return err
		}
	}
	i.keys, i.at, i.bytes = i.keys[:0], i.at[:0], 0
	i.sent = last
	i.show.step(i.lines.read, i.seen, i.done)
	return nil
}

// count adds what the server did with the batch. A key that is there under
// another id than its line says is not the one that was meant.
func (i *importer) count(done admin.ImportedKeys) error {
	if len(done.Keys) != len(i.keys) {
		return fmt.Errorf("%w: it tells of %s, and %d were sent", admin.ErrUnreachable, count(len(done.Keys), "key"), len(i.keys))
	}
	i.done.Imported += done.Imported
	if i.many = i.many || len(i.done.Keys)+len(done.Keys) > batchKeys; i.many {
		i.done.Keys = nil
	} else {
		i.done.Keys = append(i.done.Keys, done.Keys...)
	}
	for n, one := range done.Keys {
		want := i.keys[n].KeyID
		if want == "" || want == one.KeyID {
			if one.Existed {
				i.done.Existed++
			}
			continue
		}
		if err := i.refuse(i.at[n], fmt.Sprintf("is there already, as %s and not as %s", one.KeyID, want)); err != nil {
			return err
		}
	}
	return nil
}

// refuse notes that line n cannot be brought in.
func (i *importer) refuse(n int, why string) error {
	if i.stop {
		return fmt.Errorf("%s: %s", i.lines.at(n), why)
	}
	i.done.Refused++
	i.show.fault(i.lines.at(n), n, why)
	return nil
}

var atKey = regexp.MustCompile(`^body\.keys\[(\d+)\]\.?(.*)$`)

// drop takes out of the batch what err says cannot be kept. It returns err, with
// lines in the place of the positions in the batch, where that is not about single
// keys, or it is to stop there.
func (i *importer) drop(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errStopped
	}
	var refused *admin.Refused
	if !errors.As(err, &refused) {
		return err
	}
	faults := make(map[int][]string)
	whole := len(refused.Errors) == 0
	for j, e := range refused.Errors {
		at, field, ok := i.position(e.Location)
		if !ok {
			whole = true
			continue
		}
		faults[at] = append(faults[at], strings.TrimSpace(field+" "+e.Message))
		refused.Errors[j].Location = strings.TrimSuffix(i.lines.at(i.at[at])+": "+field, " ")
	}
	if whole || i.stop {
		return refused
	}
	keys, lines := i.keys[:0], i.at[:0]
	for at, n := range i.at {
		why := faults[at]
		if why == nil {
			keys, lines = append(keys, i.keys[at]), append(lines, n)
			continue
		}
		if err := i.refuse(n, strings.Join(why, "; ")); err != nil {
			return err
		}
	}
	i.keys, i.at = keys, lines
	return nil
}

// position returns which key of the batch a location is in, and the field there.
func (i *importer) position(location string) (at int, field string, ok bool) {
	match := atKey.FindStringSubmatch(location)
	if match == nil {
		return 0, "", false
	}
	at, err := strconv.Atoi(match[1])
	return at, match[2], err == nil && at < len(i.at)
}
