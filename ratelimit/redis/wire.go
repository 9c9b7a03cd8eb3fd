package redis

import (
	"encoding/binary"
	"errors"
	"math"
)

// most is the largest number that a script keeps exactly: Lua's numbers are
// doubles. Amounts saturate there.
const most = 1 << 53

// What travels to the script and back is one list of whole numbers in
// MessagePack, which Redis reads and writes in C.

// appendList appends the head of a list of n numbers.
func appendList(dst []byte, n int) []byte {
	return binary.BigEndian.AppendUint16(append(dst, 0xdc), uint16(n))
}

// appendNumber appends n, at most as much as a script keeps.
func appendNumber(dst []byte, n uint64) []byte {
	switch {
	case n < 1<<7:
		return append(dst, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, 0xcf), n)
}

var errAnswer = errors.New("the script's answer is not of its form")

// reader reads a list of numbers. The first fault ends it: zeros follow.
type reader struct {
	text  string
	fault bool
}

// list reads the head of a list.
func (r *reader) list() int {
	switch c := r.byte(); {
	case c>>4 == 9:
		return int(c & 15)
	case c == 0xdc:
		return int(r.bits(2))
	case c == 0xdd:
		return int(r.bits(4))
	}
	r.fault = true
	return 0
}

// number reads a number that is not negative; one that is reads as zero.
func (r *reader) number() uint64 {
	switch c := r.byte(); {
	case c < 0x80:
		return uint64(c)
	case c >= 0xe0: // below zero
		return 0
	case 0xcc <= c && c <= 0xcf:
		return r.bits(1 << (c - 0xcc))
	case 0xd0 <= c && c <= 0xd3:
		size := 1 << (c - 0xd0)
		return uint64(max(0, int64(r.bits(size)<<(64-8*size))>>(64-8*size)))
	case c == 0xcb:
		return uint64(max(0, math.Float64frombits(r.bits(8))))
	}
	r.fault = true
	return 0
}

func (r *reader) byte() byte { return byte(r.bits(1)) }

func (r *reader) bits(n int) (v uint64) {
	if len(r.text) < n {
		r.text, r.fault = "", true
		return 0
	}
	for i := range n {
		v = v<<8 | uint64(r.text[i])
	}
	r.text = r.text[n:]
	return v
}
