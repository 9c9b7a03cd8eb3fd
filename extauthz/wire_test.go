package extauthz

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/wire"
)

// naiveRequest is what decodeCheck must make of a message, by way of the
// generated types.
func naiveRequest(msg *authv3.CheckRequest) sallyport.Request {
	attributes := msg.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	req := sallyport.Request{
		API:    attributes.GetContextExtensions()["api"],
		Method: http.GetMethod(),
		Host:   http.GetHost(),
		Source: attributes.GetSource().GetAddress().GetSocketAddress().GetAddress(),
		Body:   http.GetBody(),
		Size:   http.GetSize(),
	}
	chain := attributes.GetContextExtensions()["chain"]
	var known bool
	if req.Chain, known = sallyport.ParseChain(chain); !known && chain != "" {
		req.Chain = sallyport.PerListener
	}
	req.SourceHeader = strings.ToLower(attributes.GetContextExtensions()["source"])
	req.Path, req.Query, _ = strings.Cut(http.GetPath(), "?")
	if len(http.GetRawBody()) > 0 {
		req.Body = string(http.GetRawBody())
	}
	for name, value := range http.GetHeaders() {
		req.Headers = append(req.Headers, sallyport.Header{Name: naiveLower(name), Value: value})
	}
	if lines := http.GetHeaderMap().GetHeaders(); len(lines) > 0 {
		req.Headers = nil
		for _, line := range lines {
			h := sallyport.Header{Name: naiveLower(line.GetKey()), Value: line.GetValue()}
			if len(line.GetRawValue()) > 0 {
				h.Value = string(line.GetRawValue())
			}
			req.Headers = append(req.Headers, h)
		}
	}
	return req
}

func naiveLower(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZ", c) >= 0 {
			c |= 0x20
		}
		b.WriteByte(c)
	}
	return b.String()
}

// checkDecode holds the law of decodeCheck for msg: it errs where
// proto.Unmarshal errs, and where there are more than maxLines header lines;
// else it reads what the generated types read. A map has no order.
func checkDecode(t *testing.T, msg []byte) {
	t.Helper()
	var generated authv3.CheckRequest
	want := proto.Unmarshal(msg, &generated)
	got := sallyport.Request{API: "left over", Headers: []sallyport.Header{{Name: "left", Value: "over"}}, Size: 7}
	err := decodeCheck(msg, &got)
	if errors.Is(err, errLines) && len(msg) > 2*maxLines {
		return
	}
	if (err != nil) != (want != nil) {
		t.Fatalf("decodeCheck(%x) = %v, proto.Unmarshal says %v", msg, err, want)
	}
	if err != nil {
		return
	}
	expected := naiveRequest(&generated)
	if len(generated.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders()) == 0 {
		sortHeaders(got.Headers)
		sortHeaders(expected.Headers)
	}
	if len(got.Headers) == 0 {
		got.Headers = nil
	}
	if diff := gocmp.Diff(expected, got); diff != "" {
		t.Fatalf("decodeCheck(%x) differs from the generated types (-want +got):\n%s", msg, diff)
	}
}

func sortHeaders(headers []sallyport.Header) {
	slices.SortFunc(headers, func(a, b sallyport.Header) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Value, b.Value))
	})
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func socketAddress(address string) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       address,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 51324},
	}}}
}

// headerLines are those of an ordinary request as Envoy passes it on.
var headerLines = []sallyport.Header{
	{Name: ":authority", Value: "api.acme.example"},
	{Name: ":method", Value: "GET"},
	{Name: ":path", Value: "/v1/orders/4711?expand=lines&limit=20"},
	{Name: ":scheme", Value: "https"},
	{Name: "accept", Value: "application/json"},
	{Name: "accept-encoding", Value: "gzip, deflate, br"},
	{Name: "accept-language", Value: "de-CH,de;q=0.9,en;q=0.8"},
	{Name: "authorization", Value: "Bearer acme_live_0123456789abcdefghijklmnopqrstuvABCDEF"},
	{Name: "cache-control", Value: "no-cache"},
	{Name: "content-type", Value: "application/json"},
	{Name: "cookie", Value: "session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
	{Name: "referer", Value: "https://console.acme.example/orders?page=2"},
	{Name: "sec-fetch-mode", Value: "cors"},
	{Name: "sec-fetch-site", Value: "same-site"},
	{Name: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"},
	{Name: "x-envoy-internal", Value: "true"},
	{Name: "x-forwarded-for", Value: "203.0.113.7"},
	{Name: "x-forwarded-proto", Value: "https"},
	{Name: "x-request-id", Value: "6b3e1d1c-5d2f-4c1b-9d0e-7a7b1c2d3e4f"},
}

// ordinary is a request of 20 header lines, in the header_map or in the map.
func ordinary(raw bool) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{
		Id: "12345678901234567890", Method: "GET", Host: "api.acme.example", Scheme: "https",
		Path: "/v1/orders/4711?expand=lines&limit=20", Protocol: "HTTP/2", Size: -1,
	}
	for _, h := range headerLines {
		if raw {
			if http.HeaderMap == nil {
				http.HeaderMap = &corev3.HeaderMap{}
			}
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: h.Name, RawValue: []byte(h.Value)})
			continue
		}
		if http.Headers == nil {
			http.Headers = map[string]string{}
		}
		http.Headers[h.Name] = h.Value
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source:            &authv3.AttributeContext_Peer{Address: socketAddress("203.0.113.7")},
		Destination:       &authv3.AttributeContext_Peer{Address: socketAddress("10.0.0.1")},
		Request:           &authv3.AttributeContext_Request{Time: timestamppb.New(timestamppb.Now().AsTime()), Http: http},
		ContextExtensions: map[string]string{"api": "orders", "chain": "fused", "route": "default"},
	}}
}

// full is a message with something in every field that Envoy may fill.
func full() *authv3.CheckRequest {
	msg := ordinary(false)
	attributes := msg.Attributes
	attributes.Source.Principal = "spiffe://acme.example/ns/shop/sa/web"
	attributes.Source.Service = "web"
	attributes.Source.Labels = map[string]string{"zone": "a"}
	attributes.Source.Certificate = "-----BEGIN%20CERTIFICATE-----"
	attributes.Destination.Address = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: "/run/app.sock"}}}
	attributes.TlsSession = &authv3.AttributeContext_TLSSession{Sni: "api.acme.example"}
	metadata := &corev3.Metadata{
		FilterMetadata: map[string]*structpb.Struct{"envoy.filters.http.jwt": {Fields: map[string]*structpb.Value{
			"sub":   structpb.NewStringValue("someone"),
			"exp":   structpb.NewNumberValue(1.5),
			"none":  structpb.NewNullValue(),
			"admin": structpb.NewBoolValue(true),
			"list":  structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("a")}}),
			"inner": structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{"k": structpb.NewStringValue("v")}}),
		}}},
		TypedFilterMetadata: map[string]*anypb.Any{"typed": {TypeUrl: "type.example/x", Value: []byte{0xff}}},
	}
	attributes.MetadataContext = metadata
	attributes.RouteMetadataContext = metadata
	http := attributes.Request.Http
	http.Body, http.RawBody, http.Fragment, http.Query = "text", []byte{0, 0xff}, "f", "q"
	return msg
}

// field is a field of bytes, to build messages that no generated type writes.
func field(num protowire.Number, content ...[]byte) []byte {
	b := protowire.AppendTag(nil, num, protowire.BytesType)
	return protowire.AppendBytes(b, slices.Concat(content...))
}

func textField(num protowire.Number, s string) []byte { return field(num, []byte(s)) }

// nested is a field outer with a field inner in it, with a field outer in that
// and so on, so many times.
func nested(outer, inner protowire.Number, times int) []byte {
	sizes := []int{0} // of what each field holds, from the innermost
	for range 2*times - 1 {
		sizes = append(sizes, 1+protowire.SizeBytes(sizes[len(sizes)-1]))
	}
	var b []byte
	for i := len(sizes) - 1; i >= 0; i-- {
		num := inner
		if i%2 == 1 {
			num = outer
		}
		b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(sizes[i]))
	}
	return b
}

func number(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

// inHTTP and inSource wrap fields of the HttpRequest and of the source's
// Address into a CheckRequest.
func inHTTP(fields ...[]byte) []byte { return field(1, field(4, field(2, fields...))) }

func inSource(fields ...[]byte) []byte { return field(1, field(1, field(1, fields...))) }

// strange are messages whose reading depends on protobuf's finer rules.
func strange() map[string][]byte {
	group := slices.Concat(protowire.AppendTag(nil, 99, protowire.StartGroupType), textField(1, "x"), protowire.AppendTag(nil, 99, protowire.EndGroupType))
	return map[string][]byte{
		"empty":                           {},
		"attributes twice":                slices.Concat(inHTTP(textField(2, "GET")), inHTTP(textField(4, "/a?b"))),
		"scalar twice":                    inHTTP(textField(2, "GET"), textField(2, "PUT"), number(9, 5), number(9, 6)),
		"scalar emptied":                  inHTTP(textField(2, "GET"), textField(2, "")),
		"path without query":              inHTTP(textField(4, "/a")),
		"path of a question mark":         inHTTP(textField(4, "?")),
		"path of an asterisk":             inHTTP(textField(4, "*")),
		"size minus one":                  inHTTP(number(9, ^uint64(0))),
		"size as bytes":                   inHTTP(textField(9, "12")),
		"method as number":                inHTTP(number(2, 12)),
		"header twice":                    inHTTP(field(3, textField(1, "a"), textField(2, "1")), field(3, textField(1, "b"), textField(2, "2")), field(3, textField(1, "a"), textField(2, "3"))),
		"header twice in other case":      inHTTP(field(3, textField(1, "A"), textField(2, "1")), field(3, textField(1, "a"), textField(2, "2")), field(3, textField(1, "A"), textField(2, "3"))),
		"header of one field twice":       inHTTP(field(3, textField(1, "a"), textField(1, "b"), textField(2, "1"), textField(2, "2"))),
		"header without name":             inHTTP(field(3, textField(2, "1")), field(3)),
		"header without value":            inHTTP(field(3, textField(1, "a")), field(13, field(1, textField(1, "b")))),
		"header with unknown field":       inHTTP(field(3, textField(1, "a"), textField(3, "x"), number(2, 5), textField(2, "1"))),
		"both forms":                      inHTTP(field(3, textField(1, "a"), textField(2, "1")), field(13, field(1, textField(1, "b"), textField(2, "2"))), field(3, textField(1, "c"), textField(2, "3"))),
		"empty header_map":                inHTTP(field(3, textField(1, "a"), textField(2, "1")), field(13)),
		"header_map twice":                slices.Concat(inHTTP(field(13, field(1, textField(1, "b"), textField(2, "2")))), inHTTP(field(13, field(1, textField(1, "b"), textField(3, "3"))))),
		"value and raw value":             inHTTP(field(13, field(1, textField(1, "b"), textField(2, "2"), textField(3, "3")), field(1, textField(1, "c"), textField(2, "2"), textField(3, "")))),
		"raw value not UTF-8":             inHTTP(field(13, field(1, textField(1, "b"), textField(3, "\xff")))),
		"value not UTF-8":                 inHTTP(field(13, field(1, textField(1, "b"), textField(2, "\xff")))),
		"path not UTF-8":                  inHTTP(textField(4, "/\xff")),
		"body not UTF-8":                  inHTTP(textField(11, "\xff")),
		"raw body not UTF-8":              inHTTP(textField(11, "a"), textField(12, "\xff")),
		"Kelvin sign in name":             inHTTP(field(3, textField(1, "X-API-\u212aey"), textField(2, "1"))),
		"unread text not UTF-8":           field(1, field(12, textField(1, "\xff"))),
		"deep text not UTF-8":             field(1, field(11, field(1, field(2, field(1, field(2, field(6, field(1, textField(3, "\xff"))))))))),
		"any value not UTF-8":             field(1, field(11, field(2, field(2, textField(2, "\xff"))))),
		"unknown text not UTF-8":          field(1, textField(99, "\xff")),
		"address merges":                  inSource(field(1, textField(2, "a")), field(1, number(3, 80))),
		"address then pipe":               inSource(field(1, textField(2, "a")), field(2, textField(1, "/p"))),
		"address then internal":           inSource(field(1, textField(2, "a")), field(3)),
		"address then pipe, then port":    inSource(field(1, textField(2, "a")), field(2), field(1, number(3, 80))),
		"address then pipe as number":     inSource(field(1, textField(2, "a")), number(2, 1)),
		"destination's pipe":              slices.Concat(inSource(field(1, textField(2, "a"))), field(1, field(2, field(1, field(2))))),
		"destination's address":           field(1, field(2, field(1, field(1, textField(2, "a"))))),
		"extension twice":                 field(1, field(10, textField(1, "chain"), textField(2, "fused")), field(10, textField(1, "chain"), textField(2, "else"))),
		"extension for another":           field(1, field(10, textField(2, "orders")), field(10, textField(1, "API"), textField(2, "orders"))),
		"unknown fields":                  slices.Concat(number(77, 3), inHTTP(group, textField(2, "GET")), group),
		"group for a message":             slices.Concat(protowire.AppendTag(nil, 1, protowire.StartGroupType), protowire.AppendTag(nil, 1, protowire.EndGroupType)),
		"group not ended":                 protowire.AppendTag(nil, 99, protowire.StartGroupType),
		"group ended by another":          slices.Concat(protowire.AppendTag(nil, 99, protowire.StartGroupType), protowire.AppendTag(nil, 98, protowire.EndGroupType)),
		"group ended only":                protowire.AppendTag(nil, 99, protowire.EndGroupType),
		"reserved wire type":              {1<<3 | 7},
		"field number 0":                  {2, 0},
		"field number too large":          protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3),
		"large number in unknown group":   slices.Concat(protowire.AppendTag(nil, 99, protowire.StartGroupType), protowire.AppendVarint(nil, uint64(protowire.MaxValidNumber+1)<<3), []byte{0}, protowire.AppendTag(nil, 99, protowire.EndGroupType)),
		"long tag":                        {0x8a, 0x80, 0x00, 0},
		"tag too long":                    slices.Repeat([]byte{0xff}, 11),
		"length too long":                 {0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
		"length past the end":             {0x0a, 5, 0},
		"inner length past the inner end": slices.Concat(field(1, []byte{0x0a, 5}), []byte{0, 0, 0, 0, 0}),
	}
}

func TestDecodeReadsWhatTheGeneratedTypesRead(t *testing.T) {
	messages := strange()
	messages["ordinary, map"] = marshal(t, ordinary(false))
	messages["ordinary, header_map"] = marshal(t, ordinary(true))
	messages["full"] = marshal(t, full())
	for name, msg := range messages {
		t.Run(name, func(t *testing.T) { checkDecode(t, msg) })
	}
}

func TestDecodeErrsOnEveryTruncationAsProtobufDoes(t *testing.T) {
	msg := marshal(t, full())
	for n := range msg {
		checkDecode(t, msg[:n])
	}
}

func TestDecodeKeepsNothingOfTheMessage(t *testing.T) {
	msg := marshal(t, ordinary(true))
	var got, again sallyport.Request
	if err := decodeCheck(msg, &got); err != nil {
		t.Fatal(err)
	}
	if err := decodeCheck(slices.Clone(msg), &again); err != nil {
		t.Fatal(err)
	}
	clear(msg)
	if diff := gocmp.Diff(again, got); diff != "" {
		t.Errorf("the request changed with the message's bytes:\n%s", diff)
	}
}

func TestDecodeNamesTheFault(t *testing.T) {
	deep := nested(1, 6, 5100) // Values in ListValues
	many := slices.Repeat(field(3, textField(1, "a")), maxLines)
	tests := []struct {
		name string
		msg  []byte
		want error
	}{
		{"truncated", []byte{0x0a}, wire.ErrWire},
		{"not UTF-8", inHTTP(textField(4, "/\xff")), wire.ErrText},
		{"nested too deeply", field(1, field(11, field(1, field(2, field(1, field(2, field(6, deep))))))), errDepth},
		{"as many lines as may be", inHTTP(many), nil},
		{"one line more", inHTTP(many, field(13, field(1))), errLines},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var req sallyport.Request
			if err := decodeCheck(test.msg, &req); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			checkDecode(t, test.msg)
		})
	}
}

// TestDecodeReadsOnPastBadText: the refusal needs to know which API was asked.
func TestDecodeReadsOnPastBadText(t *testing.T) {
	msg := slices.Concat(
		inHTTP(textField(4, "/\xff"), textField(5, "api.acme.example")),
		field(1, field(10, textField(1, "api"), textField(2, "orders"))))
	var got sallyport.Request
	if err := decodeCheck(msg, &got); err != wire.ErrText {
		t.Fatalf("got error %v, want %v", err, wire.ErrText)
	}
	want := sallyport.Request{API: "orders", Host: "api.acme.example"}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeAllocatesOnce(t *testing.T) {
	for _, raw := range []bool{false, true} {
		msg := marshal(t, ordinary(raw))
		var req sallyport.Request
		got := testing.AllocsPerRun(100, func() {
			if err := decodeCheck(msg, &req); err != nil {
				t.Fatal(err)
			}
		})
		if got > 1 {
			t.Errorf("raw %v: %v allocations, want 1", raw, got)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, raw := range []bool{false, true} {
		msg := marshal(b, ordinary(raw))
		b.Run(fmt.Sprintf("raw=%v", raw), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			var req sallyport.Request
			for b.Loop() {
				if err := decodeCheck(msg, &req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkGenerated is what BenchmarkDecode is to be compared with.
func BenchmarkGenerated(b *testing.B) {
	for _, raw := range []bool{false, true} {
		msg := marshal(b, ordinary(raw))
		b.Run(fmt.Sprintf("raw=%v", raw), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := proto.Unmarshal(msg, new(authv3.CheckRequest)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDecodeManyNames is the most that a map of headers can cost.
func BenchmarkDecodeManyNames(b *testing.B) {
	var lines []byte
	for i := range maxLines {
		lines = append(lines, field(3, textField(1, fmt.Sprintf("x-name-of-a-header-%06d", i)))...)
	}
	msg := inHTTP(lines)
	b.ReportAllocs()
	var req sallyport.Request
	for b.Loop() {
		if err := decodeCheck(msg, &req); err != nil {
			b.Fatal(err)
		}
	}
}

func TestPlainNames(t *testing.T) {
	for c := range 256 {
		for _, length := range []int{1, 7, 8, 9, 15, 16, 17, 24} {
			for at := range length {
				b := []byte("x-forwarded-client-cert-9")[:length]
				b[at] = byte(c)
				want := c < 0x80 && (c < 'A' || c > 'Z')
				if got := isPlain(string(b)); got != want {
					t.Fatalf("%q: got %v", b, got)
				}
			}
		}
	}
	if !isPlain("") {
		t.Error("nothing is not plain")
	}
}
