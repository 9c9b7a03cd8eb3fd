package testenv

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// RedisSlots is how many hash slots a cluster has.
const RedisSlots = 16384

// StartRedisCluster starts a cluster of three masters, who share the slots in
// thirds and have no replicas, and waits until it is whole.
func StartRedisCluster(t testing.TB, args ...string) []*RedisServer {
	t.Helper()
	return startCluster(t, func() *RedisServer { return NewRedis(t) }, args)
}

func startCluster(t testing.TB, prepare func() *RedisServer, args []string) []*RedisServer {
	t.Helper()
	var nodes []*RedisServer
	for i := range 3 {
		node := prepare()
		node.joinCluster(args)
		node.Start()
		node.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*RedisSlots/3), strconv.Itoa((i+1)*RedisSlots/3-1))
		nodes = append(nodes, node)
	}
	for _, node := range nodes[1:] {
		nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", node.Port())
	}
	awaitCluster(t, nodes)
	return nodes
}

// joinCluster makes a server that does not run yet one of a cluster.
func (s *RedisServer) joinCluster(args []string) {
	s.t.Helper()
	s.args = append([]string{
		"--cluster-enabled", "yes", "--cluster-config-file", filepath.Join(s.dir, "nodes.conf"), "--cluster-node-timeout", "1000",
		"--cluster-port", strconv.Itoa(port(s.t, s.Addr) + clusterBus), "--cluster-require-full-coverage", "no",
	}, args...)
}

// awaitCluster waits until all nodes know of each other and of every slot.
func awaitCluster(t testing.TB, nodes []*RedisServer) {
	t.Helper()
	for _, node := range nodes {
		Await(t, "the cluster to be whole", func() bool {
			info, _ := node.Try("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384") &&
				strings.Contains(info, fmt.Sprint("cluster_known_nodes:", len(nodes)))
		})
	}
}

// AddRedisReplica adds a replica of master, which is one of the nodes, to a
// cluster that has not lost anyone, and waits until it follows. A master that dies
// is followed by it when most of the other masters have agreed.
func AddRedisReplica(t testing.TB, nodes []*RedisServer, master *RedisServer, args ...string) *RedisServer {
	t.Helper()
	replica := NewRedis(t)
	replica.joinCluster(append([]string{"--repl-diskless-sync-delay", "0"}, args...))
	replica.Start()
	replica.Do("CLUSTER", "MEET", "127.0.0.1", master.Port())
	for _, node := range append([]*RedisServer{replica}, nodes...) {
		Await(t, "the nodes to know of each other", func() bool {
			info, _ := node.Try("CLUSTER", "INFO")
			return strings.Contains(info, fmt.Sprint("cluster_known_nodes:", len(nodes)+1))
		})
	}
	replica.Do("CLUSTER", "REPLICATE", master.Do("CLUSTER", "MYID"))
	awaitReplica(t, replica)
	for _, node := range nodes { // who are to elect it
		Await(t, "the masters to know of the replica", func() bool {
			all, _ := node.Try("CLUSTER", "NODES")
			return strings.Contains(all, "slave")
		})
	}
	return replica
}

func awaitReplica(t testing.TB, replica *RedisServer) {
	t.Helper()
	Await(t, "the replica to follow", func() bool {
		info, _ := replica.Try("INFO", "replication")
		return strings.Contains(info, "master_link_status:up")
	})
}

// MoveRedisSlot gives an empty slot of one master of a cluster to another, as
// the whole cluster will know.
func MoveRedisSlot(t testing.TB, nodes []*RedisServer, slot int, to *RedisServer) {
	t.Helper()
	id := to.Do("CLUSTER", "MYID")
	for _, node := range nodes {
		if node.Addr != to.Addr { // from whom does not matter: what is imported is of a new epoch, which old news cannot undo
			to.Try("CLUSTER", "SETSLOT", strconv.Itoa(slot), "IMPORTING", node.Do("CLUSTER", "MYID"))
			break
		}
	}
	for _, node := range append([]*RedisServer{to}, nodes...) {
		node.Do("CLUSTER", "SETSLOT", strconv.Itoa(slot), "NODE", id)
	}
}

// RedisSentinels are a master, a replica of it and the sentinels that watch
// them, under the name "main".
type RedisSentinels struct {
	Master, Replica *RedisServer
	Sentinels       []*RedisServer
}

// StartRedisSentinels starts a master with a replica and count sentinels, most
// of whom must agree that the master is down, and waits until all know of each
// other. They miss a master after half a second.
func StartRedisSentinels(t testing.TB, count int) *RedisSentinels {
	t.Helper()
	s := &RedisSentinels{Master: StartRedis(t, "--repl-diskless-sync-delay", "0")}
	s.Replica = StartRedis(t, "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1 "+s.Master.Port())
	awaitReplica(t, s.Replica)
	for range count {
		one := NewRedis(t)
		file := filepath.Join(one.dir, "sentinel.conf")
		text := fmt.Sprintf("port %s\nsentinel monitor main 127.0.0.1 %s %d\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n",
			one.Port(), s.Master.Port(), count/2+1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		one.file, one.args = file, []string{"--sentinel"}
		one.Start()
		s.Sentinels = append(s.Sentinels, one)
	}
	for _, one := range s.Sentinels {
		Await(t, "the sentinels to know of each other and of the replica", func() bool {
			info, _ := one.Try("INFO", "sentinel")
			return strings.Contains(info, fmt.Sprintf("status=ok,address=127.0.0.1:%s,slaves=1,sentinels=%d", s.Master.Port(), count))
		})
	}
	return s
}

// Addrs returns the addresses of the sentinels.
func (s *RedisSentinels) Addrs() []string { return RedisAddrs(s.Sentinels) }

// RedisAddrs returns the addresses of servers.
func RedisAddrs(servers []*RedisServer) (all []string) {
	for _, one := range servers {
		all = append(all, one.Addr)
	}
	return all
}

// Failover has the sentinels make the replica the master, and returns when they
// tell so.
func (s *RedisSentinels) Failover(t testing.TB) {
	t.Helper()
	Await(t, "a sentinel to begin a failover", func() bool {
		_, err := s.Sentinels[0].Try("SENTINEL", "FAILOVER", "main")
		return err == nil
	})
	for _, one := range s.Sentinels {
		Await(t, "the failover to be told", func() bool {
			at, _ := one.Try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
			return at == "127.0.0.1\n"+s.Replica.Port()
		})
	}
}

// Await waits until done says so, at most 15 seconds. It is for what other
// processes do, of which nobody tells.
func Await(t testing.TB, what string, done func() bool) {
	t.Helper()
	end := time.NewTimer(15 * time.Second)
	defer end.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func port(t testing.TB, addr string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(addr)
	n, err2 := strconv.Atoi(text)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return n
}
