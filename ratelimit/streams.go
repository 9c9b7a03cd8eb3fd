package ratelimit

import (
	"crypto/sha256"
	"time"
)

// streamID is a sid of any length, so that maps of them need no memory of their
// own: Envoy's are 36 bytes long. The last byte tells lengths apart.
type streamID [40]byte

func streamOf(sid string) (id streamID) {
	if n := copy(id[:len(id)-1], sid); n == len(sid) {
		id[len(id)-1] = byte(n)
		return id
	}
	sum := sha256.Sum256([]byte(sid))
	id = streamID{len(id) - 1: 0xff}
	copy(id[:], sum[:])
	return id
}

const (
	graveFor   = 5 * time.Second // how late a Hold may come after its End
	mostGraves = 1 << 15         // of each of the two generations
)

// graves remember streams that have ended, each for graveFor to twice as long,
// or less in a flood: one that is forgotten early is, at worst, a slot that its
// lease's end frees.
type graves struct {
	young, old map[streamID]struct{}
	turned     time.Duration // when the young were last made the old
}

func (g *graves) add(id streamID, at time.Duration) {
	g.turn(at)
	if len(g.young) >= mostGraves {
		g.old, g.young, g.turned = g.young, nil, at
	}
	if g.young == nil {
		g.young = make(map[streamID]struct{})
	}
	g.young[id] = struct{}{}
}

// hold reports whether id has ended.
func (g *graves) hold(id streamID, at time.Duration) bool {
	if len(g.young)+len(g.old) == 0 {
		return false
	}
	g.turn(at)
	_, young := g.young[id]
	_, old := g.old[id]
	return young || old
}

func (g *graves) turn(at time.Duration) {
	switch since := at - g.turned; {
	case since >= 2*graveFor:
		g.old, g.young, g.turned = nil, nil, at
	case since >= graveFor:
		g.old, g.young, g.turned = g.young, nil, g.turned+graveFor
	}
}
