package envoy

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	rlsv3 "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"

	"github.com/sallyport/sallyport"
)

func TestOurFailureIsThe503OfTheAPI(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.String(), func(t *testing.T) {
			l := startLive(t, chain, func(_ *sallyport.Policy, o *Options) {
				o.Timeouts.Check, o.Timeouts.RateLimit = checkTimeout, limitTimeout
			})
			hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
			failCheckAndLimit(t, l, "error", func(context.Context) error { return errors.New("broken") })
			failCheckAndLimit(t, l, "hang", hang)
			l.onCheck(func(ctx context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
				resp, err := allow(ctx, r)
				resp.GetOkResponse().Headers[0].Header.Value = "a\nx-evil: 1"
				return resp, err
			})
			wantShape(t, l.get("/v1/orders"), 503, "service_unavailable")
			l.grpc.Stop()
			before := l.stat("cluster.sallyport_authz.upstream_rq_retry")
			wantShape(t, l.get("/v1/orders"), 503, "service_unavailable")
			if got := l.stat("cluster.sallyport_authz.upstream_rq_retry"); before != "0" || got != "3" {
				t.Errorf("tries again: from %s to %s, want from 0 to 3", before, got)
			}
			if l.upstream.last() != nil {
				t.Error("a request passed without us")
			}
		})
	}
}

// Short, since the tests wait for them.
const (
	checkTimeout = 500 * time.Millisecond
	limitTimeout = 300 * time.Millisecond
)

// failCheckAndLimit makes both services fail in one way, one after the other.
func failCheckAndLimit(t *testing.T, l *live, name string, fail func(context.Context) error) {
	t.Helper()
	l.onCheck(func(ctx context.Context, _ *authv3.CheckRequest) (*authv3.CheckResponse, error) {
		return nil, fail(ctx)
	})
	began := time.Now()
	wantShape(t, l.get("/v1/orders"), 503, "service_unavailable")
	wantWait(t, name, time.Since(began), checkTimeout)
	wantShape(t, l.send(request("GET /", "Host: nowhere.test")), 503, "service_unavailable")
	wantShape(t, l.send(request("GET /", "Host: API.billing.test.:1")), 503, "down")
	if l.chain == sallyport.Fused {
		return
	}
	l.onCheck(allow)
	l.onLimit(func(ctx context.Context, _ *rlsv3.RateLimitRequest) (*rlsv3.RateLimitResponse, error) {
		return nil, fail(ctx)
	})
	began = time.Now()
	wantShape(t, l.get("/v1/orders"), 503, "service_unavailable")
	wantWait(t, name+" of the rate limit service", time.Since(began), limitTimeout)
	l.onLimit(underLimit)
}

// wantWait checks that a service that hangs is waited for as long as configured:
// max_interval of a retry policy would cut that short.
func wantWait(t *testing.T, name string, took, timeout time.Duration) {
	t.Helper()
	if strings.HasPrefix(name, "hang") && took < timeout*9/10 {
		t.Errorf("%s: answered after %v, want %v", name, took, timeout)
	}
}

func TestUpstreamFailureHasTheShapeAndTheQuota(t *testing.T) {
	for _, chain := range chains {
		t.Run(chain.String(), func(t *testing.T) {
			l := startLive(t, chain, func(_ *sallyport.Policy, o *Options) { o.Timeouts.Upstream = 300 * time.Millisecond })
			for name, c := range map[string]struct {
				fail   http.HandlerFunc
				status int
			}{
				"broke off": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503},
				"garbage":   {func(w http.ResponseWriter, _ *http.Request) { hijack(w, "garbage\r\n\r\n") }, 503},
				"too late":  {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504},
			} {
				l.onUpstream(c.fail)
				a := l.get("/v1/orders")
				wantShape(t, a, c.status, "service_unavailable")
				wantQuota(t, name, a)
			}
			l.backend.Close()
			a := l.get("/v1/orders")
			wantShape(t, a, 503, "service_unavailable")
			wantQuota(t, "unreachable", a)
		})
	}
}

func hijack(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, text)
}

// wantQuota checks that our quota header stands there, once.
func wantQuota(t *testing.T, name string, a answer) {
	t.Helper()
	if got := a.Header["X-Ratelimit-Limit"]; !slices.Equal(got, []string{"60"}) {
		t.Errorf("%s: X-RateLimit-Limit: got %q, want 60 once", name, got)
	}
}

func TestUpstreamsCertificateIsVerified(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "secure") }))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	known := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(known, block, 0o600); err != nil {
		t.Fatal(err)
	}
	l := startLive(t, sallyport.Fused, func(p *sallyport.Policy, o *Options) {
		o.Certificates = known
		p.APIs[0].Upstream = secure.URL                                               // its certificate names 127.0.0.1
		p.APIs[1].Upstream = strings.Replace(secure.URL, "127.0.0.1", "localhost", 1) // but not localhost
	})
	if a := l.get("/"); a.Status != 200 || a.Body != "secure" {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	wantShape(t, l.send(request("GET /", "Host: api.billing.test")), 503, "down")
	if got := l.stat("cluster.upstream_billing.ssl.fail_verify_san"); got == "0" || got == "" {
		t.Errorf("names that do not match: Envoy counted %q", got)
	}
}
