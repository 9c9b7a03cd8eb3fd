// Package seal encrypts secrets that have to be read again: signing keys and the
// secrets of webhooks. What is only compared is hashed instead (package apikey).
//
// It is AES-256-GCM with a random nonce, under a key that is derived from the
// pepper and so lies in a file or the environment, never in the store. What is
// sealed is bound to its name: it opens under no other, so that whoever can write
// to the store cannot put one secret in the place of another.
//
// Everything here is pure and safe for concurrent use.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
)

// Purpose is what the key is derived for.
const Purpose = "sealing"

// Key is the key of the cipher.
type Key [32]byte

// version is the first byte of what is sealed.
const version = 1

// ErrSealed says that something does not open: it was sealed under another key or
// name, or is damaged.
var ErrSealed = errors.New("it does not open under this key and name")

// Seal returns secret, encrypted under k and bound to name.
func Seal(k Key, name string, secret []byte) []byte {
	gcm := newGCM(k)
	nonce := make([]byte, gcm.NonceSize())
	rand.Read(nonce) // it does not fail
	sealed := append([]byte{version}, nonce...)
	return gcm.Seal(sealed, nonce, secret, []byte(name))
}

// Open is the inverse of Seal. Its error is ErrSealed.
func Open(k Key, name string, sealed []byte) ([]byte, error) {
	gcm := newGCM(k)
	if len(sealed) < 1+gcm.NonceSize() || sealed[0] != version {
		return nil, ErrSealed
	}
	nonce, text := sealed[1:1+gcm.NonceSize()], sealed[1+gcm.NonceSize():]
	secret, err := gcm.Open(nil, nonce, text, []byte(name))
	if err != nil {
		return nil, ErrSealed
	}
	return secret, nil
}

func newGCM(k Key) cipher.AEAD {
	block, err := aes.NewCipher(k[:])
	if err == nil {
		var gcm cipher.AEAD
		if gcm, err = cipher.NewGCM(block); err == nil {
			return gcm
		}
	}
	// Not from input: the key has 32 bytes, and AES blocks 16.
	panic("seal: " + err.Error())
}
