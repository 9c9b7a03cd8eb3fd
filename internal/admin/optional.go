package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// Shown is a secret on its way: in the one answer that shows it, or in the
// request that imports it. JSON has the text, every other way to print it hides
// it.
type Shown string

// Reveal returns the text.
func (s Shown) Reveal() string { return string(s) }

func (Shown) String() string             { return "<secret>" }
func (Shown) GoString() string           { return "<secret>" }
func (Shown) Format(w fmt.State, _ rune) { io.WriteString(w, "<secret>") }
func (Shown) LogValue() slog.Value       { return slog.StringValue("<secret>") }

// Optional is a field of a change: not sent (the zero value), sent as null, or
// sent with a value.
type Optional[T any] struct {
	Sent  bool
	Value *T // nil: null
}

// Some is a field that is sent with v.
func Some[T any](v T) Optional[T] { return Optional[T]{true, &v} }

// Null is a field that is sent as null.
func Null[T any]() Optional[T] { return Optional[T]{Sent: true} }

// IsZero reports whether the field is not sent; it is what omitzero asks.
func (o Optional[T]) IsZero() bool { return !o.Sent }

// MarshalJSON writes the value or null.
func (o Optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// UnmarshalJSON is called only for a field that was sent.
func (o *Optional[T]) UnmarshalJSON(text []byte) error {
	o.Sent, o.Value = true, nil
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		return nil
	}
	return json.Unmarshal(text, &o.Value)
}

// Schema describes the field for OpenAPI: a T, or null.
func (Optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := r.Schema(reflect.TypeFor[T](), false, "")
	s.Nullable = true
	return s
}

// value returns what was sent; null is the zero value.
func value[T any](o Optional[T]) (v T) {
	if o.Value != nil {
		v = *o.Value
	}
	return v
}
