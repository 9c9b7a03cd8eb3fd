package yamltree

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
)

func TestPaths(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Key("", "apis"), "apis"},
		{Key("apis", "orders-2_B"), "apis.orders-2_B"},
		{Key("apis", "a.b"), `apis["a.b"]`},
		{Key("", "a b"), `["a b"]`},
		{Key("apis", ""), `apis[""]`},
		{Key("apis", "x\ny"), `apis["x\ny"]`},
		{Index("apis", 0), "apis[0]"},
		{Index("", 12), "[12]"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}

// TestQuotesAreShortAndOneLine, also where the cut goes through a character.
func TestQuotesAreShortAndOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"":                             `""`,
		"a\n\"b\"\x00":                 `"a\n\"b\"\x00"`,
		strings.Repeat("x", 60):        `"` + strings.Repeat("x", 60) + `"`,
		strings.Repeat("x", 1000):      `"` + strings.Repeat("x", 60) + `"…`,
		strings.Repeat("x", 59) + "éé": `"` + strings.Repeat("x", 59) + `"…`,
	} {
		if got := Quote(in); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFaultsAreToldInOrderAndOnce(t *testing.T) {
	fault := func(line int, path, text string) sallyport.Fault {
		return sallyport.Fault{Line: line, Path: path, Text: text}
	}
	got := Sorted([]sallyport.Fault{fault(2, "b", "x"), fault(2, "a", "y"), fault(10, "a", "x"), fault(2, "a", "x"), fault(2, "b", "x")})
	want := []sallyport.Fault{fault(2, "a", "x"), fault(2, "a", "y"), fault(2, "b", "x"), fault(10, "a", "x")}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhatWasMeant(t *testing.T) {
	for _, tt := range []struct {
		got, want string
		names     string
	}{
		{"hots", "hosts", "apis hosts scopes"},
		{"HOSTS", "hosts", "apis hosts scopes"},
		{"hosts", "hosts", "host hosts"},
		{"cart", "card", "card carp cart2"}, // equally near: the first
		{"store", "", "apis hosts scopes"},
		{"x", "", "y"},
		{"", "", "y"},
		{"x", "", ""},
		{strings.Repeat("x", 101), "", strings.Repeat("x", 101)},
	} {
		if got := Meant(tt.got, strings.Fields(tt.names)); got != tt.want {
			t.Errorf("%.20s of %.20s: got %q, want %q", tt.got, tt.names, got, tt.want)
		}
	}
}

func TestWhatIsAllowed(t *testing.T) {
	many := slices.Repeat([]string{"a"}, 41)
	for _, tt := range []struct {
		names       []string
		meant, want string
	}{
		{nil, "", ""},
		{[]string{"b", "a"}, "", "allowed: b, a"},
		{[]string{"b", "a"}, "a", "did you mean a? allowed: b, a"},
		{many[:40], "", "allowed: " + strings.Repeat("a, ", 39) + "a"},
		{many, "", "allowed: " + strings.Repeat("a, ", 40) + "…"},
	} {
		if got := Allowed(tt.names, tt.meant); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}

// TestDistanceIsThatOfItsDefinition compares with the recursion that defines
// it, cut at most.
func TestDistanceIsThatOfItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, r.IntN(6))
		for i := range b {
			b[i] = 'a' + byte(r.IntN(3))
		}
		return string(b)
	}
	for range 2000 {
		a, b, most := word(), word(), r.IntN(6)
		want := min(edits(a, b), most)
		if got := distance(a, b, most); got != want {
			t.Errorf("%q, %q, at most %d: got %d, want %d", a, b, most, got, want)
		}
	}
}

func edits(a, b string) int {
	switch {
	case a == "" || b == "":
		return len(a) + len(b)
	case a[0] == b[0]:
		return edits(a[1:], b[1:])
	}
	return 1 + min(edits(a[1:], b), edits(a, b[1:]), edits(a[1:], b[1:]))
}

func TestNodesAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		"{a: 1}": "a mapping", "[a]": "a list", "1": "a number", "-.5": "a number", "true": "true or false", "~": "nothing", "null": "nothing",
		"2026-01-02": "a date", "x": "text", "'1'": "text", "!!str 1": "text", "!mine x": "text", "!!null {a: b}": "a mapping",
	} {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte("[&a "+text+", *a]"), &doc); err != nil {
			t.Fatal(err)
		}
		n, alias := doc.Content[0].Content[0], doc.Content[0].Content[1]
		if got := What(n); got != want || IsNull(n) != (want == "nothing") {
			t.Errorf("%s: got %s, null %v, want %s", text, got, IsNull(n), want)
		}
		if Follow(alias) != n || Follow(n) != n {
			t.Errorf("%s: an alias is not what it stands for", text)
		}
	}
}
