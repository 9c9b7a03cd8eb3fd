package testenv

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRedisIsFoundWhereItMayBe(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	t.Setenv("PATH", dir)
	put := func(name string) string {
		path := filepath.Join(dir, name)
		if filepath.IsAbs(name) {
			path = name
		}
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	find := func(env string) string {
		path, err := findRedis(func(string) string { return env }, root)
		if err != nil {
			return ""
		}
		return path
	}
	if got := find(""); got != "" {
		t.Errorf("found %s where there is none", got)
	}
	for _, name := range []string{filepath.Join(root, ".tools", "redis", "redis-server"), "valkey-server", "redis-server"} {
		if want := put(name); find("") != want {
			t.Errorf("found %s, want %s", find(""), want)
		}
	}
	if want := put("mine"); find(want) != want {
		t.Errorf("REDIS_SERVER does not win: %s", find(want))
	}
	if got := find("/nowhere"); got != "" {
		t.Errorf("a wrong REDIS_SERVER found %s", got)
	}
}

func TestRedisFaults(t *testing.T) {
	s := StartRedis(t)
	s.Do("SET", "a", "1")
	if got := s.Do("GET", "a"); got != "1" {
		t.Errorf("got %q", got)
	}
	s.Stop()
	if _, err := s.Try("PING"); err == nil {
		t.Error("a stopped server answered")
	}
	s.Cont()
	s.Do("PING")
	s.Restart()
	if got := s.Do("EXISTS", "a"); got != "0" {
		t.Errorf("got %q", got)
	}
}

func TestRedisCluster(t *testing.T) {
	nodes := StartRedisCluster(t)
	MoveRedisSlot(t, nodes, 0, nodes[2])
	replica := AddRedisReplica(t, nodes, nodes[1])
	nodes[1].Kill()
	Await(t, "the replica to be master", func() bool { return strings.HasPrefix(replica.Do("ROLE"), "master") })
}

func TestSharedRedisClusterIsOneForAll(t *testing.T) {
	var shared SharedRedisCluster
	var dir, id string
	t.Run("first", func(t *testing.T) { id = shared.Nodes(t)[0].Do("CLUSTER", "MYID") })
	t.Run("second", func(t *testing.T) {
		s := shared.Nodes(t)[0]
		if got := s.Do("CLUSTER", "MYID"); got != id {
			t.Errorf("got %q, want %q", got, id)
		}
		s.Kill() // does nothing: it is lent
		s.Do("PING")
		dir = filepath.Dir(s.Dir())
	})
	shared.end()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}

func TestRedisClockJumps(t *testing.T) {
	s, clock := StartRedisWithClock(t)
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, -1500 * time.Millisecond, 0} {
		clock.Set(ahead)
		before := time.Now().Add(ahead).Truncate(time.Microsecond)
		at := s.Time()
		if after := time.Now().Add(ahead); at.Before(before) || at.After(after) {
			t.Errorf("%v ahead: it is %v, want %v to %v", ahead, at, before, after)
		}
	}
	clock.Set(0)
	s.Do("SET", "a", "1", "PX", "60000")
	clock.Set(time.Hour)
	if got := s.Do("EXISTS", "a"); got != "0" {
		t.Error("a key outlived its hour")
	}
}

func TestRedisSentinels(t *testing.T) {
	s := StartRedisSentinels(t, 3)
	s.Failover(t)
	Await(t, "the replica to be master", func() bool {
		_, err := s.Replica.Try("SET", "a", "1")
		return err == nil
	})
}
