package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

const year = 365 * 24 * time.Hour

func tallyOf(name string, length time.Duration, most, hits uint64) ratelimit.Tally {
	return ratelimit.Tally{Key: []byte(name), Window: sallyport.Window{Max: most, Length: length}, Hits: hits}
}

// count counts one tally, and returns it with what came of it.
func count(t testing.TB, c *Counters, one ratelimit.Tally) ratelimit.Tally {
	t.Helper()
	all := []ratelimit.Tally{one}
	if err := c.Count(ctx, time.Now(), all); err != nil {
		t.Fatal(err)
	}
	return all[0]
}

// The law: tallies that are plain numbers in Redis are counted as memory counts
// them, also where a name comes twice in a call.
func TestTalliesEqualMemory(t *testing.T) {
	t.Parallel()
	c := open(t, somewhere(t, false))
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		m := ratelimit.NewMemory()
		for range rapid.IntRange(1, 30).Draw(t, "calls") {
			var one []ratelimit.Tally
			for range rapid.IntRange(1, 4).Draw(t, "tallies") {
				one = append(one, ratelimit.Tally{
					Key:    fmt.Append(nil, runs, "-", rapid.IntRange(0, 2).Draw(t, "name")),
					Window: sallyport.Window{Max: 5, Length: rapid.SampledFrom([]time.Duration{year, 10 * year}).Draw(t, "window")},
					Hits:   rapid.SampledFrom([]uint64{0, 1, 2, 7, 1 << 40}).Draw(t, "hits"),
					Back:   rapid.Bool().Draw(t, "back"),
				})
			}
			other := slices.Clone(one)
			if err := m.Count(ctx, time.Now(), one); err != nil {
				t.Fatal(err)
			}
			if err := c.Count(ctx, time.Now(), other); err != nil {
				t.Fatal(err)
			}
			for i := range one {
				if one, other := &one[i], &other[i]; one.Used != other.Used || !one.Reset.Equal(other.Reset) {
					t.Fatalf("tally %d\nmemory: %+v\nredis:  %+v", i, one, other)
				}
			}
		}
	})
}

// A tally's key ends with its window, and what only looks leaves none.
func TestTalliesEndWithTheirWindow(t *testing.T) {
	t.Parallel()
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	back := tallyOf("k", year, 5, 1)
	back.Back = true
	for _, one := range []ratelimit.Tally{tallyOf("k", year, 5, 0), back} {
		got := count(t, c, one)
		key, _ := c.tallyKey(&got, true)
		if held := server.Do("EXISTS", key); got.Used != 0 || held != "0" {
			t.Errorf("%+v; Redis holds %s of %s", got, held, key)
		}
	}
	for _, hits := range []uint64{3, math.MaxUint64, 1} {
		got := count(t, c, tallyOf("k", year, 5, hits))
		key, _ := c.tallyKey(&got, true)
		if at := server.Do("PEXPIRETIME", key); at != fmt.Sprint(got.Reset.UnixMilli()) {
			t.Errorf("after %d hits %s ends at %s, want %v", hits, key, at, got.Reset.UnixMilli())
		}
	}
	if got := count(t, c, tallyOf("k", year, 5, 0)); got.Used != most {
		t.Errorf("%d used, want no more than can be told, %d", got.Used, uint64(most))
	}
	if got := count(t, c, tallyOf("k", 2*year, 5, 1)); got.Used != 1 {
		t.Errorf("another window: %d used, want 1", got.Used)
	}
}

// The clock of Redis's machine goes on, and is set back: nobody is refused for
// longer than a window lasts.
func TestTalliesWhenTheClockJumps(t *testing.T) {
	t.Parallel()
	server, clock := testenv.StartRedisWithClock(t)
	base := time.Until(time.Now().Truncate(24 * time.Hour).Add(34*time.Hour + 10*time.Second)) // 10:00:10
	clock.Set(base)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	for _, step := range []struct {
		ahead      time.Duration
		hits, want uint64
	}{
		{0, 3, 3}, {0, 1, 4}, {2 * time.Minute, 2, 2}, {time.Hour, 3, 3},
		{0, 2, 5},            // the window of an hour later, of which there is something left
		{0, 1, 1}, {0, 1, 2}, // and now there is not
	} {
		clock.Set(base + step.ahead)
		got := count(t, c, tallyOf("k", time.Minute, 5, step.hits))
		if end := got.Reset.Sub(got.At); got.Used != step.want || end <= 0 || end > time.Minute {
			t.Errorf("%v ahead, %d hits: %d used until %v, want %d", step.ahead, step.hits, got.Used, end, step.want)
		}
	}
}

// Whatever is counted at the same time travels together, and each learns what came
// of its own hits. A key that holds something else fails those who count on it.
func TestGatheredRequestsAreCountedEachByItself(t *testing.T) {
	t.Parallel()
	quiet(t)
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	strange := tallyOf("strange", year, 5, 1)
	key, _ := c.tallyKey(&strange, true)
	server.Do("SET", key, "something")
	list := tallyOf("list", year, 5, 1)
	listKey, _ := c.tallyKey(&list, true)
	server.Do("RPUSH", listKey, "something")
	const callers, each = 64, 40
	var seen [2][callers * each]bool
	var mu sync.Mutex
	tell := func(what int, used uint64) {
		mu.Lock()
		defer mu.Unlock()
		if used < 1 || used > callers*each || seen[what][used-1] {
			t.Errorf("the hit counted as %d, which is taken or cannot be", used)
			return
		}
		seen[what][used-1] = true
	}
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				switch all := []ratelimit.Tally{tallyOf("one", year, 5, 1), tallyOf("other", year, 5, 1)}; {
				case i%8 == 7 && j%2 == 0:
					for _, one := range [][]ratelimit.Tally{{strange}, {list}} {
						if err := c.Count(ctx, time.Now(), one); !errors.Is(err, errNoNumber) {
							t.Errorf("what is no number was counted, or failed with: %v", err)
						}
					}
					fallthrough
				case i%2 == 0:
					v, err := c.Take(ctx, callFor("k1", callers*each))
					if err != nil || !v.Allowed {
						t.Errorf("got %+v, %v", v, err)
					}
					fallthrough
				default:
					if err := c.Count(ctx, time.Now(), all); err != nil {
						t.Error(err)
						continue
					}
					tell(0, all[0].Used)
					tell(1, all[1].Used)
				}
			}
		})
	}
	wg.Wait()
	want := uint64(callers/2*each + callers/8*each/2)
	if n := used(t, c, callFor("k1", callers*each)); n != want {
		t.Errorf("%d taken, want %d", n, want)
	}
	if s := c.State(); s.Losses != 0 {
		t.Errorf("lost: %+v", s)
	}
}

// Who leaves before its turn has counted nothing.
func TestWhoLeavesBeforeItsTurnCountsNothing(t *testing.T) {
	t.Parallel()
	quiet(t)
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	server.Stop()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := c.Take(ctx, callFor("k1", 100)); err != nil {
			t.Error(err)
		}
	})
	testenv.Await(t, "the first to be under way", func() bool {
		c.gathered.mu.Lock()
		defer c.gathered.mu.Unlock()
		return c.gathered.busy
	})
	leaving, leave := context.WithCancel(ctx)
	for range 10 {
		wg.Go(func() {
			if _, err := c.Take(leaving, callFor("k1", 100)); err == nil {
				t.Error("who had left was answered")
			}
		})
	}
	testenv.Await(t, "the others to wait", func() bool {
		c.gathered.mu.Lock()
		defer c.gathered.mu.Unlock()
		return len(c.gathered.waiting) == 10
	})
	leave()
	testenv.Await(t, "the others to have left", func() bool {
		c.gathered.mu.Lock()
		defer c.gathered.mu.Unlock()
		return !slices.ContainsFunc(c.gathered.waiting, func(w *queued) bool { return !w.left })
	})
	server.Cont()
	wg.Wait()
	if n, s := used(t, c, callFor("k1", 100)), c.State(); n != 1 || s.Losses != 0 {
		t.Errorf("%d used, %d losses; want that of the one who stayed", n, s.Losses)
	}
}

// A panic while many are served fails them, and nothing else.
func TestAPanicFailsThoseWhoWait(t *testing.T) {
	c := &Counters{options: Options{Timeout: lenient}, room: make(chan struct{}, 1)} // without a script
	c.link.Store(new(link))
	batch := []*queued{{done: make(chan struct{})}, {done: make(chan struct{})}}
	if f := c.sendBatch(new(part), batch); f == nil || !f.own {
		t.Errorf("got %v", f)
	}
	for _, w := range batch {
		if _, f := w.await(ctx, &c.gathered); !errors.Is(f, errPanicked) {
			t.Errorf("got %v, want %v", f, errPanicked)
		}
	}
}
