package ratelimit

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport"
)

// heard is Leases that note what they are told.
type heard struct {
	mu    sync.Mutex
	calls []string // guarded by mu
}

func (h *heard) note(call string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, call)
}

func (h *heard) list() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

func (h *heard) Hold(context.Context, time.Time, string, *sallyport.Subject, []*sallyport.Limit) (*sallyport.Limit, error) {
	return nil, errors.New("not for an access log")
}
func (h *heard) Free(sid string)               { h.note("free " + sid) }
func (h *heard) End(sid string)                { h.note("end " + sid) }
func (h *heard) Renew(sid string, _ time.Time) { h.note("renew " + sid) }

// entryOf is what Envoy tells of a stream.
func entryOf(kind datav3.AccessLogType, sid string, change ...func(*datav3.HTTPAccessLogEntry)) *datav3.HTTPAccessLogEntry {
	e := &datav3.HTTPAccessLogEntry{
		CommonProperties: &datav3.AccessLogCommon{AccessLogType: kind, RouteName: "upstream"},
		Request:          &datav3.HTTPRequestProperties{Path: "/v1/orders", RequestHeaders: map[string]string{"other": "x", logHeaderSID: sid}},
		Response:         &datav3.HTTPResponseProperties{ResponseCodeDetails: "via_upstream"},
	}
	for _, c := range change {
		c(e)
	}
	return e
}

func checked(t testing.TB, fields map[string]any) func(*datav3.HTTPAccessLogEntry) {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return func(e *datav3.HTTPAccessLogEntry) {
		e.CommonProperties.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"other": s, logNamespace: s}}
	}
}

func tells(header, value string) func(*datav3.HTTPAccessLogEntry) {
	return func(e *datav3.HTTPAccessLogEntry) {
		e.Response.ResponseHeaders = map[string]string{"content-type": "a", header: value}
	}
}

func messageOf(entries ...*datav3.HTTPAccessLogEntry) *accesslogv3.StreamAccessLogsMessage {
	return &accesslogv3.StreamAccessLogsMessage{
		Identifier: &accesslogv3.StreamAccessLogsMessage_Identifier{LogName: "sallyport"},
		LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: entries}},
	}
}

// serve runs log behind a real server and returns a stream to it.
func serve(t *testing.T, log *AccessLog) (grpc.ClientStreamingClient[accesslogv3.StreamAccessLogsMessage, accesslogv3.StreamAccessLogsResponse], *grpc.Server) {
	t.Helper()
	listener, server := bufconn.Listen(1<<20), grpc.NewServer()
	accesslogv3.RegisterAccessLogServiceServer(server, log)
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(listener) })
	conn, err := grpc.NewClient("passthrough:log", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop(); serving.Wait() })
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream, server
}

func TestAccessLogTellsTheLeases(t *testing.T) {
	leases := new(heard)
	log := NewAccessLog(leases, time.Now, nil)
	stream, _ := serve(t, log)
	for _, m := range []*accesslogv3.StreamAccessLogsMessage{
		messageOf(entryOf(datav3.AccessLogType_DownstreamStart, "a"), entryOf(datav3.AccessLogType_DownstreamPeriodic, "a")),
		messageOf(),
		{LogEntries: &accesslogv3.StreamAccessLogsMessage_TcpLogs{}},
		messageOf(nil, &datav3.HTTPAccessLogEntry{}, entryOf(datav3.AccessLogType_DownstreamEnd, "")),
		messageOf(entryOf(datav3.AccessLogType_UpstreamEnd, "b"), entryOf(datav3.AccessLogType_NotSet, "c")),
		messageOf(entryOf(datav3.AccessLogType_DownstreamEnd, "a"), entryOf(datav3.AccessLogType_DownstreamEnd, "d",
			func(e *datav3.HTTPAccessLogEntry) { e.Response.ResponseCodeDetails = logDenied })),
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Error(err)
	}
	if got, want := leases.list(), []string{"renew a", "end a", "free d"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What the proxy refused before its filters ran names the sid that the client
// sent: it renews and releases nothing.
func TestAccessLogBelievesNoClient(t *testing.T) {
	decided := checked(t, map[string]any{"decision": "0123456789abcdef"})
	unrouted := func(e *datav3.HTTPAccessLogEntry) { e.CommonProperties.RouteName = "" }
	upgrade := func(e *datav3.HTTPAccessLogEntry) { e.Response.ResponseCodeDetails = logNoUpgrade }
	for _, c := range []struct {
		name   string
		change []func(*datav3.HTTPAccessLogEntry)
		want   []string
	}{
		{"routed, such as one that left during Check", nil, []string{"renew a", "end a"}},
		{"without a route", []func(*datav3.HTTPAccessLogEntry){unrouted}, nil},
		{"no such upgrade", []func(*datav3.HTTPAccessLogEntry){upgrade}, nil},
		{"decided, on a route without a name", []func(*datav3.HTTPAccessLogEntry){unrouted, decided}, []string{"renew a", "end a"}},
		{"decided, and the upstream's upgrade failed", []func(*datav3.HTTPAccessLogEntry){upgrade, decided}, []string{"renew a", "end a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			leases := new(heard)
			stream, _ := serve(t, NewAccessLog(leases, time.Now, nil))
			if err := stream.Send(messageOf(entryOf(datav3.AccessLogType_DownstreamPeriodic, "a", c.change...),
				entryOf(datav3.AccessLogType_DownstreamEnd, "a", c.change...))); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.CloseAndRecv(); err != nil {
				t.Fatal(err)
			}
			if got := leases.list(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAnswersTellTheirCost(t *testing.T) {
	check := checked(t, map[string]any{"cost": "x-tokens", "operation": "POST /v1/x", "number": 4})
	type spending struct {
		sid, operation, number string
		hits                   uint64
	}
	for _, c := range []struct {
		name      string
		entry     *datav3.HTTPAccessLogEntry
		want      []spending
		malformed uint64
	}{
		{"told", entryOf(datav3.AccessLogType_DownstreamEnd, "a", check, tells("x-tokens", "1234")), []spending{{"a", "POST /v1/x", "", 1234}}, 0},
		{"too much", entryOf(datav3.AccessLogType_DownstreamEnd, "a", check, tells("x-tokens", "99999999999999999999")), []spending{{"a", "POST /v1/x", "", math.MaxUint64}}, 0},
		{"while it goes on", entryOf(datav3.AccessLogType_DownstreamPeriodic, "a", check, tells("x-tokens", "1234")), nil, 0},
		{"another header", entryOf(datav3.AccessLogType_DownstreamEnd, "a", check, tells("x-cost", "1234")), nil, 0},
		{"not a number", entryOf(datav3.AccessLogType_DownstreamEnd, "a", check, tells("x-tokens", "1e3")), nil, 1},
		{"negative", entryOf(datav3.AccessLogType_DownstreamEnd, "a", check, tells("x-tokens", "-3")), nil, 1},
		{"not asked for", entryOf(datav3.AccessLogType_DownstreamEnd, "a", checked(t, map[string]any{"cost": ""}), tells("", "3")), nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []spending
			log := NewAccessLog(new(heard), time.Now, func(_ context.Context, s Spent) {
				got = append(got, spending{s.SID, s.Metadata("operation"), s.Metadata("number"), s.Hits})
			})
			stream, _ := serve(t, log)
			if err := stream.Send(messageOf(c.entry)); err != nil {
				t.Fatal(err)
			}
			if _, err := stream.CloseAndRecv(); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) || log.Malformed() != c.malformed {
				t.Errorf("got %+v and %d malformed, want %+v and %d", got, log.Malformed(), c.want, c.malformed)
			}
		})
	}
}

// A stream of the access log is open as long as the proxy lives: Close ends it,
// so that a graceful stop does not wait for it.
func TestCloseEndsTheStreams(t *testing.T) {
	leases := new(heard)
	log := NewAccessLog(leases, time.Now, nil)
	if log.Opened() {
		t.Error("a stream was opened before any was")
	}
	stream, server := serve(t, log)
	if err := stream.Send(messageOf(entryOf(datav3.AccessLogType_DownstreamEnd, "a"))); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return len(leases.list()) == 1 })
	if !log.Opened() {
		t.Error("a stream was never opened")
	}
	log.Close()
	log.Close()
	server.GracefulStop() // hangs where a stream is left
	if err := stream.RecvMsg(new(accesslogv3.StreamAccessLogsResponse)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the proxy was told %v, want an error, so that it connects again", err)
	}
	if err := log.StreamAccessLogs(nil); err == nil {
		t.Error("a stream was taken after Close")
	}
}

func await(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never came to be")
		}
	}
}

func TestAPanicEndsNoStream(t *testing.T) {
	log := NewAccessLog(new(heard), time.Now, func(context.Context, Spent) { panic("broken") })
	stream, _ := serve(t, log)
	entry := entryOf(datav3.AccessLogType_DownstreamEnd, "a", checked(t, map[string]any{"cost": "x-tokens"}), tells("x-tokens", "1"))
	for range 2 {
		if err := stream.Send(messageOf(entry)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.CloseAndRecv(); err != nil || log.Malformed() != 2 {
		t.Errorf("error %v, %d malformed, want 2", err, log.Malformed())
	}
}

// What we read of an entry is what the generated types read of it, and bytes
// that are not UTF-8 are no reason to stop.
func FuzzEntriesAreReadAsGeneratedTypesDo(f *testing.F) {
	whole, err := proto.Marshal(messageOf(
		entryOf(datav3.AccessLogType_DownstreamEnd, "a", checked(f, map[string]any{"cost": "x-tokens", "list": []any{1, "x"}}), tells("x-tokens", "7")),
		entryOf(datav3.AccessLogType_DownstreamPeriodic, "b")))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, false)
	f.Add(whole[:len(whole)/2], false)
	f.Add([]byte("\x12\x03\x0a\x01\xff"), false)
	f.Add(whole, true)
	f.Fuzz(func(t *testing.T, b []byte, again bool) {
		want := new(accesslogv3.StreamAccessLogsMessage)
		if again { // in the form that a proxy writes
			err := proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, want)
			if err == nil {
				b, err = proto.Marshal(want)
			}
			if err != nil {
				t.Skip()
			}
		}
		message := new(logMessage)
		if err := proto.Unmarshal(b, message); err != nil {
			return
		}
		var got []logEntry
		for e, err := range entries(unread(message)) {
			_, _, _ = e.sid(), e.details(), e.checked(logCost)
			if err == nil {
				got = append(got, e)
			} else if again {
				t.Fatalf("a message that generated types read: %v", err)
			}
		}
		if !again {
			return
		}
		if len(got) != len(want.GetHttpLogs().GetLogEntry()) {
			t.Fatalf("%d entries, want %d", len(got), len(want.GetHttpLogs().GetLogEntry()))
		}
		for i, w := range want.GetHttpLogs().GetLogEntry() {
			e := got[i]
			told, ok := e.told("x-tokens")
			wantTold, wantOK := w.GetResponse().GetResponseHeaders()["x-tokens"]
			fields := w.GetCommonProperties().GetMetadata().GetFilterMetadata()[logNamespace].GetFields()
			sid := w.GetRequest().GetRequestHeaders()[logHeaderSID]
			if (w.GetCommonProperties().GetRouteName() == "" || w.GetResponse().GetResponseCodeDetails() == logNoUpgrade) && fields[logDecision].GetStringValue() == "" {
				sid = ""
			}
			if int32(e.kind) != int32(w.GetCommonProperties().GetAccessLogType()) || e.sid() != sid ||
				told != wantTold || ok != wantOK || e.details() != w.GetResponse().GetResponseCodeDetails() ||
				e.checked("cost") != fields["cost"].GetStringValue() {
				t.Errorf("entry %d is read otherwise than %v", i, w)
			}
		}
	})
}

func TestBytesThatAreNotTextDoNotHideAnEntry(t *testing.T) {
	b, err := proto.Marshal(messageOf(entryOf(datav3.AccessLogType_DownstreamEnd, "a")))
	if err != nil {
		t.Fatal(err)
	}
	b[slices.Index(b, 'v')] = 0xff // of the path
	if proto.Unmarshal(b, new(accesslogv3.StreamAccessLogsMessage)) == nil {
		t.Fatal("generated types take it too, so this proves nothing")
	}
	message := new(logMessage)
	if err := proto.Unmarshal(b, message); err != nil {
		t.Fatal(err)
	}
	for e, err := range entries(unread(message)) {
		if err != nil || e.sid() != "a" {
			t.Errorf("sid: got %q (error %v), want a", e.sid(), err)
		}
	}
}

func BenchmarkAccessLogEntry(b *testing.B) {
	whole, err := proto.Marshal(messageOf(entryOf(datav3.AccessLogType_DownstreamEnd, "0b0e3f6c-5a1c-4a53-9c1e-5a0d3c1b2a3f",
		checked(b, map[string]any{"api": "orders", "tenant": "t1", "lease": "x", "decision": "y", "limits": "requests=60/60s"}))))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		log := NewAccessLog(NewSlots(time.Now), time.Now, nil)
		b.ReportAllocs()
		for b.Loop() {
			message := new(logMessage)
			if err := proto.Unmarshal(whole, message); err != nil {
				b.Fatal(err)
			}
			for e := range entries(unread(message)) {
				log.note(context.Background(), &e)
			}
		}
	})
	b.Run("generated types, decoding alone", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(whole, new(accesslogv3.StreamAccessLogsMessage)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
