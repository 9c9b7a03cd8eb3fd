package config

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/internal/pattern"
)

// TestCrossingsMissNothing compares with the naive loop over all pairs.
func TestCrossingsMissNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var texts []string
		var known crossings
		for id := range 30 {
			text := randomTemplate(r)
			template, err := pattern.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			segments := strings.Split(text, "/")[1:]
			var got, want []int
			known.visit(segments, func(other int) bool {
				if overlapping(t, template, texts[other]) {
					got = append(got, other)
				}
				return true
			})
			for other := range texts {
				if overlapping(t, template, texts[other]) {
					want = append(want, other)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Fatalf("%s among %v: got %v, want %v", text, texts, got, want)
			}
			known.add(segments, id)
			texts = append(texts, text)
		}
	}
}

func overlapping(t *testing.T, a pattern.Template, text string) bool {
	t.Helper()
	b, err := pattern.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return pattern.Relation(a, b) != pattern.Disjoint
}

func randomTemplate(r *rand.Rand) string {
	if r.IntN(20) == 0 {
		return "/"
	}
	var b strings.Builder
	for i := range 1 + r.IntN(4) {
		switch r.IntN(8) {
		case 0, 1, 2:
			fmt.Fprintf(&b, "/{p%d}", i)
		case 3:
			fmt.Fprintf(&b, "/{p%d...}", i)
			return b.String()
		default:
			fmt.Fprintf(&b, "/%c", 'a'+rune(r.IntN(3)))
		}
	}
	return b.String()
}
