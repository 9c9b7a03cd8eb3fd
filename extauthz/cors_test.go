package extauthz

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/sallyport/sallyport"
)

func (g *gate) withCORS(c sallyport.CORS) {
	g.policy.APIs[0].CORS = c
	g.enforce()
}

func told(list []*corev3.HeaderValueOption) map[string]string {
	set := make(map[string]string)
	for _, o := range list {
		set[o.GetHeader().GetKey()] = o.GetHeader().GetValue()
	}
	return set
}

// G11: a preflight is answered before anybody is asked who they are, and spends
// nothing.
func TestPreflight(t *testing.T) {
	g := newGate(t)
	g.withCORS(sallyport.CORS{Origins: []string{"https://app.test", "https://*.shops.test"}, Headers: []string{"X-API-Key"}, Credentials: true, MaxAge: time.Hour})
	for origin, want := range map[string]bool{
		"https://app.test": true, "https://a.shops.test": true, "https://a.b.shops.test": true,
		"http://app.test": false, "https://app.test.evil.test": false, "https://shops.test": false, "https://evilshops.test": false,
		"https://evil.test/.shops.test": false, "https://u@a.shops.test": false, "null": false, "": false,
	} {
		req := get("/v1/orders", "origin", origin, "access-control-request-method", "POST")
		req.Method = "OPTIONS"
		out := g.answered(message(t, req))
		got := told(out.GetDeniedResponse().GetHeaders())
		if want {
			if out.GetDeniedResponse().GetStatus().GetCode() != 204 || got["access-control-allow-origin"] != origin ||
				got["access-control-allow-methods"] != "GET, POST" || got["access-control-allow-headers"] != "X-API-Key" ||
				got["access-control-max-age"] != "3600" || got["access-control-allow-credentials"] != "true" || got["vary"] != "Origin" {
				t.Errorf("%q: %v", origin, out)
			}
		} else if got["access-control-allow-origin"] != "" || out.GetDeniedResponse().GetStatus().GetCode() != 401 {
			t.Errorf("%q: %v", origin, out)
		}
	}
	if len(g.counters.hits) != 0 {
		t.Errorf("preflights asked the counters %d times", len(g.counters.hits))
	}
}

// G11: a script may read refusals and answers, and the quota in them.
func TestOriginsMayReadEveryAnswer(t *testing.T) {
	g := newGate(t)
	g.withCORS(sallyport.CORS{Origins: []string{"https://app.test"}, Expose: []string{"X-Total"}})
	key := g.key()
	const expose = "X-Request-ID, X-Sallyport-Decision, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, Retry-After, X-Total"
	for path, key := range map[string]string{"/v1/orders": key, "/v1/verify": key, "/v1/nothing": key, "/v1/open": ""} {
		out := g.answered(message(t, get(path, "x-api-key", key, "origin", "https://app.test")))
		got := told(append(out.GetDeniedResponse().GetHeaders(), out.GetOkResponse().GetResponseHeadersToAdd()...))
		if got["access-control-allow-origin"] != "https://app.test" || got["access-control-expose-headers"] != expose {
			t.Errorf("%s: %v", path, got)
		}
		out = g.answered(message(t, get(path, "x-api-key", key, "origin", "https://evil.test")))
		got = told(append(out.GetDeniedResponse().GetHeaders(), out.GetOkResponse().GetResponseHeadersToAdd()...))
		if got["access-control-allow-origin"] != "" || got["vary"] != "Origin" {
			t.Errorf("%s from elsewhere: %v", path, got)
		}
	}
	// The upstream's own Vary stays beside ours.
	for _, o := range g.answered(message(t, get("/v1/orders", "x-api-key", key))).GetOkResponse().GetResponseHeadersToAdd() {
		if o.GetHeader().GetKey() == "vary" && o.GetAppendAction() != corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD {
			t.Errorf("vary is %v", o.GetAppendAction())
		}
	}
}

// Any origin may be allowed, and any header be sent; what is repeated to the
// browser is a list of names.
func TestAnyOriginAnyHeader(t *testing.T) {
	g := newGate(t)
	g.withCORS(sallyport.CORS{Origins: []string{"*"}, Headers: []string{"*"}})
	for asked, want := range map[string]string{"x-a, X-B": "x-a, X-B", "x-a\r\nevil: 1": "", "x;y": "", "": ""} {
		req := get("/v1/orders", "origin", "https://a.test", "access-control-request-method", "GET", "access-control-request-headers", asked)
		req.Method = "OPTIONS"
		got := told(g.answered(message(t, req)).GetDeniedResponse().GetHeaders())
		if got["access-control-allow-origin"] != "*" || got["access-control-allow-headers"] != want || got["vary"] != "" {
			t.Errorf("%q: %v", asked, got)
		}
	}
}
