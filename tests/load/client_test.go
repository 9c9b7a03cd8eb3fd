package main

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
)

// checker is a server whose answers a test chooses, by the number of the call.
type checker struct {
	authv3.UnimplementedAuthorizationServer
	calls  atomic.Int64
	answer func(n int64) (*authv3.CheckResponse, error)
}

func (c *checker) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return c.answer(c.calls.Add(1))
}

func serve(t *testing.T, answer func(n int64) (*authv3.CheckResponse, error)) (address string, c *checker) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	c = &checker{answer: answer}
	authv3.RegisterAuthorizationServer(server, c)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return listener.Addr().String(), c
}

func allow(int64) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status:       &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

func drive(t *testing.T, address string, whole bool, calls int64) (answers uint64, err error) {
	t.Helper()
	request, err := newStencil([]string{"ord_live_a", "ord_live_b"}, whole, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), address, 16, request)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for range 2 {
		var budget atomic.Int64
		budget.Store(calls)
		if err := c.run(&budget, time.Now().Add(2*time.Minute)); err != nil {
			return c.answers, err
		}
	}
	return c.answers, nil
}

func TestEveryCallIsMadeAndCounted(t *testing.T) {
	for _, calls := range []int64{0, 1, 7, 16, 1000} {
		address, server := serve(t, allow)
		answers, err := drive(t, address, false, calls)
		if err != nil {
			t.Fatalf("%d calls: %v", calls, err)
		}
		if made := server.calls.Load(); made != 2*calls || answers != uint64(2*calls) {
			t.Errorf("twice %d calls: %d made, %d good answers", calls, made, answers)
		}
	}
}

func TestOneBadAnswerEndsTheRun(t *testing.T) {
	tests := []struct {
		name, want string
		whole      bool
		bad        func() (*authv3.CheckResponse, error)
	}{
		{"denied", "not an OK", false, func() (*authv3.CheckResponse, error) {
			return &authv3.CheckResponse{HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{Body: "go away"}}}, nil
		}},
		{"grpc error", `grpc status "14" "too busy"`, false, func() (*authv3.CheckResponse, error) {
			return nil, grpcstatus.Error(codes.Unavailable, "too busy")
		}},
		{"less than a decision", "lacks the header x-sallyport-tenant", true, func() (*authv3.CheckResponse, error) { return allow(0) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			address, _ := serve(t, func(n int64) (*authv3.CheckResponse, error) {
				if n == 300 || tt.whole {
					return tt.bad()
				}
				return allow(n)
			})
			_, err := drive(t, address, tt.whole, 1000)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestLoadStaysOnTheLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1:80": false, "localhost:80": false, "": false,
	} {
		if got := checkLoopback(address) == nil; got != want {
			t.Errorf("%q: got %v, want %v", address, got, want)
		}
	}
}

func TestCommandLine(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want int
	}{
		{"help", []string{"-h"}, 0},
		{"unknown flag", []string{"-x"}, 2},
		{"argument", []string{"x"}, 2},
		{"nothing", []string{"-sallyport", ""}, 2},
		{"target alone", []string{"-target", "127.0.0.1:1"}, 2},
		{"target elsewhere", []string{"-target", "192.0.2.1:1", "-key", "a", "-pid", "1"}, 2},
		{"no rounds", []string{"-rounds", "0"}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, complaint strings.Builder
			none := func(string) string { return "" }
			if got := run(t.Context(), tt.args, &out, &complaint, none); got != tt.want {
				t.Errorf("got %d, want %d: %s", got, tt.want, complaint.String())
			}
			if complaint.Len() == 0 {
				t.Error("nothing was said")
			}
		})
	}
}
