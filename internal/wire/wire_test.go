package wire

import (
	"bytes"
	"errors"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echo is a Message that answers what it was asked.
type echo struct {
	text     []byte
	released int
}

func (e *echo) Read(msg []byte)          { e.text = append(e.text[:0], msg...) }
func (e *echo) Append(dst []byte) []byte { return append(dst, e.text...) }
func (e *echo) Release()                 { e.released++ }

func TestAMessageReadsAndWritesItself(t *testing.T) {
	for name, pieces := range map[string]mem.BufferSlice{
		"nothing":    nil,
		"one piece":  {mem.SliceBuffer("abc")},
		"two pieces": {mem.SliceBuffer("ab"), mem.SliceBuffer("c")},
		"long":       {mem.SliceBuffer(bytes.Repeat([]byte("x"), 3*usualBuffer))},
	} {
		want := pieces.Materialize()
		var e echo
		if err := Codec().Unmarshal(pieces, &e); err != nil {
			t.Fatal(err)
		}
		data, err := Codec().Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		if got := data.Materialize(); !bytes.Equal(got, want) || e.released != 1 {
			t.Errorf("%s: got %d bytes, want %d; released %d times", name, len(got), len(want), e.released)
		}
		data.Free()
	}
}

func TestOtherMessagesUseTheStandardCodec(t *testing.T) {
	data, err := Codec().Marshal(wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	defer data.Free()
	var got wrapperspb.StringValue
	if err := Codec().Unmarshal(data, &got); err != nil || got.Value != "x" {
		t.Errorf("got %q, %v", got.Value, err)
	}
}

func TestEachByteThatMayNotStandInAHeaderIsReplaced(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			b := []byte("0123456789 ~abcdefgh")
			b[at] = byte(c)
			want := bytes.Clone(b)
			if c < ' ' && c != '\t' || c >= 0x7f {
				want[at] = '?'
			}
			given := bytes.Clone(b)
			if CleanText(b); !bytes.Equal(b, want) {
				t.Errorf("%q: got %q, want %q", given, b, want)
			}
		}
	}
	for _, text := range []string{"Grüße", "日本語", "a\u00a0b"} {
		b := []byte(text)
		if CleanText(b); string(b) != text {
			t.Errorf("%q became %q", text, b)
		}
	}
}

func TestAMessageOfAnyLengthIsClosed(t *testing.T) {
	for _, n := range []int{0, 1, 126, 127, 128, 129, 16383, 16384, 16385, 2097151, 2097152} {
		text := bytes.Repeat([]byte("x"), n)
		dst, outer := Open([]byte("before"), 3)
		dst, inner := Open(dst, 15)
		dst = Close(Close(append(dst, text...), inner), outer)
		rest, ok := bytes.CutPrefix(dst, []byte("before"))
		if !ok {
			t.Fatalf("%d: what stood before was changed", n)
		}
		for _, number := range []protowire.Number{3, 15} {
			got, _, m := protowire.ConsumeTag(rest)
			value, k := protowire.ConsumeBytes(rest[max(m, 0):])
			if got != number || k < 0 || m+k != len(rest) {
				t.Fatalf("%d: field %d of %d bytes is not the message", n, got, len(value))
			}
			rest = value
		}
		if !bytes.Equal(rest, text) {
			t.Errorf("%d: got %d bytes", n, len(rest))
		}
	}
}

func TestAStructsEntryIsRead(t *testing.T) {
	dst := AppendString(nil, "rule", "requests")
	var got structpb.Struct
	if err := proto.Unmarshal(dst, &got); err != nil {
		t.Fatal(err)
	}
	if text := got.Fields["rule"].GetStringValue(); text != "requests" {
		t.Errorf("got %q", text)
	}
}

// FuzzCursor: it reads the fields that protowire reads, and errs where that
// does.
func FuzzCursor(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x0a, 3, 'a', 'b', 'c', 0x10, 0x96, 1})
	f.Add([]byte{0x0a, 0x83, 0, 'a', 'b', 'c'})
	f.Add([]byte{0x0b, 0x10, 1, 0x0c})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, msg []byte) {
		c := Over(msg)
		rest := msg
		for c.More() {
			got, err := c.Next()
			number, typ, n := protowire.ConsumeField(rest)
			bad := n < 0 || number > protowire.MaxValidNumber // which proto.Unmarshal refuses
			if (err != nil) != bad {
				t.Fatalf("at %d: got error %v, want %v", len(msg)-len(rest), err, protowire.ParseError(n))
			}
			if err != nil {
				return
			}
			_, _, tag := protowire.ConsumeTag(rest)
			if !got.Is(number, typ) {
				t.Fatalf("got field %d of type %d, want %d of %d", got.Number, got.Type, number, typ)
			}
			switch typ {
			case protowire.VarintType:
				if want, _ := protowire.ConsumeVarint(rest[tag:]); got.Value != want {
					t.Errorf("got %d, want %d", got.Value, want)
				}
			case protowire.BytesType:
				want, _ := protowire.ConsumeBytes(rest[tag:])
				text, err := c.Text(got, string(msg))
				if utf8.Valid(want) != (err == nil) || err == nil && text != string(want) || err != nil && !errors.Is(err, ErrText) {
					t.Errorf("got %q, %v, want %q", text, err, want)
				}
				if inner := c.Into(got); !bytes.Equal(inner.Message[inner.At:inner.End], want) {
					t.Errorf("the field's own bytes are %q, want %q", inner.Message[inner.At:inner.End], want)
				}
			}
			rest = rest[n:]
		}
		if len(rest) > 0 {
			t.Errorf("%d bytes are unread", len(rest))
		}
	})
}
