// Command empty is the baseline of the load measurements: the cheapest server
// that anyone gets without effort. A default grpc-go server, the generated
// types, and handlers that say yes.
//
// It is not for use as a gate: it allows everything. It costs whatever
// grpc-go costs, which is what the measurements divide by.
//
// It listens on a free port of the loopback interface, or on the Unix socket
// whose path is its argument, prints the address on standard output, and serves
// until it is killed.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

type authorization struct {
	authv3.UnimplementedAuthorizationServer
}

func (authorization) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status:       &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}

type rateLimit struct {
	ratelimitv3.UnimplementedRateLimitServiceServer
}

func (rateLimit) ShouldRateLimit(context.Context, *ratelimitv3.RateLimitRequest) (*ratelimitv3.RateLimitResponse, error) {
	return &ratelimitv3.RateLimitResponse{OverallCode: ratelimitv3.RateLimitResponse_OK}, nil
}

func main() {
	network, address := "tcp", "127.0.0.1:0"
	if len(os.Args) > 1 {
		network, address = "unix", os.Args[1]
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, authorization{})
	ratelimitv3.RegisterRateLimitServiceServer(server, rateLimit{})
	fmt.Println(listener.Addr())
	log.Fatal(server.Serve(listener))
}
