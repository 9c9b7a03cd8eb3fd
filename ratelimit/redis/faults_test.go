package redis

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/apikey"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

// short is a timeout that a busy machine keeps, and that tests can wait for.
const short = 100 * time.Millisecond

// slack is how much longer than its deadline a call may take on such a machine.
const slack = 400 * time.Millisecond

var limit = &sallyport.Limit{Name: "requests", Per: []string{"credential"}}

func callFor(credential string, most uint64) ratelimit.Call {
	return ratelimit.Call{
		Now: time.Now(), Subject: &sallyport.Subject{API: "orders", Tenant: credential, Credential: credential}, Hits: 1,
		Charges: []sallyport.Charge{{Limit: limit, Windows: []sallyport.Window{{Max: most, Calendar: sallyport.Month}}}},
	}
}

// takes makes n calls one after the other, none of which may wait for long.
func takes(t testing.TB, c *Counters, n int, call ratelimit.Call) (allowed int, errs []error) {
	t.Helper()
	for range n {
		began := time.Now()
		v, err := c.Take(ctx, call)
		if took, over := late(began, c.options.Timeout+slack); over {
			t.Errorf("a call took %v", took)
		}
		switch {
		case err != nil:
			errs = append(errs, err)
		case v.Allowed:
			allowed++
		}
	}
	return allowed, errs
}

func used(t testing.TB, c *Counters, call ratelimit.Call) uint64 {
	t.Helper()
	all, err := c.Look(ctx, call)
	if err != nil {
		t.Fatal(err)
	}
	return all[0].Used
}

// fault is a way to lose Redis and to have it back.
type fault struct {
	name      string
	lose      func(*testing.T, *testenv.RedisServer)
	mend      func(*testing.T, *testenv.RedisServer)
	forgetful bool // what was counted before is gone
}

func do(commands ...string) func(*testing.T, *testenv.RedisServer) {
	return func(_ *testing.T, s *testenv.RedisServer) {
		for _, command := range commands {
			s.Do(strings.Split(command, " ")...)
		}
	}
}

func kill(_ *testing.T, s *testenv.RedisServer)    { s.Kill() }
func start(_ *testing.T, s *testenv.RedisServer)   { s.Start() }
func restart(_ *testing.T, s *testenv.RedisServer) { s.Restart() }
func stop(_ *testing.T, s *testenv.RedisServer)    { s.Stop() }
func cont(_ *testing.T, s *testenv.RedisServer)    { s.Cont() }
func wait(*testing.T, *testenv.RedisServer)        {}

// arguments are those of a server that faults are made with: it has a user of its
// own for the gate, and loads its data as slowly as a big one does, some 20 seconds,
// while every 20 milliseconds it tells so to whoever asks.
var arguments = []string{
	"--user", "gate", "on", ">secret", "~*", "&*", "+@all", "--enable-debug-command", "local",
	"--rdbcompression", "no", "--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024",
}

// ballast is what it then has to load.
var ballast = []string{"DEBUG", "POPULATE", "10000", "ballast", "100"}

// load has a server load all it has, on the connections that are open.
func load(t *testing.T, s *testenv.RedisServer) {
	s.Do(ballast...)
	go s.Try("DEBUG", "RELOAD") // which answers when it is done
	loading(t, s, "1")
}

// comeBackLoading is load for a server that was killed.
func comeBackLoading(t *testing.T, s *testenv.RedisServer) {
	s.Do(ballast...)
	s.Do("SAVE")
	s.Restart()
	loading(t, s, "1")
}

// loaded ends the loading.
func loaded(t *testing.T, s *testenv.RedisServer) {
	s.Do("CONFIG", "SET", "key-load-delay", "0")
	loading(t, s, "0")
}

func loading(t *testing.T, s *testenv.RedisServer, want string) {
	t.Helper()
	testenv.Await(t, "loading to be "+want, func() bool {
		info, _ := s.Try("INFO", "persistence")
		return strings.Contains(info, "\nloading:"+want)
	})
}

var faults = []fault{
	{"killed", kill, start, true},
	{"restarted", restart, wait, true},
	{"hung", stop, cont, false},
	{"slow", do("CLIENT PAUSE 60000 WRITE"), do("CLIENT UNPAUSE"), false},
	{"full", do("CONFIG SET maxmemory 1"), do("CONFIG SET maxmemory 0"), false},
	{"loading", load, loaded, false},
	{"a read-only replica", do("REPLICAOF 127.0.0.1 1"), do("REPLICAOF NO ONE"), false},
	{"wrong password", do("ACL SETUSER gate resetpass >other", "CLIENT KILL USER gate"), do("ACL SETUSER gate resetpass >secret"), false},
}

// named returns the fault of that name.
func named(name string) fault {
	return faults[slices.IndexFunc(faults, func(f fault) bool { return f.name == name })]
}

// G9: counters down or hung: each API does what its configuration says, within
// the deadline, and recovers by itself.
func TestFaults(t *testing.T) {
	for _, f := range faults {
		for name, onLoss := range map[string]OnLoss{"fail": OnLossFail, "local": OnLossLocal, "open": OnLossOpen, "closed": OnLossClosed} {
			t.Run(f.name+"/"+name, func(t *testing.T) { survive(t, f, onLoss) })
		}
	}
}

func survive(t *testing.T, f fault, onLoss OnLoss) {
	quiet(t)
	server := testenv.StartRedis(t, arguments...)
	c := open(t, Options{
		Addresses: []string{server.Addr}, Timeout: short, OnLoss: onLoss, Share: 50,
		Username: "gate", Password: apikey.NewSecret("secret"),
	})
	call := callFor("k1", 20)
	if n, errs := takes(t, c, 3, call); n != 3 || errs != nil {
		t.Fatalf("joined: %d of 3 allowed, %v", n, errs)
	}
	f.lose(t, server)
	open, before := 0, c.State().Losses
	allowed, errs := 0, []error(nil)
	for c.State().Losses == before { // calls whose fate is open
		n, err := takes(t, c, 1, call)
		allowed, errs, open = allowed+n, append(errs, err...), open+1
		if open > slowCalls {
			t.Fatalf("not lost after %d calls", open)
		}
	}
	if f.name != "restarted" { // which may be back already
		began := time.Now()
		n, err := takes(t, c, 12, call)
		if took, over := late(began, slack); over {
			t.Errorf("twelve calls took %v while lost", took)
		}
		answeredAlone(t, onLoss, 12+open, allowed+n, append(errs, err...))
	}
	f.mend(t, server)
	joined(t, c)
	base := 3
	if f.forgetful {
		base = 0
	}
	// What was taken alone is carried, and a call of open fate counts once at most.
	carried := int(c.State().Carried)
	if n := int(used(t, c, call)); f.name != "restarted" && (n < base+carried || n > base+carried+open) {
		t.Errorf("%d used, want %d to %d: %d before, %d alone, %d of open fate", n, base+carried, base+carried+open, base, carried, open)
	}
	if onLoss == OnLossLocal && f.name != "restarted" && (carried < 10-open || carried > 10) {
		t.Errorf("%d carried, want the 10 of the share but for %d of open fate", carried, open)
	}
	if n, errs := takes(t, c, 1, call); n != 1 || errs != nil {
		t.Errorf("joined again: %d of 1 allowed, %v", n, errs)
	}
}

// answeredAlone holds what came of calls that Redis failed.
func answeredAlone(t *testing.T, onLoss OnLoss, calls, allowed int, errs []error) {
	t.Helper()
	want := map[OnLoss]int{OnLossFail: 0, OnLossLocal: 10, OnLossOpen: calls, OnLossClosed: 0}[onLoss]
	fails := onLoss == OnLossFail || onLoss == OnLossClosed
	if allowed != want || fails && len(errs) != calls || !fails && len(errs) != 0 {
		t.Errorf("of %d calls %d were allowed and %d failed, want %d allowed", calls, allowed, len(errs), want)
	}
	for _, err := range errs {
		var closed interface{ Closed() bool }
		if errors.As(err, &closed) != (onLoss == OnLossClosed) {
			t.Errorf("%v: says that it is closed: %v", err, onLoss != OnLossClosed)
		}
	}
}

// Redis need not be there at the start, and may refuse us at first.
func TestStartsWithoutRedis(t *testing.T) {
	quiet(t)
	server := testenv.NewRedis(t, "--user", "gate", "on", ">other", "~*", "&*", "+@all")
	var told []State
	var mu sync.Mutex
	c, err := Open(ctx, Options{
		Addresses: []string{server.Addr}, Timeout: short, OnLoss: OnLossLocal, Username: "gate", Password: apikey.NewSecret("secret"),
		Changed: func(s State) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, s)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	call := callFor("k1", 5)
	if n, errs := takes(t, c, 7, call); n != 5 || errs != nil {
		t.Errorf("alone: %d allowed, %v", n, errs)
	}
	server.Start()
	testenv.Await(t, "a refusal of the password", func() bool { return c.State().Cause != nil && strings.Contains(c.State().Cause.Error(), "WRONGPASS") })
	if strings.Contains(c.State().Cause.Error(), "secret") {
		t.Errorf("the cause tells the password: %v", c.State().Cause)
	}
	do("ACL SETUSER gate resetpass >secret")(t, server)
	joined(t, c)
	if n := used(t, c, call); n != 5 {
		t.Errorf("%d used, want the 5 taken alone", n)
	}
	if n, _ := takes(t, c, 1, call); n != 0 {
		t.Error("the quota was given twice")
	}
	testenv.Await(t, "the changes to be told", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(told) == 2 && !told[0].Joined() && told[1].Joined()
	})
}

// A hung server takes what 2,000 calls write and answers none: all return in
// time, and nothing piles up.
func TestManyCallsToAHungServer(t *testing.T) {
	quiet(t)
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: short})
	call := callFor("k1", 1_000_000)
	takes(t, c, 10, call)
	server.Stop()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	for round := range 3 {
		var wg sync.WaitGroup
		var longest atomic.Int64
		first := time.Now()
		for range 2000 {
			wg.Go(func() {
				began := time.Now()
				if _, err := c.Take(ctx, call); err == nil {
					t.Error("a hung server answered")
				}
				for took := int64(time.Since(began)); ; {
					if old := longest.Load(); took <= old || longest.CompareAndSwap(old, took) {
						return
					}
				}
			})
		}
		wg.Wait()
		most := slack + machine.since(first)
		if took := time.Duration(longest.Load()); took > short+most || round > 0 && took > most {
			t.Errorf("round %d: a call took %v", round, took)
		}
	}
	testenv.Await(t, "calls that were given up to end", func() bool { return runtime.NumGoroutine() < goroutines+50 })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	server.Cont()
	joined(t, c)
	if n := used(t, c, call); n > 10+mostCalls+slowCalls {
		t.Errorf("%d used: more than could be under way", n)
	}
}

// A retry with the same sid is safe whatever became of the first try.
func TestARetryAfterATimeoutCountsOnce(t *testing.T) {
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: short})
	call := callFor("k1", 100)
	call.SID = "sid"
	server.Stop()
	if _, err := c.Take(ctx, call); err == nil {
		t.Error("a hung server answered")
	}
	server.Cont()
	testenv.Await(t, "the first try to count", func() bool {
		all, err := c.Look(ctx, call)
		return err == nil && all[0].Used == 1
	})
	if n, errs := takes(t, c, 1, call); n != 1 || errs != nil {
		t.Errorf("the retry: %d allowed, %v", n, errs)
	}
	if n := used(t, c, call); n != 1 {
		t.Errorf("%d used, want 1", n)
	}
}

func TestFlushedScriptsComeBack(t *testing.T) {
	t.Parallel()
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	call := callFor("k1", 100)
	for i := range 5 {
		if n, errs := takes(t, c, 1, call); n != 1 || errs != nil {
			t.Fatalf("%d: %d allowed, %v", i, n, errs)
		}
		server.Do("SCRIPT", "FLUSH")
	}
	if n, s := used(t, c, call), c.State(); n != 5 || s.Losses != 0 {
		t.Errorf("%d used after 5, %d losses", n, s.Losses)
	}
}

// A caller whose own time is up says nothing of Redis.
func TestImpatientCallersLoseNothing(t *testing.T) {
	t.Parallel()
	c := open(t, somewhere(t, false))
	for range 20 {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := c.Take(ended, callFor("k1", 100)); err == nil {
			t.Error("a call without time was answered")
		}
	}
	if s := c.State(); s.Losses != 0 {
		t.Errorf("lost %d times: %v", s.Losses, s.Cause)
	}
}

// Under load, with Redis lost and back again and again: no more pass than the
// limit and a share for each loss, and all is well afterwards.
func TestLossUnderLoad(t *testing.T) {
	quiet(t)
	server := testenv.StartRedis(t)
	c := open(t, Options{Addresses: []string{server.Addr}, Timeout: short, OnLoss: OnLossLocal, Share: 10})
	call := callFor("k1", 10_000)
	var passed atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := c.Take(ctx, call)
				if err != nil {
					t.Error(err)
				}
				if v.Allowed {
					passed.Add(1)
				}
			}
		})
	}
	for range 3 {
		lossesSoFar := c.State().Losses
		server.Stop()
		testenv.Await(t, "the loss", func() bool { return c.State().Losses > lossesSoFar })
		server.Cont()
		joined(t, c)
	}
	close(stop)
	wg.Wait()
	s := c.State()
	if n, most := passed.Load(), int64(10_000+1_000*s.Losses); n > most {
		t.Errorf("%d passed, want at most %d", n, most)
	}
	if n := int64(used(t, c, call)); n > passed.Load()+int64(s.Failed) {
		t.Errorf("%d used by %d that passed and %d of open fate", n, passed.Load(), s.Failed)
	}
}
