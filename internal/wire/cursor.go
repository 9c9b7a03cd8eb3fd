package wire

import (
	"errors"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// What can be wrong with a message.
var (
	ErrWire = errors.New("message is not protobuf")
	ErrText = errors.New("text in message is not UTF-8")
)

// Cursor reads the fields of one message. It allocates nothing: what it returns
// are places in the message.
type Cursor struct {
	Message []byte
	At, End int // what is left to read is Message[At:End]
}

// Over returns a cursor over the whole of a message.
func Over(msg []byte) Cursor { return Cursor{msg, 0, len(msg)} }

// Field is one field: its number and, by its type, a number in Value or bytes
// from From to To. Of fixed-size fields and of groups there is nothing but the
// number.
type Field struct {
	Number   protowire.Number
	Type     protowire.Type
	From, To int
	Value    uint64
}

// Is reports whether f is field number of that type. A field of another type
// than its message gives it is an unknown field, as in protobuf.
func (f *Field) Is(number protowire.Number, typ protowire.Type) bool {
	return f.Number == number && f.Type == typ
}

// More reports whether a field is left.
func (c *Cursor) More() bool { return c.At < c.End }

// Next reads the next field. Its error is ErrWire.
func (c *Cursor) Next() (f Field, err error) {
	msg := c.Message[:c.End]
	tag, n := uint64(msg[c.At]), 1
	if tag >= 0x80 {
		tag, n = protowire.ConsumeVarint(msg[c.At:])
	}
	f.Number, f.Type = protowire.DecodeTag(tag)
	if n < 0 || f.Number < protowire.MinValidNumber || f.Number > protowire.MaxValidNumber {
		return f, ErrWire
	}
	c.At += n
	switch f.Type {
	case protowire.BytesType, protowire.VarintType:
		if c.At < c.End && msg[c.At] < 0x80 {
			f.Value, n = uint64(msg[c.At]), 1
		} else {
			f.Value, n = protowire.ConsumeVarint(msg[c.At:])
		}
	default:
		n = protowire.ConsumeFieldValue(f.Number, f.Type, msg[c.At:])
	}
	if n < 0 {
		return f, ErrWire
	}
	c.At += n
	if f.Type == protowire.BytesType {
		if f.Value > uint64(c.End-c.At) {
			return f, ErrWire
		}
		f.From, f.To = c.At, c.At+int(f.Value)
		c.At = f.To
	}
	return f, nil
}

// Into returns a cursor over the message in f.
func (c *Cursor) Into(f Field) Cursor { return Cursor{c.Message, f.From, f.To} }

// Text returns the bytes of f out of text, a copy of the message that is the
// caller's to keep. Its error is ErrText where they are not UTF-8.
func (c *Cursor) Text(f Field, text string) (string, error) {
	s := text[f.From:f.To]
	if !utf8.ValidString(s) {
		return "", ErrText
	}
	return s, nil
}
