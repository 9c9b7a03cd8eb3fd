package apikey

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// hidden is what every secret prints as.
const hidden = "<secret>"

// Secret is a bearer secret in clear. It cannot be compared with ==, and
// prints as "<secret>" wherever it ends up: in fmt with any verb, JSON, YAML,
// slog, or as an unexported field of something that is printed whole. The zero
// value is the empty secret.
type Secret struct {
	// reveal keeps the text where reflection does not reach: fmt does not
	// call methods on unexported fields, but of a func it shows an address.
	reveal func() string
}

// NewSecret wraps a secret that came from outside.
func NewSecret(text string) Secret {
	return Secret{func() string { return text }}
}

// Reveal returns the text, for the one time it is shown and for the digest.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Equal reports whether both hold the same text, in a time that depends on
// their lengths only.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// Last4 returns the last four characters, which are kept for display, or ""
// where four would be too large a part of the secret.
func (s Secret) Last4() string {
	text := s.Reveal()
	if len(text) < 16 {
		return ""
	}
	return text[len(text)-4:]
}

// The ways in which values get printed; all of them hide it.

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(w fmt.State, _ rune)   { io.WriteString(w, hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }

// errUnreadable: without this, decoding into a Secret would silently leave it
// empty, and decoding what was printed would make "<secret>" a secret.
var errUnreadable = errors.New("a secret is not read from here; it comes from standard input, a file or the environment")

// UnmarshalText refuses: what was printed is not the secret.
func (*Secret) UnmarshalText([]byte) error { return errUnreadable }

// UnmarshalJSON refuses: what was printed is not the secret.
func (*Secret) UnmarshalJSON([]byte) error { return errUnreadable }

const bullets = "•••••"

// Mask returns how a key is shown after its first time: "•••••" and its last
// four characters, after prefix if one is given.
func Mask(prefix, last4 string) string { return prefix + bullets + last4 }
