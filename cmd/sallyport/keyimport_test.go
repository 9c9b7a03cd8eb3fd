package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/admin"
)

// receiver is a server that keeps what is imported, all of a batch or none.
type receiver struct {
	kept    map[string]string // secret → id
	batches []int             // their sizes
	fail    func(batch int) error
	refuse  func(k admin.ImportKey) string
}

func (r *receiver) take(_ context.Context, in admin.ImportKeys) (out admin.ImportedKeys, err error) {
	if r.kept == nil {
		r.kept = make(map[string]string)
	}
	r.batches = append(r.batches, len(in.Keys))
	if r.fail != nil {
		if err := r.fail(len(r.batches)); err != nil {
			return out, err
		}
	}
	refused := &admin.Refused{Status: 422, Detail: "validation failed"}
	for i, k := range in.Keys {
		if r.refuse != nil && r.refuse(k) != "" {
			refused.Errors = append(refused.Errors, admin.FieldError{Location: fmt.Sprintf("body.keys[%d].key", i), Message: r.refuse(k)})
		}
	}
	if len(refused.Errors) > 0 {
		refused.Errors = refused.Errors[:min(3, len(refused.Errors))] // the server tells only so many
		return out, refused
	}
	for _, k := range in.Keys {
		secret := k.Secret.Reveal()
		id, existed := r.kept[secret]
		if !existed {
			id = fmt.Sprint("key_", len(r.kept))
			r.kept[secret] = id
			out.Imported++
		} else {
			out.Existed++
		}
		out.Keys = append(out.Keys, admin.ImportedKey{KeyID: id, Existed: existed})
	}
	return out, nil
}

// bring imports text, and returns what became of it and what was said meanwhile.
func bring(ctx context.Context, r *receiver, text string, change func(*importer)) (importedKeys, string, error) {
	var said bytes.Buffer
	i := importer{send: r.take, lines: newLineReader(strings.NewReader(text), ""), show: newProgress(&said, false, 0, time.Now)}
	if change != nil {
		change(&i)
	}
	var done importedKeys
	err := i.all(ctx, &done)
	return done, said.String(), err
}

func keyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"key\":\"k%05d\"}\n", i)
	}
	return b.String()
}

// A cut connection costs what was on its way: the same command goes on from there.
func TestAnImportThatWasCutGoesOn(t *testing.T) {
	text := keyLines(3500)
	r := &receiver{fail: func(batch int) error {
		if batch == 3 {
			return fmt.Errorf("%w: connection reset", admin.ErrUnreachable)
		}
		return nil
	}}
	done, said, err := bring(t.Context(), r, text, nil)
	var half incomplete
	if !errors.Is(err, admin.ErrUnreachable) || !errors.As(err, &half) || !strings.Contains(err.Error(), "All up to line 2000 is done") {
		t.Errorf("cut off: %v", err)
	}
	if done.Imported != 2000 || said != "" {
		t.Errorf("cut off: %+v, said %q", done, said)
	}
	done, _, err = bring(t.Context(), r, text, nil)
	if err != nil || done.Imported != 1500 || done.Existed != 2000 || done.Keys != nil {
		t.Errorf("sent again: %+v, %v", done, err)
	}
	if want := []int{1000, 1000, 1000, 1000, 1000, 1000, 500}; !slices.Equal(r.batches, want) {
		t.Errorf("batches %v, want %v", r.batches, want)
	}
}

func TestAnImportThatIsInterruptedSaysSo(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	r := &receiver{fail: func(batch int) error {
		if batch == 2 {
			stop()
			return fmt.Errorf("%w: %w", admin.ErrUnreachable, context.Canceled)
		}
		return nil
	}}
	done, _, err := bring(ctx, r, keyLines(3000), nil)
	if !errors.Is(err, errStopped) || errors.Is(err, admin.ErrUnreachable) || done.Imported != 1000 {
		t.Errorf("got %+v, %v", done, err)
	}
}

// However many of a batch are broken, the others are brought in.
func TestBrokenLinesLoseNoOthers(t *testing.T) {
	text := "{\"key\":\"first\"}\n{\"key\": bad}\n" + strings.Repeat("x", 2*batchBytes) + "\n\n" + keyLines(12) + `{"key":"last"}`
	r := &receiver{refuse: func(k admin.ImportKey) string {
		if k.Secret.Reveal() > "k00004" && k.Secret.Reveal() < "k00010" {
			return "is not to be"
		}
		return ""
	}}
	done, said, err := bring(t.Context(), r, text, nil)
	if err == nil || done.Imported != 9 || done.Refused != 7 {
		t.Errorf("got %+v, %v", done, err)
	}
	want := "line 2: is not JSON, by what stands at character 9\nline 3: is longer than 524288 bytes\n"
	for n := 10; n < 15; n++ {
		want += fmt.Sprintf("line %d: key is not to be\n", n)
	}
	if said != want {
		t.Errorf("said\n%swant\n%s", said, want)
	}
	if len(r.batches) != 3 {
		t.Errorf("sent %v: each time without what was refused", r.batches)
	}

	r = &receiver{refuse: r.refuse}
	done, _, err = bring(t.Context(), r, keyLines(12), func(i *importer) { i.stop = true })
	if err == nil || done.Imported != 0 || len(r.kept) != 0 || !strings.Contains(err.Error(), "line 6: key is not to be") {
		t.Errorf("--stop: %+v, %v", done, err)
	}
}

// What is wrong with the whole import is no fault of a line.
func TestAFaultOfTheWholeEndsAnImport(t *testing.T) {
	refused := &admin.Refused{Status: 422, Detail: "validation failed", Errors: []admin.FieldError{{Location: "body.new_tenants.plan", Message: "is not a plan"}}}
	r := &receiver{fail: func(int) error { return refused }}
	done, said, err := bring(t.Context(), r, keyLines(3), nil)
	if !errors.Is(err, refused) || done.Refused != 0 || said != "" || len(r.batches) != 1 {
		t.Errorf("got %+v, %v, said %q, sent %v", done, err, said, r.batches)
	}
}

func TestProgressIsForTerminalsAndPrograms(t *testing.T) {
	tick := time.Unix(0, 0)
	clock := func() time.Time { tick = tick.Add(500 * time.Millisecond); return tick }
	done := importedKeys{Imported: 900, Existed: 90, Refused: 10}
	var quiet, live, told bytes.Buffer
	newProgress(&quiet, false, 4000, clock).step(2000, 1000, done)
	if quiet.Len() > 0 {
		t.Errorf("not on a terminal: %q", &quiet)
	}
	p := newProgress(&live, false, 4000, clock)
	p.live = true
	p.step(1000, 1000, done)
	p.fault("line 7", 7, "is broken")
	if got, want := live.String(), "\r\x1b[K1000 keys, 2000 a second, 25 %, 2s left: 900 new, 90 there already, 10 refused\r\x1b[Kline 7: is broken\n"; got != want {
		t.Errorf("on a terminal:\n%q, want\n%q", got, want)
	}
	p = newProgress(&told, true, 0, clock)
	p.step(1000, 500, done) // half a second: too soon
	p.step(2000, 1000, done)
	if got, want := told.String(), `{"existed":90,"imported":900,"keys":1000,"keys_per_second":1000,"refused":10,"seconds_left":null}`+"\n"; got != want {
		t.Errorf("with --json: %s, want %s", got, want)
	}
}

func TestLinesAreCounted(t *testing.T) {
	long := strings.Repeat("y", batchBytes)
	l := newLineReader(strings.NewReader("a\n\n"+long+"\n"+long+"yy\nz"), "f")
	for n, want := range []string{"a\n", "\n", "", "", "z"} {
		text, err := l.next()
		if tooLong := n == 2 || n == 3; (err != nil) != tooLong || text != want || l.n != n+1 {
			t.Errorf("line %d: %.20q, %v, at %s", n+1, text, err, l.at(l.n))
		}
	}
	if _, err := l.next(); !errors.Is(err, io.EOF) || l.n != 5 {
		t.Errorf("behind the last: %v at %d", err, l.n)
	}
}
