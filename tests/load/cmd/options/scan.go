package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// scanned is a request as far as the scan reads it: every header, cut from one
// copy of the message.
type scanned struct {
	text    string
	headers [][2]string
}

var requests = sync.Pool{New: func() any { return new(scanned) }}

// answered stands for the one answer that the codec has ready.
type answered struct{}

var scanService = grpc.ServiceDesc{
	ServiceName: "envoy.service.auth.v3.Authorization",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Check",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			request := requests.Get().(*scanned)
			defer requests.Put(request)
			if err := decode(request); err != nil {
				return nil, err
			}
			return &answered{}, nil
		},
	}},
}

// scanCodec reads requests without reflection and writes one answer.
type scanCodec struct{ answer []byte }

func newScanCodec(whole bool) scanCodec {
	response := &authv3.CheckResponse{
		Status:       &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}
	if whole {
		response = wholeResponse()
	}
	answer, err := proto.Marshal(response)
	if err != nil {
		log.Fatal(err) // a constant message
	}
	return scanCodec{answer}
}

func (scanCodec) Name() string { return "proto" }

func (c scanCodec) Marshal(any) (mem.BufferSlice, error) {
	pool := mem.DefaultBufferPool()
	buffer := pool.Get(len(c.answer))
	copy(*buffer, c.answer)
	return mem.BufferSlice{mem.NewBuffer(buffer, pool)}, nil
}

func (scanCodec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*scanned)
	if !ok {
		return fmt.Errorf("no codec for %T", v)
	}
	r.headers = r.headers[:0]
	if len(data) == 1 {
		r.text = string(data[0].ReadOnlyData())
	} else {
		r.text = string(data.Materialize())
	}
	return r.descend(r.text, checkRequestPath)
}

// checkRequestPath leads from CheckRequest to the headers in header_map:
// attributes, request, http, header_map, headers.
var checkRequestPath = []protowire.Number{1, 4, 2, 13, 1}

var errWire = errors.New("not a CheckRequest")

// descend reads all fields of message and enters those that path names.
func (r *scanned) descend(message string, path []protowire.Number) error {
	if len(path) == 0 {
		return r.header(message)
	}
	for message != "" {
		number, value, rest, ok := field(message)
		if !ok {
			return errWire
		}
		if number == path[0] {
			if err := r.descend(value, path[1:]); err != nil {
				return err
			}
		}
		message = rest
	}
	return nil
}

func (r *scanned) header(message string) error {
	var h [2]string
	for message != "" {
		number, value, rest, ok := field(message)
		if !ok {
			return errWire
		}
		if number == 1 {
			h[0] = value
		} else {
			h[1] = value
		}
		message = rest
	}
	r.headers = append(r.headers, h)
	return nil
}

// field cuts the first field off message; value is that of a field with a
// length, else "".
func field(message string) (number protowire.Number, value, rest string, ok bool) {
	tag, n := varint(message)
	if n == 0 {
		return 0, "", "", false
	}
	message = message[n:]
	number = protowire.Number(tag >> 3)
	switch protowire.Type(tag & 7) {
	case protowire.VarintType:
		_, n = varint(message)
		return number, "", message[n:], n > 0
	case protowire.BytesType:
		length, n := varint(message)
		if n == 0 || length > uint64(len(message)-n) {
			return 0, "", "", false
		}
		end := n + int(length)
		return number, message[n:end], message[end:], true
	}
	return 0, "", "", false
}

func varint(s string) (v uint64, n int) {
	for n < len(s) && n < 10 {
		b := s[n]
		v |= uint64(b&0x7f) << (7 * n)
		n++
		if b < 0x80 {
			return v, n
		}
	}
	return 0, 0
}

// wholeResponse has the size and the parts of the gate's answer.
func wholeResponse() *authv3.CheckResponse {
	option := func(name, value string) *corev3.HeaderValueOption {
		return &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}
	}
	ok := &authv3.OkHttpResponse{}
	for _, name := range strings.Fields("tenant credential principal scopes plan environment request-id decision") {
		ok.Headers = append(ok.Headers, option("x-sallyport-"+name, "0123456789abcdef"))
	}
	for _, name := range strings.Fields("x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset") {
		ok.ResponseHeadersToAdd = append(ok.ResponseHeadersToAdd, option(name, "10000000"))
	}
	fields := make(map[string]*structpb.Value)
	for _, name := range strings.Fields("api tenant credential principal plan operation limits request_id") {
		fields[name] = structpb.NewStringValue("0123456789abcdef")
	}
	return &authv3.CheckResponse{
		Status:          &status.Status{},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: &structpb.Struct{Fields: fields},
	}
}
