package extauthz

import (
	"sync"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/render"
)

// call is one Check from its bytes to its answer's bytes: a wire.Message.
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

// Read decodes Envoy's question.
func (c *call) Read(msg []byte) { c.malformed = decodeCheck(msg, &c.Request) }

// Append encodes the answer.
func (c *call) Append(dst []byte) []byte { return c.reply.append(dst) }

// Release empties c and puts it back. A call whose answer is encoded is
// released; one that the handler does not return as its answer, the handler
// releases.
func (c *call) Release() {
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
