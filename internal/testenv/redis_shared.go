package testenv

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// SharedRedisCluster is a cluster that the tests of a package use together, each
// with keys of its own: to become whole takes one some seconds. (A single server
// is there at once, and works for one test at a time: each has its own.) It starts
// when a test first asks, and ends with Run. A test that makes a fault starts
// servers of its own. Safe for concurrent use; the zero value is ready.
type SharedRedisCluster struct {
	mu    sync.Mutex
	dir   string         // guarded by mu; "" until something is there
	all   []*RedisServer // guarded by mu: also those of a start that failed
	nodes []*RedisServer // guarded by mu; nil until they are a cluster
}

// Run runs m's tests, ends what they shared and returns the exit code. It is for
// TestMain.
func (s *SharedRedisCluster) Run(m *testing.M) int {
	defer s.end()
	return m.Run()
}

func (s *SharedRedisCluster) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		one.end()
	}
	os.RemoveAll(s.dir)
}

// Nodes returns the masters of the cluster, as StartRedisCluster does.
func (s *SharedRedisCluster) Nodes(t testing.TB) (nodes []*RedisServer) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes == nil {
		s.nodes = startCluster(t, func() *RedisServer { return s.prepareLocked(t) }, nil)
	}
	for _, node := range s.nodes {
		nodes = append(nodes, node.lend(t))
	}
	return nodes
}

// prepareLocked prepares a server that ends with s.
func (s *SharedRedisCluster) prepareLocked(t testing.TB) *RedisServer {
	t.Helper()
	var err error
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "redis"); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(s.dir, strconv.Itoa(len(s.all)))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	one := newRedis(t, dir)
	s.all = append(s.all, one)
	return one
}

// lend is s for one of the tests that share it, which can ask it and not end it.
func (s *RedisServer) lend(t testing.TB) *RedisServer {
	t.Cleanup(func() { s.tell(t) })
	return &RedisServer{Addr: s.Addr, t: t, dir: s.dir}
}
