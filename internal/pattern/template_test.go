package pattern

import (
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		in, shape string
		params    []string
	}{
		{"/", "/", nil},
		{"/v1", "/v1", nil},
		{"/v1/items", "/v1/items", nil},
		{"/v1/items/{id}", "/v1/items/{}", []string{"id"}},
		{"/{a}/{b_2}/{_C...}", "/{}/{}/{...}", []string{"a", "b_2", "_C"}},
		{"/v1/items:batch/a-b._~!$&'()*+,=@", "/v1/items:batch/a-b._~!$&'()*+,=@", nil},
		{"/.well-known/x", "/.well-known/x", nil},
		{"/v1/*x", "/v1/*x", nil},
	} {
		got, err := Parse(test.in)
		if err != nil {
			t.Errorf("Parse(%q): %v", test.in, err)
			continue
		}
		if got.String() != test.in || got.Shape() != test.shape || !slices.Equal(got.Params(), test.params) {
			t.Errorf("Parse(%q) = %q, shape %q, params %q; want shape %q, params %q",
				test.in, got, got.Shape(), got.Params(), test.shape, test.params)
		}
	}
}

func TestParseSaysWhatWouldBeRight(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", "must begin with /"},
		{"v1/items", "must begin with /"},
		{"{id}", "must begin with /"},
		{"/v1/", `write it without, as "/v1"`},
		{"//", "ends in /"},
		{"/v1//items", "a single / between segments"},
		{"/v1/./items", "never reaches the gate"},
		{"/v1/..", "never reaches the gate"},
		{"/v1/*", "{name...} at the end"},
		{"/v1/**", "{name...} at the end"},
		{"/v1/:id", "write a parameter as {name}"},
		{"/v1/it%65ms", "percent-encoded"},
		{"/v1/items;v=1", `holds ';'`},
		{"/v1/items?x=1", "without query"},
		{"/v1/items#x", "without query"},
		{"/v1/two words", `holds ' '`},
		{"/v1/ünder", `holds 'ü'`},
		{"/v1/a\\b", `holds '\\'`},
		{"/v1/a\x00b", `holds '\x00'`},
		{"/v1/a\xffb", "a literal is letters"},
		{"/v1/item-{id}", "a parameter is a whole segment"},
		{"/v1/{id}.json", "a parameter is a whole segment"},
		{"/v1/{id", "a parameter is a whole segment"},
		{"/v1/id}", "a parameter is a whole segment"},
		{"/v1/{{id}}", "a parameter is a whole segment"},
		{"/v1/{}", "a name is letters"},
		{"/v1/{...}", "a name is letters"},
		{"/v1/{1st}", "a name is letters"},
		{"/v1/{a-b}", "a name is letters"},
		{"/v1/{a..}", "a name is letters"},
		{"/v1/{path...}/x", "must be the last segment; for one segment write {path}"},
		{"/v1/{id}/x/{id}", `two parameters "id"`},
		{"/v1/{id}/{id...}", `two parameters "id"`},
		{"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", "at most 8"},
		{"/" + strings.Repeat("a", maxLiteral+1), "at most 255"},
		{strings.Repeat("/a", maxTemplate), "at most 2048"},
	} {
		got, err := Parse(test.in)
		if err == nil {
			t.Errorf("Parse(%.80q) = %v, want an error with %q", test.in, got, test.want)
		} else if !strings.Contains(err.Error(), test.want) || len(err.Error()) > 400 {
			t.Errorf("Parse(%.80q): %v, want an error with %q", test.in, err, test.want)
		}
		if got.String() != "" {
			t.Errorf("Parse(%.80q) returned a template beside its error", test.in)
		}
	}
}

// What Parse accepts without parameters is a path that is judged, matches
// itself, and reads back as the same template.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/", "/v1/{id}", "/a/{b...}", "/a:b/*c", "/..", "/%41", "/a;b", "//"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(parsed.String())
		if err != nil || Relation(parsed, again) != Equal || again.Shape() != parsed.Shape() {
			t.Fatalf("%q reads back as %q, %v", s, again, err)
		}
		if len(parsed.Params()) > 0 {
			return
		}
		var tree Tree[int]
		if err := tree.Add(parsed, 1); err != nil {
			t.Fatal(err)
		}
		if _, ok := tree.Match(s, nil); !ok || !Canonical(s) {
			t.Fatalf("%q: matches itself %v, canonical %v", s, ok, Canonical(s))
		}
	})
}
