package redis

import (
	"bytes"
	flags "flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/internal/testenv"
)

// shared is the cluster of tests that make no fault.
var shared testenv.SharedRedisCluster

// atOnce is how many tests run together, where nobody says: most of the time they
// wait for a server, or for it to be missed.
const atOnce = "4"

// TestMain ends what the tests shared, and fails where anything still runs when
// all of them are over.
func TestMain(m *testing.M) {
	flags.Parse()
	said := false
	flags.Visit(func(f *flags.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		flags.Set("test.parallel", atOnce)
	}
	go machine.run()
	before, _ := running("")
	code := shared.Run(m)
	if n, stacks := settled("", before); n > before {
		fmt.Printf("FAIL: %d goroutines run after all tests, want %d:\n%s", n, before, stacks)
		code = max(code, 1)
	}
	os.Exit(code)
}

// somewhere are the options of a test that makes no fault: a server of its own, or
// keys of its own in the cluster of all.
func somewhere(t testing.TB, cluster bool) Options {
	t.Helper()
	o := Options{Cluster: cluster, Timeout: lenient, Prefix: fmt.Sprintf("%s-%x:", t.Name(), rand.Uint64())}
	if cluster {
		o.Addresses = testenv.RedisAddrs(shared.Nodes(t))
	} else {
		o.Addresses = []string{testenv.StartRedis(t).Addr}
	}
	return o
}

// quiet fails the test where a goroutine that it started, or that one of those
// did, still runs when it ends. They are told from others' by a label, which each
// has from who starts it.
func quiet(t testing.TB) {
	t.Helper()
	pprof.SetGoroutineLabels(pprof.WithLabels(ctx, pprof.Labels("test", t.Name())))
	t.Cleanup(func() {
		if n, stacks := settled(t.Name(), 1); n > 1 { // this one
			t.Errorf("%d goroutines are left:\n%s", n-1, stacks)
		}
	})
}

// settled waits until no more than most goroutines of a test run, and returns how
// many and where, if there are more for ever.
func settled(test string, most int) (n int, stacks string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 3000 {
		if n, stacks = running(test); n <= most {
			return n, ""
		}
		<-tick.C
	}
	return n, stacks
}

// running counts the goroutines that are labelled as test's, all where it is
// empty, and tells their stacks.
func running(test string) (n int, stacks string) {
	var text bytes.Buffer
	pprof.Lookup("goroutine").WriteTo(&text, 1)
	_, records, _ := strings.Cut(text.String(), "\n") // the first line is about all
	for record := range strings.SplitSeq(records, "\n\n") {
		count := 0
		if test == "" || strings.Contains(record, fmt.Sprintf("# labels: {\"test\":%q}\n", test)) {
			fmt.Sscanf(record, "%d @", &count)
		}
		if n += count; count > 0 {
			stacks += record + "\n\n"
		}
	}
	return n, stacks
}

// A goroutine that is left is seen, whoever else runs what.
func TestQuietSeesWhatIsLeft(t *testing.T) {
	quiet(t)
	stop := make(chan struct{})
	for name, want := range map[string]int{"one": 3, "other": 1} {
		t.Run(name, func(t *testing.T) {
			quiet(t)
			ended := make(chan struct{}, 2)
			if want > 1 {
				go func() {
					go func() { <-stop; ended <- struct{}{} }()
					<-stop
					ended <- struct{}{}
				}()
				defer func() { <-ended; <-ended }()
				defer close(stop)
			}
			testenv.Await(t, fmt.Sprint("that ", want, " run"), func() bool { n, _ := running(t.Name()); return n == want })
		})
	}
}
