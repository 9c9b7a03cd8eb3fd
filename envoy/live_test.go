package envoy

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	commonrlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/sallyport/sallyport"
)

// onChains runs f behind Envoy on both chains.
func onChains(t *testing.T, f func(t *testing.T, l *live)) {
	for _, chain := range chains {
		t.Run(chain.String(), func(t *testing.T) { f(t, startLive(t, chain, nil)) })
	}
}

// wantShape checks an answer that Envoy made itself.
func wantShape(t *testing.T, a answer, status int, code string) {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal([]byte(a.Body), &body); err != nil {
		t.Errorf("status %d, body %q: %v", a.Status, a.Body, err)
	}
	if a.Status != status || body.Error.Code != code || body.Error.Message == "" {
		t.Errorf("got %d %s, want %d with code %s", a.Status, a.Body, status, code)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type: got %q", got)
	}
	if a.Header.Get("X-Request-Id") == "" {
		t.Error("no X-Request-ID")
	}
	if status == 503 && a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: got %q, want 1", a.Header.Get("Retry-After"))
	}
}

// checkHeader returns the values of a header as Check got them.
func checkHeader(r *authv3.CheckRequest, name string) (values []string) {
	for _, h := range r.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		if h.GetKey() == name {
			values = append(values, string(h.GetRawValue()))
		}
	}
	return values
}

// entry returns the value of a key in the descriptors that the service got.
func entry(r *rlsv3.RateLimitRequest, key string) string {
	for _, d := range r.GetDescriptors() {
		for _, e := range d.GetEntries() {
			if e.GetKey() == key {
				return e.GetValue()
			}
		}
	}
	return ""
}

func TestClientsCannotSpeakInOurName(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		a := l.get("/v1/orders", "X-Sallyport-Tenant: evil", "x_sallyport_tenant: evil", "X-Sallyport_Plan: evil",
			"x-sallyport-scopes: evil", "X-Sallyport-Sid: evil", "X-Api-Key: secret")
		if a.Status != 200 {
			t.Fatalf("got %d %s", a.Status, a.Body)
		}
		for name, values := range l.upstream.last().Header {
			if strings.Contains(strings.Join(values, " "), "evil") || name == "X-Api-Key" {
				t.Errorf("upstream got %s: %q", name, values)
			}
		}
		check := l.gate.lastCheck()
		for _, h := range check.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
			if strings.Contains(string(h.GetRawValue()), "evil") {
				t.Errorf("Check got %s: %q", h.GetKey(), h.GetRawValue())
			}
		}
		sid := checkHeader(check, "x-sallyport-sid")
		if len(sid) != 1 || len(sid[0]) != 36 || l.upstream.last().Header.Get("X-Sallyport-Sid") != sid[0] {
			t.Errorf("sid: Check got %q, the upstream %q", sid, l.upstream.last().Header.Get("X-Sallyport-Sid"))
		}
		if l.chain == sallyport.Paired && entry(l.gate.lastLimit(), sallyport.CarrierSID) != sid[0] {
			t.Errorf("sid: the rate limit service got %q, want %q", entry(l.gate.lastLimit(), sallyport.CarrierSID), sid[0])
		}
	})
}

func TestCheckSeesRepeatedHeadersApartAndBytesAsTheyAre(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		l.get("/v1/orders", "X-Api-Key: a", "X-Api-Key: b,\xff")
		if got, want := checkHeader(l.gate.lastCheck(), "x-api-key"), []string{"a", "b,\xff"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestRequestIDTravels(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		l.onUpstream(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Request-ID", "theirs") })
		for _, c := range []struct{ name, sent, byCheck, want string }{
			{"the client's is kept", "mine-1", "", "mine-1"},
			{"Check may replace it", "bad \xff", "req_2", "req_2"},
		} {
			l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
				resp, err := allow(ctx, r)
				if c.byCheck != "" {
					ok := resp.GetOkResponse()
					ok.Headers = append(ok.Headers, header("x-request-id", c.byCheck, overwrite))
					ok.ResponseHeadersToAdd[0] = header("x-request-id", c.byCheck, overwrite)
				}
				return resp, err
			})
			a := l.get("/v1/orders", "X-Request-ID: "+c.sent)
			if got := a.Header["X-Request-Id"]; !slices.Equal(got, []string{c.want}) {
				t.Errorf("%s: the client got %q, want %q", c.name, got, c.want)
			}
			if got := l.upstream.last().Header["X-Request-Id"]; !slices.Equal(got, []string{c.want}) {
				t.Errorf("%s: the upstream got %q, want %q", c.name, got, c.want)
			}
			if l.chain == sallyport.Paired && entry(l.gate.lastLimit(), sallyport.CarrierRequestID) != c.want {
				t.Errorf("%s: the rate limit service got %q", c.name, entry(l.gate.lastLimit(), sallyport.CarrierRequestID))
			}
		}
		if a := l.get("/v1/orders"); a.Header.Get("X-Request-Id") == "" {
			t.Error("no request id where the client sent none")
		}
	})
}

func TestCheckAndUpstreamSeeTheSamePath(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	for sent, want := range map[string]string{
		"/v1/orders?a=%20b":                   "/v1/orders?a=%20b",
		"/v1//orders///x":                     "/v1/orders/x",
		"/v1/x/../orders/./y":                 "/v1/orders/y",
		"/../../v1":                           "/v1",
		"/v1/x/%2e%2e/orders":                 "/v1/orders",
		`/v1/x\..\orders`:                     "/v1/orders",
		"/v1/%6frders":                        "/v1/orders",
		"/v1/a%2Fb;p/%252e":                   "/v1/a%2Fb;p/%252e",
		"/v1/orders/":                         "/v1/orders/",
		"http://api.orders.test/v1/orders?q":  "/v1/orders?q",
		"http://API.orders.test:80//v1/../v2": "/v2",
	} {
		l.forget()
		a := l.get(sent)
		check, upstream := l.gate.lastCheck(), l.upstream.last()
		if check == nil || upstream == nil {
			t.Errorf("%s: got %d %s", sent, a.Status, a.Body)
			continue
		}
		if got := check.GetAttributes().GetRequest().GetHttp().GetPath(); got != want {
			t.Errorf("%s: Check got %q, want %q", sent, got, want)
		}
		if got := upstream.RequestURI; got != want {
			t.Errorf("%s: the upstream got %q, want %q", sent, got, want)
		}
	}
}

func TestEverySpellingOfAHostReachesItsAPI(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		for host, want := range map[string]string{
			"api.orders.test": "orders", "orders.localhost:10000": "orders", "API.Orders.TEST": "orders", "api.orders.test.": "orders",
			"Api.Orders.Test.:443": "orders", "api.billing.test": "billing", "api.billing.test:1": "billing",
			"orders.test": "", "xapi.orders.test": "", "api.orders.test.evil": "", "127.0.0.1": "",
		} {
			l.forget()
			a := l.send(request("GET /v1/x", "Host: "+host))
			extensions := l.gate.lastCheck().GetAttributes().GetContextExtensions()
			if extensions["api"] != want || extensions["chain"] != l.chain.String() {
				t.Errorf("%s: Check got %v, want api %q", host, extensions, want)
			}
			if want == "" {
				wantShape(t, a, 404, "not_found")
			} else if a.Status != 200 {
				t.Errorf("%s: got %d %s", host, a.Status, a.Body)
			}
		}
	})
}

func TestUnknownHostIsRefusedByCheckItself(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	l.onCheck(deny(401))
	if a := l.send(request("GET /", "Host: nowhere.test")); a.Status != 401 || a.Body != ownBody(401) {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestWhatEnvoyRefusesBeforeCheckHasAShapeAndNoWayThrough(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	const host = "Host: api.orders.test"
	for _, c := range []struct {
		name, raw string
		status    int
		code      string
	}{
		{"options star", request("OPTIONS *", host), 404, "not_found"},
		{"connect", "CONNECT api.orders.test:443 HTTP/1.1\r\nHost: api.orders.test:443\r\n\r\n", 404, "not_found"},
		{"nul in the path", request("GET /a%00b", host), 400, "invalid_request"},
		{"fragment", request("GET /a#b", host), 400, "invalid_request"},
		{"no slash", request("GET v1/orders", host), 400, "invalid_request"},
		{"no host", request("GET /a"), 400, "invalid_request"},
		{"both lengths", request("POST /a", host, "Content-Length: 3", "Transfer-Encoding: chunked"), 400, "invalid_request"},
		{"websocket", request("GET /a", host, "Connection: upgrade", "Upgrade: websocket"), 403, "invalid_request"},
		{"https without TLS", request("GET https://api.orders.test/a", host), 403, "invalid_request"},
		{"http 1.0", "GET /a HTTP/1.0\r\n" + host + "\r\n\r\n", 426, "invalid_request"},
		{"http 1.0, no host", "GET /a HTTP/1.0\r\n\r\n", 426, "invalid_request"},
		{"header too large", request("GET /a", host, "X-Big: "+strings.Repeat("x", 70000)), 431, "invalid_request"},
		{"too many headers", request("GET /a", slices.Concat([]string{host}, slices.Repeat([]string{"X-One: 1"}, 120))...), 431, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantShape(t, l.send(c.raw), c.status, c.code)
			if l.gate.lastCheck() != nil || l.upstream.last() != nil {
				t.Error("it went on")
			}
			l.forget()
		})
	}
	t.Run("two hosts", func(t *testing.T) {
		wantShape(t, l.send(request("GET /a", host, host)), 404, "not_found")
		if l.upstream.last() != nil {
			t.Error("it reached the upstream")
		}
	})
	t.Run("a spoofed sid only spoils one's own answer", func(t *testing.T) {
		if a := l.send(request("OPTIONS *", host, "x-sallyport-sid: x")); a.Status != 404 || a.Body != "" {
			t.Errorf("got %d %s", a.Status, a.Body)
		}
	})
}

func TestBodiesOfCheckAreNeverOverwritten(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		for _, status := range []int{200, 201, 400, 401, 403, 404, 406, 409, 415, 422, 429, 502, 503} {
			l.onCheck(deny(status))
			a := l.get("/v1/orders")
			if a.Status != status || a.Body != ownBody(status) || a.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%d: got %d %s %v", status, a.Status, a.Body, a.Header)
			}
			if a.Header.Get("X-Sallyport-Decision") == "" || a.Header.Get("X-Request-Id") == "" {
				t.Errorf("%d: headers are missing: %v", status, a.Header)
			}
		}
		l.onCheck(ownFailure)
		if a := l.get("/v1/orders"); a.Status != 503 || a.Body != ownBody(503) || a.Header.Get("Retry-After") != "9" {
			t.Errorf("error_response: got %d %s %v", a.Status, a.Body, a.Header)
		}
		if l.upstream.last() != nil {
			t.Error("a refused request reached the upstream")
		}
	})
}

// ownFailure is Check's answer when something of ours is down.
func ownFailure(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{Status: &rpcstatus.Status{Code: 14},
		HttpResponse: &authv3.CheckResponse_ErrorResponse{ErrorResponse: &authv3.DeniedHttpResponse{
			Status: deniedStatus(503), Body: ownBody(503),
			Headers: []*corev3.HeaderValueOption{header("retry-after", "9", overwrite)}}}}, nil
}

func TestRefusalOfTheRateLimitServiceStays(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	l.onLimit(overLimit)
	a := l.get("/v1/orders")
	if a.Status != 429 || a.Body != ownBody(429) || a.Header.Get("Retry-After") != "7" || len(a.Header["X-Ratelimit-Limit"]) != 1 {
		t.Errorf("got %d %s %v", a.Status, a.Body, a.Header)
	}
	if _, there := a.Header["X-Envoy-Ratelimited"]; there {
		t.Error("x-envoy-ratelimited is there")
	}
}

func TestEmptyWordsAreLeftOutAndNoLimitsMeansNoDescriptor(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	l.get("/v1/orders")
	want := "api=orders tenant=org_1 credential=key_1 plan=free operation=GET /v1/orders limits=requests=60/60s"
	if got := entries(l.gate.lastLimit().GetDescriptors()[0]); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := l.gate.lastLimit().GetDomain(); got != sallyport.Domain {
		t.Errorf("domain: got %q", got)
	}
	l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		resp, err := allow(ctx, r)
		resp.DynamicMetadata.Fields["limits"] = structpb.NewStringValue("")
		return resp, err
	})
	l.get("/v1/orders")
	got := l.gate.lastLimit().GetDescriptors()
	if len(got) != 1 || entry(l.gate.lastLimit(), sallyport.CarrierSID) == "" {
		t.Errorf("without limits: got %v, want the carrier alone", got)
	}
}

func entries(d *commonrlsv3.RateLimitDescriptor) string {
	var list []string
	for _, e := range d.GetEntries() {
		list = append(list, e.GetKey()+"="+e.GetValue())
	}
	return strings.Join(list, " ")
}

func TestUpstreamCannotSpeakInOurName(t *testing.T) {
	onChains(t, func(t *testing.T, l *live) {
		l.onUpstream(func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Sallyport-Decision"} {
				w.Header().Set(name, "999")
			}
			w.Header().Set("Server", "theirs")
			w.Header().Set("Retry-After", "999")
			w.WriteHeader(507)
			io.WriteString(w, "theirs")
		})
		a := l.get("/v1/orders")
		if a.Status != 507 || a.Body != "theirs" || a.Header.Get("Server") != "theirs" || a.Header.Get("Retry-After") != "999" {
			t.Errorf("its own answer was changed: %d %s %v", a.Status, a.Body, a.Header)
		}
		wantQuota(t, "507", a)
		for _, name := range []string{"X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Sallyport-Decision"} {
			if got := a.Header[name]; got != nil {
				t.Errorf("%s: got %q", name, got)
			}
		}
	})
}

func TestClientsCannotSteerEnvoy(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	l.onUpstream(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.WriteHeader(500)
	})
	a := l.get("/v1/orders", "x-envoy-upstream-rq-timeout-ms: 1", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3", "x-envoy-internal: true")
	if a.Status != 500 {
		t.Errorf("got %d %s, want the upstream's 500", a.Status, a.Body)
	}
	if n := l.stat("cluster.upstream_orders.upstream_rq_total"); n != "1" {
		t.Errorf("the upstream was asked %s times, want once", n)
	}
	for name := range l.upstream.last().Header {
		if strings.HasPrefix(name, "X-Envoy-") && name != "X-Envoy-External-Address" {
			t.Errorf("the upstream got %s", name)
		}
	}
}

func TestServedOperationsComeToUs(t *testing.T) {
	l := startLive(t, sallyport.Paired, nil)
	for _, c := range []struct {
		line string
		ours bool
	}{
		{"GET /v1/keys?x=1", true}, {"HEAD /v1/keys", true}, {"GET /v1//keys", true}, {"DELETE /v1/keys/k1", true},
		{"POST /v1/keys", false}, {"DELETE /v1/keys/all", false}, {"DELETE /v1/keys/a/b", false}, {"GET /v1/keys/", false}, {"GET /v1/orders", false},
	} {
		l.forget()
		l.send(request(c.line, "Host: api.orders.test", "Content-Length: 0"))
		if ours, theirs := l.http.last() != nil, l.upstream.last() != nil; ours != c.ours || theirs == c.ours {
			t.Errorf("%s: came to us %v, to the upstream %v", c.line, ours, theirs)
		}
		if l.gate.lastCheck() == nil {
			t.Errorf("%s: Check was not asked", c.line)
		}
	}
	l.onCheck(deny(401))
	if a := l.get("/v1/keys"); a.Status != 401 {
		t.Errorf("a served operation passed without Check: %d", a.Status)
	}
}

func TestBodyOverTheLimitHasTheShape(t *testing.T) {
	l := startEdited(t, sallyport.Paired, nil, func(text []byte) []byte {
		return bytes.ReplaceAll(text, []byte("disable_request_body_buffering: true"), []byte("disable_request_body_buffering: false"))
	})
	raw := request("POST /v1/orders", "Host: api.orders.test", "Content-Length: 1048577") + strings.Repeat("x", 1<<20+1)
	wantShape(t, l.send(raw), 413, "payload_too_large")
}
