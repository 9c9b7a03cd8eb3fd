package apikey

import (
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"sync"

	"github.com/sallyport/sallyport"
)

// Hasher turns secrets into digests under one pepper. It is immutable and safe
// for concurrent use, and prints as "<secret>".
type Hasher struct {
	version int
	// blocks are the states of SHA-256 after HMAC's first blocks, inner and
	// outer, marshalled; they stand for the pepper, so reflection must not
	// reach them (see Secret).
	blocks func() (inner, outer []byte)
	states sync.Pool // of *state
	older  []*Hasher
}

// NewHasher returns a Hasher under the current pepper. The older ones are for
// digests that were made before it came; see Older.
func NewHasher(current Pepper, older ...Pepper) (*Hasher, error) {
	h, err := newHasher(current)
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{current.version: true}
	for _, p := range older {
		if seen[p.version] {
			return nil, fmt.Errorf("two peppers have version %d; number them in the order in which they came", p.version)
		}
		seen[p.version] = true
		o, err := newHasher(p)
		if err != nil {
			return nil, err
		}
		h.older = append(h.older, o)
	}
	return h, nil
}

func newHasher(p Pepper) (*Hasher, error) {
	key := p.bytes()
	if len(key) < minPepper {
		return nil, errors.New("no pepper is given; without one stolen digests could be tried against guesses")
	}
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	inner, err := firstBlock(key, 0x36)
	if err != nil {
		return nil, err
	}
	outer, err := firstBlock(key, 0x5c)
	if err != nil {
		return nil, err
	}
	h := &Hasher{version: p.version, blocks: func() ([]byte, []byte) { return inner, outer }}
	h.states.New = func() any { return newState() }
	return h, nil
}

// firstBlock returns the state of SHA-256 after key, padded and xored with pad
// (RFC 2104).
func firstBlock(key []byte, pad byte) ([]byte, error) {
	var block [sha256.BlockSize]byte
	copy(block[:], key)
	for i := range block {
		block[i] ^= pad
	}
	s := newState()
	s.hash.Write(block[:])
	return s.resume.(encoding.BinaryMarshaler).MarshalBinary()
}

// Version is the pepper's version, kept beside each digest.
func (h *Hasher) Version() int { return h.version }

// Older are the Hashers of the older peppers, in the order given: a digest
// that is not found under h may have been stored under one of them.
func (h *Hasher) Older() []*Hasher { return h.older }

// Derive returns a key for purpose: another one for each, and for each pepper.
// No secret has it for its digest: what digests are made of is 32 bytes long,
// and this is longer.
func (h *Hasher) Derive(purpose string) [32]byte {
	s := h.states.Get().(*state)
	inner, outer := h.blocks()
	s.continueWith(inner, []byte("key derived from the pepper of sallyport, for "+purpose))
	s.continueFrom(outer)
	d := s.buf
	h.states.Put(s)
	return d
}

// Digest returns what is stored of secret.
func (h *Hasher) Digest(secret string) sallyport.Digest {
	return h.DigestOfSum(sha256.Sum256(bytesOf(secret)))
}

// DigestOfSum returns what is stored of the secret whose SHA-256 is sum.
//
// Of the ways measured (relative time of a whole Digest, one core), this one
// wins: marshalled states of HMAC's first blocks, resumed in a pooled hash, 1;
// no pool, sha256.Sum256 over pad and message in an array, 1.4, for hashing
// both pads again; Clone of a prepared hash allocates.
func (h *Hasher) DigestOfSum(sum [32]byte) (d sallyport.Digest) {
	s := h.states.Get().(*state)
	inner, outer := h.blocks()
	s.buf = sum
	s.continueFrom(inner)
	s.continueFrom(outer)
	d = s.buf
	h.states.Put(s)
	return d
}

// state is a SHA-256 in work, and the message that goes through it.
type state struct {
	hash   hash.Hash
	resume encoding.BinaryUnmarshaler // the same, as what it also is
	buf    [sha256.Size]byte
}

func newState() *state {
	h := sha256.New()
	return &state{hash: h, resume: h.(encoding.BinaryUnmarshaler)}
}

// continueFrom replaces buf by the hash of buf after the blocks in from.
func (s *state) continueFrom(from []byte) { s.continueWith(from, s.buf[:]) }

// continueWith replaces buf by the hash of message after the blocks in from.
func (s *state) continueWith(from, message []byte) {
	if err := s.resume.UnmarshalBinary(from); err != nil {
		// Not from input: from was made by the same type, in newHasher.
		panic("apikey: sha256 refused its own state: " + err.Error())
	}
	s.hash.Write(message)
	s.hash.Sum(s.buf[:0])
}

// The ways in which values get printed.

func (*Hasher) String() string             { return hidden }
func (*Hasher) GoString() string           { return hidden }
func (*Hasher) Format(w fmt.State, _ rune) { io.WriteString(w, hidden) }
func (*Hasher) LogValue() slog.Value       { return slog.StringValue(hidden) }
