// Package password keeps what users sign in with: Argon2id (RFC 9106) in the PHC
// string format, with the parameters that OWASP recommends as the least.
//
// A hash costs 19 MiB and some ten milliseconds of one processor. A Hasher lets
// only so many run at a time, so that a flood of guesses takes neither all memory
// nor all processors; the others wait, as long as their context lives.
//
// Whoever does not exist costs as much as a wrong password: Verify against "" does
// the same work and says no.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/sallyport/sallyport"
)

// Bounds of a new password.
const (
	MinLength = 12   // characters
	MaxLength = 1024 // bytes
)

// Check says what is wrong with a new password; nil is nothing.
func Check(text string) error {
	switch {
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		return errors.New("a password is UTF-8 text without NUL")
	case len(text) > MaxLength:
		return fmt.Errorf("a password has at most %d bytes", MaxLength)
	case utf8.RuneCountInString(text) < MinLength:
		return fmt.Errorf("a password has at least %d characters", MinLength)
	}
	return nil
}

// costs are the parameters of Argon2id.
type costs struct {
	memory, time uint32 // memory in KiB
	threads      uint8
}

var usual = costs{19 << 10, 2, 1}

// The most that a hash from elsewhere may cost.
var most = costs{256 << 10, 16, 16}

const (
	saltLength = 16
	hashLength = 32
)

// Hasher hashes passwords. Safe for concurrent use.
type Hasher struct {
	costs costs
	room  chan struct{}
	dummy parsed
}

// NewHasher returns a Hasher that lets parallel hashes run at a time.
func NewHasher(parallel int) *Hasher { return newHasher(parallel, usual) }

func newHasher(parallel int, c costs) *Hasher {
	return &Hasher{costs: c, room: make(chan struct{}, max(1, parallel)), dummy: parsed{c, make([]byte, saltLength), make([]byte, hashLength)}}
}

// Hash returns what is kept of text, which Check has let pass.
func (h *Hasher) Hash(ctx context.Context, text string) (sallyport.PasswordHash, error) {
	p := parsed{costs: h.costs, salt: make([]byte, saltLength)}
	rand.Read(p.salt) // it does not fail
	var err error
	if p.hash, err = h.run(ctx, p.costs, p.salt, text, hashLength); err != nil {
		return "", err
	}
	return p.format(), nil
}

// Verify reports whether text is the password that kept is of; "" is nobody's. An
// error says that there was no time to find out, or that kept is no hash.
func (h *Hasher) Verify(ctx context.Context, kept sallyport.PasswordHash, text string) (bool, error) {
	p := h.dummy
	if kept != "" {
		var err error
		if p, err = parse(kept); err != nil {
			return false, err
		}
	}
	if len(text) > MaxLength {
		text = ""
	}
	got, err := h.run(ctx, p.costs, p.salt, text, len(p.hash))
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, p.hash) == 1 && kept != "", nil
}

// Stale reports whether kept was made with other costs than hashes are made with
// now, and is to be made anew when its password is next shown.
func (h *Hasher) Stale(kept sallyport.PasswordHash) bool {
	p, err := parse(kept)
	return err == nil && p.costs != h.costs
}

func (h *Hasher) run(ctx context.Context, c costs, salt []byte, text string, length int) ([]byte, error) {
	select {
	case h.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.room }()
	return argon2.IDKey([]byte(text), salt, c.time, c.memory, c.threads, uint32(length)), nil
}

// parsed is a hash, taken apart.
type parsed struct {
	costs
	salt, hash []byte
}

func (p parsed) format() sallyport.PasswordHash {
	encode := base64.RawStdEncoding.EncodeToString
	return sallyport.PasswordHash(fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads, encode(p.salt), encode(p.hash)))
}

var errHash = errors.New("what is kept of the password is not Argon2id in the PHC string format, or costs too much")

// parse is the inverse of format. It does not quote what it refuses.
func parse(kept sallyport.PasswordHash) (p parsed, err error) {
	fields := strings.Split(string(kept), "$")
	if len(fields) != 6 || fields[0] != "" || fields[1] != "argon2id" || fields[2] != "v="+strconv.Itoa(argon2.Version) {
		return p, errHash
	}
	var numbers [3]uint64
	parameters := strings.Split(fields[3], ",")
	for i, name := range []string{"m=", "t=", "p="} {
		if len(parameters) != 3 {
			return p, errHash
		}
		text, ok := strings.CutPrefix(parameters[i], name)
		if numbers[i], err = strconv.ParseUint(text, 10, 31); !ok || err != nil || text != strconv.FormatUint(numbers[i], 10) {
			return p, errHash
		}
	}
	memory, time, threads := numbers[0], numbers[1], numbers[2]
	if memory < 8*threads || memory > uint64(most.memory) || time < 1 || time > uint64(most.time) || threads < 1 || threads > uint64(most.threads) {
		return p, errHash
	}
	p.costs = costs{uint32(memory), uint32(time), uint8(threads)}
	decode := base64.RawStdEncoding.Strict().DecodeString
	if p.salt, err = decode(fields[4]); err != nil || len(p.salt) < 8 || len(p.salt) > 64 {
		return p, errHash
	}
	if p.hash, err = decode(fields[5]); err != nil || len(p.hash) < 16 || len(p.hash) > 64 {
		return p, errHash
	}
	if p.format() != kept { // base64 passes over line breaks
		return p, errHash
	}
	return p, nil
}
