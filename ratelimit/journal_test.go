package ratelimit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
)

func openJournal(t testing.TB, path string, now time.Time) (*Journal, *Memory, error) {
	t.Helper()
	m := NewMemory()
	j, lost, err := OpenJournal(path, m, now)
	if err != nil {
		t.Fatal(err)
	}
	return j, m, lost
}

// everyKind is a charge with a window of every kind.
func everyKind() []sallyport.Charge {
	return []sallyport.Charge{{Limit: &sallyport.Limit{Name: "all", Per: []string{"credential"}}, Windows: []sallyport.Window{
		{Max: 1000, Length: time.Hour},
		{Max: 500, Length: time.Minute, Algorithm: sallyport.Sliding},
		{Max: 100, Length: time.Minute, Algorithm: sallyport.Bucket, Burst: 15},
		{Max: 7000, Calendar: sallyport.Month, Zone: "Europe/Berlin"},
	}}}
}

func standings(t testing.TB, m *Memory, now time.Time, credential string) string {
	t.Helper()
	s := sallyport.Subject{API: "orders", Tenant: "t1", Credential: credential}
	all, err := m.Look(context.Background(), Call{Now: now, Subject: &s, Charges: everyKind()})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, one := range all {
		text += fmt.Sprintln(one.Window, one.Used, one.Remaining, one.Reset.UnixMicro())
	}
	return text
}

// What was counted before a graceful end is counted after the start.
func TestCountersOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	j, m, _ := openJournal(t, path, epoch)
	for i := range 300 {
		take(t, m, epoch.Add(time.Duration(i)*100*time.Millisecond), fmt.Sprint("k", i%3), everyKind(), 1)
	}
	later := epoch.Add(31 * time.Second)
	want := standings(t, m, later, "k1")
	if err := j.Close(later); err != nil {
		t.Fatal(err)
	}
	j, m, lost := openJournal(t, path, later)
	t.Cleanup(func() { j.Close(later) })
	if got := standings(t, m, later, "k1"); got != want || lost != nil {
		t.Errorf("after the restart (%v):\n%swant\n%s", lost, got, want)
	}
}

// What a killed process had flushed is there, and what it had not is all that
// is lost; a batch that was half written ends the reading.
func TestAKilledProcessLosesWhatCameAfterItsLastFlush(t *testing.T) {
	folder := t.TempDir()
	j, m, _ := openJournal(t, filepath.Join(folder, "counters"), epoch)
	take(t, m, epoch, "k1", everyKind(), 5)
	if err := j.Flush(epoch); err != nil {
		t.Fatal(err)
	}
	want := standings(t, m, epoch, "k1")
	take(t, m, epoch, "k1", everyKind(), 3)
	flushed, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(epoch); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []int{len(flushed), len(flushed) + 3, len(whole) - 1} {
		path := filepath.Join(folder, fmt.Sprint("cut-", end))
		if err := os.WriteFile(path, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		again, m, lost := openJournal(t, path, epoch)
		if got := standings(t, m, epoch, "k1"); got != want || (lost == nil) != (end == len(flushed)) {
			t.Errorf("cut at %d of %d (%v):\n%swant\n%s", end, len(whole), lost, got, want)
		}
		again.Close(epoch)
	}
	j.Close(epoch)
}

// The next process may start before the last has ended: what both have counted
// is counted.
func TestAJournalIsHandedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	old, before, _ := openJournal(t, path, epoch)
	take(t, before, epoch, "k1", everyKind(), 5)
	next, after, lost := openJournal(t, path, epoch)
	if !next.Waiting() || lost != nil {
		t.Fatalf("the second has the file of the first: %v", lost)
	}
	take(t, after, epoch, "k1", everyKind(), 3)
	take(t, after, epoch, "k2", everyKind(), 1)
	for _, j := range []*Journal{next, old} { // nothing to flush is no error
		if err := j.Flush(epoch); err != nil {
			t.Error(err)
		}
	}
	if err := next.tend(epoch); err != nil || !next.Waiting() {
		t.Fatalf("it did not wait: %v", err)
	}
	if err := old.Close(epoch); err != nil {
		t.Fatal(err)
	}
	if err := next.tend(epoch); err != nil || next.Waiting() {
		t.Fatalf("it was not handed over: %v", err)
	}
	want := NewMemory()
	take(t, want, epoch, "k1", everyKind(), 8)
	take(t, want, epoch, "k2", everyKind(), 1)
	check := func(when string, m *Memory) {
		for _, k := range []string{"k1", "k2"} {
			if got := standings(t, m, epoch, k); got != standings(t, want, epoch, k) {
				t.Errorf("%s, %s:\n%swant\n%s", when, k, got, standings(t, want, epoch, k))
			}
		}
	}
	check("handed over", after)
	if err := next.Close(epoch); err != nil {
		t.Fatal(err)
	}
	again, m, _ := openJournal(t, path, epoch)
	check("read again", m)
	again.Close(epoch)
}

// A journal that is closed is free at once, also where a command that was being
// started meanwhile still has the file.
func TestAClosedJournalIsFree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "counters")
	j, _, _ := openJournal(t, path, epoch)
	inherited, err := syscall.Dup(int(j.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(inherited) })
	if err := j.Close(epoch); err != nil {
		t.Fatal(err)
	}
	next, _, _ := openJournal(t, path, epoch)
	if next.Waiting() {
		t.Error("it waits for the file of a journal that is closed")
	}
	next.Close(epoch)
}

// Its size stays within a few times of what is live, whatever was counted.
func TestAJournalDoesNotGrowForEver(t *testing.T) {
	t.Parallel() // it waits for the disk
	path := filepath.Join(t.TempDir(), "counters")
	j, m, _ := openJournal(t, path, epoch)
	// As much as is allowed, and half of it once more: it is written anew, and
	// not for once only.
	for i := range 150 {
		for k := range 100 {
			take(t, m, epoch.Add(time.Duration(i)*time.Second), fmt.Sprint("k", k), everyKind(), 1)
		}
		if err := j.Flush(epoch.Add(time.Duration(i) * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 2*smallJournal {
		t.Errorf("%d bytes (%v) for 100 counters", info.Size(), err)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	j.Close(epoch)
}

// The law: whatever was taken, a restart changes nothing of what is answered.
func TestARestartChangesNoAnswer(t *testing.T) {
	t.Parallel() // it waits for the disk
	folder := t.TempDir()
	round := 0
	rapid.Check(t, func(r *rapid.T) {
		round++
		path := filepath.Join(folder, fmt.Sprint(round))
		j, kept, _ := openJournal(t, path, epoch)
		plain, now := NewMemory(), epoch
		for range rapid.IntRange(1, 40).Draw(r, "takes") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(r, "wait")) * time.Millisecond)
			credential := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "credential")
			hits := rapid.Uint64Range(0, 40).Draw(r, "hits")
			if got, want := take(t, kept, now, credential, everyKind(), hits), take(t, plain, now, credential, everyKind(), hits); got != want {
				r.Fatalf("%+v, without restarts %+v", got, want)
			}
			if rapid.IntRange(0, 4).Draw(r, "restart") == 0 {
				if err := j.Close(now); err != nil {
					r.Fatal(err)
				}
				var lost error
				if j, kept, lost = openJournal(t, path, now); lost != nil || j.Waiting() {
					r.Fatalf("opened again: lost %v, waiting %v", lost, j.Waiting())
				}
			}
		}
		j.Close(now)
	})
}

func FuzzJournal(f *testing.F) {
	f.Add([]byte(journalHeader))
	f.Add([]byte(journalHeader + "\x00\x00\x00\x00\x00\x00\x00\x00"))
	m := NewMemory()
	m.shards[0].kept = true
	take(f, m, epoch, "k1", everyKind(), 5)
	var batch, file bytes.Buffer
	file.WriteString(journalHeader)
	for i := range m.shards {
		m.shards[i].all(&batch, epoch.Unix())
	}
	if _, err := writeBatch(&file, &batch); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m := NewMemory()
		m.restore(bytes.NewReader(b), epoch.Unix()) // never panics; and what it took serves
		take(t, m, epoch, "k1", everyKind(), 1)
		var counters bytes.Buffer
		counters.Write(b)
		for counters.Len() > 0 && m.restoreCounter(&counters, epoch.Unix()) == nil {
		}
		take(t, m, epoch, "k1", everyKind(), 1)
	})
}

// A million counters, each of a key with a minute's and an hour's window: how
// many bytes each takes, and what it costs to keep them.
func BenchmarkMillionCounters(b *testing.B) {
	for b.Loop() {
		m := NewMemory()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		charges := perMinuteAndHour(1<<40, 1<<41)
		for i := range 1_000_000 {
			take(b, m, epoch, fmt.Sprintf("key_%012d", i), charges, 1)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(m.Len()), "B/counter")
		m.Sweep(epoch.Add(2 * time.Hour))
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))/1e6, "B/swept-counter")
		runtime.KeepAlive(m)
	}
}

// A file that was taken over and cannot be written yet is not read twice, and
// what could not be written is written later.
func TestAJournalThatCannotBeWritten(t *testing.T) {
	// Too long a name for any file beside it.
	path := filepath.Join(t.TempDir(), strings.Repeat("c", 252))
	m := NewMemory()
	take(t, m, epoch, "k1", everyKind(), 5)
	var file, batch bytes.Buffer
	file.WriteString(journalHeader)
	for i := range m.shards {
		m.shards[i].all(&batch, epoch.Unix())
	}
	if _, err := writeBatch(&file, &batch); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	want := standings(t, m, epoch, "k1")
	after := NewMemory()
	j := &Journal{memory: after, path: path}
	for range 3 {
		if err := j.tend(epoch); err == nil {
			t.Fatal("it was written")
		}
	}
	if got := standings(t, after, epoch, "k1"); got != want {
		t.Errorf("after three tries:\n%swant\n%s", got, want)
	}
	j.path = filepath.Join(filepath.Dir(path), "short")
	if err := j.tend(epoch); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(epoch); err != nil {
		t.Fatal(err)
	}
	again, m, lost := openJournal(t, j.path, epoch)
	t.Cleanup(func() { again.Close(epoch) })
	if got := standings(t, m, epoch, "k1"); got != want || lost != nil {
		t.Errorf("read again (%v):\n%swant\n%s", lost, got, want)
	}
}
