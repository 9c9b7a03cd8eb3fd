package extauthz

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/pattern"
	"github.com/sallyport/sallyport/internal/proof"
)

// Limiter takes quota. Take takes hits from every window of every charge or from
// none; hits of 0 only look. The same sid is charged once. Foresee says what
// Take would, and takes nothing. An error means that it could not be asked. Safe
// for concurrent use.
type Limiter interface {
	Take(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error)
	Foresee(ctx context.Context, now time.Time, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error)
}

// Slots keep how many requests are in flight. Hold takes one of every limit
// under sid, or none and says which limit was full; it may wait a moment for
// one. Free gives back what sid holds. InFlight is how many s has under limit. An
// error means that they could not be asked. Safe for concurrent use.
type Slots interface {
	Hold(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, limits []*sallyport.Limit) (full *sallyport.Limit, err error)
	Free(sid string)
	InFlight(limit *sallyport.Limit, s *sallyport.Subject) int
}

// Authorizer decides. Safe for concurrent use; a policy may be put in
// force meanwhile, and a decision keeps the policy that it started with.
type Authorizer struct {
	rules   atomic.Pointer[rules]
	hasher  *apikey.Hasher
	finder  *Finder
	limiter Limiter
	slots   Slots // nil: none are held
	now     func() time.Time
	tokens  Tokens   // nil: none are accepted
	senders *Senders // nil: webhooks are not served

	proofKey proof.Key
	as       *sallyport.Credential // of Explain: whoever asks, whatever the request carries
}

// New returns an Authorizer that refuses everything until a policy is put in force.
func New(hasher *apikey.Hasher, finder *Finder, limiter Limiter, slots Slots, now func() time.Time) *Authorizer {
	a := &Authorizer{hasher: hasher, finder: finder, limiter: limiter, slots: slots, now: now, proofKey: hasher.Derive(proof.Purpose)}
	a.rules.Store(&rules{})
	return a
}

// Prepare compiles p; commit then puts it in force. Checks that have begun go on
// under the policy that they began with.
func (a *Authorizer) Prepare(p *sallyport.Policy) (commit func(), err error) {
	r, err := compile(p)
	if err != nil {
		return nil, err
	}
	return func() {
		a.rules.Store(r)
		for _, api := range p.APIs {
			a.finder.ForgetPolicy(api.Name)
		}
	}, nil
}

// Decide decides about req and fills d, which must be empty. The order of the
// refusals is the order of these lines: who are you (401), from where (403), is
// it there (404), may you (403), in this form (406, 415), how many at once and
// how often (429).
//
// An unlisted path asks for a credential before it refuses, so that a stranger
// cannot map the API.
func (a *Authorizer) Decide(ctx context.Context, req *sallyport.Request, d *sallyport.Decision) {
	a.decide(ctx, a.rules.Load(), req, d)
}

func (a *Authorizer) decide(ctx context.Context, rules *rules, req *sallyport.Request, d *sallyport.Decision) {
	d.At, d.ID, d.RequestID = a.now(), rand.Uint64(), requestID(req)

	api := rules.find(req)
	if api == nil {
		d.Reason = sallyport.HostUnlisted
		return
	}
	d.API, d.Chain = api.API, rules.chain(req)
	if len(api.Anomalies) > 0 {
		d.Address = req.Client()
	}
	if api.looksLikeKey(d.RequestID) {
		d.RequestID = "" // it would stand in logs and answers
	}
	if hidesForged(req) {
		d.Reason = sallyport.RequestMalformed
		return
	}
	if api.cors.preflight(req) {
		d.Reason = sallyport.Preflight
		return
	}
	a.judge(ctx, api, req, d)
	if d.Reason.Refuses() && d.Shadow() {
		d.Shadowed, d.Reason = d.Reason, sallyport.Allowed
	}
}

// judge decides about a request to api: the straight line.
func (a *Authorizer) judge(ctx context.Context, api *apiRules, req *sallyport.Request, d *sallyport.Decision) {
	var params pattern.Params
	op, unlisted := api.match(req, &params)
	d.Operation = op.Operation

	if d.Operation == nil || !op.Public {
		var why sallyport.Reason
		if d.Credential, why = a.caller(ctx, api, op, req, &params, d.At, &d.Found); why != sallyport.Allowed {
			d.Reason = why
			return
		}
		d.Identify(d.Credential, d.Operation)
		d.Reason = admit(d, req)
		switch {
		case d.Reason != sallyport.Allowed:
		case d.Operation == nil:
			d.Reason = unlisted
		default:
			d.Reason = permit(d, api, op, req, &params)
		}
	} else {
		d.Reason = sallyport.Allowed
	}
	if d.Reason == sallyport.Allowed && op.Absent != "" {
		d.Reason = sallyport.FeatureAbsent
	}
	if d.Reason == sallyport.Allowed || d.Reason == sallyport.Answered {
		a.weigh(req, d)
	}
	if d.Reason == sallyport.Allowed && len(d.Slots) > 0 && a.slots != nil {
		a.hold(ctx, req, d)
	}
	a.once(ctx, req, d)
	a.count(ctx, req, d)
}

// identify finds whose credential req carries, at now. It may use memory for it.
func (a *Authorizer) identify(ctx context.Context, api *apiRules, req *sallyport.Request, now time.Time, memory *sallyport.Credential) (*sallyport.Credential, sallyport.Reason) {
	if a.as != nil && a.as.API == api.Name {
		return a.as, sallyport.Allowed
	}
	secret, why := api.extract(req)
	if why != sallyport.Allowed {
		return nil, why
	}
	if api.takesToken(secret) {
		return a.identifyToken(ctx, api, secret, now, memory)
	}
	form, err := api.prefixes.Parse(secret)
	if err != nil {
		form = api.prefixes.Importable(secret)
		if form == nil || !a.finder.Unchecked(api.Name, form.Prefix) {
			return nil, sallyport.CredentialMalformed
		}
	}
	if form.Exchange {
		return nil, sallyport.CredentialMisplaced
	}
	c, err := a.lookup(ctx, secret, memory)
	if why := failure(err); why != sallyport.Allowed {
		return nil, why
	}
	switch {
	case c.API != api.Name, c.Prefix != form.Prefix: // what a prefix promises, such as reading alone, its keys keep
		return nil, sallyport.CredentialUnknown
	case api.Grace > 0 && a.finder.DownFor(now) > api.Grace:
		return nil, sallyport.StoreFailed
	}
	return c, sallyport.Allowed
}

// Lookup finds the credential of secret, whatever may be done with it: under the
// current pepper, and while peppers rotate under those before it. One that is found
// so is renewed. Its error wraps sallyport.ErrNotFound where there is none.
func (a *Authorizer) Lookup(ctx context.Context, secret string) (*sallyport.Credential, error) {
	return a.lookup(ctx, secret, new(sallyport.Credential))
}

func (a *Authorizer) lookup(ctx context.Context, secret string, memory *sallyport.Credential) (*sallyport.Credential, error) {
	digest := a.hasher.Digest(secret)
	c, err := a.finder.Find(ctx, digest, memory)
	if !errors.Is(err, sallyport.ErrNotFound) {
		return c, err
	}
	for _, older := range a.hasher.Older() {
		before := older.Digest(secret)
		if c, err = a.finder.Find(ctx, before, memory); err == nil {
			a.finder.Renew(before, digest, a.hasher.Version())
			return c, nil
		}
		if !errors.Is(err, sallyport.ErrNotFound) {
			return nil, err
		}
	}
	if len(a.hasher.Older()) > 0 { // it may have been renewed between the two looks
		return a.finder.Find(ctx, digest, memory)
	}
	return nil, err
}

// weigh says how many hits the request counts for: its operation's weight, or
// what its header tells, but at least one, so that nobody asks for free.
func (a *Authorizer) weigh(req *sallyport.Request, d *sallyport.Decision) {
	d.Hits = d.Operation.Weight
	if d.Operation.Cost.Request == "" {
		return
	}
	switch told, lines := req.Header(d.Operation.Cost.Request); {
	case lines == 0:
	case lines == 1 && isNumber(told):
		n, err := strconv.ParseUint(told, 10, 64)
		if err != nil { // more than anybody has
			n = d.Operation.Cost.Max
		}
		d.Hits = min(max(n, 1), d.Operation.Cost.Max)
	default:
		d.Reason = sallyport.RequestMalformed
	}
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// hold takes a slot of every limit of concurrency that holds for d. They are
// released when the proxy's access log tells that the stream of the sid ended.
func (a *Authorizer) hold(ctx context.Context, req *sallyport.Request, d *sallyport.Decision) {
	sid := req.SID()
	if sid == "" {
		d.Reason = sallyport.StreamUnnamed
		return
	}
	full, err := a.slots.Hold(ctx, d.At, sid, &d.Subject, wanted(d))
	switch {
	case err == nil && full == nil:
		d.Lease = true
		for _, l := range d.Slots {
			if l.Shadow && a.slots.InFlight(l, &d.Subject) > int(l.Concurrency) {
				d.Over = l.Name
			}
		}
	case err == nil, ctx.Err() != nil: // nobody waits for the answer any more
		d.Reason = sallyport.ConcurrencyExhausted
	case !d.API.OnFailure.QuotaOpen, sallyport.RefusesAnyway(err):
		d.Reason = sallyport.CountersFailed
	}
}

// wanted returns the limits of which d is to hold slots. In shadow mode none is
// waited for: the request passes anyhow, and would only be late.
func wanted(d *sallyport.Decision) []*sallyport.Limit {
	if !d.Shadow() || !slices.ContainsFunc(d.Slots, func(l *sallyport.Limit) bool { return l.Wait > 0 }) {
		return d.Slots
	}
	hasty := make([]*sallyport.Limit, len(d.Slots))
	for i, l := range d.Slots {
		one := *l
		one.Wait, hasty[i] = 0, &one
	}
	return hasty
}

// release gives back the slots of a request that is refused after all.
func (a *Authorizer) release(req *sallyport.Request, d *sallyport.Decision) {
	if d.Lease && !d.Shadow() {
		a.slots.Free(req.SID())
		d.Lease = false
	}
}

// count takes what the decision costs, or looks at what is left where it costs
// nothing. In the paired chain Envoy asks the rate limit service about what goes
// on to the upstream; what the gate answers itself never gets there.
func (a *Authorizer) count(ctx context.Context, req *sallyport.Request, d *sallyport.Decision) {
	if d.Credential == nil || len(d.Charges) == 0 {
		return
	}
	hits := uint64(0)
	switch {
	case d.Reason == sallyport.Allowed && d.Chain == sallyport.Paired && !d.Shadow():
		return
	case d.Reason == sallyport.Allowed, d.Reason == sallyport.Answered:
		hits = d.Hits
	case d.Reason.Kind() == sallyport.KindInvalidCredential, d.Reason.Kind() == sallyport.KindExpiredCredential:
		return // refused as no caller of ours: nothing is told
	}
	if hits > 0 && ctx.Err() != nil { // nobody waits for the answer any more, and so nobody pays for it
		d.Reason = sallyport.Overloaded
		a.release(req, d)
		return
	}
	now := d.At
	if d.Lease {
		now = a.now() // it may have waited for its slot
	}
	verdict, err := a.limiter.Take(ctx, now, req.SID(), &d.Subject, d.Charges, hits)
	switch {
	case err == nil && (verdict.Allowed || hits == 0):
		d.Verdict = verdict
		d.Over = cmp.Or(verdict.Shadow, d.Over)
	case err == nil:
		d.Verdict, d.Reason = verdict, sallyport.QuotaExhausted
		a.release(req, d)
	case hits > 0 && (!d.API.OnFailure.QuotaOpen || sallyport.RefusesAnyway(err)):
		d.Reason = sallyport.CountersFailed
		a.release(req, d)
	}
}
