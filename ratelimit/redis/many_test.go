package redis

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/testenv"
	"github.com/sallyport/sallyport/ratelimit"
)

// The master dies, and is changed on purpose; sentinels say who is next.
func TestSentinelFailover(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*testing.T, *testenv.RedisSentinels)
	}{
		{"killed", func(_ *testing.T, s *testenv.RedisSentinels) { s.Master.Kill() }},
		{"planned", func(t *testing.T, s *testenv.RedisSentinels) { s.Failover(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // with the other one: both wait for servers
			quiet(t)
			sentinels := testenv.StartRedisSentinels(t, 3)
			counters := open(t, Options{Addresses: sentinels.Addrs(), SentinelMaster: "main", Timeout: short, OnLoss: OnLossLocal})
			call := callFor("k1", 100)
			if n, errs := takes(t, counters, 10, call); n != 10 || errs != nil {
				t.Fatalf("%d allowed, %v", n, errs)
			}
			testenv.Await(t, "the replica to have it", func() bool {
				sizes := []string{sentinels.Master.Do("DBSIZE"), sentinels.Replica.Do("DBSIZE")}
				return sizes[0] == sizes[1]
			})
			c.lose(t, sentinels)
			alone := 0
			testenv.Await(t, "the replica to take writes", func() bool {
				n, errs := takes(t, counters, 1, callFor("k2", 1_000_000))
				if alone += n; errs != nil {
					t.Fatal(errs)
				}
				role, _ := sentinels.Replica.Try("ROLE")
				return len(role) > 6 && role[:6] == "master"
			})
			testenv.Await(t, "the sentinels to tell", func() bool {
				return !slices.ContainsFunc(sentinels.Sentinels, func(s *testenv.RedisServer) bool {
					at, _ := s.Try("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
					return at != "127.0.0.1\n"+sentinels.Replica.Port()
				})
			})
			began := time.Now()
			testenv.Await(t, "the counters to follow", func() bool {
				return counters.State().Joined() && sentinels.Replica.Do("INFO", "commandstats") != "" && follows(counters, sentinels.Replica)
			})
			if took, over := late(began, time.Second+slack); over {
				t.Errorf("followed after %v", took)
			}
			if n := used(t, counters, call); n != 10 {
				t.Errorf("%d used, want the 10 from before", n)
			}
		})
	}
}

// follows reports whether what counters take arrives at server.
func follows(c *Counters, server *testenv.RedisServer) bool {
	before := server.Do("DBSIZE")
	c.Take(ctx, callFor(fmt.Sprint("probe-", time.Now().UnixNano()), 5))
	return server.Do("DBSIZE") != before
}

// policy has an API whose limits count per tenant, which spreads its keys.
var policy = &sallyport.Policy{APIs: []*sallyport.API{{Name: "orders", Limits: []*sallyport.Limit{limit}}}}

// A master of a cluster that is lost takes only its own slots with it.
func TestClusterLosesOnlyWhatIsLost(t *testing.T) {
	for name, f := range map[string]fault{
		"killed": named("killed"), "hung": named("hung"),
	} {
		t.Run(name, func(t *testing.T) {
			quiet(t)
			nodes := testenv.StartRedisCluster(t)
			c := open(t, Options{Addresses: testenv.RedisAddrs(nodes), Cluster: true, Timeout: short, OnLoss: OnLossFail})
			c.Know(policy)
			var there, gone []ratelimit.Call
			for i := range 60 {
				call := callFor(fmt.Sprint("k", i), 1000)
				if n, errs := takes(t, c, 1, call); n != 1 {
					t.Fatal(errs)
				}
				if at := slot(c.tag(call.Subject)); at >= slotCount/3 && at < 2*slotCount/3 {
					gone = append(gone, call)
				} else if p := partOf(c.tag(call.Subject), clusterParts); p != 21 && p != 42 { // which have slots of two
					there = append(there, call)
				}
			}
			f.lose(t, nodes[1])
			for round := range 3 {
				for _, call := range there {
					if n, errs := takes(t, c, 1, call); n != 1 {
						t.Fatalf("round %d: a tenant of another master: %v", round, errs)
					}
				}
				for _, call := range gone {
					if n, _ := takes(t, c, 1, call); n != 0 {
						t.Error("a lost master allowed")
					}
				}
			}
			f.mend(t, nodes[1])
			testenv.Await(t, "the cluster to be whole", func() bool {
				info, _ := nodes[1].Try("CLUSTER", "INFO")
				return strings.Contains(info, "cluster_state:ok")
			})
			joined(t, c)
			for _, call := range append(there, gone...) {
				if n, errs := takes(t, c, 1, call); n != 1 {
					t.Error(errs)
				}
			}
		})
	}
}

// A slot that moves is followed without a loss.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	quiet(t)
	nodes := testenv.StartRedisCluster(t)
	c := open(t, Options{Addresses: testenv.RedisAddrs(nodes), Cluster: true, Timeout: lenient})
	c.Know(policy)
	call := callFor("k1", 10)
	at := slot(c.tag(call.Subject))
	for i, to := range []*testenv.RedisServer{nodes[2], nodes[0], nodes[1]} {
		if n, errs := takes(t, c, 3, call); n != 3 {
			t.Fatal(errs)
		}
		if err := c.Reset(ctx, call); err != nil { // an empty slot can be moved at once
			t.Fatal(err)
		}
		testenv.MoveRedisSlot(t, nodes, at, to)
		if n, errs := takes(t, c, 1, call); n != 1 {
			t.Fatalf("move %d: %v", i, errs)
		}
		if err := c.Reset(ctx, call); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.State(); s.Losses != 0 {
		t.Errorf("%d losses: %v", s.Losses, s.Cause)
	}
}

// Tenants are spread over a cluster where no counter is shared by two.
func TestTagsFollowThePolicy(t *testing.T) {
	c := &Counters{options: Options{Cluster: true}}
	subject := func(tenant string) *sallyport.Subject { return &sallyport.Subject{API: "orders", Tenant: tenant} }
	apart := func() bool { return c.tag(subject("a")) != c.tag(subject("b")) }
	if apart() {
		t.Error("an API that is not known is spread")
	}
	for _, one := range []struct {
		per   []string
		apart bool
	}{{[]string{"tenant"}, true}, {[]string{"credential", "operation"}, true}, {[]string{"principal"}, true}, {[]string{"plan"}, false}, {nil, false}, {[]string{"attribute tenant"}, false}} {
		c.Know(&sallyport.Policy{APIs: []*sallyport.API{{Name: "orders", Limits: []*sallyport.Limit{limit, {Name: "l", Per: one.per}, {Name: "slots", Concurrency: 1}}}}})
		if apart() != one.apart {
			t.Errorf("per %v: spread by tenant: %v", one.per, apart())
		}
	}
}

func TestSlots(t *testing.T) { // the Redis cluster specification's example, and what Redis says
	t.Parallel()
	server := shared.Nodes(t)[0]
	for _, tag := range []string{"123456789", "a", "user1000", "orders/t1"} {
		if got, want := fmt.Sprint(slot(tag)), server.Do("CLUSTER", "KEYSLOT", tag); got != want {
			t.Errorf("%q is in slot %s, want %s", tag, got, want)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	quiet(t)
	dir := t.TempDir()
	pool := certify(t, dir)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	l.Close()
	testenv.StartRedis(t, "--tls-port", port, "--tls-cert-file", filepath.Join(dir, "cert"), "--tls-key-file", filepath.Join(dir, "key"), "--tls-auth-clients", "no")
	c := open(t, Options{Addresses: []string{address}, Timeout: lenient, TLS: &tls.Config{RootCAs: pool, ServerName: "localhost"}})
	if n, errs := takes(t, c, 1, callFor("k1", 5)); n != 1 {
		t.Error(errs)
	}
	wary, err := Open(ctx, Options{Addresses: []string{address}, TLS: &tls.Config{}})
	if err != nil {
		t.Fatal(err)
	}
	defer wary.Close()
	if s := wary.State(); s.Joined() {
		t.Error("joined a server of whom nobody vouches")
	}
}

// certify writes a certificate for localhost, and returns who vouches for it.
func certify(t *testing.T, dir string) *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert": {Type: "CERTIFICATE", Bytes: cert}, "key": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	form, err = x509.ParseCertificate(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(form)
	return pool
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options{
		"no address":  {},
		"leave one":   {Addresses: []string{"a"}, Cluster: true, SentinelMaster: "m"},
		"no database": {Addresses: []string{"a"}, Cluster: true, Database: 1},
		"braces":      {Addresses: []string{"a"}, Prefix: "{a}"},
		"share":       {Addresses: []string{"a"}, Share: 101},
	} {
		if c, err := Open(ctx, o); err == nil {
			c.Close()
			t.Errorf("%+v opened, want an error about %q", o, want)
		}
	}
}

// What two instances take alone comes together in Redis.
func TestTwoInstancesCarryWhatTheyTook(t *testing.T) {
	t.Parallel()
	quiet(t)
	server := testenv.StartRedis(t)
	var all []*Counters
	for range 2 {
		all = append(all, open(t, Options{Addresses: []string{server.Addr}, Timeout: short, OnLoss: OnLossLocal, Share: 50}))
	}
	server.Kill()
	calls := []ratelimit.Call{callFor("k0", 100), callFor("k1", 100), callFor("k2", 100)}
	for _, c := range all {
		testenv.Await(t, "the loss", func() bool { c.Take(ctx, callFor("other", 100)); s := c.State(); return !s.Joined() })
	}
	var wg sync.WaitGroup
	for _, c := range all {
		for _, call := range calls {
			wg.Go(func() {
				if n, errs := takes(t, c, 80, call); n != 50 || errs != nil {
					t.Errorf("%d allowed, want half of 100; %v", n, errs)
				}
			})
		}
		tallies := []ratelimit.Tally{{Key: []byte("tally"), Window: sallyport.Window{Max: 10, Length: 24 * time.Hour}, Hits: 3}}
		if err := c.Count(ctx, time.Now(), tallies); err != nil || tallies[0].Used != 6 {
			t.Errorf("alone: %+v, %v; want 6 used of what is a share of a half", tallies, err)
		}
	}
	wg.Wait()
	server.Start()
	for i, c := range all {
		joined(t, c)
		testenv.Await(t, "all to be carried", func() bool { return c.State().Carried >= 153 }) // and perhaps a hit of another
		if s := c.State(); s.Dropped != 0 {
			t.Errorf("instance %d dropped %d", i, s.Dropped)
		}
	}
	for _, call := range calls {
		if n := used(t, all[0], call); n != 100 {
			t.Errorf("%d used, want 100", n)
		}
	}
	tallies := []ratelimit.Tally{{Key: []byte("tally"), Window: sallyport.Window{Max: 10, Length: 24 * time.Hour}}}
	if err := all[0].Count(ctx, time.Now(), tallies); err != nil || tallies[0].Used != 6 {
		t.Errorf("joined: %+v, %v; want 6 used", tallies, err)
	}
}
