package extauthz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/wire"
)

// echo tells the client what the gate read: the tenant is the header x-tenant.
// A malformed message is refused.
func echo(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	c := newCall()
	if err := decode(c); err != nil {
		c.Release()
		return nil, err
	}
	if c.malformed != nil {
		c.reply.Status, c.reply.Body = http.StatusBadRequest, append(c.reply.Body, c.malformed.Error()...)
		return c, nil
	}
	tenant, _ := c.Request.Header("x-tenant")
	c.reply.Allowed = true
	c.reply.Set = append(c.reply.Set, sallyport.Header{Name: "x-sallyport-tenant", Value: tenant})
	return c, nil
}

// dial starts a server with Codec, Check being echo, and returns a client that
// knows nothing of it.
func dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ForceServerCodecV2(wire.Codec()))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.auth.v3.Authorization",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: echo}},
	}, struct{}{})
	healthpb.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///bufconn",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func withTenant(tenant string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{Headers: map[string]string{"x-tenant": tenant}},
	}}}
}

func TestEachCallGetsItsOwnAnswer(t *testing.T) {
	client := authv3.NewAuthorizationClient(dial(t))
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 50 {
				want := fmt.Sprintf("tenant-%d-%d%s", worker, i, strings.Repeat("x", i*200))
				got, err := client.Check(t.Context(), withTenant(want))
				if err != nil {
					t.Error(err)
					return
				}
				if v := got.GetOkResponse().GetHeaders()[0].GetHeader().GetValue(); v != want {
					t.Errorf("got the answer of %.20q, want that of %.20q", v, want)
				}
			}
		})
	}
	all.Wait()
}

func TestOtherServicesUseTheStandardCodec(t *testing.T) {
	got, err := healthpb.NewHealthClient(dial(t)).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v", got.GetStatus())
	}
}

// rawCodec sends bytes as they are, and reads answers as the standard codec.
type rawCodec struct{ encoding.CodecV2 }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func TestAMalformedMessageIsAnsweredInOurOwnShape(t *testing.T) {
	var got authv3.CheckResponse
	err := dial(t).Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, []byte{0x0a, 0xff}, &got,
		grpc.ForceCodecV2(rawCodec{wire.Codec()}))
	if err != nil {
		t.Fatalf("got a bare gRPC error: %v", err)
	}
	if body := got.GetDeniedResponse().GetBody(); body != wire.ErrWire.Error() {
		t.Errorf("got body %q, want %q", body, wire.ErrWire)
	}
}

func TestUnmarshalReadsAMessageInPieces(t *testing.T) {
	msg := marshal(t, ordinary(true))
	var want sallyport.Request
	if err := decodeCheck(msg, &want); err != nil {
		t.Fatal(err)
	}
	for _, pieces := range []mem.BufferSlice{
		{mem.SliceBuffer(msg)},
		{mem.SliceBuffer(msg[:100]), mem.SliceBuffer(msg[100:101]), mem.SliceBuffer(msg[101:])},
	} {
		c := new(call)
		if err := wire.Codec().Unmarshal(pieces, c); err != nil || c.malformed != nil {
			t.Fatalf("%d pieces: error %v, malformed %v", len(pieces), err, c.malformed)
		}
		if diff := gocmp.Diff(want, c.Request); diff != "" {
			t.Errorf("%d pieces (-want +got):\n%s", len(pieces), diff)
		}
	}
	c := &call{malformed: wire.ErrWire}
	if err := wire.Codec().Unmarshal(nil, c); err != nil || c.malformed != nil {
		t.Errorf("no pieces: error %v, malformed %v; an empty message is well formed", err, c.malformed)
	}
}

func TestAReleasedCallHoldsNothing(t *testing.T) {
	c := newCall()
	if err := decodeCheck(marshal(t, ordinary(true)), &c.Request); err != nil {
		t.Fatal(err)
	}
	c.reply = passed()
	c.malformed = errors.New("left over")
	c.Decision.Reason = sallyport.Allowed
	c.Release()
	for _, h := range c.Request.Headers[:cap(c.Request.Headers)] {
		if h != (sallyport.Header{}) {
			t.Errorf("a header of the last request is still there: %v", h.Name)
		}
	}
	if c.malformed != nil || c.Decision.Reason.OK() || c.reply.allowed() || c.Request.Host != "" {
		t.Errorf("a released call is not empty")
	}
}

func TestACallPrintsNoSecret(t *testing.T) {
	c := new(call)
	if err := decodeCheck(marshal(t, ordinary(true)), &c.Request); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%v %+v %s", c, c, c); got != "check check check" {
		t.Errorf("got %q", got)
	}
}

func TestMarshalWritesTheReply(t *testing.T) {
	c := newCall()
	c.reply = passed()
	want := naiveResponse(&c.reply)
	data, err := wire.Codec().Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	defer data.Free()
	var got authv3.CheckResponse
	if err := proto.Unmarshal(data.Materialize(), &got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(want, &got) {
		t.Errorf("got %v, want %v", &got, want)
	}
}

// BenchmarkCodec is what a Check costs between grpc-go and the handler.
func BenchmarkCodec(b *testing.B) {
	msg := mem.BufferSlice{mem.SliceBuffer(marshal(b, ordinary(true)))}
	set := passed().Set
	codec := wire.Codec()
	b.ReportAllocs()
	for b.Loop() {
		c := newCall()
		if err := codec.Unmarshal(msg, c); err != nil || c.malformed != nil {
			b.Fatal(err, c.malformed)
		}
		c.reply.Allowed = true
		c.reply.Set = append(c.reply.Set, set...)
		data, err := codec.Marshal(c)
		if err != nil {
			b.Fatal(err)
		}
		data.Free()
	}
}
