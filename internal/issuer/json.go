package issuer

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// maxDepth is how deep objects and lists may lie in each other. Claims in use
// have three or four levels.
const maxDepth = 16

var (
	errJSON      = errors.New("it is not one JSON object")
	errDepth     = errors.New("its JSON is too deep")
	errDuplicate = errors.New("a name stands twice in an object")
)

// parseObject reads text as one JSON object and nothing after it. A name that
// stands twice in an object is refused, at any depth: two readers would take
// different ones. Numbers stay text (json.Number).
func parseObject(text []byte) (map[string]any, error) {
	// Valid first: the tokens of a Decoder alone let some broken texts pass.
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, errJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errJSON
	}
	return object, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errJSON
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxDepth {
		return nil, errDepth
	}
	if delim == '[' {
		return parseList(d, depth+1)
	}
	return parseMembers(d, depth+1)
}

func parseList(d *json.Decoder, depth int) (any, error) {
	list := []any{}
	for d.More() {
		item, err := parseValue(d, depth)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	d.Token() // the bracket, which Valid has seen
	return list, nil
}

func parseMembers(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, errJSON
		}
		name, ok := token.(string)
		if !ok {
			return nil, errJSON
		}
		if _, twice := object[name]; twice {
			return nil, errDuplicate
		}
		if object[name], err = parseValue(d, depth); err != nil {
			return nil, err
		}
	}
	d.Token() // the brace, which Valid has seen
	return object, nil
}

// textOf returns the member called name: "" where it is not there, and false
// where it is not text.
func textOf(object map[string]any, name string) (string, bool) {
	value, there := object[name]
	if !there {
		return "", true
	}
	text, ok := value.(string)
	return text, ok
}
