package pattern

import "unicode/utf8"

// class is what a byte means in a path.
type class uint8

const (
	refused class = iota
	plain         // stands for itself: RFC 3986 pchar, without ';'
	slash
	percent
)

// classes says what a byte that stands in a path means, and encodable whether
// a path may hold the byte percent-encoded. Of ASCII that is neither what
// needs no encoding at all (unreserved: some servers decode it early), nor
// what gives a decoded path another structure, nor controls. Bytes from 0x80
// on are encodable as UTF-8 only.
var classes, encodable = tables()

func tables() (c [256]class, e [256]bool) {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	const delimiters = "!$&'()*+,=:@"
	for b := ' '; b < 0x7f; b++ {
		e[b] = true
	}
	for _, b := range unreserved {
		c[b], e[b] = plain, false
	}
	for _, b := range delimiters {
		c[b] = plain
	}
	for _, b := range `/\%;?#` {
		e[b] = false
	}
	c['/'], c['%'] = slash, percent
	return c, e
}

// Canonical reports whether path, without its query, is one that can be
// judged: every server on the way reads it alike, as the same segments. It
// begins with a slash and has no empty segment, thus no slash at the end
// ("/" alone is canonical), no "." and "..", no ';', only characters that RFC
// 3986 allows in a segment, and percent-encoding only where it is needed and
// changes nothing: no encoded letters, digits and -._~, no encoded controls,
// no encoded / \ % ; ? #, and beyond ASCII valid UTF-8.
func Canonical(path string) bool {
	if path == "" || path[0] != '/' {
		return false
	}
	if path == "/" {
		return true
	}
	start := 1
	for i := 1; i < len(path); i++ {
		switch classes[path[i]] {
		case plain:
		case slash:
			if !segmentStands(path[start:i]) {
				return false
			}
			start = i + 1
		case percent:
			n := encodedLength(path[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		default:
			return false
		}
	}
	return segmentStands(path[start:])
}

// segmentStands reports whether s is a segment that no server takes away.
func segmentStands(s string) bool {
	return s != "" && s != "." && s != ".."
}

// encodedLength returns how much of s, which begins with a percent sign, is
// one encoded character that may stand in a path; 0 where it is not one.
func encodedLength(s string) int {
	first, ok := encodedByte(s)
	if !ok {
		return 0
	}
	if first < utf8.RuneSelf {
		if !encodable[first] {
			return 0
		}
		return 3
	}
	var char [utf8.UTFMax]byte
	for i := range char {
		b, ok := encodedByte(s[min(3*i, len(s)):])
		if !ok {
			return 0
		}
		char[i] = b
		if utf8.FullRune(char[:i+1]) {
			r, size := utf8.DecodeRune(char[:i+1])
			if size != i+1 || r == utf8.RuneError && size == 1 || r < 0xa0 {
				return 0 // not UTF-8, or a C1 control
			}
			return 3 * size
		}
	}
	return 0
}

// encodedByte reads "%XX" at the beginning of s.
func encodedByte(s string) (b byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	hi, lo := unhex(s[1]), unhex(s[2])
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}

// unhex returns the value of a hexadecimal digit, or -1.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
