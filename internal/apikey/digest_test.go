package apikey

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport/sallyport"
)

func TestParsePepper(t *testing.T) {
	key := make([]byte, 48)
	for i := range key {
		key[i] = byte(200 + i)
	}
	raw := append(bytes.Clone(key[:39]), '\n')
	phrase := "a phrase of more than thirty-two characters"
	for name, c := range map[string]struct{ text, want []byte }{
		"raw":                      {raw, raw},
		"phrase":                   {[]byte(phrase), []byte(phrase)},
		"phrase, newline":          {[]byte(phrase + "\n"), []byte(phrase)},
		"hex of too few, but text": {[]byte(hex.EncodeToString(key[:16])), []byte(hex.EncodeToString(key[:16]))},
		"hex":                      {[]byte(hex.EncodeToString(key)), key},
		"hex, upper case, newline": {[]byte(strings.ToUpper(hex.EncodeToString(key)) + "\r\n"), key},
		"base64":                   {[]byte(base64.StdEncoding.EncodeToString(key[:32]) + "\n"), key[:32]},
		"base64, no padding":       {[]byte(base64.RawStdEncoding.EncodeToString(key[:32])), key[:32]},
		"base64url":                {[]byte(base64.URLEncoding.EncodeToString(key[:32]) + "\n"), key[:32]},

		"empty":        {nil, nil},
		"short raw":    {raw[9:], nil},
		"short hex":    {[]byte(hex.EncodeToString(key[:15])), nil},
		"short base64": {[]byte(base64.StdEncoding.EncodeToString(key[:21])), nil},
		"zeros":        {make([]byte, 32), nil},
		"zeros in hex": {bytes.Repeat([]byte("0"), 64), nil},
	} {
		p, err := ParsePepper(c.text)
		if (err == nil) != (c.want != nil) || !bytes.Equal(p.bytes(), c.want) {
			t.Errorf("%s: got %x, %v, want %x", name, p.bytes(), err, c.want)
		}
		if err != nil && !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("%s: the error names no cure: %v", name, err)
		}
		if err != nil && len(c.text) > 0 && strings.Contains(err.Error(), string(c.text)) {
			t.Errorf("%s: the error quotes the pepper: %v", name, err)
		}
	}
}

func TestPepperDoesNotShareMemoryWithItsSource(t *testing.T) {
	text := append(bytes.Repeat([]byte{0xfe}, 40), 0xff)
	p := pepper(t, string(text))
	q, err := ParsePepper(text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if !bytes.Equal(p.bytes(), q.bytes()) {
		t.Error("the pepper changed with the buffer it was read from")
	}
}

// FuzzDigest: Digest is HMAC-SHA-256 of the secret's SHA-256 as crypto/hmac
// computes it, for peppers of all lengths.
func FuzzDigest(f *testing.F) {
	f.Add([]byte(canary), "orders_live_x")
	f.Add(bytes.Repeat([]byte(canary), 3), "")
	f.Fuzz(func(t *testing.T, text []byte, secret string) {
		p, err := ParsePepper(text)
		if err != nil {
			return
		}
		h, err := NewHasher(p)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(secret))
		mac := hmac.New(sha256.New, p.bytes())
		mac.Write(sum[:])
		if got, want := h.Digest(secret), sallyport.Digest(mac.Sum(nil)); got != want {
			t.Errorf("got %x, want %x", got, want)
		}
	})
}

func TestHasherKeepsOlderPeppers(t *testing.T) {
	one := pepper(t, canary+"1")
	two := pepper(t, canary+"2").WithVersion(2)
	h, err := NewHasher(two, one)
	if err != nil {
		t.Fatal(err)
	}
	alone, err := NewHasher(one)
	if err != nil {
		t.Fatal(err)
	}
	if h.Version() != 2 || len(h.Older()) != 1 || h.Older()[0].Version() != 1 {
		t.Errorf("got version %d, older %v", h.Version(), h.Older())
	}
	if h.Older()[0].Digest("s") != alone.Digest("s") || h.Digest("s") == alone.Digest("s") {
		t.Error("a digest is not of its pepper")
	}
	if _, err := NewHasher(two, one, two); err == nil {
		t.Error("two peppers of one version were accepted")
	}
	if _, err := NewHasher(Pepper{}); err == nil {
		t.Error("no pepper was accepted")
	}
	if _, err := NewHasher(one, Pepper{}); err == nil {
		t.Error("an older pepper that is none was accepted")
	}
}

func TestHasherIsSafeForConcurrentUse(t *testing.T) {
	h, err := NewHasher(pepper(t, canary))
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"a", "b", strings.Repeat("c", 100)}
	want := []sallyport.Digest{h.Digest("a"), h.Digest("b"), h.Digest(secrets[2])}
	var wg sync.WaitGroup
	for i := range 9 {
		wg.Go(func() {
			for range 500 {
				if got := h.Digest(secrets[i%3]); got != want[i%3] {
					t.Errorf("got %x, want %x", got, want[i%3])
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDigestDoesNotAllocate(t *testing.T) {
	h, err := NewHasher(pepper(t, canary))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(200, func() { h.Digest(canary) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func BenchmarkDigest(b *testing.B) {
	h, err := NewHasher(pepper(b, canary))
	if err != nil {
		b.Fatal(err)
	}
	key, err := Generate("orders_live_")
	if err != nil {
		b.Fatal(err)
	}
	raw := key.Reveal()
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Digest(raw)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				h.Digest(raw)
			}
		})
	})
}
