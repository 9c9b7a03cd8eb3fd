package extauthz

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/pattern"
	"github.com/sallyport/sallyport/internal/webhook"
)

// AcceptWebhooks makes a accept what senders sign, at operations that are
// webhooks. It is for before the first Decide; until then they are not served.
func (a *Authorizer) AcceptWebhooks(s *Senders) { a.senders = s }

// caller finds who calls op, at now: whose credential req carries, or of a webhook
// who signed it.
func (a *Authorizer) caller(ctx context.Context, api *apiRules, op route, req *sallyport.Request, params *pattern.Params, now time.Time, memory *sallyport.Credential) (*sallyport.Credential, sallyport.Reason) {
	if op.Operation == nil || op.Webhook == nil {
		return a.identify(ctx, api, req, now, memory)
	}
	id := op.Webhook.Sender
	if op.senderAt >= 0 {
		id = params.At(op.senderAt).Value
	}
	return a.sender(ctx, api, op.Webhook, id, req, now)
}

// sender finds whether the sender called id signed req.
//
// A key or token that comes beside is not looked at: what a webhook may do, its
// signature says. It does not reach the upstream all the same (G1): it is removed
// from where the API reads credentials, and in the URL, which cannot be mended,
// it is refused as elsewhere (G2). The signature itself goes on: it is no secret,
// and good for this body alone.
//
// Who has no good signature learns nothing, not even whether there is such a
// sender: the answer is one, and so is the work.
func (a *Authorizer) sender(ctx context.Context, api *apiRules, w *sallyport.Webhook, id string, req *sallyport.Request, now time.Time) (*sallyport.Credential, sallyport.Reason) {
	if api.carriesKey(req.Path) || api.carriesKey(decoded(req.Query)) {
		return nil, sallyport.CredentialMisplaced
	}
	signed, why := webhook.Read(w, req, now)
	switch {
	case why != sallyport.Allowed:
		return nil, why
	case a.senders == nil:
		return nil, sallyport.FeatureAbsent
	}
	s, err := a.senders.find(ctx, api.Name, id)
	if why := failure(err); why != sallyport.Allowed {
		return nil, why
	}
	verified := webhook.Verify(s.usable(now), signed.MAC, signed.Message)
	switch {
	case s.credential == nil:
		return nil, sallyport.CredentialUnknown
	case !verified:
		return nil, sallyport.SignatureWrong
	case api.Grace > 0 && a.finder.DownFor(now) > api.Grace:
		return nil, sallyport.StoreFailed
	}
	return s.credential, sallyport.Allowed
}

// once refuses a webhook whose signature was good before, where each is good once.
//
// Signatures that were good are remembered where quota is counted: bounded by what
// their senders may send in the time that one could be accepted again, and across
// all instances that share their counters (else by each instance for itself).
// Nothing is remembered of a request that the quota refuses: its sender may send
// it again. Where the counters cannot be asked, nobody knows, and so it is our
// failure, whatever the API says of quotas.
func (a *Authorizer) once(ctx context.Context, req *sallyport.Request, d *sallyport.Decision) {
	if d.Reason != sallyport.Allowed || d.Operation.Webhook == nil || d.Operation.Webhook.Once == 0 {
		return
	}
	if len(d.Charges) > 0 {
		if v, err := a.limiter.Foresee(ctx, d.At, &d.Subject, d.Charges, d.Hits); err == nil && !v.Allowed {
			return
		}
	}
	w := d.Operation.Webhook
	text, _ := req.Header(w.Header)
	mac, _ := webhook.Parse(w, text) // it was good
	subject := sallyport.Subject{API: d.Subject.API, Principal: d.Subject.Credential, Credential: hex.EncodeToString(mac[:])}
	windows := [1]sallyport.Window{{Max: 1, Length: w.Once, Algorithm: sallyport.Sliding}}
	v, err := a.limiter.Take(ctx, d.At, req.SID(), &subject, []sallyport.Charge{{Limit: &good, Windows: windows[:]}}, 1)
	switch {
	case err != nil:
		d.Reason = sallyport.CountersFailed
	case !v.Allowed:
		d.Reason = sallyport.SignatureReplayed
	default:
		return
	}
	a.release(req, d)
}

// good is the limit that signatures are counted by. No limit of a configuration
// has such a name.
var good = sallyport.Limit{Name: "good signatures", Per: []string{sallyport.PrincipalKey, "credential"}}
