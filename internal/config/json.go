package config

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// appendJSON appends n as JSON: keys in their order, numbers as written where
// JSON can say them so. It returns false after a fault.
func (d *decoder) appendJSON(dst []byte, n node, depth int) ([]byte, bool) {
	n = n.resolved()
	switch {
	case depth > maxDepth:
		d.at(n.line, n.path, "is nested too deeply", "")
		return dst, false
	case !d.isKnownTag(n):
		return dst, false
	case n.Kind == yaml.MappingNode:
		return d.appendObject(dst, n, depth)
	case n.Kind == yaml.SequenceNode:
		return d.appendArray(dst, n, depth)
	}
	switch n.ShortTag() {
	case "!!null":
		return append(dst, "null"...), true
	case "!!bool":
		if value := strings.ToLower(n.Value); value == "true" || value == "false" {
			return append(dst, value...), true
		}
		d.mistyped(n, "a switch", "write true or false")
		return dst, false
	case "!!int", "!!float":
		return d.appendNumber(dst, n)
	}
	return appendText(dst, n.Value), true
}

func (d *decoder) appendObject(dst []byte, n node, depth int) ([]byte, bool) {
	whole := true
	dst = append(dst, '{')
	for i, p := range d.pairs(n) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, p.key), ':')
		child := node{Node: p.value, path: key(n.path, p.key), line: p.value.Line}
		var ok bool
		dst, ok = d.appendJSON(dst, child, depth+1)
		whole = whole && ok
	}
	return append(dst, '}'), whole
}

func (d *decoder) appendArray(dst []byte, n node, depth int) ([]byte, bool) {
	whole := true
	dst = append(dst, '[')
	for i, value := range n.Content {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		dst, ok = d.appendJSON(dst, node{Node: value, path: index(n.path, i), line: value.Line}, depth+1)
		whole = whole && ok
	}
	return append(dst, ']'), whole
}

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

func (d *decoder) appendNumber(dst []byte, n node) ([]byte, bool) {
	if jsonNumber.MatchString(n.Value) {
		return append(dst, n.Value...), true
	}
	var v any // 0x1f, 1_000, .5 and the like
	if err := n.Decode(&v); err != nil {
		d.at(n.line, n.path, "number "+quote(n.Value)+" cannot be read", "")
		return dst, false
	}
	if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		d.at(n.line, n.path, "number "+quote(n.Value)+" cannot be said in JSON", "put it in quotes if text is meant")
		return dst, false
	}
	text, err := json.Marshal(v)
	if err != nil {
		d.at(n.line, n.path, "number "+quote(n.Value)+" cannot be said in JSON", "")
		return dst, false
	}
	return append(dst, text...), true
}

// appendText appends s as a JSON string, without the escapes for HTML that
// json.Marshal puts in.
func appendText(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return append(dst, `""`...) // cannot be: s is a string
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
