package app

import (
	"runtime"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3" // for reflection: our own service has no generated code
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/sallyport/sallyport/extauthz"
)

// newGRPC makes the server that Envoy asks.
func (a *App) newGRPC(checks *extauthz.Server) {
	a.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(extauthz.Codec()),
		// Envoy keeps one connection a worker and pings it: without this
		// grpc-go would answer the pings with GOAWAY.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
		// Fixed windows, wide enough for any Check, switch the bandwidth
		// estimator and its pings off.
		grpc.InitialWindowSize(1<<20),
		grpc.InitialConnWindowSize(1<<20),
		// A worker keeps its stack grown from one call to the next. It takes a
		// stream only while it is idle, so there are as many as streams in
		// flight at once in ordinary load; further ones get goroutines.
		grpc.NumStreamWorkers(uint32(32*runtime.GOMAXPROCS(0))),
	)
	checks.Register(a.grpc)
	rlsv3.RegisterRateLimitServiceServer(a.grpc, a.limits)
	accesslogv3.RegisterAccessLogServiceServer(a.grpc, a.streams)
	a.health = health.NewServer()
	a.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(a.grpc, a.health)
	reflection.Register(a.grpc)
}
