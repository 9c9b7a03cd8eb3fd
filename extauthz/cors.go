package extauthz

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// cors is an API's answer to scripts of other origins (Fetch standard, §3.2
// "CORS protocol"), compiled. A nil one allows none.
type cors struct {
	any         bool            // every origin, without credentials
	exact       map[string]bool // scheme://host[:port]
	under       []wildcard      // subdomains
	credentials bool
	methods     string
	headers     string // "" echoes what is asked for
	expose      string
	maxAge      string
}

// wildcard is an origin written scheme://*.domain[:port].
type wildcard struct{ scheme, domain string }

const (
	headerOrigin       = "origin"
	headerAskedMethod  = "access-control-request-method"
	headerAskedHeaders = "access-control-request-headers"
)

func compileCORS(api *sallyport.API) *cors {
	in := &api.CORS
	if len(in.Origins) == 0 {
		return nil
	}
	c := &cors{exact: make(map[string]bool), credentials: in.Credentials, methods: strings.Join(in.Methods, ", ")}
	for _, origin := range in.Origins {
		scheme, host, _ := strings.Cut(origin, "://")
		domain, wild := strings.CutPrefix(host, "*.")
		switch {
		case origin == "*":
			c.any = true
		case wild:
			c.under = append(c.under, wildcard{scheme, "." + domain})
		default:
			c.exact[origin] = true
		}
	}
	if len(in.Methods) == 0 {
		c.methods = strings.Join(methodsOf(api), ", ")
	}
	if !slices.Contains(in.Headers, "*") {
		c.headers = strings.Join(in.Headers, ", ")
	}
	expose := []string{"X-Request-ID", "X-Sallyport-Decision"}
	for _, name := range []string{api.Headers.Limit, api.Headers.Remaining, api.Headers.Reset} {
		if name != "" {
			expose = append(expose, name)
		}
	}
	c.expose = strings.Join(append(append(expose, "Retry-After"), in.Expose...), ", ")
	if in.MaxAge > 0 {
		c.maxAge = strconv.FormatInt(int64(in.MaxAge/time.Second), 10)
	}
	return c
}

// methodsOf returns the methods of api's operations, each once.
func methodsOf(api *sallyport.API) (methods []string) {
	for _, op := range api.Operations {
		if !slices.Contains(methods, op.Method) {
			methods = append(methods, op.Method)
		}
	}
	slices.Sort(methods)
	return methods
}

// origin returns what req is to be told of its origin, "" where that may not
// read answers.
func (c *cors) origin(req *sallyport.Request) string {
	if c == nil {
		return ""
	}
	origin, lines := req.Header(headerOrigin)
	switch {
	case lines != 1 || origin == "" || origin == "null":
		return ""
	case c.any:
		return "*"
	case c.exact[origin]:
		return origin
	}
	scheme, host, _ := strings.Cut(origin, "://")
	for _, w := range c.under {
		if w.scheme == scheme && strings.HasSuffix(host, w.domain) && plainOrigin(origin) {
			return origin
		}
	}
	return ""
}

// plainOrigin reports whether s is a serialised origin (RFC 6454 §6.2): what is
// repeated to a browser must not hold anything else.
func plainOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme+"://"+u.Host == s && u.User == nil
}

// preflight reports whether req asks, before the real request, whether that may
// be sent.
func (c *cors) preflight(req *sallyport.Request) bool {
	if req.Method != http.MethodOptions || c.origin(req) == "" {
		return false
	}
	_, lines := req.Header(headerAskedMethod)
	return lines == 1
}

// answerPreflight fills the answer to a preflight: what may be sent, not whether
// the caller may do it.
func (c *call) answerPreflight(d *sallyport.Decision, rules *cors) {
	c.reply.Status = http.StatusNoContent
	allowed := rules.headers
	if allowed == "" {
		allowed, _ = c.Request.Header(headerAskedHeaders)
		if !consists(allowed, inList) {
			allowed = ""
		}
	}
	c.respond("access-control-allow-methods", rules.methods)
	c.respond("access-control-allow-headers", allowed)
	c.respond("access-control-max-age", rules.maxAge)
	c.decided(d)
}

// allowOrigin tells a script's browser that it may read the answer, whatever the
// answer is. Answers differ by origin, which caches must know.
func (c *call) allowOrigin(rules *cors) {
	if rules == nil {
		return
	}
	if !rules.any {
		c.reply.Beside = append(c.reply.Beside, sallyport.Header{Name: "vary", Value: "Origin"})
	}
	origin := rules.origin(&c.Request)
	if origin == "" {
		return
	}
	c.respond("access-control-allow-origin", origin)
	c.respond("access-control-expose-headers", rules.expose)
	if rules.credentials {
		c.respond("access-control-allow-credentials", "true")
	}
}

// respond adds a header to the client's answer, unless it says nothing.
func (c *call) respond(name, value string) {
	if value != "" {
		c.reply.Response = append(c.reply.Response, sallyport.Header{Name: name, Value: value})
	}
}
