package issuer

import (
	"cmp"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxKeys  = 128 // in a set; issuers have two to ten
	maxTries = 4   // keys that one token is verified with
)

// Set is the keys of a JWK set (RFC 7517) that verify signatures. It is
// immutable; the zero Set has none.
type Set struct {
	keys    []key
	leftOut []string
}

// key is one public key.
type key struct {
	id        string // the kid; "": it has none
	algorithm string // the only one that it is for; "": any that it fits
	public    crypto.PublicKey
	mark      string // the same for the same key, whatever it is called
	place     int    // in the set, from 0
}

// ParseSet reads a JWK set.
//
// A set is refused as a whole where it is not one JSON object with a list of keys
// (names twice in an object included), has more than 128 of them, or none that
// can be used: an issuer takes a key back by a set without it, and a set without
// any is what an issuer answers that has not quite started.
//
// Single keys are left out, and LeftOut says why: of another use than signatures
// (use, key_ops), for another algorithm than those of Algorithms, of an unknown
// or broken type, RSA below 2,048 bits or above 4,096. So are keys with a secret:
// a symmetric key, since its algorithms are not accepted at all, and a private
// one, whose public half is then left out under all other names as well, because
// anybody who read the set can sign with it.
//
// A kid that stands twice is no fault (RFC 7517 §4.5 permits it for alternatives):
// a token is verified with every key that has its kid and fits its algorithm, four
// at most, in the order of the set. The same key under the same kid counts once.
func ParseSet(text []byte) (*Set, error) {
	object, err := parseObject(text)
	if err != nil {
		return nil, fmt.Errorf("read a JWK set: %w", err)
	}
	list, ok := object["keys"].([]any)
	if !ok {
		return nil, errors.New("read a JWK set: it has no list of keys")
	}
	if len(list) > maxKeys {
		return nil, fmt.Errorf("read a JWK set: it has %d keys, more than %d", len(list), maxKeys)
	}
	s := new(Set)
	leaked := make(map[string]bool)
	for i, item := range list {
		k, why := readKey(item)
		if why == whySecret {
			leaked[k.mark] = true
		}
		if k.place = i; why != "" {
			s.leaveOut(k, why)
		} else if !s.knows(k) {
			s.keys = append(s.keys, k)
		}
	}
	s.withdraw(leaked)
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("read a JWK set: none of its %d keys can be used%s", len(list), s.why())
	}
	return s, nil
}

// LeftOut says of each key that is not used which it is and why not.
func (s *Set) LeftOut() []string { return s.leftOut }

func (s *Set) leaveOut(k key, why string) {
	s.leftOut = append(s.leftOut, fmt.Sprintf("key %d %.64q: %s", k.place+1, k.id, why))
}

// why is the reasons of LeftOut for an error, the first of them.
func (s *Set) why() string {
	if len(s.leftOut) == 0 {
		return ""
	}
	return ": " + s.leftOut[0]
}

// knows reports whether s has the same key under the same name.
func (s *Set) knows(k key) bool {
	for i := range s.keys {
		if s.keys[i].id == k.id && s.keys[i].mark == k.mark && s.keys[i].algorithm == k.algorithm {
			return true
		}
	}
	return false
}

// withdraw leaves out the keys whose private halves are public.
func (s *Set) withdraw(leaked map[string]bool) {
	kept := s.keys[:0]
	for _, k := range s.keys {
		if leaked[k.mark] {
			s.leaveOut(k, "its private half stands in the set")
		} else {
			kept = append(kept, k)
		}
	}
	s.keys = kept
}

// has reports whether a key is called id. Every set has a key for "", which is
// how a token asks for any.
func (s *Set) has(id string) bool {
	for i := range s.keys {
		if id == "" || s.keys[i].id == id {
			return true
		}
	}
	return false
}

// Find returns the keys that a token may be verified with which names the key id
// (or none: "") and algorithm. Its error wraps ErrBad.
func (s *Set) Find(_ context.Context, id, algorithm string) ([]crypto.PublicKey, error) {
	var found []crypto.PublicKey
	for i := range s.keys {
		k := &s.keys[i]
		if (id == "" || k.id == id) && (k.algorithm == "" || k.algorithm == algorithm) && fits(k.public, algorithm) {
			found = append(found, k.public)
		}
		if len(found) == maxTries {
			break
		}
	}
	if len(found) == 0 {
		return nil, bad("no key of the issuer has its kid and algorithm")
	}
	return found, nil
}

// lost reports whether a key of s is not in next any more.
func (s *Set) lost(next *Set) bool {
	for _, k := range s.keys {
		if !next.knows(k) {
			return true
		}
	}
	return false
}

// whySecret is why private keys are left out.
const whySecret = "it is a private key, so that anybody can sign with it"

// secretMembers are those that only private and symmetric keys have.
var secretMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"}

// readKey reads a key of a set, or says why it cannot be used.
func readKey(item any) (k key, why string) {
	object, ok := item.(map[string]any)
	if !ok {
		return k, "it is not an object"
	}
	values := make(map[string]string)
	for _, name := range []string{"kid", "kty", "use", "alg"} {
		if values[name], ok = textOf(object, name); !ok {
			why = name + " is not text"
		}
	}
	k.id = values["kid"]
	if values["kty"] == "oct" {
		return k, "it is symmetric"
	}
	public, mark, unread := readPublic(object)
	k.public, k.mark = public, mark
	for _, name := range secretMembers {
		if _, there := object[name]; there {
			return k, whySecret
		}
	}
	if why = cmp.Or(why, unread); why != "" {
		return k, why
	}
	if values["use"] != "" && values["use"] != "sig" {
		return k, "its use is not sig"
	}
	if !verifies(object) {
		return k, "its key_ops are without verify"
	}
	if k.algorithm = values["alg"]; k.algorithm != "" && !fits(k.public, k.algorithm) {
		return k, "its alg is not accepted, or not for a key of its type"
	}
	return k, weak(k.public)
}

// verifies reports whether key_ops, where it is there, has verify.
func verifies(object map[string]any) bool {
	value, there := object["key_ops"]
	if !there {
		return true
	}
	list, _ := value.([]any)
	for _, item := range list {
		if item == "verify" {
			return true
		}
	}
	return false
}

// readPublic reads the public half of a key: from the members that it consists
// of and no others, so that an odd certificate beside them does no harm.
func readPublic(object map[string]any) (public crypto.PublicKey, mark, why string) {
	half := make(map[string]any)
	for _, name := range []string{"kty", "crv", "x", "y", "n", "e"} {
		if value, there := object[name]; there {
			half[name] = value
		}
	}
	text, err := json.Marshal(half)
	if err != nil {
		return nil, "", "it is not JSON"
	}
	var k jose.JSONWebKey
	err = k.UnmarshalJSON(text)
	if err != nil || !slices.ContainsFunc(algorithms, func(a string) bool { return fits(k.Key, a) }) {
		return nil, "", "it is no key of type EC, OKP or RSA that is known here"
	}
	thumbprint, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, "", "it has no thumbprint"
	}
	return k.Key, string(thumbprint), ""
}
