package yamltree

import (
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// small is a form with each hint told by its name.
var small = Form{Bytes: 4096, Nodes: 200, Hints: Hints{Large: "large", Many: "many", Empty: "empty", Second: "second", Star: "star"}}

// bomb stands for more than ten thousand values.
const bomb = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n" +
	"c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"

func TestEachFaultIsToldWithItsLineAndHint(t *testing.T) {
	tailed := small
	tailed.Tail = true
	for _, tt := range []struct {
		form Form
		text string
		want string // "" where it is a tree
	}{
		{small, "a: 1\n", ""},
		{small, "\ufeffa: 1\r\nb: [x, ~]\r\n", ""},
		{small, "---\na: 1\n...\n", ""},
		{small, "a: " + strings.Repeat("x", 4096), ": is larger than 4096 bytes (large)"},
		{small, "a: 1\nb: \xff\n", ":2: is not UTF-8 (save the file as UTF-8 text)"},
		{small, "", ":1: is empty (empty)"},
		{small, "# nothing\n", ":1: is empty (empty)"},
		{small, "--- ~\n", ":1: is empty (empty)"},
		{small, "!!null {a: 1}\n", ":1: is empty (empty)"},
		{small, "a: 1\n---\nb: 2\n", ":3: holds a second YAML document (second)"},
		{small, "a: 1\n---\n", ":3: holds a second YAML document (second)"},
		{tailed, "a: 1\n---\n", ""},
		{tailed, "a: 1\n---\n# nothing\n---\n~\n", ""},
		{tailed, "a: 1\n---\n---\nb: 2\n", ":4: holds a second YAML document (second)"},
		{tailed, "a: 1\n---\nb: ]\n", ":2: is not YAML: did not find expected node content"},
		{tailed, "a: 1\n---\n!!null {b: 2}\n", ":3: holds a second YAML document (second)"},
		{small, "a: 1\n b: 2\n", ":2: is not YAML: mapping values are not allowed in this context"},
		{small, "a:\n\tb: 1\n", ":2: is not YAML: found character that cannot start any token (YAML is indented with spaces; this line begins with a tab)"},
		{small, "a: 1\nb: *c\n", ":2: is not YAML: unknown anchor 'c' referenced (star)"},
		{small, "a: *.png\n", ":1: is not YAML: did not find expected alphabetic or numeric character (star)"},
		{small, "a: 1\nb: &b\n  c: [*b]\n", ":3: alias *b stands inside what it stands for"},
		{small, bomb, ":1: holds more than 200 values, aliases replaced (many)"},
	} {
		root, fault := tt.form.Parse([]byte(tt.text))
		got := ""
		if fault != nil {
			got = fault.String()
		}
		if got != tt.want || (root == nil) != (tt.want != "") {
			t.Errorf("%.60q: got root %v, %q, want %q", tt.text, root != nil, got, tt.want)
		}
	}
}

func TestZeroFormLetsNothingIn(t *testing.T) {
	for _, text := range []string{"", "\n", "a", "{}", bomb} {
		if root, fault := (Form{}).Parse([]byte(text)); root != nil || fault == nil {
			t.Errorf("%.10q is let in", text)
		}
	}
}

// TestBoundsAreExact: what is as large as may be is let in, and nothing larger.
func TestBoundsAreExact(t *testing.T) {
	for text, nodes := range map[string]int{
		"x":                             1,
		"[]":                            1,
		"{a: 1}":                        3,
		"[a, b, [c]]":                   5,
		"[&a x, *a, *a]":                4,
		"[&a [x, y], *a]":               7,
		"{a: &a {b: c}, d: *a, <<: *a}": 1 + 4 + 4 + 4,
		bomb:                            1 + 4 + 11 + 111 + 1111 + 11111,
	} {
		for _, f := range []Form{{Bytes: len(text), Nodes: nodes}, {Bytes: len(text) - 1, Nodes: nodes}, {Bytes: len(text), Nodes: nodes - 1}} {
			_, fault := f.Parse([]byte(text))
			if want := f.Bytes == len(text) && f.Nodes == nodes; (fault == nil) != want {
				t.Errorf("%.30q with %d bytes and %d values, of %d: got %v", text, f.Bytes, f.Nodes, nodes, fault)
			}
		}
	}
}

// TestManyAnchorsAreMeasuredOnce: a chain that would take for ever to unfold.
func TestManyAnchorsAreMeasuredOnce(t *testing.T) {
	text := []byte("- &a0 [x]\n")
	for i := range 10_000 {
		text = fmt.Appendf(text, "- &a%d [*a%d, *a%d]\n", i+1, i, i)
	}
	f := Form{Bytes: len(text), Nodes: 1 << 40}
	if _, fault := f.Parse(text); fault == nil || !strings.Contains(fault.Text, "holds more than") {
		t.Errorf("got %v", fault)
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("a bug") }

func TestPanicOfTheLibraryIsAnError(t *testing.T) {
	if root, err := next(yaml.NewDecoder(panicking{})); root != nil || err == nil || err.Error() != "yaml: a bug" {
		t.Errorf("got %v, %v", root, err)
	}
}

// FuzzParse holds the law: any bytes give either a tree or a fault, and bounds
// answer as a walk does that replaces aliases one by one.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "a: 1\n", bomb, "&a [*a]", "&a {<<: *a, ? *a : &b [x, *b]}", "[&a x, *a]\n---\n", "--- ~\n--- !!null\n", "\ta: *b", "&a [&a [x], *a]", "? &k {a: b}\n: *k\n"} {
		f.Add([]byte(text), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, nodes int) {
		form := Form{Bytes: 4096, Nodes: min(max(nodes, 0), 1000), Tail: nodes%2 == 0}
		root, fault := form.Parse(text)
		if (root == nil) != (fault != nil) {
			t.Fatalf("got root %v and fault %v", root, fault)
		}
		refused := false
		if fault != nil {
			refused = strings.HasPrefix(fault.Text, "holds more than") || strings.HasSuffix(fault.Text, " stands inside what it stands for")
			if !refused {
				return
			}
			var doc yaml.Node
			if err := yaml.Unmarshal(text, &doc); err != nil {
				t.Fatal(err)
			}
			root = doc.Content[0]
		}
		if count, ends := walk(root, form.Nodes, map[*yaml.Node]bool{}); refused == (ends && count <= form.Nodes) {
			t.Fatalf("got %v; a walk of %d values ends: %v", fault, count, ends)
		}
	})
}

// walk counts what a reader of n meets, no further than past most; ends is false
// where an alias leads back to what it stands in.
func walk(n *yaml.Node, most int, within map[*yaml.Node]bool) (count int, ends bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if within[n] {
		return 0, false
	}
	within[n] = true
	defer delete(within, n)
	count = 1
	for _, child := range n.Content {
		if count > most {
			return count, true
		}
		more, ends := walk(child, most-count, within)
		if count += more; !ends {
			return count, false
		}
	}
	return count, true
}
