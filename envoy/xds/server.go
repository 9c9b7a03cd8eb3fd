package xds

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// linger is how long clusters are kept that nothing leads to any more: Envoy takes
// clusters before routes, and a request that was routed the moment before must find
// its own.
const linger = 5 * time.Second

// Server gives the configuration to the Envoys that ask. It is safe for concurrent
// use.
type Server struct {
	log    *slog.Logger
	cache  cache.SnapshotCache
	serve  server.Server
	end    context.CancelFunc
	linger time.Duration

	mu   sync.Mutex
	now  *Resources  // guarded by mu: what is served, and before it a while what was
	trim *time.Timer // guarded by mu: ends that while

	envoys, refused, changes atomic.Int64
}

// anyNode gives all Envoys one name.
type anyNode struct{}

func (anyNode) ID(*corev3.Node) string { return "envoy" }

// NewServer returns a server that has nothing to give yet: Envoys wait.
func NewServer(log *slog.Logger) *Server {
	s := &Server{log: log, linger: linger, cache: cache.NewSnapshotCache(true, anyNode{}, nil)}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.serve = server.NewServer(ctx, s.cache, server.CallbackFuncs{
		StreamOpenFunc:    s.opened,
		StreamClosedFunc:  s.closed,
		StreamRequestFunc: s.asked,
	}, sotw.WithOrderedADS())
	return s
}

// Register adds the aggregated discovery service to g.
func (s *Server) Register(g *grpc.Server) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s.serve)
}

// Set gives r to all Envoys, or where it does not hold together to none: what they
// have stays. An Envoy has it within milliseconds; whether it takes it, Refused
// tells, and the log.
func (s *Server) Set(r *Resources) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := r.snapshot()
	if err != nil {
		return err
	}
	if s.now != nil {
		if now, err := s.now.snapshot(); err == nil && slices.Equal(versionsOf(now), versionsOf(next)) {
			return nil // a reload that changes nothing of this
		}
	}
	if s.trim != nil {
		s.trim.Stop()
	}
	if err := s.setLocked(r.with(s.now)); err != nil {
		return err
	}
	s.changes.Add(1)
	if s.now != nil {
		s.trim = time.AfterFunc(s.linger, func() { s.trimTo(r) })
	}
	s.now = r
	return nil
}

func versionsOf(s *cache.Snapshot) (versions []string) {
	for _, r := range s.Resources {
		versions = append(versions, r.Version)
	}
	return versions
}

// trimTo takes away what r has not, unless r was replaced meanwhile.
func (s *Server) trimTo(r *Resources) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != r {
		return
	}
	if err := s.setLocked(r); err != nil {
		s.log.Error("the configuration of Envoy was not trimmed", "error", err)
	}
}

func (s *Server) setLocked(r *Resources) error {
	snapshot, err := r.snapshot()
	if err != nil {
		return err
	}
	if err := s.cache.SetSnapshot(context.Background(), anyNode{}.ID(nil), snapshot); err != nil {
		return fmt.Errorf("configuration of Envoy: %w", err)
	}
	return nil
}

// Close ends the streams, which never end by themselves. Envoys keep what they have
// and ask again.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trim != nil {
		s.trim.Stop()
	}
	s.now = nil
	s.end()
}

// Envoys is how many are connected now.
func (s *Server) Envoys() int64 { return s.envoys.Load() }

// Refused is how many answers Envoys did not take (NACKs).
func (s *Server) Refused() int64 { return s.refused.Load() }

// Changes is how many times Set had something new to give.
func (s *Server) Changes() int64 { return s.changes.Load() }

func (s *Server) opened(context.Context, int64, string) error {
	s.envoys.Add(1)
	return nil
}

func (s *Server) closed(int64, *corev3.Node) { s.envoys.Add(-1) }

// asked hears what an Envoy says of what it was given.
func (s *Server) asked(stream int64, r *discoveryv3.DiscoveryRequest) error {
	if r.GetErrorDetail() == nil {
		return nil
	}
	s.refused.Add(1)
	s.log.Error("an Envoy did not take its configuration and goes on with the one before", "node", r.GetNode().GetId(), "stream", stream,
		"type", r.GetTypeUrl()[strings.LastIndexByte(r.GetTypeUrl(), '.')+1:], "why", r.GetErrorDetail().GetMessage())
	return nil
}
