package redis

import (
	"errors"
	"fmt"
	"strconv"
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

// crowd are some callers who take all the time, each from its own.
type crowd struct {
	counters *Counters
	call     func(credential string) ratelimit.Call
	seen     func(ratelimit.Call, sallyport.Verdict, error) // nil, or called with each answer; from many at once

	passed, refused, failed atomic.Int64

	rounds  []atomic.Int64 // of each caller: how many of its calls have been counted and seen
	stop    chan struct{}
	callers sync.WaitGroup
}

// gather starts a caller for each credential. They end with the test, or before.
func (o *crowd) gather(t testing.TB, credentials ...string) {
	o.stop, o.rounds = make(chan struct{}), make([]atomic.Int64, len(credentials))
	for i, credential := range credentials {
		o.callers.Go(func() { o.takeAllTheTime(credential, &o.rounds[i]) })
	}
	t.Cleanup(o.disperse)
}

// takeAllTheTime takes as often as leaves a busy machine time for others: where
// all is answered at once, it would do nothing else.
func (o *crowd) takeAllTheTime(credential string, rounds *atomic.Int64) {
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-o.stop:
			return
		case <-pace.C:
		}
		call := o.call(credential)
		v, err := o.counters.Take(ctx, call)
		switch {
		case err != nil:
			o.failed.Add(1)
		case v.Allowed:
			o.passed.Add(1)
		default:
			o.refused.Add(1)
		}
		if o.seen != nil {
			o.seen(call, v, err)
		}
		rounds.Add(1)
	}
}

// catchUp waits until all that was on its way is counted and seen, and each caller
// has called at least so many times since.
func (o *crowd) catchUp(t testing.TB, times int64, when string) {
	t.Helper()
	for i := range o.rounds {
		await(t, &o.rounds[i], 1+times, fmt.Sprint("calls of caller ", i, " ", when))
	}
}

// disperse ends the callers and waits for them.
func (o *crowd) disperse() {
	select {
	case <-o.stop:
	default:
		close(o.stop)
	}
	o.callers.Wait()
}

// await waits until there have been so many more of what n counts.
func await(t testing.TB, n *atomic.Int64, more int64, what string) {
	t.Helper()
	most := n.Load() + more
	testenv.Await(t, fmt.Sprint(more, " more ", what), func() bool { return n.Load() >= most })
}

// A server that loads its data says so, with its connections open or opened anew:
// the counters are lost, each call is answered as configured, and when all is
// loaded they join and have counted what passed.
func TestLoadingUnderLoad(t *testing.T) {
	for _, f := range []fault{named("loading"), {"started, and loading", comeBackLoading, loaded, true}} {
		for name, onLoss := range map[string]OnLoss{"fail": OnLossFail, "local": OnLossLocal, "open": OnLossOpen, "closed": OnLossClosed} {
			t.Run(f.name+"/"+name, func(t *testing.T) { outlast(t, f, onLoss) })
		}
	}
}

func outlast(t *testing.T, f fault, onLoss OnLoss) {
	quiet(t)
	server := testenv.StartRedis(t, arguments...)
	c := open(t, Options{
		Addresses: []string{server.Addr}, Timeout: 3 * short, OnLoss: onLoss, Share: 50, Username: "gate", Password: apikey.NewSecret("secret"),
	})
	call := callFor("k1", 1_000_000)
	o := &crowd{counters: c, call: func(string) ratelimit.Call { return call }}
	o.seen = func(_ ratelimit.Call, _ sallyport.Verdict, err error) {
		var closed interface{ Closed() bool }
		if err != nil && errors.As(err, &closed) != (onLoss == OnLossClosed) {
			t.Errorf("%v: says that it is closed: %v", err, onLoss != OnLossClosed)
		}
	}
	o.gather(t, "1", "2", "3", "4")
	await(t, &o.passed, 50, "to pass")
	before := o.passed.Load() // which Redis knows of, and has saved when it begins to load
	f.lose(t, server)
	testenv.Await(t, "the loss, and its cause", func() bool {
		s := c.State()
		return !s.Joined() && s.Cause != nil && strings.Contains(s.Cause.Error(), "LOADING")
	})
	if onLoss == OnLossFail || onLoss == OnLossClosed {
		passed := o.passed.Load()
		await(t, &o.failed, 50, "to fail")
		if n := o.passed.Load() - passed; n > 4 { // answers that were on their way
			t.Errorf("%d passed while lost", n)
		}
	} else {
		await(t, &o.passed, 50, "to pass alone")
	}
	if s := c.State(); s.Joined() {
		t.Error("joined a server that is loading")
	}
	f.mend(t, server)
	joined(t, c)
	await(t, &o.passed, 50, "to pass when joined again")
	o.disperse()
	s := c.State()
	patient := open(t, Options{Addresses: []string{server.Addr}, Timeout: lenient})
	counted, loose := o.passed.Load(), int64(s.Failed) // what failed may have counted
	if onLoss == OnLossOpen {
		counted -= int64(s.Alone)
	}
	least := counted - loose
	if f.forgetful || s.Dropped > 0 { // it was killed, some moments after it had saved; or too busy when it was told
		least = before
	}
	if n := int64(used(t, patient, call)); n < least || n > counted+loose {
		t.Errorf("%d used, want %d to %d: %d passed, %d before the loss; %+v", n, least, counted+loose, o.passed.Load(), before, s)
	}
	if onLoss == OnLossLocal && s.Carried+s.Dropped == 0 {
		t.Errorf("what was taken alone was not carried: %+v", s)
	}
	if onLoss != OnLossOpen && onLoss != OnLossLocal && o.failed.Load() != int64(s.Alone) {
		t.Errorf("%d failed, %d of them without Redis", o.failed.Load(), s.Alone)
	}
}

// ofNode reports whether the slot of call's keys is the nth master's, and whether
// the part that it is in is that master's alone.
func (c *Counters) ofNode(call ratelimit.Call, n int) (its, alone bool) {
	tag := c.tag(call.Subject)
	its = slot(tag) >= n*slotCount/3 && slot(tag) < (n+1)*slotCount/3
	of := func(slot int) int { return slot * 3 / slotCount }
	part := partOf(tag, clusterParts)
	return its, of(part*slotCount/clusterParts+1) == of((part+1)*slotCount/clusterParts-1)
}

// A master of a cluster dies and its replica is promoted: nobody else's counters
// are lost, its own are joined again, and what they had counted is there but for
// the last moments, which Redis replicates without waiting.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	quiet(t)
	quick := []string{"--cluster-node-timeout", "500"}
	nodes := testenv.StartRedisCluster(t, quick...)
	replica := testenv.AddRedisReplica(t, nodes, nodes[1], quick...)
	all := []*bereft{newBereft(t, nodes, OnLossFail), newBereft(t, nodes, OnLossLocal)}
	for _, b := range all {
		await(t, &b.safe.passed, 50, "to pass")
		await(t, &b.struck.passed, 50, "to pass")
		b.kept = b.struck.passed.Load()
	}
	follow(t, nodes[1], replica)
	nodes[1].Kill()
	for _, b := range all {
		testenv.Await(t, "the loss", func() bool { return b.counters.State().Lost > 0 })
	}
	testenv.Await(t, "the replica to be promoted", func() bool { return strings.HasPrefix(replica.Do("ROLE"), "master") })
	for _, node := range []*testenv.RedisServer{nodes[0], nodes[2], replica} {
		testenv.Await(t, "the cluster to be whole", func() bool {
			info := node.Do("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
		})
	}
	for _, b := range all {
		joined(t, b.counters)
		await(t, &b.safe.passed, 50, "to pass")
		await(t, &b.struck.passed, 50, "to pass when joined again")
		b.account(t)
	}
}

// bereft are callers of a cluster that loses its second master.
type bereft struct {
	counters     *Counters
	safe, struck *crowd // those of the other masters, and its own
	there, gone  []string
	kept         int64 // of struck: how many had passed when the replica followed
}

func newBereft(t *testing.T, nodes []*testenv.RedisServer, onLoss OnLoss) *bereft {
	t.Helper()
	// It is patient, since a dead node is told by its connection and the others may
	// be busy.
	c := open(t, Options{
		Addresses: testenv.RedisAddrs(nodes), Cluster: true, Timeout: time.Second, OnLoss: onLoss, Prefix: fmt.Sprint("loss-", onLoss, ":"),
	})
	c.Know(policy)
	b := &bereft{counters: c, safe: &crowd{counters: c, call: unbounded}, struck: &crowd{counters: c, call: unbounded}}
	for i := 0; (len(b.there) < 3 || len(b.gone) < 3) && i < 1000; i++ {
		credential := fmt.Sprint("k", i)
		switch its, alone := c.ofNode(unbounded(credential), 1); {
		case alone && its:
			b.gone = append(b.gone, credential)
		case alone:
			b.there = append(b.there, credential)
		}
	}
	if len(b.there) < 3 || len(b.gone) < 3 {
		t.Fatal("no part of the slots is one master's alone")
	}
	b.safe.seen = func(call ratelimit.Call, _ sallyport.Verdict, err error) {
		if err != nil {
			t.Errorf("%s, who has another master: %v", call.Subject.Credential, err)
		}
	}
	b.safe.gather(t, b.there[:3]...)
	b.struck.gather(t, b.gone[:3]...)
	return b
}

func unbounded(credential string) ratelimit.Call { return callFor(credential, 1_000_000) }

// account holds what was counted against what passed.
func (b *bereft) account(t *testing.T) {
	t.Helper()
	b.safe.disperse()
	b.struck.disperse()
	sum := func(credentials []string) (n int64) {
		for _, credential := range credentials[:3] {
			n += int64(used(t, b.counters, unbounded(credential)))
		}
		return n
	}
	s := b.counters.State()
	if n, want := sum(b.there), b.safe.passed.Load(); n != want {
		t.Errorf("%d used of the other masters' tenants, want the %d that passed", n, want)
	}
	if n, most := sum(b.gone), b.struck.passed.Load()+int64(s.Failed); n < b.kept || n > most {
		t.Errorf("%d used, want %d, which had been replicated, to %d: %+v", n, b.kept, most, s)
	}
	if local := b.counters.options.OnLoss == OnLossLocal; local != (b.struck.failed.Load() == 0) {
		t.Errorf("%d calls failed: not as configured", b.struck.failed.Load())
	}
}

// follow waits until the replica has what the master has now.
func follow(t testing.TB, master, replica *testenv.RedisServer) {
	t.Helper()
	offset := func(s *testenv.RedisServer, name string) (n int) {
		for line := range strings.Lines(s.Do("INFO", "replication")) {
			if text, found := strings.CutPrefix(line, name+":"); found {
				n, _ = strconv.Atoi(strings.TrimSpace(text))
			}
		}
		return n
	}
	want := offset(master, "master_repl_offset")
	testenv.Await(t, "the replica to have it", func() bool { return want > 0 && offset(replica, "slave_repl_offset") >= want })
}
