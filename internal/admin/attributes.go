package admin

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxAttributes = 32
	maxAttribute  = 256 // characters of a value
)

var attributeName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkAttributes returns in, the free facts about somebody.
func checkAttributes(f *faults, in map[string]string) map[string]string {
	if len(in) > maxAttributes {
		f.at("body.attributes", "holds %d attributes; at most %d are allowed", len(in), maxAttributes)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(in)) {
		value := in[name]
		switch n := utf8.RuneCountInString(value); {
		case !attributeName.MatchString(name):
			f.at("body.attributes", "%s is not the name of an attribute; write 1 to 64 letters, digits, . _ and -", quote(name))
		case n > maxAttribute:
			f.at("body.attributes."+name, "has %d characters; at most %d are allowed", n, maxAttribute)
		case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
			f.at("body.attributes."+name, "holds a character that is not printable")
		}
	}
	return maps.Clone(in)
}

// showAttributes returns attributes as JSON shows them: none are {}.
func showAttributes(attributes map[string]string) map[string]string {
	shown := make(map[string]string, len(attributes))
	maps.Copy(shown, attributes)
	return shown
}
