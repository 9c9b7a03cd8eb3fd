package apikey

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const minPepper = 32 // bytes of key

// Pepper is the key under which digests are made: kept in a file or the
// environment, never in the database, so that a stolen database does not help
// to confirm guesses. It prints as "<secret>" and cannot be compared with ==.
// The zero value is no pepper; NewHasher refuses it.
type Pepper struct {
	version int
	key     func() []byte // see Secret
}

// ParsePepper reads a pepper of version 1: at least 32 bytes of key as hex or
// base64 text (one newline may follow), or raw. Text that decodes to enough
// bytes as hex or base64 is taken so. Errors do not quote it.
func ParsePepper(text []byte) (Pepper, error) {
	key := decodePepper(text)
	if len(key) < minPepper {
		return Pepper{}, fmt.Errorf("the pepper has %d bytes of key, at least %d are needed; make one with: openssl rand -base64 32", len(key), minPepper)
	}
	if bytes.Count(key, key[:1]) == len(key) {
		return Pepper{}, errors.New("the pepper is one byte repeated; make one with: openssl rand -base64 32")
	}
	return Pepper{version: 1, key: func() []byte { return key }}, nil
}

// decodePepper returns a copy. Binary is kept to the last byte, a final
// newline included, which then is key.
func decodePepper(raw []byte) []byte {
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return bytes.Clone(raw)
		}
	}
	if key, err := hex.DecodeString(text); err == nil && len(key) >= minPepper {
		return key
	}
	unpadded := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if key, err := encoding.DecodeString(unpadded); err == nil && len(key) >= minPepper {
			return key
		}
	}
	return []byte(text)
}

// WithVersion returns p numbered n: the number is kept beside each digest.
func (p Pepper) WithVersion(n int) Pepper {
	p.version = n
	return p
}

// Version is p's number.
func (p Pepper) Version() int { return p.version }

func (p Pepper) bytes() []byte {
	if p.key == nil {
		return nil
	}
	return p.key()
}

// The ways in which values get printed.

func (Pepper) String() string               { return hidden }
func (Pepper) GoString() string             { return hidden }
func (Pepper) Format(w fmt.State, _ rune)   { io.WriteString(w, hidden) }
func (Pepper) MarshalText() ([]byte, error) { return []byte(hidden), nil }
func (Pepper) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
func (Pepper) LogValue() slog.Value         { return slog.StringValue(hidden) }
