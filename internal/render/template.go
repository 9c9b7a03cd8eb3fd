package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Template is a compiled template. It is immutable and safe for concurrent
// use; the zero value renders nothing.
type Template struct{ parts []part }

// part is static text followed by one value.
type part struct {
	static string
	name   name // nameNone: the static text alone
	form   form
}

// form is how a value is written.
type form uint8

const (
	formText    form = iota // as it is, in a text template
	formEscaped             // inside a JSON string
	formInt                 // a bare number
	formList                // a JSON array
	formNull                // a JSON string, or null
)

// Error is what is wrong with a template, and what would be right.
type Error struct{ Text, Hint string }

// Error returns both in one line.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Text
	}
	return e.Text + "; " + e.Hint
}

// Append renders t with v behind dst.
func (t *Template) Append(dst []byte, v *Vars) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		dst = append(dst, p.static...)
		if p.name == nameNone {
			continue
		}
		switch p.form {
		case formText:
			dst = v.appendText(dst, p.name, false)
		case formEscaped:
			dst = v.appendText(dst, p.name, true)
		case formInt:
			dst = v.appendNumber(dst, p.name)
		case formList:
			dst = v.appendList(dst)
		case formNull:
			dst = v.appendNullable(dst, p.name)
		}
	}
	return dst
}

func (v *Vars) appendNullable(dst []byte, n name) []byte {
	if v.empty(n) {
		return append(dst, "null"...)
	}
	dst = append(dst, '"')
	dst = v.appendText(dst, n, true)
	return append(dst, '"')
}

// CompileText compiles a message: plain text, in which every placeholder but
// ${message} itself may stand, and no form.
func CompileText(text string) (*Template, error) {
	c := &compiler{allowed: func(n name) bool { return n != nameMessage }}
	pieces, err := c.split(text)
	if err != nil {
		return nil, err
	}
	for _, p := range pieces {
		if p.name == nameNone {
			c.static(appendString(nil, p.text, false))
			continue
		}
		if p.form != "" {
			return nil, &Error{fmt.Sprintf("placeholder ${%s:%s} has a form", p.text, p.form), "in a message write ${" + p.text + "}; forms are for whole JSON values"}
		}
		c.value(p.name, formText)
	}
	return c.template(), nil
}

// Compile compiles JSON text whose string values may hold placeholders. Its
// errors are of type *Error and name the placeholder and what is allowed.
func Compile(text string) (*Template, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(text)); err != nil {
		return nil, &Error{Text: "template is not JSON: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	c := &compiler{allowed: func(name) bool { return true }}
	src := compact.Bytes()
	for len(src) > 0 {
		quote := bytes.IndexByte(src, '"')
		if quote < 0 {
			c.static(src)
			break
		}
		c.static(src[:quote])
		end := quote + literalLength(src[quote:])
		isKey := end < len(src) && src[end] == ':'
		if err := c.literal(src[quote:end], isKey); err != nil {
			return nil, err
		}
		src = src[end:]
	}
	return c.template(), nil
}

// literalLength returns the length of the JSON string literal that src begins
// with, quotes included.
func literalLength(src []byte) int {
	for i := 1; i < len(src); i++ {
		switch src[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(src)
}

// compiler collects the parts of one template.
type compiler struct {
	allowed func(name) bool
	pending []byte // static text that waits for a value
	parts   []part
}

func (c *compiler) static(text []byte) { c.pending = append(c.pending, text...) }

func (c *compiler) value(n name, f form) {
	c.parts = append(c.parts, part{static: string(c.pending), name: n, form: f})
	c.pending = c.pending[:0]
}

func (c *compiler) template() *Template {
	if len(c.pending) > 0 {
		c.value(nameNone, formText)
	}
	return &Template{parts: c.parts}
}

// literal compiles one JSON string.
func (c *compiler) literal(quoted []byte, isKey bool) error {
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return &Error{Text: "template is not JSON: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	if isKey {
		if strings.Contains(text, "${") {
			return &Error{fmt.Sprintf("key %q holds a placeholder", text), "placeholders stand in values alone"}
		}
		c.string([]piece{{text: text}})
		return nil
	}
	pieces, err := c.split(text)
	if err != nil {
		return err
	}
	return c.string(pieces)
}

func (c *compiler) string(pieces []piece) error {
	if len(pieces) == 1 && pieces[0].form != "" {
		return c.whole(pieces[0])
	}
	c.static([]byte{'"'})
	for _, p := range pieces {
		switch {
		case p.form != "":
			return &Error{fmt.Sprintf("placeholder ${%s:%s} stands beside other text", p.text, p.form), "a form takes the place of the whole string"}
		case p.name == nameNone:
			c.static(appendString(nil, p.text, true))
		default:
			c.value(p.name, formEscaped)
		}
	}
	c.static([]byte{'"'})
	return nil
}

// whole compiles a placeholder whose form gives the value a type of its own.
func (c *compiler) whole(p piece) error {
	switch {
	case p.form == "int" && p.name.numeric():
		c.value(p.name, formInt)
	case p.form == "list" && p.name == nameScopes:
		c.value(p.name, formList)
	case p.form == "null":
		c.value(p.name, formNull)
	default:
		return formError(p)
	}
	return nil
}

func formError(p piece) error {
	text := fmt.Sprintf("placeholder ${%s:%s} has a form that does not fit", p.text, p.form)
	switch p.form {
	case "int":
		return &Error{text, "int is for " + strings.Join(placeholders(name.numeric), ", ")}
	case "list":
		return &Error{text, "list is for scopes"}
	}
	return &Error{fmt.Sprintf("placeholder ${%s:%s} has an unknown form", p.text, p.form), "forms are int, list and null"}
}

// piece is static text, or a placeholder as it was written.
type piece struct {
	text string // static text, or the placeholder's name
	name name
	form string
}

// split cuts text at its placeholders.
func (c *compiler) split(text string) (pieces []piece, err error) {
	var static strings.Builder
	flush := func() {
		if static.Len() > 0 {
			pieces = append(pieces, piece{text: static.String()})
			static.Reset()
		}
	}
	for text != "" {
		at := strings.Index(text, "${")
		if at < 0 {
			break
		}
		static.WriteString(text[:at])
		if at > 0 && text[at-1] == '$' {
			static.WriteString("{") // "$${": the first $ of the two is written already
			text = text[at+2:]
			continue
		}
		inner, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return nil, &Error{"placeholder " + cut(text[at:]) + " is not closed", "write ${name}, or $${ for the characters themselves"}
		}
		p, err := c.placeholder(inner)
		if err != nil {
			return nil, err
		}
		flush()
		pieces = append(pieces, p)
		text = rest
	}
	static.WriteString(text)
	flush()
	return pieces, nil
}

func (c *compiler) placeholder(inner string) (piece, error) {
	text, form, formed := strings.Cut(inner, ":")
	n, ok := names[text]
	if !ok || !c.allowed(n) {
		return piece{}, &Error{"unknown placeholder ${" + cut(inner) + "}", hint(placeholders(c.allowed))}
	}
	p := piece{text: text, name: n, form: form}
	if formed && form == "" {
		return piece{}, formError(p)
	}
	return p, nil
}

// cut shortens what an operator wrote to a length that can be read.
func cut(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
