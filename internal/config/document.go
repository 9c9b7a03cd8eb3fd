package config

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
)

const (
	maxFile  = 1 << 20 // bytes
	maxNodes = 300_000 // after every alias has been replaced by what it stands for
	maxDepth = 100     // of nesting in an answer's body
)

// document reads text as one YAML document and returns its root, which is a
// mapping; or nil, having said why.
func document(f *faults, text []byte) *yaml.Node {
	if len(text) > maxFile {
		f.at(0, "", fmt.Sprintf("is larger than %d bytes", maxFile), "is this the right file?")
		return nil
	}
	if at := invalidUTF8(text); at >= 0 {
		f.at(1+bytes.Count(text[:at], []byte("\n")), "", "is not UTF-8", "save the file as UTF-8 text")
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	root, err := next(d)
	switch {
	case errors.Is(err, io.EOF), err == nil && root.ShortTag() == "!!null":
		f.at(1, "", "is empty", "it needs at least store, pepper and apis")
		return nil
	case err != nil:
		syntaxFault(f, text, err)
		return nil
	}
	if second, err := next(d); err == nil {
		f.at(second.Line, "", "holds a second YAML document", "one file is one configuration; remove the line ---")
		return nil
	} else if !errors.Is(err, io.EOF) {
		syntaxFault(f, text, err)
		return nil
	}
	if !bounded(f, root) {
		return nil
	}
	return root
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

func syntaxFault(f *faults, text []byte, err error) {
	line, hint := 1, ""
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineOf.FindStringSubmatchIndex(message); m != nil {
		line, _ = strconv.Atoi(message[m[2]:m[3]])
		message = message[:m[0]] + message[m[1]:]
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
	}
	if at := indentedByTab(text); at > 0 {
		line, hint = at, "YAML is indented with spaces; this line begins with a tab"
	}
	f.at(line, "", "is not YAML: "+message, hint)
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

// bounded says whether the document is of a size to walk through: aliases can
// make a small file stand for a huge one, or contain themselves.
func bounded(f *faults, root *yaml.Node) bool {
	m := measure{sizes: map[*yaml.Node]int{}}
	size := m.size(root)
	switch {
	case m.cycle != nil:
		f.at(m.cycle.Line, "", "alias *"+m.cycle.Value+" stands inside what it stands for", "")
	case size > maxNodes:
		f.at(1, "", fmt.Sprintf("holds more than %d values, aliases replaced", maxNodes), "")
	default:
		return true
	}
	return false
}

// measure counts nodes, each anchor's once.
type measure struct {
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
		size = min(size+m.size(child), maxNodes+1)
	}
	m.sizes[n] = size
	return size
}
