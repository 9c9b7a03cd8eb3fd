package app

import (
	"context"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/extauthz"
	"github.com/sallyport/sallyport/internal/admin"
)

// explain decides about a request that was not sent, and spends nothing.
func (a *App) explain(ctx context.Context, in admin.ExplainRequest) (e admin.Explanation, err error) {
	u, err := url.Parse(in.URL)
	if err != nil {
		return e, err
	}
	req := &sallyport.Request{Method: in.Method, Host: u.Host, Path: u.EscapedPath(), Query: u.RawQuery, Source: in.Source, Body: string(in.Body), Size: int64(len(in.Body))}
	if req.Path == "" {
		req.Path = "/"
	}
	for _, line := range in.Headers {
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "host" {
			req.Host = value
			continue
		}
		req.Headers = append(req.Headers, sallyport.Header{Name: name, Value: value})
	}
	var as *sallyport.Credential
	if in.KeyID != "" {
		if as, err = a.store.Credential(ctx, "", "", in.KeyID); err != nil {
			return e, err
		}
	}
	return showExplanation(a.authorizer.Explain(ctx, req, as)), nil
}

func showExplanation(x extauthz.Explanation) (e admin.Explanation) {
	d := &x.Decision
	e = admin.Explanation{
		Chain: d.Chain.String(), Reason: d.Reason.String(), Outcome: outcome(d.Reason), Status: x.Status, Body: x.Body,
		Holds: x.Holds, Missing: d.Missing, Shadow: d.Shadowed != sallyport.Undecided,
		Operation: d.Subject.Operation, Credential: d.Subject.Credential, Tenant: d.Subject.Tenant, Plan: d.Subject.Plan, Principal: d.Subject.Principal,
	}
	if e.Shadow {
		e.Reason = d.Shadowed.String()
	}
	if d.API != nil {
		e.API = d.API.Name
	}
	if d.Operation != nil {
		e.Operation, e.Requires, e.Webhook = d.Operation.Name, d.Operation.Scopes, d.Operation.Webhook != nil
	}
	for _, h := range x.Headers {
		e.Headers = append(e.Headers, h.Name+": "+h.Value)
	}
	for _, l := range x.Limits {
		_, from, _ := l.Limit.For(d.Credential, nil)
		one := admin.ExplainedLimit{
			Name: l.Limit.Name, Per: l.Limit.Per, From: from.String(), Shadow: l.Limit.Shadow,
			Limit: l.Verdict.Limit, Remaining: l.Verdict.Remaining, Reset: l.Verdict.Reset,
		}
		for _, w := range l.Windows {
			one.Windows = append(one.Windows, w.String())
		}
		e.Limits = append(e.Limits, one)
	}
	return e
}

func outcome(r sallyport.Reason) string {
	switch r {
	case sallyport.Allowed:
		return "allowed"
	case sallyport.Answered:
		return "answered"
	case sallyport.Preflight:
		return "preflight"
	}
	return "refused"
}
