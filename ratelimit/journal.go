package ratelimit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/sallyport/sallyport"
)

// Journal keeps Memory's counters in a file, so that they outlive the process:
// all of them over a graceful end, and all but the last second's over any
// other. What changed is appended every flushEvery; a file that has grown well
// beyond what is live is written anew beside and renamed over.
//
// The file is a header and batches, each with its length and checksum: a batch
// that was cut off ends the reading, and loses what came after it.
type Journal struct {
	memory *Memory
	path   string
	file   *os.File
	size   int64 // of file
	live   int64 // what a whole writing would need, when it was last done
	missed bool  // a writing failed: what it would have told is not known any more
}

const (
	journalHeader = "sallyport counters 1\n"
	flushEvery    = time.Second
	smallJournal  = 4 << 20 // bytes, below which a file is not written anew
	batchSize     = 256 << 10
)

// OpenJournal reads the counters of the file at path into memory and keeps
// memory's changes there from then on. A file that is not whole is read as far
// as it goes: lost says why the rest was not.
//
// While another process has the file, such as the one that this one is to
// follow, the journal waits for its end: what that has counted is then added to
// what was counted here meanwhile.
func OpenJournal(path string, memory *Memory, now time.Time) (j *Journal, lost, err error) {
	j = &Journal{memory: memory, path: path}
	if lost, err = j.adopt(now); err != nil {
		if j.file != nil {
			release(j.file)
		}
		return nil, nil, err
	}
	return j, lost, nil
}

// Waiting reports whether another process has the file.
func (j *Journal) Waiting() bool { return j.file == nil }

// adopt takes the file over, if nobody else has it.
func (j *Journal) adopt(now time.Time) (lost, err error) {
	file, err := os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	if lock(file) != nil {
		return nil, file.Close()
	}
	before := NewMemory()
	lost = before.restore(bufio.NewReaderSize(file, 1<<20), now.Unix())
	for i := range j.memory.shards {
		j.memory.shards[i].keep()
	}
	j.memory.merge(before)
	j.file = file // ours from here on, also where it cannot be written yet
	j.removeLeftovers()
	return lost, j.rewrite(now)
}

// removeLeftovers removes what a process that was killed while it wrote has left.
func (j *Journal) removeLeftovers() {
	left, err := filepath.Glob(j.path + leftover)
	if err != nil {
		return
	}
	for _, path := range left {
		os.Remove(path) // of nobody: whoever writes has the lock that we have
	}
}

const leftover = ".new-*"

// lock fails where another process has f, also where that has put another file
// in its place since it was opened.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Stat(f.Name()); err != nil || !os.SameFile(opened, there) {
		return errReplaced
	}
	return nil
}

var errReplaced = errors.New("the file was replaced")

// release unlocks f and closes it. To close it is not enough: a command that is
// being started just now has f too, until it is executed, and the lock with it.
func release(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// Run appends what changes until ctx ends. now tells the time. Failures are told
// to failed, and tried again.
func (j *Journal) Run(ctx context.Context, now func() time.Time, failed func(error)) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := j.tend(now()); err != nil {
				failed(err)
			}
		}
	}
}

func (j *Journal) tend(now time.Time) error {
	if j.Waiting() {
		lost, err := j.adopt(now)
		return errors.Join(lost, err)
	}
	return j.Flush(now)
}

// Close writes what changed last and closes the file.
func (j *Journal) Close(now time.Time) error {
	if j.Waiting() {
		if lost, err := j.adopt(now); err != nil || j.Waiting() {
			return errors.Join(lost, err)
		}
	}
	return errors.Join(j.Flush(now), j.file.Sync(), release(j.file))
}

// Flush appends what changed since the last one.
func (j *Journal) Flush(now time.Time) error {
	if j.Waiting() {
		return nil
	}
	if j.missed || j.size > max(smallJournal, 4*j.live) {
		return j.rewrite(now)
	}
	var batch bytes.Buffer
	for i := range j.memory.shards {
		j.memory.shards[i].changed(&batch)
		if batch.Len() > batchSize {
			if err := j.append(&batch); err != nil {
				return err
			}
		}
	}
	return j.append(&batch)
}

// append writes batch to the file and empties it.
func (j *Journal) append(batch *bytes.Buffer) error {
	n, err := writeBatch(j.file, batch)
	j.size += n
	if err != nil {
		// What was half written would end the next reading here.
		j.size -= n
		j.missed = true
		return errors.Join(fmt.Errorf("counters: %w", err), j.file.Truncate(j.size), seekTo(j.file, j.size))
	}
	return nil
}

func seekTo(f *os.File, at int64) error {
	_, err := f.Seek(at, io.SeekStart)
	return err
}

func writeBatch(w io.Writer, batch *bytes.Buffer) (int64, error) {
	defer batch.Reset()
	if batch.Len() == 0 {
		return 0, nil
	}
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(batch.Len()))
	binary.LittleEndian.PutUint32(head[4:], crc32.ChecksumIEEE(batch.Bytes()))
	n, err := w.Write(head[:])
	if err != nil {
		return int64(n), err
	}
	m, err := w.Write(batch.Bytes())
	return int64(n + m), err
}

// rewrite writes all live counters to a new file and puts it in the old one's
// place.
func (j *Journal) rewrite(now time.Time) (err error) {
	j.missed = true
	next, err := os.CreateTemp(filepath.Dir(j.path), filepath.Base(j.path)+leftover)
	if err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	defer func() {
		if err != nil {
			next.Close()
			os.Remove(next.Name())
			err = fmt.Errorf("counters: %w", err)
		}
	}()
	if err := lock(next); err != nil { // before it has the name that others look for
		return err
	}
	w := bufio.NewWriterSize(next, 1<<20)
	size := int64(len(journalHeader))
	if _, err := w.WriteString(journalHeader); err != nil {
		return err
	}
	var batch bytes.Buffer
	for i := range j.memory.shards {
		j.memory.shards[i].all(&batch, now.Unix())
		n, err := writeBatch(w, &batch)
		if err != nil {
			return err
		}
		size += n
	}
	if err := errors.Join(w.Flush(), next.Sync()); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), j.path); err != nil {
		return err
	}
	j.file.Close() // and with it its lock: the new one has its own
	j.file, j.size, j.live, j.missed = next, size, size, false
	return nil
}

// changed appends the counters that changed since the last look.
func (s *shard) changed(batch *bytes.Buffer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.touched {
		c.touched = false
		c.appendTo(batch)
	}
	s.touched = s.touched[:0]
}

// all appends every counter that still matters.
func (s *shard) all(batch *bytes.Buffer, second int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.counters {
		c.touched = false
		if !c.dead(second) {
			c.appendTo(batch)
		}
	}
	s.touched = s.touched[:0]
}

// keep makes s note what changes. What it holds already has changed.
func (s *shard) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = true
	for _, c := range s.counters {
		s.touchLocked(c)
	}
}

// merge adds what before has counted to m.
func (m *Memory) merge(before *Memory) {
	for i := range before.shards {
		for _, c := range before.shards[i].counters {
			m.shard([]byte(c.key)).merge(c)
		}
	}
}

func (s *shard) merge(c *counter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.counters[c.key]
	if known == nil {
		s.counters[c.key] = c
		s.touchLocked(c)
		return
	}
	for i := range c.slots {
		known.slot(c.slots[i].kind).merge(&c.slots[i])
	}
	s.touchLocked(known)
}

// merge adds what o has counted of the same window.
func (s *slot) merge(o *slot) {
	switch {
	case s.kind.algorithm() != sallyport.Fixed:
		s.marks = s.marks.merge(o.marks)
		s.start, s.used = max(s.start, o.start), plus(s.used, o.used)
	case s.start == o.start:
		s.used = plus(s.used, o.used)
	case s.start < o.start:
		s.start, s.used = o.start, o.used
	}
}

func (m *marks) merge(o *marks) *marks {
	if m == nil || o == nil {
		return cmp.Or(m, o)
	}
	all := &marks{list: append(m.list, o.list...), total: plus(m.total, o.total)}
	slices.SortStableFunc(all.list, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	return all
}

// appendTo writes c: its key, and its slots.
func (c *counter) appendTo(batch *bytes.Buffer) {
	b := batch.AvailableBuffer()
	b = appendPart(b, c.key)
	b = binary.AppendUvarint(b, uint64(len(c.slots)))
	for i := range c.slots {
		s := &c.slots[i]
		b = binary.AppendUvarint(b, uint64(s.kind))
		b = binary.AppendVarint(b, s.start)
		b = binary.AppendUvarint(b, s.used)
		if s.marks == nil {
			b = binary.AppendUvarint(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(s.marks.list)))
		for _, m := range s.marks.list {
			b = binary.AppendVarint(b, m.at)
			b = binary.AppendUvarint(b, m.hits)
		}
	}
	batch.Write(b)
}

var errJournal = errors.New("counters: the file is damaged")

// restore reads what a journal wrote. An empty file is no error.
func (m *Memory) restore(r io.Reader, second int64) error {
	header := make([]byte, len(journalHeader))
	switch _, err := io.ReadFull(r, header); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil || string(header) != journalHeader:
		return fmt.Errorf("%w: it does not begin as one of ours", errJournal)
	}
	for {
		var head [8]byte
		switch _, err := io.ReadFull(r, head[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%w: it ends in the middle", errJournal)
		}
		batch := new(bytes.Buffer)
		if _, err := io.CopyN(batch, r, int64(binary.LittleEndian.Uint32(head[:4]))); err != nil {
			return fmt.Errorf("%w: it ends in the middle", errJournal)
		}
		if crc32.ChecksumIEEE(batch.Bytes()) != binary.LittleEndian.Uint32(head[4:]) {
			return fmt.Errorf("%w: a checksum is wrong", errJournal)
		}
		for batch.Len() > 0 {
			if err := m.restoreCounter(batch, second); err != nil {
				return err
			}
		}
	}
}

// restoreCounter reads one counter, in place of what was known of it.
func (m *Memory) restoreCounter(r *bytes.Buffer, second int64) error {
	in := reader{Buffer: r}
	key := in.bytes(in.uint())
	c := newCounter(key)
	for range in.count() {
		s := slot{kind: kind(in.uint()), start: in.int(), used: in.uint()}
		if n := in.count(); n > 0 {
			s.marks = &marks{list: make([]mark, 0, n)}
			for range n {
				one := mark{in.int(), in.uint()}
				s.marks.list = append(s.marks.list, one)
				s.marks.total = plus(s.marks.total, one.hits)
			}
		}
		c.slots = append(c.slots, s)
	}
	if in.failed {
		return fmt.Errorf("%w: a counter cannot be read", errJournal)
	}
	shard := m.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if c.dead(second) {
		delete(shard.counters, c.key)
	} else {
		shard.counters[c.key] = c
	}
	return nil
}

// reader reads numbers; once one cannot be read all further ones are 0.
type reader struct {
	*bytes.Buffer
	failed bool
}

func (r *reader) uint() uint64 {
	n, err := binary.ReadUvarint(r.Buffer)
	r.failed = r.failed || err != nil
	return n
}

func (r *reader) int() int64 {
	n, err := binary.ReadVarint(r.Buffer)
	r.failed = r.failed || err != nil
	return n
}

// count reads how many follow, each of at least a byte.
func (r *reader) count() int {
	n := r.uint()
	if r.failed || n > uint64(r.Len()) {
		r.failed = true
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(r.Len()) {
		r.failed = true
		return nil
	}
	return r.Next(int(n))
}
