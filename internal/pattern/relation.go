package pattern

// Rel is how the paths of one template lie to those of another.
type Rel uint8

// The relations of a to b. The zero value is Disjoint.
const (
	Disjoint  Rel = iota // no path matches both
	Equal                // the same paths
	Narrower             // every path of a is one of b, not the other way round
	Wider                // every path of b is one of a, not the other way round
	Ambiguous            // they share paths, and each has some of its own
)

// String returns the relation's name.
func (r Rel) String() string {
	switch r {
	case Disjoint:
		return "disjoint"
	case Equal:
		return "equal"
	case Narrower:
		return "narrower"
	case Wider:
		return "wider"
	case Ambiguous:
		return "ambiguous"
	}
	return "unknown"
}

// Relation compares the sets of paths that a and b match. Segments are chosen
// independently of each other, so one place where a is wider and another
// where b is make the two ambiguous.
func Relation(a, b Template) Rel {
	if a.text == "" || b.text == "" {
		return Disjoint
	}
	var aWider, bWider bool
	for i := 0; i < len(a.segments) || i < len(b.segments); i++ {
		if i >= len(a.segments) || i >= len(b.segments) {
			return Disjoint // one is longer, and its rest is at least one segment
		}
		x, y := a.segments[i], b.segments[i]
		if x.kind == literal && y.kind == literal {
			if x.text != y.text {
				return Disjoint
			}
			continue
		}
		aWider = aWider || x.kind > y.kind
		bWider = bWider || y.kind > x.kind
		if x.kind == rest || y.kind == rest {
			break // it takes whatever the other one goes on with
		}
	}
	switch {
	case aWider && bWider:
		return Ambiguous
	case aWider:
		return Wider
	case bWider:
		return Narrower
	}
	return Equal
}
