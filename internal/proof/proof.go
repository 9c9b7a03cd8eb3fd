// Package proof is how a Check tells the endpoints behind it, which are ours
// too, that it let a request pass and whose it is. The endpoints listen on a
// plain port: without it, whoever reaches that port could call them as anybody.
//
// A proof is text for a header: a short-lived statement about one request and a
// MAC over it (HMAC-SHA-256), under a key that every instance derives from the
// pepper. It holds no secret of the caller's. It is not a token for clients:
// generated configuration strips the header from their requests.
//
// Costs: one MAC and some small allocations each way, for requests to endpoints
// only. Everything here is pure and safe for concurrent use.
package proof

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Header carries a proof.
const Header = "x-sallyport-proof"

// Purpose is what the key is derived for.
const Purpose = "proof"

// Life is how long a proof is good: the time from Check to the endpoint, and
// clocks of machines that differ.
const Life = 30 * time.Second

// Statement is what Check says about a request.
type Statement struct {
	API        string `json:"a"`
	Operation  string `json:"o"`
	Tenant     string `json:"t"`
	Credential string `json:"c"`           // whose rights the caller has; of a token, what it was made from
	Scoped     bool   `json:"l,omitempty"` // but no more than Scopes
	Scopes     string `json:"g,omitempty"` // separated by spaces
	RequestID  string `json:"r"`
	Address    string `json:"i"` // of the client
	Method     string `json:"m"`
	Path       string `json:"p"` // as the endpoint gets it, without the query
	At         int64  `json:"s"` // Unix seconds
}

// Key is the key of the MAC.
type Key [32]byte

// ErrRefused says that a request carries no good proof. It does not say why.
var ErrRefused = errors.New("no proof that the request was checked")

var encoding = base64.RawURLEncoding.Strict()

// Make returns the proof of s.
func Make(k Key, s Statement) string {
	text, err := json.Marshal(s)
	if err != nil {
		return "" // a struct of texts always encodes; nothing is no proof
	}
	body := encoding.EncodeToString(text)
	return body + "." + encoding.EncodeToString(sum(k, body))
}

// Verify returns what proof says about the request with method and path, if it
// is about that request, made under one of keys, and not older than Life.
func Verify(keys []Key, proof, method, path string, now time.Time) (s Statement, err error) {
	body, mac, _ := strings.Cut(proof, ".")
	given, err := encoding.DecodeString(mac)
	if err != nil {
		return s, ErrRefused
	}
	good := false
	for _, k := range keys {
		good = hmac.Equal(given, sum(k, body)) || good
	}
	if !good {
		return s, ErrRefused
	}
	text, err := encoding.DecodeString(body)
	if err != nil || json.Unmarshal(text, &s) != nil {
		return Statement{}, ErrRefused
	}
	age := now.Sub(time.Unix(s.At, 0))
	if s.Method != method || s.Path != path || age > Life || age < -Life {
		return Statement{}, ErrRefused
	}
	return s, nil
}

func sum(k Key, body string) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte(body))
	return mac.Sum(nil)
}
