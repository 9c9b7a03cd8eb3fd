package directory

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
	maxFile  = 2 << 20 // bytes; Kubernetes keeps 1 MiB in a ConfigMap
	maxNodes = 500_000 // after every alias has been replaced by what it stands for
	maxDepth = 100     // of descriptors in descriptors, and of metadata
)

// document reads text as one YAML document and returns its root; or nil, having
// said why.
func (r *reader) document(text []byte) *yaml.Node {
	if len(text) > maxFile {
		r.at(0, "", fmt.Sprintf("is larger than %d bytes", maxFile), "split it by domain")
		return nil
	}
	if at := invalidUTF8(text); at >= 0 {
		r.at(1+bytes.Count(text[:at], []byte("\n")), "", "is not UTF-8", "save the file as UTF-8 text")
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	root, err := next(d)
	switch {
	case errors.Is(err, io.EOF), err == nil && isNull(root):
		r.at(1, "", "is empty", "write domain and descriptors, or remove the file")
		return nil
	case err != nil:
		r.syntax(text, err)
		return nil
	}
	for {
		second, err := next(d)
		switch {
		case errors.Is(err, io.EOF):
			return r.bounded(root)
		case err != nil:
			r.syntax(text, err)
			return nil
		case !isNull(second):
			r.at(second.Line, "", "holds a second YAML document", "one file describes one domain; move what follows --- to a file of its own")
			return nil
		}
	}
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

const starHint = "put a value that begins with * in quotes"

func (r *reader) syntax(text []byte, err error) {
	line, hint := 1, ""
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := lineOf.FindStringSubmatchIndex(message); m != nil {
		line, _ = strconv.Atoi(message[m[2]:m[3]])
		message = message[:m[0]] + message[m[1]:]
	}
	if m := unknownAnchor.FindStringSubmatch(message); m != nil {
		before, _, _ := bytes.Cut(text, []byte("*"+m[1]))
		line = 1 + bytes.Count(before, []byte("\n"))
		hint = starHint
	}
	if strings.Contains(message, "expected alphabetic or numeric character") {
		hint = starHint // what follows * or & is no name
	}
	if at := indentedByTab(text); at > 0 {
		line, hint = at, "YAML is indented with spaces; this line begins with a tab"
	}
	r.at(line, "", "is not YAML: "+message, hint)
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
func (r *reader) bounded(root *yaml.Node) *yaml.Node {
	m := measure{sizes: map[*yaml.Node]int{}}
	size := m.size(root)
	switch {
	case m.cycle != nil:
		r.at(m.cycle.Line, "", "alias *"+m.cycle.Value+" stands inside what it stands for", "")
	case size > maxNodes:
		r.at(1, "", fmt.Sprintf("holds more than %d values, aliases replaced", maxNodes), "split it by domain")
	default:
		return root
	}
	return nil
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

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
