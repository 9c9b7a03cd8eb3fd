package seal

import (
	"crypto/sha256"
	"testing"
)

// pepper is the version of one, with those before it.
type pepper []int

func (p pepper) Version() int { return p[0] }

func (p pepper) Derive(purpose string) [32]byte {
	return sha256.Sum256([]byte{byte(p[0])})
}

func (p pepper) Older() (all []pepper) {
	for _, version := range p[1:] {
		all = append(all, pepper{version})
	}
	return all
}

// What a pepper has sealed opens as long as it is among those that are known; all
// is sealed under the first.
func TestSealer(t *testing.T) {
	sealed := Under(pepper{2, 1}).Seal("a", []byte("secret"))
	for _, c := range []struct {
		by    pepper
		name  string
		opens bool
	}{
		{pepper{2}, "a", true}, {pepper{2, 1}, "a", true}, {pepper{3, 1, 2}, "a", true},
		{pepper{1}, "a", false}, {pepper{3, 1}, "a", false}, {pepper{2}, "b", false},
	} {
		got, err := Under(c.by).Open(c.name, sealed)
		if (err == nil) != c.opens || c.opens && string(got) != "secret" || !c.opens && err != ErrSealed {
			t.Errorf("%v opens %s: %q, %v", c.by, c.name, got, err)
		}
	}
}
