package anomaly

import "github.com/sallyport/sallyport"

// tally is what a rule has counted of one credential.
type tally struct {
	rule     sallyport.Anomaly
	window   window   // of refusals and requests
	networks networks // of networks
	told     int64    // when it was told that the rule is crossed, in Unix nanoseconds; 0: it was not, or there was less since
}

// event is what is told about a request.
type event struct {
	at      int64 // Unix nanoseconds
	request bool  // it counts as one; else it has been counted, and turned out to be refused
	refused bool
	network network
}

// slice is how long a slice of t's time is, in nanoseconds.
func (t *tally) slice() int64 { return int64(t.rule.In) / parts }

// add counts e, and reports how much there is then and whether that is to be told.
func (t *tally) add(e *event) (count uint64, crossed bool) {
	if !t.counts(e) {
		return 0, false
	}
	if t.reach(e.at) <= t.rule.Over {
		t.told = 0
	}
	if t.rule.Of == sallyport.MeasureNetworks {
		// One more than too many is enough to know that there are too many.
		t.networks.see(e.network, e.at, int(t.rule.Over)+1)
	} else {
		t.window.add(e.at/t.slice(), 1)
	}
	if count = t.count(); count <= t.rule.Over || t.told != 0 && e.at-t.told < int64(t.rule.In) {
		return count, false
	}
	t.told = e.at
	return count, true
}

// counts reports whether t's rule is about e.
func (t *tally) counts(e *event) bool {
	switch t.rule.Of {
	case sallyport.MeasureNetworks:
		return e.request && e.network != 0
	case sallyport.MeasureRefusals:
		return e.refused
	case sallyport.MeasureRequests:
		return e.request
	}
	return false
}

// reach forgets what is too old at a moment, and returns how much is left.
func (t *tally) reach(at int64) uint64 {
	if t.rule.Of == sallyport.MeasureNetworks {
		t.networks.forget(at - int64(t.rule.In))
	} else {
		t.window.reach(at / t.slice())
	}
	return t.count()
}

func (t *tally) count() uint64 {
	if t.rule.Of == sallyport.MeasureNetworks {
		return uint64(t.networks.count())
	}
	return t.window.total
}

// under returns t as it goes on under a rule of the same name and measure. Where
// that says something else, it is told anew who crosses it.
func (t *tally) under(rule sallyport.Anomaly) tally {
	on := *t
	if on.rule = rule; rule != t.rule {
		on.told = 0
	}
	if was := t.slice(); was != on.slice() {
		on.window = t.window.cutTo(was, on.slice())
	}
	return on
}
