package redis

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/ratelimit"
)

// Count implements ratelimit.Counters: one request, or where windows of calendars
// are among them two; in a cluster one for each slot that the tallies are in, at
// the same time. Where one fails, others may have counted.
func (c *Counters) Count(ctx context.Context, now time.Time, tallies []ratelimit.Tally) error {
	if len(tallies) == 0 {
		return nil
	}
	groups := c.groupsOf(tallies)
	if len(groups) == 1 {
		return c.count(ctx, now, &groups[0])
	}
	faults := make(chan error, len(groups))
	for i := range groups {
		go func() { faults <- c.count(ctx, now, &groups[i]) }()
	}
	var all []error
	for range groups {
		all = append(all, <-faults)
	}
	return errors.Join(all...)
}

// group is tallies of one slot which one request counts.
type group struct {
	slot    int
	tag     string // of the first
	plain   bool   // their keys hold plain numbers
	keys    []string
	tallies []*ratelimit.Tally
}

func (c *Counters) groupsOf(tallies []ratelimit.Tally) (groups []group) {
next:
	for i := range tallies {
		t := &tallies[i]
		g := group{plain: isPlain(&t.Window) && c.options.clock == nil}
		key, tag := c.tallyKey(t, g.plain)
		if g.tag = tag; c.options.Cluster {
			g.slot = slot(tag)
		}
		for j := range groups {
			if other := &groups[j]; other.slot == g.slot && other.plain == g.plain {
				other.keys, other.tallies = append(other.keys, key), append(other.tallies, t)
				continue next
			}
		}
		g.keys = append(make([]string, 0, len(tallies)-i), key)
		g.tallies = append(make([]*ratelimit.Tally, 0, len(tallies)-i), t)
		groups = append(groups, g)
	}
	return groups
}

func (c *Counters) count(ctx context.Context, now time.Time, g *group) error {
	if g.plain {
		return c.countPlain(ctx, now, g)
	}
	for i := range g.tallies { // two of one name are counted one after the other
		if err := c.countOther(ctx, now, g, i); err != nil {
			return err
		}
	}
	return nil
}

func (c *Counters) countPlain(ctx context.Context, now time.Time, g *group) error {
	numbers := make([]byte, 0, 16*len(g.tallies))
	for _, t := range g.tallies {
		numbers = appendTally(numbers, t, t.Hits)
	}
	said, f := c.run(ctx, g.tag, request{keys: g.keys, numbers: numbers, tallies: true})
	if f != nil {
		for _, t := range g.tallies {
			if err := c.countAlone(ctx, now, t, c.part(g.tag), f); err != nil {
				return err
			}
		}
		return nil
	}
	at, used, err := said.tallied(len(g.tallies))
	if err != nil {
		return &failure{cause: err, sent: true, own: true}
	}
	for i, t := range g.tallies {
		length := max(1, int64(t.Window.Length/time.Second))
		second := at.Unix()
		t.Used, t.Reset, t.At = used[i], time.Unix(second-second%length+length, 0), at
	}
	return nil
}

// appendTally appends what the script is told of t, for so many hits.
func appendTally(dst []byte, t *ratelimit.Tally, hits uint64) []byte {
	dst = appendNumber(dst, flag(t.Back))
	dst = appendNumber(dst, min(hits, most))
	dst = appendNumber(dst, max(1, uint64(t.Window.Length/time.Second)))
	return appendNumber(dst, min(t.Window.Max, most))
}

// appendTallyHead appends what the request of n tallies begins with.
func appendTallyHead(dst []byte, n int) []byte {
	dst = appendList(dst, 2+4*n)
	dst = appendNumber(dst, modeTally)
	return appendNumber(dst, uint64(n))
}

var errNoNumber = errors.New("a tally's key in Redis holds something else")

// tallied reads the answer to n tallies.
func (r response) tallied(n int) (at time.Time, used []uint64, err error) {
	in := reader{text: r.text}
	in.list()
	at = time.UnixMicro(int64(in.number()))
	for range r.others {
		in.number()
	}
	used = make([]uint64, n)
	for i := range used {
		if used[i] = in.number(); used[i] > most {
			return at, nil, errNoNumber
		}
	}
	if in.fault {
		return at, nil, errAnswer
	}
	return at, used, nil
}

// countOther counts the tally of g at i, whose window is the calendar's.
func (c *Counters) countOther(ctx context.Context, now time.Time, g *group, i int) error {
	t := g.tallies[i]
	said, f := c.run(ctx, g.tag, request{keys: g.keys[i : i+1], numbers: c.appendOther(t, t.Hits, now)})
	if f != nil {
		return c.countAlone(ctx, now, t, c.part(g.tag), f)
	}
	got, err := readAnswer(said.text, 1)
	if err != nil {
		return &failure{cause: err, sent: true, own: true}
	}
	t.Used, t.Reset, t.At = got.standings[0].Left, time.UnixMicro(got.standings[0].Reset), time.UnixMicro(got.now)
	return nil
}

// appendOther is the request that counts t for so many hits, where it is not plain.
func (c *Counters) appendOther(t *ratelimit.Tally, hits uint64, now time.Time) []byte {
	numbers := appendList(make([]byte, 0, 128), headNumbers+3+numbersOf(&t.Window))
	numbers = c.appendHead(numbers, modeCount, 0, 1, false, isPlain(&t.Window))
	numbers = appendNumber(numbers, flag(t.Back))
	numbers = appendNumber(numbers, min(hits, most))
	numbers = appendNumber(numbers, 1)
	return c.appendWindow(numbers, &t.Window, now)
}
