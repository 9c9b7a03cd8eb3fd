package yamltree

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport"
)

// Key makes the path of what stands under name in what stands at path.
func Key(path, name string) string {
	switch {
	case !isPlain(name):
		return path + "[" + Quote(name) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// Index makes the path of the i-th element of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func isPlain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// Quote quotes what an operator wrote, cut to a length that can be read.
func Quote(s string) string {
	const most = 60
	if len(s) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
	}
	return fmt.Sprintf("%q", s)
}

// Sorted puts faults in the order of the file, each once. It works in place.
func Sorted(faults []sallyport.Fault) []sallyport.Fault {
	slices.SortStableFunc(faults, func(a, b sallyport.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), strings.Compare(a.Path, b.Path), strings.Compare(a.Text, b.Text))
	})
	return slices.Compact(faults)
}

// Meant returns the one of names that got was probably meant to be, the first
// of those that are equally near; "" where none is near enough.
func Meant(got string, names []string) (meant string) {
	best := len(got)/3 + 1
	for _, name := range names {
		if n := distance(strings.ToLower(got), strings.ToLower(name), best); n < best {
			best, meant = n, name
		}
	}
	return meant
}

// Allowed returns a hint that lists names, led by the one that was probably
// meant.
func Allowed(names []string, meant string) (hint string) {
	const most = 40
	list := strings.Join(names[:min(len(names), most)], ", ")
	if len(names) > most {
		list += ", …"
	}
	switch {
	case list == "":
		return ""
	case meant != "":
		return "did you mean " + meant + "? allowed: " + list
	}
	return "allowed: " + list
}

// distance is how many bytes must be put in, left out or changed to make b of
// a; most where it is at least that, or where one of them is too long to be a
// name.
func distance(a, b string, most int) int {
	if len(a) > 100 || len(b) > 100 || len(a)-len(b) >= most || len(b)-len(a) >= most {
		return most
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return min(row[len(b)], most)
}
