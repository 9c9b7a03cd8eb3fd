package envoy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/sallyport/sallyport"
)

// aFewAtATime lets each connection start one stream in a round of the loop of
// events, as operators do against floods of resets. What comes in the same round
// has a route then, and may end before a filter has seen it.
func aFewAtATime(bootstrap []byte) []byte {
	return append(slices.Clone(bootstrap), "\nlayered_runtime: {layers: [{name: fixed, static_layer: {http.max_requests_per_io_cycle: 1}}]}\n"...)
}

// A client that knows the sid of a stream that goes on, its own or another's, as
// an upstream that echoes headers tells it, cannot end its lease: not by a
// request that Envoy refuses, and not by one that is reset, before the filter ran
// that would have overwritten the header.
func TestAForgedSidReleasesNothing(t *testing.T) {
	l := startEdited(t, sallyport.Fused, withSlots, aFewAtATime)
	d := holdSlots(l, 0, false)
	sids := make(chan string, 1)
	l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		if slices.Contains(checkHeader(r, "x-api-key"), "victim") {
			sids <- checkHeader(r, "x-sallyport-sid")[0]
		}
		return d.check(ctx, r)
	})
	arrived, leave := make(chan struct{}), make(chan struct{})
	l.onUpstream(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "stay" {
			arrived <- struct{}{}
			<-leave
		}
	})
	const host = "Host: api.orders.test"
	for name, attack := range map[string]func(sid string){
		"not a path": func(sid string) { l.send(request("OPTIONS *", host, sidIs(sid))) },
		"bad path":   func(sid string) { l.send(request("GET /a%00b", host, sidIs(sid))) },
		"no host":    func(sid string) { l.send(request("GET /v1/orders", sidIs(sid))) },
		"no route": func(sid string) {
			l.send("CONNECT api.orders.test:443 HTTP/1.1\r\n" + host + ":443\r\n" + sidIs(sid) + "\r\n\r\n")
		},
		"no upgrade": func(sid string) {
			l.send(request("GET /v1/orders", host, sidIs(sid), "Connection: upgrade", "Upgrade: websocket"))
		},
		"reset": l.resetTwo,
	} {
		t.Run(name, func(t *testing.T) {
			victim, err := net.Dial("tcp", l.envoy.Address())
			if err != nil {
				t.Fatal(err)
			}
			defer victim.Close()
			io.WriteString(victim, request("GET /v1/orders?stay", host, "X-Api-Key: victim"))
			<-arrived
			attack(<-sids)
			l.get("/v1/orders", "X-Api-Key: other")
			// Envoy tells of it after it has told of the attack.
			l.await(func() bool { return l.inFlight(d, "other") == 0 })
			if got := l.inFlight(d, "victim"); got != 1 {
				t.Errorf("%d in flight, want 1", got)
			}
			leave <- struct{}{}
			l.read(victim, false)
			l.none()
		})
	}
}

func sidIs(sid string) string { return "X-Sallyport-Sid: " + sid }

func (l *live) inFlight(d *doorman, key string) int {
	return l.slots.InFlight(d.limit, &sallyport.Subject{API: "orders", Credential: key})
}

// await waits for what the access log is to bring about.
func (l *live) await(f func() bool) {
	l.t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			l.t.Fatal("it never came to be")
		}
	}
}

// resetTwo starts two streams with a sid and resets them in the same moment, and
// waits until Envoy has seen it.
func (l *live) resetTwo(sid string) {
	l.t.Helper()
	conn, err := net.Dial("tcp", l.envoy.Address())
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	const headers, reset, settings, ping = 1, 3, 4, 6
	out := bytes.NewBufferString("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	frame := func(kind, flags byte, stream uint32, payload []byte) {
		head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
		out.Write(binary.BigEndian.AppendUint32(append(head, flags), stream))
		out.Write(payload)
	}
	var block []byte
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "api.orders.test"}, {":path", "/v1/orders"}, {"x-sallyport-sid", sid}} {
		block = append(block, 0) // a literal, by its name (RFC 7541 section 6.2.2)
		for _, s := range h {
			block = append(append(block, byte(len(s))), s...)
		}
	}
	frame(settings, 0, 0, nil)
	for _, stream := range []uint32{1, 3} {
		frame(headers, 0x1|0x4, stream, block) // the last, and whole
	}
	for _, stream := range []uint32{1, 3} {
		frame(reset, 0, stream, []byte{0, 0, 0, 8})
	}
	frame(ping, 0, 0, make([]byte, 8))
	if _, err := conn.Write(out.Bytes()); err != nil {
		l.t.Fatal(err)
	}
	in, head := bufio.NewReader(conn), make([]byte, 9)
	for head[3] != ping {
		if _, err := io.ReadFull(in, head); err != nil {
			l.t.Fatalf("read a frame: %v", err)
		}
		if _, err := in.Discard(int(binary.BigEndian.Uint32(head) >> 8)); err != nil {
			l.t.Fatalf("read a frame: %v", err)
		}
	}
}
