package config

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/internal/yamltree"
)

// Bounds of listen.in_flight: with fewer, an Envoy of a few workers would be
// refused in ordinary load; each takes some 20 KB.
const leastInFlight, mostInFlight = 64, 1_000_000

const maxSocketPath = 107 // what the kernel takes

// Defaults returns what a file that says nothing means. Store, pepper and APIs
// have no default.
func Defaults() File {
	return File{
		Listen:    Listen{GRPC: List{"unix:///run/sallyport/sallyport.sock", "127.0.0.1:9191"}, HTTP: "127.0.0.1:9192"},
		Counters:  Counters{Memory: true},
		RateLimit: RateLimit{Poll: Duration(time.Second)},
		Chain:     sallyport.Paired.String(),
		Cache:     Cache{Credentials: 1_000_000, Timeout: Duration(250 * time.Millisecond)},
		Log:       Log{Format: "text", Decisions: "refused", Rate: 100},
	}
}

// compile checks what file means as a whole, and makes the Config of it.
func compile(f *faults, file *File) *Config {
	c := &Config{
		Listen: file.Listen, Store: file.Store,
		Counters: compileCounters(f, file.Counters), RateLimit: compileRateLimit(f, file.RateLimit),
		Peppers: file.Pepper, Admin: file.Admin, Cache: file.Cache, Log: file.Log,
		Policy: &sallyport.Policy{},
	}
	checkListen(f, file.Listen)
	checkStore(f, file.Store)
	checkPeppers(f, file.Pepper)
	checkSecret(f, "admin.token", file.Admin.Token, false)
	if f.has("cache.credentials") && (file.Cache.Credentials < 1 || file.Cache.Credentials > 1e9) {
		f.add("cache.credentials", "is out of range", "1 to 1000000000")
	}
	f.oneOf("log.format", "format", file.Log.Format, "text", "json")
	f.oneOf("log.decisions", "choice", file.Log.Decisions, "refused", "all", "none")
	if f.has("log.rate") && file.Log.Rate == 0 {
		f.add("log.rate", "is zero", "write how many lines a second, or decisions: none")
	}
	f.oneOf("chain", "chain", file.Chain, sallyport.Paired.String(), sallyport.Fused.String())
	c.Policy.Chain, _ = sallyport.ParseChain(file.Chain)
	if len(file.APIs) == 0 && f.whole("apis") {
		f.add("apis", "no API is listed", "at least one is needed")
	}
	for _, name := range slices.Sorted(maps.Keys(file.APIs)) {
		in := file.APIs[name]
		c.Policy.APIs = append(c.Policy.APIs, compileAPI(f, name, &in))
	}
	checkHosts(f, c.Policy)
	checkHops(f, file)
	c.Absent, c.Notices = yamltree.Sorted(f.absent), yamltree.Sorted(f.notices)
	return c
}

func checkListen(f *faults, l Listen) {
	seen := map[string]string{}
	check := func(path, address string) {
		if address == "" {
			return
		}
		if problem := checkAddress(address); problem != "" {
			f.add(path, "address "+quote(address)+" "+problem, "write HOST:PORT or unix:///PATH")
		} else if first, twice := seen[address]; twice && !strings.HasSuffix(address, ":0") {
			f.add(path, "address "+quote(address)+" is written twice; first in "+first, "")
		}
		seen[address] = path
	}
	for i, address := range l.GRPC {
		check(index("listen.grpc", i), address)
	}
	check("listen.http", l.HTTP)
	if f.has("listen.in_flight") && (l.InFlight < leastInFlight || l.InFlight > mostInFlight) {
		f.add("listen.in_flight", "is out of range", fmt.Sprintf("%d to %d", leastInFlight, mostInFlight))
	}
}

func checkAddress(address string) (problem string) {
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		switch {
		case !strings.HasPrefix(path, "/") || path == "/" || strings.ContainsRune(path, 0):
			return "has no absolute path"
		case len(path) > maxSocketPath:
			return "has a path longer than " + strconv.Itoa(maxSocketPath) + " bytes"
		}
		return ""
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil || strings.ContainsAny(address, "/ ") {
		return "cannot be read"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "has no port from 0 to 65535"
	}
	return ""
}

// checkStore does not quote the URL, which may hold a password.
func checkStore(f *faults, store string) {
	const form = "write sqlite:///PATH, such as sqlite:///var/lib/sallyport/sallyport.db"
	scheme, rest, _ := strings.Cut(store, "://")
	switch {
	case store == "" && f.has("store"):
	case store == "":
		f.add("store", "no store is named", form)
	case scheme == "postgres" || scheme == "postgresql":
		f.notServed("store", "PostgreSQL is not served by this version; use sqlite:///PATH")
	case scheme != "sqlite":
		f.add("store", "is not the URL of a store", form)
	case !strings.HasPrefix(rest, "/") || strings.HasSuffix(rest, "/") || strings.ContainsAny(rest, "?#%\x00"):
		f.add("store", "is not the absolute path of a file", form)
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func checkSecret(f *faults, path string, s Secret, required bool) {
	const form = "write {file: PATH} or {env: NAME}"
	file, env := f.has(field(path, "file")), f.has(field(path, "env"))
	switch {
	case file && env:
		f.add(path, "names both a file and an environment variable", form)
	case !file && !env && (required || f.has(path)):
		f.add(path, "names neither a file nor an environment variable", form)
	case s.Env != "" && !envName.MatchString(s.Env):
		f.add(field(path, "env"), "is not the name of an environment variable", form)
	}
}

// checkPeppers fills in the version of one that stands alone.
func checkPeppers(f *faults, peppers Peppers) {
	if len(peppers) == 0 {
		checkSecret(f, "pepper", Secret{}, !f.has("pepper"))
		return
	}
	seen := map[uint32]bool{}
	for i := range peppers {
		at := "pepper"
		if f.has(index("pepper", 0)) {
			at = index("pepper", i)
		}
		checkSecret(f, at, peppers[i].Secret, true)
		version := field(at, "version")
		switch v := peppers[i].Version; {
		case len(peppers) == 1 && !f.has(version):
			peppers[i].Version = 1
		case !f.has(version):
			f.add(at, "has no version", "number peppers in the order in which they came; the first one was 1")
		case v == 0 || v > 1<<31-1:
			f.add(version, "is out of range", "1 to 2147483647")
		case seen[v]:
			f.add(version, "is that of another pepper", "give each a version of its own")
		}
		seen[peppers[i].Version] = true
	}
}

// checkHosts finds hosts that more than one API claims.
func checkHosts(f *faults, p *sallyport.Policy) {
	owner := map[string]string{}
	for _, api := range p.APIs {
		for _, host := range api.Hosts {
			if other, taken := owner[host]; taken && other != api.Name {
				f.add(field(key("apis", api.Name), "hosts"), "host "+quote(host)+" belongs to API "+other+" already", "a host leads to one API")
				continue
			}
			owner[host] = api.Name
		}
	}
}

// checkHops holds that APIs agree on the proxies before Envoy: one listener
// serves them all, and finds the client's address once.
func checkHops(f *faults, file *File) {
	var first string
	for _, name := range slices.Sorted(maps.Keys(file.APIs)) {
		at := field(key("apis", name), "trusted_hops")
		switch {
		case !f.has(at):
		case first == "":
			first = name
		case file.APIs[name].TrustedHops != file.APIs[first].TrustedHops:
			f.add(at, "differs from that of API "+first, "one listener serves all APIs: write the same number")
		}
	}
}

// hostProblem says what is wrong with a host; hint is the right form of it.
func hostProblem(host string) (problem, hint string) {
	right := strings.ToLower(strings.TrimSuffix(host, "."))
	if name, port, err := net.SplitHostPort(right); err == nil && strings.Trim(port, "0123456789") == "" {
		right = name
	}
	switch {
	case !isHostName(right):
		return "host " + quote(host) + " is not a host name", "write a name such as api.example.com, without scheme, port and wildcard"
	case right != host:
		return "host " + quote(host) + " is not in lower case without port and trailing dot", "write " + right
	}
	return "", ""
}

var hostLabel = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

func isHostName(host string) bool {
	if len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !hostLabel.MatchString(label) {
			return false
		}
	}
	return true
}

func upstreamProblem(upstream string) string {
	u, err := url.Parse(upstream)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return "is not an http or https URL"
	case u.User != nil:
		return "holds a user name or password"
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return "has more than a host and a port"
	case u.Hostname() == "":
		return "has no host"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "has no port from 1 to 65535"
		}
	}
	return ""
}
