package oauth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/store/memory"
	"github.com/sallyport/sallyport/internal/token"
)

// hasher returns one under pepper version, with older ones behind it.
func hasher(t *testing.T, version int, older ...int) *apikey.Hasher {
	t.Helper()
	pepper := func(version int) apikey.Pepper {
		p, err := apikey.ParsePepper([]byte(strings.Repeat("pepper "+strconv.Itoa(version)+" ", 8)))
		if err != nil {
			t.Fatal(err)
		}
		return p.WithVersion(version)
	}
	var before []apikey.Pepper
	for _, v := range older {
		before = append(before, pepper(v))
	}
	h, err := apikey.NewHasher(pepper(version), before...)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// clock is a time that tests set.
type clock struct{ time.Time }

func (c *clock) now() time.Time { return c.Time }

var orders = &sallyport.API{Name: "orders", Tokens: &sallyport.OwnTokens{Algorithm: "EdDSA", Lifetime: time.Hour, Rotate: 24 * time.Hour}}

// signs returns a token that k signs now.
func signs(t *testing.T, k *Keyring) string {
	t.Helper()
	r, err := k.Ring(t.Context(), orders.Name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := r.Sign(token.Claims{
		Issuer: "https://a", Audience: "b", Subject: "c", ID: "d", Tenant: "e", Parent: "f", IssuedAt: k.now(), Expires: k.now().Add(time.Hour),
	}, k.now())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verifies(t *testing.T, k *Keyring, text string) error {
	t.Helper()
	r, err := k.Fresh(t.Context(), orders.Name)
	if err != nil {
		return err
	}
	_, err = r.Verify(text)
	return err
}

func kept(t *testing.T, s *memory.Store) []*sallyport.SigningKey {
	t.Helper()
	all, err := s.SigningKeys(t.Context(), orders.Name)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A key is replaced by age: the new one is published an hour before it signs, and
// the old one verifies as long as what it signed lives.
func TestKeysFollowEachOther(t *testing.T) {
	s, c := memory.New(), &clock{time.Unix(1_800_000_000, 0)}
	k := NewKeyring(s, hasher(t, 1), c.now)
	keep := func(after time.Duration) {
		t.Helper()
		c.Time = c.Add(after)
		if err := k.Keep(t.Context(), orders); err != nil {
			t.Fatal(err)
		}
	}
	keep(0)
	first := kept(t, s)[0].ID
	keep(24*time.Hour - time.Second)
	if n := len(kept(t, s)); n != 1 {
		t.Fatalf("before its time: %d keys", n)
	}
	keep(time.Second)
	all := kept(t, s)
	if len(all) != 2 || !all[1].SignsFrom.Equal(c.Add(time.Hour)) || !all[0].EndsAt.IsZero() {
		t.Fatalf("when it is due: %+v", all)
	}
	second := all[1].ID
	r, err := k.Ring(t.Context(), orders.Name)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Has(first) || !r.Has(second) {
		t.Error("both are to be published")
	}
	last := ""
	for ; c.Before(all[1].SignsFrom); keep(20 * time.Minute) {
		last = signs(t, k)
	}
	if id := keyOf(t, last); id != first {
		t.Errorf("in the hour before: signed by %s, want %s", id, first)
	}
	if id := keyOf(t, signs(t, k)); id != second {
		t.Errorf("after it: signed by %s, want %s", id, second)
	}
	keep(time.Hour) // the last token of the first key expires 20 minutes before
	if err := verifies(t, k, last); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	keep(readAgain)
	if err := verifies(t, k, last); !errors.Is(err, token.ErrForeign) {
		t.Errorf("when the key has ended: %v", err)
	}
	if r, err := k.Ring(t.Context(), orders.Name); err != nil || r.Has(first) || !r.Has(second) {
		t.Errorf("at the end one is published; %v", err)
	}
}

// keyOf is the kid that a token names.
func keyOf(t *testing.T, text string) string {
	t.Helper()
	first, _, _ := strings.Cut(text, ".")
	head, err := base64.RawURLEncoding.DecodeString(first)
	var says struct {
		Key string `json:"kid"`
	}
	if err == nil {
		err = json.Unmarshal(head, &says)
	}
	if err != nil {
		t.Fatal(err)
	}
	return says.Key
}

// Instances that begin at once make one key, and verify each other's tokens.
func TestInstancesShareKeys(t *testing.T) {
	s, c := memory.New(), &clock{time.Unix(1_800_000_000, 0)}
	rings := make([]*Keyring, 8)
	var group sync.WaitGroup
	for i := range rings {
		rings[i] = NewKeyring(s, hasher(t, 1), c.now)
		group.Go(func() {
			if err := rings[i].Keep(t.Context(), orders); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := len(kept(t, s)); n != 1 {
		t.Fatalf("%d keys were made", n)
	}
	// One makes another; those that have not read it yet find it by a token.
	c.Time = c.Add(readAgain)
	if err := rings[0].Rotate(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	c.Time = c.Add(publishedBefore)
	text := signs(t, rings[0])
	for i, k := range rings {
		if err := verifies(t, k, text); err != nil {
			t.Errorf("instance %d: %v", i, err)
		}
	}
}

// Keys move to the current pepper when they are looked after; one whose pepper is
// gone is an error that says so.
func TestKeysMoveToTheCurrentPepper(t *testing.T) {
	s, c := memory.New(), &clock{time.Unix(1_800_000_000, 0)}
	before := NewKeyring(s, hasher(t, 1), c.now)
	if err := before.Keep(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	text := signs(t, before)
	if err := NewKeyring(s, hasher(t, 3), c.now).Keep(t.Context(), orders); err == nil || !strings.Contains(err.Error(), "pepper 1") {
		t.Errorf("without its pepper: %v", err)
	}
	if err := NewKeyring(s, hasher(t, 2, 1), c.now).Keep(t.Context(), orders); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, s)[0].Pepper; got != 2 {
		t.Errorf("sealed under pepper %d, want 2", got)
	}
	if err := verifies(t, NewKeyring(s, hasher(t, 2), c.now), text); err != nil {
		t.Errorf("when the older one is gone: %v", err)
	}
	if err := verifies(t, NewKeyring(s, hasher(t, 1), c.now), text); err == nil {
		t.Error("the older one opens it still")
	}
}
