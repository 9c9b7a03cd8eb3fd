package wire

import (
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sallyport/sallyport"
)

// Field numbers of google.protobuf.Struct and of the entries of its map.
const fieldFields, fieldEntryKey, fieldEntryValue = 1, 1, 2

// Field numbers of google.protobuf.Value.
const FieldNumber, FieldString, FieldStruct = 2, 3, 5

// Field numbers of Envoy's HeaderValue.
const fieldHeaderKey, fieldHeaderValue = 1, 2

// Tag is what a field begins with whose number is below 16, as are all that are
// written here.
func Tag(num protowire.Number, typ protowire.Type) byte { return byte(num)<<3 | byte(typ) }

// Open adds the head of a message in field number, whose fields follow; Close,
// with the place that Open returned, puts their length there. Nearly all are
// shorter than 128 bytes, whose length is one byte; a longer message is moved.
// That is cheaper than to add up sizes beforehand.
func Open(dst []byte, number protowire.Number) (_ []byte, at int) {
	return append(dst, Tag(number, protowire.BytesType), 0), len(dst) + 2
}

// Close ends the message that was opened at that place.
func Close(dst []byte, at int) []byte {
	n := len(dst) - at
	if n < 0x80 {
		dst[at-1] = byte(n)
		return dst
	}
	var length [binary.MaxVarintLen64]byte
	more := binary.PutUvarint(length[:], uint64(n)) - 1
	dst = append(dst, length[:more]...)
	copy(dst[at+more:], dst[at:at+n])
	copy(dst[at-1:], length[:more+1])
	return dst
}

// AppendNumber adds a numeric field, or nothing where it is 0.
func AppendNumber(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(append(dst, Tag(num, protowire.VarintType)), v)
}

// AppendText adds s, cleaned; cleaning does not change its length.
func AppendText(dst []byte, num protowire.Number, s string) []byte {
	dst = protowire.AppendVarint(append(dst, Tag(num, protowire.BytesType)), uint64(len(s)))
	at := len(dst)
	dst = append(dst, s...)
	CleanText(dst[at:])
	return dst
}

// printable reports whether all of b is printable ASCII, looking at eight bytes
// at a time: nearly all that is written is, and it is all looked at.
func printable(b []byte) bool {
	const each = 0x0101010101010101 // times a byte: that byte, eight times
	for len(b) >= 8 {
		x := binary.LittleEndian.Uint64(b)
		control := (x - each*' ') &^ x                         // the high bit of bytes below a space
		deleted := ((x ^ each*0x7f) - each) &^ (x ^ each*0x7f) // and of those that are DEL
		if (x|control|deleted)&(each*0x80) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// CleanText puts '?' in the place of each byte that may not stand in a header.
func CleanText(b []byte) {
	if printable(b) {
		return
	}
	for i := 0; i < len(b); {
		c := b[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				b[i] = '?'
			}
			i += n
			continue
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			b[i] = '?'
		}
		i++
	}
}

// AppendString adds an entry of a Struct whose value is text.
func AppendString(dst []byte, key, text string) []byte {
	dst, entry, value := OpenEntry(dst, key)
	dst = AppendText(dst, FieldString, text)
	return Close(Close(dst, value), entry)
}

// OpenEntry opens an entry of a Struct and the Value in it; both are to be
// closed, the value first.
func OpenEntry(dst []byte, key string) (_ []byte, entry, value int) {
	dst, entry = Open(dst, fieldFields)
	dst = AppendText(dst, fieldEntryKey, key)
	dst, value = Open(dst, fieldEntryValue)
	return dst, entry, value
}

// AppendHeader adds the fields of a HeaderValue, its value as text.
func AppendHeader(dst []byte, h *sallyport.Header) []byte {
	if h.Name != "" {
		dst = AppendText(dst, fieldHeaderKey, h.Name)
	}
	if h.Value != "" {
		dst = AppendText(dst, fieldHeaderValue, h.Value)
	}
	return dst
}
