package envoy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport"
)

const slotsEach = 5

// patience is as much as Envoy's word of an end may be late on a machine that
// is far too busy: 17 ms were seen at a load of three times the processors, 130
// with the race detector besides.
const patience = 250 * time.Millisecond

// doorman is a Check that holds slots, and a rate limit service that comes
// after it.
type doorman struct {
	l       *live
	limit   *sallyport.Limit
	hostile bool // also fails in every way, and measures nothing
	granted atomic.Int64
	refused atomic.Int64
	peak    atomic.Int64
}

func holdSlots(l *live, wait time.Duration, hostile bool) *doorman {
	d := &doorman{l: l, hostile: hostile, limit: &sallyport.Limit{Name: "in-flight", Per: []string{"credential"}, Concurrency: slotsEach, Wait: wait}}
	l.onCheck(d.check)
	l.onLimit(func(ctx context.Context, r *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
		switch n := d.dice(40); n {
		case 0:
			return overLimit(ctx, r)
		case 1:
			return nil, context.DeadlineExceeded
		}
		return underLimit(ctx, r)
	})
	return d
}

// dice is 0 to n-1, and never one of them where all is to go well.
func (d *doorman) dice(n int) int {
	if !d.hostile {
		return n
	}
	return rand.IntN(n)
}

func (d *doorman) check(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	sid := checkHeader(r, "x-sallyport-sid")
	caller := checkHeader(r, "x-api-key")
	if len(sid) != 1 || len(caller) != 1 {
		return decided(deny(401)(ctx, r))("")
	}
	subject := &sallyport.Subject{API: "orders", Credential: caller[0]}
	lucky := d.dice(200)
	if lucky == 0 { // before it holds: too late, or never
		<-ctx.Done()
	}
	full, err := d.l.slots.Hold(ctx, d.l.now(), sid[0], subject, []*sallyport.Limit{d.limit})
	if err != nil {
		return nil, err
	}
	if full != nil {
		d.refused.Add(1)
		return decided(deny(429)(ctx, r))("")
	}
	d.granted.Add(1)
	now := int64(d.l.slots.InFlight(d.limit, subject))
	for peak := d.peak.Load(); now > peak && !d.peak.CompareAndSwap(peak, now); peak = d.peak.Load() {
	}
	switch lucky {
	case 1: // after it held, and Envoy does not get to know
		<-ctx.Done()
		return nil, ctx.Err()
	case 2:
		return nil, io.ErrUnexpectedEOF
	case 3: // refused for another reason after all
		d.l.slots.Free(sid[0])
		return decided(deny(403)(ctx, r))("")
	case 4: // an answer that Envoy does not take
		resp, err := decided(allow(ctx, r))(sid[0])
		resp.GetOkResponse().Headers[0].Header.Value = "a\nx-evil: 1"
		return resp, err
	}
	return decided(allow(ctx, r))(sid[0])
}

// decided adds what Check always says of a decision, and the lease where there
// is one.
func decided(resp *authv3.CheckResponse, err error) func(lease string) (*authv3.CheckResponse, error) {
	return func(lease string) (*authv3.CheckResponse, error) {
		if resp.DynamicMetadata == nil {
			resp.DynamicMetadata = &structpb.Struct{Fields: map[string]*structpb.Value{}}
		}
		resp.DynamicMetadata.Fields["decision"] = structpb.NewStringValue("0123456789abcdef")
		if lease != "" {
			resp.DynamicMetadata.Fields["lease"] = structpb.NewStringValue(lease)
		}
		return resp, err
	}
}

func withSlots(p *sallyport.Policy, _ *Options) { inFlight(p) }

// withHaste is withSlots where nobody waits for long, since much goes wrong.
func withHaste(p *sallyport.Policy, o *Options) {
	withSlots(p, o)
	o.Timeouts.Check, o.Timeouts.RateLimit, o.Timeouts.Upstream = 300*time.Millisecond, 300*time.Millisecond, 150*time.Millisecond
}

// rough is an upstream that fails in every way.
func rough(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // or it would not be noticed that Envoy has gone
	switch n := rand.IntN(200); {
	case n == 0: // too late
		<-r.Context().Done()
	case n < 4: // no answer
		panic(http.ErrAbortHandler)
	case n < 8: // half of one
		w.Header().Set("Content-Length", "100000")
		w.Write(make([]byte, 50000))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case n < 100:
		select {
		case <-time.After(time.Duration(rand.IntN(6)) * time.Millisecond):
		case <-r.Context().Done():
		}
	}
	io.WriteString(w, "ok")
}

// callers are clients of each protocol, with connections of their own.
func callers(n int) map[string]*http.Client {
	h1 := &http.Transport{MaxIdleConnsPerHost: n, MaxConnsPerHost: 0, DisableCompression: true}
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	return map[string]*http.Client{"h1": {Transport: h1, Timeout: 30 * time.Second}, "h2": {Transport: h2, Timeout: 30 * time.Second}}
}

// call sends one request and reads its answer; 0 is no answer.
func (l *live) call(ctx context.Context, c *http.Client, key string, body io.Reader) int {
	method := "GET"
	if body != nil {
		method = "POST"
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.envoy.Address()+"/v1/orders", body)
	if err != nil {
		return 0
	}
	req.Host = "api.orders.test"
	req.Header.Set("X-Api-Key", key)
	resp, err := c.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// breakOff speaks HTTP/1 badly, by hand: a request whose body is not one, or a
// connection that is reset.
func (l *live) breakOff(key string) {
	conn, err := net.Dial("tcp", l.envoy.Address())
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "POST /v1/orders HTTP/1.1\r\nHost: api.orders.test\r\nX-Api-Key: %s\r\nTransfer-Encoding: chunked\r\n\r\n", key)
	if rand.IntN(2) == 0 {
		io.WriteString(conn, "nonsense\r\n\r\n")
		bufio.NewReader(conn).ReadByte()
		return
	}
	conn.(*net.TCPConn).SetLinger(0)
}

// storm is how many requests a storm has in all: few by default, 50,000 where
// SALLYPORT_STORM says so.
func storm() int {
	n, err := strconv.Atoi(os.Getenv("SALLYPORT_STORM"))
	if err != nil {
		return 1200
	}
	return n
}

// rage sends n requests of eight keys, half of which are cancelled at some
// moment.
func (l *live) rage(n int) {
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	clients := callers(32)
	for i := range 32 {
		client := clients[[]string{"h1", "h2"}[i%2]]
		all.Go(func() {
			for left.Add(-1) >= 0 {
				key := fmt.Sprint("key", rand.IntN(8))
				ctx, cancel := context.WithCancel(context.Background())
				if rand.IntN(2) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(12_000))*time.Microsecond, cancel)
				}
				switch rand.IntN(20) {
				case 0:
					l.breakOff(key)
				case 1:
					l.call(ctx, client, key, strings.NewReader(strings.Repeat("x", rand.IntN(100_000))))
				default:
					l.call(ctx, client, key, nil)
				}
				cancel()
			}
		})
	}
	all.Wait()
	for _, c := range clients {
		c.CloseIdleConnections()
	}
}

// none waits until no slot is held, which the access log sees to and not the
// end of leases.
func (l *live) none() {
	l.t.Helper()
	for end := time.Now().Add(10 * time.Second); l.slots.Held() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			l.t.Errorf("%d slots are held for ever", l.slots.Held())
			return
		}
	}
}

// H4: a slot is free when its request ends, however it ends.
func TestNoSlotIsLeftByAStorm(t *testing.T) {
	for i, workers := range []int{1, 2} {
		chain := chains[i]
		t.Run(fmt.Sprintf("%d workers, %v", workers, chain), func(t *testing.T) {
			l := startWorkers(t, workers, chain, withHaste, func(b []byte) []byte { return b })
			l.gate.quiet = true
			d := holdSlots(l, 20*time.Millisecond, true)
			l.onUpstream(rough)
			began := time.Now()
			l.rage(storm() / 2)
			l.none()
			if got := l.stat("cluster.sallyport_accesslog.upstream_cx_destroy_with_active_rq"); got != "0" {
				t.Errorf("%s connections of the access log broke", got)
			}
			t.Logf("%d requests held a slot and %d were refused one, in %v; Envoy logged %s", d.granted.Load(), d.refused.Load(),
				time.Since(began), l.stat("access_logs.grpc_access_log.logs_written"))
			if peak := d.peak.Load(); peak > slotsEach || peak < 2 {
				t.Errorf("at most %d were in flight, want %d", peak, slotsEach)
			}
			if got := l.stat("access_logs.grpc_access_log.logs_dropped"); got != "0" {
				t.Errorf("Envoy dropped %s entries", got)
			}
			if l.slots.Expired() > 0 || l.log.Malformed() > 0 {
				t.Errorf("%d leases expired, %d entries were malformed", l.slots.Expired(), l.log.Malformed())
			}
		})
	}
}

// H4: a client never above the limit is never refused, and the upstream never
// sees more.
func TestNeverAboveIsNeverRefused(t *testing.T) {
	l := startWorkers(t, 2, sallyport.Paired, withSlots, func(b []byte) []byte { return b })
	l.gate.quiet = true
	d := holdSlots(l, patience, false)
	var inside, most atomic.Int64
	l.onUpstream(func(w http.ResponseWriter, r *http.Request) {
		n := inside.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if rand.IntN(4) == 0 {
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
		inside.Add(-1)
		io.WriteString(w, "ok")
	})
	for name, client := range callers(slotsEach) {
		t.Run(name, func(t *testing.T) {
			most.Store(0)
			n := storm() / 5
			var all sync.WaitGroup
			var left, bad atomic.Int64
			left.Store(int64(n))
			for range slotsEach {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if l.call(t.Context(), client, name, nil) != 200 {
							bad.Add(1)
						}
					}
				})
			}
			all.Wait()
			if bad.Load() > 0 {
				t.Errorf("%d of %d were not answered 200; %d were refused a slot", bad.Load(), n, d.refused.Load())
			}
			if most.Load() > slotsEach || most.Load() < 2 {
				t.Errorf("the upstream saw %d at once, want %d", most.Load(), slotsEach)
			}
		})
	}
	l.none()
}

// H4: if the proxy is gone, a slot is free after its lease's time.
func TestSlotsOfAKilledProxyEndWithTheirLeases(t *testing.T) {
	l := startLive(t, sallyport.Fused, withSlots)
	holdSlots(l, 0, false)
	arrived := make(chan struct{}, slotsEach)
	l.onUpstream(func(_ http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-r.Context().Done() })
	var all sync.WaitGroup
	before := time.Now()
	for range slotsEach {
		all.Go(func() { l.call(t.Context(), callers(1)["h1"], "k", nil) })
	}
	for range slotsEach {
		<-arrived
	}
	syscall.Kill(l.envoy.Pid(), syscall.SIGKILL)
	<-l.envoy.Exited()
	all.Wait()
	l.ahead.Store(int64(29*time.Second - time.Since(before)))
	if got := l.slots.Held(); got != slotsEach {
		t.Errorf("held before their time: got %d, want %d", got, slotsEach)
	}
	l.ahead.Store(int64(31 * time.Second))
	if got := l.slots.Held(); got != 0 || l.slots.Expired() != slotsEach {
		t.Errorf("held after their time: got %d, want none", got)
	}
}

// An ordinary request of an API without slots, or one that Check refused, is
// none of the access log's business.
func TestAccessLogIsToldOfSlotsAlone(t *testing.T) {
	l := startLive(t, sallyport.Fused, withSlots)
	d := holdSlots(l, 0, false)
	l.get("/v1/orders")                            // refused
	l.send(request("GET /", "Host: nowhere.test")) // of nobody
	l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		return decided(allow(ctx, r))("")
	})
	if a := l.get("/v1/orders"); a.Status != 200 { // holds none
		t.Errorf("got %d", a.Status)
	}
	if got := l.stat("access_logs.grpc_access_log.logs_written"); got != "0" {
		t.Errorf("Envoy told of %s streams, want none", got)
	}
	l.onCheck(d.check)
	if a := l.get("/v1/orders", "X-Api-Key: k", "User-Agent: \xff\xfe"); a.Status != 200 {
		t.Errorf("got %d", a.Status)
	}
	l.none()
	if got := l.stat("access_logs.grpc_access_log.logs_written"); got != "1" {
		t.Errorf("Envoy told of %s streams, want 1", got)
	}
}

// What an answer tells that it costs reaches the callback once, with what Check
// knew of the request, whether the answer was read to its end or not.
func TestAnswersTellTheirCost(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.String(), func(t *testing.T) {
			l := startLive(t, chain, func(p *sallyport.Policy, _ *Options) { costly(p) })
			l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
				resp, err := decided(allow(ctx, r))("")
				resp.DynamicMetadata.Fields["cost"] = structpb.NewStringValue("x-tokens")
				resp.DynamicMetadata.Fields[sallyport.HitsKey] = structpb.NewStringValue("7")
				return resp, err
			})
			l.onUpstream(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Tokens", "1234") })
			if a := l.get("/v1/orders"); a.Header.Get("X-Tokens") != "1234" {
				t.Errorf("the client got %v", a.Header)
			}
			s := <-l.spent
			if s.Hits != 1234 || len(s.SID) != 36 || s.Metadata("tenant") != "org_1" || s.Metadata("operation") != "GET /v1/orders" {
				t.Errorf("got %d for %q of %s", s.Hits, s.Metadata("operation"), s.Metadata("tenant"))
			}
			if chain == sallyport.Paired && entry(l.gate.lastLimit(), sallyport.HitsKey) != "7" {
				t.Errorf("the rate limit service was told %v", l.gate.lastLimit())
			}
		})
	}
}
