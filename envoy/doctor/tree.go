package doctor

import (
	"strconv"
	"strings"
)

// What stands under keys in the dump, whatever it is: each of these gives the zero
// value for what is not there or of another kind.

func at(o tree, keys []string) any {
	var v any = o
	for _, key := range keys {
		v = asTree(v)[key]
	}
	return v
}

func asTree(v any) tree {
	o, _ := v.(tree)
	return o
}

func object(o tree, keys ...string) tree { return asTree(at(o, keys)) }

func list(o tree, keys ...string) []any {
	l, _ := at(o, keys).([]any)
	return l
}

func objects(o tree, keys ...string) (all []tree) {
	for _, v := range list(o, keys...) {
		if o := asTree(v); o != nil {
			all = append(all, o)
		}
	}
	return all
}

func text(o tree, keys ...string) string {
	s, _ := at(o, keys).(string)
	return s
}

func truth(o tree, keys ...string) bool {
	b, _ := at(o, keys).(bool)
	return b
}

// number is a number, or text that holds one, as 64-bit ones are written.
func number(o tree, keys ...string) (n float64, there bool) {
	switch v := at(o, keys).(type) {
	case float64:
		return v, true
	case string:
		n, err := strconv.ParseFloat(v, 64)
		return n, err == nil
	}
	return 0, false
}

// duration is one in seconds.
func duration(o tree, keys ...string) (seconds float64, there bool) {
	s, found := strings.CutSuffix(text(o, keys...), "s")
	if !found {
		return 0, false
	}
	seconds, err := strconv.ParseFloat(s, 64)
	return seconds, err == nil
}

// typed reports whether a configuration's type ends so.
func typed(o tree, suffix string) bool { return strings.HasSuffix(text(o, "@type"), suffix) }
