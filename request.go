package sallyport

// Chain says how Envoy asks: with two filters, or with one.
type Chain uint8

const (
	// ChainUnset leaves the choice to the policy; there it means Paired.
	ChainUnset Chain = iota
	// Paired is ext_authz followed by the ratelimit filter: Check identifies
	// the caller, ShouldRateLimit takes the quota.
	Paired
	// Fused is ext_authz alone: Check takes the quota itself.
	Fused
	// PerListener is for routes that listeners share, of which not all may have our
	// filters: the gRPC metadata of the call, which the listener's ext_authz filter
	// writes, says which. A request of which nothing did is Fused, and neither its
	// sid nor its SourceHeader is believed: a client may have written them. For
	// context extensions only.
	PerListener
)

// ChainMetadata is the name in a call's gRPC metadata by which a listener's ext_authz
// filter says its chain to routes that are PerListener. No client can write it.
const ChainMetadata = "x-sallyport-chain"

// String returns the chain's name in configuration and context extensions.
func (c Chain) String() string {
	switch c {
	case Paired:
		return "paired"
	case Fused:
		return "fused"
	case PerListener:
		return "listener"
	}
	return ""
}

// ParseChain is the inverse of String; anything else is ChainUnset, false.
func ParseChain(s string) (Chain, bool) {
	switch s {
	case "paired":
		return Paired, true
	case "fused":
		return Fused, true
	case "listener":
		return PerListener, true
	}
	return ChainUnset, false
}

// Header is one header line of a request. Name is in lower case; a header
// that was sent twice is two of them where Envoy keeps them apart.
type Header struct{ Name, Value string }

// Request is what a decision is made on: one HTTP request as the proxy vouches
// for it. Its strings may share one backing array; they stay valid for good.
type Request struct {
	API     string // the route's context extension "api"; "" leaves it to Host
	Chain   Chain  // the route's context extension "chain"; ChainUnset leaves it to the policy
	Method  string // as sent, not upper-cased: methods are case-sensitive (RFC 9110 §9.1)
	Host    string // as sent: may carry a port, a trailing dot, upper case
	Path    string // as the upstream will see it, without the query
	Query   string // without the question mark
	Headers []Header
	Source  string // the connection's address, without port
	Body    string // only where the route asks Envoy to send it; may be cut short
	// SourceHeader is the route's context extension "source": the header in which
	// the proxy itself tells the client's address, where it trusts proxies before
	// it; "" means Source.
	SourceHeader string
	Size         int64 // the whole body's length where known, else -1 or 0
}

// Client returns the address of whoever sent r, as the proxy vouches for it; ""
// where it does not.
func (r *Request) Client() string {
	if r.SourceHeader == "" {
		return r.Source
	}
	address, lines := r.Header(r.SourceHeader)
	if lines != 1 || r.Chain == PerListener {
		return ""
	}
	return address
}

// SIDHeader is where the proxy writes its own word for a request's stream.
const SIDHeader = "x-sallyport-sid"

// SID returns the proxy's own word for r's stream, which is the same when it asks
// about r again; "" where it did not say one.
func (r *Request) SID() string {
	sid, lines := r.Header(SIDHeader)
	if lines != 1 || r.Chain == PerListener {
		return ""
	}
	return sid
}

// Header returns the first value of the header name (lower case), and how many
// lines carry it.
func (r *Request) Header(name string) (value string, lines int) {
	for i := range r.Headers {
		if r.Headers[i].Name == name {
			if lines == 0 {
				value = r.Headers[i].Value
			}
			lines++
		}
	}
	return value, lines
}
