package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// progress tells how far an import is: to people on a terminal in one line that is
// written over, to programs (--json) in lines of JSON, and else not at all. Faults
// are told always.
type progress struct {
	w     io.Writer
	json  bool
	live  bool // w is a terminal
	total int64
	now   func() time.Time

	begin, last time.Time
	shown       bool // a line stands there that is to be written over
}

// progressEvery is how often it is told at most.
const (
	progressEvery     = 200 * time.Millisecond
	jsonProgressEvery = time.Second
)

func newProgress(w io.Writer, json bool, total int64, now func() time.Time) *progress {
	begin := now()
	return &progress{w: w, json: json, live: !json && isTerminal(w), total: total, now: now, begin: begin, last: begin}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	about, err := file.Stat()
	return err == nil && about.Mode()&os.ModeCharDevice != 0
}

// step tells that so many bytes and keys have been read and done.
func (p *progress) step(read int64, keys int, done importedKeys) {
	now := p.now()
	every := progressEvery
	if p.json {
		every = jsonProgressEvery
	}
	if !p.live && !p.json || now.Sub(p.last) < every {
		return
	}
	p.last = now
	took := now.Sub(p.begin)
	rate := float64(keys) / took.Seconds()
	var left time.Duration // 0: nobody knows
	if p.total > 0 && read > 0 {
		left = time.Duration(float64(took) * float64(max(p.total-read, 0)) / float64(read))
	}
	if p.json {
		p.object(map[string]any{
			"keys": keys, "imported": done.Imported, "existed": done.Existed, "refused": done.Refused,
			"keys_per_second": int(rate), "seconds_left": seconds(left, p.total > 0),
		})
		return
	}
	text := fmt.Sprintf("%s, %.0f a second", count(keys, "key"), rate)
	if p.total > 0 {
		text += fmt.Sprintf(", %d %%, %s left", 100*read/p.total, left.Round(time.Second))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s: %d new, %d there already, %d refused", text, done.Imported, done.Existed, done.Refused)
	p.shown = true
}

// seconds is d in whole seconds, nil where it is not known.
func seconds(d time.Duration, known bool) any {
	if !known {
		return nil
	}
	return int(d.Round(time.Second).Seconds())
}

// fault tells what is wrong with line n.
func (p *progress) fault(where string, n int, why string) {
	if p.json {
		p.object(map[string]any{"line": n, "fault": why})
		return
	}
	p.end()
	fmt.Fprintf(p.w, "%s: %s\n", where, why)
}

// object writes v; whoever does not read it is not told.
func (p *progress) object(v map[string]any) { _ = json.NewEncoder(p.w).Encode(v) }

// end takes away the line that is written over.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
