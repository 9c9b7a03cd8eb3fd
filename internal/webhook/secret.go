package webhook

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is what a sender and the gate share. It cannot be compared with ==, and
// prints as "<secret>". The zero value is the empty secret, which signs nothing.
type Secret struct {
	// reveal keeps the bytes where reflection does not reach.
	reveal func() []byte
}

// NewSecret wraps secret, which must not change afterwards.
func NewSecret(secret []byte) Secret { return Secret{func() []byte { return secret }} }

// Len is how many bytes s has.
func (s Secret) Len() int { return len(s.bytes()) }

func (s Secret) bytes() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

const hidden = "<secret>"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) Format(w fmt.State, _ rune)   { io.WriteString(w, hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }

// SealName is the name under which the secrets of a sender are sealed (package
// seal), so that none opens as another's.
func SealName(api, sender string) string { return "webhook " + api + "/" + sender }
