package extauthz

import (
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/proof"
	"github.com/sallyport/sallyport/internal/render"
)

// The headers that the upstream learns of its caller by, and the one that Envoy
// makes for the gate. Clients' own of the prefix never pass.
const (
	headerPrefix      = "x-sallyport-"
	headerTenant      = "x-sallyport-tenant"
	headerCredential  = "x-sallyport-credential"
	headerPrincipal   = "x-sallyport-principal"
	headerScopes      = "x-sallyport-scopes"
	headerPlan        = "x-sallyport-plan"
	headerEnvironment = "x-sallyport-environment"
	headerRequestID   = "x-sallyport-request-id"

	headerDecision = "x-sallyport-decision"
	headerShadow   = "x-sallyport-shadow" // why the request would have been refused: to the upstream the reason, to the client its kind
	headerRequest  = "x-request-id"
)

// answer fills c.reply with what c.Decision means to Envoy.
func (r *rules) answer(c *call) {
	d := &c.Decision
	if d.RequestID == "" {
		c.newRequestID(d)
		// None came, or no sane one. The new one takes its place everywhere,
		// also in the carrier of the rate limit request, whose text must be
		// UTF-8.
		c.reply.Set = append(c.reply.Set, sallyport.Header{Name: headerRequest, Value: d.RequestID})
	}
	c.reply.Response = append(c.reply.Response, sallyport.Header{Name: headerRequest, Value: d.RequestID})
	api := r.of(d)
	if api == nil {
		c.refuse(d, r.nobody)
		c.metadata(d)
		return
	}
	if d.Credential != nil {
		c.scopes = api.Rights(&c.scopeList, d.Credential)
	}
	c.allowOrigin(api.cors)
	switch d.Reason {
	case sallyport.Allowed:
		c.pass(d)
	case sallyport.Answered:
		c.answerItself(d, api)
	case sallyport.Preflight:
		c.answerPreflight(d, api.cors)
	default:
		c.refuse(d, api.answers)
	}
	c.metadata(d)
}

// of returns the API that d is about, nil where none lists the host.
func (r *rules) of(d *sallyport.Decision) *apiRules {
	if d.API == nil {
		return nil
	}
	return r.byName[d.API.Name]
}

// newRequestID makes an id for a request that came without a sane one.
func (c *call) newRequestID(d *sallyport.Decision) {
	mark := c.text.Len()
	buf := c.text.Buf()
	if d.API != nil {
		buf = append(buf, d.API.RequestIDPrefix...)
	}
	c.text.Since(mark, buf)
	c.text.Hex(d.ID)
	d.RequestID = c.text.Since(mark, c.text.Buf())
}

// pass lets the request go on: the upstream learns whose it is, and does not
// get the credential.
func (c *call) pass(d *sallyport.Decision) {
	c.reply.Allowed = true
	caller := d.Credential
	if d.Shadowed.Kind().Unauthenticated() {
		caller = nil // whose key it was does not make it a caller
	}
	if caller != nil {
		c.identify(d)
	}
	c.identity(headerRequestID, d.RequestID)
	c.attributes(d, caller)
	if d.Operation != nil && d.Operation.Serve != "" && (caller != nil || d.Operation.Public) {
		c.vouch(d)
	}
	if d.Shadowed != sallyport.Undecided {
		c.identity(headerShadow, d.Shadowed.String())
		c.respond(headerShadow, d.Shadowed.Kind().String())
	}
	c.removeForged()
	if (d.Chain == sallyport.Fused || d.Shadow()) && caller != nil {
		c.reply.Response = render.AppendQuota(c.reply.Response, &d.API.Headers, &d.Verdict, d.At, &c.text)
	}
	if d.API.Shadow || d.Credential == nil && d.Shadowed == sallyport.Undecided {
		return // in shadow mode the upstream still guards itself; an endpoint of ours reads its own credential
	}
	for i := range d.API.Places {
		switch p := &d.API.Places[i]; {
		case p.Query != "":
			c.reply.RemoveQuery = append(c.reply.RemoveQuery, p.Query)
			c.reply.Remove = append(c.reply.Remove, tellsQuery[:]...)
		default:
			c.reply.Remove = append(c.reply.Remove, p.Header)
		}
	}
}

func (c *call) identify(d *sallyport.Decision) {
	c.identity(headerTenant, d.Subject.Tenant)
	c.identity(headerCredential, d.Subject.Credential)
	c.identity(headerPrincipal, d.Subject.Principal)
	c.identity(headerScopes, c.text.Join(c.scopes))
	c.identity(headerPlan, d.Subject.Plan)
	c.identity(headerEnvironment, d.Credential.Environment)
}

// vouch tells an endpoint of ours that the request was checked, and whose it is.
func (c *call) vouch(d *sallyport.Decision) {
	s := proof.Statement{
		API: d.API.Name, Operation: d.Operation.Name, Tenant: d.Subject.Tenant, Credential: d.Subject.Credential,
		RequestID: d.RequestID, Address: c.Request.Client(), Method: c.Request.Method, Path: c.Request.Path, At: d.At.Unix(),
	}
	if d.Credential != nil && d.Credential.Token != nil {
		s.Credential, s.Scoped, s.Scopes = d.Credential.Token.Parent, d.Credential.Token.Granted != nil, strings.Join(d.Credential.Token.Granted, " ")
	}
	c.identity(proof.Header, proof.Make(c.proofKey, s))
}

// attributes tells the upstream the facts about its caller that the API's
// configuration names. A header so named is never the client's own, however it
// is written.
func (c *call) attributes(d *sallyport.Decision, caller *sallyport.Credential) {
	for i := range d.API.Attributes {
		use := &d.API.Attributes[i]
		if use.Header == "" {
			continue
		}
		value := ""
		if caller != nil {
			value = caller.Attribute(use.Name)
		}
		c.identity(use.Header, value)
		for j := range c.Request.Headers {
			if name := c.Request.Headers[j].Name; name != use.Header && sameHeader(name, use.Header) {
				c.reply.Remove = append(c.reply.Remove, name)
			}
		}
	}
}

// sameHeader reports whether a is b, - and _ being one.
func sameHeader(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if a[i] != b[i] && (a[i] != '_' || b[i] != '-') && (a[i] != '-' || b[i] != '_') {
			return false
		}
	}
	return true
}

// identity sets a header to the upstream, or removes the client's own where
// there is nothing to set.
func (c *call) identity(name, value string) {
	if value == "" {
		c.reply.Remove = append(c.reply.Remove, name)
		return
	}
	c.reply.Set = append(c.reply.Set, sallyport.Header{Name: name, Value: value})
}

// removeForged removes what a client sent under the gate's prefix, also with
// underscores, which some upstreams read as hyphens, and what would make the
// upstream take the request for another one than was judged. Generated
// configuration strips the former before they get here; a mesh's own may not. The
// proxy's own sid stays.
func (c *call) removeForged() {
	for i := range c.Request.Headers {
		name := c.Request.Headers[i].Name
		if name == sallyport.SIDHeader && c.Request.Chain != sallyport.PerListener {
			continue
		}
		if forged(name) && !c.sets(name) || overrides(name) {
			c.reply.Remove = append(c.reply.Remove, name)
		}
	}
}

// overrides reports whether some upstreams let the header called name replace
// the request's method or path.
func overrides(name string) bool {
	switch name {
	case "x-http-method-override", "x-http-method", "x-method-override", "x-original-method",
		"x-original-url", "x-original-uri", "x-rewrite-url":
		return true
	}
	return false
}

// hidesForged reports whether a header under the gate's prefix has a name that
// is none (RFC 9110 §5.1), and so could not be removed by it.
func hidesForged(req *sallyport.Request) bool {
	for i := range req.Headers {
		if name := req.Headers[i].Name; forged(name) && !consists(name, inHeaderName) {
			return true
		}
	}
	return false
}

// forged reports whether name begins with the gate's prefix, - and _ being one.
func forged(name string) bool {
	if len(name) < len(headerPrefix) || name[0] != 'x' {
		return false
	}
	for i := range len(headerPrefix) {
		if c := name[i]; c != headerPrefix[i] && (c != '_' || headerPrefix[i] != '-') {
			return false
		}
	}
	return true
}

func (c *call) sets(name string) bool {
	for i := range c.reply.Set {
		if c.reply.Set[i].Name == name {
			return true
		}
	}
	return false
}

// answerItself answers in the upstream's place.
func (c *call) answerItself(d *sallyport.Decision, api *apiRules) {
	answer := d.Operation.Answer
	if d.Credential.Sandbox {
		answer = d.Operation.Sandbox
	}
	m := api.mocks[answer]
	body := m.body
	if m.token != nil && d.Credential.Kind == "token" {
		body = m.token
	}
	vars := c.vars(d)
	c.reply.Status = answer.Status
	c.reply.Body = body.Append(c.reply.Body[:0], vars)
	c.reply.Response = append(c.reply.Response,
		sallyport.Header{Name: "content-type", Value: "application/json"},
		sallyport.Header{Name: "cache-control", Value: "no-store"})
	c.reply.Response = render.AppendQuota(c.reply.Response, &d.API.Headers, &d.Verdict, d.At, &c.text)
	c.decided(d)
}

// refuse answers with a refusal in the API's own shape. An outage of ours is an
// error_response, which Envoy counts as such.
func (c *call) refuse(d *sallyport.Decision, answers *render.Answers) {
	refusal := answers.Refuse(d.Reason.Kind(), c.vars(d), &d.Verdict, d.At, c.reply.Response, &c.text)
	c.reply.Status, c.reply.Response = refusal.Status, refusal.Headers
	c.reply.Body = append(c.reply.Body[:0], refusal.Body...)
	c.reply.Failure = strings.HasPrefix(d.Reason.String(), "gate.")
	c.decided(d)
}

func (c *call) decided(d *sallyport.Decision) {
	c.reply.Response = append(c.reply.Response, sallyport.Header{Name: headerDecision, Value: c.text.Hex(d.ID)})
}

// vars is what a template may name of d.
func (c *call) vars(d *sallyport.Decision) *render.Vars {
	v := &c.templated
	*v = render.Vars{
		RequestID: d.RequestID, MissingScope: d.Missing, Decision: c.text.Hex(d.ID), Now: d.At,
		API: d.Subject.API, Tenant: d.Subject.Tenant, Credential: d.Subject.Credential,
		Principal: d.Subject.Principal, Plan: d.Subject.Plan, Operation: d.Subject.Operation,
		Limit: d.Verdict.Limit, Remaining: d.Verdict.Remaining,
	}
	if d.Verdict.Known {
		v.Reset = d.Verdict.Reset.Unix()
	}
	if credential := d.Credential; credential != nil {
		v.Environment, v.ExpiresAt = credential.Environment, credential.ExpiresAt
	}
	v.Scopes = c.scopes
	return v
}

// metadata writes what the filters behind and the access log may know. The
// subject and the limits are what the rate limit service gets to read.
func (c *call) metadata(d *sallyport.Decision) {
	for i, key := range sallyport.SubjectKeys {
		if value := *d.Subject.Field(i); key != sallyport.PrincipalKey || value != d.Subject.Credential {
			c.meta(key, value)
		}
	}
	c.meta("request_id", d.RequestID)
	c.meta("decision", c.text.Hex(d.ID))
	c.meta("reason", d.Reason.String())
	if d.Shadowed != sallyport.Undecided {
		c.meta("shadow", d.Shadowed.String())
	}
	if d.Credential != nil {
		for i := range d.API.Attributes {
			if use := &d.API.Attributes[i]; use.Metadata {
				c.meta("attribute."+use.Name, d.Credential.Attribute(use.Name))
			}
		}
	}
	c.meta("shadow_limit", d.Over)
	if d.Lease {
		c.meta("lease", c.Request.SID())
	}
	if len(d.Charges) == 0 || d.Shadow() {
		return
	}
	c.weight(d)
	c.meta(sallyport.LimitsKey, c.text.Since(c.text.Len(), sallyport.AppendLimits(c.text.Buf(), d.Charges)))
	for i := range d.Charges {
		for _, w := range d.Charges[i].Windows {
			if unit := unitOf(w.Length); unit != "" && w.Max <= 1<<32-1 {
				c.reply.Limit = rateOverride{Requests: uint32(w.Max), Unit: unit}
				return
			}
		}
	}
}

// weight tells the rate limit service what the request counts for, and the
// access log which header of the answer tells more.
func (c *call) weight(d *sallyport.Decision) {
	if d.Operation == nil || d.Reason != sallyport.Allowed {
		return
	}
	if d.Hits != d.Operation.Weight {
		c.meta(sallyport.HitsKey, c.text.Uint(d.Hits))
	}
	c.meta("cost", d.Operation.Cost.Response)
}

func (c *call) meta(key, value string) {
	if value != "" {
		c.reply.Metadata = append(c.reply.Metadata, sallyport.Header{Name: key, Value: value})
	}
}

// unitOf returns the unit of a rate limit override that is d long, or "".
func unitOf(d time.Duration) string {
	switch d {
	case time.Second:
		return "SECOND"
	case time.Minute:
		return "MINUTE"
	case time.Hour:
		return "HOUR"
	case 24 * time.Hour:
		return "DAY"
	}
	return ""
}
