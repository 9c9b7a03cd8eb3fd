package render

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/sallyport/sallyport"
)

// Text collects the short strings of one answer (numbers, joined lists, bodies)
// in one reused buffer, so that making them costs no allocation. A string it
// returned is valid until Reset. The zero value is ready; not for concurrent
// use.
type Text struct{ buf []byte }

// Reset empties t and keeps its memory. Strings that t returned die with it.
func (t *Text) Reset() { t.buf = t.buf[:0] }

// Cap returns how much memory t keeps.
func (t *Text) Cap() int { return cap(t.buf) }

// Len returns a mark for Since.
func (t *Text) Len() int { return len(t.buf) }

// Buf returns the buffer to append to; hand the result to Set.
func (t *Text) Buf() []byte { return t.buf }

// Since replaces the buffer by buf, which was made by appending to Buf, and
// returns what it holds from mark on.
func (t *Text) Since(mark int, buf []byte) string {
	t.buf = buf
	if len(buf) == mark {
		return ""
	}
	// The bytes are never written again before Reset: appending only goes on
	// behind them, or in a new array.
	return unsafe.String(&buf[mark], len(buf)-mark)
}

// Uint returns n in decimal.
func (t *Text) Uint(n uint64) string {
	return t.Since(len(t.buf), strconv.AppendUint(t.buf, n, 10))
}

// Int returns n in decimal.
func (t *Text) Int(n int64) string {
	return t.Since(len(t.buf), strconv.AppendInt(t.buf, n, 10))
}

// Hex returns n as 16 hexadecimal digits.
func (t *Text) Hex(n uint64) string {
	const digits = "0123456789abcdef"
	mark, buf := len(t.buf), t.buf
	for shift := 60; shift >= 0; shift -= 4 {
		buf = append(buf, digits[n>>shift&15])
	}
	return t.Since(mark, buf)
}

// Join returns list with a space between its elements.
func (t *Text) Join(list []string) string {
	if len(list) == 1 {
		return list[0]
	}
	mark, buf := len(t.buf), t.buf
	for i, s := range list {
		if i > 0 {
			buf = append(buf, ' ')
		}
		buf = append(buf, s...)
	}
	return t.Since(mark, buf)
}

// AppendQuota appends the headers that tell v under an API's names. A verdict
// that knows no window tells nothing.
func AppendQuota(dst []sallyport.Header, names *sallyport.QuotaHeaders, v *sallyport.Verdict, now time.Time, t *Text) []sallyport.Header {
	if !v.Known {
		return dst
	}
	if names.Limit != "" {
		dst = append(dst, sallyport.Header{Name: names.Limit, Value: t.Uint(v.Limit)})
	}
	if names.Remaining != "" {
		dst = append(dst, sallyport.Header{Name: names.Remaining, Value: t.Uint(v.Remaining)})
	}
	if names.Reset != "" {
		reset := v.Reset.Unix()
		if names.ResetAs == sallyport.ResetDelta {
			reset = int64((v.Reset.Sub(now) + time.Second - 1) / time.Second)
		}
		dst = append(dst, sallyport.Header{Name: names.Reset, Value: t.Int(reset)})
	}
	return dst
}
