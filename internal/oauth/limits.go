package oauth

import (
	"context"
	"net/netip"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/visit"
)

// Limiter takes quota, as extauthz.Limiter does.
type Limiter interface {
	Take(ctx context.Context, now time.Time, sid string, s *sallyport.Subject, charges []sallyport.Charge, hits uint64) (sallyport.Verdict, error)
}

// usualFailures is how many failures an address may make, in all and with each
// client, where the API's own limits do not say. No limit is by client alone:
// whoever guesses would lock out its owner.
var usualFailures = []sallyport.Charge{
	{Limit: &sallyport.Limit{Name: "failures", Per: []string{"api", "address", "client"}}, Windows: []sallyport.Window{{Max: 30, Length: time.Minute}}},
	{Limit: &sallyport.Limit{Name: "failures-address", Per: []string{"api", "address"}}, Windows: []sallyport.Window{{Max: 300, Length: time.Minute}}},
}

// failures are the charges of a failure at v's endpoint.
func failures(v *visit.Visit) []sallyport.Charge {
	if own := v.API.AppendEndpointCharges(nil, v.Operation, nil); len(own) > 0 {
		return own
	}
	return usualFailures
}

// source is the address that failures are counted by: of IPv6, the network that
// one host has all of (RFC 6177).
func source(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	ip = ip.Unmap()
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}

// mayTry answers, and returns false, where whoever sends v has failed too often.
func (s *Server) mayTry(ctx context.Context, v *visit.Visit, client string) bool {
	verdict, err := s.failures(ctx, v, client)
	switch {
	case err != nil:
		v.Refuse(sallyport.KindUnavailable, visit.Refusal{})
		return false
	case !verdict.Allowed:
		v.Refuse(sallyport.KindRateLimited, visit.Refusal{Verdict: verdict})
		return false
	}
	return true
}

// mayLogin is mayTry for people: it returns how long to wait, and answers nothing.
func (s *Server) mayLogin(ctx context.Context, v *visit.Visit, login string) (wait time.Duration, ok bool) {
	verdict, err := s.failures(ctx, v, loginName(login))
	return verdict.RetryAfter, err == nil && verdict.Allowed
}

// loginName names a login where clients are counted.
func loginName(login string) string { return "login " + login }

// failures looks at what is left of failures for v. An error is one that refuses.
func (s *Server) failures(ctx context.Context, v *visit.Visit, client string) (sallyport.Verdict, error) {
	verdict, err := s.Limiter.Take(ctx, v.Now, "", subjectOf(v, client), failures(v), 0)
	switch {
	case err != nil && (!v.API.OnFailure.QuotaOpen || sallyport.RefusesAnyway(err)):
		return verdict, err
	case err == nil && verdict.Known && verdict.Remaining == 0:
		return exhausted(verdict, v.Now), nil
	}
	return sallyport.Verdict{Allowed: true}, nil
}

// failed counts a failure.
func (s *Server) failed(ctx context.Context, v *visit.Visit, client string) {
	_, _ = s.Limiter.Take(ctx, v.Now, "", subjectOf(v, client), failures(v), 1) // a failure is told anyhow
}

// exhausted is a look at a window that is used up, told as its refusal.
func exhausted(verdict sallyport.Verdict, now time.Time) sallyport.Verdict {
	verdict.Allowed = false
	if verdict.RetryAfter == 0 {
		verdict.RetryAfter = max(time.Second, verdict.Reset.Sub(now).Round(time.Second))
	}
	return verdict
}

func subjectOf(v *visit.Visit, client string) *sallyport.Subject {
	return &sallyport.Subject{API: v.API.Name, Operation: v.Operation.Name, Address: source(v.Said.Address), Client: client}
}

// take takes what the request of c, who proved to be its caller, costs at this
// endpoint. It answers, and returns false, where that is too much.
func (s *Server) take(ctx context.Context, v *visit.Visit, c *sallyport.Credential) bool {
	charges := v.API.AppendEndpointCharges(nil, v.Operation, c)
	if len(charges) == 0 {
		return true
	}
	subject := subjectOf(v, c.ID)
	subject.Tenant, subject.Credential, subject.Principal, subject.Plan = c.Tenant.ID, c.ID, c.Principal, c.PlanName()
	if len(v.API.PerAttributes) > 0 {
		subject.Attributes = string(v.API.AppendAttributes(nil, c))
	}
	verdict, err := s.Limiter.Take(ctx, v.Now, "", subject, charges, 1)
	switch {
	case err != nil && (!v.API.OnFailure.QuotaOpen || sallyport.RefusesAnyway(err)):
		v.Refuse(sallyport.KindUnavailable, visit.Refusal{})
		return false
	case err == nil && !verdict.Allowed:
		v.Refuse(sallyport.KindRateLimited, visit.Refusal{Verdict: verdict})
		return false
	case err == nil:
		v.TellQuota(&verdict)
	}
	return true
}
