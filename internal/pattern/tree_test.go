package pattern

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func treeOf(t testing.TB, templates ...string) *Tree[string] {
	t.Helper()
	tree := new(Tree[string])
	for _, s := range templates {
		if err := tree.Add(mustParse(t, s), s); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

func TestMatch(t *testing.T) {
	tree := treeOf(t,
		"/", "/v1/items", "/v1/items/{id}", "/v1/items/new", "/v1/items/{id}/parts/{part}",
		"/v1/items/new/draft", "/files/{path...}", "/files/{path...}"[:len("/files/")]+"index",
		"/users/{id}", "/users/@me", "/users/@me/keys", "/o/{org}/{what...}",
	)
	for _, test := range []struct{ path, want, params string }{
		{"/", "/", ""},
		{"/v1/items", "/v1/items", ""},
		{"/v1/items/7", "/v1/items/{id}", "id=7"},
		{"/v1/items/new", "/v1/items/new", ""},
		{"/v1/items/new/draft", "/v1/items/new/draft", ""},
		{"/v1/items/new/parts/3", "/v1/items/{id}/parts/{part}", "id=new part=3"}, // walked back
		{"/v1/items/a%20b", "/v1/items/{id}", "id=a%20b"},
		{"/files/a", "/files/{path...}", "path=a"},
		{"/files/index", "/files/index", ""},
		{"/files/index/x", "/files/{path...}", "path=index/x"},
		{"/files/a/b/c", "/files/{path...}", "path=a/b/c"},
		{"/o/acme/users/7", "/o/{org}/{what...}", "org=acme what=users/7"},
		{"/users/@me", "/users/@me", ""},
		{"/users/joe%40example.com", "/users/{id}", "id=joe%40example.com"},

		{"/users/%40me", "", ""},      // decoded it would be another template's
		{"/v1/items/n%65w", "", ""},   // likewise, though not canonical either
		{"/v1/items/n%65w/x", "", ""}, // matches nothing either way
		{"", "", ""},
		{"v1/items", "", ""},
		{"/V1/items", "", ""},
		{"/v1", "", ""},
		{"/v1/", "", ""},
		{"/v1/items/", "", ""},
		{"/v1/items//", "", ""},
		{"//", "", ""},
		{"/v1//items", "", ""},
		{"/files", "", ""},
		{"/files/", "", ""},
		{"/files/a/", "", ""},
		{"/files/a//b", "", ""},
		{"/files//a", "", ""},
		{"/v1/items/%", "/v1/items/{id}", "id=%"}, // for Canonical to refuse
		{"/v1/items/%zz", "/v1/items/{id}", "id=%zz"},
		{"/v1/items/{id}", "/v1/items/{id}", "id={id}"},
	} {
		var params Params
		got, ok := tree.Match(test.path, &params)
		var list []string
		for i := range params.Len() {
			list = append(list, params.At(i).Name+"="+params.At(i).Value)
		}
		if got != test.want || ok != (test.want != "") || strings.Join(list, " ") != test.params {
			t.Errorf("Match(%q) = %q %v %q, want %q %q", test.path, got, ok, list, test.want, test.params)
		}
	}
}

func TestParamsAreReused(t *testing.T) {
	tree := treeOf(t, "/a/{x}/{y}", "/b")
	var params Params
	tree.Match("/a/1/2", &params)
	if v, ok := params.Value("y"); v != "2" || !ok {
		t.Errorf("y = %q, %v, want 2", v, ok)
	}
	tree.Match("/b", &params)
	if v, ok := params.Value("y"); ok {
		t.Errorf("y = %q stayed from the match before", v)
	}
	tree.Match("/a/1/2", &params)
	tree.Match("/nowhere", &params)
	if params.Len() != 0 {
		t.Errorf("%d parameters stayed after no match", params.Len())
	}
}

func TestAddRefuses(t *testing.T) {
	tree := treeOf(t, "/a/{x}")
	if err := tree.Add(mustParse(t, "/a/{y}"), "again"); !errors.Is(err, ErrTwice) {
		t.Errorf("an equal template: %v, want ErrTwice", err)
	}
	if v, _ := tree.Match("/a/1", nil); v != "/a/{x}" {
		t.Errorf("the second Add replaced the first: %q", v)
	}
	if err := tree.Add(Template{}, "zero"); err == nil {
		t.Error("the zero template was added")
	}
	var zero Tree[string]
	if v, ok := zero.Match("/", nil); ok {
		t.Errorf("the zero tree matched %q", v)
	}
}

func TestMatchIsTheNarrowest(t *testing.T) {
	for seed := range uint64(150) {
		checkMatch(t, seed)
	}
}

func FuzzMatch(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkMatch)
}

// checkMatch: Match returns a template that matches, such that no narrower
// one does; none only where none matches, or where the decoded path would
// meet another.
func checkMatch(t *testing.T, seed uint64) {
	encoded := strings.NewReplacer("a", "%61")
	r := rand.New(rand.NewPCG(seed, 2))
	var tree Tree[Template]
	var all []Template
	for range r.IntN(12) {
		one := randomTemplate(t, r, 4)
		if tree.Add(one, one) == nil {
			all = append(all, one)
		}
	}
	var params Params
	for _, p := range paths {
		got, ok := tree.Match(p, &params)
		checkNarrowest(t, all, p, got, ok)
		if ok {
			checkParams(t, got, p, &params)
		}
		disguised := encoded.Replace(p)
		if shown, ok := tree.Match(disguised, nil); ok && shown.String() != got.String() {
			t.Fatalf("%q met %s, decoded %s, of %v", disguised, shown, got, all)
		}
	}
}

func checkNarrowest(t *testing.T, all []Template, path string, got Template, ok bool) {
	t.Helper()
	if ok && !matches(got, path) {
		t.Fatalf("%q met %s, which does not match it", path, got)
	}
	for _, other := range all {
		if matches(other, path) && (!ok || Relation(other, got) == Narrower) {
			t.Fatalf("%q met %q, but %s matches too, of %v", path, got, other, all)
		}
	}
}

// checkParams puts the parameters back into the template.
func checkParams(t *testing.T, tmpl Template, path string, params *Params) {
	t.Helper()
	back := tmpl.String()
	for i := range params.Len() {
		p := params.At(i)
		back = strings.Replace(back, "{"+p.Name+"}", p.Value, 1)
		back = strings.Replace(back, "{"+p.Name+"...}", p.Value, 1)
	}
	if back != path || params.Len() != len(tmpl.Params()) {
		t.Fatalf("%s with the parameters of %q gives %q", tmpl, path, back)
	}
}

// resources is a tree of about n templates as APIs have them.
func resources(t testing.TB, n int) *Tree[int] {
	tree := new(Tree[int])
	for i := range n / 4 {
		base := fmt.Sprintf("/v1/things%d", i)
		for _, s := range []string{base, base + "/{id}", base + "/{id}/parts/{part}", base + "/search"} {
			if err := tree.Add(mustParse(t, s), i); err != nil {
				t.Fatal(err)
			}
		}
	}
	return tree
}

func TestMatchAndCanonicalDoNotAllocate(t *testing.T) {
	tree := resources(t, 1000)
	var params Params
	for _, path := range []string{"/v1/things7/42/parts/9", "/v1/things7/a%20b", "/v1/none", "/" + strings.Repeat("%20", 1000)} {
		if n := testing.AllocsPerRun(100, func() {
			tree.Match(path, &params)
			tree.Match(path, nil)
			Canonical(path)
		}); n != 0 {
			t.Errorf("%.40q: %v allocations, want none", path, n)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{10, 1000, 10000} {
		tree := resources(b, n)
		for _, path := range []string{"/v1/things1/42", "/v1/things1/42/parts/9", "/v1/things1/a%20b"} {
			b.Run(fmt.Sprintf("%d%s", n, strings.ReplaceAll(path, "/", "_")), func(b *testing.B) {
				b.ReportAllocs()
				var params Params
				for b.Loop() {
					if _, ok := tree.Match(path, &params); !ok {
						b.Fatal("no match")
					}
				}
			})
		}
	}
}
