package issuer

import (
	"fmt"
	"strings"
)

// Path leads to a claim. The zero Path leads nowhere.
type Path struct{ names []string }

// top returns the path of the claim called name, which is in no other.
func top(name string) Path { return Path{[]string{name}} }

// ParsePath reads the path of a claim: its name, and for a claim within a claim
// all names on the way with dots between them, as in realm_access.roles.
//
// A name that has dots itself is written in double quotes, wherever it stands:
// "https://orders.example/claims".roles. A path that begins with https:// or
// http:// is one name as a whole, without quotes, since that is how claims of
// one's own are mostly named. The text of the path alone decides, never what a
// token holds: a token cannot put one claim in the place of another.
func ParsePath(text string) (Path, error) {
	if strings.HasPrefix(text, "https://") || strings.HasPrefix(text, "http://") {
		return top(text), nil
	}
	var p Path
	for rest := text; ; {
		name, after, ok := cutName(rest)
		if !ok || name == "" {
			return Path{}, fmt.Errorf("%q is not the path of a claim (such as sub, realm_access.roles or \"https://orders.example/claims\".roles)", text)
		}
		p.names = append(p.names, name)
		if after == "" {
			return p, nil
		}
		rest = after[1:]
	}
}

// cutName takes the first name off a path. What follows is empty, or begins with
// a dot.
func cutName(text string) (name, after string, ok bool) {
	if inner, quoted := strings.CutPrefix(text, `"`); quoted {
		name, after, ok = strings.Cut(inner, `"`)
		return name, after, ok && (after == "" || after[0] == '.')
	}
	if dot := strings.IndexByte(text, '.'); dot >= 0 {
		name, after = text[:dot], text[dot:]
	} else {
		name = text
	}
	return name, after, !strings.Contains(name, `"`)
}

// in returns the value that p leads to.
func (p Path) in(object map[string]any) (value any, ok bool) {
	value, ok = object, len(p.names) > 0
	for _, name := range p.names {
		inner, isObject := value.(map[string]any)
		if !isObject {
			return nil, false
		}
		if value, ok = inner[name]; !ok {
			return nil, false
		}
	}
	return value, ok
}
