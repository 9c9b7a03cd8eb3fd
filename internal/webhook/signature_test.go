package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/webhook"
)

var schemes = []*sallyport.Webhook{
	{Encoding: sallyport.Hex},
	{Encoding: sallyport.Hex, Prefix: "sha256="},
	{Encoding: sallyport.Base64},
	{Encoding: sallyport.Base64, Prefix: "v1,"},
}

// Vectors that must never change meaning. The first is RFC 4231, test case 2;
// the others were computed with: printf … | openssl dgst -sha256 -hmac …
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		secret string
		m      webhook.Message
		want   string
	}{
		{"Jefe", webhook.Message{Body: "what do ya want for nothing?"}, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{"It's a Secret to Everybody", webhook.Message{Body: "Hello, World!"}, "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
	} {
		mac := webhook.Sign(webhook.NewSecret([]byte(c.secret)), c.m)
		if got := webhook.Write(schemes[1], mac); got != "sha256="+c.want {
			t.Errorf("%+v: got %s, want %s", c.m, got, c.want)
		}
	}
}

func TestWhatIsSigned(t *testing.T) {
	for _, c := range []struct {
		m    webhook.Message
		text string
	}{
		{webhook.Message{}, ""},
		{webhook.Message{Body: "a\x00\xff"}, "a\x00\xff"},
		{webhook.Message{Stamp: "1700000000"}, "1700000000."},
		{webhook.Message{Stamp: "1700000000", Body: "{}"}, "1700000000.{}"},
	} {
		h := hmac.New(sha256.New, []byte("k"))
		h.Write([]byte(c.text))
		if got := webhook.Sign(webhook.NewSecret([]byte("k")), c.m); !bytes.Equal(got[:], h.Sum(nil)) {
			t.Errorf("%q is not what is signed of %+v", c.text, c.m)
		}
	}
}

// V9: several secrets are good while they are rolled, and an empty one never.
func TestAnyOfSeveralSecrets(t *testing.T) {
	m := webhook.Message{Body: "{}"}
	secrets := []webhook.Secret{secret("new"), secret("old"), secret("older"), {}, secret("")}
	for _, c := range []struct {
		by   string
		of   []webhook.Secret
		want bool
	}{
		{"new", secrets, true}, {"old", secrets, true}, {"older", secrets, true}, {"oldest", secrets, false},
		{"new", secrets[:1], true}, {"old", secrets[:1], false}, {"new", nil, false},
		{"", secrets, false}, {"a secret that nobody has, for the time it takes to try", secrets[:1], false},
	} {
		if got := webhook.Verify(c.of, webhook.Sign(secret(c.by), m), m); got != c.want {
			t.Errorf("by %q against %d secrets: got %v, want %v", c.by, len(c.of), got, c.want)
		}
	}
}

func secret(s string) webhook.Secret { return webhook.NewSecret([]byte(s)) }

func TestSecretsDoNotPrint(t *testing.T) {
	s := secret("hunter2-hunter2")
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "s", s)
	for _, got := range []string{
		string(asJSON), log.String(), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s), fmt.Sprintf("%+v", struct{ s webhook.Secret }{s}),
	} {
		if strings.Contains(got, "hunter") || strings.Contains(got, hex.EncodeToString([]byte("hunter"))) {
			t.Errorf("it prints: %s", got)
		}
	}
}

// FuzzVerify holds the laws of signatures: what is signed verifies, and with any
// one bit flipped in signature, body, timestamp or secret it does not.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("secret"), "1700000000", []byte("{}"), uint32(0), uint8(0))
	f.Add([]byte{0}, "", []byte{}, uint32(77), uint8(1))
	f.Add(bytes.Repeat([]byte{0xaa}, 131), "", []byte("a\x00\xff"), uint32(3), uint8(2))
	f.Fuzz(func(t *testing.T, key []byte, stamp string, body []byte, bit uint32, scheme uint8) {
		// HMAC fills short keys up with zeros, so those at the end tell nothing
		// apart; longer ones it hashes.
		if len(key) == 0 || len(key) > sha256.BlockSize {
			return
		}
		w := schemes[int(scheme)%len(schemes)]
		m := webhook.Message{Stamp: stamp, Body: string(body)}
		by := webhook.NewSecret(key)
		mac := webhook.Sign(by, m)
		if read, ok := webhook.Parse(w, webhook.Write(w, mac)); !ok || read != mac {
			t.Fatalf("parsed %x, %v; want %x", read, ok, mac)
		}
		others := []webhook.Secret{secret("one that is rolled out"), by}
		if !webhook.Verify(others, mac, m) || !webhook.Verify(others[1:], mac, m) {
			t.Fatal("what was signed does not verify")
		}
		wrong := mac
		wrong[bit/8%32] ^= 1 << (bit % 8)
		if webhook.Verify(others, wrong, m) {
			t.Error("a changed signature verifies")
		}
		for what, changed := range map[string]webhook.Message{
			"body":           {Stamp: stamp, Body: flipped(m.Body, bit)},
			"longer body":    {Stamp: stamp, Body: m.Body + string(rune('a'+bit%26))},
			"timestamp":      {Stamp: flipped(stamp, bit), Body: m.Body},
			"no timestamp":   {Body: m.Body},
			"moved boundary": {Stamp: stamp + "0", Body: m.Body},
		} {
			if changed != m && text(changed) != text(m) && webhook.Verify(others, mac, changed) {
				t.Errorf("with another %s it verifies", what)
			}
		}
		if other := flipped(string(key), bit); !sameKey(other, string(key)) && webhook.Verify([]webhook.Secret{secret(other)}, mac, m) {
			t.Error("another secret verifies")
		}
	})
}

// text is what is signed of m.
func text(m webhook.Message) string {
	if m.Stamp == "" {
		return m.Body
	}
	return m.Stamp + "." + m.Body
}

func flipped(s string, bit uint32) string {
	if s == "" {
		return s
	}
	b := []byte(s)
	b[int(bit/8)%len(b)] ^= 1 << (bit % 8)
	return string(b)
}

func sameKey(a, b string) bool {
	return strings.TrimRight(a, "\x00") == strings.TrimRight(b, "\x00")
}

// FuzzParse compares the parser with one that is too simple to be wrong.
func FuzzParse(f *testing.F) {
	var mac webhook.MAC
	for i := range mac {
		mac[i] = byte(i * 9)
	}
	for i, w := range schemes {
		good := webhook.Write(w, mac)
		for _, text := range []string{good, strings.ToUpper(good), good + " ", "\t" + good, good + "=", strings.TrimRight(good, "="),
			good[:len(good)-1], good + "\n", good[:20] + "\n" + good[20:], "", w.Prefix, strings.Replace(good, "s", "S", 1)} {
			f.Add(text, uint8(i))
		}
	}
	f.Fuzz(func(t *testing.T, text string, scheme uint8) {
		w := schemes[int(scheme)%len(schemes)]
		got, ok := webhook.Parse(w, text)
		want, wantOK := naive(w, text)
		if ok != wantOK || got != want {
			t.Fatalf("%q: got %x, %v; want %x, %v", text, got, ok, want, wantOK)
		}
		if !ok {
			return
		}
		if again, ok := webhook.Parse(w, webhook.Write(w, got)); !ok || again != got {
			t.Errorf("%q: written anew it is %x, %v", text, again, ok)
		}
	})
}

var forms = map[sallyport.SignatureEncoding]*regexp.Regexp{
	sallyport.Hex:    regexp.MustCompile(`^[0-9a-f]{64}\z`),
	sallyport.Base64: regexp.MustCompile(`^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=?\z`),
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func naive(w *sallyport.Webhook, text string) (mac webhook.MAC, ok bool) {
	text = strings.Trim(text, " \t")
	if !strings.HasPrefix(text, w.Prefix) {
		return mac, false
	}
	text = text[len(w.Prefix):]
	digits, width := alphabet, 6
	if w.Encoding == sallyport.Hex {
		text, digits, width = lower(text), "0123456789abcdef", 4
	}
	if !forms[w.Encoding].MatchString(text) {
		return mac, false
	}
	var bits []byte
	for _, digit := range strings.TrimSuffix(text, "=") {
		bits = append(bits, fmt.Sprintf("%0*b", width, strings.IndexRune(digits, digit))...)
	}
	for i := range mac {
		for _, bit := range bits[8*i : 8*i+8] {
			mac[i] = mac[i]<<1 | (bit - '0')
		}
	}
	return mac, true
}

// lower has ASCII alone: no other letter is a digit.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'F' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{0, 1 << 10, 256 << 10, 1 << 20} {
		for _, secrets := range []int{1, 2, 3} {
			b.Run(fmt.Sprintf("%dB/%d", size, secrets), func(b *testing.B) {
				m := webhook.Message{Stamp: "1700000000", Body: strings.Repeat("x", size)}
				all := []webhook.Secret{secret("a secret of some length, as usual"), secret("another, as long as that"), secret("a third one, why not")}[:secrets]
				mac := webhook.Sign(all[0], m)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if !webhook.Verify(all, mac, m) {
						b.Fatal("it does not verify")
					}
				}
			})
		}
	}
}

func BenchmarkParse(b *testing.B) {
	text := webhook.Write(schemes[1], webhook.Sign(secret("s"), webhook.Message{}))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := webhook.Parse(schemes[1], text); !ok {
			b.Fatal("it does not parse")
		}
	}
}
