package apikey

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/sallyport/sallyport"
)

func load(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// The vectors were computed apart from this code. They never change: keys are
// out there, and digests are in databases.
func TestKeyVectorsKeepTheirMeaning(t *testing.T) {
	var vectors struct {
		Forms []struct {
			Prefix string
			Legacy bool
		}
		Keys []struct{ Key, Prefix, Error string }
	}
	load(t, "keys.json", &vectors)
	var forms []sallyport.KeyForm
	for _, f := range vectors.Forms {
		forms = append(forms, sallyport.KeyForm{Prefix: f.Prefix, LegacyBody: f.Legacy})
	}
	prefixes := compile(t, forms...)
	errs := map[string]error{"": nil, "unknown prefix": ErrUnknownPrefix, "malformed": ErrMalformed, "checksum": ErrChecksum}
	for _, v := range vectors.Keys {
		want, ok := errs[v.Error]
		if !ok {
			t.Fatalf("no such error: %q", v.Error)
		}
		form, err := prefixes.Parse(v.Key)
		if err != want {
			t.Errorf("Parse(%q): got %v, want %v", v.Key, err, want)
		}
		if got := prefixOf(form); got != v.Prefix {
			t.Errorf("Parse(%q): got prefix %q, want %q", v.Key, got, v.Prefix)
		}
	}
}

func TestDigestVectorsKeepTheirMeaning(t *testing.T) {
	var vectors []struct{ Pepper, Secret, Sum, Digest string }
	load(t, "digests.json", &vectors)
	for _, v := range vectors {
		pepper, err := ParsePepper([]byte(v.Pepper))
		if err != nil {
			t.Fatal(err)
		}
		h, err := NewHasher(pepper)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Digest(v.Secret); hex.EncodeToString(got[:]) != v.Digest {
			t.Errorf("Digest(%q): got %x, want %s", v.Secret, got, v.Digest)
		}
		sum, err := hex.DecodeString(v.Sum)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.DigestOfSum([32]byte(sum)); hex.EncodeToString(got[:]) != v.Digest {
			t.Errorf("DigestOfSum(%s): got %x, want %s", v.Sum, got, v.Digest)
		}
	}
}

func compile(t testing.TB, forms ...sallyport.KeyForm) *Prefixes {
	t.Helper()
	p, err := Compile(forms)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func prefixOf(f *sallyport.KeyForm) string {
	if f == nil {
		return ""
	}
	return f.Prefix
}
