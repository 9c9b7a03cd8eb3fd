package pattern

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func mustParse(t testing.TB, s string) Template {
	t.Helper()
	parsed, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestRelation(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want Rel
	}{
		{"/", "/", Equal},
		{"/", "/a", Disjoint},
		{"/", "/{x}", Disjoint},
		{"/", "/{x...}", Disjoint},
		{"/a", "/b", Disjoint},
		{"/a/{x}", "/a/{y}", Equal},
		{"/a/b", "/a/{x}", Narrower},
		{"/a/{x}", "/a/{x...}", Narrower},
		{"/a/{x}/b", "/a/{x...}", Narrower},
		{"/a/{x}/{y...}", "/a/{x...}", Narrower},
		{"/a", "/a/{x...}", Disjoint},
		{"/a/{x}", "/{x}/b", Ambiguous},
		{"/a/{x...}", "/{x}/b", Ambiguous},
		{"/a/{x...}", "/{x}/{y...}", Narrower},
		{"/a/{x}", "/{x}/b/c", Disjoint},
	} {
		a, b := mustParse(t, test.a), mustParse(t, test.b)
		if got := Relation(a, b); got != test.want {
			t.Errorf("Relation(%s, %s) = %s, want %s", a, b, got, test.want)
		}
		back := map[Rel]Rel{Narrower: Wider, Wider: Narrower}
		want, ok := back[test.want]
		if !ok {
			want = test.want
		}
		if got := Relation(b, a); got != want {
			t.Errorf("Relation(%s, %s) = %s, want %s", b, a, got, want)
		}
	}
	if got := Relation(Template{}, Template{}); got != Disjoint {
		t.Errorf("zero templates are %s, want disjoint", got)
	}
}

// matches is what a template means, written as plainly as can be.
func matches(t Template, path string) bool {
	parts := strings.Split(path, "/")[1:]
	if path == "/" {
		parts = nil
	}
	for i, s := range t.segments {
		switch {
		case i >= len(parts):
			return false
		case s.kind == rest:
			return true
		case s.kind == literal && s.text != parts[i]:
			return false
		}
	}
	return len(parts) == len(t.segments)
}

// randomTemplate draws from literals a and b, so that templates meet often.
func randomTemplate(t testing.TB, r *rand.Rand, most int) Template {
	var b strings.Builder
	names := "xyzuvw"
	for i := range r.IntN(most + 1) {
		switch r.IntN(7) {
		case 0, 1:
			b.WriteString("/a")
		case 2, 3:
			b.WriteString("/b")
		case 4, 5:
			b.WriteString("/{" + names[i:i+1] + "}")
		default:
			return mustParse(t, b.String()+"/{rest...}")
		}
	}
	if b.Len() == 0 {
		return mustParse(t, "/")
	}
	return mustParse(t, b.String())
}

// enumerate lists all paths of up to most segments; c is no template's
// literal and stands for every other text.
func enumerate(most int) []string {
	all, last := []string{"/"}, []string{""}
	for range most {
		var next []string
		for _, p := range last {
			next = append(next, p+"/a", p+"/b", p+"/c")
		}
		all, last = append(all, next...), next
	}
	return all
}

// paths are all those of up to 5 segments: one more than any template of the
// laws below.
var paths = enumerate(5)

func TestRelationSaysWhatCountingPathsSays(t *testing.T) {
	for seed := range uint64(300) {
		checkRelation(t, seed)
	}
}

func FuzzRelation(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(checkRelation)
}

func checkRelation(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	a, b := randomTemplate(t, r, 4), randomTemplate(t, r, 4)
	var onlyA, onlyB, both bool
	for _, p := range paths {
		inA, inB := matches(a, p), matches(b, p)
		onlyA, onlyB, both = onlyA || inA && !inB, onlyB || inB && !inA, both || inA && inB
	}
	want := Equal
	switch {
	case !both:
		want = Disjoint
	case onlyA && onlyB:
		want = Ambiguous
	case onlyA:
		want = Wider
	case onlyB:
		want = Narrower
	}
	if got := Relation(a, b); got != want {
		t.Fatalf("Relation(%s, %s) = %s, want %s", a, b, got, want)
	}
	if (Relation(a, b) == Equal) != (a.Shape() == b.Shape()) {
		t.Fatalf("shapes of %s and %s do not tell that they are %s", a, b, want)
	}
}
