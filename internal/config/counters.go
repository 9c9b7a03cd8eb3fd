package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file is about where it is counted what was taken, and about limits that
// stand in files of their own.

const (
	modeSingle   = "single"
	modeCluster  = "cluster"
	modeSentinel = "sentinel"

	usualPrefix    = "sallyport:"
	usualTimeout   = Duration(100 * time.Millisecond) // a machine that is busy for a moment must not turn callers away
	maxCallTimeout = 10 * time.Second
	maxDatabase    = 1 << 16
	maxBatch       = 1_000_000
	maxPrefix      = 64 // characters
)

// nowhere is the file of counters that are not kept.
const nowhere = "none"

const noAddress = "is not the address of a Redis"

// CountersFile returns where the counters in this process outlive it, or "":
// what is written, or a file beside the store.
func (c *Config) CountersFile() string {
	store, isFile := strings.CutPrefix(c.Store, "sqlite://")
	switch {
	case !c.Counters.Memory || c.Counters.File == nowhere:
		return ""
	case c.Counters.File != "":
		return c.Counters.File
	case isFile:
		return store + "-counters"
	}
	return ""
}

// counters compiles where it is counted.
type counters struct {
	*faults
	Counters
	path string // of the addresses in the file
}

func compileCounters(f *faults, in Counters) Counters {
	c := &counters{f, in, "counters.redis"}
	if len(in.Redis) > 0 && !f.has(c.path) {
		c.path = "counters" // one URL in place of a mapping
	}
	memory, redis := f.has("counters.memory"), f.has("counters.redis")
	switch {
	case memory && redis:
		f.add("counters", "are in this process and in a Redis at once", "write one of memory and redis")
	case memory && !in.Memory:
		f.add("counters.memory", "is false", "leave it out, and write redis")
	case !in.Memory && len(in.Redis) == 0 && !redis && f.whole("counters"):
		f.add("counters", "do not say where", "write memory: true or redis: redis://HOST:PORT")
	case in.Memory:
		c.inProcess()
	default:
		c.redis()
	}
	return c.Counters
}

// misplaced says which of the fields stand beside the wrong kind.
func (c *counters) misplaced(names []string, problem, hint string) {
	for _, name := range names {
		if c.has(field("counters", name)) {
			c.add(field("counters", name), problem, hint)
		}
	}
}

func (c *counters) inProcess() {
	c.misplaced([]string{"mode", "master", "username", "password", "tls", "prefix", "timeout", "on_loss", "share", "lease"},
		"stands beside memory", "it is for redis")
	if strings.HasSuffix(c.File, "/") || strings.ContainsRune(c.File, 0) {
		c.add("counters.file", "is not the path of a file", "write one such as /var/lib/sallyport/counters, or "+nowhere)
	}
}

func (c *counters) redis() {
	c.misplaced([]string{"file"}, "stands beside redis", "it is for memory")
	c.usual()
	if c.oneOf("counters.mode", "mode", c.Mode, modeSingle, modeCluster, modeSentinel) {
		c.addresses()
	}
	switch {
	case c.Mode == modeSentinel && !c.has("counters.master"):
		c.add("counters.master", "does not say which master the sentinels watch", "write its name, such as mymaster")
	case c.Mode != modeSentinel && c.has("counters.master"):
		c.add("counters.master", "stands without mode: sentinel", "")
	}
	checkSecret(c.faults, "counters.password", c.Password, false)
	c.checkTLS()
	if strings.ContainsFunc(c.Prefix, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' }) || len(c.Prefix) > maxPrefix {
		c.add("counters.prefix", "prefix "+quote(c.Prefix)+" is not one", fmt.Sprintf("write up to %d printable characters without space and braces", maxPrefix))
	}
	if time.Duration(c.Timeout) > maxCallTimeout {
		c.add("counters.timeout", "is too long", "at most "+maxCallTimeout.String())
	}
	c.loss()
}

// usual fills in what was not written.
func (c *counters) usual() {
	if c.Mode == "" {
		c.Mode = modeSingle
	}
	if !c.has("counters.prefix") {
		c.Prefix = usualPrefix
	}
	if !c.has("counters.timeout") {
		c.Timeout = usualTimeout
	}
	if !c.has("counters.share") {
		c.Share = 100
	}
	if c.has("counters.lease") {
		if !c.has("counters.lease.batch") {
			c.Lease.Batch = 100
		}
		if !c.has("counters.lease.share") {
			c.Lease.Share = 10
		}
	}
}

// loss checks what happens while the Redis cannot be reached, and what is
// reserved ahead of it.
func (c *counters) loss() {
	c.oneOf("counters.on_loss", "choice", c.OnLoss, "local", "open", "closed")
	if c.has("counters.share") && slices.Contains([]string{"", "open", "closed"}, c.OnLoss) {
		c.add("counters.share", "stands without on_loss: local", "it is of what one instance allows by itself")
	}
	c.share("counters.share", c.Share)
	if !c.has("counters.lease") {
		return
	}
	c.share("counters.lease.share", c.Lease.Share)
	if c.Lease.Batch < 1 || c.Lease.Batch > maxBatch {
		c.add("counters.lease.batch", "is out of range", fmt.Sprintf("1 to %d", maxBatch))
	}
}

func (c *counters) share(path string, share Percent) {
	if share < 1 || share > 100 {
		c.add(path, "is out of range", "1% to 100%")
	}
}

func (c *counters) checkTLS() {
	const hint = "write certificate: FILE and key: FILE"
	switch certificate, secret := c.has("counters.tls.certificate"), c.has("counters.tls.key"); {
	case certificate && !secret:
		c.add("counters.tls", "has a certificate and no key", hint)
	case secret && !certificate:
		c.add("counters.tls", "has a key and no certificate", hint)
	}
	if name := c.TLS.ServerName; name != "" && !isHost(name) {
		c.add("counters.tls.server_name", quote(name)+" is not the name of a host", "write one such as redis.example.com")
	}
}

// address is a Redis as it was written. A text without a scheme is HOST:PORT.
type address struct {
	scheme, place string // place: HOST:PORT or unix:///PATH
	username      string
	database      uint32
}

// addresses reads all of them, and holds that they agree: the library connects
// to each with the same settings.
func (c *counters) addresses() {
	texts := c.Redis
	c.Redis = nil
	var first address
	for i, text := range texts {
		if text == "" {
			continue
		}
		at := index(c.path, i)
		read, problem, hint := readAddress(text, c.Mode)
		switch {
		case problem == noAddress && c.path == "counters":
			c.add(at, "are neither memory nor the address of a Redis", "write memory, redis://HOST:PORT, rediss://HOST:PORT or unix:///PATH")
			continue
		case problem != "":
			c.add(at, problem, hint)
			continue
		case slices.Contains(c.Redis, read.place):
			c.add(at, "is written twice", "")
		case len(c.Redis) == 0:
			first = read
		case read.scheme != first.scheme || read.username != first.username || read.database != first.database:
			c.add(at, "differs from the first in more than host and port", "one scheme, user and database is for all")
		}
		c.Redis = append(c.Redis, read.place)
	}
	c.Database = first.database
	c.agree(first)
}

// agree checks the addresses, all like first, against what stands beside them.
func (c *counters) agree(first address) {
	switch {
	case len(c.Redis) > 1 && c.Mode == modeSingle:
		c.add(c.path, "names more than one address", "write one, or mode: "+modeCluster+" or mode: "+modeSentinel)
	case first.database > 0 && c.Mode == modeCluster:
		c.add(c.path, "names a database", "a cluster has database 0 alone")
	case first.scheme == "unix" && c.Mode != modeSingle:
		c.add(c.path, "is a socket of this machine", "write HOST:PORT for mode: "+c.Mode)
	}
	switch {
	case first.username != "" && c.has("counters.username"):
		c.add("counters.username", "stands beside a user in the URL", "write one of them")
	case first.username != "":
		c.Username = first.username
	}
	c.TLS.On = first.scheme == "rediss" || c.has("counters.tls")
	if c.has("counters.tls") && (first.scheme == "redis" || first.scheme == "unix") {
		c.add("counters.tls", "stands beside "+first.scheme+"://, which is without TLS", "write rediss://")
	}
}

// readAddress does not quote text, which may hold a password.
func readAddress(text, mode string) (a address, problem, hint string) {
	const form = "write redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH or HOST:PORT"
	if strings.HasPrefix(text, "unix://") {
		if problem := checkAddress(text); problem != "" {
			return a, problem, "write unix:///PATH"
		}
		return address{scheme: "unix", place: text}, "", ""
	}
	if !strings.Contains(text, "://") {
		if host, port, err := net.SplitHostPort(text); err == nil && isHost(host) && isPort(port) {
			return address{place: net.JoinHostPort(host, port)}, "", ""
		}
		return a, noAddress, form
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "redis" && u.Scheme != "rediss":
		return a, noAddress, form
	case !isHost(u.Hostname()) || u.Port() != "" && !isPort(u.Port()):
		return a, "names no host", form
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return a, "has parameters", "write them beside it, such as timeout: 20ms"
	}
	if _, secret := u.User.Password(); secret {
		return a, "holds a password", "write password: {file: PATH} or {env: NAME} beside it: no secret stands in this file"
	}
	a = address{scheme: u.Scheme, username: u.User.Username(), place: net.JoinHostPort(u.Hostname(), u.Port())}
	if u.Port() == "" {
		a.place = net.JoinHostPort(u.Hostname(), usualPort(mode))
	}
	if path := strings.TrimPrefix(u.Path, "/"); path != "" {
		n, err := strconv.ParseUint(path, 10, 32)
		if err != nil || n > maxDatabase {
			return a, "has a path that is not the number of a database", "write one such as redis://localhost:6379/0"
		}
		a.database = uint32(n)
	}
	return a, "", ""
}

func usualPort(mode string) string {
	if mode == modeSentinel {
		return "26379"
	}
	return "6379"
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// isHost reports whether s is the name of a host or an address.
func isHost(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || isHostName(strings.ToLower(s))
}

func compileRateLimit(f *faults, r RateLimit) RateLimit {
	if f.has("ratelimit.headers") {
		tell := quotaHeaders(f, "ratelimit.headers", r.Headers)
		r.Tell = &tell
	}
	const at = "ratelimit.directories"
	if f.has("ratelimit") && !f.has(at) {
		f.add("ratelimit", "names no folder", "write directories: [PATH…]")
	}
	if poll := time.Duration(r.Poll); f.has("ratelimit.poll") && (poll < 100*time.Millisecond || poll > time.Hour) {
		f.add("ratelimit.poll", "is out of range", "100ms to 1h")
	}
	seen := map[string]bool{}
	for i, folder := range r.Directories {
		if folder == "" {
			continue
		}
		if clean := filepath.Clean(folder); seen[clean] {
			f.add(index(at, i), "folder "+quote(folder)+" is written twice", "")
		} else {
			seen[clean] = true
			f.folder(index(at, i), folder)
		}
	}
	return r
}

// folder says so where there is no folder of that path: it may come later, and
// until then there are no rules in it.
func (f *faults) folder(path, name string) {
	switch info, err := os.Stat(name); {
	case err != nil:
		f.notice(path, "folder "+quote(name)+" "+statProblem(err)+": no limits are read from it")
	case !info.IsDir():
		f.notice(path, quote(name)+" is not a folder: no limits are read from it")
	}
}

func statProblem(err error) string {
	if os.IsNotExist(err) {
		return "does not exist"
	}
	var at *fs.PathError
	if errors.As(err, &at) {
		err = at.Err
	}
	return "cannot be looked into (" + err.Error() + ")"
}
