package main

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

const knownKey, strangerKey = "ord_live_k", "ord_live_s"

// gatekeeper is a server that knows one key, unless answer says otherwise.
type gatekeeper struct {
	authv3.UnimplementedAuthorizationServer
	answer func(ctx context.Context) (*authv3.CheckResponse, error)
}

func (g *gatekeeper) Check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	if g.answer != nil {
		return g.answer(ctx)
	}
	for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if h.GetKey() == "x-api-key" && string(h.GetRawValue()) == knownKey {
			return allow(0)
		}
	}
	return deny(401), nil
}

// pourInto makes calls to a server with such answers, has then done what is to be
// done after, and returns what came of them.
func pourInto(t *testing.T, calls int, g *gatekeeper, after func(), options ...grpc.ServerOption) (*tally, error) {
	t.Helper()
	listener, err := net.Listen("unix", t.TempDir()+"/gate.sock")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	authv3.RegisterAuthorizationServer(server, g)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	f, err := newFlood(t.Context(), listener.Addr().String(), []string{knownKey}, []string{strangerKey})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	phase, err := f.pour(t.Context(), 100_000, time.Duration(calls)*10*time.Microsecond)
	if after != nil {
		after()
	}
	if err == nil {
		err = f.settle()
	}
	if other, second := f.pour(t.Context(), 1, 0); second == nil && f.tally(other).due() != 0 {
		t.Error("a phase counts the calls of another")
	}
	return f.tally(phase), err
}

func TestEveryCallOfAFloodIsCounted(t *testing.T) {
	got, err := pourInto(t, 640, new(gatekeeper), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.calls[right]+got.calls[late]+got.calls[unsent] != 640 || got.calls[right] == 0 {
		t.Errorf("got %v", got.calls)
	}
}

func TestRefusalsOfAFloodAreCounted(t *testing.T) {
	for name, answer := range map[string]func(context.Context) (*authv3.CheckResponse, error){
		"in the API's shape": func(context.Context) (*authv3.CheckResponse, error) {
			return fail("gate.overloaded", "{}", retryAfter), nil
		},
		"on arrival": func(context.Context) (*authv3.CheckResponse, error) {
			return nil, grpcstatus.Error(codes.Unavailable, "overloaded")
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pourInto(t, 64, &gatekeeper{answer: answer}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.calls[tooMuch]+got.calls[late] != 64 || got.calls[tooMuch] == 0 {
				t.Errorf("got %v", got.calls)
			}
		})
	}
}

// What a server never answers is given up, and no more is on the way than it allows.
func TestAFloodIsBounded(t *testing.T) {
	hang := func(ctx context.Context) (*authv3.CheckResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	got, err := pourInto(t, 10*floodLanes, &gatekeeper{answer: hang}, nil, grpc.MaxConcurrentStreams(2))
	if err != nil {
		t.Fatal(err)
	}
	if got.calls[late] < 2*floodLanes || got.calls[late]+got.calls[unsent] != 10*floodLanes || got.calls[unsent] == 0 {
		t.Errorf("got %v", got.calls)
	}
}

func TestAWrongAnswerEndsTheFlood(t *testing.T) {
	for want, answer := range map[string]func(context.Context) (*authv3.CheckResponse, error){
		"no answer to the call": func(context.Context) (*authv3.CheckResponse, error) { return allow(0) }, // strangers too
		`"13" "broken"`: func(context.Context) (*authv3.CheckResponse, error) {
			return nil, grpcstatus.Error(codes.Internal, "broken")
		},
	} {
		got, err := pourInto(t, 64, &gatekeeper{answer: answer}, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v and %v, want an error with %q", got.calls, err, want)
		}
	}
}

func TestADeadConnectionEndsTheFlood(t *testing.T) {
	gone := make(chan struct{})
	g := &gatekeeper{answer: func(ctx context.Context) (*authv3.CheckResponse, error) {
		<-gone
		return nil, ctx.Err()
	}}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, g)
	listener, err := net.Listen("unix", t.TempDir()+"/gate.sock")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	f, err := newFlood(t.Context(), listener.Addr().String(), []string{knownKey}, []string{strangerKey})
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	if _, err := f.pour(t.Context(), 100_000, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	close(gone)
	server.Stop()
	if err := f.settle(); err == nil {
		t.Error("nobody noticed")
	}
}
