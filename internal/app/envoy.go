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
	answers := make(map[*sallyport.API]*render.Answers)
	for _, api := range append([]*sallyport.API{nil}, p.APIs...) {
		a, err := render.NewAnswers(api)
		if err != nil {
			return nil, fmt.Errorf("answers: %w", err)
		}
		answers[api] = a
	}
	o.Render = func(api *sallyport.API, k sallyport.Kind) string { return localReply(answers[api], api, k) }
	return envoy.Bootstrap(p, o)
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
