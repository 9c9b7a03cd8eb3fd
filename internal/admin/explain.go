package admin

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
)

// ExplainRequest is a request that somebody could send.
type ExplainRequest struct {
	Method  string   `json:"method" doc:"Such as GET"`
	URL     string   `json:"url" doc:"The whole of it, with scheme and host"`
	Headers []string `json:"headers,omitempty" maxItems:"200" doc:"Lines of the form Name: value"`
	Source  string   `json:"source,omitempty" doc:"The caller's address"`
	Body    []byte   `json:"body,omitempty" doc:"What a webhook signs, in base64"`
	KeyID   string   `json:"key_id,omitempty" doc:"Decide as if this key had been sent"`
}

// Explanation is how a request would be decided.
type Explanation struct {
	API        string           `json:"api" doc:"Empty: no API has the host"`
	Operation  string           `json:"operation"`
	Chain      string           `json:"chain"`
	Outcome    string           `json:"outcome" enum:"allowed,answered,refused,preflight"`
	Reason     string           `json:"reason"`
	Why        string           `json:"why" doc:"The reason in a sentence"`
	Status     int              `json:"status" doc:"Of the gate's own answer; 0 where the request goes on"`
	Headers    []string         `json:"headers,omitempty"`
	Body       string           `json:"body,omitempty"`
	Credential string           `json:"credential,omitempty" doc:"The id of the key"`
	Tenant     string           `json:"tenant,omitempty"`
	Plan       string           `json:"plan,omitempty"`
	Principal  string           `json:"principal,omitempty"`
	Holds      []string         `json:"holds,omitempty" doc:"The scopes that the caller has"`
	Requires   []string         `json:"requires,omitempty" doc:"The scopes of which the operation asks for one"`
	Missing    string           `json:"missing,omitempty"`
	Limits     []ExplainedLimit `json:"limits,omitempty" doc:"The limits that count the request"`
	Webhook    bool             `json:"webhook,omitempty" doc:"The operation is a webhook: its sender signs it"`
	Shadow     bool             `json:"shadow,omitempty" doc:"In shadow mode: what would be refused passes all the same"`
}

// ExplainedLimit is a limit as it stands, without this request.
type ExplainedLimit struct {
	Name      string    `json:"name"`
	Per       []string  `json:"per,omitempty" doc:"Whose counter it is"`
	From      string    `json:"from,omitempty" doc:"Where the windows come from, as in the limits of a tenant or a key"`
	Shadow    bool      `json:"shadow,omitempty" doc:"It counts, and refuses nothing"`
	Windows   []string  `json:"windows"`
	Limit     uint64    `json:"limit"`
	Remaining uint64    `json:"remaining"`
	Reset     time.Time `json:"reset"`
}

// why is the reason of e in one sentence.
func why(e Explanation) string {
	for _, r := range sallyport.Reasons() {
		if r.String() != e.Reason {
			continue
		}
		said := sentence(r, e)
		if e.Shadow && r.Refuses() {
			said += ", but shadow mode lets the request pass"
		}
		return said + "."
	}
	return "The gate gives a reason that has no words yet: " + e.Reason + "."
}

// sentence is r in words, without the full stop; "" where r has none.
func sentence(r sallyport.Reason, e Explanation) string {
	operation := cmp.Or(e.Operation, "the operation")
	switch r {
	case sallyport.Allowed:
		return allowed(e, operation)
	case sallyport.Answered:
		return "The gate answers " + operation + " itself"
	case sallyport.Preflight:
		return "It is a browser's preflight, which the gate answers itself"
	case sallyport.TenantForeign:
		return fmt.Sprintf("The request names a tenant other than %s, whose key it carries", e.Tenant)
	case sallyport.ScopeMissing:
		return fmt.Sprintf("%s asks for one of the scopes %s, and the caller has %s",
			operation, strings.Join(e.Requires, ", "), cmp.Or(strings.Join(e.Holds, ", "), "none"))
	case sallyport.AccessReadOnly:
		return "The key may only read, and " + operation + " writes"
	case sallyport.CategoryOff:
		return "The category of " + operation + " is switched off for the user"
	case sallyport.QuotaExhausted:
		return exhausted(e)
	case sallyport.OperationUnlisted:
		return fmt.Sprintf("API %s lists no operation with this method and path", e.API)
	case sallyport.SandboxUnlisted:
		return "The key is for the sandbox, and " + operation + " has no mock"
	case sallyport.FeatureAbsent:
		return operation + " needs what this version does not serve yet"
	}
	if said, ok := webhookWords[r]; ok && e.Webhook {
		return said
	}
	return words[r]
}

// webhookWords are the reasons that are told otherwise of a webhook, which carries
// no key.
var webhookWords = map[sallyport.Reason]string{
	sallyport.CredentialUnknown:   "There is no such sender of webhooks; if there should be, create it",
	sallyport.CredentialRevoked:   "The sender is revoked",
	sallyport.CredentialDisabled:  "The sender is disabled",
	sallyport.CredentialMisplaced: "A key stands in the URL, where it would reach the upstream",
	sallyport.BodyUnsent:          "The body was not shown: here it has to be given, and to the gate the proxy shows it by with_request_body",
}

// words are the reasons that are told alike for all requests.
var words = map[sallyport.Reason]string{
	sallyport.Undecided:             "The gate came to no decision, and so it refuses",
	sallyport.CredentialMissing:     "There is no credential where the API reads one",
	sallyport.CredentialMalformed:   "The credential has the wrong length, alphabet or checksum: it was cut or mistyped, or is not one of this API's",
	sallyport.CredentialRepeated:    "The credential was sent more than once",
	sallyport.CredentialConflicting: "Two credentials were sent, and they differ",
	sallyport.CredentialMisplaced:   "The credential stands where the API does not read it",
	sallyport.CredentialUnknown:     "No key has this secret",
	sallyport.CredentialRevoked:     "The key is revoked",
	sallyport.CredentialDisabled:    "The key is disabled",
	sallyport.CredentialExpired:     "The key has expired",
	sallyport.AddressRefused:        "The key is not good from this address: none of its networks holds it",
	sallyport.TenantDisabled:        "The tenant is disabled",
	sallyport.UserDisabled:          "The user for whom the token acts is disabled",
	sallyport.PathMalformed:         "The path cannot be read in one way only",
	sallyport.RequestMalformed:      "The request is not well formed",
	sallyport.MediaUnacceptable:     "Accept excludes the media type of the API's answers",
	sallyport.MediaUnsupported:      "The body is not declared as the media type that the API takes",
	sallyport.ConcurrencyExhausted:  "The caller has as many requests in flight as it may have",
	sallyport.SignatureMissing:      "The operation is a webhook, which its sender signs, and there is no signature, or no timestamp with it",
	sallyport.SignatureMalformed:    "The signature of the webhook, or its timestamp, was sent more than once or is not of the configured form",
	sallyport.SignatureWrong:        "The signature of the webhook is not that of this body under a secret of the sender's",
	sallyport.SignatureExpired:      "The timestamp of the webhook is too far from now",
	sallyport.SignatureReplayed:     "The webhook came before: each signature is good once",
	sallyport.BodyTooLarge:          "The body of the webhook is longer than the operation takes, or than the proxy shows",
	sallyport.HostUnlisted:          "No API of the configuration has this host",
	sallyport.StoreTimeout:          "The store did not answer in time, and so the gate refuses",
	sallyport.StoreFailed:           "The store failed, and so the gate refuses",
	sallyport.Overloaded:            "More requests are in flight than may be (listen.in_flight), and so the gate refuses",
	sallyport.IssuerFailed:          "The issuer of the token could not be asked, and so the gate refuses",
	sallyport.CountersFailed:        "The counters failed, and so the gate refuses",
	sallyport.StreamUnnamed:         "The request has no stream id, by which a slot that is held would be released: its Envoy does not send one",
	sallyport.BodyUnsent:            "The proxy did not show the body of the webhook: its route needs with_request_body",
	sallyport.Panicked:              "The gate failed at the decision, and so it refuses",
}

func allowed(e Explanation, operation string) string {
	switch {
	case e.Webhook:
		return fmt.Sprintf("The signature is good, of sender %s", strings.TrimPrefix(e.Credential, sallyport.KindWebhook+":"))
	case e.Credential == "":
		return operation + " asks for no credential"
	case len(e.Requires) == 0:
		return fmt.Sprintf("Key %s is good, and %s asks for no scope", e.Credential, operation)
	}
	return fmt.Sprintf("Key %s is good, and has one of the scopes that %s asks for: %s", e.Credential, operation, strings.Join(e.Requires, ", "))
}

// exhausted names the limit that resets last of those that are used up.
func exhausted(e Explanation) string {
	var last ExplainedLimit
	for _, l := range e.Limits {
		if l.Remaining == 0 && !l.Shadow && !l.Reset.Before(last.Reset) {
			last = l
		}
	}
	if last.Name == "" {
		return "A limit is used up"
	}
	return fmt.Sprintf("Limit %s is used up until %s", last.Name, last.Reset.UTC().Format(time.RFC3339))
}
