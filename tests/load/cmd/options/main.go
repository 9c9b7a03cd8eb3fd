// Command options is the empty server of the measurements with knobs: it shows
// what a hand-written codec and each option of grpc-go buy, one at a time, so
// that the gate's own choice rests on numbers.
//
// It is not for use as a gate: it allows everything. With -codec=scan it reads
// the request as the gate does and answers with a whole decision made once,
// which is the least that a gate on grpc-go can cost.
//
// It listens on a free port of the loopback interface, prints the address on
// standard output, and serves until it is killed.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"net"
	"runtime/debug"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
)

// knobs are what can be turned. Their zero values leave grpc-go's and Go's
// defaults alone.
type knobs struct {
	scan, whole      bool
	workers, streams uint
	readBuffer       int
	writeBuffer      int
	window           int
	static, drain    bool
	gc               int
	memory           int64
}

func main() {
	var k knobs
	flag.BoolVar(&k.scan, "scan", false, "scan the request and append the answer by a codec of our own")
	flag.BoolVar(&k.whole, "whole", false, "with -scan: answer with what a whole decision carries")
	flag.UintVar(&k.workers, "workers", 0, "NumStreamWorkers")
	flag.UintVar(&k.streams, "streams", 0, "MaxConcurrentStreams")
	flag.IntVar(&k.readBuffer, "read-buffer", 0, "ReadBufferSize in bytes")
	flag.IntVar(&k.writeBuffer, "write-buffer", 0, "WriteBufferSize in bytes")
	flag.IntVar(&k.window, "window", 0, "InitialWindowSize and InitialConnWindowSize in bytes; 65536 and more turn the estimator off")
	flag.BoolVar(&k.static, "static", false, "with -window: StaticStreamWindowSize and StaticConnWindowSize")
	flag.BoolVar(&k.drain, "drain", false, "WaitForHandlers")
	flag.IntVar(&k.gc, "gc", 0, "GC percent; -1: off")
	flag.Int64Var(&k.memory, "memory", 0, "soft memory limit in bytes")
	flag.Parse()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	log.Fatal(k.server().Serve(listener))
}

func (k knobs) server() *grpc.Server {
	if k.gc != 0 {
		debug.SetGCPercent(k.gc)
	}
	if k.memory != 0 {
		debug.SetMemoryLimit(k.memory)
	}
	server := grpc.NewServer(k.options()...)
	if k.scan {
		server.RegisterService(&scanService, nil)
	} else {
		authv3.RegisterAuthorizationServer(server, generated{})
	}
	return server
}

func (k knobs) options() (all []grpc.ServerOption) {
	add := func(when bool, options ...grpc.ServerOption) {
		if when {
			all = append(all, options...)
		}
	}
	window := int32(min(k.window, math.MaxInt32))
	add(k.scan, grpc.ForceServerCodecV2(newScanCodec(k.whole)))
	add(k.workers > 0, grpc.NumStreamWorkers(uint32(k.workers)))
	add(k.streams > 0, grpc.MaxConcurrentStreams(uint32(k.streams)))
	add(k.readBuffer > 0, grpc.ReadBufferSize(k.readBuffer))
	add(k.writeBuffer > 0, grpc.WriteBufferSize(k.writeBuffer))
	add(k.window > 0 && !k.static, grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window))
	add(k.window > 0 && k.static, grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window))
	add(k.drain, grpc.WaitForHandlers(true))
	return all
}

// generated answers as the baseline does.
type generated struct {
	authv3.UnimplementedAuthorizationServer
}

func (generated) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{
		Status:       &status.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{}},
	}, nil
}
