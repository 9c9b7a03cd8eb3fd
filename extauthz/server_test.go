package extauthz

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport"
)

// answered is what Envoy would read from the answer to req.
func (g *gate) answered(msg []byte) *authv3.CheckResponse {
	g.t.Helper()
	c := newCall()
	c.malformed = decodeCheck(msg, &c.Request)
	NewServer(g.Authorizer, nil).check(context.Background(), c)
	out := new(authv3.CheckResponse)
	if err := proto.Unmarshal(c.reply.append(nil), out); err != nil {
		g.t.Fatalf("the answer is not a CheckResponse: %v", err)
	}
	c.Release()
	return out
}

// message is req as Envoy sends it.
func message(t testing.TB, req sallyport.Request) []byte {
	t.Helper()
	return extended(t, req, map[string]string{"api": req.API, "chain": req.Chain.String()})
}

// extended is req as Envoy sends it, with the route's context extensions.
func extended(t testing.TB, req sallyport.Request, extensions map[string]string) []byte {
	t.Helper()
	headers := make(map[string]string)
	for _, h := range req.Headers {
		headers[h.Name] = h.Value
	}
	msg, err := proto.Marshal(&authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		ContextExtensions: extensions,
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: req.Method, Host: req.Host, Path: req.Path, Headers: headers,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// G1: the upstream learns whose it is; the credential and whatever a client
// says under our names is removed, also where nothing in front has done so.
func TestWhatTheUpstreamLearns(t *testing.T) {
	g := newGate(t)
	key := g.key(func(c *sallyport.Credential) { c.Scopes = []string{"orders:read", "orders:write"} })
	req := fullRequest(key, sallyport.Fused)
	req.Headers = append(req.Headers, sallyport.Header{Name: "x-sallyport-tenant", Value: "evil"}, sallyport.Header{Name: "x_sallyport_plan", Value: "evil"},
		sallyport.Header{Name: "x-sallyport_role", Value: "evil"}, sallyport.Header{Name: "x-sallyport-environment", Value: "evil"})
	ok := g.answered(message(t, req)).GetOkResponse()
	set := make(map[string]string)
	for _, o := range ok.GetHeaders() {
		set[o.GetHeader().GetKey()] = o.GetHeader().GetValue()
		if o.GetAppendAction().String() != "OVERWRITE_IF_EXISTS_OR_ADD" {
			t.Errorf("%s is %v", o.GetHeader().GetKey(), o.GetAppendAction())
		}
	}
	for name, want := range map[string]string{
		"x-sallyport-tenant": "t1", "x-sallyport-scopes": "orders:read orders:write", "x-sallyport-plan": "big",
		"x-sallyport-request-id": "4b0f1d0e-7f2c-4e0f-9a51-0b6a1f0a7c11",
	} {
		if set[name] != want {
			t.Errorf("%s is %q, want %q", name, set[name], want)
		}
	}
	removed := strings.Join(ok.GetHeadersToRemove(), " ")
	for _, name := range []string{"x-api-key", "authorization", "x_sallyport_plan", "x-sallyport_role", "x-sallyport-environment"} {
		if !strings.Contains(removed, name) {
			t.Errorf("%s is not removed: %s", name, removed)
		}
		if _, ok := set[name]; ok {
			t.Errorf("%s is set", name)
		}
	}
	if strings.Contains(removed, "x-sallyport-sid") {
		t.Error("the sid is removed, which Envoy made")
	}
	if len(ok.GetResponseHeadersToAdd()) != 4 {
		t.Errorf("the client is told %v, want its request id and three quota headers", ok.GetResponseHeadersToAdd())
	}
}

// CONTRACT: the metadata that the ratelimit filter and the access log read; on
// the paired chain an OK tells the client no quota, which would be stale.
func TestMetadata(t *testing.T) {
	g := newGate(t)
	out := g.answered(message(t, fullRequest(g.key(), sallyport.Paired)))
	if told := out.GetOkResponse().GetResponseHeadersToAdd(); len(told) != 1 || told[0].GetHeader().GetKey() != "x-request-id" {
		t.Errorf("on the paired chain the client is told %v, want its request id alone", told)
	}
	fields := out.GetDynamicMetadata().GetFields()
	for name, want := range map[string]string{
		"api": "orders", "tenant": "t1", "plan": "big", "operation": "GET /v1/orders/{id}", "reason": "allowed",
		"limits": "requests=3/60s,100/3600s", "request_id": "4b0f1d0e-7f2c-4e0f-9a51-0b6a1f0a7c11",
	} {
		if got := fields[name].GetStringValue(); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	limit := fields["limit"].GetStructValue().GetFields()
	if limit["requests_per_unit"].GetNumberValue() != 3 || limit["unit"].GetStringValue() != "MINUTE" {
		t.Errorf("limit is %v", limit)
	}
}

// Routes may be those of a listener that has our filters and of one that has not. Only
// a call that says that it has leaves the quota to them and believes what they set,
// whatever the configuration says; the upstream gets a sid from such a one alone. A
// route that says its chain itself is believed, and one in words that we do not know
// is not.
func TestAListenerSaysItsChain(t *testing.T) {
	g := newGate(t)
	server := NewServer(g.Authorizer, nil)
	for _, c := range []struct {
		route    string
		says     []string // the call's metadata
		want     sallyport.Chain
		believed bool
	}{
		{"listener", nil, sallyport.Fused, false},
		{"listener", []string{""}, sallyport.Fused, false},
		{"listener", []string{"", "listener"}, sallyport.Fused, false},
		{"listener", []string{"Paired"}, sallyport.Fused, false},
		{"listener", []string{"fused"}, sallyport.Fused, true},
		{"listener", []string{"paired"}, sallyport.Paired, true},
		{"fused", []string{"paired"}, sallyport.Fused, true},
		{"paired", nil, sallyport.Paired, true},
		{"", nil, sallyport.Fused, true}, // as the policy says
		{"Fused", nil, sallyport.Fused, false},
		{"paired ", []string{"paired"}, sallyport.Paired, true},
		{"of a later version", nil, sallyport.Fused, false},
	} {
		ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{sallyport.ChainMetadata: c.says})
		text := extended(t, fullRequest(g.key(), sallyport.ChainUnset), map[string]string{"api": "orders", "chain": c.route, "source": "X-Envoy-External-Address"})
		answer, err := handleCheck(server, ctx, func(to any) error { return decodeCheck(text, &to.(*call).Request) }, nil)
		if err != nil {
			t.Fatal(err)
		}
		out := answer.(*call)
		if got := out.Decision.Chain; got != c.want || out.Decision.Reason != sallyport.Allowed {
			t.Errorf("the route says %q, the listener %q: took %v (%v), want %v", c.route, c.says, got, out.Decision.Reason, c.want)
		}
		if sid, source := out.Request.SID(), out.Request.Client(); c.believed != (sid != "") || c.believed != (source != "") {
			t.Errorf("the route says %q, the listener %q: the sid is %q, the client %q", c.route, c.says, sid, source)
		}
		if passed := !slices.Contains(out.reply.Remove, "x-sallyport-sid"); passed != c.believed {
			t.Errorf("the route says %q, the listener %q: the upstream gets the sid: %v", c.route, c.says, passed)
		}
		out.Release()
	}
}

// Whatever comes is refused in our own shape: no panic, no gRPC error, and a
// malformed request is never our failure, which an Envoy may be told to let pass.
func TestMalformedMessagesAreRefused(t *testing.T) {
	g := newGate(t)
	good := message(t, get("/v1/orders", "x-api-key", g.key()))
	bad := map[string][]byte{
		"empty": nil, "cut short": good[:len(good)-3], "garbage": []byte("\xff\xff\xff\xff garbage"),
		"not UTF-8":  []byte(strings.Replace(string(good), "api.orders.test", "api.orders.tes\xff", 1)),
		"only zeros": make([]byte, 100),
	}
	for name, msg := range bad {
		out := g.answered(msg)
		if out.GetDeniedResponse() == nil || out.GetStatus().GetCode() == 0 {
			t.Errorf("%s: not denied: %v", name, out)
		}
	}
}

// G8, G9: an outage of ours is an error_response with 503, Retry-After and the
// API's shape; so is a panic.
func TestAnOutageIsAnErrorResponse(t *testing.T) {
	for name, fault := range map[string]func(context.Context) error{
		"store down": func(context.Context) error { return errors.New("disk on fire") },
		"a panic":    func(context.Context) error { panic("a fault of ours") },
	} {
		g := newGate(t)
		g.counters.err = nil
		if name == "a panic" {
			g.limiter = panicking{}
		} else {
			g.shelf.hold = fault
		}
		out := g.answered(message(t, fullRequest(g.key(), sallyport.Fused))).GetErrorResponse()
		headers := fmt.Sprint(out.GetHeaders())
		if out.GetStatus().GetCode() != 503 || !strings.Contains(headers, "retry-after") || !strings.Contains(headers, "application/json") || !strings.Contains(out.GetBody(), `"code":"service_unavailable"`) {
			t.Errorf("%s: %v", name, out)
		}
	}
}

// panicking is a Limiter with a fault.
type panicking struct{ Limiter }

// G13, G2: an id that is not a sane one is replaced wherever it goes.
func TestAnInsaneRequestIDIsReplaced(t *testing.T) {
	g := newGate(t)
	for _, id := range []string{strings.Repeat("a", 129), "a b", "<script>", "ümlaut", "a\tb", "\"quoted\""} {
		req := get("/v1/orders", "x-api-key", g.key(), "x-request-id", id)
		ok := g.answered(message(t, req)).GetOkResponse()
		var sent, own string
		for _, o := range ok.GetHeaders() {
			switch o.GetHeader().GetKey() {
			case "x-request-id":
				sent = o.GetHeader().GetValue()
			case "x-sallyport-request-id":
				own = o.GetHeader().GetValue()
			}
		}
		if len(own) != 16 || sent != own {
			t.Errorf("%q became %q and %q", id, sent, own)
		}
	}
}

// FuzzCheck: any bytes get an answer, and without a key that was issued the
// answer is never OK.
func FuzzCheck(f *testing.F) {
	t := &testing.T{}
	g := newGate(t)
	stranger := "ord_live_0123456789abcdefghijklmnopqrstuv012345"
	f.Add(message(t, get("/v1/orders", "x-api-key", stranger)))
	f.Add(message(t, fullRequest(stranger, sallyport.Paired)))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if out := g.answered(msg); out.GetOkResponse() != nil || out.GetStatus().GetCode() == 0 {
			t.Errorf("passed: %v", out)
		}
	})
}
