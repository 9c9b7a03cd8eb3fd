package anomaly

// parts is into how many slices a rule's time is cut.
const parts = 32

// window counts events by the slice of time that they are in: those of the newest
// slice and of the 31 before it. The zero value has none.
type window struct {
	newest int64 // the number of the newest slice, counted from the Unix epoch
	counts [parts]uint32
	total  uint64
}

// reach forgets what is too old at slice. Time does not go back: it returns the
// slice that it is.
func (w *window) reach(slice int64) int64 {
	if slice <= w.newest {
		return w.newest
	}
	for s := max(w.newest+1, slice-parts+1); s <= slice; s++ {
		w.total -= uint64(w.counts[s%parts])
		w.counts[s%parts] = 0
	}
	w.newest = slice
	return slice
}

// add counts n events in slice, or in the newest where that is newer.
func (w *window) add(slice int64, n uint32) {
	slice = w.reach(slice)
	w.counts[slice%parts] += n
	w.total += uint64(n)
}

// cutTo returns w as it is with slices of another length, both in nanoseconds.
// What was in a slice counts as if it had happened when that began.
func (w *window) cutTo(before, after int64) (cut window) {
	for s := max(0, w.newest-parts+1); s <= w.newest; s++ {
		if n := w.counts[s%parts]; n > 0 {
			cut.add(s*before/after, n)
		}
	}
	return cut
}
