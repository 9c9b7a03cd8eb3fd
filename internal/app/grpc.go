package app

import (
	"runtime"
	"time"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3" // for reflection: our own services have no generated code
	_ "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/wire"
)

const (
	workersPerCore = 32

	// inFlightPerCore is how many calls may be in flight where the configuration
	// does not say: so many as are decided in some fifth of a second, which Envoy
	// waits for. What comes beyond is refused at once rather than late.
	inFlightPerCore = 4096
)

// overloaded returns a function that reports whether more than most goroutines
// are there. Each call in flight is one, whatever it waits for: a core, a slot, a
// Redis. So their number needs no counting that could go astray.
func overloaded(most int) func() bool {
	return func() bool { return runtime.NumGoroutine() > most }
}

// newGRPC makes the server that Envoy asks.
func (a *App) newGRPC(checks *extauthz.Server) {
	workers := workersPerCore * runtime.GOMAXPROCS(0)
	most := int(a.config.Listen.InFlight)
	if most == 0 {
		most = inFlightPerCore * runtime.GOMAXPROCS(0)
	}
	a.grpc = grpc.NewServer(
		grpc.ForceServerCodecV2(wire.Codec()),
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
		grpc.NumStreamWorkers(uint32(workers)),
		grpc.MaxConcurrentStreams(uint32(min(most, streamsPerConnection))),
	)
	checks.RefuseWhile(overloaded(workers + most))
	a.limits.RefuseWhile(overloaded(workers + most))
	checks.Register(a.grpc)
	a.limits.Register(a.grpc)
	accesslogv3.RegisterAccessLogServiceServer(a.grpc, a.streams)
	if a.envoys != nil {
		a.envoys.server.Register(a.grpc)
	}
	a.health = health.NewServer()
	a.health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	healthv1.RegisterHealthServer(a.grpc, a.health)
	reflection.Register(a.grpc)
}
