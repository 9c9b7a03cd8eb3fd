package testenv

import (
	"bytes"
	_ "embed" // the clock
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed testdata/clock.c
var clockSource []byte

// RedisClock is the wall clock of a Redis's machine, as that Redis sees it:
// scripts, the expiry of keys and the cluster go by it. What waits goes by another
// clock, which never jumps.
type RedisClock struct {
	t    testing.TB
	file *os.File
}

// StartRedisWithClock starts a server whose clock can be made to jump. It needs a
// C compiler, since the clock is a library that the server loads before others,
// and Linux.
func StartRedisWithClock(t testing.TB, args ...string) (*RedisServer, *RedisClock) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("a clock of its own can be given to a server on Linux only")
	}
	s := NewRedis(t, args...)
	file, err := os.Create(filepath.Join(s.dir, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.Truncate(2 * clockNumber); err != nil {
		t.Fatal(err)
	}
	s.env = []string{"LD_PRELOAD=" + buildClock(t, s.dir), "SALLYPORT_TEST_CLOCK=" + file.Name()}
	s.Start()
	c := &RedisClock{t, file}
	c.Set(time.Hour)
	if ahead := time.Until(s.Time()); ahead < time.Hour-time.Minute {
		t.Fatalf("the server's clock is %v ahead, want an hour", ahead)
	}
	c.Set(0)
	return s, c
}

// buildClock makes the library in dir.
func buildClock(t testing.TB, dir string) (library string) {
	t.Helper()
	compiler := ""
	for _, name := range []string{os.Getenv("CC"), "cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			compiler = path
			break
		}
	}
	if compiler == "" {
		Missing(t, "cc", "a server's clock is set by a library in C, and there is no compiler (such as: apt-get install gcc libc6-dev)")
	}
	source := filepath.Join(dir, "clock.c")
	library = filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := exec.Command(compiler, "-O1", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, text)
	}
	return library
}

// clockNumber is how many bytes a number in the clock's file has.
const clockNumber = 8

// Set makes the clock differ so much from the machine's, and returns when the server
// goes by it.
func (c *RedisClock) Set(ahead time.Duration) {
	c.t.Helper()
	want := binary.NativeEndian.AppendUint64(nil, uint64(ahead.Microseconds()))
	if _, err := c.file.WriteAt(want, 0); err != nil {
		c.t.Fatal(err)
	}
	Await(c.t, "the server to see its clock jump", func() bool {
		got := make([]byte, clockNumber)
		if _, err := c.file.ReadAt(got, clockNumber); err != nil {
			c.t.Fatal(err)
		}
		return bytes.Equal(got, want)
	})
}

// Time returns what the server's clock says.
func (s *RedisServer) Time() time.Time {
	s.t.Helper()
	seconds, micros, _ := strings.Cut(s.Do("TIME"), "\n")
	whole, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	part, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return time.Unix(whole, part*1000)
}
