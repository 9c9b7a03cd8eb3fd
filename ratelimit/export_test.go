package ratelimit

import (
	"context"
	"fmt"

	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/protobuf/proto"
)

// ShouldRateLimit asks s as Envoy does, over the wire's bytes.
func (s *Server) ShouldRateLimit(ctx context.Context, req *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
	msg, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("the test's request: %w", err)
	}
	return s.ask(ctx, msg)
}

func (s *Server) ask(ctx context.Context, msg []byte) (*rlsv3.RateLimitResponse, error) {
	c := newCall()
	defer c.Release()
	c.Read(msg)
	if err := s.limit(ctx, c); err != nil {
		return nil, err
	}
	resp := new(rlsv3.RateLimitResponse)
	if err := proto.Unmarshal(c.Append(nil), resp); err != nil {
		return nil, fmt.Errorf("the answer is not protobuf: %w", err)
	}
	return resp, nil
}
