package app

import (
	"net"
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// runnablePerCore is how many goroutines may wait for a core before no more is
	// read: a millisecond of work.
	runnablePerCore = 64

	// othersAtRest are about so many goroutines as wait for something where nothing
	// is asked, the workers and the connections of many Envoys aside.
	othersAtRest = 128

	// longestPause is how long a connection is left unread at most, so that what is
	// no call is heard in time: Envoy gives a ping a second.
	longestPause = 50 * time.Millisecond

	// streamsPerConnection is how many calls a connection may have in flight: what
	// Envoy allows itself where nobody tells it otherwise. Beyond, it waits or opens
	// another connection.
	streamsPerConnection = 1024
)

// pausing is a listener whose connections are read only while the cores keep up
// with what was read. What cannot be answered yet waits where it came from and
// costs nothing there; were it read, to refuse it would cost nearly what it costs
// to answer, and of three times as much as can be done next to nothing would be.
// Nothing is paused while calls wait for something else than a core.
type pausing struct{ net.Listener }

func (l pausing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return pausingConn{c, busyCores()}, nil
}

// pausingConn is read by one goroutine at a time, as grpc-go does.
type pausingConn struct {
	net.Conn
	busy func() bool
}

// Read gives way to the calls that were read before.
func (c pausingConn) Read(p []byte) (int, error) {
	if c.busy() {
		for begin := time.Now(); c.busy() && time.Since(begin) < longestPause; {
			runtime.Gosched()
		}
	}
	return c.Conn.Read(p)
}

// busyCores returns a function that reports whether more than runnablePerCore
// goroutines wait for each core. It is for one goroutine.
func busyCores() func() bool {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	return func() bool {
		cores := runtime.GOMAXPROCS(0)
		if runtime.NumGoroutine() <= (workersPerCore+runnablePerCore)*cores+othersAtRest {
			return false // which costs a fifth of asking how many are runnable
		}
		metrics.Read(sample)
		return sample[0].Value.Uint64() > uint64(runnablePerCore*cores)
	}
}
