package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

const (
	floodDeadline = time.Second
	floodLanes    = 16      // Envoy opens another where one has all the calls that it may have
	laneInFlight  = 4096    // so many calls of a lane wait for an answer at a time
	laneSlots     = 1 << 15 // a power of two: more calls than come to a lane within a deadline
	strangerEvery = 8       // one caller in so many shows a key that nobody has
)

// flood makes calls at a pace that does not depend on answers, as many clients of
// an Envoy do, over a few connections. Each is given up at its deadline, as
// Envoy does, and at any time a bounded number is on its way: what is due beyond is
// not made.
type flood struct {
	alarm *alarm
	lanes []*lane
	ended sync.WaitGroup // the readers and writers
	next  int            // the lane of the next call
}

// lane is a connection of a flood. One goroutine reads, one writes, and neither
// they nor the flood wait for each other: what the server does not take in yet
// lies in a buffer, as it does in Envoy.
type lane struct {
	*conn
	frames           *http2.Framer // writes to buffer
	buffer           bytes.Buffer  // the flood's own: frames that flush hands over
	known, strangers *stencil
	turn             int
	oldest           uint32 // stream that may not be done
	wake             chan struct{}

	mu      sync.Mutex // guards the following
	unsent  []byte
	slots   []slot // by stream
	open    int
	tallies []*tally // by phase
	granted int64    // bytes that may be sent besides sendWindow
	refill  uint32   // bytes to be granted to the server
	pings   [][8]byte
	acks    int
	judged  int
	fault   error
}

// slot is one call on its way.
type slot struct {
	call
	phase    int
	due      time.Time
	stranger bool
	whole    bool // its message was taken in, and judged
	judged   ending
}

// newFlood connects to the server at address. It is closed by close.
func newFlood(ctx context.Context, address string, keys, strangers []string) (*flood, error) {
	alarm, err := newAlarm()
	if err != nil {
		return nil, err
	}
	f := &flood{alarm: alarm}
	for i := range floodLanes {
		l, err := newLane(ctx, address, keys, strangers, uint64(i))
		if err != nil {
			f.close()
			return nil, err
		}
		f.lanes = append(f.lanes, l)
		f.ended.Go(l.readAll)
		f.ended.Go(l.writeAll)
	}
	return f, nil
}

func newLane(ctx context.Context, address string, keys, strangers []string, seed uint64) (l *lane, err error) {
	l = &lane{slots: make([]slot, laneSlots), oldest: 1, wake: make(chan struct{}, 1)}
	l.frames = http2.NewFramer(&l.buffer, nil)
	if l.known, err = newStencil(keys, true, 2*seed); err != nil {
		return nil, err
	}
	if l.strangers, err = newStencil(strangers, true, 2*seed+1); err != nil {
		return nil, err
	}
	if l.conn, err = dial(ctx, address, 0, l.known); err != nil {
		return nil, err
	}
	if err := errors.Join(l.out.Flush(), l.socket.SetDeadline(time.Time{})); err != nil { // dial leaves an ack
		l.close()
		return nil, err
	}
	l.first, l.block = headerBlocks(l.known.path(), floodDeadline)
	return l, nil
}

// interrupt ends the connections, and so whatever waits for them.
func (f *flood) interrupt() {
	for _, l := range f.lanes {
		l.close()
	}
}

// close ends the connections and waits for their readers and writers.
func (f *flood) close() {
	f.interrupt()
	for _, l := range f.lanes {
		close(l.wake)
	}
	f.ended.Wait()
	f.alarm.close()
}

// pour makes so many calls a second for so long, and returns the phase under which
// they are counted. They may be answered after it has returned.
func (f *flood) pour(ctx context.Context, rate float64, long time.Duration) (phase int, err error) {
	const beat = time.Millisecond
	for _, l := range f.lanes {
		phase = l.newPhase()
	}
	begin := time.Now()
	at := func(i int) time.Time { return begin.Add(time.Duration(float64(i) / rate * float64(time.Second))) }
	for i, calls := 0, int(rate*long.Seconds()); i < calls; {
		now := time.Now()
		for ; i < calls && !at(i).After(now); i++ {
			if err := f.lanes[f.next].send(phase, at(i), now); err != nil {
				return phase, err
			}
			f.next = (f.next + 1) % len(f.lanes)
		}
		if err := f.flush(now); err != nil {
			return phase, err
		}
		if ctx.Err() != nil {
			return phase, ctx.Err()
		}
		if err := f.alarm.wait(now.Add(beat)); err != nil {
			return phase, err
		}
	}
	return phase, nil
}

// settle waits until every call is answered or given up.
func (f *flood) settle() error {
	for {
		now, open := time.Now(), 0
		if err := f.flush(now); err != nil {
			return err
		}
		for _, l := range f.lanes {
			l.mu.Lock()
			open += l.open
			l.mu.Unlock()
		}
		if open == 0 {
			return nil
		}
		if err := f.alarm.wait(now.Add(5 * time.Millisecond)); err != nil {
			return err
		}
	}
}

// tally is what has come of the calls of a phase.
func (f *flood) tally(phase int) *tally {
	sum := newTally(floodDeadline)
	for _, l := range f.lanes {
		l.mu.Lock()
		sum.merge(l.tallies[phase])
		l.mu.Unlock()
	}
	return sum
}

// flush has what was written sent, gives up what is late, and tells of a fault.
func (f *flood) flush(now time.Time) error {
	for _, l := range f.lanes {
		if err := l.tend(now); err != nil {
			return err
		}
	}
	return nil
}

func (l *lane) newPhase() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tallies = append(l.tallies, newTally(floodDeadline))
	return len(l.tallies) - 1
}

func (l *lane) slot(id uint32) *slot { return &l.slots[id/2%laneSlots] }

// send writes a call that was due, where it may still be made.
func (l *lane) send(phase int, due, now time.Time) error {
	if l.nextID >= 1<<31-2 {
		return errors.New("the connection's stream numbers are used up")
	}
	from, stranger := l.known, l.turn%strangerEvery == 0
	if stranger {
		from = l.strangers
	}
	l.turn++
	body := from.next()
	if !l.admit(phase, len(body), due, now, stranger) {
		return nil
	}
	id, block := l.nextID, l.block
	if id == 1 {
		block = l.first
	}
	l.nextID += 2
	if err := l.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}); err != nil {
		return err
	}
	return l.frames.WriteData(id, true, body)
}

// admit takes a slot for the next call, or counts why it is not made.
func (l *lane) admit(phase, size int, due, now time.Time, stranger bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sendWindow, l.granted = l.sendWindow+l.granted, 0
	s := l.slot(l.nextID)
	switch {
	case now.Sub(due) > floodDeadline: // this program was held up for so long
		l.tallies[phase].calls[late]++
		return false
	case l.open >= min(laneInFlight, l.most) || s.id != 0 || l.sendWindow < int64(size):
		l.tallies[phase].calls[unsent]++
		return false
	}
	l.sendWindow -= int64(size)
	*s = slot{call: call{id: l.nextID, message: s.message[:0]}, phase: phase, due: due, stranger: stranger}
	l.open++
	return true
}

// tend hands over to the writer the calls that were made and what is due besides:
// that some are given up, and what the reader has to say to the server.
func (l *lane) tend(now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	for ; l.oldest < l.nextID; l.oldest += 2 {
		s := l.slot(l.oldest)
		if s.id != l.oldest {
			continue
		}
		if now.Sub(s.due) < floodDeadline {
			break
		}
		l.endLocked(s, late, now)
		if err := l.frames.WriteRSTStream(l.oldest, http2.ErrCodeCancel); err != nil {
			return err
		}
	}
	if l.refill > receiveWindow/8 {
		if err := l.frames.WriteWindowUpdate(0, l.refill); err != nil {
			return err
		}
		l.refill = 0
	}
	for ; l.acks > 0; l.acks-- {
		if err := l.frames.WriteSettingsAck(); err != nil {
			return err
		}
	}
	for _, data := range l.pings {
		if err := l.frames.WritePing(true, data); err != nil {
			return err
		}
	}
	l.pings = l.pings[:0]
	if l.buffer.Len() > 0 {
		l.unsent = append(l.unsent, l.buffer.Bytes()...)
		l.buffer.Reset()
		select {
		case l.wake <- struct{}{}:
		default: // it is awake
		}
	}
	return nil
}

// writeAll sends what tend hands over, until wake is closed or the connection ends.
func (l *lane) writeAll() {
	var sending []byte
	for range l.wake {
		l.mu.Lock()
		sending, l.unsent = l.unsent, sending[:0]
		l.mu.Unlock()
		if _, err := l.socket.Write(sending); err != nil {
			l.fail(err)
			return
		}
	}
}

// fail keeps the first fault of the connection.
func (l *lane) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault == nil {
		l.fault = err
	}
}

// endLocked frees the slot of a call of which that has come.
func (l *lane) endLocked(s *slot, o ending, now time.Time) {
	took := now.Sub(s.due)
	if took > floodDeadline {
		o = late
	}
	l.tallies[s.phase].add(o, took)
	s.id = 0
	l.open--
}

// readAll takes in what the server sends until the connection ends.
func (l *lane) readAll() {
	for {
		frame, err := l.framer.ReadFrame()
		l.mu.Lock()
		if err == nil {
			err = l.takeLocked(frame)
		}
		l.mu.Unlock()
		if err != nil {
			l.fail(err)
			return
		}
	}
}

// takeLocked takes in one frame. Frames of calls that were given up are of no
// interest, but for what they change in the connection.
func (l *lane) takeLocked(frame http2.Frame) error {
	id := frame.Header().StreamID
	s := l.slot(id)
	if s.id != id {
		s = nil
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		l.refill += f.Length
		if s == nil {
			return nil
		}
		return l.dataLocked(s, f.Data())
	case *http2.HeadersFrame:
		return l.headersLocked(s, f)
	case *http2.RSTStreamFrame:
		if s == nil {
			return nil
		}
		if f.ErrCode != http2.ErrCodeCancel { // which the server sends at the deadline
			return fmt.Errorf("stream %d: the server resets it: %v", id, f.ErrCode)
		}
		l.endLocked(s, late, time.Now())
	case *http2.WindowUpdateFrame:
		if id == 0 {
			l.granted += int64(f.Increment)
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			l.pings = append(l.pings, f.Data)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			l.acks++
		}
	default:
		return fmt.Errorf("the server sent %v", frame)
	}
	return nil
}

// dataLocked judges the message of s once it is whole, which nearly always is at
// once: then it is not copied.
func (l *lane) dataLocked(s *slot, data []byte) error {
	if len(s.message) > 0 || !wholeMessage(data) {
		s.message = append(s.message, data...)
		data = s.message
	}
	if !wholeMessage(data) {
		return nil
	}
	message := data[5:]
	s.whole, s.judged = true, judge(message, s.stranger)
	l.judged++
	var err error
	switch {
	case s.judged == wrong:
		err = errors.New("this is no answer to the call")
	case l.judged%fullEvery == 0:
		err = judgeWhole(message, s.stranger, s.judged)
	}
	if err != nil {
		return fmt.Errorf("stream %d: %w\n%s", s.id, err, dump(message))
	}
	return nil
}

// wholeMessage reports whether data is one uncompressed message with its prefix.
func wholeMessage(data []byte) bool {
	return len(data) >= 5 && data[0] == 0 && binary.BigEndian.Uint32(data[1:]) == uint32(len(data)-5)
}

// headersLocked takes in headers or trailers. The decoder's table needs those of
// calls that were given up too.
func (l *lane) headersLocked(s *slot, f *http2.HeadersFrame) error {
	var nobody slot
	of := s
	if of == nil {
		of = &nobody
	}
	if !f.HeadersEnded() {
		return errors.New("the server split a header block")
	}
	l.heads.SetEmitFunc(of.field)
	if _, err := l.heads.Write(f.HeaderBlockFragment()); err != nil {
		return err
	}
	if err := l.heads.Close(); err != nil {
		return err
	}
	if s == nil || !f.StreamEnded() {
		return nil
	}
	o := s.ending()
	if o == wrong {
		return fmt.Errorf("stream %d: http status %q, grpc status %q %q", s.id, s.httpStatus, s.grpcStatus, s.grpcText)
	}
	l.endLocked(s, o, time.Now())
	return nil
}

// ending is what came of a call that the server has ended.
func (s *slot) ending() ending {
	const canceled, deadlineExceeded, unavailable = "1", "4", "14"
	switch {
	case s.httpStatus != "200":
		return wrong
	case s.grpcStatus == "0" && s.whole:
		return s.judged
	case s.grpcStatus == canceled, s.grpcStatus == deadlineExceeded:
		return late // it was dropped: the caller did not wait for it any more
	case s.grpcStatus == unavailable && s.grpcText == "overloaded":
		return tooMuch
	}
	return wrong
}
