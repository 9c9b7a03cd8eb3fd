package extauthz

import (
	"context"
	"strconv"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// What is too much is refused in the API's own shape, as a failure of ours, and
// costs the caller nothing.
func TestTooMuchIsRefused(t *testing.T) {
	g := newGate(t)
	g.limiter = ratelimit.Limiter{Counters: ratelimit.NewMemory()}
	req := fullRequest(g.key(), sallyport.Fused)
	over := true
	s := NewServer(g.Authorizer, nil)
	s.RefuseWhile(func() bool { return over })
	ask := func() *authv3.CheckResponse {
		c := newCall()
		c.Read(message(t, req))
		s.check(context.Background(), c)
		out := new(authv3.CheckResponse)
		if err := proto.Unmarshal(c.Append(nil), out); err != nil {
			t.Fatal(err)
		}
		c.Release()
		return out
	}
	refused := ask()
	if e := refused.GetErrorResponse(); e.GetStatus().GetCode() != 503 || header(e.GetHeaders(), "retry-after") != "1" || e.GetBody() == "" {
		t.Errorf("got %v", refused)
	}
	if reason := refused.GetDynamicMetadata().GetFields()["reason"].GetStringValue(); reason != "gate.overloaded" {
		t.Errorf("got reason %q", reason)
	}
	over = false
	ok := ask().GetOkResponse()
	limit, err := strconv.Atoi(header(ok.GetResponseHeadersToAdd(), "x-ratelimit-limit"))
	if err != nil {
		t.Fatalf("got %v, %v", ok, err)
	}
	if left := header(ok.GetResponseHeadersToAdd(), "x-ratelimit-remaining"); left != strconv.Itoa(limit-1) {
		t.Errorf("%s of %d are left: the refusal was charged", left, limit)
	}
}

func header(all []*corev3.HeaderValueOption, name string) string {
	for _, o := range all {
		if o.GetHeader().GetKey() == name {
			return o.GetHeader().GetValue()
		}
	}
	return ""
}

// heard is why the decisions were made that a recorder was told of.
type heard []sallyport.Reason

func (h *heard) Record(d *sallyport.Decision, _ time.Duration) { *h = append(*h, d.Reason) }

// What nobody waits for any more is not looked at.
func TestWhatIsTooLateIsDropped(t *testing.T) {
	g := newGate(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	decode := func(any) error {
		t.Error("it was decoded")
		return nil
	}
	var told heard
	if got, err := handleCheck(NewServer(g.Authorizer, &told), ctx, decode, nil); got != nil || status.Code(err) != codes.Canceled {
		t.Errorf("got %v, %v", got, err)
	}
	if len(told) != 1 || told[0] != sallyport.Overloaded {
		t.Errorf("the recorder was told %v", told)
	}
	// Nor is it paid for.
	req := fullRequest(g.key(), sallyport.Fused)
	if d := g.decide(req); d.Reason != sallyport.Allowed { // and now its key is known
		t.Fatal(d.Reason)
	}
	var d sallyport.Decision
	g.Decide(ctx, &req, &d)
	if d.Reason != sallyport.Overloaded || d.Verdict.Known {
		t.Errorf("got %v, told %v", d.Reason, d.Verdict)
	}
}
