// Package flow writes JSON as YAML on one line, so that bodies of answers can
// stand in a configuration that people read. It is not a YAML library: it knows
// objects only and keeps keys in their order. It costs one pass over the text.
package flow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

var errNotObject = errors.New("is not one JSON object")

// Mapping writes a JSON object as YAML on one line, keys in their order.
// JSON is nearly YAML, but not where it holds surrogate pairs or characters
// that YAML wants escaped.
func Mapping(text string) (string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	first, err := d.Token()
	if err != nil || first != json.Delim('{') {
		return "", errNotObject
	}
	var out bytes.Buffer
	if err := writeMapping(&out, d, 0); err != nil {
		return "", err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return "", errNotObject
	}
	return out.String(), nil
}

// deepest bounds the nesting of a body; Envoy's own limit is 100.
const deepest = 32

var errTooDeep = fmt.Errorf("is nested deeper than %d", deepest)

// writeMapping writes the object whose opening brace has been read.
func writeMapping(out *bytes.Buffer, d *json.Decoder, depth int) error {
	out.WriteByte('{')
	for i := 0; d.More(); i++ {
		if i > 0 {
			out.WriteString(", ")
		}
		key, err := d.Token()
		if err != nil {
			return errNotObject
		}
		name, _ := key.(string)
		out.WriteString(strconv.Quote(name))
		out.WriteString(": ")
		if err := writeValue(out, d, depth+1); err != nil {
			return err
		}
	}
	out.WriteByte('}')
	return closing(d)
}

func writeSequence(out *bytes.Buffer, d *json.Decoder, depth int) error {
	out.WriteByte('[')
	for i := 0; d.More(); i++ {
		if i > 0 {
			out.WriteString(", ")
		}
		if err := writeValue(out, d, depth+1); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	return closing(d)
}

func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return errNotObject
	}
	return nil
}

func writeValue(out *bytes.Buffer, d *json.Decoder, depth int) error {
	if depth > deepest {
		return errTooDeep
	}
	token, err := d.Token()
	if err != nil {
		return errNotObject
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			return writeMapping(out, d, depth)
		}
		return writeSequence(out, d, depth)
	case string:
		out.WriteString(strconv.Quote(v))
	case json.Number:
		out.WriteString(v.String())
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case nil:
		out.WriteString("null")
	}
	return nil
}
