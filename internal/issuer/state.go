package issuer

import (
	"fmt"
	"slices"
	"time"
)

// State is how it stands with the keys of an issuer, for logs and metrics.
type State struct {
	From      string
	Usable    bool      // tokens can be verified
	Err       error     // why the last attempt to read them failed; nil: it did not
	Keys      []string  // the kid of each key in use
	LeftOut   []string  // which keys of the set are not used, and why
	Withdrawn bool      // a key that was in use is not any more: what it signed is good no longer, verified or not
	At        time.Time // when the keys in use were read; zero: none were yet
	Until     time.Time // how long they are used if none can be read
}

// State returns how it stands now. Withdrawn is not told here.
func (k *Keys) State() State { return k.state(k.held.Load()) }

func (k *Keys) state(h *held) State {
	s := State{From: k.o.From, Usable: h.usable(k.o.Now()), Err: h.err, At: h.at, Until: h.until}
	if h.set != nil {
		s.LeftOut = h.set.LeftOut()
		for i := range h.set.keys {
			s.Keys = append(s.Keys, h.set.keys[i].id)
		}
	}
	return s
}

// tell tells of what has changed, if anything has. That the same keys were read
// again is no change.
func (k *Keys) tell(before, after *held) {
	s := k.state(after)
	s.Withdrawn = before.set != nil && before.set.lost(after.set)
	same := !s.Withdrawn && s.Usable == k.told.Usable && fmt.Sprint(s.Err) == fmt.Sprint(k.told.Err) &&
		slices.Equal(s.Keys, k.told.Keys) && slices.Equal(s.LeftOut, k.told.LeftOut)
	k.told = s
	if k.o.Changed != nil && !same {
		k.o.Changed(s)
	}
}
