package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sallyport/sallyport/internal/seal"
)

// G5: what has to be read again is encrypted, and bound to what it is for.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("secret"), "signing key orders/k1", uint16(3))
	f.Add([]byte{}, "", uint16(0))
	f.Fuzz(func(t *testing.T, secret []byte, name string, at uint16) {
		k := seal.Key{1, 2, 3}
		sealed := seal.Seal(k, name, secret)
		opened, err := seal.Open(k, name, sealed)
		if err != nil || !bytes.Equal(opened, secret) {
			t.Fatalf("opened %q, %v; want %q", opened, err, secret)
		}
		if len(secret) > 8 && bytes.Contains(sealed, secret) {
			t.Error("the secret stands in what was sealed")
		}
		damaged := bytes.Clone(sealed)
		damaged[int(at)%len(damaged)] ^= 1
		for what, err := range map[string]error{
			"under another key":  errorOf(seal.Open(seal.Key{}, name, sealed)),
			"under another name": errorOf(seal.Open(k, name+"x", sealed)),
			"damaged":            errorOf(seal.Open(k, name, damaged)),
			"cut short":          errorOf(seal.Open(k, name, sealed[:int(at)%len(sealed)])),
		} {
			if !errors.Is(err, seal.ErrSealed) {
				t.Errorf("%s it opens: %v", what, err)
			}
		}
		if again := seal.Seal(k, name, secret); bytes.Equal(again, sealed) {
			t.Error("sealed twice, it is the same")
		}
	})
}

func errorOf(_ []byte, err error) error { return err }
