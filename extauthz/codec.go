package extauthz

import (
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/render"
)

// Codec returns the codec of a server that Check is registered with, for
// grpc.ForceServerCodecV2. It reads and writes Check's messages itself; those
// of every other service go to the standard codec.
//
// A call is used again once its answer is encoded, while grpc-go still shows
// it to a stats handler (as the payload) and, where grpc.EnableTracing is set,
// to its tracer. Such a handler must leave Check's payloads alone.
func Codec() encoding.CodecV2 {
	return codec{encoding.GetCodecV2(proto.Name)}
}

type codec struct{ encoding.CodecV2 }

// usualBuffer is what Marshal asks the pool for: a size that the pool keeps, and
// that all but the longest bodies fit into. A longer answer grows it, once.
const usualBuffer = 4 << 10

// Marshal encodes the answer of a call and releases the call: the handler has
// returned it, and grpc-go encodes an answer once.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	call, ok := v.(*call)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	pool := mem.DefaultBufferPool()
	buf := pool.Get(max(len(call.reply.Body), usualBuffer))
	*buf = call.reply.append((*buf)[:0])
	call.release()
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// Unmarshal decodes Envoy's question into a call. A malformed one is no error
// here, which Envoy would see as a bare gRPC status: the handler answers it.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	call, ok := v.(*call)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	whole := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer whole.Free()
	call.malformed = decodeCheck(whole.ReadOnlyData(), &call.Request)
	return nil
}

// call is one Check from its bytes to its answer's bytes: what the handler
// gives grpc-go to decode into, and gives back as the answer.
type call struct {
	Request   sallyport.Request
	Decision  sallyport.Decision
	reply     reply
	text      render.Text // holds the short strings of the answer
	templated render.Vars
	scopes    []string // what the caller may do, perhaps in scopeList
	scopeList []string
	proofKey  proof.Key
	malformed error // why Request cannot be trusted; the answer must be a refusal
}

// String keeps requests, and the secrets in them, out of whatever prints.
func (*call) String() string { return "check" }

var calls = sync.Pool{New: func() any {
	return &call{Request: sallyport.Request{Headers: make([]sallyport.Header, 0, 32)}}
}}

// newCall returns an empty call, whose answer is a refusal until it is filled.
func newCall() *call { return calls.Get().(*call) }

// release empties c and puts it back. A call that Marshal got is released; one
// that the handler does not return as its answer, the handler releases.
func (c *call) release() {
	clear(c.Request.Headers)
	c.Request = sallyport.Request{Headers: c.Request.Headers[:0]}
	c.Decision.Reset()
	c.reply.reset()
	c.text.Reset()
	c.templated = render.Vars{}
	c.scopes = nil
	clear(c.scopeList)
	c.malformed = nil
	if cap(c.Request.Headers) <= maxKeptLines && c.text.Cap() <= maxKeptText && cap(c.reply.Body) <= maxKeptText {
		calls.Put(c)
	}
}

// What a released call may keep, so that one huge request does not stay in
// the pool for good.
const (
	maxKeptLines = 256
	maxKeptText  = 64 << 10
)
