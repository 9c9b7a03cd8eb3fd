package apikey

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"unsafe"
)

const (
	bodyLength  = 32 // base62: 190 bits
	checkLength = 6  // base62: 62^6 > 2^32

	maxPrefix = 64

	// What an imported secret's body may be.
	minLegacy, maxLegacy = 8, 256
)

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// value62 is the inverse of alphabet, plus one: 0 is not base62.
var value62 = func() (t [256]byte) {
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i + 1)
	}
	return t
}()

// Generate makes a new key under prefix.
func Generate(prefix string) (Secret, error) {
	if err := checkPrefix(prefix); err != nil {
		return Secret{}, fmt.Errorf("generate key: %w", err)
	}
	key := make([]byte, 0, len(prefix)+bodyLength+checkLength)
	key = append(key, prefix...)
	key = appendRandom(key, bodyLength)
	key = appendCheck(key, checksum(string(key)))
	return NewSecret(string(key)), nil
}

// appendRandom appends n base62 characters, each of the 62 equally likely:
// bytes that would favour the first few are thrown away. crypto/rand does not
// fail; it ends the process rather than return weak bytes.
func appendRandom(dst []byte, n int) []byte {
	const fair = 256 / 62 * 62
	var pool [64]byte
	for n > 0 {
		rand.Read(pool[:])
		for _, b := range pool {
			if b < fair && n > 0 {
				dst = append(dst, alphabet[b%62])
				n--
			}
		}
	}
	return dst
}

// appendCheck appends sum as six base62 digits, zero padded.
func appendCheck(dst []byte, sum uint32) []byte {
	var digits [checkLength]byte
	for i := range digits {
		digits[checkLength-1-i] = alphabet[sum%62]
		sum /= 62
	}
	return append(dst, digits[:]...)
}

// checkValue reads six base62 digits, which may exceed a CRC-32.
func checkValue(digits string) (sum uint64) {
	for i := range len(digits) {
		sum = sum*62 + uint64(value62[digits[i]]-1)
	}
	return sum
}

// checksum is the CRC-32 (IEEE) of s.
func checksum(s string) uint32 { return crc32.ChecksumIEEE(bytesOf(s)) }

// bytesOf views s as bytes, to be read and not kept. A conversion would copy,
// because the assembly behind the hashes hides from the compiler that they
// only read: an allocation for each request. For CRC-32 the view measured
// half the time of the copy and a quarter of a plain table loop.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func isBase62(s string) bool {
	for i := range len(s) {
		if value62[s[i]] == 0 {
			return false
		}
	}
	return true
}

// isToken reports whether s stands in a header as one word: printable ASCII
// without spaces and commas.
func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == ',' {
			return false
		}
	}
	return true
}

var errNoPrefix = errors.New("a key's prefix is empty; name one, such as orders_live_")

func checkPrefix(prefix string) error {
	switch {
	case prefix == "":
		return errNoPrefix
	case len(prefix) > maxPrefix:
		return fmt.Errorf("prefix %q has %d characters, at most %d are allowed", prefix[:maxPrefix]+"…", len(prefix), maxPrefix)
	case !isToken(prefix):
		return fmt.Errorf("prefix %q holds a space, a comma or a character that is not printable ASCII", prefix)
	}
	return nil
}

// ambiguous reports whether a key generated under short could begin like one
// of long, so that longest match would read it wrongly.
func ambiguous(short, long string) bool {
	rest, ok := strings.CutPrefix(long, short)
	return ok && rest != "" && len(rest) <= bodyLength+checkLength && isBase62(rest)
}
