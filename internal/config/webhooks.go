package config

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

const (
	usualBody = 1 << 20
	// The proxy sends the body to the gate in one message, with all the rest.
	maxBody = 3 << 20

	usualTolerance = 5 * time.Minute
	maxTolerance   = 24 * time.Hour // a signature that is good once is remembered for twice as long
)

// webhook compiles how the operation at path, which has routes, is signed.
func (a *api) webhook(path string, op *Operation, routes []compiled) *sallyport.Webhook {
	in, at := op.Webhook, field(path, "webhook")
	out := &sallyport.Webhook{Header: strings.ToLower(in.Header), Prefix: in.Prefix, MaxBody: usualBody}
	a.required(at, "header", "which header carries the signature", "write one such as X-Signature")
	a.signatureHeader(field(at, "header"), in.Header)
	a.sender(at, in.Sender, routes, out)
	if a.oneOf(field(at, "encoding"), "encoding", in.Encoding, "hex", "base64") {
		out.Encoding, _ = sallyport.ParseSignatureEncoding(in.Encoding)
	}
	if in.Prefix != "" && !headerValue.MatchString(in.Prefix) {
		a.add(field(at, "prefix"), "cannot stand in a header", "write printable ASCII")
	}
	if a.has(field(at, "max_body")) {
		if out.MaxBody = int64(in.MaxBody); out.MaxBody > maxBody {
			a.add(field(at, "max_body"), "is out of range", "at most 3MiB: the proxy shows the gate the whole body at once")
		}
	}
	a.timestamp(at, in, out)
	a.replay(at, in, out)
	a.besideWebhook(path, routes)
	return out
}

// signatureHeader checks the name of a header that a sender writes.
func (a *api) signatureHeader(path, name string) {
	if name == "" {
		return
	}
	problem, hint := headerProblem(name)
	switch {
	case problem != "":
		a.add(path, problem, hint)
	case slices.ContainsFunc(a.in.Credentials.Read, func(p Place) bool { return strings.EqualFold(p.Header, name) }):
		a.add(path, "header "+quote(name)+" carries a credential, which the upstream does not get", "choose another, such as X-Signature")
	}
}

// sender checks who signs: a name, or a parameter that all routes have.
func (a *api) sender(at, sender string, routes []compiled, out *sallyport.Webhook) {
	a.required(at, "sender", "who signs", "write a name, or a parameter of the path such as {sender}")
	name, ok := strings.CutPrefix(sender, "{")
	if !ok {
		if sender != "" && !plainName.MatchString(sender) {
			a.add(field(at, "sender"), quote(sender)+" is not a name", "write letters, digits, . _ and -, or {PARAMETER}")
		}
		out.Sender = sender
		return
	}
	out.Parameter = strings.TrimSuffix(name, "}")
	for _, r := range routes {
		if !slices.Contains(r.template.Params(), out.Parameter) {
			a.add(field(at, "sender"), "path "+quote(r.Path)+" has no parameter "+quote(out.Parameter), "")
		}
	}
}

func (a *api) timestamp(at string, in *Webhook, out *sallyport.Webhook) {
	if in.Timestamp == nil {
		return
	}
	at = field(at, "timestamp")
	a.required(at, "header", "which header carries the timestamp", "write one such as X-Timestamp")
	a.signatureHeader(field(at, "header"), in.Timestamp.Header)
	if in.Timestamp.Header != "" && strings.EqualFold(in.Timestamp.Header, in.Header) {
		a.add(field(at, "header"), "is the one that carries the signature", "write another, such as X-Timestamp")
	}
	tolerance := a.usually(field(at, "tolerance"), in.Timestamp.Tolerance, usualTolerance)
	if tolerance < time.Second || tolerance > maxTolerance {
		a.add(field(at, "tolerance"), "is out of range", "1s to 24h")
	}
	out.Timestamp = sallyport.WebhookTimestamp{
		Header: strings.ToLower(in.Timestamp.Header), Tolerance: tolerance,
		Signed: in.Timestamp.Signed || !a.has(field(at, "signed")),
	}
}

// replay checks whether signatures are good once. Where the timestamp is not
// signed along, or there is none, a signature is good for ever, and so would
// have to be remembered.
func (a *api) replay(at string, in *Webhook, out *sallyport.Webhook) {
	if !a.oneOf(field(at, "replay"), "word", in.Replay, "allow", "refuse") || in.Replay != "refuse" {
		return
	}
	switch {
	case in.Timestamp == nil && a.whole(field(at, "timestamp")):
		a.add(field(at, "replay"), "stands without a timestamp", "add timestamp: {header: …}: without one a signature would have to be remembered for ever")
	case in.Timestamp != nil && !out.Timestamp.Signed && a.whole(field(at, "timestamp")):
		a.add(field(at, "replay"), "stands beside a timestamp that is not signed", "whoever sends a webhook again could write a new one")
	}
	// From the earliest that a timestamp is accepted to the latest, and the second
	// that it is told in; what counts knows whole seconds.
	out.Once = (2*out.Timestamp.Tolerance + 2*time.Second - 1).Truncate(time.Second)
}

// besideWebhook says what cannot stand beside webhook in the entry at path.
func (a *api) besideWebhook(path string, routes []compiled) {
	for _, other := range []string{"scope", "answer", "sandbox"} {
		if a.has(field(path, other)) {
			a.add(field(path, other), "stands beside webhook", "a webhook carries a signature and no credential")
		}
	}
	for _, r := range routes {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			a.add(r.path, r.Method+" has no body that a webhook could sign", "write POST, PUT or PATCH")
		}
	}
}

// onceForAll makes the operations of an API whose signatures are good once
// remember them alike: what was sent to one of them is not good at another.
func (a *api) onceForAll() {
	longest := time.Duration(0)
	for _, r := range a.routes {
		if r.Webhook != nil {
			longest = max(longest, r.Webhook.Once)
		}
	}
	for _, r := range a.routes {
		if r.Webhook != nil && r.Webhook.Once > 0 {
			r.Webhook.Once = longest
		}
	}
}
