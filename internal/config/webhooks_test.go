package config_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport"
)

// V9: how a webhook is signed, and what holds where the file says nothing.
func TestWebhooks(t *testing.T) {
	api := parse(t, minimal+`      - {POST: /plain, webhook: {header: X-Signature, sender: Acme.1}}
      - POST: "/hooks/{from}/{rest...}"
        webhook: {header: X-Hub-Signature-256, sender: "{from}", encoding: base64, prefix: sha256=, max_body: 256KiB, timestamp: {header: X-Time, signed: false}}
      - POST: /once
        webhook: {header: X-S, sender: a, timestamp: {header: X-Time, tolerance: 1m}, replay: refuse}
      - methods: [PUT, PATCH]
        paths: [/longer]
        webhook: {header: X-S, sender: a, encoding: hex, timestamp: {header: X-Time, signed: true}, replay: refuse}
      - {POST: /again, webhook: {header: X-S, sender: a, timestamp: {header: X-Time, tolerance: 1h}, replay: allow}}
`).Policy.APIs[0]
	// All that are good once are remembered alike, or what was sent to the one
	// would be good at the other.
	const once = 10*time.Minute + time.Second
	for _, c := range []struct {
		method, path string
		want         sallyport.Webhook
	}{
		{"POST", "/plain", sallyport.Webhook{Header: "x-signature", Sender: "Acme.1", MaxBody: 1 << 20}},
		{"POST", "/hooks/{from}/{rest...}", sallyport.Webhook{Header: "x-hub-signature-256", Parameter: "from", Encoding: sallyport.Base64, Prefix: "sha256=",
			MaxBody: 256 << 10, Timestamp: sallyport.WebhookTimestamp{Header: "x-time", Tolerance: 5 * time.Minute}}},
		{"POST", "/once", sallyport.Webhook{Header: "x-s", Sender: "a", MaxBody: 1 << 20, Once: once,
			Timestamp: sallyport.WebhookTimestamp{Header: "x-time", Tolerance: time.Minute, Signed: true}}},
		{"PUT", "/longer", sallyport.Webhook{Header: "x-s", Sender: "a", MaxBody: 1 << 20, Once: once,
			Timestamp: sallyport.WebhookTimestamp{Header: "x-time", Tolerance: 5 * time.Minute, Signed: true}}},
		{"POST", "/again", sallyport.Webhook{Header: "x-s", Sender: "a", MaxBody: 1 << 20,
			Timestamp: sallyport.WebhookTimestamp{Header: "x-time", Tolerance: time.Hour, Signed: true}}},
	} {
		op := operation(t, api, c.method, c.path)
		if op.Webhook == nil || op.Absent != "" || op.Public {
			t.Errorf("%s: got %+v", c.path, op)
			continue
		}
		if diff := cmp.Diff(c.want, *op.Webhook); diff != "" {
			t.Errorf("%s: %s", c.path, diff)
		}
	}
	if op := operation(t, api, "GET", "/v1/orders"); op.Webhook != nil {
		t.Errorf("got %+v", op.Webhook)
	}
}
