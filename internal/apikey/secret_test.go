package apikey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

// Its spaces keep it from being read as base64.
const canary = "canary7 canary7 canary7 canary7 canary7"

func pepper(t testing.TB, text string) Pepper {
	t.Helper()
	p, err := ParsePepper([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever is done to print a secret, alone or inside something, as a value or
// behind a pointer, exported or not: the canary stays in.
func TestSecretsNeverPrint(t *testing.T) {
	secret, pep := NewSecret(canary), pepper(t, canary)
	hasher, err := NewHasher(pep)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"secret": secret, "*secret": &secret, "pepper": pep, "*pepper": &pep, "hasher": hasher, "*hasher": &hasher,
		"exported":   struct{ S Secret }{secret},
		"unexported": struct{ s Secret }{secret},
		"pointer":    &struct{ s *Secret }{&secret},
		"peppers":    struct{ p []Pepper }{[]Pepper{pep}},
		"any":        []any{secret, pep},
		"map":        map[string]Secret{"k": secret},
		"nested":     struct{ h *Hasher }{hasher},
	}
	inner, _ := hasher.blocks()
	state := strings.Trim(fmt.Sprint(inner[4:36]), "[]")
	for name, v := range values {
		for how, text := range printed(t, v) {
			if strings.Contains(text, "canary7") || strings.Contains(text, fmt.Sprintf("%x", "canary7")) || strings.Contains(text, state) {
				t.Errorf("%s, %s: got %s", name, how, text)
			}
		}
	}
	for how, text := range printed(t, secret) {
		if !strings.Contains(text, hidden) && !strings.Contains(text, `\u003csecret\u003e`) {
			t.Errorf("%s: got %s, want %s", how, text, hidden)
		}
	}
}

func printed(t *testing.T, v any) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T %[1]v"} {
		out[verb] = fmt.Sprintf(verb, v)
		if verb == "%d" || verb == "%t" {
			continue
		}
		out["error "+verb] = fmt.Errorf("wrapped: "+verb, v).Error()
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out["json"] = string(text) + " " + hidden
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
	out["slog"] = log.String()
	return out
}

func TestSecretsAreNotComparable(t *testing.T) {
	for _, v := range []any{Secret{}, Pepper{}} {
		if reflect.TypeOf(v).Comparable() {
			t.Errorf("%T can be compared with ==", v)
		}
	}
}

func TestEqual(t *testing.T) {
	a, b, c := NewSecret("abc"), NewSecret("abc"), NewSecret("abd")
	var zero Secret
	if !a.Equal(b) || a.Equal(c) || a.Equal(zero) || !zero.Equal(NewSecret("")) {
		t.Error("Equal does not compare the text")
	}
}

func TestSecretsAreNotReadBack(t *testing.T) {
	var v struct{ S Secret }
	if err := json.Unmarshal([]byte(`{"S":"<secret>"}`), &v); err == nil {
		t.Error("a secret was read from JSON")
	}
	if err := new(Secret).UnmarshalText([]byte("x")); err == nil {
		t.Error("a secret was read from text")
	}
}

func TestMasks(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Mask("", "a1B2"), "•••••a1B2"},
		{Mask("orders_live_", "a1B2"), "orders_live_•••••a1B2"},
		{Mask("", ""), "•••••"},
		{NewSecret("orders_live_abcd").Last4(), "abcd"},
		{NewSecret("short-secret").Last4(), ""},
		{Secret{}.Last4(), ""},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
