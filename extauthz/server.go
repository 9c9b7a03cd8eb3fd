package extauthz

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sallyport/sallyport"
)

// Recorder is told every decision, once, after it was made. It must not keep
// d, and must not block.
type Recorder interface {
	Record(d *sallyport.Decision, took time.Duration)
}

// Server is Envoy's Authorization service over an Authorizer. It must be
// registered with Register on a grpc.Server that was made with Codec.
type Server struct {
	authorizer *Authorizer
	recorder   Recorder
	overloaded func() bool // nil: never
}

// NewServer returns a server that answers with what authorizer decides.
func NewServer(authorizer *Authorizer, recorder Recorder) *Server {
	return &Server{authorizer: authorizer, recorder: recorder}
}

// RefuseWhile makes s refuse, as cheaply as it can, what comes while overloaded
// reports that there is more to do than can be done. It must be called before s
// serves.
func (s *Server) RefuseWhile(overloaded func() bool) { s.overloaded = overloaded }

// Register registers s. The service is described here, and not by generated
// code, because its messages are decoded and encoded by Codec.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.auth.v3.Authorization",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Check", Handler: handleCheck}},
		Metadata:    "envoy/service/auth/v3/external_auth.proto",
	}, s)
}

func handleCheck(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := ctx.Err(); err != nil {
		srv.(*Server).tellDropped()
		return nil, status.FromContextError(err).Err() // it has waited for too long: nobody reads the answer
	}
	c := newCall()
	if err := decode(c); err != nil {
		c.Release()
		return nil, err // the frame itself was broken: grpc-go's own answer
	}
	if c.Request.Chain == sallyport.PerListener {
		heedListener(ctx, &c.Request)
	}
	srv.(*Server).check(ctx, c)
	return c, nil
}

// heedListener gives req the chain that the call's metadata says. Where it says none,
// nobody has put our filters into the listener, and req stays PerListener.
func heedListener(ctx context.Context, req *sallyport.Request) {
	for _, said := range metadata.ValueFromIncomingContext(ctx, sallyport.ChainMetadata) {
		if chain, ok := sallyport.ParseChain(said); ok && chain != sallyport.PerListener {
			req.Chain = chain
			return
		}
	}
}

// tellDropped tells the recorder of a check that nobody waits for any more, of
// which nothing has been read.
func (s *Server) tellDropped() {
	if s.recorder != nil {
		s.recorder.Record(&sallyport.Decision{Reason: sallyport.Overloaded, At: s.authorizer.now()}, 0)
	}
}

// check fills c's answer. Whatever happens in it, the answer is one of ours: a
// panic is a refusal with its own reason.
func (s *Server) check(ctx context.Context, c *call) {
	rules := s.authorizer.rules.Load()
	c.proofKey = s.authorizer.proofKey
	defer func() {
		if p := recover(); p != nil {
			slog.Error("check: panic", "panic", p)
			s.fail(rules, c, sallyport.Panicked)
		}
	}()
	if c.malformed != nil {
		s.fail(rules, c, sallyport.RequestMalformed)
		return
	}
	if s.overloaded != nil && s.overloaded() {
		s.fail(rules, c, sallyport.Overloaded)
		return
	}
	s.authorizer.decide(ctx, rules, &c.Request, &c.Decision)
	rules.answer(c)
	if s.recorder != nil {
		s.recorder.Record(&c.Decision, time.Since(c.Decision.At))
	}
}

// fail makes c's answer a refusal for reason, whatever was decided before, in
// the shape of the API where that much of the request can be read.
func (s *Server) fail(rules *rules, c *call, reason sallyport.Reason) {
	if c.Decision.Lease {
		s.authorizer.slots.Free(c.Request.SID()) // the answer will tell of no lease
	}
	c.Decision.Reset()
	c.reply.reset()
	c.Decision.Reason, c.Decision.At = reason, s.authorizer.now()
	if api := rules.find(&c.Request); api != nil {
		c.Decision.API = api.API
	}
	rules.answer(c)
	if s.recorder != nil {
		s.recorder.Record(&c.Decision, 0)
	}
}
