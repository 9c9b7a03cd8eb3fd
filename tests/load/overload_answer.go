package main

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// ending is what came of a call of the flood. The zero value is a fault: it is
// none of what may be.
type ending uint8

const (
	wrong   ending = iota
	right          // the whole decision that this caller must get
	tooMuch        // refused: a 503 with gate.overloaded as the reason, or unavailable on arrival
	late           // no answer within the deadline
	unsent         // too many were in flight already, so that it was not made
	endings        // how many there are
)

// overloadedReason is in the metadata of a refusal for there being too much.
var overloadedReason = []byte("gate.overloaded")

// judge says what an answer is to a caller whose key is known, or to a stranger.
// It walks the top level only and allocates nothing.
func judge(message []byte, stranger bool) ending {
	if quickCheck(message) == nil {
		if stranger {
			return wrong
		}
		return right
	}
	var denied, failed, overloaded bool
	known := topFields(message, func(number protowire.Number, value []byte) bool {
		denied = denied || number == fieldDeniedResponse
		failed = failed || number == fieldErrorResponse
		overloaded = overloaded || number == fieldMetadata && bytes.Contains(value, overloadedReason)
		return number != fieldOKResponse
	})
	switch {
	case !known:
		return wrong
	case failed && overloaded && !denied:
		return tooMuch
	case denied && stranger && !failed:
		return right
	}
	return wrong
}

// judgeWhole is what judge leaves out: it decodes message, which was judged so,
// with the generated types, and says what it lacks.
func judgeWhole(message []byte, stranger bool, judged ending) error {
	if judged == right && !stranger {
		return fullCheck(message, true)
	}
	var r authv3.CheckResponse
	if err := proto.Unmarshal(message, &r); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	if judged == right {
		if status := r.GetDeniedResponse().GetStatus().GetCode(); status != 401 {
			return fmt.Errorf("a stranger gets %d, want 401", status)
		}
		return nil
	}
	switch e := r.GetErrorResponse(); {
	case e.GetStatus().GetCode() != 503:
		return fmt.Errorf("what is too much gets %d, want 503", e.GetStatus().GetCode())
	case header(e.GetHeaders(), "retry-after") == "":
		return errors.New("what is too much is not told when to come again")
	case e.GetBody() == "":
		return errors.New("what is too much gets no body")
	}
	return nil
}

// tickWidth is how exactly a tally keeps the time that answers took.
const tickWidth = 100 * time.Microsecond

// tally counts what came of calls, and how long after they were due.
type tally struct {
	calls [endings]int
	took  [endings][]uint32 // of those that were answered, by tickWidth
}

func newTally(deadline time.Duration) *tally {
	t := new(tally)
	for _, o := range []ending{right, tooMuch} {
		t.took[o] = make([]uint32, deadline/tickWidth+1)
	}
	return t
}

// add counts a call that was answered after took.
func (t *tally) add(o ending, took time.Duration) {
	t.calls[o]++
	if all := t.took[o]; all != nil {
		all[min(max(int(took/tickWidth), 0), len(all)-1)]++
	}
}

// merge adds what other has counted.
func (t *tally) merge(other *tally) {
	for o := range endings {
		t.calls[o] += other.calls[o]
		for i, n := range other.took[o] {
			t.took[o][i] += n
		}
	}
}

// due is how many calls there were to be.
func (t *tally) due() (sum int) {
	for _, n := range t.calls {
		sum += n
	}
	return sum
}

// share is that of one ending in all calls that were due; 0 where none was.
func (t *tally) share(o ending) float64 {
	return float64(t.calls[o]) / float64(max(t.due(), 1))
}

// within is the part of the answers of one outcome that took no longer than that; 0
// where there is none.
func (t *tally) within(o ending, long time.Duration) float64 {
	var n uint32
	for _, some := range t.took[o][:min(int(long/tickWidth), len(t.took[o]))] {
		n += some
	}
	return float64(n) / float64(max(t.calls[o], 1))
}

// quantile is below how long that part of the answers of one ending took; 0 where
// there is none.
func (t *tally) quantile(o ending, q float64) time.Duration {
	left := q * float64(t.calls[o])
	if left == 0 {
		return 0
	}
	for i, n := range t.took[o] {
		if left -= float64(n); left <= 0 {
			return time.Duration(i+1) * tickWidth
		}
	}
	return time.Duration(len(t.took[o])) * tickWidth
}
