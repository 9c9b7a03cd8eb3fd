package yamltree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/sallyport/sallyport"
)

// Form is what a file of one kind may be.
type Form struct {
	Bytes int  // the largest that it may be
	Nodes int  // how many values, after every alias has been replaced by what it stands for
	Tail  bool // documents that hold nothing may follow the first
	Hints Hints
}

// Hints say what to do about a fault, where its text does not.
type Hints struct {
	Large  string // more bytes than may be
	Many   string // more values than may be
	Empty  string
	Second string // a second document
	Star   string // a * that names no anchor
}

// Parse reads text as one YAML document. It returns the root, or the one fault
// for which there is none; neither file nor path are filled in there.
func (f Form) Parse(text []byte) (*yaml.Node, *sallyport.Fault) {
	if len(text) > f.Bytes {
		return refuse(0, fmt.Sprintf("is larger than %d bytes", f.Bytes), f.Hints.Large)
	}
	if at := invalidUTF8(text); at >= 0 {
		return refuse(lineAfter(text[:at]), "is not UTF-8", "save the file as UTF-8 text")
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	root, err := next(d)
	switch {
	case errors.Is(err, io.EOF), err == nil && root.ShortTag() == "!!null":
		return refuse(1, "is empty", f.Hints.Empty)
	case err != nil:
		return f.syntax(text, err)
	}
	for {
		second, err := next(d)
		switch {
		case errors.Is(err, io.EOF):
			return f.bounded(root)
		case err != nil:
			return f.syntax(text, err)
		case !f.Tail || !IsNull(second):
			return refuse(second.Line, "holds a second YAML document", f.Hints.Second)
		}
	}
}

func refuse(line int, text, hint string) (*yaml.Node, *sallyport.Fault) {
	return nil, &sallyport.Fault{Line: line, Text: text, Hint: hint}
}

func invalidUTF8(text []byte) int {
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// lineAfter is the line of what follows text.
func lineAfter(text []byte) int { return 1 + bytes.Count(text, []byte("\n")) }

// next returns the root of the next document. The YAML library reports its own
// bugs by panicking; to an operator they are a file that cannot be read.
func next(d *yaml.Decoder) (root *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	var doc yaml.Node
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, io.EOF
	}
	return doc.Content[0], nil
}

var (
	lineOf        = regexp.MustCompile(`line (\d+): `)
	unknownAnchor = regexp.MustCompile(`unknown anchor '(.*)' referenced`) // told without its line
)

func (f Form) syntax(text []byte, err error) (*yaml.Node, *sallyport.Fault) {
	line, hint := 1, ""
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineOf.FindStringSubmatchIndex(message); m != nil {
		line, _ = strconv.Atoi(message[m[2]:m[3]])
		message = message[:m[0]] + message[m[1]:]
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		line, hint = lineAfter(before), f.Hints.Star
	}
	if strings.Contains(message, "expected alphabetic or numeric character") {
		hint = f.Hints.Star // what follows * or & is no name
	}
	if at := indentedByTab(text); at > 0 {
		line, hint = at, "YAML is indented with spaces; this line begins with a tab"
	}
	return refuse(line, "is not YAML: "+message, hint)
}

// indentedByTab returns the first line that begins with a tab, or 0.
func indentedByTab(text []byte) int {
	for i, line := range bytes.Split(text, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("\t")) {
			return i + 1
		}
	}
	return 0
}

// bounded returns root if it is of a size to walk through: aliases can make a
// small file stand for a huge one, or contain themselves.
func (f Form) bounded(root *yaml.Node) (*yaml.Node, *sallyport.Fault) {
	m := measure{most: f.Nodes, sizes: map[*yaml.Node]int{}}
	size := m.size(root)
	switch {
	case m.cycle != nil:
		return refuse(m.cycle.Line, "alias *"+m.cycle.Value+" stands inside what it stands for", "")
	case size > f.Nodes:
		return refuse(1, fmt.Sprintf("holds more than %d values, aliases replaced", f.Nodes), f.Hints.Many)
	}
	return root, nil
}

// measure counts nodes, each anchor's once.
type measure struct {
	most  int                // a count stops at one more
	sizes map[*yaml.Node]int // -1: being counted
	cycle *yaml.Node
}

func (m *measure) size(n *yaml.Node) int {
	if size, ok := m.sizes[n]; ok {
		return size
	}
	if n.Kind == yaml.ScalarNode {
		return 1
	}
	m.sizes[n] = -1
	size := 1
	if n.Kind == yaml.AliasNode {
		size = m.size(n.Alias)
		if size < 0 {
			m.cycle, size = n, 1
		}
	}
	for _, child := range n.Content {
		size = min(size+m.size(child), m.most+1)
	}
	m.sizes[n] = size
	return size
}
