package app

import (
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/envoy"
	"github.com/sallyport/sallyport/internal/render"
)

// Bootstrap writes Envoy's configuration for p, with each API's own shapes for
// what Envoy answers by itself.
func Bootstrap(p *sallyport.Policy, o envoy.Options) ([]byte, error) {
	var err error
	if o.Render, err = localReplies(p); err != nil {
		return nil, err
	}
	return envoy.Bootstrap(p, o)
}

// Filters writes what an Envoy that people have needs for p, in the same way.
func Filters(p *sallyport.Policy, o envoy.Options, apis ...string) ([]byte, error) {
	var err error
	if o.Render, err = localReplies(p); err != nil {
		return nil, err
	}
	return envoy.Filters(p, o, apis...)
}

// Istio writes what Istio is told for p, in the same way.
func Istio(p *sallyport.Policy, o envoy.IstioOptions) ([]byte, error) {
	var err error
	if o.Render, err = localReplies(p); err != nil {
		return nil, err
	}
	return envoy.Istio(p, o)
}

// Gateway writes what Envoy Gateway is told for p, in the same way.
func Gateway(p *sallyport.Policy, o envoy.GatewayOptions) ([]byte, error) {
	var err error
	if o.Render, err = localReplies(p); err != nil {
		return nil, err
	}
	return envoy.Gateway(p, o)
}

// localReplies returns the function that writes the bodies of what Envoy answers
// by itself, in each API's own shape.
func localReplies(p *sallyport.Policy) (func(api *sallyport.API, k sallyport.Kind) string, error) {
	answers := make(map[*sallyport.API]*render.Answers)
	for _, api := range append([]*sallyport.API{nil}, p.APIs...) {
		a, err := render.NewAnswers(api)
		if err != nil {
			return nil, fmt.Errorf("answers: %w", err)
		}
		answers[api] = a
	}
	return func(api *sallyport.API, k sallyport.Kind) string { return localReply(answers[api], api, k) }, nil
}

// requestIDHere stands for the request id until the text around it is escaped.
const requestIDHere = "sallyport-request-id-stands-here"

// localReply renders the refusal of kind k for Envoy to send: the request id is
// Envoy's to fill in, and a percent sign is doubled.
func localReply(answers *render.Answers, api *sallyport.API, k sallyport.Kind) string {
	var text render.Text
	vars := render.Vars{RequestID: requestIDHere}
	if api != nil {
		vars.API = api.Name
	}
	r := answers.Refuse(k, &vars, &sallyport.Verdict{}, time.Time{}, nil, &text)
	body := strings.ReplaceAll(r.Body, "%", "%%")
	return strings.ReplaceAll(body, requestIDHere, "%REQ(X-REQUEST-ID?X-SALLYPORT-SID)%")
}
