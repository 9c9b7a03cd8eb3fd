package wire

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Message is one call that reads and writes its own bytes: what a handler gives
// grpc-go to decode into, and gives back as the answer.
type Message interface {
	// Read takes the question in; msg may be reused afterwards. What is wrong
	// with it is the handler's to answer: an error of a codec would reach Envoy
	// as a bare gRPC status.
	Read(msg []byte)

	// Append adds the answer to dst.
	Append(dst []byte) []byte

	// Release is called when the answer has been encoded, which grpc-go does
	// once: the call may be used again.
	Release()
}

// Codec returns the codec of a server with services whose calls are Messages,
// for grpc.ForceServerCodecV2. Those of every other service go to the standard
// codec.
//
// A Message is used again once its answer is encoded, while grpc-go still shows
// it to a stats handler (as the payload) and, where grpc.EnableTracing is set,
// to its tracer. Such a handler must leave Messages alone.
func Codec() encoding.CodecV2 {
	return codec{encoding.GetCodecV2(proto.Name)}
}

type codec struct{ encoding.CodecV2 }

// usualBuffer is what Marshal asks the pool for: a size that the pool keeps, and
// that all but the longest bodies fit into. A longer answer grows it.
const usualBuffer = 4 << 10

// Marshal encodes the answer of a Message and releases it.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(Message)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(usualBuffer)
	*buf = m.Append((*buf)[:0])
	m.Release()
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// Unmarshal has a Message read the question.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(Message)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	m.Read(whole.ReadOnlyData())
	return nil
}
