package extauthz

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	gocmp "github.com/google/go-cmp/cmp"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport"
)

// naiveResponse is what a reply must say, by way of the generated types.
func naiveResponse(r *reply) *authv3.CheckResponse {
	response := &authv3.CheckResponse{Status: &statuspb.Status{}, DynamicMetadata: naiveMetadata(r)}
	if r.Allowed && r.Status == 0 && !r.Failure {
		response.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:                 naiveOptions(r.Set),
			HeadersToRemove:         naiveTexts(r.Remove),
			ResponseHeadersToAdd:    naiveOptions(r.Response),
			QueryParametersToRemove: naiveTexts(r.RemoveQuery),
		}}
		return response
	}
	denied := &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(r.Status)},
		Headers: naiveOptions(r.Response),
		Body:    naiveBody(r.Body),
	}
	if r.Status < 200 || r.Status >= 600 {
		denied.Status.Code = typev3.StatusCode_ServiceUnavailable
	}
	switch {
	case r.Failure:
		response.Status.Code = int32(codes.Unavailable)
		response.HttpResponse = &authv3.CheckResponse_ErrorResponse{ErrorResponse: denied}
		return response
	case r.Status == http.StatusUnauthorized:
		response.Status.Code = int32(codes.Unauthenticated)
	default:
		response.Status.Code = int32(codes.PermissionDenied)
	}
	response.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: denied}
	return response
}

func naiveMetadata(r *reply) *structpb.Struct {
	fields := map[string]*structpb.Value{}
	for _, h := range r.Metadata {
		fields[naiveText(h.Name)] = structpb.NewStringValue(naiveText(h.Value))
	}
	if r.Limit.Unit != "" {
		fields["limit"] = structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			"requests_per_unit": structpb.NewNumberValue(float64(r.Limit.Requests)),
			"unit":              structpb.NewStringValue(naiveText(r.Limit.Unit)),
		}})
	}
	if len(fields) == 0 {
		return nil
	}
	return &structpb.Struct{Fields: fields}
}

func naiveOptions(headers []sallyport.Header) (options []*corev3.HeaderValueOption) {
	for _, h := range headers {
		options = append(options, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: naiveText(h.Name), Value: naiveText(h.Value)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return options
}

func naiveTexts(texts []string) (clean []string) {
	for _, s := range texts {
		clean = append(clean, naiveText(s))
	}
	return clean
}

func naiveText(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\ufffd"):
			b.WriteByte('?')
		case r < 0x20 && r != '\t', r == 0x7f:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func naiveBody(body []byte) string { return string([]rune(string(body))) }

// checkEncode holds the law of append for r: protobuf reads its bytes as the
// answer that the generated types would carry, they are as many as size says,
// no more than protobuf itself would write, and the same each time.
func checkEncode(t *testing.T, r *reply) {
	t.Helper()
	got := r.append([]byte("before"))[len("before"):]
	var response authv3.CheckResponse
	if err := proto.Unmarshal(got, &response); err != nil {
		t.Fatalf("proto.Unmarshal(%x) = %v", got, err)
	}
	want := naiveResponse(r)
	if diff := gocmp.Diff(want, &response, protocmp.Transform()); diff != "" {
		t.Fatalf("reply differs from the generated types (-want +got):\n%s", diff)
	}
	if again := r.append(nil); !bytes.Equal(got, again) {
		t.Errorf("append wrote %x, then %x", got, again)
	}
	distinct := len(r.Metadata)
	if r.Limit.Unit != "" {
		distinct++
	}
	if len(want.GetDynamicMetadata().GetFields()) == distinct && proto.Size(want) != len(got) {
		t.Errorf("append added %d bytes, protobuf would write %d", len(got), proto.Size(want))
	}
}

// passed is the answer to an ordinary request that goes on.
func passed() reply {
	return reply{
		Allowed: true,
		Set: []sallyport.Header{
			{Name: "x-sallyport-tenant", Value: "org_7f3k2"},
			{Name: "x-sallyport-credential", Value: "key_01j9zq4w8t"},
			{Name: "x-sallyport-principal", Value: "key_01j9zq4w8t"},
			{Name: "x-sallyport-scopes", Value: "orders:read orders:write"},
			{Name: "x-sallyport-plan", Value: "professional"},
			{Name: "x-sallyport-environment", Value: "live"},
			{Name: "x-sallyport-request-id", Value: "6b3e1d1c-5d2f-4c1b-9d0e-7a7b1c2d3e4f"},
		},
		Remove:      []string{"authorization", "x-api-key"},
		RemoveQuery: []string{"api_key"},
		Response: []sallyport.Header{
			{Name: "X-RateLimit-Limit", Value: "300"},
			{Name: "X-RateLimit-Remaining", Value: "299"},
			{Name: "X-RateLimit-Reset", Value: "1760000000"},
		},
		Metadata: []sallyport.Header{
			{Name: "api", Value: "orders"},
			{Name: "tenant", Value: "org_7f3k2"},
			{Name: "credential", Value: "key_01j9zq4w8t"},
			{Name: "plan", Value: "professional"},
			{Name: "operation", Value: "GET /v1/orders/{id}"},
			{Name: "limits", Value: "requests=300/60s,10000/3600s"},
			{Name: "request_id", Value: "6b3e1d1c-5d2f-4c1b-9d0e-7a7b1c2d3e4f"},
		},
		Limit: rateOverride{Requests: 300, Unit: "MINUTE"},
	}
}

func refused(status int) reply {
	return reply{
		Status:   status,
		Body:     []byte(`{"error": {"code": "unauthorized"}}`),
		Response: []sallyport.Header{{Name: "content-type", Value: "application/json"}, {Name: "empty"}},
		Metadata: []sallyport.Header{{Name: "reason", Value: "caller.credential.missing"}},
	}
}

func TestReplySaysWhatTheGeneratedTypesSay(t *testing.T) {
	failed := refused(http.StatusServiceUnavailable)
	failed.Failure = true
	dirty := []sallyport.Header{{Name: "x-\xff\n", Value: "a\r\nset-cookie: b\x00\x7f\tü\xc3"}, {}}
	long := strings.Repeat("0123456789", 2000)
	tests := map[string]reply{
		"zero":                  {},
		"allowed, nothing said": {Allowed: true},
		"allowed":               passed(),
		"allowed with a status": {Allowed: true, Status: http.StatusOK},
		"allowed but failed":    {Allowed: true, Failure: true},
		"answered":              refused(http.StatusOK),
		"unauthenticated":       refused(http.StatusUnauthorized),
		"refused":               refused(http.StatusTooManyRequests),
		"status below 200":      refused(http.StatusContinue),
		"status negative":       refused(-1),
		"status above 599":      refused(math.MaxInt32),
		"failed":                failed,
		"failed without status": {Failure: true},
		"dirty, allowed":        {Allowed: true, Set: dirty, Remove: []string{"\xff", ""}, RemoveQuery: []string{"\n"}, Response: dirty, Metadata: dirty, Limit: rateOverride{Unit: "\xff"}},
		"dirty, refused":        {Status: 403, Response: dirty, Body: []byte("\xff\n\x00\xe2\x82 ok \ufffd\xff")},
		"limit only":            {Allowed: true, Limit: rateOverride{Requests: math.MaxUint32, Unit: "HOUR"}},
		"metadata twice":        {Metadata: []sallyport.Header{{Name: "a", Value: "1"}, {Name: "a", Value: "2"}, {Name: "limit", Value: "3"}}, Limit: rateOverride{Unit: "DAY"}},
		"long":                  {Status: 400, Body: []byte(long), Response: []sallyport.Header{{Name: long, Value: long}}, Metadata: []sallyport.Header{{Name: long, Value: long}}},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) { checkEncode(t, &r) })
	}
}

func TestZeroReplyRefuses(t *testing.T) {
	var got authv3.CheckResponse
	if err := proto.Unmarshal(new(reply).append(nil), &got); err != nil {
		t.Fatal(err)
	}
	if code := got.GetDeniedResponse().GetStatus().GetCode(); code != typev3.StatusCode_ServiceUnavailable {
		t.Errorf("denied_response has status %v, want 503", code)
	}
	if code := codes.Code(got.GetStatus().GetCode()); code != codes.PermissionDenied {
		t.Errorf("status is %v, want PermissionDenied", code)
	}
}

func TestReplyNeverSplitsTheResponse(t *testing.T) {
	r := reply{Allowed: true, Set: []sallyport.Header{{Name: "x-sallyport-tenant", Value: "a\r\nx-admin: 1"}}}
	var got authv3.CheckResponse
	if err := proto.Unmarshal(r.append(nil), &got); err != nil {
		t.Fatal(err)
	}
	if value := got.GetOkResponse().GetHeaders()[0].GetHeader().GetValue(); value != "a??x-admin: 1" {
		t.Errorf("got value %q", value)
	}
}

func TestResetReplyKeepsNoText(t *testing.T) {
	r := passed()
	r.reset()
	checkEncode(t, &r)
	if secret := r.Set[:1][0]; secret != (sallyport.Header{}) {
		t.Errorf("after reset the memory of Set holds %v", secret)
	}
	if got, want := r.append(nil), new(reply).append(nil); !bytes.Equal(got, want) {
		t.Errorf("after reset the reply is %x, want that of the zero value %x", got, want)
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	for name, r := range map[string]reply{"passed": passed(), "refused": refused(http.StatusForbidden)} {
		dst := make([]byte, 0, 4<<10)
		got := testing.AllocsPerRun(100, func() { r.append(dst) })
		if got > 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, r := range map[string]reply{"passed": passed(), "refused": refused(http.StatusForbidden)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(r.append(nil))))
			var dst []byte
			for b.Loop() {
				dst = r.append(dst[:0])
			}
		})
	}
}

// BenchmarkEncodeGenerated is what BenchmarkEncode is to be compared with.
func BenchmarkEncodeGenerated(b *testing.B) {
	r := passed()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := proto.Marshal(naiveResponse(&r)); err != nil {
			b.Fatal(err)
		}
	}
}
