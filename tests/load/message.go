package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Stand-ins in the encoded message for what differs from request to request.
// Each has the length of what replaces it.
const (
	sidMark       = "11111111-1111-4111-8111-111111111111"
	requestIDMark = "22222222-2222-4222-8222-222222222222"
)

// stencil is one encoded CheckRequest with a gRPC length prefix, and where in it
// the fields stand that are patched for each request. It belongs to one
// connection.
type stencil struct {
	bytes               []byte
	sid, requestID, key int
	keys                []string
	whole               bool // answers must carry a whole decision
	turn                int
	ids                 *rand.PCG
}

// checks makes the exchanges of callers that show one of keys in turn.
func checks(keys []string, whole bool) func(seed uint64) (exchange, error) {
	return func(seed uint64) (exchange, error) { return newStencil(keys, whole, seed) }
}

func (*stencil) path() string { return "/envoy.service.auth.v3.Authorization/Check" }

func (*stencil) quick(message []byte) error { return quickCheck(message) }

func (t *stencil) full(message []byte) error { return fullCheck(message, t.whole) }

// stranger is a stencil whose keys nobody issued: each is to be refused.
type stranger struct{ *stencil }

// strangers makes the exchanges of callers that show one of keys in turn, none of
// which is known.
func strangers(keys []string) func(seed uint64) (exchange, error) {
	return func(seed uint64) (exchange, error) {
		t, err := newStencil(keys, false, seed)
		return stranger{t}, err
	}
}

func (stranger) quick(message []byte) error { return quickRefusal(message) }

func (stranger) full(message []byte) error { return fullRefusal(message) }

// newStencil encodes the request of a caller that shows one of keys in turn.
// All keys must have the same length.
func newStencil(keys []string, whole bool, seed uint64) (*stencil, error) {
	for _, k := range keys {
		if len(k) == 0 || len(k) != len(keys[0]) {
			return nil, errors.New("keys must have one length and not be empty")
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key to send")
	}
	keyMark := strings.Repeat("\x01", len(keys[0]))
	message, err := proto.Marshal(checkRequest(keyMark))
	if err != nil {
		return nil, fmt.Errorf("encode the request: %w", err)
	}
	framed := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	framed = append(framed, message...)
	t := &stencil{bytes: framed, keys: keys, whole: whole, ids: rand.NewPCG(rand.Uint64(), seed)}
	t.sid = bytes.Index(framed, []byte(sidMark))
	t.requestID = bytes.Index(framed, []byte(requestIDMark))
	t.key = bytes.Index(framed, []byte(keyMark))
	return t, nil
}

// next returns the next request. It is valid until the following call.
func (t *stencil) next() []byte {
	t.putUUID(t.sid)
	t.putUUID(t.requestID)
	copy(t.bytes[t.key:], t.keys[t.turn])
	if t.turn++; t.turn == len(t.keys) {
		t.turn = 0
	}
	return t.bytes
}

// putUUID overwrites the hex digits of the UUID at offset and leaves its
// dashes, version and variant.
func (t *stencil) putUUID(offset int) {
	const digits = "0123456789abcdef"
	const places = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx"
	high, low := t.ids.Uint64(), t.ids.Uint64()
	field := t.bytes[offset : offset+len(places)]
	for i := range len(places) {
		if places[i] != 'x' {
			continue
		}
		field[i] = digits[high&15]
		high = high>>4 | low<<60
		low >>= 4
	}
}

// checkRequest is what Envoy 1.40 sends for a GET over HTTP/1.1 under a
// generated configuration of the fused chain, field by field.
func checkRequest(key string) *authv3.CheckRequest {
	var headers []*corev3.HeaderValue
	for _, h := range [][2]string{
		{":authority", "api.orders.test"},
		{":path", "/v1/orders/4711"},
		{":method", "GET"},
		{":scheme", "http"},
		{"user-agent", "orders-client/2.3.1"},
		{"accept", "application/json"},
		{"x-api-key", key},
		{"accept-encoding", "gzip, deflate"},
		{"x-forwarded-for", "192.0.2.2"},
		{"x-forwarded-proto", "http"},
		{"x-envoy-external-address", "192.0.2.2"},
		{"x-request-id", requestIDMark},
		{"x-sallyport-sid", sidMark},
	} {
		headers = append(headers, &corev3.HeaderValue{Key: h[0], RawValue: []byte(h[1])})
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:      peer("192.0.2.2", 58448),
		Destination: peer("192.0.2.1", 10000),
		Request: &authv3.AttributeContext_Request{
			Time: &timestamppb.Timestamp{Seconds: 1795319714, Nanos: 939669000},
			Http: &authv3.AttributeContext_HttpRequest{
				Id:        "18043005292628439094",
				Method:    "GET",
				HeaderMap: &corev3.HeaderMap{Headers: headers},
				Path:      "/v1/orders/4711",
				Host:      "api.orders.test",
				Scheme:    "http",
				Protocol:  "HTTP/1.1",
			},
		},
		ContextExtensions:    map[string]string{"api": "orders", "chain": "fused"},
		MetadataContext:      &corev3.Metadata{},
		RouteMetadataContext: &corev3.Metadata{},
	}}
}

func peer(address string, port uint32) *authv3.AttributeContext_Peer {
	return &authv3.AttributeContext_Peer{Address: &corev3.Address{
		Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address:       address,
			PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
		}},
	}}
}
