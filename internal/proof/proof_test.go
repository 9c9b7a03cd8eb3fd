package proof

import (
	"errors"
	"strings"
	"testing"
	"time"
)

var (
	key = Key{1, 2, 3}
	at  = time.Unix(1_800_000_000, 0)
	one = Statement{
		API: "orders", Operation: "PATCH /keys/{id}", Tenant: "acme", Credential: "key_1", RequestID: `r"1`,
		Method: "PATCH", Path: "/keys/a%20b", At: at.Unix(),
	}
)

func TestVerifyReturnsWhatWasStated(t *testing.T) {
	got, err := Verify([]Key{{9}, key}, Make(key, one), "PATCH", "/keys/a%20b", at.Add(Life))
	if err != nil || got != one {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	good := Make(key, one)
	body, mac, _ := strings.Cut(good, ".")
	other, _, _ := strings.Cut(Make(key, Statement{API: "orders", Tenant: "other", Method: "PATCH", Path: "/keys/a%20b", At: at.Unix()}), ".")
	for name, c := range map[string]struct {
		keys         []Key
		proof        string
		method, path string
		now          time.Time
	}{
		"nothing":             {[]Key{key}, "", "PATCH", one.Path, at},
		"no key":              {nil, good, "PATCH", one.Path, at},
		"another key":         {[]Key{{9}}, good, "PATCH", one.Path, at},
		"no MAC":              {[]Key{key}, body, "PATCH", one.Path, at},
		"empty MAC":           {[]Key{key}, body + ".", "PATCH", one.Path, at},
		"another statement":   {[]Key{key}, other + "." + mac, "PATCH", one.Path, at},
		"something behind it": {[]Key{key}, good + ".x", "PATCH", one.Path, at},
		"another method":      {[]Key{key}, good, "DELETE", one.Path, at},
		"another path":        {[]Key{key}, good, "PATCH", "/keys/b", at},
		"too old":             {[]Key{key}, good, "PATCH", one.Path, at.Add(Life + time.Second)},
		"from the future":     {[]Key{key}, good, "PATCH", one.Path, at.Add(-Life - time.Second)},
	} {
		if got, err := Verify(c.keys, c.proof, c.method, c.path, c.now); !errors.Is(err, ErrRefused) || got != (Statement{}) {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

// FuzzVerify: of all texts, only Make's own pass.
func FuzzVerify(f *testing.F) {
	f.Add(Make(key, one))
	f.Add("e30.")
	good := Make(key, one)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Verify([]Key{key}, text, one.Method, one.Path, at); err == nil && text != good {
			t.Errorf("%q passes", text)
		}
	})
}
