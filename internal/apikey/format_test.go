package apikey

import (
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

func TestGeneratedKeysAreParsed(t *testing.T) {
	prefixes := compile(t, sallyport.KeyForm{Prefix: "orders_live_"}, sallyport.KeyForm{Prefix: "orders_"})
	seen := map[string]bool{}
	for range 2000 {
		key, err := Generate("orders_live_")
		if err != nil {
			t.Fatal(err)
		}
		form, err := prefixes.Parse(key.Reveal())
		if err != nil || form.Prefix != "orders_live_" {
			t.Fatalf("got %v, %v", form, err)
		}
		if seen[key.Reveal()] {
			t.Fatal("the same key twice")
		}
		seen[key.Reveal()] = true
	}
}

// Each of the 62 characters must be as likely as any other: the bound is seven
// standard deviations wide.
func TestGeneratedBodiesAreUniform(t *testing.T) {
	const n = 62 * 4000
	var counts [256]int
	for _, c := range appendRandom(nil, n) {
		counts[c]++
	}
	for i := range len(alphabet) {
		if got := counts[alphabet[i]]; got < 4000-440 || got > 4000+440 {
			t.Errorf("%c: got %d times, want about 4000", alphabet[i], got)
		}
	}
}

func TestBadPrefixesAreRefused(t *testing.T) {
	for _, prefix := range []string{"", "a b", "a,b", "é", "a\n", strings.Repeat("x", 65)} {
		if _, err := Generate(prefix); err == nil {
			t.Errorf("Generate(%q): got no error", prefix)
		}
		if _, err := Compile([]sallyport.KeyForm{{Prefix: prefix}}); err == nil {
			t.Errorf("Compile(%q): got no error", prefix)
		}
	}
}

func TestCompileNamesEveryFault(t *testing.T) {
	_, err := Compile([]sallyport.KeyForm{{Prefix: "a_"}, {Prefix: ""}, {Prefix: "b"}, {Prefix: "a_"}, {Prefix: "bc"}, {Prefix: "b_c"}})
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		`a key's prefix is empty; name one, such as orders_live_`,
		`prefix "a_" is registered twice`,
		`a key under prefix "b" could begin with "bc"; end prefixes in a character outside 0-9A-Za-z, such as _`,
	}
	if got := err.Error(); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestZeroPrefixesKnowNothing(t *testing.T) {
	if _, err := new(Prefixes).Parse("orders_live_x"); err != ErrUnknownPrefix {
		t.Errorf("got %v, want %v", err, ErrUnknownPrefix)
	}
}

func TestOneWrongCharacterIsCaughtAtEveryPosition(t *testing.T) {
	prefixes := compile(t, sallyport.KeyForm{Prefix: "orders_live_"}, sallyport.KeyForm{Prefix: "orders_test_"})
	for range 20 {
		key, err := Generate("orders_live_")
		if err != nil {
			t.Fatal(err)
		}
		text := []byte(key.Reveal())
		for i, own := range text {
			for c := range 256 {
				if byte(c) == own {
					continue
				}
				text[i] = byte(c)
				if _, err := prefixes.Parse(string(text)); err == nil {
					t.Fatalf("character %d as %q: accepted", i, byte(c))
				}
			}
			text[i] = own
		}
	}
}

func FuzzGenerateParse(f *testing.F) {
	f.Add("orders_live_")
	f.Add("x")
	f.Fuzz(func(t *testing.T, prefix string) {
		key, err := Generate(prefix)
		prefixes, compileErr := Compile([]sallyport.KeyForm{{Prefix: prefix}})
		if (err == nil) != (compileErr == nil) {
			t.Fatalf("Generate: %v, Compile: %v: they must agree on prefixes", err, compileErr)
		}
		if err != nil {
			return
		}
		form, err := prefixes.Parse(key.Reveal())
		if err != nil || form.Prefix != prefix {
			t.Fatalf("got %v, %v", form, err)
		}
	})
}

var (
	ownBody    = regexp.MustCompile(`\A[0-9A-Za-z]{38}\z`)
	legacyBody = regexp.MustCompile(`\A[!-+\--~]{8,256}\z`)
)

// oracle is the law of Parse, said again as plainly as can be.
func oracle(raw string, forms []sallyport.KeyForm) (prefix string, ok bool) {
	var form *sallyport.KeyForm
	for i := range forms {
		if strings.HasPrefix(raw, forms[i].Prefix) && (form == nil || len(forms[i].Prefix) > len(form.Prefix)) {
			form = &forms[i]
		}
	}
	switch {
	case form == nil:
		return "", false
	case form.LegacyBody:
		return form.Prefix, legacyBody.MatchString(raw[len(form.Prefix):])
	case !ownBody.MatchString(raw[len(form.Prefix):]):
		return form.Prefix, false
	}
	body, check := raw[:len(raw)-6], raw[len(raw)-6:]
	return form.Prefix, check == base62(crc32.ChecksumIEEE([]byte(body)))
}

func base62(n uint32) (s string) {
	for range 6 {
		s = string(alphabet[n%62]) + s
		n /= 62
	}
	return s
}

// FuzzParse: Parse accepts exactly what the oracle accepts, under the same
// form, whatever prefixes are registered.
func FuzzParse(f *testing.F) {
	key, err := Generate("orders_live_")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.Reveal(), "orders_ orders_live_ acme_", uint8(0), true)
	f.Add(key.Reveal(), "orders_ orders_live_ acme_", uint8(2), false)
	f.Add("acme_12345678", "acme_ acme_12345678_ b_ a_", uint8(1), false)
	f.Add("acme_12345678é", "acme_", uint8(1), false)
	f.Fuzz(func(t *testing.T, raw, names string, legacy uint8, mend bool) {
		var forms []sallyport.KeyForm
		for i, name := range strings.Fields(names) {
			forms = append(forms, sallyport.KeyForm{Prefix: name, LegacyBody: legacy>>(i%8)&1 == 1})
		}
		prefixes, err := Compile(forms)
		if err != nil {
			return
		}
		if mend && len(raw) > 6 { // a right checksum is not found by chance
			raw = raw[:len(raw)-6] + base62(crc32.ChecksumIEEE([]byte(raw[:len(raw)-6])))
		}
		form, err := prefixes.Parse(raw)
		prefix, ok := oracle(raw, forms)
		if (err == nil) != ok || (err == nil) != (form != nil) {
			t.Fatalf("Parse(%q): got %v, %v; the oracle says %v", raw, form, err, ok)
		}
		if (err == ErrUnknownPrefix) != (prefix == "") || ok && form.Prefix != prefix {
			t.Fatalf("Parse(%q): got %v, %v; the oracle says %q", raw, form, err, prefix)
		}
	})
}

func TestParseDoesNotAllocate(t *testing.T) {
	var forms []sallyport.KeyForm
	for i := range 100 {
		forms = append(forms, sallyport.KeyForm{Prefix: fmt.Sprintf("p%d_", i)})
	}
	prefixes := compile(t, forms...)
	key, err := Generate("p42_")
	if err != nil {
		t.Fatal(err)
	}
	raw := key.Reveal()
	for _, raw := range []string{raw, raw[:len(raw)-1] + "!", "unknown_" + raw, ""} {
		if n := testing.AllocsPerRun(100, func() { prefixes.Parse(raw) }); n != 0 {
			t.Errorf("%.8q: got %v allocations, want 0", raw, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	prefixes := compile(b, sallyport.KeyForm{Prefix: "orders_live_"}, sallyport.KeyForm{Prefix: "orders_test_"})
	key, err := Generate("orders_live_")
	if err != nil {
		b.Fatal(err)
	}
	raw := key.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := prefixes.Parse(raw); err != nil {
			b.Fatal(err)
		}
	}
}
