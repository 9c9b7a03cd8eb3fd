package issuer

import (
	"encoding/base64"
	"strings"
)

// MaxLength is how many bytes a token may have.
const MaxLength = 8 << 10

// unverified is a JWT taken apart: what it says, before anybody stands for it.
type unverified struct {
	algorithm string
	key       string // the kid; "": it names none
	claims    map[string]any
}

// IssuerOf returns the issuer that text names, for the choice of a Verifier; it
// is not ok where text is not a JWT, which may then be an opaque token. Nothing
// is verified.
func IssuerOf(text string) (issuer string, ok bool) {
	t, err := parseToken(text)
	if err != nil {
		return "", false
	}
	issuer, _ = textOf(t.claims, claimIssuer)
	return issuer, true
}

// parseToken takes a JWT in compact form apart. Its errors wrap ErrBad.
func parseToken(text string) (*unverified, error) {
	if len(text) > MaxLength {
		return nil, bad("it is too long")
	}
	parts := strings.Split(text, ".")
	switch {
	case len(parts) == 5:
		return nil, bad("it is encrypted")
	case len(parts) != 3:
		return nil, bad("it has not three parts")
	}
	header, err := decodePart(parts[0])
	if err != nil {
		return nil, err
	}
	payload, err := decodePart(parts[1])
	if err != nil {
		return nil, err
	}
	if _, err := decodePart(parts[2]); err != nil {
		return nil, err
	}
	t := new(unverified)
	if err := t.readHeader(header); err != nil {
		return nil, err
	}
	if t.claims, err = parseObject(payload); err != nil {
		return nil, bad("claims: " + err.Error())
	}
	return t, nil
}

var strict = base64.RawURLEncoding.Strict()

// decodePart decodes base64url that has one form only: decoders skip line ends,
// and without Strict ignore bits, so that one token had many texts.
func decodePart(text string) ([]byte, error) {
	if text == "" {
		return nil, bad("a part is empty")
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, bad("a part has line ends")
	}
	part, err := strict.DecodeString(text)
	if err != nil {
		return nil, bad("a part is not base64url")
	}
	return part, nil
}

// refusedHeaders are what no token of ours to read has: extensions that have to
// be understood (crit, b64), encryption, and keys that it would be verified with.
var refusedHeaders = []string{"crit", "b64", "enc", "zip", "jwk", "x5c"}

func (t *unverified) readHeader(text []byte) error {
	header, err := parseObject(text)
	if err != nil {
		return bad("header: " + err.Error())
	}
	for _, name := range refusedHeaders {
		if _, there := header[name]; there {
			return bad("header " + name + " is not accepted")
		}
	}
	values := make(map[string]string)
	for _, name := range []string{"alg", "kid", "typ", "cty"} {
		value, ok := textOf(header, name)
		if !ok {
			return bad("header " + name + " is not text")
		}
		values[name] = value
	}
	if _, there := header["typ"]; there && !isType(values["typ"], "jwt", "at+jwt") {
		return bad("header typ is neither JWT nor at+jwt")
	}
	if isType(values["cty"], "jwt") {
		return bad("another token is nested in it")
	}
	t.algorithm, t.key = values["alg"], values["kid"]
	return nil
}

// isType reports whether a media type of a header is one of wanted: letters'
// case does not count, and application/ is understood (RFC 7515 §4.1.9).
func isType(value string, wanted ...string) bool {
	value = strings.TrimPrefix(strings.ToLower(value), "application/")
	for _, w := range wanted {
		if value == w {
			return true
		}
	}
	return false
}
