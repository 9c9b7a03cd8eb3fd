package app

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// piped returns a connection that is read only while busy reports false, and has
// something to be read.
func piped(t *testing.T, busy func() bool) net.Conn {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { here.Close(); there.Close() })
	go there.Write([]byte("call"))
	return pausingConn{here, busy}
}

func TestNothingIsReadWhileTheCoresAreBusy(t *testing.T) {
	asked := 0
	c := piped(t, func() bool { asked++; return asked < 100 })
	if n, err := c.Read(make([]byte, 4)); n != 4 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
	if asked != 100 {
		t.Errorf("asked %d times, want 100: until they are not busy", asked)
	}
}

// A ping behind the calls is heard, however long the cores are busy.
func TestAPauseEnds(t *testing.T) {
	c := piped(t, func() bool { return true })
	if n, err := c.Read(make([]byte, 4)); n != 4 || err != nil {
		t.Fatalf("got %d, %v", n, err)
	}
}

// Goroutines that wait for a core make it busy, those that wait for something else do not.
func TestBusyCoresAreSeen(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	busy := busyCores()
	var all sync.WaitGroup
	release := make(chan struct{})
	for range 8 * runnablePerCore {
		all.Go(func() { <-release })
	}
	for busy() { // until they have begun to wait
		runtime.Gosched()
	}
	close(release)
	all.Wait()
	var run atomic.Bool
	run.Store(true)
	for range 8 * runnablePerCore {
		all.Go(func() {
			for run.Load() {
				runtime.Gosched()
			}
		})
	}
	if !busy() {
		t.Error("not busy while many wait for the core")
	}
	run.Store(false)
	all.Wait()
}
