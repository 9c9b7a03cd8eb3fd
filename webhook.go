package sallyport

import "time"

// KindWebhook is the kind of credential that stands for a Sender. Its id is that
// of the sender behind the kind and a colon, such as webhook:github.
const KindWebhook = "webhook"

// Webhook makes an operation one that its sender signs, instead of carrying a
// credential: with an HMAC-SHA-256 of the raw body in a header. What the sender
// sends counts as its tenant's.
type Webhook struct {
	Header    string // carries the signature; lower case
	Sender    string // the sender's id; "": Parameter holds it
	Parameter string // the path parameter that holds the sender's id
	Encoding  SignatureEncoding
	Prefix    string // stands before the signature, such as "sha256="
	MaxBody   int64  // bytes; a longer body is refused
	Timestamp WebhookTimestamp

	// Once is how long a signature that was good is refused afterwards; 0: it may
	// come again.
	Once time.Duration
}

// WebhookTimestamp is where a sender says when it signed, in Unix seconds. The
// zero value is nowhere.
type WebhookTimestamp struct {
	Header    string        // lower case
	Tolerance time.Duration // how far from now it may be, either way
	Signed    bool          // what is signed is the timestamp, a dot and the body; else the body alone
}

// SignatureEncoding is how a signature is written.
type SignatureEncoding uint8

const (
	Hex SignatureEncoding = iota
	Base64
)

// String returns the encoding's name in configuration.
func (e SignatureEncoding) String() string {
	if e == Base64 {
		return "base64"
	}
	return "hex"
}

// ParseSignatureEncoding is the inverse of String; anything else is false.
func ParseSignatureEncoding(s string) (SignatureEncoding, bool) {
	switch s {
	case "hex":
		return Hex, true
	case "base64":
		return Base64, true
	}
	return Hex, false
}
