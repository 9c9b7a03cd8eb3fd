package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// link is a client of rueidis and the connections that it has opened, which we
// close ourselves where Redis hangs: rueidis would wait for answers.
type link struct {
	client rueidis.Client

	heard atomic.Int64 // UnixNano of the last answer of any connection

	mu    sync.Mutex
	conns map[*conn]bool // guarded by mu
	ended bool           // guarded by mu: no connection is opened any more
}

// Sizes of what rueidis keeps for each connection. Requests and answers are some
// hundred bytes.
const bufferSize = 32 << 10

// dialTimeout bounds how long the opening of a connection takes, TLS and password
// included; a call's own deadline bounds it further.
const dialTimeout = 100 * time.Millisecond

// open connects. It fails where Redis, or for a cluster all of the nodes named,
// or no sentinel answers.
func (o *Options) open() (*link, error) {
	l := &link{conns: make(map[*conn]bool)}
	dial := max(dialTimeout, o.Timeout)
	options := rueidis.ClientOption{
		InitAddress: o.Addresses,
		Username:    o.Username,
		Password:    o.Password.Reveal(),
		SelectDB:    o.Database,
		TLSConfig:   o.TLS,
		ClientName:  "sallyport",
		Sentinel: rueidis.SentinelOption{
			MasterSet: o.SentinelMaster, TLSConfig: o.TLS,
			Username: o.Sentinel.Username, Password: o.Sentinel.Password.Reveal(),
			Dialer:                  net.Dialer{Timeout: dial},
			TopologyRefreshInterval: 5 * time.Second,
		},
		ForceSingleClient: !o.Cluster && o.SentinelMaster == "",
		DialCtxFn:         l.dial,
		Dialer:            net.Dialer{Timeout: dial, KeepAlive: time.Second},
		ConnWriteTimeout:  2 * dial,
		// A second try would come after the deadline, and a sid makes retries safe
		// where there is one; nothing here is cached.
		DisableRetry: true,
		DisableCache: true,
		// One connection to each server gathers the most calls into one write.
		PipelineMultiplex:   -1,
		ReadBufferEachConn:  bufferSize,
		WriteBufferEachConn: bufferSize,
		ClusterOption:       rueidis.ClusterOption{ShardsRefreshInterval: 5 * time.Second, MaxMovedRedirections: 3},
	}
	client, err := rueidis.NewClient(options)
	if err != nil {
		if client != nil {
			l.client = client
			l.close()
		}
		l.cut(time.Time{})
		return nil, err
	}
	l.client = client
	return l, nil
}

// dial opens a connection for rueidis.
func (l *link) dial(ctx context.Context, address string, dialer *net.Dialer, secure *tls.Config) (net.Conn, error) {
	var opened net.Conn
	var err error
	if secure != nil {
		opened, err = (&tls.Dialer{NetDialer: dialer, Config: secure}).DialContext(ctx, "tcp", address)
	} else {
		opened, err = dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	one := &conn{Conn: opened, link: l, until: time.Now().Add(dialer.Timeout)}
	if until, ok := ctx.Deadline(); ok {
		one.until = until
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		opened.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: net.ErrClosed}
	}
	l.conns[one] = true
	return one, nil
}

// cut closes the connections that have waited for an answer since before; all of
// them, and for good, where before is zero.
func (l *link) cut(before time.Time) {
	var cut []*conn
	l.mu.Lock()
	l.ended = l.ended || before.IsZero()
	for one := range l.conns {
		if since := one.waiting.Load(); before.IsZero() || since > 0 && since < before.UnixNano() {
			cut = append(cut, one)
		}
	}
	l.mu.Unlock()
	for _, one := range cut {
		one.Close()
	}
}

// ours reports whether it is this process that is behind: an answer lies there
// unread, or nothing was asked that could be answered.
func (l *link) ours() (unheard, unasked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	unasked = true
	for one := range l.conns {
		unheard = unheard || unread(one.Conn) > 0
		unasked = unasked && one.waiting.Load() == 0
	}
	return unheard, unasked
}

// close ends the link: calls under way fail at once, and it returns when nothing
// of it runs any more.
func (l *link) close() {
	l.cut(time.Time{})
	l.client.Close()
}

// conn is a connection that tells since when it has waited for an answer.
type conn struct {
	net.Conn
	link    *link
	waiting atomic.Int64 // UnixNano of the first write that nothing was read after; 0: none
	until   time.Time    // when the first answer must have come
	greeted atomic.Bool  // it has
}

// SetDeadline keeps the first answer's deadline: when that has passed, rueidis
// would lift it to say goodbye, and keep the call that dialled for a second.
func (c *conn) SetDeadline(t time.Time) error {
	if !c.greeted.Load() && (t.IsZero() || t.After(c.until)) {
		t = c.until
	}
	return c.Conn.SetDeadline(t)
}

func (c *conn) Write(p []byte) (int, error) {
	c.waiting.CompareAndSwap(0, time.Now().UnixNano())
	return c.Conn.Write(p)
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.link.heard.Store(time.Now().UnixNano())
		c.waiting.Store(0)
		c.greeted.Store(true)
	}
	return n, err
}

func (c *conn) Close() error {
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}

// failure is why Redis did not answer a call.
type failure struct {
	cause error
	sent  bool // Redis may have done what was asked
	slow  bool // no answer in time: one such may be bad luck
	own   bool // says nothing of Redis: the caller's time was up, or this one request cannot be served
}

func (f *failure) Error() string { return "counters in Redis: " + f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// unable are the answers of a Redis that cannot serve anyone's call now, in all
// versions' spellings: what was asked was not done.
var unable = [...]string{
	"LOADING", "READONLY", "OOM ", "NOAUTH", "WRONGPASS", "NOPERM", "MASTERDOWN", "CLUSTERDOWN", "MISCONF", "NOREPLICAS",
	"BUSY ", "TRYAGAIN", "MOVED ", "ASK ", "max number of clients", "invalid password",
}

// failed says what an error of rueidis means.
func failed(err error) *failure {
	if answer, ok := rueidis.IsRedisErr(err); ok {
		for _, word := range unable {
			if strings.Contains(answer.Error(), word) {
				return &failure{cause: err}
			}
		}
		return &failure{cause: err, own: true}
	}
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{cause: err, sent: true, own: true}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{cause: err, sent: true, slow: true}
	case errors.As(err, &op) && op.Op == "dial":
		return &failure{cause: err}
	}
	return &failure{cause: err, sent: true}
}
