package redis

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/ratelimit"
)

// A key is prefix{tag}K and a name: K is one of these letters, and the name is
// half of a SHA-256 in base64, so that it tells nothing of the caller, no two are
// alike by accident, and all are short. What is between the braces decides the
// slot in a cluster.
const (
	counterKey = 'c'
	sidKey     = 's'
	tallyKey   = 't'
	numberKey  = 'n' // a tally that is a plain number; the window's seconds follow
	probeKey   = 'p'
)

// digest is what a name is made of.
type digest [sha256.Size]byte

func appendName(dst []byte, d *digest) []byte {
	return base64.RawURLEncoding.AppendEncode(dst, d[:16])
}

// tag returns what all keys of a call for s share: where known says that each
// limit of the API counts within one tenant, the tenant's, else the API's.
func tag(byTenant bool, s *sallyport.Subject) string {
	text := appendPart(make([]byte, 0, 64), s.API)
	if byTenant {
		text = appendPart(text, s.Tenant)
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

func appendPart(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// key builds the key of kind under tag.
func (c *Counters) key(tag string, kind byte, d *digest) string {
	text := append(make([]byte, 0, 96), c.options.Prefix...)
	text = append(append(append(text, '{'), tag...), '}', kind)
	return string(appendName(text, d))
}

// tallyKey is the key of a tally: each has a slot of its own.
func (c *Counters) tallyKey(t *ratelimit.Tally, plain bool) (key, tag string) {
	d := digest(sha256.Sum256(t.Key))
	text := append(append(make([]byte, 0, 96), c.options.Prefix...), '{')
	begin := len(text)
	text = appendName(text, &d)
	end := len(text)
	if text = append(text, '}'); plain {
		text = strconv.AppendInt(append(text, numberKey), int64(t.Window.Length/time.Second), 10)
	} else {
		text = append(text, tallyKey)
	}
	key = string(text)
	return key, key[begin:end]
}

// withinTenant reports whether each limit of a that counts hits counts them for
// one tenant at most, so that no counter is shared by two.
func withinTenant(a *sallyport.API) bool {
	return !slices.ContainsFunc(a.Limits, func(l *sallyport.Limit) bool {
		return l.Concurrency == 0 && !slices.ContainsFunc(l.Per, func(per string) bool {
			return per == "tenant" || per == "credential" || per == sallyport.PrincipalKey
		})
	})
}

// slotCount is how many slots a cluster has.
const slotCount = 16384

// slot is the slot of keys with that tag: the CRC-16 (XMODEM) of the tag.
func slot(tag string) int {
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc) % slotCount
}
