package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/envoyproc"
	"github.com/sallyport/sallyport/internal/testenv"
)

// stormSlots is how many requests of a key may be in flight.
const stormSlots = 5

// stormSize is how many requests a storm has in all: some by default, as many
// as SALLYPORT_STORM says where it does, such as 50000.
func stormSize() (n int, long bool) {
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_STORM")); err == nil && n > 0 {
		return n, true
	}
	return 3000, false
}

// stormGate is the product with slots behind an Envoy of its own.
type stormGate struct {
	t       *testing.T
	server  *server
	proxy   *envoyproc.Process
	boot    string
	workers int
	keys    []string
}

func newStormGate(t *testing.T, chain string, workers int, upstream http.Handler) *stormGate {
	t.Helper()
	testenv.Envoy(t)
	backend := httptest.NewServer(upstream)
	t.Cleanup(backend.Close)
	s := newServer(t, backend.URL)
	file := filepath.Join(s.folder, "sallyport.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const before = "limits: ["
	// A machine that is busy with other tests takes its time to tell Envoy's news.
	slots := fmt.Sprintf("%s{name: in-flight, per: [credential, operation], concurrency: %d, wait: 500ms}, ", before, stormSlots)
	s.write("sallyport.yaml", strings.Replace(string(text), before, slots, 1))
	s.start()
	g := &stormGate{t: t, server: s, boot: s.bootstrap(chain), workers: workers}
	s.cli("tenant", "create", "--api", "orders", "--id", "t1", "--plan", "big")
	for range 8 {
		g.keys = append(g.keys, strings.TrimSpace(s.cli("key", "create", "--api", "orders", "--tenant", "t1", "--scopes", "orders:read", "-q")))
	}
	g.start()
	return g
}

func (g *stormGate) start() {
	g.t.Helper()
	p, err := envoyproc.Start(context.Background(), envoyproc.Config{
		Binary: testenv.Envoy(g.t), Bootstrap: []byte(g.boot), Stderr: g.server.log, LogLevel: "error", Concurrency: g.workers,
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(p.Stop)
	g.proxy = p
}

// stormClients speak HTTP/1 and HTTP/2, each on connections of their own.
func stormClients() map[string]*http.Client {
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	return map[string]*http.Client{
		"h1": {Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		"h2": {Timeout: time.Minute, Transport: h2},
	}
}

// get sends a request under key and reads its answer; 0 is none.
func (g *stormGate) get(ctx context.Context, c *http.Client, key string) int {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+g.proxy.Address()+"/v1/orders", nil)
	if err != nil {
		return 0
	}
	req.Host = "api.orders.test"
	req.Header.Set("X-API-Key", key)
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

// breakOff sends a request by hand whose body is none, or resets the
// connection in its middle.
func (g *stormGate) breakOff(key string) {
	conn, err := net.Dial("tcp", g.proxy.Address())
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(conn, "GET /v1/orders HTTP/1.1\r\nHost: api.orders.test\r\nX-API-Key: %s\r\nTransfer-Encoding: chunked\r\n\r\n", key)
	if rand.IntN(2) == 0 {
		io.WriteString(conn, "nonsense\r\n\r\n")
		io.ReadAtLeast(conn, make([]byte, 1), 1)
		return
	}
	conn.(*net.TCPConn).SetLinger(0)
}

// stormUpstream answers at once, late, by half or not at all, and counts how
// many are with it.
type stormUpstream struct {
	calm         atomic.Bool // all goes well
	inside, most atomic.Int64
	gather       atomic.Bool   // all that come wait until gathered is closed
	arrived      chan struct{} // one for each that waits so
	gathered     chan struct{}
}

func (u *stormUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // or it would not be noticed that Envoy has gone
	n := u.inside.Add(1)
	defer u.inside.Add(-1)
	for m := u.most.Load(); n > m && !u.most.CompareAndSwap(m, n); m = u.most.Load() {
	}
	if u.gather.Load() {
		u.arrived <- struct{}{}
		select {
		case <-u.gathered:
		case <-r.Context().Done():
		}
		return
	}
	if u.calm.Load() {
		return
	}
	switch n := rand.IntN(200); {
	case n < 3:
		panic(http.ErrAbortHandler)
	case n < 6:
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
}

// rage sends n requests, half of which are cancelled at some moment.
func (g *stormGate) rage(n int) {
	clients := stormClients()
	var all sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for i := range 32 {
		client := clients[[]string{"h1", "h2"}[i%2]]
		all.Go(func() {
			for left.Add(-1) >= 0 {
				ctx, cancel := context.WithCancel(context.Background())
				if rand.IntN(2) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(12_000))*time.Microsecond, cancel)
				}
				if key := g.keys[rand.IntN(len(g.keys))]; rand.IntN(20) == 0 {
					g.breakOff(key)
				} else {
					g.get(ctx, client, key)
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

// everySlotIsFree sends as many requests of each key as may be in flight, and
// wants all of them to be at the upstream at once, and one more to be refused.
func (g *stormGate) everySlotIsFree(u *stormUpstream) {
	g.t.Helper()
	client := stormClients()["h1"]
	for _, key := range g.keys {
		u.arrived, u.gathered = make(chan struct{}, stormSlots), make(chan struct{})
		u.gather.Store(true)
		var all sync.WaitGroup
		statuses := make(chan int, stormSlots)
		for range stormSlots {
			all.Go(func() { statuses <- g.get(context.Background(), client, key) })
		}
		for i := range stormSlots {
			select {
			case <-u.arrived:
			case status := <-statuses:
				g.t.Errorf("request %d of %d was answered %d: a slot is not free", i+1, stormSlots, status)
			}
		}
		if status := g.get(context.Background(), client, key); status != 429 {
			g.t.Errorf("one more than may be in flight: got %d, want 429", status)
		}
		u.gather.Store(false)
		close(u.gathered)
		all.Wait()
		if g.t.Failed() {
			return
		}
	}
}

// H4: the sixth in flight is refused, whatever comes a slot is free when its
// request has ended, and who is never above five is never refused.
func TestStorm(t *testing.T) {
	n, _ := stormSize()
	for i, chain := range chains {
		workers := i + 1
		t.Run(fmt.Sprintf("%s on %d", chain, workers), func(t *testing.T) {
			u := new(stormUpstream)
			g := newStormGate(t, chain, workers, u)
			g.everySlotIsFree(u)
			g.rage(n / 2)
			g.everySlotIsFree(u)

			u.calm.Store(true)
			for name, client := range stormClients() {
				u.most.Store(0)
				var all sync.WaitGroup
				var left, bad atomic.Int64
				left.Store(int64(n / 5))
				for range stormSlots {
					all.Go(func() {
						for left.Add(-1) >= 0 {
							if status := g.get(context.Background(), client, g.keys[0]); status != 200 {
								bad.Add(1)
								t.Logf("%s: answered %d", name, status)
							}
						}
					})
				}
				all.Wait()
				if bad.Load() > 0 || u.most.Load() > stormSlots {
					t.Errorf("%s: %d of %d were not answered 200, and the upstream saw %d at once", name, bad.Load(), n/5, u.most.Load())
				}
			}
		})
	}
}

// H4: the slots of a proxy that is gone are free after their lease's 30 seconds,
// and not before.
func TestStormKillsTheProxy(t *testing.T) {
	if _, long := stormSize(); !long {
		t.Skip("half a minute of waiting: SALLYPORT_STORM=50000 has the time")
	}
	u := &stormUpstream{arrived: make(chan struct{}, stormSlots), gathered: make(chan struct{})}
	g := newStormGate(t, "paired", 1, u)
	u.gather.Store(true)
	client := stormClients()["h2"]
	var all sync.WaitGroup
	for range stormSlots {
		all.Go(func() { g.get(context.Background(), client, g.keys[0]) })
	}
	for range stormSlots {
		<-u.arrived
	}
	syscall.Kill(g.proxy.Pid(), syscall.SIGKILL)
	<-g.proxy.Exited()
	killed := time.Now()
	all.Wait()
	u.gather.Store(false)
	u.calm.Store(true)
	g.start()
	var status int
	for end := killed.Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if status = g.get(context.Background(), client, g.keys[0]); status != 429 {
			break
		}
	}
	if took := time.Since(killed); status != 200 || took < 25*time.Second || took > 40*time.Second {
		t.Errorf("answered %d after %v, want 200 after about 30s", status, took)
	}
}
