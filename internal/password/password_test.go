package password

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport/sallyport"
)

// cheap is for tests: what they prove does not depend on the costs.
var cheap = costs{64, 1, 1}

func TestAPasswordIsItself(t *testing.T) {
	h := newHasher(2, cheap)
	kept, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"correct horse battery": true, "correct horse battery ": false, "Correct horse battery": false, "": false,
		"correct horse battery\x00": false, strings.Repeat("x", 2*MaxLength): false,
	} {
		if got, err := h.Verify(t.Context(), kept, text); got != want || err != nil {
			t.Errorf("%.30q: %v, %v; want %v", text, got, err, want)
		}
	}
	again, _ := h.Hash(t.Context(), "correct horse battery")
	if again == kept {
		t.Error("two users with one password can be told by what is kept")
	}
	if h.Stale(kept) || !NewHasher(1).Stale(kept) {
		t.Error("other costs are not told")
	}
}

// Nobody's password is never right, and takes the same work.
func TestNobody(t *testing.T) {
	h := newHasher(1, cheap)
	for _, text := range []string{"", "x", "correct horse battery"} {
		if ok, err := h.Verify(t.Context(), "", text); ok || err != nil {
			t.Errorf("%q: %v, %v", text, ok, err)
		}
	}
}

// What is kept says what it costs.
func TestUsualCosts(t *testing.T) {
	h := NewHasher(1)
	kept, err := h.Hash(t.Context(), "correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(kept), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("kept as %q", string(kept))
	}
	if ok, err := h.Verify(t.Context(), kept, "correct horse battery"); !ok || err != nil {
		t.Error(ok, err)
	}
}

func TestWhoHasNoTimeDoesNotKnow(t *testing.T) {
	h := newHasher(1, cheap)
	h.room <- struct{}{} // somebody else's hash
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, err := h.Verify(ctx, "", "x"); ok || !errors.Is(err, context.Canceled) {
		t.Error(ok, err)
	}
	if _, err := h.Hash(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestNewPasswords(t *testing.T) {
	for text, good := range map[string]bool{
		"twelve chars": true, "elevenchars": false, "": false, "éééééééééééé": true, strings.Repeat("x", MaxLength): true,
		strings.Repeat("x", MaxLength+1): false, "twelve chars\x00": false, "twelve chars\xff": false,
	} {
		if err := Check(text); (err == nil) != good {
			t.Errorf("%.20q: %v", text, err)
		} else if err != nil && text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%v quotes it", err)
		}
	}
}

// What parses formats to itself; what does not is an error that does not quote it,
// and never a panic or more work than is allowed.
func FuzzParse(f *testing.F) {
	kept, err := newHasher(1, cheap).Hash(context.Background(), "x")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(kept))
	for _, bad := range []string{
		"", "$", "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=16$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=0,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=0$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=1,p=1$$", "$argon2id$v=19$m=064,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAA\rAAAAAAAAAAA",
	} {
		if _, err := parse(sallyport.PasswordHash(bad)); err == nil {
			f.Errorf("%q parses", bad)
		}
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(sallyport.PasswordHash(text))
		if err != nil {
			return
		}
		if got := p.format(); string(got) != text {
			t.Errorf("%q formats to %q", text, string(got))
		}
		if p.memory > most.memory || p.time > most.time || p.threads > most.threads || p.threads == 0 || p.time == 0 {
			t.Errorf("%q costs %+v", text, p.costs)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	h := NewHasher(1)
	kept, err := h.Hash(b.Context(), "correct horse battery")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if ok, err := h.Verify(b.Context(), kept, "correct horse battery"); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
