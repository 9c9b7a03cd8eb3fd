package ratelimit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/render"
)

// Server is Envoy's RateLimitService over Counters. It must be registered with
// Register on a grpc.Server with the codec of package wire. Safe for concurrent
// use; a policy may be put in force while it serves.
type Server struct {
	counters Counters
	now      func() time.Time
	recorder Recorder
	rules    atomic.Pointer[rules]

	overloaded func() bool // nil: never

	directories atomic.Pointer[Directories]
}

// rules is a policy as this room needs it.
type rules struct {
	apis map[string]*apiRules
}

type apiRules struct {
	*sallyport.API
	answers    *render.Answers
	operations map[string]*sallyport.Operation
	limits     map[string]*sallyport.Limit
}

// Recorder is told the outcome of every call, and of a refusal whose it was. It
// must not keep a Decision that it is told, and must not block.
type Recorder interface {
	Limited(why sallyport.Reason)
	Counted(c Counted)
	Refused(d *sallyport.Decision)
}

// Counted is what came of one descriptor of a domain that is not ours, and of a
// limit in shadow that would have refused.
type Counted struct {
	Rule   string // the rule's name among metrics: there are as many as rules
	Detail string // a name that tells more, of which there may be as many as clients; "" for none
	Hits   uint64
	Over   bool
	Shadow bool // it refuses nobody
}

// NewServer returns a server that knows no API until a policy is put in force.
func NewServer(counters Counters, now func() time.Time, recorder Recorder) *Server {
	s := &Server{counters: counters, now: now, recorder: recorder}
	s.rules.Store(&rules{})
	return s
}

// Prepare compiles p; commit then puts it in force.
func (s *Server) Prepare(p *sallyport.Policy) (commit func(), err error) {
	r := &rules{apis: make(map[string]*apiRules)}
	for _, api := range p.APIs {
		answers, err := render.NewAnswers(api)
		if err != nil {
			return nil, err
		}
		a := &apiRules{API: api, answers: answers, operations: make(map[string]*sallyport.Operation), limits: make(map[string]*sallyport.Limit)}
		for _, op := range api.Operations {
			a.operations[op.Name] = op
		}
		for _, l := range api.Limits {
			a.limits[l.Name] = l
		}
		r.apis[api.Name] = a
	}
	return func() { s.rules.Store(r) }, nil
}

// RefuseWhile makes s refuse, as cheaply as it can, what comes while overloaded
// reports that there is more to do than can be done. It must be called before s
// serves.
func (s *Server) RefuseWhile(overloaded func() bool) { s.overloaded = overloaded }

// Register registers s. The service is described here, and not by generated
// code, because its messages decode and encode themselves.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.ratelimit.v3.RateLimitService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "ShouldRateLimit", Handler: handleShouldRateLimit}},
		Metadata:    "envoy/service/ratelimit/v3/rls.proto",
	}, s)
}

func handleShouldRateLimit(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	if err := ctx.Err(); err != nil {
		srv.(*Server).recorder.Limited(sallyport.Overloaded)
		return nil, grpcstatus.FromContextError(err).Err() // it has waited for too long: nobody reads the answer
	}
	c := newCall()
	err := decode(c)
	if err == nil {
		err = srv.(*Server).limit(ctx, c)
	}
	if err != nil {
		c.Release()
		return nil, err
	}
	return c, nil
}

// limit takes what the request's descriptor names, and says what is left in the
// API's own headers, or refuses in its own shape. A malformed request is
// InvalidArgument. Counters that cannot be asked are Unavailable, which Envoy's
// filter turns into the API's 503, or are passed over where the API says so; so
// is what comes while there is too much to do.
func (s *Server) limit(ctx context.Context, c *call) (err error) {
	now := s.now()
	defer func() {
		if p := recover(); p != nil {
			slog.Error("rate limit: panic", "panic", p)
			s.record(&c.demand, sallyport.Panicked, now)
			err = grpcstatus.Error(codes.Internal, "internal error")
		}
	}()
	err = c.malformed
	if err == nil {
		err = s.rules.Load().understand(&c.question, &c.demand)
	}
	if err != nil {
		s.record(&c.demand, sallyport.RequestMalformed, now)
		return grpcstatus.Error(codes.InvalidArgument, err.Error())
	}
	d := &c.demand
	if s.overloaded != nil && s.overloaded() {
		s.record(d, sallyport.Overloaded, now)
		return grpcstatus.Error(codes.Unavailable, "overloaded")
	}
	c.allow()
	if d.foreign {
		return s.limitDescriptors(ctx, c, now)
	}
	if len(d.charges) == 0 {
		return nil
	}
	verdict, err := s.counters.Take(ctx, Call{Now: now, SID: d.sid, Subject: &d.subject, Charges: d.charges, Hits: d.hits})
	switch {
	case err != nil && d.api.OnFailure.QuotaOpen && !sallyport.RefusesAnyway(err):
		s.record(d, sallyport.CountersFailed, now)
		return nil
	case err != nil:
		s.record(d, sallyport.CountersFailed, now)
		return grpcstatus.Error(codes.Unavailable, "counters failed")
	case !verdict.Allowed:
		s.record(d, sallyport.QuotaExhausted, now)
		c.refuse(&verdict, now)
		return nil
	}
	if verdict.Shadow != "" {
		s.recorder.Counted(Counted{Rule: d.subject.API + "." + verdict.Shadow, Hits: d.hits, Over: true, Shadow: true})
	}
	s.record(d, sallyport.Allowed, now)
	c.grant(&verdict, now)
	return nil
}

// record says what came of d. Only a refusal is worth the memory of telling more
// than why.
func (s *Server) record(d *demand, why sallyport.Reason, now time.Time) {
	s.recorder.Limited(why)
	if !why.Refuses() {
		return
	}
	refused := &sallyport.Decision{At: now, Reason: why, Chain: sallyport.Paired, Subject: d.subject, RequestID: d.requestID}
	if d.api != nil {
		refused.API = d.api.API
	}
	s.recorder.Refused(refused)
}
