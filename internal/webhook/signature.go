package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unsafe"

	"github.com/sallyport/sallyport"
)

// MAC is a signature without its clothes.
type MAC [sha256.Size]byte

// Message is what is signed.
type Message struct {
	Stamp string // the timestamp, as it is sent; "" where it is not signed along
	Body  string
}

// Sign returns the signature of m under secret.
func Sign(secret Secret, m Message) (mac MAC) {
	h := hmac.New(sha256.New, secret.bytes())
	if m.Stamp != "" {
		h.Write(bytesOf(m.Stamp))
		h.Write([]byte{'.'})
	}
	h.Write(bytesOf(m.Body))
	h.Sum(mac[:0])
	return mac
}

// bytesOf views s as bytes, to be read and not kept: a conversion would copy the
// body once for each secret.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// usualSecrets is how many secrets a sender has at most, save in odd hours: one,
// and while it is rolled two. So many are tried always.
const usualSecrets = 2

// decoy is tried where there are fewer secrets than usual. What it says counts
// for nothing.
var decoy = NewSecret([]byte("a secret that nobody has, for the time it takes to try"))

// Verify reports whether mac is the signature of m under one of secrets. An empty
// secret, which anybody knows, signs nothing.
func Verify(secrets []Secret, mac MAC, m Message) bool {
	good := 0
	for i := range max(len(secrets), usualSecrets) {
		secret, real := decoy, 0
		if i < len(secrets) && secrets[i].Len() > 0 {
			secret, real = secrets[i], 1
		}
		sum := Sign(secret, m)
		good |= real & subtle.ConstantTimeCompare(sum[:], mac[:])
	}
	return good == 1
}

// Write returns mac as w wants it in its header.
func Write(w *sallyport.Webhook, mac MAC) string {
	if w.Encoding == sallyport.Base64 {
		return w.Prefix + base64.StdEncoding.EncodeToString(mac[:])
	}
	return w.Prefix + hex.EncodeToString(mac[:])
}

// Parse is the inverse of Write. It takes hexadecimal digits in either case, and
// base64 with or without its padding; spaces around belong to the header.
func Parse(w *sallyport.Webhook, text string) (mac MAC, ok bool) {
	text, ok = strings.CutPrefix(strings.Trim(text, " \t"), w.Prefix)
	if !ok {
		return MAC{}, false
	}
	if w.Encoding == sallyport.Base64 {
		return parseBase64(text)
	}
	if len(text) != hex.EncodedLen(len(mac)) {
		return MAC{}, false
	}
	if _, err := hex.Decode(mac[:], []byte(text)); err != nil {
		return MAC{}, false
	}
	return mac, true
}

// unpadded takes no text but the one that a MAC is written as.
var unpadded = base64.RawStdEncoding.Strict()

func parseBase64(text string) (mac MAC, ok bool) {
	digits := unpadded.EncodedLen(len(mac))
	if len(text) == digits+1 && text[digits] == '=' {
		text = text[:digits]
	}
	// The decoder passes over line breaks: what has some decodes to less.
	if len(text) != digits {
		return MAC{}, false
	}
	if n, err := unpadded.Decode(mac[:], []byte(text)); err != nil || n != len(mac) {
		return MAC{}, false
	}
	return mac, true
}
