package ratelimit

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"github.com/sallyport/sallyport"
)

// What generated configuration makes Envoy tell of each stream.
const (
	logHeaderSID = sallyport.SIDHeader
	logNamespace = "envoy.filters.http.ext_authz" // of what Check wrote
	logDecision  = "decision"                     // among that: the decision's id, always
	logCost      = "cost"                         // and the response header that tells more hits
	logDenied    = "ext_authz_denied"             // the details of a response that Check made
	logNoUpgrade = "upgrade_failed"               // and of the one to an upgrade that is not served
)

// Spent is what the answer to a request told that it counts for.
type Spent struct {
	SID  string
	Hits uint64 // as told, in all; math.MaxUint64 for more than that

	// Metadata returns what Check wrote under a key of its dynamic metadata,
	// such as sallyport.SubjectKeys; "" where it wrote nothing.
	Metadata func(key string) string
}

// AccessLog is Envoy's AccessLogService, in so far as it tells when streams go
// on and end, and what they cost. Entries hold paths and addresses of clients:
// nothing of them is kept or logged. Safe for concurrent use.
type AccessLog struct {
	accesslogv3.UnimplementedAccessLogServiceServer

	leases Leases
	now    func() time.Time
	spend  func(context.Context, Spent)

	malformed atomic.Uint64
	opened    atomic.Bool // some stream was, ever
	closing   chan struct{}
	mu        sync.Mutex
	closed    bool           // guarded by mu
	readers   sync.WaitGroup // one for each stream; added to under mu, and not once closed
}

// NewAccessLog returns a service that releases and renews leases. It calls spend
// once for each stream whose answer told its cost; nil ignores costs.
func NewAccessLog(leases Leases, now func() time.Time, spend func(context.Context, Spent)) *AccessLog {
	return &AccessLog{leases: leases, now: now, spend: spend, closing: make(chan struct{})}
}

// StreamAccessLogs implements Envoy's protocol: it reads until the proxy or
// Close ends the stream. Nothing is answered.
func (a *AccessLog) StreamAccessLogs(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	if !a.open() {
		return grpcstatus.Error(codes.Unavailable, "shutting down")
	}
	ended := make(chan error, 1)
	// A reader of its own, since a read ends only with the stream: it ends when
	// this function has returned, and Close waits for it.
	go func() {
		defer a.readers.Done()
		ended <- a.read(stream)
	}()
	select {
	case err := <-ended:
		return err
	case <-a.closing:
		return grpcstatus.Error(codes.Unavailable, "shutting down")
	}
}

func (a *AccessLog) open() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.readers.Add(1)
		a.opened.Store(true)
	}
	return !a.closed
}

// Close ends all streams, which would otherwise keep a graceful stop of the
// server waiting, and waits until no entry is being read. What comes after is
// refused. It may be called again.
func (a *AccessLog) Close() {
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.closing)
	}
	a.mu.Unlock()
	a.readers.Wait()
}

// Opened reports whether a proxy has ever told anything. One opens its stream
// with the first entry that its configuration lets pass: that none was opened is
// no proof that it has no access log.
func (a *AccessLog) Opened() bool { return a.opened.Load() }

// Malformed returns how many entries, or costs in them, were ignored because
// nothing could be made of them.
func (a *AccessLog) Malformed() uint64 { return a.malformed.Load() }

func (a *AccessLog) read(stream accesslogv3.AccessLogService_StreamAccessLogsServer) error {
	for {
		message := new(logMessage)
		err := stream.RecvMsg(message)
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(&accesslogv3.StreamAccessLogsResponse{})
		}
		if err != nil {
			return err
		}
		for entry, err := range entries(unread(message)) {
			if err != nil {
				a.malformed.Add(1)
				continue
			}
			a.note(stream.Context(), &entry)
		}
	}
}

// note makes of one entry what it means. A stream without a sid of the proxy's
// ended before any filter saw it, and holds nothing.
func (a *AccessLog) note(ctx context.Context, entry *logEntry) {
	defer func() {
		if p := recover(); p != nil {
			a.malformed.Add(1)
			slog.Error("access log: panic", "panic", p)
		}
	}()
	sid := entry.sid()
	if sid == "" {
		return
	}
	switch datav3.AccessLogType(entry.kind) {
	case datav3.AccessLogType_DownstreamPeriodic:
		a.leases.Renew(sid, a.now())
	case datav3.AccessLogType_DownstreamEnd:
		// Check answered a stream that it denied, so no Hold of it is still to
		// come.
		if entry.details() == logDenied {
			a.leases.Free(sid)
		} else {
			a.leases.End(sid)
		}
		a.charge(ctx, entry, sid)
	}
}

// charge tells what the answer said that the request counts for, where Check
// named a header for it.
func (a *AccessLog) charge(ctx context.Context, entry *logEntry, sid string) {
	name := entry.checked(logCost)
	if a.spend == nil || name == "" {
		return
	}
	told, ok := entry.told(name)
	if !ok {
		return
	}
	hits, err := strconv.ParseUint(told, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		hits = math.MaxUint64
	case err != nil:
		a.malformed.Add(1)
		return
	}
	a.spend(ctx, Spent{SID: sid, Hits: hits, Metadata: entry.checked})
}

var _ accesslogv3.AccessLogServiceServer = (*AccessLog)(nil)
