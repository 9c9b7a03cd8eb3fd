package pattern

import (
	"fmt"
	"strings"
)

const (
	maxTemplate = 2048
	maxLiteral  = 255 // also the size of the buffer that a segment is decoded in
)

// Template is a set of paths. The zero value matches none.
type Template struct {
	text     string
	segments []segment
}

type kind uint8

const (
	literal kind = iota
	parameter
	rest
)

// segment is one part of a template; text is a literal's text or a
// parameter's name.
type segment struct {
	kind kind
	text string
}

// Parse reads a template. Its errors say what would be right.
func Parse(s string) (Template, error) {
	t, err := parse(s)
	if err != nil {
		return Template{}, fmt.Errorf("path template %s: %w", quote(s), err)
	}
	return t, nil
}

func parse(s string) (t Template, err error) {
	switch {
	case !strings.HasPrefix(s, "/"):
		return t, fmt.Errorf("must begin with /, such as /v1/items")
	case len(s) > maxTemplate:
		return t, fmt.Errorf("has %d characters; at most %d are allowed", len(s), maxTemplate)
	case s == "/":
		return Template{text: s}, nil
	case strings.HasSuffix(s, "/"):
		return t, fmt.Errorf("ends in /; write it without, as %s", quote(strings.TrimRight(s, "/")))
	}
	t.text = s
	parts := strings.Split(s[1:], "/")
	for i, part := range parts {
		seg, err := parseSegment(part)
		if err != nil {
			return t, err
		}
		if seg.kind == rest && i != len(parts)-1 {
			return t, fmt.Errorf("{%s...} must be the last segment; for one segment write {%[1]s}", seg.text)
		}
		t.segments = append(t.segments, seg)
	}
	return t, t.checkNames()
}

func parseSegment(s string) (segment, error) {
	switch {
	case s == "":
		return segment{}, fmt.Errorf("has an empty segment; write a single / between segments")
	case s == "." || s == "..":
		return segment{}, fmt.Errorf("has the segment %q, which never reaches the gate; write the path that it leads to", s)
	case strings.ContainsAny(s, "{}"):
		return parseParameter(s)
	case s == "*" || s == "**":
		return segment{}, fmt.Errorf("segment %q is not a wildcard here; write {name} for one segment, {name...} at the end for one or more", s)
	case s[0] == ':':
		return segment{}, fmt.Errorf("segment %s would be a literal; write a parameter as {name}", quote(s))
	case len(s) > maxLiteral:
		return segment{}, fmt.Errorf("segment %s has %d characters; at most %d are allowed", quote(s), len(s), maxLiteral)
	}
	for i, r := range s {
		if r < 0x80 && classes[s[i]] == plain {
			continue
		}
		switch r {
		case '%':
			return segment{}, fmt.Errorf("segment %s is percent-encoded; write a parameter such as {name} in its place", quote(s))
		case '?', '#':
			return segment{}, fmt.Errorf("holds %q; a template is a path alone, without query and fragment", r)
		}
		return segment{}, fmt.Errorf("segment %s holds %q; a literal is letters, digits and -._~!$&'()*+,=:@", quote(s), r)
	}
	return segment{literal, s}, nil
}

func parseParameter(s string) (segment, error) {
	name, opened := strings.CutPrefix(s, "{")
	name, closed := strings.CutSuffix(name, "}")
	if !opened || !closed || strings.ContainsAny(name, "{}") {
		return segment{}, fmt.Errorf("segment %s: a parameter is a whole segment, such as {id}", quote(s))
	}
	seg := segment{kind: parameter, text: name}
	if name, ok := strings.CutSuffix(name, "..."); ok {
		seg = segment{kind: rest, text: name}
	}
	if !isName(seg.text) {
		return segment{}, fmt.Errorf("parameter %s: a name is letters, digits and _, not beginning with a digit, such as {id}", quote(s))
	}
	return seg, nil
}

func isName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return s != ""
}

func (t Template) checkNames() error {
	names := t.Params()
	if len(names) > MaxParams {
		return fmt.Errorf("has %d parameters; at most %d are allowed", len(names), MaxParams)
	}
	for i, name := range names {
		for _, other := range names[:i] {
			if name == other {
				return fmt.Errorf("names two parameters %q; each needs a name of its own", name)
			}
		}
	}
	return nil
}

// Params returns the names of t's parameters, in order.
func (t Template) Params() []string {
	var names []string
	for _, s := range t.segments {
		if s.kind != literal {
			names = append(names, s.text)
		}
	}
	return names
}

// String returns t as it was written.
func (t Template) String() string { return t.text }

// Shape returns t without the names of its parameters: two templates have the
// same shape if and only if they are Equal.
func (t Template) Shape() string {
	if len(t.segments) == 0 {
		return t.text
	}
	var b strings.Builder
	for _, s := range t.segments {
		b.WriteByte('/')
		switch s.kind {
		case literal:
			b.WriteString(s.text)
		case parameter:
			b.WriteString("{}")
		case rest:
			b.WriteString("{...}")
		}
	}
	return b.String()
}

// quote quotes what an operator wrote, cut to a length that can be read.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
