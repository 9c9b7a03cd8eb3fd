package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	receiveWindow = 16 << 20 // as Envoy's default for a connection to a server is: refilled rarely
	fullEvery     = 100      // one answer in so many is decoded in full
)

// conn is one HTTP/2 connection with a fixed number of calls in flight, driven
// by one goroutine. It reads all that has arrived, answers it with new calls,
// and sends those in one write, as an event loop such as Envoy's does. It
// allocates nothing per call, so that it does not take CPU from the server.
type conn struct {
	socket net.Conn
	in     *bufio.Reader
	out    *bufio.Writer
	framer *http2.Framer
	heads  *hpack.Decoder

	exchange exchange
	first    []byte // header block of the first call, which fills the server's table
	block    []byte // header block of all others

	calls      []call
	nextID     uint32
	sendWindow int64
	most       int    // calls in flight that the server allows
	received   uint32 // since the last refill of the receive window
	answers    uint64
}

// exchange is a kind of call: what is sent, and what must come back. It belongs
// to one connection.
type exchange interface {
	path() string
	next() []byte               // the next request with its length prefix, valid until the following call
	quick(message []byte) error // says why an answer is not good; allocates nothing
	full(message []byte) error  // the same, with the generated types
}

// call is one call in flight.
type call struct {
	id         uint32 // 0: none
	httpStatus string
	grpcStatus string
	grpcText   string
	message    []byte // with its length prefix
}

// dial connects to a server on the loopback interface, or at the path of a Unix
// socket, and exchanges settings. streams calls at a time will be in flight.
func dial(ctx context.Context, address string, streams int, x exchange) (*conn, error) {
	network := "tcp"
	if filepath.IsAbs(address) {
		network = "unix"
	}
	var dialer net.Dialer
	socket, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{
		socket:     socket,
		in:         bufio.NewReaderSize(socket, 256<<10),
		out:        bufio.NewWriterSize(socket, 256<<10),
		exchange:   x,
		calls:      make([]call, streams),
		nextID:     1,
		sendWindow: 65535,
	}
	c.framer = http2.NewFramer(c.out, c.in)
	c.framer.SetReuseFrames()
	c.heads = hpack.NewDecoder(4096, nil)
	c.first, c.block = headerBlocks(x.path(), 5*time.Second)
	if err := c.greet(); err != nil {
		socket.Close()
		return nil, fmt.Errorf("greet %s: %w", address, err)
	}
	return c, nil
}

// headerBlocks encodes what Envoy sends ahead of a call for which it waits so
// long. All but the path is in the server's table from the second call on; paths
// are not indexed by Envoy's encoder, here by the flag that keeps them out of tables.
func headerBlocks(path string, timeout time.Duration) (first, later []byte) {
	millis := strconv.FormatInt(timeout.Milliseconds(), 10)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encode := func() []byte {
		block.Reset()
		for _, f := range []hpack.HeaderField{
			{Name: ":method", Value: "POST"},
			{Name: ":path", Value: path, Sensitive: true},
			{Name: ":scheme", Value: "http"},
			{Name: ":authority", Value: "sallyport"},
			{Name: "te", Value: "trailers"},
			{Name: "grpc-timeout", Value: millis + "m"},
			{Name: "content-type", Value: "application/grpc"},
			{Name: "x-envoy-internal", Value: "true"},
			{Name: "x-forwarded-for", Value: "192.0.2.2"},
			{Name: "x-envoy-expected-rq-timeout-ms", Value: millis},
		} {
			encoder.WriteField(f) // a bytes.Buffer does not fail
		}
		return bytes.Clone(block.Bytes())
	}
	return encode(), encode()
}

// greet sends the preface and waits for the server's settings.
func (c *conn) greet() error {
	c.socket.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c.out, http2.ClientPreface)
	c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: receiveWindow})
	c.framer.WriteWindowUpdate(0, receiveWindow-65535)
	if err := c.out.Flush(); err != nil {
		return err
	}
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return err
	}
	settings, ok := frame.(*http2.SettingsFrame)
	if !ok || settings.IsAck() {
		return fmt.Errorf("the server opens with %v", frame)
	}
	c.most = math.MaxInt32
	if most, ok := settings.Value(http2.SettingMaxConcurrentStreams); ok {
		c.most = int(min(most, math.MaxInt32))
	}
	if c.most < len(c.calls) {
		return fmt.Errorf("the server allows %d streams, want %d", c.most, len(c.calls))
	}
	return c.framer.WriteSettingsAck()
}

func (c *conn) close() { c.socket.Close() }

// run makes calls, as many at a time as c was made for, until budget is used
// up and all are answered. Connections share a budget so that they end
// together. Any answer but an OK is an error, and ends c.
func (c *conn) run(budget *atomic.Int64, deadline time.Time) error {
	c.socket.SetDeadline(deadline)
	open := 0
	for i := range c.calls {
		if budget.Add(-1) < 0 {
			break
		}
		if err := c.start(&c.calls[i]); err != nil {
			return err
		}
		open++
	}
	for open > 0 {
		done, err := c.read()
		if err != nil {
			return err
		}
		if done == nil {
			continue
		}
		if err := c.finish(done); err != nil {
			return err
		}
		if budget.Add(-1) < 0 {
			open--
		} else if err := c.start(done); err != nil {
			return err
		}
	}
	return c.out.Flush()
}

// start writes one request to the buffer.
func (c *conn) start(one *call) error {
	body := c.exchange.next()
	if c.sendWindow -= int64(len(body)); c.sendWindow < 0 {
		return errors.New("the server's connection window is used up: it does not refill it")
	}
	if c.nextID >= 1<<31-2 {
		return errors.New("the connection's stream numbers are used up")
	}
	*one = call{id: c.nextID, message: one.message[:0]}
	c.nextID += 2
	block := c.block
	if one.id == 1 {
		block = c.first
	}
	err := c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: one.id, BlockFragment: block, EndHeaders: true})
	if err != nil {
		return err
	}
	return c.framer.WriteData(one.id, true, body)
}

// finish checks the answer to one call.
func (c *conn) finish(one *call) error {
	if one.httpStatus != "200" || one.grpcStatus != "0" {
		return fmt.Errorf("stream %d: http status %q, grpc status %q %q", one.id, one.httpStatus, one.grpcStatus, one.grpcText)
	}
	if len(one.message) < 5 || one.message[0] != 0 || binary.BigEndian.Uint32(one.message[1:]) != uint32(len(one.message)-5) {
		return fmt.Errorf("stream %d: not one whole uncompressed message:\n%s", one.id, dump(one.message))
	}
	message := one.message[5:]
	err := c.exchange.quick(message)
	if err == nil && c.answers%fullEvery == 0 {
		err = c.exchange.full(message)
	}
	if err != nil {
		return fmt.Errorf("stream %d: %w\n%s", one.id, err, dump(message))
	}
	c.answers++
	return nil
}

// read takes in one frame and returns the call that it ended, if any.
func (c *conn) read() (*call, error) {
	if !c.frameWaiting() {
		if err := c.out.Flush(); err != nil {
			return nil, err
		}
	}
	frame, err := c.framer.ReadFrame()
	if err != nil {
		return nil, err
	}
	switch f := frame.(type) {
	case *http2.DataFrame:
		return c.data(f)
	case *http2.HeadersFrame:
		return c.headers(f)
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.sendWindow += int64(f.Increment)
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return nil, c.framer.WritePing(true, f.Data)
		}
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return nil, c.framer.WriteSettingsAck()
		}
	default:
		return nil, fmt.Errorf("the server sent %v", frame)
	}
	return nil, nil
}

// frameWaiting reports whether a whole frame is in the buffer, so that reading
// it does not wait.
func (c *conn) frameWaiting() bool {
	const head = 9
	if c.in.Buffered() < head {
		return false
	}
	b, err := c.in.Peek(3)
	return err == nil && c.in.Buffered() >= head+int(b[0])<<16+int(b[1])<<8+int(b[2])
}

func (c *conn) data(f *http2.DataFrame) (*call, error) {
	one, err := c.find(f.StreamID)
	if err != nil {
		return nil, err
	}
	one.message = append(one.message, f.Data()...)
	if c.received += f.Length; c.received > receiveWindow/2 {
		if err := c.framer.WriteWindowUpdate(0, c.received); err != nil {
			return nil, err
		}
		c.received = 0
	}
	if f.StreamEnded() {
		return one, nil
	}
	return nil, nil
}

func (c *conn) headers(f *http2.HeadersFrame) (*call, error) {
	one, err := c.find(f.StreamID)
	if err != nil {
		return nil, err
	}
	if !f.HeadersEnded() {
		return nil, errors.New("the server split a header block")
	}
	c.heads.SetEmitFunc(one.field)
	if _, err := c.heads.Write(f.HeaderBlockFragment()); err != nil {
		return nil, err
	}
	if err := c.heads.Close(); err != nil {
		return nil, err
	}
	if f.StreamEnded() {
		return one, nil
	}
	return nil, nil
}

func (one *call) field(f hpack.HeaderField) {
	switch f.Name {
	case ":status":
		one.httpStatus = f.Value
	case "grpc-status":
		one.grpcStatus = f.Value
	case "grpc-message":
		one.grpcText = f.Value
	}
}

func (c *conn) find(id uint32) (*call, error) {
	for i := range c.calls {
		if c.calls[i].id == id {
			return &c.calls[i], nil
		}
	}
	return nil, fmt.Errorf("the server answers stream %d, which is not open", id)
}
